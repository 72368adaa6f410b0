//! The interval: variance of simple smoothing, in the unit in which errors are alike, stretched
//! to the errors that the chosen method made in the back-test.
//!
//! Errors may be of one size, grow with the root of the load (counts) or with the load itself;
//! which, is decided by the likelihood of one-step errors. The rest is the kit's
//! [`Knot`]: ratios per horizon and side.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{Half, Knot, sort_floats};

use crate::backtest::warm_up;
use crate::state::{Adjusted, FADE, Method};

/// Origins that are enough to measure.
const ORIGINS: usize = 1000;
/// What was chosen by these errors looks better on them than it is on the next ones.
const CHOSEN: f64 = 1.08;
/// The smallest load, in the typical one, that an error's size is in proportion to: below it, what is
/// there errs by what counting and rounding leave. Were it next to nothing, a trough that is missed by
/// a hundredth of the load would be a miss of many sigmas, and open the whole day's interval.
const FLOOR: f64 = 0.005;

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

/// Runs the method over `z`, chooses the unit of its errors, measures them, and gives the method
/// back as the state after `z`; `None` if next to nothing
/// came. `positive` admits units that grow with the load.
///
/// Errors are counted in the sigma that the interval will be made of: bursts that the tracker cuts
/// off are in the ratios.
pub(crate) fn measure(start: Method, z: &[f64], scale: f64, positive: bool) -> Option<Adjusted> {
    let mut method = start.clone();
    let mut first = Vec::with_capacity(z.len());
    for v in z {
        first.push((*v, method.point(1)));
        method.lines.observe(*v);
    }
    let warm = warm_up(z.len());
    first.drain(..warm);
    first.retain(|(y, _)| !y.is_nan());
    if first.len() < 2 {
        return None;
    }
    let (noise, sigma) = unit_of(&first, positive);
    let mut state = Adjusted::assemble(start, scale, noise, sigma);
    if sigma > 0.0 {
        let knots = knots(&mut state, z, warm);
        state.calibrate(knots);
    }
    Some(state)
}

/// The ratios of the errors that a state makes while it moves through `z`.
fn knots(state: &mut Adjusted, z: &[f64], warm: usize) -> Vec<Knot> {
    let horizons = state.horizons();
    let growth = state.growth(horizons.last().copied().unwrap_or(1));
    let fades: Vec<f64> = horizons
        .iter()
        .map(|h| libm::pow(FADE, (h - 1) as f64))
        .collect();
    let every = z.len().div_ceil(ORIGINS).max(1);
    let mut errors = vec![Vec::new(); horizons.len()];
    for (t, v) in z.iter().enumerate() {
        if t >= warm && (t - warm).is_multiple_of(every) {
            for ((h, fade), list) in horizons.iter().zip(&fades).zip(&mut errors) {
                if let Some(y) = z.get(t + h - 1).filter(|y| !y.is_nan()) {
                    let (point, unit) = state.point(*h, *fade);
                    list.push((y - point) / (unit * growth[h - 1]));
                }
            }
        }
        state.advance(std::iter::once(*v));
    }
    horizons
        .iter()
        .zip(&mut errors)
        .map(|(h, list)| {
            list.retain(|e| e.is_finite());
            sort_floats(list);
            let windows = list.len() as f64 * every as f64 / *h as f64;
            let mut knot = Knot::measured(*h, list, windows);
            for r in &mut knot.ratios {
                *r = Half::new(r.get() * CHOSEN);
            }
            knot
        })
        .collect()
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
