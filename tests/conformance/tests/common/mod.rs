//! The shipped plugins, built once per test run, and core's questions as the models take them.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::PathBuf;
use std::sync::OnceLock;
use tidegate_build::{Builder, Built};
use tidegate_core::policy::{
    Allocation, AllocationInput, Allocator, Blob, Forecaster, Judge, LoanRow, Tierer,
};
use tidegate_core::tier::Tier;
use tidegate_core::units::Dimension;
use tidegate_engine::{Engine, Limits, Loaded, Options, Policy};
use tidegate_fit::PoolColumns;

pub(crate) const NAMES: [&str; 12] = [
    "arima",
    "ensemble",
    "ets",
    "learned",
    "lstm",
    "prophet",
    "proportional",
    "seasonal-naive",
    "sequential-judge",
    "slo-tiers",
    "theta",
    "waterfill",
];

/// All shipped plugins, built as they are for the daemon.
pub(crate) fn shipped() -> &'static [Built] {
    static BUILT: OnceLock<Vec<Built>> = OnceLock::new();
    BUILT.get_or_init(|| {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let builder = Builder::new(root.join("plugins")).target_dir(root.join("target/guests"));
        let packages = builder
            .packages()
            .expect("the shipped plugins are declared");
        builder.build(&packages).expect("the shipped plugins build")
    })
}

pub(crate) fn component(name: &str) -> Vec<u8> {
    let built = shipped()
        .iter()
        .find(|b| b.manifest.name == name)
        .expect("it is shipped");
    std::fs::read(&built.component).expect("it was written")
}

pub(crate) fn load(name: &str) -> Loaded {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let options = || Options {
        instances: 8,
        ..Options::default()
    };
    let engine = ENGINE.get_or_init(|| Engine::new(options()).expect("the engine starts"));
    engine
        .admit(&component(name), &Limits::default())
        .expect("it is admitted")
}

macro_rules! policy {
    ($name:ident, $variant:ident, $kind:ident) => {
        pub(crate) fn $name(name: &str) -> std::sync::Arc<dyn $kind> {
            match load(name).policy() {
                Policy::$variant(policy) => policy.clone(),
                other => panic!("{name} is a {}", other.kind()),
            }
        }
    };
}
policy!(forecaster, Forecaster, Forecaster);
policy!(allocator, Allocator, Allocator);
policy!(tierer, Tierer, Tierer);
policy!(judge, Judge, Judge);

pub(crate) fn columns(q: &AllocationInput) -> PoolColumns {
    let tier = |t: &Tier| match t {
        Tier::Bronze => tidegate_fit::Tier::Bronze,
        Tier::Silver => tidegate_fit::Tier::Silver,
        Tier::Gold => tidegate_fit::Tier::Gold,
    };
    let dimension = |d: &Dimension| match d {
        Dimension::Cpu => tidegate_fit::Dimension::Cpu,
        Dimension::Memory => tidegate_fit::Dimension::Memory,
        Dimension::Network => tidegate_fit::Dimension::Network,
        Dimension::Io => tidegate_fit::Dimension::Io,
        Dimension::Requests => tidegate_fit::Dimension::Requests,
    };
    PoolColumns {
        steps: q.grid.count,
        dimensions: q.dimensions.iter().map(dimension).collect(),
        capacity: q.capacity.clone(),
        capacity_max: q.capacity_max.clone(),
        apis: q.apis.clone(),
        tiers: q.tiers.iter().map(tier).collect(),
        weights: q.weights.clone(),
        tenants: q.tenants.clone(),
        floor: q.floor.clone(),
        ceiling: q.ceiling.clone(),
        demand: q.demand.clone(),
        median: q.median.clone(),
        expected: q.expected.clone(),
        usage: q.usage.clone(),
        previous_guaranteed: q.previous_guaranteed.clone(),
        previous_limit: q.previous_limit.clone(),
        step_up: q.step_up.clone(),
        step_down: q.step_down.clone(),
        emergency: q.emergency.iter().map(|e| u8::from(*e)).collect(),
        quota: q.quota.clone(),
        lends: q.lends.iter().map(|l| u8::from(*l)).collect(),
        borrows: q.borrows.iter().map(|b| u8::from(*b)).collect(),
        max_share: q.max_share.clone(),
    }
}

/// A plan with its loans, in core's words.
fn in_cores_words(plan: tidegate_model_waterfill::Output, state: Blob) -> Allocation {
    let loans = plan.loans.iter().map(|l| LoanRow {
        lender: l.lender,
        borrower: l.borrower,
        dimension: l.dimension,
        amount: l.amount,
        from_step: l.from_step,
        until_step: l.until_step,
    });
    Allocation {
        guaranteed: plan.allocation.guaranteed,
        limit: plan.allocation.limit,
        loans: loans.collect(),
        wanted: plan.wanted,
        reasons: plan.reasons,
        state,
    }
}

/// Waterfill, natively, in core's words.
pub(crate) fn waterfill(q: &AllocationInput) -> Allocation {
    let config = tidegate_model_waterfill::Config::default();
    let plan = tidegate_model_waterfill::allocate(&config, &columns(q)).expect("a lawful pool");
    let nothing = Blob {
        format: 1,
        bytes: vec![],
    };
    in_cores_words(plan, nothing)
}

/// Learned headroom, natively, in core's words.
pub(crate) fn learned(q: &AllocationInput) -> Allocation {
    use tidegate_model_learned::{Config, Moment, STATE_FORMAT, State, allocate};
    let mut state = match q.state.bytes.is_empty() {
        true => State::default(),
        false => State::decode(&q.state.bytes).expect("its own state"),
    };
    let moment = Moment {
        start: q.grid.start.0,
        step: q.grid.step.secs(),
    };
    let plan =
        allocate(&Config::default(), &mut state, moment, &columns(q)).expect("a lawful pool");
    let kept = Blob {
        format: STATE_FORMAT,
        bytes: state.encode().expect("it is encoded"),
    };
    in_cores_words(plan, kept)
}

/// Proportional shares, natively, in core's words.
pub(crate) fn proportional(q: &AllocationInput) -> Allocation {
    let config = tidegate_model_proportional::Config::default();
    let plan = tidegate_model_proportional::allocate(&config, &columns(q)).expect("a lawful pool");
    Allocation {
        guaranteed: plan.allocation.guaranteed,
        limit: plan.allocation.limit,
        loans: vec![],
        wanted: plan.wanted,
        reasons: plan.reasons,
        state: Blob {
            format: 1,
            bytes: vec![],
        },
    }
}
