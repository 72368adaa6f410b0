//! Canary calls: the first questions that a module is asked, before anybody depends on it.
//!
//! The data is synthetic, small and fixed: what every module of a kind meets in its first hour (a
//! daily wave, gaps, zeros, a step; an empty state, a scarce pool, a new api). An answer must keep
//! the numbered invariants, be the same when asked again, and not depend on the batch. A typed
//! error is lawful, since a module may need a year of data; a trap, an overrun or a broken
//! invariant is not. How *good* an answer is belongs to the backtest gate, and thoroughness to the
//! conformance suite: a canary has to be over before its sender loses patience.
//!
//! A forecaster is asked on stored series as well, where the host has some of whoever pushed: gaps,
//! units and steps that no synthetic wave has. And under the config of a binding ([`Rigour::Config`]) before
//! it serves it: a schema cannot say that two numbers do not go together, the module can.

mod forecaster;
mod past;
mod questions;
mod shares;

use crate::admission::AdmissionError;
use crate::module::Policy;
use crate::trial::Sample;
use past::Past;
use tidegate_core::policy::{CallError, PolicyError};

/// What counts as a failure beside traps, limits and broken invariants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Rigour {
    /// Nothing: the module was given any config, and may need what a first day does not have.
    #[default]
    Module,
    /// That it calls its first question invalid: only the config is a person's, so it is meant.
    Config,
}

/// Whether a typed error is a refusal of the config.
fn says_no(rigour: Rigour, error: &PolicyError) -> bool {
    rigour == Rigour::Config
        && matches!(
            error,
            PolicyError::InvalidInput(_) | PolicyError::Internal(_)
        )
}

/// What came of the calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sung {
    rigour: Rigour,
    /// Calls that were answered.
    pub(crate) calls: u32,
    /// Calls that were answered with a typed error.
    pub(crate) declined: u32,
}

/// Asks a policy of any kind; a forecaster on what is stored too. Where a config is tried, what is stored
/// suffices.
///
/// # Errors
/// The first call that went wrong.
pub(crate) fn sing(
    policy: &Policy,
    config: &str,
    stored: &[Sample],
    rigour: Rigour,
) -> Result<Sung, AdmissionError> {
    let mut sung = Sung {
        rigour,
        ..Sung::default()
    };
    match policy {
        Policy::Forecaster(policy) => {
            let stored = Past::stored(stored);
            if rigour == Rigour::Module || stored.is_none() {
                forecaster::sing(policy.as_ref(), config, &Past::synthetic(), &mut sung)?;
            }
            if let Some(past) = stored {
                forecaster::sing(policy.as_ref(), config, &past, &mut sung)?;
            }
        }
        Policy::Tierer(policy) => shares::tierer(policy.as_ref(), config, &mut sung)?,
        Policy::Allocator(policy) => shares::allocator(policy.as_ref(), config, &mut sung)?,
        Policy::Judge(policy) => shares::judge(policy.as_ref(), config, &mut sung)?,
    }
    Ok(sung)
}

/// Where a call stands, for its error.
#[derive(Debug, Clone, Copy)]
struct At<'a> {
    call: &'static str,
    case: &'a str,
}

impl At<'_> {
    /// The answer; `None` where the module declined.
    fn answer<T>(
        self,
        sung: &mut Sung,
        outcome: Result<T, CallError>,
    ) -> Result<Option<T>, AdmissionError> {
        sung.calls += 1;
        match outcome {
            Ok(answer) => Ok(Some(answer)),
            Err(CallError::Policy(error)) if !says_no(sung.rigour, &error) => {
                sung.declined += 1;
                Ok(None)
            }
            Err(error) => Err(self.fails(error)),
        }
    }

    fn fails(self, error: CallError) -> AdmissionError {
        AdmissionError::Canary {
            call: self.call,
            case: self.case.to_owned(),
            error,
        }
    }

    /// Two answers that must be one. Debug text tells two floats apart exactly when their bits
    /// differ: a guest's NaNs are canonical.
    fn same<T: std::fmt::Debug>(
        self,
        one: &T,
        other: &T,
        when: &'static str,
    ) -> Result<(), AdmissionError> {
        if format!("{one:?}") == format!("{other:?}") {
            return Ok(());
        }
        Err(AdmissionError::NotRepeatable {
            call: self.call,
            case: self.case.to_owned(),
            when,
        })
    }
}
