//! What has been seen of every headroom: facts, whose cost is reckoned when a choice is made.
//!
//! Kept are discounted sums of how often each headroom would have been short and of how much it
//! would have bought, in parts of ordinary load. The latter is linear in three of them, so that a
//! headroom costs one number. Prices are not in it: a change of configuration acts at once on all
//! that was learned.

use serde::{Deserialize, Serialize};

use crate::headroom::{ARMS, HEADROOMS, Need};

/// What a measured step says of every headroom.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Lesson {
    /// Per headroom: the risk that it was short, 0 to 1.
    pub(crate) short: [f64; ARMS],
    /// Measured, in ordinary loads.
    pub(crate) used: f64,
    /// The median, the width and what a unit beyond adds, in ordinary loads.
    pub(crate) bought: [f64; 3],
}

impl Lesson {
    /// Adds the part of another.
    pub(crate) fn add(&mut self, other: &Self, part: f64) {
        let pairs = self.short.iter_mut().zip(&other.short);
        pairs.for_each(|(a, b)| *a += part * b);
        let pairs = self.bought.iter_mut().zip(&other.bought);
        pairs.for_each(|(a, b)| *a += part * b);
        self.used += part * other.used;
    }
}

/// Discounted sums of lessons.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evidence {
    steps: f32,
    short: [f32; ARMS],
    used: f32,
    bought: [f32; 3],
}

/// What shortage and slack cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Prices {
    pub(crate) shortage: f64,
    pub(crate) slack: f64,
}

impl Evidence {
    /// Steps that count.
    pub(crate) fn steps(&self) -> f64 {
        f64::from(self.steps)
    }

    /// Takes a lesson; what was there counts `keep` of what it did.
    pub(crate) fn learn(&mut self, lesson: &Lesson, keep: f64) {
        let put = |sum: &mut f32, new: f64| *sum = (f64::from(*sum) * keep + new) as f32;
        put(&mut self.steps, 1.0);
        put(&mut self.used, lesson.used);
        let pairs = self.short.iter_mut().zip(lesson.short);
        pairs.for_each(|(sum, new)| put(sum, new));
        let pairs = self.bought.iter_mut().zip(lesson.bought);
        pairs.for_each(|(sum, new)| put(sum, new));
    }

    /// What all steps would have cost at each headroom. Slack is counted as all that is bought: what
    /// is used of it is the same at every headroom.
    pub(crate) fn costs(&self, prices: Prices) -> [f64; ARMS] {
        std::array::from_fn(|k| {
            prices.shortage * f64::from(self.short[k]) + prices.slack * self.bought(HEADROOMS[k])
        })
    }

    fn bought(&self, headroom: f64) -> f64 {
        let [median, width, beyond] = self.bought.map(f64::from);
        let need = Need {
            median,
            demand: median,
        };
        median
            + headroom.min(0.0) * need.below()
            + headroom.clamp(0.0, 1.0) * width
            + (headroom - 1.0).max(0.0) * beyond
    }

    /// Idle part of what a headroom buys, 0 to 1; `None` before anything was bought.
    pub(crate) fn slack(&self, headroom: f64) -> Option<f64> {
        let bought = self.bought(headroom);
        (bought > 0.0).then(|| (1.0 - f64::from(self.used) / bought).max(0.0))
    }

    /// The sum of two.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let mut sum = *self;
        sum.steps += other.steps;
        sum.used += other.used;
        let pairs = sum.short.iter_mut().zip(other.short);
        pairs.for_each(|(a, b)| *a += b);
        let pairs = sum.bought.iter_mut().zip(other.bought);
        pairs.for_each(|(a, b)| *a += b);
        sum
    }

    /// Whether these can be sums of lessons.
    pub(crate) fn is_sane(&self) -> bool {
        let mut all = self.short.iter().chain(&self.bought);
        let amount = |v: &f32| (0.0..1e9).contains(v);
        amount(&self.steps) && amount(&self.used) && all.all(amount)
    }
}
