//! Admission: from bytes that anybody sent to a module that may serve.
//!
//! Cheap and safe checks come first: size before anything is parsed, structure before anything is
//! compiled, types before anything runs. Then one canary call, on a fresh instance and under the
//! module's own limits: what `describe` says must be what the manifest says, since everybody else
//! trusts the manifest. Every refusal says what to change.

use crate::adapter::{self, ADAPTERS, Adapter};
use crate::call::Prepared;
use crate::engine::Engine;
use crate::guest::clip;
use crate::manifest::{self, Asked, ManifestError, SECTION};
use crate::module::{Loaded, Source};
use crate::nan;
use crate::options::{CallLimits, Limits};
use crate::schema::{self, SchemaError};
use crate::structure::{self, NoStructure, Structure};
use std::sync::Arc;
use tidegate_core::ids::Digest;
use tidegate_core::module::{Manifest, ModuleKind};
use tidegate_core::policy::CallError;
use wasmtime::component::Component;

/// Longest text of a compiler's or linker's complaint that is repeated, in bytes.
const QUOTE: usize = 600;

/// Why a component may not serve.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AdmissionError {
    /// Too many bytes.
    #[error(
        "the component has {bytes} bytes, at most {most} are admitted; strip debug sections or ask the operator for more"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// Not WebAssembly at all.
    #[error("this is not WebAssembly; push the .wasm that `tidegate policy build` writes")]
    NotWasm,
    /// A core module.
    #[error("this is a core module, not a component; build it with `tidegate policy build`")]
    CoreModule,
    /// Truncated or damaged.
    #[error("the component is damaged: {0}; build it again and push it whole")]
    Malformed(String),
    /// No manifest section.
    #[error(
        "the component has no `{SECTION}` section; build it with `tidegate policy build`, which writes one"
    )]
    NoManifest,
    /// More than one.
    #[error("the component has {0} `{SECTION}` sections, exactly one is allowed; build it again")]
    ManyManifests(usize),
    /// The manifest is wrong.
    #[error("the manifest is wrong: {0}")]
    Manifest(#[from] ManifestError),
    /// The config schema is wrong.
    #[error("the manifest's `config_schema` is wrong: {0}")]
    Schema(SchemaError),
    /// An interface version that this engine does not serve.
    #[error(
        "interface {asked} is not served by this version, only {known}; build against one of these"
    )]
    UnknownInterface {
        /// What the manifest says.
        asked: String,
        /// What is served.
        known: String,
    },
    /// An import outside the allow-list.
    #[error("the component imports `{import}`, but a policy gets only {allowed}: {remedy}")]
    ForbiddenImport {
        /// Which.
        import: String,
        /// What is allowed.
        allowed: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The export of its kind is missing.
    #[error(
        "a component of kind {kind} must export `{export}`, the component exports {found}; use the macro of the SDK for this kind, or correct `kind` in the manifest"
    )]
    MissingExport {
        /// From the manifest.
        kind: ModuleKind,
        /// What it should export.
        export: &'static str,
        /// What it exports.
        found: String,
    },
    /// An export that its kind does not have.
    #[error(
        "a component of kind {kind} exports `{expected}` alone, the component also exports `{export}`; one component serves one kind, so move it to another"
    )]
    ExtraExport {
        /// From the manifest.
        kind: ModuleKind,
        /// What it should export.
        expected: &'static str,
        /// What it exports beside it.
        export: String,
    },
    /// It asks for more than it may have.
    #[error(
        "the manifest asks for {what} = {asked}, at most {most} is granted; lower it or ask the operator for more"
    )]
    LimitTooHigh {
        /// Which limit.
        what: &'static str,
        /// What it asks for.
        asked: u64,
        /// The ceiling.
        most: u64,
    },
    /// wasmtime refused the code.
    #[error(
        "the component is not valid here: {0}; policies may use SIMD, but not threads, relaxed SIMD, several memories or 64-bit memories"
    )]
    Invalid(String),
    /// Functions have other types than the interface.
    #[error(
        "the component does not fit interface {interface}: {detail}; build it against the WIT of that version"
    )]
    WrongTypes {
        /// The version.
        interface: &'static str,
        /// What differs.
        detail: String,
    },
    /// `describe` failed.
    #[error("`describe` gave no answer: {0}; it must answer without input")]
    Canary(CallError),
    /// `describe` says something else than the manifest.
    #[error(
        "`describe` says {what} = `{described}`, the manifest says `{manifest}`; build the component again so that they agree"
    )]
    Disagrees {
        /// Which field.
        what: &'static str,
        /// What the code says.
        described: String,
        /// What the manifest says.
        manifest: String,
    },
}

impl Engine {
    /// Reads a component's manifest and checks all that needs no compilation.
    ///
    /// # Errors
    /// The first thing to change.
    pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Manifest, AdmissionError> {
        inspect(bytes, limits).map(|inspected| inspected.manifest)
    }

    /// Admits a component: checks it, compiles it or takes it from the cache, links it, and calls
    /// `describe` once.
    ///
    /// # Errors
    /// The first thing to change.
    pub fn admit(&self, bytes: &[u8], limits: &Limits) -> Result<Loaded, AdmissionError> {
        let inspected = inspect(bytes, limits)?;
        let Inspected {
            manifest,
            asked,
            adapter,
        } = inspected;
        let limits = self.grant(asked, limits)?;
        let digest = Digest::of(bytes);
        let (component, source) = self.code(bytes, &digest)?;
        let wrong_types = |error: wasmtime::Error| AdmissionError::WrongTypes {
            interface: adapter.version(),
            detail: quote(&format!("{error:#}")),
        };
        let pre = adapter
            .link(&self.shared.wasm, &component)
            .map_err(wrong_types)?;
        let prepared = Arc::new(Prepared {
            shared: self.shared.clone(),
            pre,
            name: manifest.name.as_str().into(),
            limits,
            cancelled: Arc::default(),
            peak: Arc::default(),
        });
        let policy = adapter
            .policy(manifest.kind, prepared.clone())
            .map_err(wrong_types)?;
        let described = adapter
            .describe(manifest.kind, &prepared)
            .map_err(AdmissionError::Canary)?;
        agree(&manifest, &described)?;
        Ok(Loaded {
            digest,
            size: bytes.len() as u64,
            state_format: described.state_format,
            manifest: Arc::new(manifest),
            policy,
            prepared,
            source,
        })
    }

    fn grant(&self, asked: Asked, limits: &Limits) -> Result<CallLimits, AdmissionError> {
        let bound = |what, asked: Option<u64>, default: u64, most: u64| match asked {
            Some(asked) if asked > most => Err(AdmissionError::LimitTooHigh { what, asked, most }),
            Some(asked) => Ok(asked),
            None => Ok(default.min(most)),
        };
        let options = &self.shared.options;
        Ok(CallLimits {
            memory: bound(
                "limits.memory_bytes",
                asked.memory_bytes,
                limits.memory_default,
                limits.memory_max.min(options.memory_max as u64),
            )?,
            deadline_ms: bound(
                "limits.deadline_ms",
                asked.deadline_ms,
                limits.deadline_ms_default,
                limits.deadline_ms_max,
            )?,
            fit_deadline_ms: bound(
                "limits.fit_deadline_ms",
                asked.fit_deadline_ms,
                limits.fit_deadline_ms_default,
                limits.fit_deadline_ms_max,
            )?,
            returned_bytes: limits.returned_bytes,
            log_bytes: limits.log_bytes,
            stack: options.stack,
        })
    }

    fn code(&self, bytes: &[u8], digest: &Digest) -> Result<(Component, Source), AdmissionError> {
        let engine = &self.shared.wasm;
        let cache = self.shared.cache.as_ref();
        if let Some(component) = cache.and_then(|cache| cache.load(engine, digest)) {
            return Ok((component, Source::Cached));
        }
        let rewritten = nan::rewritten(bytes)
            .map_err(|error| AdmissionError::Invalid(quote(&error.to_string())))?;
        let component = Component::from_binary(engine, &rewritten)
            .map_err(|error| AdmissionError::Invalid(quote(&format!("{error:#}"))))?;
        if let Some(cache) = cache {
            cache.store(digest, &component);
        }
        Ok((component, Source::Compiled))
    }
}

struct Inspected {
    manifest: Manifest,
    asked: Asked,
    adapter: &'static dyn Adapter,
}

fn inspect(bytes: &[u8], limits: &Limits) -> Result<Inspected, AdmissionError> {
    if bytes.len() > limits.component_bytes {
        return Err(AdmissionError::TooLarge {
            bytes: bytes.len(),
            most: limits.component_bytes,
        });
    }
    let structure = structure::read(bytes).map_err(|error| match error {
        NoStructure::NotWasm => AdmissionError::NotWasm,
        NoStructure::CoreModule => AdmissionError::CoreModule,
        NoStructure::Malformed(text) => AdmissionError::Malformed(quote(&text)),
    })?;
    let section = match structure.manifests[..] {
        [section] => section,
        [] => {
            // An import that no policy may have explains more than a missing section.
            let newest = ADAPTERS.last().ok_or(AdmissionError::NoManifest)?;
            check_imports(&structure, *newest)?;
            return Err(AdmissionError::NoManifest);
        }
        _ => return Err(AdmissionError::ManyManifests(structure.manifests.len())),
    };
    let (manifest, asked) = manifest::parse(section)?;
    schema::check_schema(&manifest.config_schema).map_err(AdmissionError::Schema)?;
    let adapter = adapter::of(&manifest.interface).ok_or_else(|| {
        let known: Vec<&str> = ADAPTERS.iter().map(|a| a.version()).collect();
        AdmissionError::UnknownInterface {
            asked: manifest.interface.clone(),
            known: known.join(", "),
        }
    })?;
    check_imports(&structure, adapter)?;
    check_exports(&structure, adapter, manifest.kind)?;
    Ok(Inspected {
        manifest,
        asked,
        adapter,
    })
}

fn check_imports(structure: &Structure<'_>, adapter: &dyn Adapter) -> Result<(), AdmissionError> {
    let allowed = adapter.imports();
    let Some(import) = structure.imports.iter().find(|i| !allowed.contains(i)) else {
        return Ok(());
    };
    let remedy = if import.starts_with("wasi:") {
        "a policy is a pure function without clock, files, sockets or randomness. Build it for \
         wasm32-unknown-unknown with `tidegate policy build`, or stub WASI out \
         (componentize-py: --stub-wasi); the time and a seed are in its input"
    } else if import.starts_with("tidegate:policy/") {
        "build it against the interface version that its manifest names"
    } else {
        "remove what needs it, usually a dependency that expects an operating system"
    };
    Err(AdmissionError::ForbiddenImport {
        import: quote(import),
        allowed: allowed.join(" and "),
        remedy,
    })
}

fn check_exports(
    structure: &Structure<'_>,
    adapter: &dyn Adapter,
    kind: ModuleKind,
) -> Result<(), AdmissionError> {
    let expected = adapter.export(kind);
    if !structure.exports.contains(&expected) {
        let found = match structure.exports[..] {
            [] => "nothing".into(),
            ref names => quote(&names.join(", ")),
        };
        return Err(AdmissionError::MissingExport {
            kind,
            export: expected,
            found,
        });
    }
    match structure.exports.iter().find(|e| **e != expected) {
        None => Ok(()),
        Some(export) => Err(AdmissionError::ExtraExport {
            kind,
            expected,
            export: quote(export),
        }),
    }
}

fn agree(manifest: &Manifest, said: &adapter::Description) -> Result<(), AdmissionError> {
    let differs = |what, described: &str, manifest: &str| AdmissionError::Disagrees {
        what,
        described: quote(described),
        manifest: quote(manifest),
    };
    if said.name != manifest.name {
        return Err(differs("name", &said.name, &manifest.name));
    }
    if said.version != manifest.version {
        return Err(differs("version", &said.version, &manifest.version));
    }
    if said.kind != manifest.kind {
        return Err(differs("kind", said.kind.name(), manifest.kind.name()));
    }
    // Formatting and the order of keys are nobody's business.
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let described = if said.config_schema.trim().is_empty() {
        "{}"
    } else {
        &said.config_schema
    };
    if json(described).is_none() || json(described) != json(&manifest.config_schema) {
        return Err(differs("config_schema", described, &manifest.config_schema));
    }
    Ok(())
}

fn quote(text: &str) -> String {
    clip(text, QUOTE).to_owned()
}
