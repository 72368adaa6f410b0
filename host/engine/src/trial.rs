//! A trial: everything that admission asks of a component, in a process that may end.
//!
//! [`examine`] is a pure function of bytes and [`Terms`]: no file, no clock but the engine's own
//! deadlines, no process. The daemon runs it in a child under the system's limits and talks to it
//! in [`crate::wire`]'s frames; a compiler that eats all memory, or a guest that finds a hole in
//! the sandbox, then takes that child along and nothing else. The rejected alternative, a thread
//! with a deadline, can end neither a compiler nor an allocation.
//!
//! The order is the protection: the compiled code is handed out *before* any of it runs. What a
//! guest may do to the process that tries it, it cannot reach the bytes that the daemon will load.

use crate::admission::AdmissionError;
use crate::canary;
use crate::canary::Rigour;
use crate::engine::{Engine, EngineError};
use crate::module::{Loaded, Source};
use crate::options::{Limits, Options};
use crate::schema;
use serde::{Deserialize, Serialize};
use std::io;
use tidegate_core::frame::Column;
use tidegate_core::ids::{ApiId, Digest};
use wasmtime::component::Component;

/// Raised when admission asks more than it did: code that was kept under fewer questions is
/// examined anew.
pub(crate) const VERSION: u32 = 2;

/// A part of one stored series, for canary calls on what a module will meet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// `tenant/api`.
    pub api: String,
    /// The signal's name.
    pub signal: String,
    /// Start of the first step, in milliseconds since the epoch.
    pub start_ms: i64,
    /// Length of a step, in seconds.
    pub step_s: u32,
    /// One value per step, in the signal's unit; `None` where nothing was measured.
    pub values: Vec<Option<f64>>,
}

impl Sample {
    /// Most values of all samples of one question: they travel in its header.
    pub const MOST: usize = 8_000;

    /// The end of a column, `most` steps at most.
    #[must_use]
    pub fn of(api: &ApiId, column: &Column, most: usize) -> Self {
        let from = column.values.len().saturating_sub(most);
        let finite = |value: &f64| value.is_finite().then_some(*value);
        Self {
            api: api.to_string(),
            signal: column.signal.name().into(),
            start_ms: column.start.plus_steps(column.step, from as i64).0,
            step_s: column.step.secs(),
            values: column.values[from..].iter().map(finite).collect(),
        }
    }
}

/// What a component is examined under.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// What it may be and use.
    pub limits: Limits,
    /// [`Options::memory_max`] of the engine that will run it.
    pub memory_max: usize,
    /// [`Options::stack`] of the engine that will run it.
    pub stack: usize,
    /// Config for the canary calls; `None` makes the smallest that the schema allows.
    pub config: Option<String>,
    /// Series of whoever pushed, for a forecaster.
    pub stored: Vec<Sample>,
}

impl Terms {
    /// Those of an engine with these options.
    #[must_use]
    pub fn new(limits: Limits, options: &Options) -> Self {
        Self {
            limits,
            memory_max: options.memory_max,
            stack: options.stack,
            config: None,
            stored: vec![],
        }
    }
}

/// Native code of one component, as an examination gave it out before running any of it.
///
/// There is no way to make one from bytes but [`crate::wire`], since loading it trusts its maker.
#[derive(Clone, PartialEq, Eq)]
pub struct Artefact(Vec<u8>);

impl std::fmt::Debug for Artefact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Artefact({} bytes)", self.0.len())
    }
}

impl Artefact {
    pub(crate) fn of(code: Vec<u8>) -> Self {
        Self(code)
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len()
    }

    #[expect(
        unsafe_code,
        reason = "wasmtime cannot know where code comes from; the type says it"
    )]
    pub(crate) fn component(&self, engine: &wasmtime::Engine) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` asks that the bytes were made by `Component::serialize` of a
        // compatible wasmtime (which it checks itself) and not changed since. An `Artefact` is
        // made in `wire` alone, from the pipe of a process that the host has started from its own
        // executable for this purpose, out of its first frame after the question: `examine` writes
        // it before the component's code runs for the first time, so nobody but the compiler has
        // had a hand in it.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}

/// What an examination found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// SHA-256 of the component, as hexadecimal digits.
    pub digest: String,
    /// Canary calls that were answered.
    pub calls: u32,
    /// Canary calls that were answered by a typed error, which is lawful.
    pub declined: u32,
    /// Most bytes of memories and tables that a call had.
    pub peak_memory: u64,
}

/// Why an examination ended without passing.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The component may not serve.
    #[error(transparent)]
    Refused(#[from] AdmissionError),
    /// No engine starts here.
    #[error("the component could not be tried")]
    Engine(#[from] EngineError),
    /// The code could not be handed out.
    #[error("the compiled code could not be handed out")]
    Output(#[from] io::Error),
}

/// Asks an admitted module under a config that it is to serve with: a forecaster on stored series, where
/// there are some. In this process and under the module's own limits, as it will serve; that it calls its
/// input invalid counts against the config.
///
/// # Errors
/// The first call that went wrong.
pub fn try_config(loaded: &Loaded, config: &str, stored: &[Sample]) -> Result<(), AdmissionError> {
    canary::sing(&loaded.policy_apart(), config, stored, Rigour::Config).map(|_| ())
}

/// Examines a component: size, structure, imports, manifest, wanted limits, compilation, types,
/// `describe`, and canary calls on synthetic data whose answers must keep the invariants.
/// `compiled` gets the native code before any of it runs.
///
/// # Errors
/// The first thing to change; or that the trial itself was impossible.
pub fn examine(
    bytes: &[u8],
    terms: &Terms,
    compiled: impl FnOnce(&[u8]) -> io::Result<()>,
) -> Result<Passed, TrialError> {
    let engine = Engine::on_demand(Options {
        instances: 1,
        memory_max: terms.memory_max,
        stack: terms.stack,
        ..Options::default()
    })?;
    let (checked, limits) = engine.check(bytes, &terms.limits)?;
    let config = match &terms.config {
        Some(config) => config.clone(),
        None => schema::smallest(&checked.manifest.config_schema),
    };
    schema::check_config(&checked.manifest.config_schema, &config)
        .map_err(AdmissionError::NoConfig)?;
    let component = engine.compile(bytes)?;
    let code = component
        .serialize()
        .map_err(|error| AdmissionError::Invalid(format!("{error:#}")))?;
    compiled(&code)?;
    drop(code);
    let digest = Digest::of(bytes);
    let loaded = engine.load(bytes, digest, checked, limits, &component, Source::Compiled)?;
    let sung = canary::sing(loaded.policy(), &config, &terms.stored, Rigour::Module)?;
    Ok(Passed {
        digest: digest.to_string(),
        calls: sung.calls,
        declined: sung.declined,
        peak_memory: loaded.peak_memory(),
    })
}
