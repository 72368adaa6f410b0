//! The table of instruments: names, kinds, units, attributes and what each says.
//!
//! Apart from the methods that record, because it is read by people: one row is one line of the
//! documentation, and a test holds every row against what reaches a collector.

/// What an instrument adds up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstrumentKind {
    /// Only rises.
    Counter,
    /// A distribution.
    Histogram,
    /// The last value.
    Gauge,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// The name at the collector.
    pub name: &'static str,
    /// What it adds up to.
    pub kind: InstrumentKind,
    /// The unit, in UCUM.
    pub unit: &'static str,
    /// The names of its attributes.
    pub attributes: &'static [&'static str],
    /// What it says.
    pub description: &'static str,
}

const fn row(
    name: &'static str,
    kind: InstrumentKind,
    unit: &'static str,
    attributes: &'static [&'static str],
    description: &'static str,
) -> Instrument {
    Instrument {
        name,
        kind,
        unit,
        attributes,
        description,
    }
}

use InstrumentKind::{Counter as C, Gauge as G, Histogram as H};

pub(super) const INGEST_SAMPLES: Instrument = row(
    "tidegate.ingest.samples",
    C,
    "{sample}",
    &["protocol"],
    "samples that were acked",
);
pub(super) const INGEST_REFUSED: Instrument = row(
    "tidegate.ingest.refused",
    C,
    "{sample}",
    &["protocol", "reason"],
    "samples that were refused",
);
pub(super) const INGEST_LEFT_OUT: Instrument = row(
    "tidegate.ingest.left_out",
    C,
    "{step}",
    &[],
    "steps of signals that feeds told of and that are not stored, since an instance was first heard after them and what it did before is not known",
);
pub(super) const FEED_POINTS: Instrument = row(
    "tidegate.feed.points",
    C,
    "{point}",
    &["protocol", "outcome"],
    "points of other protocols that were not refused: `taken`, `duplicate`, or of no concern (`passed-over`)",
);
pub(super) const QUOTA_REFUSED: Instrument = row(
    "tidegate.quota.refused",
    C,
    "{refusal}",
    &["tenant", "quota"],
    "samples (`series`, `rate`) and pushes (`modules`) that a tenant's quota refused",
);
pub(super) const STORE_FSYNC: Instrument = row(
    "tidegate.store.fsync.duration",
    H,
    "s",
    &[],
    "the sync before an ack",
);
pub(super) const STORE_BYTES: Instrument = row(
    "tidegate.store.bytes",
    G,
    "By",
    &["kind"],
    "what the store holds, by kind: `raw`, `five-minutes`, `hour`, `wal`, `ledger`, `head` (in memory), and its `files` as a whole",
);
pub(super) const STORE_HELD: Instrument = row(
    "tidegate.store.held",
    G,
    "s",
    &["resolution"],
    "how far the oldest sealed sample of a resolution lies before the newest sample",
);
pub(super) const STORE_DROPPED: Instrument = row(
    "tidegate.store.dropped",
    C,
    "By",
    &["resolution"],
    "sealed samples that retention has dropped",
);
pub(super) const STORE_DROPPED_EARLY: Instrument = row(
    "tidegate.store.dropped.early",
    C,
    "By",
    &[],
    "of these, what went before its age, since `store.size` had no room for it",
);
pub(super) const STORE_OVER: Instrument = row(
    "tidegate.store.over",
    G,
    "By",
    &[],
    "what may not be dropped, beyond `store.size`",
);
pub(super) const STORE_SEALING: Instrument = row(
    "tidegate.store.sealing",
    G,
    "{group}",
    &[],
    "groups of series that wait to be sealed or are being sealed",
);
pub(super) const STORE_UNROLLED: Instrument = row(
    "tidegate.store.unrolled",
    G,
    "{block}",
    &[],
    "blocks that are old enough to be rolled up and are not yet",
);
pub(super) const STORE_FREE: Instrument = row(
    "tidegate.store.free",
    G,
    "By",
    &[],
    "what is left on the disk of the store",
);
pub(super) const STORE_BACKUP_TIME: Instrument = row(
    "tidegate.store.backup.time",
    G,
    "s",
    &[],
    "when the last backup was made, in seconds since the epoch",
);
pub(super) const STORE_BACKUP_SIZE: Instrument = row(
    "tidegate.store.backup.size",
    G,
    "By",
    &[],
    "how large the last backup is",
);
pub(super) const CYCLE_DURATION: Instrument = row(
    "tidegate.cycle.duration",
    H,
    "s",
    &["pool"],
    "one cycle, from the newest data to the plan",
);
pub(super) const INVARIANT_BREACHES: Instrument = row(
    "tidegate.invariant.breaches",
    C,
    "{breach}",
    &["invariant", "module"],
    "answers of modules that broke a numbered invariant and were refused",
);
pub(super) const POLICY_CALLS: Instrument = row(
    "tidegate.policy.calls",
    C,
    "{call}",
    &["kind", "module", "outcome"],
    "calls into policy modules",
);
pub(super) const POLICY_DURATION: Instrument = row(
    "tidegate.policy.duration",
    H,
    "s",
    &["kind", "module"],
    "one call into a policy module",
);
pub(super) const SWAPS: Instrument = row(
    "tidegate.swap.count",
    C,
    "{swap}",
    &["kind", "outcome"],
    "changes of the module that serves a slot",
);
pub(super) const PLAN_GENERATION: Instrument = row(
    "tidegate.plan.generation",
    G,
    "{generation}",
    &["pool"],
    "the generation of the plan last published",
);
pub(super) const PLAN_AMENDMENTS: Instrument = row(
    "tidegate.plan.amendments",
    C,
    "{plan}",
    &["pool"],
    "plans amended within a step, since measured use departed from them",
);
pub(super) const ALERTS_ACTIVE: Instrument = row(
    "tidegate.alerts.active",
    G,
    "{alert}",
    &["kind"],
    "alerts that are raised and not yet cleared",
);
pub(super) const FITS: Instrument = row(
    "tidegate.fit.count",
    C,
    "{fit}",
    &["module", "reason"],
    "series that were given to a module to fit",
);
pub(super) const FIT_CPU: Instrument = row(
    "tidegate.fit.cpu",
    H,
    "s",
    &["module"],
    "CPU time of fitting one batch of series",
);
pub(super) const FIT_TENANT_CPU: Instrument = row(
    "tidegate.fit.tenant.cpu",
    C,
    "s",
    &["tenant"],
    "CPU time of fitting a tenant's series",
);
pub(super) const FIT_OUTCOMES: Instrument = row(
    "tidegate.fit.outcomes",
    C,
    "{fit}",
    &["module", "outcome"],
    "series given to a module to fit that were fitted (`done`), were not (`failed`: too little data or a fault), or were cut short (`cancelled`)",
);
pub(super) const CHALLENGER_FAULTS: Instrument = row(
    "tidegate.challenger.faults",
    C,
    "{fault}",
    &["module"],
    "answers that challengers owed in shadow and did not give",
);
pub(super) const TRIALS_CONCLUDED: Instrument = row(
    "tidegate.policy.trials",
    C,
    "{trial}",
    &["kind", "outcome"],
    "comparisons of two versions of a binding that ended: `promote`, `roll-back`, `inconclusive`, `watched`, `refused`",
);
pub(super) const REUSE_WITHDRAWN: Instrument = row(
    "tidegate.policy.reuse_withdrawn",
    C,
    "{module}",
    &["module"],
    "modules whose reused instance answered other than a fresh one, and which get fresh ones alone since",
);
pub(super) const STATES_MIGRATED: Instrument = row(
    "tidegate.policy.states.migrated",
    C,
    "{state}",
    &["module", "outcome"],
    "stored states that a module was to take over from another version of itself: `moved`, `unsupported` (fitted anew), or `failed`, which refuses the swap",
);
pub(super) const STATES_DROPPED: Instrument = row(
    "tidegate.policy.states.dropped",
    C,
    "{state}",
    &["kind"],
    "states that no binding needs any more, after the time in which a rollback may need them",
);
pub(super) const FORECAST_COVERAGE: Instrument = row(
    "tidegate.forecast.coverage",
    G,
    "1",
    &["api", "level", "band"],
    "share of outcomes at or below a quantile level (per 10,000), by how far ahead they were forecast",
);
pub(super) const FORECAST_LOSS: Instrument = row(
    "tidegate.forecast.loss",
    G,
    "1",
    &["api", "band"],
    "mean pinball loss over that of seasonal-naive, by how far ahead; below 1 is better",
);
pub(super) const CHAMPION_CHANGES: Instrument = row(
    "tidegate.forecast.champion.changes",
    C,
    "{change}",
    &["ground"],
    "series that another module has come to answer for",
);
pub(super) const TASK_FAULTS: Instrument = row(
    "tidegate.task.faults",
    C,
    "{fault}",
    &["task", "fault"],
    "runs of the daemon's own tasks that failed or panicked",
);

/// Every instrument of the daemon.
pub const INSTRUMENTS: [Instrument; 37] = [
    INGEST_SAMPLES,
    INGEST_REFUSED,
    INGEST_LEFT_OUT,
    FEED_POINTS,
    QUOTA_REFUSED,
    STORE_FSYNC,
    STORE_BYTES,
    STORE_HELD,
    STORE_DROPPED,
    STORE_DROPPED_EARLY,
    STORE_OVER,
    STORE_SEALING,
    STORE_UNROLLED,
    STORE_FREE,
    STORE_BACKUP_TIME,
    STORE_BACKUP_SIZE,
    CYCLE_DURATION,
    INVARIANT_BREACHES,
    POLICY_CALLS,
    POLICY_DURATION,
    SWAPS,
    PLAN_GENERATION,
    PLAN_AMENDMENTS,
    ALERTS_ACTIVE,
    FITS,
    FIT_CPU,
    FIT_TENANT_CPU,
    FIT_OUTCOMES,
    CHALLENGER_FAULTS,
    TRIALS_CONCLUDED,
    REUSE_WITHDRAWN,
    STATES_MIGRATED,
    STATES_DROPPED,
    FORECAST_COVERAGE,
    FORECAST_LOSS,
    CHAMPION_CHANGES,
    TASK_FAULTS,
];
