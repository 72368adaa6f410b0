//! Does a component keep the promises of its interface?
//!
//! Admission looks at a module's form, and that `describe` agrees with its manifest; this looks at its behaviour: that it is a pure function,
//! that a batch is no more than its series, that it tells its own states from foreign ones, that a
//! wrong key in its config is named, and that its answers pass the very invariants that the host
//! will hold them to ([`tidegate_core::invariant`]). A library, because `tidegate policy test` runs
//! it on an author's component and our own tests on the shipped ones; what a *good* forecast or a
//! *fair* share would be is no question for it.
//!
//! Everything asked is made from fixed seeds, so two runs say the same. Absent: recorded data,
//! timing, a second implementation of any policy.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let report = tidegate_conformance::check(&std::fs::read("ets.wasm")?)?;
//! assert!(report.passed(), "{report}");
//! # Ok(())
//! # }
//! ```

mod report;

pub mod pools;
pub mod samples;

mod allocator;
mod forecaster;
mod judge;
mod tierer;

pub use report::{Case, Outcome, Report};

use report::Cases;
use tidegate_core::policy::{CallError, PolicyError};
use tidegate_engine::{AdmissionError, Engine, EngineError, Limits, Loaded, Options, Policy};

/// A config key that no module has.
const STRANGE_KEY: &str = "no_such_key";

/// A state's format number that no module has reached.
const FOREIGN_FORMAT: u32 = 4_000_000_000;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The engine does not start on this machine.
    #[error("the engine cannot start")]
    Engine(#[from] EngineError),
    /// The component would not be admitted at all; the source says what to change.
    #[error("the component is not admitted")]
    Admission(#[from] AdmissionError),
}

/// Checks a component with its default config.
///
/// # Errors
/// [`CheckError`], when it is not admitted or no engine starts. What it does wrong is in the report.
pub fn check(component: &[u8]) -> Result<Report, CheckError> {
    check_with(component, "{}")
}

/// Checks a component under a config, for modules that need one.
///
/// # Errors
/// As [`check`].
pub fn check_with(component: &[u8], config: &str) -> Result<Report, CheckError> {
    let options = Options {
        instances: 4,
        ..Options::default()
    };
    let loaded = Engine::new(options)?.admit(component, &Limits::default())?;
    Ok(check_loaded(&loaded, config))
}

/// Checks a module that an engine has admitted.
#[must_use]
pub fn check_loaded(loaded: &Loaded, config: &str) -> Report {
    let mut cases = Cases::default();
    let strict = refuses_unknown_keys(&loaded.manifest().config_schema);
    let asked = Asked {
        config,
        strict,
        format: loaded.state_format(),
    };
    match loaded.policy() {
        Policy::Forecaster(policy) => forecaster::check(&mut cases, policy.as_ref(), asked),
        Policy::Tierer(policy) => tierer::check(&mut cases, policy.as_ref(), asked),
        Policy::Allocator(policy) => allocator::check(&mut cases, policy.as_ref(), asked),
        Policy::Judge(policy) => judge::check(&mut cases, policy.as_ref(), asked),
    }
    Report {
        module: loaded.module_ref(),
        kind: loaded.manifest().kind,
        cases: cases.done(),
    }
}

/// What the cases need to know of a module beside its policy.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    /// The config to check it under.
    config: &'a str,
    /// Whether its schema refuses unknown keys.
    strict: bool,
    /// The format number of its states, as `describe` tells it.
    format: u32,
}

/// The name of the case for [`Asked::format`].
const FORMAT: &str = "states bear the format number that `describe` tells";

fn check_format(cases: &mut Cases, asked: Asked<'_>, written: u32) {
    cases.run(FORMAT, || {
        let told = asked.format;
        ensure(written == told, || {
            format!("a state has {written}, `describe` says {told}")
        })
    });
}

/// Whether the schema says that other keys than its own are wrong.
fn refuses_unknown_keys(schema: &str) -> bool {
    let schema: Result<serde_json::Value, _> = serde_json::from_str(schema);
    schema.is_ok_and(|schema| schema["additionalProperties"] == serde_json::Value::Bool(false))
}

/// What the cases of all kinds ask of a wrong config. `call` makes a call with that config.
fn check_configs<T>(
    cases: &mut Cases,
    asked: Asked<'_>,
    call: impl Fn(&str) -> Result<T, CallError>,
) {
    let name = "a config key that it does not have is refused by name";
    if asked.strict {
        cases.run(name, || {
            let text = refused(
                call(&format!("{{\"{STRANGE_KEY}\": 1}}")),
                is_invalid,
                "invalid-input",
            )?;
            match text.contains(STRANGE_KEY) {
                true => Ok(()),
                false => Err(format!("the error does not name `{STRANGE_KEY}`: {text}")),
            }
        });
    } else {
        cases.skip(name, "its config schema allows other keys");
    }
    cases.run("a config that is no JSON object is refused", || {
        for config in ["", "nonsense", "[]", "null", "{} {}"] {
            refused(call(config), is_invalid, "invalid-input")
                .map_err(|problem| format!("config `{config}`: {problem}"))?;
        }
        Ok(())
    });
}

/// The text of the error of this kind that a call must end with.
fn refused<T>(
    outcome: Result<T, CallError>,
    right: fn(&PolicyError) -> bool,
    wanted: &str,
) -> Result<String, String> {
    match outcome {
        Err(CallError::Policy(error)) if right(&error) => Ok(error.to_string()),
        Err(error) => Err(format!("{wanted} was due, but: {error}")),
        Ok(_) => Err(format!("{wanted} was due, but it answered")),
    }
}

fn is_invalid(error: &PolicyError) -> bool {
    matches!(error, PolicyError::InvalidInput(_))
}

fn is_not_fitted(error: &PolicyError) -> bool {
    matches!(error, PolicyError::NotFitted(_))
}

fn is_unsupported(error: &PolicyError) -> bool {
    matches!(error, PolicyError::Unsupported(_))
}

/// What a call answered, in words where it did not.
fn answered<T>(outcome: Result<T, CallError>) -> Result<T, String> {
    outcome.map_err(|error| error.to_string())
}

/// Fails with a text where it does not hold.
fn ensure(holds: bool, text: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(text()) }
}

/// Whether two columns are the same to the last bit.
#[must_use]
pub fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}
