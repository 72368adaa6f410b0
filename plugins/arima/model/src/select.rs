//! Which seasonal gain, which differencing, which ARMA: by forecasts over growing horizons.
//!
//! Every pair of a seasonal gain (or none) and d gets the ARMA that the AICc likes best; then the
//! mean absolute errors 1, 2, 3, 4, 6, ... steps ahead decide between the pairs, each horizon in
//! units of the best. Rejected: the KPSS test for d and a strength-of-season test for D. Both ask
//! whether a hypothesis can be refused one step ahead; load is neither stationary nor a random
//! walk, and the wrong choice shows hours ahead.

use crate::arma::{Ahead, Arma, Memory};
use crate::config::{Choice, Config, DifferenceChoice};
use crate::search::search;
use crate::season::Season;

/// Seasonal gains `1 - theta` that are tried.
const GAINS: [f64; 4] = [0.05, 0.15, 0.3, 0.6];
/// The profile's gain where the recursion has none, for the direct regressions.
const IDLE_GAIN: f64 = 0.3;
/// Origins of this comparison.
const ORIGINS: usize = 150;
/// The newest values that coefficients are estimated from.
const NEWEST: usize = 4032;

/// A history that models are compared on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample<'a> {
    /// Transformed values without gaps.
    pub(crate) filled: &'a [f64],
    /// The same, NaN where nothing was observed.
    pub(crate) seen: &'a [f64],
    pub(crate) clock: u64,
    /// The first season, if the history shows it.
    pub(crate) day: Option<usize>,
    /// The second one.
    pub(crate) week: Option<usize>,
}

/// The winner.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    pub(crate) seasonal: bool,
    pub(crate) gain: f64,
    pub(crate) arma: Arma,
}

struct Candidate {
    found: Selected,
    losses: Vec<f64>,
}

impl Sample<'_> {
    /// A season that has seen the first day.
    pub(crate) fn season(&self, gain: f64) -> Option<Season> {
        let first = self.filled.get(..self.day?)?;
        Season::new(first, self.clock, self.week, gain)
    }

    /// The best model for the horizons, which ascend.
    pub(crate) fn select(&self, config: &Config, horizons: &[usize]) -> Selected {
        let reach = self.day.unwrap_or(usize::MAX);
        let near: Vec<usize> = horizons.iter().copied().filter(|h| *h <= reach).collect();
        let mut candidates = Vec::new();
        let mut gains = vec![None];
        if config.season == Choice::Auto && self.day.is_some() {
            gains.extend(GAINS.map(Some));
        }
        for gain in gains {
            let Some(profile) = self.profile(gain) else {
                continue;
            };
            for integrated in [false, true] {
                let excluded = match config.difference {
                    DifferenceChoice::Auto => false,
                    DifferenceChoice::None => integrated,
                    DifferenceChoice::Once => !integrated,
                };
                if !excluded {
                    candidates.push(self.candidate(config, &near, gain, &profile, integrated));
                }
            }
        }
        let best: Vec<f64> = (0..near.len())
            .map(|i| {
                let losses = candidates.iter().map(|c| c.losses[i]);
                losses.fold(f64::INFINITY, f64::min) + 1e-12
            })
            .collect();
        let total = |c: &Candidate| -> f64 { c.losses.iter().zip(&best).map(|(a, b)| a / b).sum() };
        let winner = candidates
            .iter()
            .min_by(|a, b| total(a).total_cmp(&total(b)));
        winner.map_or_else(Selected::none, |c| c.found.clone())
    }

    /// What the profile says of each step before it is seen; 0 without a season.
    fn profile(&self, gain: Option<f64>) -> Option<Vec<f64>> {
        let Some(gain) = gain else {
            return Some(vec![0.0; self.filled.len()]);
        };
        let mut season = self.season(gain)?;
        season.week = None;
        let day = self.day?;
        let mut said = vec![0.0; day];
        for (t, z) in self.seen.iter().enumerate().skip(day) {
            let clock = self.clock + t as u64;
            said.push(season.profile.at(clock));
            season.observe(clock, *z);
        }
        Some(said)
    }

    fn candidate(
        &self,
        config: &Config,
        horizons: &[usize],
        gain: Option<f64>,
        profile: &[f64],
        integrated: bool,
    ) -> Candidate {
        let n = self.filled.len();
        let from = if gain.is_some() {
            self.day.unwrap_or(0)
        } else {
            0
        };
        let newest = from.max(n.saturating_sub(NEWEST));
        let left: Vec<f64> = (newest..n).map(|t| self.filled[t] - profile[t]).collect();
        let mean = if integrated || gain.is_some() {
            0.0
        } else {
            left.iter().sum::<f64>() / left.len() as f64
        };
        let w: Vec<f64> = if integrated {
            left.windows(2).map(|p| p[1] - p[0]).collect()
        } else {
            left.iter().map(|u| u - mean).collect()
        };
        let found = search(&w, usize::from(config.max_order));
        let arma = Arma {
            integrated,
            mean,
            ar: found.ar,
            ma: found.ma,
        };
        let losses = self.losses(&arma, horizons, profile, newest);
        Candidate {
            found: Selected {
                seasonal: gain.is_some(),
                gain: gain.unwrap_or(IDLE_GAIN),
                arma,
            },
            losses,
        }
    }

    /// Mean absolute errors per horizon.
    fn losses(&self, arma: &Arma, horizons: &[usize], profile: &[f64], from: usize) -> Vec<f64> {
        let n = self.filled.len();
        let ahead = Ahead::new(arma, horizons);
        let mut memory = Memory::new(arma, self.filled[from] - profile[from]);
        // The same origins for all: a season needs its second day to be one.
        let start = self.day.map_or(n / 3, |day| (2 * day).min(n / 2)).max(from);
        let every = (n - start).div_ceil(ORIGINS).max(1);
        let mut sums = vec![(0.0, 0.0); horizons.len()];
        for t in from..n {
            memory.observe(arma, self.seen[t] - profile[t]);
            if t < start || !(t - start).is_multiple_of(every) {
                continue;
            }
            for (index, (h, sum)) in horizons.iter().zip(&mut sums).enumerate() {
                let Some(z) = self.seen.get(t + h).filter(|z| !z.is_nan()) else {
                    continue;
                };
                let error = z - profile[t + h] - ahead.at(arma, &memory, index);
                *sum = (sum.0 + error.abs(), sum.1 + 1.0);
            }
        }
        sums.iter().map(|(s, n)| s / f64::max(*n, 1.0)).collect()
    }
}

impl Selected {
    /// Exponential smoothing with a gain of 0.3, where nothing can be compared.
    pub(crate) fn none() -> Self {
        let arma = Arma {
            integrated: true,
            ma: vec![-0.7],
            ..Arma::default()
        };
        Self {
            seasonal: false,
            gain: IDLE_GAIN,
            arma,
        }
    }
}
