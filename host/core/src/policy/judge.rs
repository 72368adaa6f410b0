//! The judge: a shadow against production, flush by flush.

use super::{Blob, CallError};
use crate::time::Timestamp;

/// How a metric is counted and when it matters.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSpec {
    /// Its name.
    pub name: String,
    /// Metrics of one group share evidence by average.
    pub group: String,
    /// Ratio of rates above which it warns.
    pub rho_warn: f64,
    /// Ratio above which it is harm.
    pub rho_rollback: f64,
    /// Ratio below which it is as good.
    pub rho_promote: f64,
    /// Whether it can roll back.
    pub critical: bool,
}

/// Counts, each `[flush][metric]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Events of the shadow.
    pub shadow_events: Vec<u64>,
    /// Requests of the shadow.
    pub shadow_requests: Vec<u64>,
    /// Events of production.
    pub production_events: Vec<u64>,
    /// Requests of production.
    pub production_requests: Vec<u64>,
}

/// What the judge sees.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgeInput {
    /// The time.
    pub now: Timestamp,
    /// A hash of root seed, release and flush.
    pub seed: u64,
    /// Evidence so far.
    pub state: Blob,
    /// The metrics.
    pub metrics: Vec<MetricSpec>,
    /// Start of each flush since the last call.
    pub flushes: Vec<Timestamp>,
    /// Their counts.
    pub counts: Counts,
    /// `[metric]`: over-dispersion, 0 where no A/A was run.
    pub dispersion: Vec<f64>,
    /// Paired loss differences, -1 to 1, for policy modules.
    pub paired_losses: Vec<f64>,
    /// Steps over which losses overlap.
    pub paired_horizon: u32,
    /// Seconds left.
    pub remaining_s: u32,
}

/// What should become of the shadow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Not enough evidence yet.
    Proceed,
    /// As good as production.
    Promote,
    /// Worse than production.
    RollBack,
    /// Too little data to ever decide.
    Starved,
    /// Time is up: ended, not promoted.
    Inconclusive,
}

impl Verdict {
    /// The name in APIs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Proceed => "continue",
            Verdict::Promote => "promote",
            Verdict::RollBack => "roll-back",
            Verdict::Starved => "starved",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

/// What speaks for a verdict, per metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The metric.
    pub metric: String,
    /// E-value against "no worse than rho-rollback".
    pub harm: f64,
    /// E-value against "no worse than rho-warn".
    pub warning: f64,
    /// E-value against "not within rho-promote".
    pub parity: f64,
    /// Anytime bound on shadow / production.
    pub ratio_low: f64,
    /// Anytime bound on shadow / production.
    pub ratio_high: f64,
    /// Events seen.
    pub shadow_events: u64,
    /// Requests seen.
    pub shadow_requests: u64,
}

/// A verdict with its evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// One sentence.
    pub reason: String,
    /// Per metric.
    pub evidence: Vec<Evidence>,
    /// For the next call.
    pub state: Blob,
}

/// Compares a shadow with production.
pub trait Judge: Send + Sync + std::fmt::Debug {
    /// What should become of the shadow.
    ///
    /// # Errors
    /// When it gives no answer; then nothing is promoted.
    fn judge(&self, config: &str, input: &JudgeInput) -> Result<Judgement, CallError>;

    /// Translates a state that an earlier version wrote.
    ///
    /// # Errors
    /// `unsupported` when it cannot: begin with an empty state.
    fn migrate(&self, state: &Blob) -> Result<Blob, CallError>;
}
