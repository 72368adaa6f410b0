//! The interval: variance of simple smoothing, in the unit in which errors are alike, stretched
//! to the errors that the chosen method made in the back-test.
//!
//! Errors may be of one size, grow with the root of the load (counts) or with the load itself;
//! which, is decided by the likelihood of one-step errors. The rest is the kit's
//! [`Knot`]: ratios per horizon and side.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{Knot, sort_floats};

use crate::backtest::warm_up;
use crate::state::Method;

/// Origins that are enough to measure.
const ORIGINS: usize = 1000;
/// The smallest load, in the typical one, that an error's size is in proportion to.
const FLOOR: f64 = 1e-3;

/// How errors grow with the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Noise {
    /// Not at all.
    Constant,
    /// With its square root.
    Root,
    /// In proportion.
    Proportional,
}

impl Noise {
    /// The unit of an error where `point` was forecast.
    pub(crate) fn unit(self, point: f64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Root => point.max(FLOOR).sqrt(),
            Self::Proportional => point.max(FLOOR),
        }
    }
}

/// What a back-test says about errors.
#[derive(Debug, Clone)]
pub(crate) struct Interval {
    pub(crate) noise: Noise,
    /// Of one-step errors, in their unit.
    pub(crate) sigma: f64,
    pub(crate) knots: Vec<Knot>,
}

/// Runs the method over `z` and measures its errors; `None` if nothing came. `positive` admits
/// units that grow with the load.
pub(crate) fn measure(start: &Method, z: &[f64], positive: bool) -> Option<Interval> {
    let mut method = start.clone();
    let horizons: Vec<usize> = method.thetas.iter().map(|t| t.horizon as usize).collect();
    let warm = warm_up(z.len());
    let every = z.len().div_ceil(ORIGINS).max(1);
    let mut cases: Vec<Vec<(f64, f64)>> = vec![Vec::new(); horizons.len()];
    for (t, v) in z.iter().enumerate() {
        if t >= warm && (t - warm).is_multiple_of(every) {
            for (h, list) in horizons.iter().zip(&mut cases) {
                if let Some(y) = z.get(t + h - 1).filter(|y| !y.is_nan()) {
                    list.push((*y, method.point(*h)));
                }
            }
        }
        method.lines.observe(*v);
    }
    let first = cases.first().filter(|c| c.len() >= 2)?;
    let (noise, sigma) = unit_of(first, positive);
    if sigma <= 0.0 {
        return Some(Interval {
            noise,
            sigma,
            knots: Vec::new(),
        });
    }
    let growth = method.growth(horizons.last().copied().unwrap_or(1));
    let knots = horizons
        .iter()
        .zip(&cases)
        .map(|(h, list)| {
            let scale = sigma * growth[h - 1];
            let mut errors: Vec<f64> = list
                .iter()
                .map(|(y, point)| (y - point) / (scale * noise.unit(*point)))
                .collect();
            sort_floats(&mut errors);
            let windows = list.len() as f64 * every as f64 / *h as f64;
            Knot::measured(*h, &errors, windows)
        })
        .collect();
    Some(Interval {
        noise,
        sigma,
        knots,
    })
}

/// The unit with the largest Laplace likelihood, which a few bursts do not decide, and the
/// standard deviation in it.
fn unit_of(cases: &[(f64, f64)], positive: bool) -> (Noise, f64) {
    let all = [Noise::Constant, Noise::Root, Noise::Proportional];
    let mut best = (Noise::Constant, 0.0, f64::INFINITY);
    for noise in &all[..if positive { 3 } else { 1 }] {
        let (mut sizes, mut logs, mut squares) = (0.0, 0.0, 0.0);
        for (y, point) in cases {
            let unit = noise.unit(*point);
            let error = (y - point) / unit;
            sizes += error.abs();
            squares += error * error;
            logs += libm::log(unit);
        }
        let n = cases.len() as f64;
        let deviance = libm::log((sizes / n).max(1e-300)) + logs / n;
        if deviance < best.2 {
            best = (*noise, (squares / n).sqrt(), deviance);
        }
    }
    (best.0, best.1)
}
