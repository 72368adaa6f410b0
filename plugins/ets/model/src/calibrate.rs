//! How far the model's interval is from its own errors, per horizon and side.
//!
//! The fitted model is run through the history again and asked, at every origin, for steps 1, 2,
//! 4, 8 and so on ahead. The errors, in units of the model's standard deviation there, should be
//! standard normal; the ratio of their 2.5, 10, 90 and 97.5 % quantiles to the normal ones is
//! what the interval is stretched by. Errors `h` steps ahead overlap, so that a history holds
//! about `span / h` of them: the ratios are drawn towards one by that count.

use tidegate_model_kit::{Knot, sort_floats};

use crate::recursion::{ErrorKind, Path};
use crate::spread::Spread;

/// Forecasts per horizon that are enough to measure.
const ORIGINS: usize = 1000;

/// Measures the ratios of a model that begins at `start` on `z`.
pub(crate) fn calibrate(start: &Path, z: &[f64], mut spread: Spread) -> (Vec<Knot>, Spread) {
    if spread.sigma() <= 0.0 {
        return (Vec::new(), spread);
    }
    let reach = z.len() / 3;
    let horizons: Vec<usize> = std::iter::successors(Some(1usize), |h| Some(h * 2))
        .take_while(|h| *h <= reach)
        .collect();
    let Some(&longest) = horizons.last() else {
        return (Vec::new(), spread);
    };
    let growth = start.growth(longest);
    let every = z.len().div_ceil(ORIGINS);
    // The first states are a guess of the decomposition: their errors do not count.
    let warm = (z.len() / 10).min(48);
    let mut errors = vec![Vec::with_capacity(z.len() / every + 1); horizons.len()];
    let mut path = start.clone();
    for (t, v) in z.iter().enumerate() {
        if t >= warm && t % every == 0 {
            for (h, list) in horizons.iter().zip(&mut errors) {
                let Some(y) = z.get(t + h - 1).filter(|y| !y.is_nan()) else {
                    continue;
                };
                let point = path.point(*h);
                let unit = match path.class.error {
                    ErrorKind::Additive => spread.sigma(),
                    ErrorKind::Multiplicative => spread.sigma() * point.abs().max(1e-9),
                };
                list.push((y - point) / (unit * growth[h - 1]));
            }
        }
        spread.observe(&mut path, *v);
    }
    let knots = horizons
        .iter()
        .zip(&mut errors)
        .map(|(h, list)| {
            sort_floats(list);
            let weight = list.len() as f64 * every as f64 / *h as f64;
            Knot::measured(*h, list, weight)
        })
        .collect();
    (knots, spread)
}
