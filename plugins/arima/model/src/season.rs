//! What is kept of the past days and of the past week: a profile and two rings, by bins.
//!
//! The seasonal part (0,1,1) of a multiplicative ARIMA, `(1 - B^m) y_t = (1 - theta B^m) u_t`,
//! says that `u_t` is what is left of `y_t` after the exponentially weighted mean of the values
//! at its phase, with gain `1 - theta` (Box and Jenkins, chapter 9). So it is exactly a profile
//! of `m` numbers and costs one addition a step at any season, where a likelihood over `m`
//! lags would cost seconds.
//!
//! A day has at most 288 bins and a week at most 168: at 1-minute steps a bin is the mean of five
//! values, and lookups between bin centres are linear. Updates read and write the
//! precision of the bytes (the kit's [`Bins`]), so that cutting a batch in two changes nothing.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{Bins, PROFILE};

/// The most bins of a day.
pub(crate) const DAY_BINS: usize = 288;
/// The most bins of a week.
pub(crate) const WEEK_BINS: usize = 168;

/// One value per bin of a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cycle {
    period: u32,
    values: Bins,
}

impl Cycle {
    /// At most `most` equal bins of whole steps; `None` where the period is no season, or has
    /// no divisor for bins that are near enough (a prime beyond `most`).
    pub(crate) fn flat(period: usize, most: usize, value: f64) -> Option<Self> {
        let n = (2..=most.min(period))
            .rev()
            .find(|n| period.is_multiple_of(*n))?;
        (n == period || n * 8 >= most).then(|| Self {
            period: period as u32,
            values: Bins::free(vec![value as f32; n]),
        })
    }

    pub(crate) fn period(&self) -> u64 {
        u64::from(self.period)
    }

    /// Steps per bin.
    fn stride(&self) -> u64 {
        u64::from(self.period) / self.values.len() as u64
    }

    fn bin(&self, clock: u64) -> usize {
        (clock % u64::from(self.period) / self.stride()) as usize
    }

    /// The value at a step of the absolute grid.
    pub(crate) fn at(&self, clock: u64) -> f64 {
        let (n, stride) = (self.values.len(), self.stride());
        if stride == 1 {
            return f64::from(self.values[self.bin(clock)]);
        }
        // Bin k is centred on step k * stride + (stride - 1) / 2.
        let phase = clock % u64::from(self.period);
        let twice = 2 * phase + 2 * u64::from(self.period) + 1 - stride;
        let first = (twice / (2 * stride)) as usize % n;
        let weight = (twice % (2 * stride)) as f64 / (2 * stride) as f64;
        let (a, b) = (self.values[first], self.values[(first + 1) % n]);
        f64::from(a) + weight * f64::from(b - a)
    }

    /// The mean of the value at a step and its two neighbours, a bin away.
    pub(crate) fn around(&self, clock: u64) -> f64 {
        let (period, stride) = (u64::from(self.period), self.stride());
        let before = clock + period - stride;
        (self.at(before) + self.at(clock) + self.at(clock + stride)) / 3.0
    }

    /// Whether a step is the last of its bin.
    fn closes(&self, clock: u64) -> bool {
        (clock % u64::from(self.period) + 1).is_multiple_of(self.stride())
    }

    fn put(&mut self, clock: u64, gain: f64, value: f64) {
        let at = self.bin(clock);
        let old = f64::from(self.values[at]);
        self.values.blend(at, old + gain * (value - old), clock);
    }

    fn is_sound(&self, most: usize) -> bool {
        let n = self.values.len();
        n >= 2
            && n <= most
            && self.period as usize >= n
            && (self.period as usize).is_multiple_of(n)
            && self.values.is_finite()
    }
}

/// A running mean of the values of the open bin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Open {
    sum: f64,
    count: u32,
}

impl Open {
    fn add(&mut self, value: f64) {
        if !value.is_nan() {
            self.sum += value;
            self.count += 1;
        }
    }

    /// The mean, if anything was seen; the next bin begins.
    fn close(&mut self) -> Option<f64> {
        let open = std::mem::take(self);
        (open.count > 0).then(|| open.sum / f64::from(open.count))
    }
}

/// The days and, where the history holds two, the weeks behind a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Season {
    /// The weighted mean of all days.
    pub(crate) profile: Cycle,
    /// The last day as it was.
    pub(crate) day: Cycle,
    /// The last week as it was.
    pub(crate) week: Option<Cycle>,
    /// The share of a new day in the profile.
    pub(crate) gain: f64,
    steps: u64,
    of_day: Open,
    of_week: Open,
}

impl Season {
    /// Begins with the values of a first day, which are then already seen; `clock` is that of
    /// the first of them.
    pub(crate) fn new(first: &[f64], clock: u64, week: Option<usize>, gain: f64) -> Option<Self> {
        let n = first.len();
        let mean = first.iter().sum::<f64>() / n.max(1) as f64;
        let flat = Cycle::flat(n, DAY_BINS, mean)?;
        let mut season = Self {
            profile: flat.clone(),
            day: flat,
            week: week.and_then(|w| Cycle::flat(w, WEEK_BINS, mean)),
            gain: 1.0,
            steps: 0,
            of_day: Open::default(),
            of_week: Open::default(),
        };
        for (t, v) in first.iter().enumerate() {
            season.observe(clock + t as u64, *v);
        }
        season.gain = gain;
        Some(season)
    }

    /// Shows the value of a step; NaN moves time on alone.
    pub(crate) fn observe(&mut self, clock: u64, value: f64) {
        self.of_day.add(value);
        self.of_week.add(value);
        if self.profile.closes(clock)
            && let Some(mean) = self.of_day.close()
        {
            // The first days weigh the same: a mean, until the gain is larger.
            let days = self.steps / self.profile.period() + 1;
            let gain = self.gain.max(1.0 / days as f64);
            self.profile.put(clock, gain, mean);
            self.day.put(clock, 1.0, mean);
        }
        if let Some(week) = &mut self.week
            && week.closes(clock)
            && let Some(mean) = self.of_week.close()
        {
            week.put(clock, 1.0, mean);
        }
        self.steps += 1;
    }

    /// Rounds all numbers to what bytes can hold.
    pub(crate) fn settle(&mut self) {
        self.profile.values.settle(PROFILE);
        self.day.values.settle(PROFILE);
        if let Some(week) = &mut self.week {
            week.values.settle(PROFILE);
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        let open = |o: &Open| o.sum.is_finite();
        self.profile.is_sound(DAY_BINS)
            && self.day.is_sound(DAY_BINS)
            && self.week.as_ref().is_none_or(|w| w.is_sound(WEEK_BINS))
            && (0.0..=1.0).contains(&self.gain)
            && self.steps < u64::MAX / 4
            && open(&self.of_day)
            && open(&self.of_week)
            && self.of_day.count < u32::MAX / 4
            && self.of_week.count < u32::MAX / 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_the_weighted_mean_of_its_days() {
        let mut s = Season::new(&[1.0, 5.0], 0, None, 0.25).unwrap();
        for (t, v) in [3.0, f64::NAN, 2.0, 6.0].iter().enumerate() {
            s.observe(2 + t as u64, *v);
        }
        // Gains 1/2 and 1/3, which are above 1/4.
        assert!((s.profile.at(6) - 2.0).abs() < 1e-6);
        assert!((s.profile.at(7) - (5.0 + 1.0 / 3.0)).abs() < 1e-6);
        assert!((s.day.at(6) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_minute_day_is_a_polyline_of_five_minute_means() {
        let line: Vec<f64> = (0..1440).map(f64::from).collect();
        let s = Season::new(&line, 0, Some(1440 * 7), 0.1).unwrap();
        assert!((s.profile.at(700) - 700.0).abs() < 1e-3);
        assert!((s.week.unwrap().at(700) - 700.0).abs() < 1e-3);
    }

    #[test]
    fn a_long_prime_period_has_no_bins() {
        assert_eq!(Cycle::flat(1439, DAY_BINS, 0.0), None);
        assert_eq!(Cycle::flat(1, DAY_BINS, 0.0), None);
        assert!(Cycle::flat(7, DAY_BINS, 0.0).is_some());
    }
}
