//! Weighs a version of a policy beside another, on what came.
//!
//! One of the two serves. The other is *silent*: it is put the same questions, after the plan was
//! published, and its answers go nowhere. When the steps have passed, both answers are priced by one
//! formula on what was really needed, and the differences in price are pairs for the judge
//! ([`crate::judge`]). A candidate in shadow is silent beside the incumbent that serves; one that was
//! promoted serves and is watched, with the version before silent beside it. The pairs always are the
//! candidate's loss less the incumbent's, so that evidence of harm means the same on both sides of a
//! promotion.
//!
//! * **What is priced** stands with each kind: [`allocators`], [`tierers`], [`forecasters`]. All losses
//!   are parts of the incumbent's running loss ([`scale`]), clipped to -1 to 1; and once more in a coarser
//!   unit, so that what is clipped is seen ([`evidence::Name::Gross`]).
//! * **Only what both answered makes a pair**, and only where the version that should have served did. A
//!   candidate that gave no usable answer (a fault, or an answer that breaks an invariant) loses by 1; an
//!   incumbent that gives none in silence accuses nobody.
//! * **One pair a block** of five minutes, or of a step where that is longer: the mean over all pools,
//!   tenants or series, so that neither the number of apis nor one loud one makes evidence. Losses that
//!   look further ahead than a block overlap, and go into as many streams ([`evidence`]).
//! * **The silent one lives its own life.** It keeps its own state, and an allocator is bound by the steps
//!   of its own last plan and not by those of the plan in force: a policy that starves somebody a little
//!   more in every step would else look harmless, since the other puts it right each time. Rejected for
//!   the same reason: to put it the record's question as it stands.
//!
//! What the silent one would have done to the load itself, by serving better or worse, nobody can see;
//! [`needs`] says how far a need is read out of a service that was starved. That is why a promotion is
//! watched, and not believed.
//!
//! A trial is a value: it can be written down ([`Trial::bytes`]) and goes on after a restart where it was.
//! One whose bytes cannot be read, or whose versions are not those any more, begins anew.

pub mod allocators;
pub mod evidence;
pub mod forecasters;
pub mod gate;
pub mod needs;
pub mod past;
pub mod scale;
pub mod tierers;

mod trial;

pub use gate::Conclusion;
pub use trial::{About, QuestionStanding, Standing, Trial};

use crate::cycle::Left;
use crate::forecast::{Bank, Tracks};
use std::collections::BTreeMap;
use tidegate_core::catalog::Catalog;
use tidegate_core::forecast::{Forecast, Track};
use tidegate_core::ids::{ApiId, PoolId};
use tidegate_core::life::Gate;
use tidegate_core::policy::{Allocator, CallError, Forecaster, Judge, PolicyError, Tierer};
use tidegate_core::ports::storage::{History, SeriesState, StoreError};
use tidegate_core::record::TierRecord;
use tidegate_core::roster::{Fault, Member, Roster};
use tidegate_core::slo::Slo;
use tidegate_core::time::{Step, Timestamp};

/// For how long a sample may be late and still count, in milliseconds.
pub const LATE_MS: i64 = 60_000;

/// Length of a block at fine steps, in milliseconds.
const BLOCK_MS: i64 = 300_000;

/// Length of a block: what one pair is the mean of, in milliseconds.
#[must_use]
pub fn block_ms(step: Step) -> i64 {
    let steps = BLOCK_MS.div_euclid(step.ms()).max(1);
    steps * step.ms()
}

/// Who is asked in silence.
#[derive(Debug, Clone, Copy)]
pub enum Silent<'a> {
    /// Divides pools.
    Allocator(&'a Member<dyn Allocator>),
    /// Chooses tiers. The record keeps what was made of a tierer's answer and not the answer, so that the
    /// one that serves is asked once more: it is a function, and answers the same.
    Tierer {
        /// The silent one.
        silent: &'a Member<dyn Tierer>,
        /// The one that serves.
        serving: &'a Member<dyn Tierer>,
    },
    /// Forecasts.
    Forecaster(&'a Member<dyn Forecaster>),
}

/// What a cycle of one pool has left.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The pool.
    pub pool: &'a PoolId,
    /// What is left of its record; of a plan that amends another it says nothing here.
    pub record: &'a Left,
    /// The tierer calls of the binding, out of the record.
    pub tiers: &'a [&'a TierRecord],
    /// What was forecast: of a forecaster through its binding, of a tierer of the apis whose tiers it chooses.
    pub forecasts: &'a [&'a Forecast],
    /// Fitted states; the silent forecaster's among them.
    pub bank: &'a Bank,
    /// Tracks that were kept of it.
    pub tracks: &'a Tracks,
}

/// What the room needs.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The time.
    pub now: Timestamp,
    /// Root seed.
    pub seed: u64,
    /// Resolution of plans and forecasts.
    pub step: Step,
    /// Steps that are forecast.
    pub horizon: u32,
    /// What is known so far.
    pub trial: &'a Trial,
    /// When it ends, and how.
    pub gate: &'a Gate,
    /// Who is asked.
    pub silent: Silent<'a>,
    /// Cycles since the last call, at most one of a pool.
    pub scenes: &'a [Scene<'a>],
    /// Who judges. Its error rate is meant to be the gate's over [`Trial::questions`].
    pub judge: &'a Roster<dyn Judge>,
    /// The past.
    pub history: &'a dyn History,
    /// What is declared.
    pub catalog: &'a Catalog,
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("now", &self.now)
            .field("trial", &self.trial.about)
            .field("scenes", &self.scenes.len())
            .finish_non_exhaustive()
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Output {
    /// What is known now.
    pub trial: Trial,
    /// What should become of the candidate.
    pub conclusion: Conclusion,
    /// Who gave no usable answer: the silent one, or the judge. Nobody waited for it.
    pub faults: Vec<Fault>,
    /// States of the silent forecaster that have moved on.
    pub states: Vec<SeriesState>,
    /// Its tracks that have changed.
    pub tracks: Vec<Track>,
}

/// Stored data cannot be read.
pub type Error = StoreError;

/// Asks, prices what has passed, and judges.
///
/// # Errors
/// When stored data cannot be read.
pub fn run(input: &Input<'_>) -> Result<Output, Error> {
    let mut output = Output {
        trial: input.trial.clone(),
        conclusion: Conclusion::Continue {
            why: String::new(),
            starved: false,
        },
        faults: vec![],
        states: vec![],
        tracks: vec![],
    };
    match input.silent {
        Silent::Allocator(member) => allocators::follow(input, member, &mut output)?,
        Silent::Tierer { silent, serving } => {
            tierers::follow(input, silent, serving, &mut output)?;
        }
        Silent::Forecaster(member) => forecasters::follow(input, member, &mut output)?,
    }
    output.trial.faults = output
        .trial
        .faults
        .saturating_add(output.faults.len() as u64);
    evidence::judge(input, &mut output);
    output.conclusion = gate::conclude(input.gate, &output.trial, input.now);
    Ok(output)
}

/// Whether an error says something against a module: not too little data, and no call that the daemon
/// gave up.
fn counts(error: &CallError) -> bool {
    !matches!(
        error,
        CallError::Unavailable(_) | CallError::Policy(PolicyError::InsufficientData { .. })
    )
}

/// SLOs by the api that they bind.
fn objectives(catalog: &Catalog) -> BTreeMap<&ApiId, Vec<&Slo>> {
    let mut all: BTreeMap<&ApiId, Vec<&Slo>> = BTreeMap::new();
    for slo in catalog.slos.values().map(|s| &s.value) {
        all.entry(&slo.api).or_default().push(slo);
    }
    all
}

#[cfg(test)]
mod tests;
