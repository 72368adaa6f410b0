//! A theta per horizon, learned by back-test.
//!
//! The theta method (Assimakopoulos and Nikolopoulos 2000) forecasts with two lines, one without
//! the data's local curvature (theta 0) and one with more of it, extrapolated by simple
//! exponential smoothing; the combination is smoothing with a drift (Hyndman and Billah 2003), and
//! in general the smoothed level enters with the weight `1 / theta` (Fiorucci et al. 2016). They
//! optimise one theta for all horizons. A load returns to its recent mean within hours, so here
//! `w_h = 1 / theta_h` is learned for horizons 1, 2, 4, ...: a robust regression of what came on
//! how far the level was from the slow mean. How far a level of another speed serves a horizon
//! better is part of the choice.
//!
//! A horizon of h steps has about `span / h` independent windows in the back-test; with few of
//! them the weight stays near that of the horizon before it.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::Half;

use crate::backtest::Backtest;
use crate::lines::{ALPHAS, Lines};

/// Independent windows that weigh as much as the belief in the weight of the horizon before.
const PRIOR: f64 = 4.0;
/// Huber's bound in mean absolute errors.
const HUBER: f64 = 2.0;

/// What serves one horizon.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Theta {
    /// Steps ahead.
    pub(crate) horizon: u32,
    /// Which of [`ALPHAS`].
    pub(crate) speed: u8,
    /// `1 / theta`: the weight of the level's distance from the mean, 0 to 1.
    pub(crate) weight: Half,
}

/// Weights for the levels of one speed, and what they are worth.
#[derive(Debug, Clone)]
pub(crate) struct Weighed {
    /// One per horizon.
    pub(crate) weights: Vec<f64>,
    /// The logarithm of the mean absolute error per horizon; NaN where nothing was measured.
    pub(crate) losses: Vec<f64>,
}

/// Learns the weights of one speed. Without `reversion` they are all 1.
pub(crate) fn weigh(test: &Backtest, speed: usize, rounds: usize, reversion: bool) -> Weighed {
    let mut weights = Vec::with_capacity(test.horizons.len());
    let mut losses = Vec::with_capacity(test.horizons.len());
    let mut prior = 1.0;
    for (k, h) in test.horizons.iter().enumerate() {
        let windows = test.span as f64 / *h as f64;
        let mut w = prior;
        let mut bound = f64::INFINITY;
        for _ in 0..if reversion { rounds } else { 0 } {
            let (mut cross, mut square, mut size, mut n) = (0.0, 0.0, 0.0, 0.0);
            for case in test.cases(k, speed) {
                // In units of the base, so that a high season does not decide alone.
                let error = (case.rest - w * case.distance).abs();
                let trust = if error > bound { bound / error } else { 1.0 };
                cross += trust * case.distance * case.rest;
                square += trust * case.distance * case.distance;
                size += error;
                n += 1.0;
            }
            let belief = PRIOR / windows * square;
            if square > 0.0 {
                w = ((cross + belief * prior) / (square + belief)).clamp(0.0, 1.0);
            }
            if size > 0.0 {
                bound = HUBER * size / n;
            }
        }
        losses.push(test.loss(k, speed, w));
        weights.push(w);
        prior = w;
    }
    Weighed { weights, losses }
}

/// The mean of the losses that were measured.
pub(crate) fn mean_loss<'a>(losses: impl Iterator<Item = &'a f64>) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for l in losses.filter(|l| l.is_finite()) {
        sum += l;
        n += 1.0;
    }
    if n > 0.0 { sum / n } else { f64::INFINITY }
}

/// For each horizon the speed with the smallest loss.
pub(crate) fn choose(test: &Backtest, reversion: bool) -> Vec<Theta> {
    let all: Vec<Weighed> = (0..ALPHAS.len())
        .map(|speed| weigh(test, speed, 3, reversion))
        .collect();
    let mut speed = ALPHAS.len() / 2;
    test.horizons
        .iter()
        .enumerate()
        .map(|(k, h)| {
            for (other, w) in all.iter().enumerate() {
                if w.losses[k] < all[speed].losses[k] {
                    speed = other;
                }
            }
            Theta {
                horizon: *h as u32,
                speed: speed as u8,
                weight: Half::new(all[speed].weights[k]),
            }
        })
        .collect()
}

/// The two thetas around a horizon and the weight of the second: linear in the logarithm of the
/// horizon, constant beyond the ends.
fn around(thetas: &[Theta], h: usize) -> Option<(Theta, Theta, f64)> {
    let after = thetas.partition_point(|t| (t.horizon as usize) < h);
    match (
        after.checked_sub(1).and_then(|i| thetas.get(i)),
        thetas.get(after),
    ) {
        (None, None) => None,
        (Some(t), None) | (None, Some(t)) => Some((*t, *t, 0.0)),
        (Some(a), Some(b)) => {
            let (from, to) = (f64::from(a.horizon), f64::from(b.horizon));
            let share = libm::log(h as f64 / from) / libm::log(to / from);
            Some((*a, *b, share))
        }
    }
}

/// How far above its recent mean the base is expected, `h` steps ahead.
pub(crate) fn distance(thetas: &[Theta], lines: &Lines, h: usize) -> f64 {
    let of = |t: Theta| {
        let level = lines.levels.get(usize::from(t.speed));
        t.weight.get() * (level.copied().unwrap_or(lines.mean) - lines.mean)
    };
    around(thetas, h).map_or(0.0, |(a, b, share)| of(a) + share * (of(b) - of(a)))
}

/// Standard deviations of 1..=horizon steps ahead, in those of one step: an error of the level's
/// last step still acts j steps later with the weight `alpha w_j` (Hyndman et al. 2008, section
/// 6.1, for simple smoothing).
pub(crate) fn growth(thetas: &[Theta], horizon: usize) -> Vec<f64> {
    let of = |t: Theta| {
        let alpha = ALPHAS.get(usize::from(t.speed)).copied().unwrap_or(0.0);
        alpha * t.weight.get()
    };
    let mut variance = 1.0;
    (1..=horizon)
        .map(|h| {
            if h > 1
                && let Some((a, b, share)) = around(thetas, h - 1)
            {
                let c = of(a) + share * (of(b) - of(a));
                variance += c * c;
            }
            variance.sqrt()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::{Season, SeasonKind};
    use tidegate_model_kit::Stream;

    fn lines() -> Lines {
        Lines {
            season: Season {
                kind: SeasonKind::None,
                tables: Vec::new(),
            },
            levels: [10.0; ALPHAS.len()],
            mean: 10.0,
            slow: 0.001,
            bound: 0.0,
            clock: 0,
        }
    }

    fn theta(horizon: u32, weight: f64) -> Theta {
        Theta {
            horizon,
            speed: 6,
            weight: Half::new(weight),
        }
    }

    #[test]
    fn the_weight_of_a_load_that_returns_by_a_fifth_a_step_falls_by_a_fifth_a_step() {
        let (mut s, mut off) = (Stream::new(1), 0.0);
        let z: Vec<f64> = (0..4000)
            .map(|_| {
                off = 0.8 * off + s.normal();
                10.0 + off
            })
            .collect();
        let found = weigh(&Backtest::run(&z, &lines(), 4000, 0.0), 6, 3, true).weights;
        for (w, h) in found.iter().zip([1, 2, 4, 8]) {
            let truth = 0.8f64.powi(h);
            assert!((w - truth).abs() < 0.12, "{h} steps: {w} for {truth}");
        }
    }

    #[test]
    fn between_horizons_the_distance_is_between_theirs_and_beyond_them_it_stays() {
        let mut lines = lines();
        lines.levels[6] = 20.0;
        let thetas = [theta(1, 1.0), theta(4, 0.5), theta(16, 0.0)];
        let at: Vec<f64> = [1, 2, 4, 8, 16, 900]
            .map(|h| distance(&thetas, &lines, h))
            .to_vec();
        let expected = [10.0, 7.5, 5.0, 2.5, 0.0, 0.0];
        for (a, e) in at.iter().zip(expected) {
            assert!((a - e).abs() < 1e-9, "{at:?}");
        }
    }

    #[test]
    fn where_nothing_returns_the_variance_is_that_of_simple_smoothing() {
        let growth = growth(&[theta(1, 1.0)], 5);
        for (h, g) in growth.iter().enumerate() {
            let variance = 1.0 + 0.81 * h as f64;
            assert!((g - variance.sqrt()).abs() < 1e-12, "{growth:?}");
        }
    }
}
