//! Admission: from bytes that anybody sent to a module that may serve.
//!
//! Cheap and safe checks come first: size before anything is parsed, structure before anything is
//! compiled, types before anything runs. Then one canary call, on a fresh instance and under the
//! module's own limits: what `describe` says must be what the manifest says, since everybody else
//! trusts the manifest. Every refusal says what to change.

mod error;

pub use error::AdmissionError;

use crate::adapter::{self, Adapter};
use crate::call::Prepared;
use crate::engine::{Engine, MEMORIES, TABLES};
use crate::gate::Busy;
use crate::guest::clip;
use crate::manifest::{self, Asked};
use crate::module::{Loaded, Source};
use crate::nan;
use crate::options::{CallLimits, Limits};
use crate::schema;
use crate::structure::{self, NoStructure, Structure};
use crate::trial::Artefact;
use crate::warm::Warm;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tidegate_core::ids::Digest;
use tidegate_core::module::{Manifest, ModuleKind};
use wasmtime::component::Component;

/// Longest text of a compiler's or linker's complaint that is repeated, in bytes.
const QUOTE: usize = 600;

impl Engine {
    /// Reads a component's manifest and checks all that needs no compilation.
    ///
    /// # Errors
    /// The first thing to change.
    pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Manifest, AdmissionError> {
        inspect(bytes, limits).map(|inspected| inspected.manifest)
    }

    /// Admits a component in this process: checks it, takes its code from the cache or compiles
    /// it, links it, and calls `describe` once. For code that one trusts, or a process that may
    /// end: a daemon has strangers' components tried by [`crate::examine`] first.
    ///
    /// # Errors
    /// The first thing to change.
    pub fn admit(&self, bytes: &[u8], limits: &Limits) -> Result<Loaded, AdmissionError> {
        let (checked, limits) = self.check(bytes, limits)?;
        let digest = Digest::of(bytes);
        if let Some(component) = self.cached(&digest) {
            return self.load(bytes, digest, checked, limits, &component, Source::Cached);
        }
        let component = self.compile(bytes)?;
        let loaded = self.load(bytes, digest, checked, limits, &component, Source::Compiled)?;
        self.keep(&digest, &component);
        Ok(loaded)
    }

    /// Admits a component that was admitted by such an engine before and whose code is in the
    /// cache; `None` where it is not.
    ///
    /// # Errors
    /// The first thing to change; the limits may be narrower than they were.
    pub fn admit_kept(
        &self,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<Loaded>, AdmissionError> {
        let digest = Digest::of(bytes);
        let Some(component) = self.cached(&digest) else {
            return Ok(None);
        };
        let (checked, limits) = self.check(bytes, limits)?;
        self.load(bytes, digest, checked, limits, &component, Source::Cached)
            .map(Some)
    }

    /// Admits a component that a worker has examined and compiled.
    ///
    /// # Errors
    /// The first thing to change.
    pub fn admit_examined(
        &self,
        bytes: &[u8],
        limits: &Limits,
        artefact: &Artefact,
    ) -> Result<Loaded, AdmissionError> {
        let (checked, limits) = self.check(bytes, limits)?;
        let digest = Digest::of(bytes);
        let component = artefact
            .component(&self.shared.wasm)
            .map_err(|error| AdmissionError::Invalid(quote(&format!("{error:#}"))))?;
        let loaded = self.load(bytes, digest, checked, limits, &component, Source::Compiled)?;
        self.keep(&digest, &component);
        Ok(loaded)
    }

    /// Whether a component that was admitted fits these limits too.
    ///
    /// # Errors
    /// The first thing to change.
    pub fn fits(&self, bytes: &[u8], limits: &Limits) -> Result<(), AdmissionError> {
        self.check(bytes, limits).map(|_| ())
    }

    /// All that needs no code.
    pub(crate) fn check(
        &self,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<(Inspected, CallLimits), AdmissionError> {
        let inspected = inspect(bytes, limits)?;
        let limits = self.grant(inspected.asked, limits)?;
        Ok((inspected, limits))
    }

    /// Links the code of a checked component and asks what it is.
    pub(crate) fn load(
        &self,
        bytes: &[u8],
        digest: Digest,
        checked: Inspected,
        limits: CallLimits,
        component: &Component,
        source: Source,
    ) -> Result<Loaded, AdmissionError> {
        let Inspected {
            manifest,
            asked,
            adapter,
        } = checked;
        check_parts(component)?;
        let wrong_types = |error: wasmtime::Error| AdmissionError::WrongTypes {
            interface: adapter.version(),
            detail: quote(&format!("{error:#}")),
        };
        let pre = adapter
            .link(&self.shared.wasm, component)
            .map_err(wrong_types)?;
        let prepared = Arc::new(Prepared {
            shared: self.shared.clone(),
            pre,
            name: manifest.name.as_str().into(),
            limits,
            busy: Arc::default(),
            own: Busy::default(),
            warm: asked
                .warm
                .then(|| Arc::new(Warm::new(self.shared.warm.clone(), &digest.0))),
            cancelled: Arc::default(),
            peak: Arc::default(),
        });
        let policy = adapter
            .policy(manifest.kind, prepared.clone())
            .map_err(wrong_types)?;
        let described = adapter
            .describe(manifest.kind, &prepared)
            .map_err(AdmissionError::Describe)?;
        agree(&manifest, &described)?;
        Ok(Loaded {
            digest,
            size: bytes.len() as u64,
            state_format: described.state_format,
            manifest: Arc::new(manifest),
            policy,
            prepared,
            adapter,
            source,
        })
    }

    fn cached(&self, digest: &Digest) -> Option<Component> {
        let cache = self.shared.cache.as_ref()?;
        cache.load(&self.shared.wasm, digest)
    }

    /// Kept only once all else has passed: what is in the cache was admitted.
    fn keep(&self, digest: &Digest, component: &Component) {
        if let Some(cache) = &self.shared.cache {
            cache.store(digest, component);
        }
    }

    /// Native code for a component.
    pub(crate) fn compile(&self, bytes: &[u8]) -> Result<Component, AdmissionError> {
        let rewritten = nan::rewritten(bytes)
            .map_err(|error| AdmissionError::Invalid(quote(&error.to_string())))?;
        // The compiler has panics for what it thinks cannot be; one was met, and a stranger may know more.
        let compiled = std::panic::catch_unwind(AssertUnwindSafe(|| {
            Component::from_binary(&self.shared.wasm, &rewritten)
        }));
        match compiled {
            Ok(compiled) => {
                compiled.map_err(|error| AdmissionError::Invalid(quote(&format!("{error:#}"))))
            }
            Err(_) => Err(AdmissionError::Invalid("the compiler gave up on it".into())),
        }
    }

    fn grant(&self, asked: Asked, limits: &Limits) -> Result<CallLimits, AdmissionError> {
        let bound = |what, asked: Option<u64>, default: u64, most: u64| match asked {
            Some(asked) if asked > most => Err(AdmissionError::LimitTooHigh { what, asked, most }),
            Some(asked) => Ok(asked),
            None => Ok(default.min(most)),
        };
        let options = &self.shared.options;
        let memory = bound(
            "limits.memory_bytes",
            asked.memory_bytes,
            limits.memory_default,
            limits.memory_max.min(options.memory_max as u64),
        )?;
        let together = limits.memory_of_module / memory.max(1);
        let fit = u32::try_from(together).unwrap_or(u32::MAX);
        Ok(CallLimits {
            memory,
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
            concurrency: limits.concurrency.min(fit).max(1),
            concurrency_of_binding: limits.concurrency_of_binding.max(1),
        })
    }
}

/// A component whose outside is right.
pub(crate) struct Inspected {
    pub(crate) manifest: Manifest,
    asked: Asked,
    adapter: &'static dyn Adapter,
}

/// What one instance takes of the pool is bounded, or one module's calls could starve the others.
fn check_parts(component: &Component) -> Result<(), AdmissionError> {
    // `None`: modules are given to it from outside, which the allow-list of imports excludes.
    let Some(needs) = component.resources_required() else {
        return Ok(());
    };
    at_most("linear memories", needs.num_memories, MEMORIES)?;
    at_most("tables", needs.num_tables, TABLES)
}

fn at_most(what: &'static str, have: u32, most: u32) -> Result<(), AdmissionError> {
    if have > most {
        return Err(AdmissionError::TooManyParts { what, have, most });
    }
    Ok(())
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
            check_imports(&structure, adapter::newest())?;
            return Err(AdmissionError::NoManifest);
        }
        _ => return Err(AdmissionError::ManyManifests(structure.manifests.len())),
    };
    let (manifest, asked) = manifest::parse(section)?;
    schema::check_schema(&manifest.config_schema).map_err(AdmissionError::Schema)?;
    let adapter =
        adapter::of(&manifest.interface).ok_or_else(|| unknown_interface(&manifest.interface))?;
    check_imports(&structure, adapter)?;
    check_exports(&structure, adapter, manifest.kind)?;
    at_most("linear memories", structure.memories, MEMORIES)?;
    Ok(Inspected {
        manifest,
        asked,
        adapter,
    })
}

fn unknown_interface(asked: &str) -> AdmissionError {
    let (why, remedy) = if adapter::is_later(asked) {
        (
            "is newer than this daemon",
            "update the daemon, or build the component with the SDK of this one (`tidegate policy new` writes it out)",
        )
    } else {
        (
            "is not known here",
            "build the component with the SDK of this daemon (`tidegate policy new` writes it out)",
        )
    };
    AdmissionError::UnknownInterface {
        asked: quote(asked),
        why,
        known: adapter::served(),
        remedy,
    }
}

fn check_imports(structure: &Structure<'_>, adapter: &dyn Adapter) -> Result<(), AdmissionError> {
    let allowed = adapter.imports();
    let Some(import) = structure.imports.iter().find(|i| !allowed.contains(i)) else {
        return Ok(());
    };
    let remedy = if import.starts_with("wasi:") {
        "a policy is a pure function without clock, files, sockets or randomness. Build it for \
         wasm32-unknown-unknown with `tidegate policy build`, or stub WASI out (componentize-py: \
         --stub-wasi, jco: --disable all); time and seed are in its input"
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
    // A component of another version than the manifest says, before one of another kind.
    let of_another = |export: &&&str| {
        adapter::version_of(export).is_some_and(|version| version != adapter.version())
    };
    if let Some(export) = structure.exports.iter().find(of_another) {
        return Err(AdmissionError::OtherInterface {
            manifest: adapter.version().to_owned(),
            export: quote(export),
        });
    }
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
    // What is none of our interfaces nobody calls: componentize-py, for one, leaves an instance there.
    let ours = |export: &str| export.starts_with("tidegate:policy/") && export != expected;
    match structure.exports.iter().find(|e| ours(e)) {
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
