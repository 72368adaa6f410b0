//! Ledger records: what was decided, by whom, from what. Enough to recompute the plan (LE1).

use crate::alert::Alert;
use crate::forecast::Forecast;
use crate::ids::{ApiId, Digest, Generation, PoolId, TenantId};
use crate::plan::Plan;
use crate::policy::{AllocationInput, Blob, TierInput};
use crate::roster::Served;
use crate::sample::SeriesKey;
use crate::tier::TierBounds;
use crate::time::Timestamp;
use crate::units::Dimension;
use std::sync::Arc;

/// One tierer call.
#[derive(Debug, Clone, PartialEq)]
pub struct TierRecord {
    /// For whose apis.
    pub tenant: TenantId,
    /// What it was asked.
    pub input: TierInput,
    /// With which config.
    pub config: String,
    /// Who answered.
    pub served: Served,
    /// The state that it returned.
    pub state: Blob,
}

/// What an api's tier was held by when a tierer had answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierHold {
    /// Start of the tier that was in force.
    pub since: Timestamp,
    /// Its bounds, pin and dwell time.
    pub bounds: TierBounds,
}

/// One forecast that a plan rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastRecord {
    /// Of what.
    pub key: SeriesKey,
    /// Who made it.
    pub served: Served,
    /// Digest of the state that it came from.
    pub state: Digest,
    /// Digest of the track that corrected its quantiles; `None`: they are as the module answered.
    pub calibration: Option<Digest>,
    /// Digest of its grid, after the correction.
    pub answer: Digest,
    /// Highest p99 over the horizon, and when: for `why` and the foreseen-peak report.
    pub peak: f64,
    /// Start of the step of the peak.
    pub peak_at: Timestamp,
    /// What it was made from; `None` in what was written before it was kept.
    pub origin: Option<Origin>,
}

/// What a forecast was made from, beside its module: enough to make it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The module's config, as JSON.
    pub config: Arc<str>,
    /// When the state was fitted that it comes from; of the baseline, which has none, when it was made.
    pub fitted_at: Timestamp,
    /// End of the series' newest step that was visible. With [`Record::as_of`] it names every sample that
    /// could be seen: those that had moved the series on until there, and late ones by their sequence.
    pub newest: Timestamp,
    /// Whether what it was made from was written down, with this record or one before, and records tell all that
    /// came since.
    pub is_anchored: bool,
}

/// What the forecasts and the demand of a cycle follow from, beside samples, modules and what was in
/// force.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Basis {
    /// Digest of what was declared ([`crate::ports::storage::Replays`]); `None` where it was not kept.
    pub catalog: Option<Digest>,
    /// Root seed.
    pub seed: u64,
    /// Steps that were forecast.
    pub horizon: u32,
    /// Steps from one forecast of a series to the next.
    pub cadence: u32,
    /// Steps by which demand is met ahead of time, besides the pool's lead time.
    pub ahead: u32,
    /// Part of a grant that is meant to be used where nothing was learned.
    pub target_utilisation: f64,
    /// Part of the steps that may miss an objective, in a pool that an autoscaler moves.
    pub step_tolerance: f64,
    /// The least of it in a pool that nobody moves.
    pub fixed_tolerance: f64,
    /// Milliseconds for which plans keep to a departure.
    pub hold_ms: i64,
    /// Rows of the plan whose demand is what an earlier plan foresaw, since the daemon had just started.
    pub carried: Vec<u32>,
}

impl ForecastRecord {
    /// What a record keeps of a forecast.
    #[must_use]
    pub fn of(forecast: &Forecast) -> Self {
        use crate::units::Level;
        let values = forecast.mean.len() + forecast.quantiles.len();
        let mut encoder = crate::canonical::Encoder::with_room(8 * (values + 2));
        encoder.floats(&forecast.mean).floats(&forecast.quantiles);
        let (mut peak, mut at) = (0.0_f64, 0);
        let mut highest = f64::NEG_INFINITY;
        for (step, p99) in forecast.column(Level::P99).enumerate() {
            peak = peak.max(p99);
            if p99.total_cmp(&highest).is_gt() {
                (highest, at) = (p99, step);
            }
        }
        Self {
            key: forecast.key.clone(),
            served: forecast.served.clone(),
            state: forecast.state,
            calibration: forecast.calibration.map(|c| c.track),
            answer: encoder.digest(),
            peak,
            peak_at: forecast.grid.at(at),
            origin: None,
        }
    }
}

/// What an api's demand rests on besides the forecasts.
#[derive(Debug, Clone, PartialEq)]
pub struct DemandRecord {
    /// Whose.
    pub api: ApiId,
    /// One sentence per resource, for people: cost, target utilisation, and why that.
    pub reasons: Vec<String>,
    /// What the demand room has learned by then, in its own layout.
    pub learned: Blob,
}

/// A measured need that departed from a plan, and that plans keep to for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Departure {
    /// End of what was measured.
    pub at: Timestamp,
    /// What grant it calls for.
    pub need: f64,
    /// What was used.
    pub used: f64,
    /// What the plan gave.
    pub given: f64,
}

/// A departure, as the record keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct FloorRecord {
    /// Whose.
    pub api: ApiId,
    /// Of what.
    pub dimension: Dimension,
    /// The look that called for most.
    pub departure: Departure,
}

/// A module that gave no usable answer, as the record keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRecord {
    /// Module name, version and digest.
    pub module: crate::module::ModuleRef,
    /// What it was asked about.
    pub subject: String,
    /// What happened.
    pub error: String,
}

/// Everything about one published plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The cycle's time.
    pub at: Timestamp,
    /// The pool.
    pub pool: PoolId,
    /// The plan.
    pub plan: Plan,
    /// Arrival sequence of the newest batch that was visible.
    pub as_of: u64,
    /// Start of the newest step that was visible.
    pub newest: Timestamp,
    /// What the allocator was asked.
    pub allocation: AllocationInput,
    /// With which config.
    pub allocator_config: String,
    /// The state that the allocator returned.
    pub allocator_state: Blob,
    /// The tierer calls, one per tenant.
    pub tiers: Vec<TierRecord>,
    /// What held each api's tier, in the order of the plan; empty in an amendment, and in what was
    /// written before it was kept.
    pub holds: Vec<TierHold>,
    /// The forecasts.
    pub forecasts: Vec<ForecastRecord>,
    /// What was made of them, one per api.
    pub needs: Vec<DemandRecord>,
    /// Who failed on the way.
    pub faults: Vec<FaultRecord>,
    /// What was raised.
    pub alerts: Vec<Alert>,
    /// Measured needs that the plan keeps to.
    pub floors: Vec<FloorRecord>,
    /// The plan of the last cycle, of one that amends it between two cycles: what tiers, forecasts and
    /// needs it rests on stands in that one's record.
    pub amends: Option<Generation>,
    /// What forecasts and demand follow from; `None` in an amendment, and in what was written before it
    /// was kept.
    pub basis: Option<Basis>,
}

impl Record {
    /// Of a plan that amends another, with the tiers, forecasts and needs of that one's record.
    #[must_use]
    pub fn resting_on(mut self, base: Option<Record>) -> Self {
        if let Some(base) = base.filter(|b| Some(b.plan.generation) == self.amends) {
            self.tiers = base.tiers;
            self.holds = base.holds;
            self.forecasts = base.forecasts;
            self.needs = base.needs;
        }
        self
    }
}
