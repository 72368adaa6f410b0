//! Judges: counts of a shadow and of production in, a verdict with its evidence out.
//!
//! The input is passed as it came, checked for shape. Evidence so far is the policy's state, so
//! that it survives a restart and can be looked at.

use std::marker::PhantomData;

use crate::log::hook_panics;
use crate::policy::{Exported, config, describe};
use crate::series::length;
use crate::state;
pub use crate::wit::judge::exports::tidegate::policy::judging::{
    Counts, Evidence, JudgeInput, Metric, Verdict,
};
use crate::wit::judge::exports::tidegate::policy::judging::{Guest, Judgement};
use crate::wit::types::{Blob, Description, ModuleKind, PolicyError};
use crate::{Error, Policy};

/// Compares a shadow with production.
pub trait JudgePolicy: Policy<State: Default> {
    /// What should become of the shadow. The state is what the last call left, the default at the
    /// start of a release; `input.state` and `input.config` are empty, since they were read
    /// already.
    ///
    /// # Errors
    /// Any: then nothing is promoted.
    fn judge(
        config: &Self::Config,
        state: &mut Self::State,
        input: JudgeInput,
    ) -> Result<Opinion, Error>;
}

/// A verdict and what speaks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Opinion {
    /// The verdict.
    pub verdict: Verdict,
    /// One sentence, for people.
    pub reason: String,
    /// Per metric.
    pub evidence: Vec<Evidence>,
}

/// A policy as the host sees it.
#[derive(Debug)]
pub struct Component<P>(PhantomData<P>);

impl<P: JudgePolicy + Exported> Component<P> {
    /// Compiles where the policy lacks nothing.
    #[doc(hidden)]
    pub fn is_complete() {}
}

impl<P: JudgePolicy + Exported> Guest for Component<P> {
    fn describe() -> Description {
        describe::<P>(ModuleKind::Judge)
    }

    fn judge(mut input: JudgeInput) -> Result<Judgement, PolicyError> {
        hook_panics();
        let config = config::<P>(&std::mem::take(&mut input.config))?;
        let mut state = state::of_call::<P>(&input.state)?;
        input.state.bytes.clear();
        check(&input)?;
        let opinion = P::judge(&config, &mut state, input)?;
        Ok(Judgement {
            verdict: opinion.verdict,
            reason: opinion.reason,
            evidence: opinion.evidence,
            state: state::to_blob::<P>(&state)?,
        })
    }

    fn migrate(state: Blob) -> Result<Blob, PolicyError> {
        hook_panics();
        state::migrate_call::<P>(&state)
    }
}

fn check(input: &JudgeInput) -> Result<(), PolicyError> {
    let metrics = input.metrics.len();
    let cells = input.flushes.len().saturating_mul(metrics);
    length("dispersion", input.dispersion.len(), metrics)?;
    length("shadow-events", input.counts.shadow_events.len(), cells)?;
    length("shadow-requests", input.counts.shadow_requests.len(), cells)?;
    length(
        "production-events",
        input.counts.production_events.len(),
        cells,
    )?;
    length(
        "production-requests",
        input.counts.production_requests.len(),
        cells,
    )
}
