//! The instruments: one table of names and units, and one method for each thing that happens.
//!
//! The daemon calls methods and so cannot misspell a name, forget a unit or invent an attribute;
//! the table is what the documentation shows and what a test holds against the collector.
//! Attributes are of bounded number: kinds, module names, pools, never apis, and tenants only where
//! the question is who pays (quotas, fits): beyond 2,000 of them the SDK adds the rest up. How good
//! forecasts are is nobody's answer in the mean: the daemon tells it of the first [`TOLD_APIS`] apis
//! alone, and of the others through its own API.
//! Names and units follow the OpenTelemetry semantic conventions (UCUM; counts in braces).

mod store;
mod table;

pub use store::StoreFigures;
pub use table::{INSTRUMENTS, Instrument, InstrumentKind};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider};
use std::sync::Arc;
use std::time::Duration;
use table::*;

/// Apis of which the quality of forecasts is told. With three levels and six bands, all stay below
/// the 2,000 series per instrument beyond which the SDK adds the rest up.
pub const TOLD_APIS: usize = 100;

/// Bounds of the duration histograms in seconds: from a warm call (tens of microseconds) to a fit.
const SECONDS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 5.0, 30.0,
];

/// How a call into a module ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It answered, and the answer holds.
    Ok,
    /// It answered with a typed error.
    Error,
    /// It answered, and the answer breaks an invariant.
    Refused,
    /// It trapped.
    Trap,
    /// It took too long.
    Deadline,
    /// It wanted more memory (or table, stack, output) than it may have.
    Limit,
}

impl CallOutcome {
    /// The attribute's value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Refused => "refused",
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Limit => "limit",
        }
    }
}

/// What became of a series that was to be fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FitOutcome {
    /// It has a new state.
    Done,
    /// It has none: too little data, or a fault of the module.
    Failed,
    /// The fit overran, or the daemon stopped.
    Cancelled,
}

impl FitOutcome {
    /// The attribute's value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What became of a state that another version was to take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationOutcome {
    /// It goes on.
    Moved,
    /// The version does not read it, and says so.
    Unsupported,
    /// It did not pass the rehearsal.
    Failed,
}

impl MigrationOutcome {
    /// The attribute's value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Unsupported => "unsupported",
            Self::Failed => "failed",
        }
    }
}

/// Why a slot's module changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapOutcome {
    /// A new version took over.
    Promoted,
    /// The version before came back.
    RolledBack,
}

impl SwapOutcome {
    /// The attribute's value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled-back",
        }
    }
}

/// The instruments, ready for use. Cheap to clone; without a collector each call costs nothing.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Instruments>);

#[derive(Debug)]
struct Instruments {
    ingest_samples: Counter<u64>,
    ingest_refused: Counter<u64>,
    ingest_left_out: Counter<u64>,
    feed_points: Counter<u64>,
    quota_refused: Counter<u64>,
    store_fsync: Histogram<f64>,
    store: store::Store,
    cycle_duration: Histogram<f64>,
    invariant_breaches: Counter<u64>,
    policy_calls: Counter<u64>,
    policy_duration: Histogram<f64>,
    swaps: Counter<u64>,
    plan_generation: Gauge<u64>,
    plan_amendments: Counter<u64>,
    alerts_active: Gauge<u64>,
    fits: Counter<u64>,
    fit_cpu: Histogram<f64>,
    fit_tenant_cpu: Counter<f64>,
    fit_outcomes: Counter<u64>,
    challenger_faults: Counter<u64>,
    trials_concluded: Counter<u64>,
    reuse_withdrawn: Counter<u64>,
    states_migrated: Counter<u64>,
    states_dropped: Counter<u64>,
    forecast_coverage: Gauge<f64>,
    forecast_loss: Gauge<f64>,
    champion_changes: Counter<u64>,
    task_faults: Counter<u64>,
}

impl Metrics {
    /// Instruments that nobody reads: for tests and for daemons without a collector.
    #[must_use]
    pub fn nowhere() -> Self {
        Self::on(&opentelemetry::metrics::noop::NoopMeterProvider::new())
    }

    pub(crate) fn on(meters: &dyn MeterProvider) -> Self {
        let meter = meters.meter("tidegate");
        Self(Arc::new(Instruments {
            ingest_samples: counter(&meter, &INGEST_SAMPLES),
            ingest_refused: counter(&meter, &INGEST_REFUSED),
            ingest_left_out: counter(&meter, &INGEST_LEFT_OUT),
            feed_points: counter(&meter, &FEED_POINTS),
            quota_refused: counter(&meter, &QUOTA_REFUSED),
            store_fsync: histogram(&meter, &STORE_FSYNC),
            store: store::Store::on(&meter),
            cycle_duration: histogram(&meter, &CYCLE_DURATION),
            invariant_breaches: counter(&meter, &INVARIANT_BREACHES),
            policy_calls: counter(&meter, &POLICY_CALLS),
            policy_duration: histogram(&meter, &POLICY_DURATION),
            swaps: counter(&meter, &SWAPS),
            plan_generation: gauge(&meter, &PLAN_GENERATION),
            plan_amendments: counter(&meter, &PLAN_AMENDMENTS),
            alerts_active: gauge(&meter, &ALERTS_ACTIVE),
            fits: counter(&meter, &FITS),
            fit_cpu: histogram(&meter, &FIT_CPU),
            fit_tenant_cpu: sum(&meter, &FIT_TENANT_CPU),
            fit_outcomes: counter(&meter, &FIT_OUTCOMES),
            challenger_faults: counter(&meter, &CHALLENGER_FAULTS),
            trials_concluded: counter(&meter, &TRIALS_CONCLUDED),
            reuse_withdrawn: counter(&meter, &REUSE_WITHDRAWN),
            states_migrated: counter(&meter, &STATES_MIGRATED),
            states_dropped: counter(&meter, &STATES_DROPPED),
            forecast_coverage: share(&meter, &FORECAST_COVERAGE),
            forecast_loss: share(&meter, &FORECAST_LOSS),
            champion_changes: counter(&meter, &CHAMPION_CHANGES),
            task_faults: counter(&meter, &TASK_FAULTS),
        }))
    }

    /// `count` samples were acked to a client of `protocol` (`grpc`, `otlp`, ...).
    pub fn ingested(&self, count: u64, protocol: &'static str) {
        self.0
            .ingest_samples
            .add(count, &[KeyValue::new("protocol", protocol)]);
    }

    /// `count` samples were refused, `reason` being a word of a fixed set (`invalid`, `series`, `rate`).
    pub fn refused(&self, count: u64, protocol: &'static str, reason: &'static str) {
        let attributes = [
            KeyValue::new("protocol", protocol),
            KeyValue::new("reason", reason),
        ];
        self.0.ingest_refused.add(count, &attributes);
    }

    /// `steps` steps of feeds are not stored, since not everybody was heard in them.
    pub fn left_out(&self, steps: u64) {
        self.0.ingest_left_out.add(steps, &[]);
    }

    /// `count` points of another protocol had this `outcome` (`taken`, `duplicate`, `passed-over`).
    pub fn fed(&self, count: u64, protocol: &'static str, outcome: &'static str) {
        if count == 0 {
            return;
        }
        let attributes = [
            KeyValue::new("protocol", protocol),
            KeyValue::new("outcome", outcome),
        ];
        self.0.feed_points.add(count, &attributes);
    }

    /// A tenant's quota (`series`, `rate` or `modules`) refused `count` samples or pushes. A series per
    /// tenant is bounded by the catalog, which an admin writes.
    pub fn over_quota(&self, tenant: &str, quota: &'static str, count: u64) {
        let attributes = [
            KeyValue::new("tenant", tenant.to_owned()),
            KeyValue::new("quota", quota),
        ];
        self.0.quota_refused.add(count, &attributes);
    }

    /// One sync before an ack took so long.
    pub fn fsynced(&self, took: Duration) {
        self.0.store_fsync.record(took.as_secs_f64(), &[]);
    }

    /// One cycle of `pool` took so long.
    pub fn cycled(&self, pool: &str, took: Duration) {
        self.0.cycle_duration.record(
            took.as_secs_f64(),
            &[KeyValue::new("pool", pool.to_owned())],
        );
    }

    /// An answer of `module` broke `invariant` (`AL1`, `FC1`, ...).
    pub fn breached(&self, invariant: &'static str, module: &str) {
        let attributes = [
            KeyValue::new("invariant", invariant),
            KeyValue::new("module", module.to_owned()),
        ];
        self.0.invariant_breaches.add(1, &attributes);
    }

    /// A call into `module` (its name, not its digest) of `kind` (`forecaster`, ...) ended.
    pub fn called(&self, kind: &'static str, module: &str, outcome: CallOutcome, took: Duration) {
        let kind = KeyValue::new("kind", kind);
        let module = KeyValue::new("module", module.to_owned());
        self.0
            .policy_duration
            .record(took.as_secs_f64(), &[kind.clone(), module.clone()]);
        self.0
            .policy_calls
            .add(1, &[kind, module, KeyValue::new("outcome", outcome.name())]);
    }

    /// A slot of `kind` changed its module.
    pub fn swapped(&self, kind: &'static str, outcome: SwapOutcome) {
        let outcome = KeyValue::new("outcome", outcome.name());
        self.0.swaps.add(1, &[KeyValue::new("kind", kind), outcome]);
    }

    /// A plan of `pool` was published.
    pub fn published(&self, pool: &str, generation: u64) {
        self.0
            .plan_generation
            .record(generation, &[KeyValue::new("pool", pool.to_owned())]);
    }

    /// A plan of `pool` was amended between two cycles.
    pub fn amended(&self, pool: &str) {
        let pool = KeyValue::new("pool", pool.to_owned());
        self.0.plan_amendments.add(1, &[pool]);
    }

    /// So many alerts of `kind` are active now.
    pub fn alerts(&self, kind: &'static str, active: u64) {
        self.0
            .alerts_active
            .record(active, &[KeyValue::new("kind", kind)]);
    }

    /// A series was fitted by `module`, `reason` being a word of a fixed set (`new`, `drift`, ...).
    pub fn fitted(&self, module: &str, reason: &'static str) {
        let module = KeyValue::new("module", module.to_owned());
        self.0
            .fits
            .add(1, &[module, KeyValue::new("reason", reason)]);
    }

    /// Fitting a batch of a tenant's series by `module` took so much CPU time.
    pub fn fit_cost(&self, tenant: &str, module: &str, cpu: Duration) {
        let module = KeyValue::new("module", module.to_owned());
        self.0.fit_cpu.record(cpu.as_secs_f64(), &[module]);
        let tenant = KeyValue::new("tenant", tenant.to_owned());
        self.0.fit_tenant_cpu.add(cpu.as_secs_f64(), &[tenant]);
    }

    /// What became of `count` series that were given to `module` to fit.
    pub fn fit_ended(&self, module: &str, outcome: FitOutcome, count: u64) {
        if count == 0 {
            return;
        }
        let module = KeyValue::new("module", module.to_owned());
        let outcome = KeyValue::new("outcome", outcome.name());
        self.0.fit_outcomes.add(count, &[module, outcome]);
    }

    /// A challenger owed an answer in shadow and did not give it.
    pub fn challenger_faulted(&self, module: &str) {
        let module = KeyValue::new("module", module.to_owned());
        self.0.challenger_faults.add(1, &[module]);
    }

    /// A comparison of two versions of a binding of `kind` ended.
    pub fn trial_concluded(&self, kind: &'static str, outcome: &'static str) {
        let outcome = KeyValue::new("outcome", outcome);
        let kind = KeyValue::new("kind", kind);
        self.0.trials_concluded.add(1, &[kind, outcome]);
    }

    /// A reused instance of `module` answered other than a fresh one.
    pub fn reuse_withdrawn(&self, module: &str) {
        let module = KeyValue::new("module", module.to_owned());
        self.0.reuse_withdrawn.add(1, &[module]);
    }

    /// Of the requests of `api` that were forecast as far ahead as `band` says, this share lay at or
    /// below `level` (per 10,000).
    pub fn covered(&self, api: &str, level: u16, band: &'static str, below: f64) {
        let attributes = [
            KeyValue::new("api", api.to_owned()),
            KeyValue::new("level", i64::from(level)),
            KeyValue::new("band", band),
        ];
        self.0.forecast_coverage.record(below, &attributes);
    }

    /// The pinball loss of the forecasts of `api` in a `band`, beside seasonal-naive's.
    pub fn lost(&self, api: &str, band: &'static str, loss: f64) {
        let api = KeyValue::new("api", api.to_owned());
        let attributes = [api, KeyValue::new("band", band)];
        self.0.forecast_loss.record(loss, &attributes);
    }

    /// Another module has come to answer for a series, on this `ground` (`series`, `category`, ...).
    pub fn champion_changed(&self, ground: &'static str) {
        self.0
            .champion_changes
            .add(1, &[KeyValue::new("ground", ground)]);
    }

    /// `count` stored states came to `outcome` when `module` was to take them over from another version of
    /// itself.
    pub fn states_migrated(&self, module: &str, outcome: MigrationOutcome, count: u64) {
        if count > 0 {
            let module = KeyValue::new("module", module.to_owned());
            let outcome = KeyValue::new("outcome", outcome.name());
            self.0.states_migrated.add(count, &[module, outcome]);
        }
    }

    /// `count` states of modules of `kind` were dropped, since nobody needs them.
    pub fn states_dropped(&self, kind: &'static str, count: u64) {
        if count > 0 {
            let kind = KeyValue::new("kind", kind);
            self.0.states_dropped.add(count, &[kind]);
        }
    }

    /// `count` runs of a task of kind `task` ended by `fault` (`error` or `panic`).
    pub fn task_faults(&self, task: &'static str, fault: &'static str, count: u64) {
        let attributes = [KeyValue::new("task", task), KeyValue::new("fault", fault)];
        self.0.task_faults.add(count, &attributes);
    }
}

fn counter(meter: &Meter, row: &Instrument) -> Counter<u64> {
    let builder = meter.u64_counter(row.name);
    builder
        .with_unit(row.unit)
        .with_description(row.description)
        .build()
}

fn sum(meter: &Meter, row: &Instrument) -> Counter<f64> {
    meter
        .f64_counter(row.name)
        .with_unit(row.unit)
        .with_description(row.description)
        .build()
}

fn gauge(meter: &Meter, row: &Instrument) -> Gauge<u64> {
    meter
        .u64_gauge(row.name)
        .with_unit(row.unit)
        .with_description(row.description)
        .build()
}

fn share(meter: &Meter, row: &Instrument) -> Gauge<f64> {
    meter
        .f64_gauge(row.name)
        .with_unit(row.unit)
        .with_description(row.description)
        .build()
}

fn histogram(meter: &Meter, row: &Instrument) -> Histogram<f64> {
    let builder = meter.f64_histogram(row.name);
    let builder = builder
        .with_unit(row.unit)
        .with_description(row.description);
    builder.with_boundaries(SECONDS.to_vec()).build()
}
