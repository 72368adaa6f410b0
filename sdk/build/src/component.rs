//! From a core module to a component: which world it implements, what it may import, encoding.
//!
//! No WASI adapter is linked. A policy must be a pure function (DESIGN section 6), and an adapter
//! would turn a forgotten clock into an import that only fails at admission, on another person's
//! machine. So every import is checked here, where the author can still see which dependency
//! asked for it. The interface version is taken from the WIT that the bindings generator left in
//! the core module, never from what the author wrote: the two could not disagree unnoticed.

use wasmparser::{Parser, Payload, Validator, WasmFeatures};
use wit_component::ComponentEncoder;

use crate::manifest::{self, Kind, Manifest, ManifestError};

/// Namespace and name of the package whose worlds are policies.
pub const PACKAGE: &str = "tidegate:policy";

/// How the bindings generator names what a library with bindings for several worlds leaves of
/// each: its imports alone. That is no world that the module implements.
const IMPORTS_ONLY: &str = "-with-all-of-its-exports-removed";

/// The world that a core module implements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// What it decides.
    pub kind: Kind,
    /// Version of `tidegate:policy`, for example `0.2.0`.
    pub interface: String,
}

/// Why a core module does not become a component.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The bytes are no core module.
    #[error("not a WebAssembly core module: {0}")]
    NotAModule(String),
    /// No WIT inside.
    #[error(
        "the module implements no WIT world; depend on `tidegate-guest`, and export your policy \
         with its macro in the crate's lib.rs, so that the linker keeps it"
    )]
    NoWorld,
    /// Worlds of other packages.
    #[error(
        "the module implements the world `{0}`, which is not one of {PACKAGE}; a policy implements \
         forecaster, tierer, allocator or judge and nothing else"
    )]
    ForeignWorld(String),
    /// More than one policy.
    #[error(
        "the module implements several worlds ({0}); a component is one policy: split the crate"
    )]
    SeveralWorlds(String),
    /// An import that the host does not give.
    #[error("the module imports `{module}` `{name}`, and a policy gets {PACKAGE} alone: {remedy}")]
    Import {
        /// The import's module or interface.
        module: String,
        /// The import's name.
        name: String,
        /// What to do.
        remedy: String,
    },
    /// The manifest and the code disagree.
    #[error("Cargo.toml says `{field} = {declared}`, the code implements {found}; {remedy}")]
    Disagreement {
        /// Field of the manifest.
        field: &'static str,
        /// What the manifest says.
        declared: String,
        /// What the module holds.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The encoder refused the module.
    #[error("the module does not fit its world")]
    Encode(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The component uses WebAssembly features that the host runs without.
    #[error(
        "the component uses what the host does not run: {0}; build with the target's default \
         features and simd128 alone"
    )]
    Features(String),
    /// The manifest is not right.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Finds the world in the WIT that the bindings left in a core module.
///
/// # Errors
/// The bytes are no module, hold no WIT, or hold anything but one world of `tidegate:policy`.
pub fn world(core_wasm: &[u8]) -> Result<World, EncodeError> {
    let (stripped, bindings) = wit_component::metadata::decode(core_wasm)
        .map_err(|e| EncodeError::NotAModule(format!("{e:#}")))?;
    if stripped.is_none() {
        return Err(EncodeError::NoWorld);
    }
    let mut found = Vec::new();
    for (_, world) in bindings.resolve.worlds.iter() {
        let Some(package) = world.package else {
            continue;
        };
        let package = &bindings.resolve.packages[package].name;
        let owner = format!("{}:{}", package.namespace, package.name);
        // The decoder merges everything into a world of its own by this name.
        if owner == "root:root" || (owner == PACKAGE && world.name.ends_with(IMPORTS_ONLY)) {
            continue;
        }
        let version = package.version.as_ref().map(ToString::to_string);
        match (owner == PACKAGE, Kind::parse(&world.name), version) {
            (true, Some(kind), Some(interface)) => found.push(World { kind, interface }),
            _ => return Err(EncodeError::ForeignWorld(format!("{owner}/{}", world.name))),
        }
    }
    only(&found)
}

/// Encodes a core module as a component with its manifest, and validates the result.
///
/// # Errors
/// See [`EncodeError`]; every variant says what to change.
pub fn encode(core_wasm: &[u8], manifest: &Manifest) -> Result<Vec<u8>, EncodeError> {
    // Imports first: a module that imports WASI often also lacks a world, and the import is what
    // the author needs to hear of.
    check_core_imports(core_wasm)?;
    let world = world(core_wasm)?;
    agree(&world, manifest)?;
    if world.interface != manifest.interface {
        return Err(EncodeError::Disagreement {
            field: "interface",
            declared: manifest.interface.clone(),
            found: format!("{PACKAGE}@{}", world.interface),
            remedy: "take the version from `component::world`",
        });
    }
    let mut component = ComponentEncoder::default()
        .module(core_wasm)
        .and_then(|encoder| encoder.validate(false).encode())
        .map_err(|e| EncodeError::Encode(e.into()))?;
    check_component_imports(&component)?;
    seal(&mut component, manifest)?;
    Ok(component)
}

/// The manifest's kind must be that of the code.
fn agree(world: &World, manifest: &Manifest) -> Result<(), EncodeError> {
    if world.kind == manifest.kind {
        return Ok(());
    }
    Err(EncodeError::Disagreement {
        field: "kind",
        declared: manifest.kind.to_string(),
        found: format!("the world `{}`", world.kind),
        remedy: "correct the declaration ([package.metadata.tidegate] of a crate), or export the \
                 other world",
    })
}

/// Appends the manifest and validates what has become of the component.
fn seal(component: &mut Vec<u8>, manifest: &Manifest) -> Result<(), EncodeError> {
    manifest::append(component, manifest)?;
    Validator::new_with_features(host_features())
        .validate_all(component)
        .map_err(|e| EncodeError::Features(e.to_string()))?;
    Ok(())
}

/// Makes a policy of a component that another language's tools have encoded: finds the world in its
/// exports, checks what it imports, and appends the manifest, whose `interface` is what was found.
///
/// # Errors
/// See [`EncodeError`]; every variant says what to change.
pub fn wrap(component: &[u8], manifest: &Manifest) -> Result<Vec<u8>, EncodeError> {
    check_component_imports(component)?;
    let world = exported(component)?;
    agree(&world, manifest)?;
    let manifest = Manifest {
        interface: world.interface,
        ..manifest.clone()
    };
    let mut wrapped = component.to_vec();
    seal(&mut wrapped, &manifest)?;
    Ok(wrapped)
}

/// The world whose interface a component exports.
fn exported(component: &[u8]) -> Result<World, EncodeError> {
    let bad = |e: wasmparser::BinaryReaderError| EncodeError::NotAModule(e.to_string());
    let mut found = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(bad)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    let name = export.map_err(bad)?.name.name.to_owned();
                    found.extend(world_of(&name));
                }
            }
            _ => {}
        }
    }
    only(&found)
}

/// A component is one policy.
fn only(found: &[World]) -> Result<World, EncodeError> {
    match found {
        [] => Err(EncodeError::NoWorld),
        [one] => Ok(one.clone()),
        more => {
            let names: Vec<_> = more.iter().map(|world| world.kind.name()).collect();
            Err(EncodeError::SeveralWorlds(names.join(", ")))
        }
    }
}

/// The world that exports an interface, `tidegate:policy/forecasting@0.2.0` for example.
fn world_of(export: &str) -> Option<World> {
    let interface = export.strip_prefix(PACKAGE)?.strip_prefix('/')?;
    let (name, version) = interface.split_once('@')?;
    let kind = match name {
        "forecasting" => Kind::Forecaster,
        "tiering" => Kind::Tierer,
        "allocation" => Kind::Allocator,
        "judging" => Kind::Judge,
        _ => return None,
    };
    Some(World {
        kind,
        interface: version.to_owned(),
    })
}

/// What the host runs: the standard, less what would make results depend on the machine or the
/// moment (relaxed SIMD, threads) and what it does not need (several memories, 64-bit ones).
fn host_features() -> WasmFeatures {
    WasmFeatures::default()
        - WasmFeatures::RELAXED_SIMD
        - WasmFeatures::THREADS
        - WasmFeatures::MULTI_MEMORY
        - WasmFeatures::MEMORY64
}

fn check_core_imports(core_wasm: &[u8]) -> Result<(), EncodeError> {
    let bad = |e: wasmparser::BinaryReaderError| EncodeError::NotAModule(e.to_string());
    for payload in Parser::new(0).parse_all(core_wasm) {
        let Payload::ImportSection(imports) = payload.map_err(bad)? else {
            continue;
        };
        for import in imports.into_imports() {
            let import = import.map_err(bad)?;
            if !is_ours(import.module) {
                return Err(EncodeError::Import {
                    module: import.module.to_owned(),
                    name: import.name.to_owned(),
                    remedy: remedy(import.module, import.name),
                });
            }
        }
    }
    Ok(())
}

/// The component's own imports: one more look, at what admission will see.
fn check_component_imports(component: &[u8]) -> Result<(), EncodeError> {
    let bad = |e: wasmparser::BinaryReaderError| EncodeError::NotAModule(e.to_string());
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(bad)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    let name = import.map_err(bad)?.name.name.to_owned();
                    if !is_ours(&name) {
                        let remedy = remedy(&name, "");
                        return Err(EncodeError::Import {
                            module: name,
                            name: "(interface)".to_owned(),
                            remedy,
                        });
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether an import names an interface of our package; both manglings of core imports are known.
fn is_ours(module: &str) -> bool {
    let module = module.strip_prefix("cm32p2|").unwrap_or(module);
    module
        .strip_prefix(PACKAGE)
        .is_some_and(|rest| rest.starts_with('/'))
}

fn remedy(module: &str, name: &str) -> String {
    if module.starts_with("wasi") {
        return "a dependency asks for a clock, files or randomness; build for \
                wasm32-unknown-unknown, find it with `cargo tree`, and turn that feature off (time \
                and seeds are inputs of a policy); componentize-py leaves them out with --stub-wasi"
            .to_owned();
    }
    if module.starts_with("__wbindgen") || name.starts_with("__wbindgen") {
        return "a dependency expects a browser; find it with `cargo tree --target \
                wasm32-unknown-unknown -i wasm-bindgen` and turn off its `js` or `wasm-bindgen` \
                feature"
            .to_owned();
    }
    if module == "env" {
        return format!(
            "nothing linked defines `{name}`; it is declared `extern \"C\"` in a dependency that \
             expects a C library: turn off the feature that needs it, or take a pure Rust crate"
        );
    }
    "remove the dependency that asks for it (`cargo tree` shows them), or turn off its feature"
        .to_owned()
}
