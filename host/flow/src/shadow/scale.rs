//! The incumbent's running loss: the unit in which differences are told.
//!
//! A gate's margin is a part of the incumbent's loss, and a bet needs differences between -1 and 1. So
//! each difference is divided by what the incumbent used to lose *before* it: known in advance, so that
//! it changes no sign and no expectation, and the same for both. Rejected: the difference over the sum of
//! both losses, which needs no memory, because then one step at which both happened to be right outweighs
//! a day at which one was wrong; and seasonal-naive's loss, as scores are told in, because beside an
//! incumbent that is five times better than that, twice as bad would still look small.

use crate::demand::codec::{Reader, Writer};

/// Losses that are only learned from, before the first counts.
const FIRST: u32 = 3;

/// Gain of the running mean once it is old: some 50 losses.
const GAIN: f64 = 0.02;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scale {
    seen: u32,
    mean: f64,
}

impl Scale {
    /// The difference in units of the incumbent's loss, and learns from it; `None` while nothing is known
    /// of the incumbent. `floor`: what the unit is at least, above 0.
    pub fn difference(&mut self, candidate: f64, incumbent: f64, floor: f64) -> Option<f64> {
        if !candidate.is_finite() || !incumbent.is_finite() {
            return None;
        }
        let unit = self.mean.max(floor);
        let is_known = self.seen >= FIRST && unit > 0.0;
        let gain = (1.0 / (f64::from(self.seen) + 1.0)).max(GAIN);
        self.mean += gain * (incumbent - self.mean);
        self.seen = self.seen.saturating_add(1);
        is_known.then(|| (candidate - incumbent) / unit)
    }

    pub(super) fn write(self, to: &mut Writer) {
        to.count(self.seen as usize);
        to.float(self.mean);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            seen: from.number()?,
            mean: from.sound()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_a_part_of_what_the_incumbent_lost_before() {
        let mut scale = Scale::default();
        for _ in 0..3 {
            assert_eq!(scale.difference(9.0, 4.0, 0.1), None);
        }
        assert_eq!(scale.difference(5.0, 4.0, 0.1), Some(0.25));
        assert_eq!(scale.difference(44.0, 4.0, 0.1), Some(10.0));
        assert_eq!(scale.difference(f64::NAN, 4.0, 0.1), None);
    }

    #[test]
    fn an_incumbent_that_loses_nothing_has_the_floor_for_a_unit() {
        let mut scale = Scale::default();
        for _ in 0..3 {
            assert_eq!(scale.difference(0.0, 0.0, 0.1), None);
        }
        assert_eq!(scale.difference(0.05, 0.0, 0.1), Some(0.5));
    }
}
