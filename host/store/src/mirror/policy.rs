//! What policies were asked: the inputs from which a plan can be recomputed (LE1).

use super::{Mirror, mirror_struct};
use serde::{Deserialize, Serialize};
use tidegate_core::policy::{AllocationInput, Blob, TierInput};
use tidegate_core::tier::Tier;
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::{Dimension, Level};

type Stored<T> = <T as Mirror>::Stored;

mirror_struct!(Blob as StoredBlob { format: u32, bytes: Vec<u8> });

mirror_struct!(AllocationInput as StoredAllocationInput {
    now: Timestamp,
    seed: u64,
    state: Blob,
    grid: Grid,
    dimensions: Vec<Dimension>,
    capacity: Vec<f64>,
    capacity_max: Vec<f64>,
    apis: Vec<u64>,
    tiers: Vec<Tier>,
    weights: Vec<f64>,
    tenants: Vec<u32>,
    floor: Vec<f64>,
    ceiling: Vec<f64>,
    demand: Vec<f64>,
    median: Vec<f64>,
    expected: Vec<f64>,
    usage: Vec<f64>,
    previous_guaranteed: Vec<f64>,
    previous_limit: Vec<f64>,
    step_up: Vec<f64>,
    step_down: Vec<f64>,
    emergency: Vec<bool>,
    quota: Vec<f64>,
    lends: Vec<bool>,
    borrows: Vec<bool>,
    max_share: Vec<f64>,
});

/// What an allocator was asked before tiers said how they share: all did so freely.
#[derive(Serialize, Deserialize)]
pub(crate) struct UnsharedInput {
    now: Stored<Timestamp>,
    seed: u64,
    state: StoredBlob,
    grid: Stored<Grid>,
    dimensions: Stored<Vec<Dimension>>,
    capacity: Vec<f64>,
    capacity_max: Vec<f64>,
    apis: Vec<u64>,
    tiers: Stored<Vec<Tier>>,
    weights: Vec<f64>,
    tenants: Vec<u32>,
    floor: Vec<f64>,
    ceiling: Vec<f64>,
    demand: Vec<f64>,
    median: Vec<f64>,
    expected: Vec<f64>,
    usage: Vec<f64>,
    previous_guaranteed: Vec<f64>,
    previous_limit: Vec<f64>,
    step_up: Vec<f64>,
    step_down: Vec<f64>,
    emergency: Vec<bool>,
    quota: Vec<f64>,
}

impl From<UnsharedInput> for StoredAllocationInput {
    fn from(old: UnsharedInput) -> Self {
        let apis = old.apis.len();
        Self {
            now: old.now,
            seed: old.seed,
            state: old.state,
            grid: old.grid,
            dimensions: old.dimensions,
            capacity: old.capacity,
            capacity_max: old.capacity_max,
            apis: old.apis,
            tiers: old.tiers,
            weights: old.weights,
            tenants: old.tenants,
            floor: old.floor,
            ceiling: old.ceiling,
            demand: old.demand,
            median: old.median,
            expected: old.expected,
            usage: old.usage,
            previous_guaranteed: old.previous_guaranteed,
            previous_limit: old.previous_limit,
            step_up: old.step_up,
            step_down: old.step_down,
            emergency: old.emergency,
            quota: old.quota,
            lends: vec![true; apis],
            borrows: vec![true; apis],
            max_share: vec![1.0; Tier::ALL.len()],
        }
    }
}

mirror_struct!(TierInput as StoredTierInput {
    now: Timestamp,
    seed: u64,
    state: Blob,
    apis: Vec<u64>,
    current: Vec<Tier>,
    base: Vec<Tier>,
    lowest: Vec<Tier>,
    highest: Vec<Tier>,
    dwell: Vec<u32>,
    expected: Vec<f64>,
    levels: Vec<Level>,
    peak: Vec<f64>,
    utilisation: Vec<f64>,
    burn_windows: Vec<u32>,
    burn: Vec<f64>,
    budget_left: Vec<f64>,
});
