//! Guests that misbehave, written by hand.
//!
//! A hostile guest must do exactly one thing wrong, down to the byte, which no compiler promises.
//! So each is a core module in the text format, with the bodies of its exported functions given by
//! the test, wrapped by wit-component like any plugin. The signatures come from the frozen folder of
//! their interface version, so the guests follow it; the bodies know the canonical ABI's layout of its records, and a
//! change of the WIT shows as a failed test.

mod ask;
pub mod bomb;
mod text;

pub use ask::{frames, horizon, roster_of, states};
pub use text::{BODY_OK, DEEP, GROW, GROW_TABLE, LOOP, answer};

use anyhow::{Context as _, Result, anyhow};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use tidegate_core::module::ModuleKind;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Resolve, WorldItem};

/// The interface version that guests are built for unless a test says otherwise.
pub const INTERFACE: &str = "0.2.0";

/// A guest to be built. Starts out well behaved.
#[derive(Debug, Clone)]
pub struct Guest {
    /// What `describe` says.
    described: Identity,
    /// What the manifest says, before `manifest` edits.
    manifest: serde_json::Value,
    /// Which world the component is encoded for.
    world: ModuleKind,
    /// Which interface version it is built for.
    interface: String,
    bodies: BTreeMap<String, String>,
    extra: String,
    pages: u32,
    stamp: f64,
}

#[derive(Debug, Clone)]
struct Identity {
    name: String,
    version: String,
    kind: ModuleKind,
    schema: String,
}

impl Guest {
    /// A well-behaved guest of a kind.
    #[must_use]
    pub fn new(kind: ModuleKind, name: &str) -> Self {
        let schema = r#"{"type":"object","properties":{"gain":{"type":"number"}}}"#;
        Self {
            described: Identity {
                name: name.into(),
                version: "1.0.0".into(),
                kind,
                schema: schema.into(),
            },
            manifest: serde_json::json!({
                "name": name,
                "version": "1.0.0",
                "kind": kind.name(),
                "interface": INTERFACE,
                "config_schema": serde_json::from_str::<serde_json::Value>(schema)
                    .unwrap_or_default(),
                "description": "A guest of the hostile tests.",
            }),
            world: kind,
            interface: INTERFACE.into(),
            bodies: BTreeMap::new(),
            extra: String::new(),
            pages: 2,
            stamp: 1.0,
        }
    }

    /// A well-behaved forecaster: its mean is its stamp, its quantiles rise by one per level.
    #[must_use]
    pub fn forecaster(name: &str) -> Self {
        Self::new(ModuleKind::Forecaster, name)
    }

    /// Every number that it answers begins with this, and its states' format is it.
    #[must_use]
    pub fn stamp(mut self, stamp: u32) -> Self {
        self.stamp = f64::from(stamp);
        self
    }

    /// Builds it for another interface version, and has the manifest say so.
    #[must_use]
    pub fn interface(mut self, version: &str) -> Self {
        self.interface = version.into();
        self.manifest("interface", version.into())
    }

    /// What `describe` says of the version, and the manifest.
    #[must_use]
    pub fn version(self, version: &str) -> Self {
        self.describes("version", version)
            .manifest("version", version.into())
    }

    /// Replaces the body of an exported function.
    #[must_use]
    pub fn body(mut self, function: &str, body: &str) -> Self {
        self.bodies.insert(function.into(), body.into());
        self
    }

    /// Adds definitions to the core module.
    #[must_use]
    pub fn extra(mut self, text: &str) -> Self {
        self.extra.push_str(text);
        self
    }

    /// Initial memory, in pages of 64 KiB.
    #[must_use]
    pub fn pages(mut self, pages: u32) -> Self {
        self.pages = pages;
        self
    }

    /// Sets a key of the manifest; null removes it.
    #[must_use]
    pub fn manifest(mut self, key: &str, value: serde_json::Value) -> Self {
        if let Some(manifest) = self.manifest.as_object_mut() {
            if value.is_null() {
                manifest.remove(key);
            } else {
                manifest.insert(key.into(), value);
            }
        }
        self
    }

    /// Changes what `describe` says, without the manifest.
    #[must_use]
    pub fn describes(mut self, key: &str, value: &str) -> Self {
        match key {
            "name" => self.described.name = value.into(),
            "version" => self.described.version = value.into(),
            "kind" => {
                self.described.kind = ModuleKind::parse(value).unwrap_or(self.described.kind);
            }
            _ => self.described.schema = value.into(),
        }
        self
    }

    /// Encodes it for another kind's world than the manifest says.
    #[must_use]
    pub fn world(mut self, kind: ModuleKind) -> Self {
        self.world = kind;
        self
    }

    /// The core module, not yet a component.
    ///
    /// # Errors
    /// When the text is wrong.
    pub fn core(&self) -> Result<Vec<u8>> {
        let (resolve, world) = interface(self.world, &self.interface)?;
        let text = self.text(&resolve, world)?;
        let mut wasm = wat::parse_str(&text).with_context(|| text.clone())?;
        embed_component_metadata(&mut wasm, &resolve, world, StringEncoding::UTF8)?;
        Ok(wasm)
    }

    /// The component with its manifest.
    ///
    /// # Errors
    /// When the text is wrong or does not fit the interface.
    pub fn build(&self) -> Result<Vec<u8>> {
        let mut component = self.bare()?;
        append_section(&mut component, self.manifest.to_string().as_bytes());
        Ok(component)
    }

    /// The component without a manifest.
    ///
    /// # Errors
    /// As [`Guest::build`].
    pub fn bare(&self) -> Result<Vec<u8>> {
        ComponentEncoder::default()
            .module(&self.core()?)?
            .validate(true)
            .encode()
    }

    fn text(&self, resolve: &Resolve, world: wit_parser::WorldId) -> Result<String> {
        let mut functions = String::new();
        for (key, item) in &resolve.worlds[world].exports {
            let WorldItem::Interface { id, .. } = item else {
                continue;
            };
            let interface = resolve.name_world_key(key);
            for (name, function) in &resolve.interfaces[*id].functions {
                let signature = resolve.wasm_signature(AbiVariant::GuestExport, function);
                let body = match (self.bodies.get(name), name.as_str()) {
                    (Some(body), _) => body.clone(),
                    (None, "describe") => format!("(i32.const {})", text::DESCRIPTION),
                    (None, _) => answer(self.world, name),
                };
                writeln!(
                    functions,
                    "(func (export \"{interface}#{name}\") {} {} {} {body})",
                    typed("param", &signature.params),
                    typed("result", &signature.results),
                    text::LOCALS,
                )?;
            }
        }
        let Self { pages, stamp, .. } = self;
        let described = &self.described;
        let data = text::description(
            &described.name,
            &described.version,
            described.kind,
            &described.schema,
        );
        Ok(format!(
            "(module (import \"tidegate:policy/host@{}\" \"log\" \
               (func $log (param i32 i32 i32)))
             (memory (export \"memory\") {pages})
             (global $stamp f64 (f64.const {stamp}))
             {} {data} {} {functions})",
            self.interface,
            text::PRELUDE,
            self.extra
        ))
    }
}

fn typed(what: &str, types: &[WasmType]) -> String {
    if types.is_empty() {
        return String::new();
    }
    let names = types.iter().map(|t| match t {
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
    });
    format!("({what} {})", names.collect::<Vec<_>>().join(" "))
}

fn interface(kind: ModuleKind, version: &str) -> Result<(Resolve, wit_parser::WorldId)> {
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    // 0.1 was called `0.1.0-next` before it was frozen; components of that name differ in it alone.
    let (folder, renamed) = match version {
        "0.1.0-next" => ("0.1", true),
        _ => (version.trim_end_matches(".0"), false),
    };
    let package = if renamed {
        let mut text = String::new();
        let mut files: Vec<_> = std::fs::read_dir(wit.join(folder))?.collect::<Result<_, _>>()?;
        files.sort_by_key(|file| file.file_name() != "types.wit");
        for file in files {
            text += &std::fs::read_to_string(file.path())?;
        }
        let text = text.replace("tidegate:policy@0.1.0;", "tidegate:policy@0.1.0-next;");
        resolve.push_str("next.wit", &text)?
    } else {
        resolve.push_dir(wit.join(folder))?.0
    };
    let world = resolve
        .select_world(&[package], Some(kind.name()))
        .map_err(|error| anyhow!("no world {kind}: {error}"))?;
    Ok((resolve, world))
}

/// Appends a manifest section with any content.
pub fn append_section(component: &mut Vec<u8>, content: &[u8]) {
    use wasm_encoder::{Encode as _, Section as _};
    let section = wasm_encoder::CustomSection {
        name: tidegate_engine::MANIFEST_SECTION.into(),
        data: content.into(),
    };
    component.push(section.id());
    section.encode(component);
}
