//! Random pools that an allocator may meet, from a shape and a seed.
//!
//! Lawful, but not kind: capacities that floors alone exceed, quotas of nothing, limits in force
//! that the pool no longer holds, tenths that do not add up. A generator of our own rather than a
//! property-test strategy, since `policy test` runs it too; property tests draw shape and seed, and
//! shrink the shape.

use tidegate_core::policy::{AllocationInput, Blob, UNBOUNDED};
use tidegate_core::tier::Tier;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Dimension;

/// How large a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Apis, from 0 on.
    pub apis: usize,
    /// Steps, at least 1.
    pub steps: usize,
    /// Dimensions, 1 to 5.
    pub dimensions: usize,
    /// Tenants, at least 1.
    pub tenants: u32,
}

/// A stream of numbers: splitmix64 (Steele, Lea & Flood, OOPSLA 2014).
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0 to 1, without 1.
    pub fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let unit = (self.bits() >> 11) as f64 / (1_u64 << 53) as f64;
        unit
    }

    /// Uniform in 0 to `n`, without `n`; 0 where `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.bits().checked_rem(n).unwrap_or(0)
    }

    /// An amount of the awkward kinds: nothing, tenths, tiny, huge, ordinary.
    pub fn amount(&mut self) -> f64 {
        match self.below(10) {
            0 | 1 => 0.0,
            #[expect(clippy::cast_precision_loss, reason = "below 40")]
            2 | 3 => self.below(40) as f64 * 0.1,
            4 => 1e-9 + self.unit() * 1e-6,
            5 => 1e6 * (1.0 + self.unit()),
            _ => self.unit() * 20.0,
        }
    }

    fn share(&mut self) -> f64 {
        if self.below(3) == 0 { self.unit() } else { 1.0 }
    }

    fn bound(&mut self) -> f64 {
        if self.below(3) == 0 {
            self.amount()
        } else {
            UNBOUNDED
        }
    }
}

/// A pool of that shape.
#[must_use]
pub fn pool(shape: Shape, seed: u64) -> AllocationInput {
    let mut r = Numbers::new(seed);
    let d = shape.dimensions.clamp(1, Dimension::ALL.len());
    let (n, s) = (shape.apis, shape.steps.max(1));
    // Apis alone would ask for about 6 each: from far too little to plenty.
    #[expect(clippy::cast_precision_loss, reason = "few apis")]
    let scale = n as f64 * 6.0 * r.unit() * 2.0;
    // A pool that shrinks or grows within the plan, or stays.
    let moves = r.below(3) == 0;
    let capacity: Vec<f64> = (0..d)
        .map(|_| {
            if r.below(12) == 0 {
                0.0
            } else {
                scale * (0.2 + r.unit())
            }
        })
        .collect();
    let capacity: Vec<f64> = (0..s)
        .flat_map(|_| {
            capacity
                .iter()
                .map(|c| if moves { c * (0.5 + r.unit()) } else { *c })
                .collect::<Vec<_>>()
        })
        .collect();
    let new: Vec<bool> = (0..n).map(|_| r.below(5) == 0).collect();
    let previous = |r: &mut Numbers| -> Vec<f64> {
        (0..n * d)
            .map(|at| if new[at / d] { -1.0 } else { r.amount() })
            .collect()
    };
    let previous_limit = previous(&mut r);
    let previous_guaranteed = previous_limit
        .iter()
        .map(|l| if *l < 0.0 { *l } else { l * r.unit() })
        .collect();
    let some =
        |r: &mut Numbers, count: usize| -> Vec<f64> { (0..count).map(|_| r.amount()).collect() };
    AllocationInput {
        now: Timestamp(1_700_000_000_000),
        seed: r.bits(),
        state: Blob::default(),
        grid: Grid {
            start: Timestamp(1_700_000_040_000),
            step: Step::MINUTE,
            count: s,
        },
        dimensions: Dimension::ALL[..d].to_vec(),
        capacity_max: (0..d)
            .map(|k| {
                capacity
                    .iter()
                    .skip(k)
                    .step_by(d)
                    .fold(scale, |a, b| a.max(*b))
            })
            .collect(),
        capacity,
        apis: (0..n as u64).map(|i| i * 7 + 3).collect(),
        tiers: (0..n)
            .map(|_| Tier::ALL[usize::try_from(r.below(3)).unwrap_or(0)])
            .collect(),
        weights: (0..n).map(|_| 0.5 + 4.0 * r.unit()).collect(),
        tenants: (0..n)
            .map(|_| u32::try_from(r.below(u64::from(shape.tenants.max(1)))).unwrap_or(0))
            .collect(),
        floor: some(&mut r, n * d),
        ceiling: (0..n * d).map(|_| r.bound()).collect(),
        demand: some(&mut r, n * s * d),
        median: some(&mut r, n * s * d),
        expected: some(&mut r, n * d),
        usage: some(&mut r, n * d),
        previous_guaranteed,
        previous_limit,
        step_up: (0..n).map(|_| 1.0 + 4.0 * r.unit()).collect(),
        step_down: (0..n)
            .map(|_| if r.below(6) == 0 { 0.0 } else { r.unit() })
            .collect(),
        emergency: (0..n).map(|_| r.below(5) == 0).collect(),
        quota: (0..shape.tenants.max(1) as usize * d)
            .map(|_| {
                if r.below(3) == 0 {
                    UNBOUNDED
                } else {
                    scale * r.unit()
                }
            })
            .collect(),
        lends: (0..n).map(|_| r.below(4) > 0).collect(),
        borrows: (0..n).map(|_| r.below(4) > 0).collect(),
        max_share: Tier::ALL.map(|_| r.share()).to_vec(),
    }
}

/// The shapes and seeds that [`check`](crate::check) asks: 32 of them.
pub fn sampled() -> impl Iterator<Item = AllocationInput> {
    (0..32_u64).map(|seed| {
        let mut r = Numbers::new(seed ^ 0x7064);
        let mut size = |most: u64| usize::try_from(r.below(most)).unwrap_or(0);
        let shape = Shape {
            apis: size(9),
            steps: size(6) + 1,
            dimensions: size(3) + 1,
            tenants: u32::try_from(size(3)).unwrap_or(0) + 1,
        };
        pool(shape, seed)
    })
}
