//! What policies were asked: the inputs from which a plan can be recomputed (LE1).

use super::mirror_struct;
use tidegate_core::policy::{AllocationInput, Blob, TierInput};
use tidegate_core::tier::Tier;
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::{Dimension, Level};

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
});

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
