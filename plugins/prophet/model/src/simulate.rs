//! Futures of the trend and the noise (Taylor and Letham 2018, section 3.1.4): changes of slope
//! come as often, and are as large, as in the history, and noise is added.
//!
//! Simulated at horizons 1, 2, 4, ... and read between them: an interval changes slowly. Noise is
//! drawn from strata (a Latin hypercube: McKay, Beckman and Conover, Technometrics 21, 1979), so
//! that a few hundred paths give steady tails. Where changes of slope add less than a hundredth to
//! the noise, its own quantiles are the answer, and nothing is drawn.

use tidegate_model_kit::{Stream, normal_quantile, quantile_of_sorted, sort_floats};

/// Futures drawn at a horizon: deviates at each level.
#[derive(Debug)]
pub(crate) struct Deviates {
    /// Horizon and deviates from the centre by level, at typical load.
    at: Vec<(usize, Vec<f64>)>,
}

/// What futures are drawn from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chances<'a> {
    /// Changes of slope in a step.
    pub(crate) rate: f64,
    /// Their mean size, per step.
    pub(crate) bend: f64,
    /// Levels as probabilities.
    pub(crate) probabilities: &'a [f64],
    pub(crate) paths: usize,
    pub(crate) seed: u64,
}

impl Deviates {
    /// Draws futures up to `horizon`, with noise of `sd(h)` at each.
    pub(crate) fn draw(chances: &Chances<'_>, horizon: usize, sd: impl Fn(usize) -> f64) -> Self {
        let mut horizons: Vec<usize> = std::iter::successors(Some(1usize), |h| Some(h * 2))
            .take_while(|h| *h < horizon)
            .collect();
        horizons.push(horizon);
        let normal: Vec<f64> = chances
            .probabilities
            .iter()
            .map(|p| normal_quantile(*p))
            .collect();
        let far = crate::backtest::bend_deviation(chances.rate, chances.bend, horizon as f64);
        let plain = far <= 0.14 * sd(horizon);
        let mut paths = Paths::new(if plain { 0 } else { chances.paths }, chances.seed);
        let at = horizons.iter().map(|h| {
            let noise = sd(*h);
            if plain {
                return (*h, normal.iter().map(|z| z * noise).collect());
            }
            paths.walk(*h, chances.rate, chances.bend);
            let sample = paths.with_noise(noise);
            let quantile = |p: &f64, z: &f64| beyond(&sample, *p, *z);
            let levels = chances.probabilities.iter().zip(&normal);
            (*h, levels.map(|(p, z)| quantile(p, z)).collect())
        });
        Self { at: at.collect() }
    }

    /// The deviate of the `level`-th level `h` steps ahead, linear in the logarithm of `h`.
    pub(crate) fn at(&self, h: usize, level: usize) -> f64 {
        let after = self.at.partition_point(|(at, _)| *at < h);
        let value = |i: usize| self.at.get(i).map(|(_, d)| d[level]);
        let Some(to) = value(after).or_else(|| value(after - 1)) else {
            return 0.0;
        };
        let Some(from) = after.checked_sub(1).and_then(value) else {
            return to;
        };
        if after >= self.at.len() || self.at[after].0 == h {
            return to;
        }
        let log = |h: usize| libm::log2(h as f64);
        let (a, b) = (log(self.at[after - 1].0), log(self.at[after].0));
        from + (log(h) - a) / (b - a) * (to - from)
    }
}

/// A sample's quantile; beyond its last stratum, the normal one of the same size.
fn beyond(sorted: &[f64], p: f64, z: f64) -> f64 {
    let edge = 1.0 / sorted.len().max(1) as f64;
    let inner = p.clamp(edge, 1.0 - edge);
    let q = quantile_of_sorted(sorted, inner);
    if p < edge || p > 1.0 - edge {
        q * z / normal_quantile(inner)
    } else {
        q
    }
}

/// Trends on their way.
#[derive(Debug)]
struct Paths {
    chance: Stream,
    /// Step reached, offset and slope there; each has a mirror image.
    at: f64,
    offset: Vec<f64>,
    slope: Vec<f64>,
}

impl Paths {
    fn new(paths: usize, seed: u64) -> Self {
        let pairs = paths / 2;
        Self {
            chance: Stream::new(seed),
            at: 0.0,
            offset: vec![0.0; pairs],
            slope: vec![0.0; pairs],
        }
    }

    fn walk(&mut self, to: usize, rate: f64, bend: f64) {
        let to = to as f64;
        for (offset, slope) in self.offset.iter_mut().zip(&mut self.slope) {
            let mut at = self.at;
            // Waiting times between changes are exponential.
            let mut next = at - libm::log(self.chance.uniform()) / rate.max(1e-12);
            while next < to {
                *offset += *slope * (next - at);
                at = next;
                let u = self.chance.uniform() - 0.5;
                let size = -libm::log((1.0 - 2.0 * u.abs()).max(f64::MIN_POSITIVE));
                *slope += bend * size.copysign(u);
                next = at - libm::log(self.chance.uniform()) / rate.max(1e-12);
            }
            *offset += *slope * (to - at);
        }
        self.at = to;
    }

    /// Offsets and their mirror images with stratified noise, ascending.
    fn with_noise(&mut self, sd: f64) -> Vec<f64> {
        let n = 2 * self.offset.len();
        let mut strata: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            let j = (self.chance.uniform() * (i + 1) as f64) as usize;
            strata.swap(i, j.min(i));
        }
        let mut sample: Vec<f64> = strata
            .iter()
            .enumerate()
            .map(|(i, s)| {
                let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
                let z = normal_quantile((*s as f64 + 0.5) / n as f64);
                sign * self.offset[i / 2] + sd * z
            })
            .collect();
        sort_floats(&mut sample);
        sample
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [f64; 5] = [0.025, 0.1, 0.5, 0.9, 0.975];

    fn draw(rate: f64, bend: f64) -> Deviates {
        let chances = Chances {
            rate,
            bend,
            probabilities: &LEVELS,
            paths: 2000,
            seed: 7,
        };
        Deviates::draw(&chances, 48, |_| 1.0)
    }

    #[test]
    fn a_trend_that_never_bends_leaves_normal_noise() {
        let d = draw(0.0, 0.0);
        for h in [1, 7, 48] {
            assert!((d.at(h, 3) - 1.281_55).abs() < 1e-4);
        }
    }

    #[test]
    fn drawn_futures_are_as_wide_as_their_process_and_widen() {
        let (rate, bend) = (0.05, 0.02);
        let d = draw(rate, bend);
        let sd = 1.0f64.hypot(crate::backtest::bend_deviation(rate, bend, 48.0));
        // The 90 % point of a sum that is nearly normal.
        let ratio = d.at(48, 3) / (1.281_55 * sd);
        assert!((0.85..1.1).contains(&ratio), "{ratio}");
        assert!(d.at(48, 4) > d.at(24, 4) && d.at(24, 4) > d.at(1, 4));
        assert!(d.at(48, 2).abs() < 0.1, "{}", d.at(48, 2));
    }
}
