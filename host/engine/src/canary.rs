//! Canary calls: the first questions that a module is asked, before anybody depends on it.
//!
//! The data is synthetic, small and fixed: what every module of a kind meets in its first hour (a
//! daily wave, gaps, zeros, a step; an empty state, a scarce pool, a new api). An answer must keep
//! the numbered invariants, be the same when asked again, and not depend on the batch. A typed
//! error is lawful, since a module may need a year of data; a trap, an overrun or a broken
//! invariant is not. How *good* an answer is belongs to the backtest gate, and thoroughness to the
//! conformance suite: a canary has to be over before its sender loses patience.

mod forecaster;
mod questions;
mod shares;

use crate::admission::AdmissionError;
use crate::module::Policy;
use tidegate_core::policy::CallError;

/// What came of the calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sung {
    /// Calls that were answered.
    pub(crate) calls: u32,
    /// Calls that were answered with a typed error.
    pub(crate) declined: u32,
}

/// Asks a policy of any kind.
///
/// # Errors
/// The first call that went wrong.
pub(crate) fn sing(policy: &Policy, config: &str) -> Result<Sung, AdmissionError> {
    let mut sung = Sung::default();
    match policy {
        Policy::Forecaster(policy) => forecaster::sing(policy.as_ref(), config, &mut sung)?,
        Policy::Tierer(policy) => shares::tierer(policy.as_ref(), config, &mut sung)?,
        Policy::Allocator(policy) => shares::allocator(policy.as_ref(), config, &mut sung)?,
        Policy::Judge(policy) => shares::judge(policy.as_ref(), config, &mut sung)?,
    }
    Ok(sung)
}

/// Where a call stands, for its error.
#[derive(Debug, Clone, Copy)]
struct At {
    call: &'static str,
    case: &'static str,
}

impl At {
    /// The answer; `None` where the module declined.
    fn answer<T>(
        self,
        sung: &mut Sung,
        outcome: Result<T, CallError>,
    ) -> Result<Option<T>, AdmissionError> {
        sung.calls += 1;
        match outcome {
            Ok(answer) => Ok(Some(answer)),
            Err(CallError::Policy(_)) => {
                sung.declined += 1;
                Ok(None)
            }
            Err(error) => Err(self.fails(error)),
        }
    }

    fn fails(self, error: CallError) -> AdmissionError {
        let Self { call, case } = self;
        AdmissionError::Canary { call, case, error }
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
        let Self { call, case } = self;
        Err(AdmissionError::NotRepeatable { call, case, when })
    }
}
