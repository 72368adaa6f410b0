//! A seasonal profile: one value per phase, or per bin of phases with linear interpolation.
//!
//! A week of 5-minute steps has 2,016 phases, each seen two or three times in a usual history.
//! A bin per hour is smoother than the noise of so few repetitions, and 168 numbers keep the
//! state small. The first (shortest) season has one bin per phase up to 288 of them; a day of
//! minutes or of ten-second steps has five-minute bins, because a thousand numbers a series would
//! say little more and fill the store.
//!
//! Values are `f32` while a fit works on them, and on a grid of their own from then on ([`Bins`]):
//! because updates read and write the stored precision, cutting a batch in two changes nothing.

use serde::{Deserialize, Serialize};

use crate::Bins;

/// One season of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Length in steps.
    pub period: u32,
    /// The gain (gamma) with which an innovation moves this season.
    pub gain: f64,
    /// The profile; its length divides `period`.
    pub bins: Bins,
}

/// Where a step falls: two neighbouring bins and the weight of the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The bin before, or the only one.
    pub first: usize,
    /// The bin after; the same as `first` where a step has its own.
    pub second: usize,
    /// The weight of `second`, in 0..1.
    pub weight: f64,
}

impl Table {
    /// A profile of `bins` equal values.
    #[must_use]
    pub fn flat(period: u32, bins: usize, value: f32) -> Self {
        Self {
            period,
            gain: 0.0,
            bins: Bins::free(vec![value; bins]),
        }
    }

    /// Steps per bin.
    #[must_use]
    pub fn stride(&self) -> u64 {
        (u64::from(self.period) / self.bins.len().max(1) as u64).max(1)
    }

    /// The bins of a step of the absolute grid.
    #[must_use]
    pub fn place(&self, clock: u64) -> Place {
        let phase = clock % u64::from(self.period.max(1));
        let n = self.bins.len();
        let stride = self.stride();
        if stride == 1 {
            let at = phase as usize;
            return Place {
                first: at,
                second: at,
                weight: 0.0,
            };
        }
        // Bin k is centred on step k * stride + (stride - 1) / 2.
        let twice = 2 * phase + 2 * u64::from(self.period) + 1 - stride;
        let first = (twice / (2 * stride)) as usize % n;
        let weight = (twice % (2 * stride)) as f64 / (2 * stride) as f64;
        Place {
            first,
            second: (first + 1) % n,
            weight,
        }
    }

    /// The profile at a step of the absolute grid.
    #[must_use]
    pub fn at(&self, clock: u64) -> f64 {
        let p = self.place(clock);
        let first = f64::from(self.bins[p.first]);
        if p.first == p.second {
            return first;
        }
        first + p.weight * (f64::from(self.bins[p.second]) - first)
    }

    /// Moves the profile at a step by `change(value)`, shared out by the place's weights.
    pub fn adjust(&mut self, clock: u64, change: impl Fn(f64) -> f64) {
        let p = self.place(clock);
        // A bin of `stride` steps meets as many innovations: each moves it by its share.
        let share = 1.0 / self.stride() as f64;
        let mut nudge = |at: usize, weight: f64| {
            let old = f64::from(self.bins[at]);
            self.bins
                .blend(at, old + weight * (change(old) - old), clock);
        };
        if p.first == p.second {
            nudge(p.first, 1.0);
        } else {
            nudge(p.first, (1.0 - p.weight) * share);
            nudge(p.second, p.weight * share);
        }
    }

    /// Whether a decoded table can be read without leaving its bounds.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let n = self.bins.len();
        n > 0
            && (self.period as usize).is_multiple_of(n)
            && self.gain.is_finite()
            && self.bins.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fine_table_answers_by_phase() {
        let mut t = Table::flat(4, 4, 0.0);
        t.adjust(6, |_| 5.0);
        assert_eq!(
            (0..4).map(|c| t.at(c) as i32).collect::<Vec<_>>(),
            vec![0, 0, 5, 0]
        );
    }

    #[test]
    fn a_coarse_table_is_a_polyline_through_its_bin_centres() {
        let t = Table {
            period: 6,
            gain: 0.0,
            bins: Bins::free(vec![0.0, 6.0]),
        };
        let seen: Vec<_> = (0..6).map(|c| t.at(c)).collect();
        assert_eq!(seen, vec![2.0, 0.0, 2.0, 4.0, 6.0, 4.0]);
    }

    #[test]
    fn a_coarse_table_keeps_its_mean() {
        let t = Table {
            period: 12,
            gain: 0.0,
            bins: Bins::free(vec![1.0, 2.0, 6.0]),
        };
        let mean = (0..12).map(|c| t.at(c)).sum::<f64>() / 12.0;
        assert!((mean - 3.0).abs() < 1e-9);
    }
}
