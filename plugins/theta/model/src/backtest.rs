//! What the method would have had at hand, and what came: the later part of the history, run with
//! the season of the earlier part.
//!
//! A profile that was estimated from a value fits that value too well. So the profile comes from
//! the first two thirds, and everything else is learned from the rest. The lines do not depend
//! on the thetas: one run serves every theta at every horizon.

use crate::lines::{ALPHAS, Lines};

/// The back-test of one season gain and one slow mean.
#[derive(Debug, Clone)]
pub(crate) struct Backtest {
    /// Steps ahead: 1, 2, 4, ...
    pub(crate) horizons: Vec<usize>,
    /// Steps of the part.
    pub(crate) span: usize,
    /// Per origin, how far each level was above the mean.
    distances: Vec<[f64; ALPHAS.len()]>,
    /// Per origin and horizon, how far above the mean the base was then; NaN where missing.
    rests: Vec<f64>,
    /// Per origin and horizon, the value of a unit of the base.
    units: Vec<f64>,
}

/// One origin at one horizon, in units of the base.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) rest: f64,
    pub(crate) distance: f64,
    unit: f64,
}

/// Steps whose states are still those of the guess that the run begins with.
pub(crate) fn warm_up(span: usize) -> usize {
    (span / 10).min(48)
}

impl Backtest {
    /// Runs `lines`, which stand before the first of the scaled values `z`, with about `origins`
    /// origins; `drift` is what the base moves by per step.
    pub(crate) fn run(z: &[f64], lines: &Lines, origins: usize, drift: f64) -> Self {
        let horizons: Vec<usize> = std::iter::successors(Some(1usize), |h| Some(h * 2))
            .take_while(|h| *h == 1 || *h <= z.len() / 3)
            .collect();
        let every = z.len().div_ceil(origins).max(1);
        let mut lines = lines.clone();
        let mut test = Self {
            horizons,
            span: z.len(),
            distances: Vec::with_capacity(origins),
            rests: Vec::new(),
            units: Vec::new(),
        };
        let warm = warm_up(z.len());
        for (t, v) in z.iter().enumerate() {
            if t >= warm && (t - warm).is_multiple_of(every) {
                test.distances.push(lines.levels.map(|l| l - lines.mean));
                for h in &test.horizons {
                    let season = lines.season.at(lines.clock + *h as u64 - 1);
                    let came = z.get(t + h - 1).copied().unwrap_or(f64::NAN);
                    let base = lines.season.adjust(came, season);
                    test.rests.push(base - lines.mean - drift * *h as f64);
                    test.units.push(lines.season.factor(season));
                }
            }
            lines.observe(*v);
        }
        test
    }

    /// The origins at horizon number `k` where something came, with the levels of one speed.
    pub(crate) fn cases(&self, k: usize, speed: usize) -> impl Iterator<Item = Case> + '_ {
        let width = self.horizons.len();
        self.distances.iter().enumerate().filter_map(move |(o, d)| {
            let (rest, unit) = (self.rests[o * width + k], self.units[o * width + k]);
            rest.is_finite().then_some(Case {
                rest,
                distance: d[speed],
                unit,
            })
        })
    }

    /// The logarithm of the mean absolute error with weight `w`; NaN without any case.
    pub(crate) fn loss(&self, k: usize, speed: usize, w: f64) -> f64 {
        let (mut sum, mut n) = (0.0, 0.0);
        for case in self.cases(k, speed) {
            sum += ((case.rest - w * case.distance) * case.unit).abs();
            n += 1.0;
        }
        if n > 0.0 {
            libm::log((sum / n).max(1e-12))
        } else {
            f64::NAN
        }
    }
}
