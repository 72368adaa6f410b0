//! The trend after the fit: a value, a slope, and how often slopes change.

use serde::{Deserialize, Serialize};

/// A line from the last fitted row on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trend {
    /// Its value at the last fitted row.
    pub(crate) level: f64,
    /// Per step.
    pub(crate) slope: f64,
    /// Steps since the last fitted row.
    pub(crate) age: u32,
    /// Steps after which the line is level: no slope is known to hold for long.
    pub(crate) limit: u32,
    /// Changes of slope in a step.
    pub(crate) rate: f64,
    /// Their mean size.
    pub(crate) bend: f64,
}

impl Trend {
    /// The value `h` steps after the newest row.
    pub(crate) fn at(&self, h: usize) -> f64 {
        let steps = (f64::from(self.age) + h as f64).min(f64::from(self.limit));
        self.level + self.slope * steps
    }

    /// Whether decoded numbers can be read.
    pub(crate) fn is_sound(&self) -> bool {
        let finite = [self.level, self.slope, self.rate, self.bend];
        finite.iter().all(|v| v.abs() < 1e15) && self.rate >= 0.0 && self.rate <= 1.0
    }
}
