//! A direct forecast of the residual: one ridge regression per horizon 1, 2, 4, 8, ...
//!
//! Taylor and Letham's model has no memory of how far off it is right now, which an hour ahead is
//! most of what there is to know. An autoregression of the residual supplies it, and fades as the
//! horizon grows. It is fitted directly at each horizon (Marcellino, Stock and Watson, Journal of
//! Econometrics 135, 2006) on the residuals of back-tests: residuals within the fit are too small
//! and too short of memory, since the trend has bent after them.
//!
//! Errors `h` steps ahead overlap, so that the prior weighs `h` times as much.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{Cholesky, Half, quantile, smaller};

use crate::memory::WIDTH;

/// The prior standard deviation of a weight around that of the horizon before.
const PRIOR: f64 = 0.12;
/// What is left of a horizon's weights in the prior of the next, twice as far.
const FADE: f64 = 0.9;
/// Huber's bound in standard deviations of the error.
const HUBER: f64 = 3.0;
/// Errors count up to this many usual ones in the variance that the prior is weighed by.
const MONSTER: f64 = 10.0;
const ROUNDS: usize = 3;
/// The 90 % point of the normal distribution.
const NEAR: f64 = 1.281_551_565_544_600_4;

/// The forecast at one horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reach {
    /// Steps ahead.
    pub(crate) horizon: u32,
    /// A weight per regressor.
    pub(crate) weights: Vec<Half>,
    /// Standard deviation of what is left, where the load has its typical size.
    pub(crate) sd: Half,
}

/// A target `h` steps after an origin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Example {
    /// The regressors at the origin, zeros behind the last: of one width, so that the sums below
    /// run without a branch.
    pub(crate) x: [f64; WIDTH],
    /// The residual at the target.
    pub(crate) y: f64,
    /// The relative size of noise there.
    pub(crate) noise: f64,
    /// The back-test that it is of.
    pub(crate) fold: usize,
}

impl Example {
    /// What is off by `weights`.
    pub(crate) fn off(&self, weights: &[f64]) -> f64 {
        self.y - product(&self.x, &widened(weights))
    }
}

/// `values` with zeros behind them.
pub(crate) fn widened(values: &[f64]) -> [f64; WIDTH] {
    let mut all = [0.0; WIDTH];
    for (a, v) in all.iter_mut().zip(values) {
        *a = *v;
    }
    all
}

fn product(a: &[f64; WIDTH], b: &[f64; WIDTH]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Weights for `examples` of all folds but one, near those of the `before` horizon; each example
/// counts for `share` of an independent one.
pub(crate) fn regress(
    examples: &[Example],
    but: Option<usize>,
    before: &[f64],
    share: f64,
) -> Option<Vec<f64>> {
    let prior = widened(before).map(|w| FADE * w);
    // In units of their noise and around the prior's mean, so that the ridge pulls there.
    let own: Vec<([f64; WIDTH], f64)> = examples
        .iter()
        .filter(|e| Some(e.fold) != but)
        .map(|e| {
            let x = e.x.map(|x| x / e.noise);
            (x, (e.y - product(&e.x, &prior)) / e.noise)
        })
        .collect();
    let mut step = [0.0; WIDTH];
    let mut errors = Vec::with_capacity(own.len());
    let mut squares = Vec::with_capacity(own.len());
    for round in 0..ROUNDS {
        errors.clear();
        errors.extend(own.iter().map(|(x, y)| y - product(x, &step)));
        squares.clear();
        squares.extend(errors.iter().map(|e| e * e));
        let (usual, variance) = variances(&mut squares)?;
        if variance <= 0.0 {
            break;
        }
        let bound = HUBER * usual.sqrt();
        let mut gram = [[0.0; WIDTH]; WIDTH];
        let mut moments = [0.0; WIDTH];
        for ((x, y), off) in own.iter().zip(&errors) {
            let off = off.abs();
            let huber = if round > 0 && off > bound {
                bound / off
            } else {
                1.0
            };
            for ((row, m), a) in gram.iter_mut().zip(&mut moments).zip(x) {
                let w = share * huber * a;
                *m += w * y;
                for (g, b) in row.iter_mut().zip(x) {
                    *g += w * b;
                }
            }
        }
        let mut a = ndarray::arr2(&gram);
        for d in a.diag_mut() {
            *d += variance / (PRIOR * PRIOR);
        }
        step = widened(&Cholesky::new(a)?.solve(&moments));
    }
    let found = prior.iter().zip(&step).map(|(p, s)| p + s);
    let weights: Vec<f64> = found.take(before.len()).collect();
    weights.iter().all(|w| w.is_finite()).then_some(weights)
}

/// The usual variance of errors, by the 80 % point of sizes (for errors that are mostly none, by a
/// small part of the mean square), and their mean square with monsters cut; `squares` is reordered
/// and cut.
fn variances(squares: &mut [f64]) -> Option<(f64, f64)> {
    if squares.is_empty() {
        return None;
    }
    let mean = |s: &[f64]| s.iter().sum::<f64>() / s.len() as f64;
    let whole = mean(squares);
    let usual = quantile(squares, 0.8) / (NEAR * NEAR);
    let usual = usual.max(1e-4 * whole);
    for s in squares.iter_mut() {
        *s = smaller(*s, MONSTER * MONSTER * usual);
    }
    Some((usual, mean(squares)))
}

/// The residual forecast `h` steps after the last observed one.
pub(crate) fn forecast(reaches: &[Reach], h: usize, x: &[f64]) -> f64 {
    let at = |r: &Reach| -> f64 {
        let terms = r.weights.iter().zip(x);
        terms.map(|(w, x)| w.get() * x).sum()
    };
    between(reaches, h, at)
}

/// The standard deviation of its error.
pub(crate) fn deviation(reaches: &[Reach], h: usize) -> f64 {
    between(reaches, h, |r| r.sd.get())
}

/// Linear in the logarithm of the horizon between two reaches, constant beyond the last.
fn between(reaches: &[Reach], h: usize, value: impl Fn(&Reach) -> f64) -> f64 {
    let after = reaches.partition_point(|r| (r.horizon as usize) < h);
    let before = after.checked_sub(1).and_then(|i| reaches.get(i));
    match (before, reaches.get(after)) {
        (None, None) => 0.0,
        (None, Some(only)) | (Some(only), None) => value(only),
        (Some(a), Some(b)) => {
            let log = |h: f64| libm::log2(h);
            let (from, to) = (log(f64::from(a.horizon)), log(f64::from(b.horizon)));
            let w = (log(h as f64) - from) / (to - from);
            (1.0 - w) * value(a) + w * value(b)
        }
    }
}

/// Whether decoded reaches can be read with `width` regressors.
pub(crate) fn are_sound(reaches: &[Reach], width: usize) -> bool {
    reaches.windows(2).all(|w| w[0].horizon < w[1].horizon)
        && reaches.iter().all(|r| {
            r.horizon > 0
                && r.weights.len() == width
                && r.weights.iter().all(|w| w.get().abs() < 1e6)
                && r.sd.get().is_finite()
                && r.sd.get() >= 0.0
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model_kit::Stream;

    fn examples(n: usize) -> Vec<Example> {
        let mut s = Stream::new(1);
        (0..n)
            .map(|i| {
                let x = [s.normal(), s.normal()];
                Example {
                    y: 0.8 * x[0] - 0.3 * x[1] + 0.1 * s.normal(),
                    x: widened(&x),
                    noise: 1.0,
                    fold: i % 4,
                }
            })
            .collect()
    }

    #[test]
    fn weights_are_found_and_one_monster_does_not_move_them() {
        let mut list = examples(400);
        list[7].y = 500.0;
        let w = regress(&list, None, &[0.0; 2], 1.0).unwrap();
        assert!(
            (w[0] - 0.8).abs() < 0.15 && (w[1] + 0.3).abs() < 0.15,
            "{w:?}"
        );
    }

    #[test]
    fn examples_that_overlap_a_hundred_times_move_the_prior_less() {
        let list = examples(400);
        let own = regress(&list, None, &[0.0; 2], 1.0).unwrap();
        let shared = regress(&list, None, &[0.0; 2], 0.001).unwrap();
        assert!(shared[0] < 0.95 * own[0], "{shared:?} {own:?}");
    }

    #[test]
    fn between_two_reaches_lies_the_middle_of_their_forecasts() {
        let reach = |horizon, w, sd| Reach {
            horizon,
            weights: vec![Half::new(w)],
            sd: Half::new(sd),
        };
        let two = [reach(4, 1.0, 1.0), reach(16, 0.5, 3.0)];
        assert!((forecast(&two, 8, &[2.0]) - 1.5).abs() < 1e-6);
        assert!((deviation(&two, 8) - 2.0).abs() < 1e-6);
        assert!((deviation(&two, 1) - 1.0).abs() < 1e-6);
        assert!((deviation(&two, 99) - 3.0).abs() < 1e-6);
    }
}
