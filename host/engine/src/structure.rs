//! What can be said of a component without compiling it: whether it is one, its manifest section,
//! its imports and exports.
//!
//! Only the outermost level counts. A linked library inside cannot speak for the component, and
//! what inner instances import from each other is no business of the host. Memories are counted wherever
//! they are: components that are composed of several hand values from one memory to another by code that
//! wasmtime makes, and where several memories are forbidden, that code makes its compiler panic.

use crate::manifest::SECTION;
use wasmparser::{Encoding, Parser, Payload};

/// The outermost level of a component.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Structure<'a> {
    /// Contents of all manifest sections.
    pub(crate) manifests: Vec<&'a [u8]>,
    /// Names.
    pub(crate) imports: Vec<&'a str>,
    /// Names.
    pub(crate) exports: Vec<&'a str>,
    /// Linear memories that core modules define, at any level.
    pub(crate) memories: u32,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoStructure {
    /// Not WebAssembly.
    NotWasm,
    /// A core module, which is what a compiler makes before it is wrapped.
    CoreModule,
    /// Broken.
    Malformed(String),
}

/// What a component imports and exports, by name; nothing of what is none.
#[must_use]
pub fn interface_of(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let found = read(bytes).unwrap_or_default();
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    (owned(found.imports), owned(found.exports))
}

/// Reads the outermost level.
pub(crate) fn read(bytes: &[u8]) -> Result<Structure<'_>, NoStructure> {
    if !bytes.starts_with(b"\0asm") {
        return Err(NoStructure::NotWasm);
    }
    if Parser::is_core_wasm(bytes) {
        return Err(NoStructure::CoreModule);
    }
    let mut found = Structure::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let malformed = |e: wasmparser::BinaryReaderError| NoStructure::Malformed(e.to_string());
        match payload.map_err(malformed)? {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding == Encoding::Module {
                    return Err(NoStructure::CoreModule);
                }
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 1 && section.name() == SECTION => {
                found.manifests.push(section.data());
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    found.imports.push(import.map_err(malformed)?.name.name);
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    found.exports.push(export.map_err(malformed)?.name.name);
                }
            }
            Payload::MemorySection(section) => {
                found.memories = found.memories.saturating_add(section.count());
            }
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_told_apart() {
        assert_eq!(read(b""), Err(NoStructure::NotWasm));
        assert_eq!(read(b"PK\x03\x04"), Err(NoStructure::NotWasm));
        assert_eq!(read(b"\0asm\x01\0\0\0"), Err(NoStructure::CoreModule));
        assert!(matches!(read(b"\0asm\x0d"), Err(NoStructure::Malformed(_))));
        let empty = read(b"\0asm\x0d\0\x01\0").unwrap();
        assert!(empty.imports.is_empty() && empty.manifests.is_empty());
    }
}
