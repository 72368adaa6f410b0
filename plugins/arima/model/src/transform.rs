//! The scale on which a model is additive: the values, or their logarithms.
//!
//! Where spread grows with the level, the logarithm makes it one spread; the slope of log spread
//! on log level over quarters of days says which (Bartlett, Biometrics 3, 1947: the transform
//! that stabilises a spread of `level^b` is `level^(1-b)`). Only the two ends are used. Rejected:
//! a Box-Cox exponent in between, whose gain is within its noise on a history of two weeks.

use serde::{Deserialize, Serialize};

/// Values below this part of the typical value have no useful logarithm.
pub(crate) const TINY: f64 = 1e-3;
/// The slope at which logarithms are nearer.
const SLOPE: f64 = 0.5;
/// The least spread of log levels that shows a slope.
const RANGE: f64 = 0.1;
/// The fewest blocks that show one.
const BLOCKS: usize = 8;

/// The scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transform {
    /// The values as they are.
    None,
    /// Their natural logarithms.
    Log,
}

impl Transform {
    /// By the data: `values` over their typical size, in blocks of `block` steps.
    pub(crate) fn choose(values: &[f64], block: usize) -> Self {
        if !is_positive(values) {
            return Self::None;
        }
        let (mut n, mut sx, mut sy, mut sxx, mut sxy) = (0usize, 0.0, 0.0, 0.0, 0.0);
        for b in values.rchunks_exact(block.max(3)) {
            let (level, spread) = moments(b);
            if !(spread > 0.0 && level > 0.0) {
                continue;
            }
            let (x, y) = (libm::log(level), libm::log(spread));
            n += 1;
            sx += x;
            sy += y;
            sxx += x * x;
            sxy += x * y;
        }
        let count = n.max(1) as f64;
        let variance = sxx / count - (sx / count) * (sx / count);
        if n < BLOCKS || variance <= RANGE * RANGE {
            return Self::None;
        }
        let slope = (sxy / count - sx / count * sy / count) / variance;
        if slope > SLOPE { Self::Log } else { Self::None }
    }

    pub(crate) fn forward(self, value: f64) -> f64 {
        match self {
            Self::None => value,
            Self::Log if value.is_nan() => value,
            Self::Log => libm::log(value.max(TINY)),
        }
    }

    pub(crate) fn back(self, z: f64) -> f64 {
        match self {
            Self::None => z,
            Self::Log => libm::exp(z.clamp(-100.0, 100.0)),
        }
    }

    /// An error on this scale, widened by a `factor` of 1 or more for what is not known of it.
    ///
    /// Upwards it widens in the series' unit: a logarithm that is stretched is a power of the factor
    /// by which the load may rise, and of a fivefold rise within hours, which is all that one day of
    /// history shows, it would make a hundredfold one tomorrow. Downwards a logarithm ends at zero by
    /// itself.
    pub(crate) fn widened(self, error: f64, factor: f64) -> f64 {
        if self == Self::Log && error > 0.0 {
            libm::log1p(factor * libm::expm1(error.min(100.0)))
        } else {
            factor * error
        }
    }

    /// The factor from the median to the mean of a log-normal value; 1 without logarithms. A
    /// spread that is seldom true is believed only in part.
    pub(crate) fn bias(self, sigma: f64) -> f64 {
        match self {
            Self::None => 1.0,
            Self::Log => libm::exp(0.5 * (sigma * sigma).min(0.25)),
        }
    }
}

/// Whether every value has a useful logarithm.
pub(crate) fn is_positive(values: &[f64]) -> bool {
    values.iter().all(|v| v.is_nan() || *v > TINY)
}

/// Mean value and mean absolute second difference of a block: the first one would measure how
/// steep the season is.
fn moments(block: &[f64]) -> (f64, f64) {
    let (mut sum, mut n) = (0.0, 0.0);
    for v in block.iter().filter(|v| !v.is_nan()) {
        sum += v;
        n += 1.0;
    }
    let (mut steps, mut m) = (0.0, 0.0);
    for three in block.windows(3) {
        let step = (three[0] - 2.0 * three[1] + three[2]).abs();
        if !step.is_nan() {
            steps += step;
            m += 1.0;
        }
    }
    (sum / f64::max(n, 1.0), steps / f64::max(m, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model_kit::Stream;

    fn series(relative: bool) -> Vec<f64> {
        let mut chance = Stream::new(1);
        (0..600)
            .map(|t| {
                let level = if t % 24 < 12 { 1.0 } else { 4.0 };
                let size = if relative { 0.1 * level } else { 0.1 };
                level + size * chance.normal()
            })
            .collect()
    }

    #[test]
    fn spread_in_proportion_to_the_level_asks_for_logarithms() {
        assert_eq!(Transform::choose(&series(true), 6), Transform::Log);
        assert_eq!(Transform::choose(&series(false), 6), Transform::None);
    }

    #[test]
    fn doubt_doubles_a_rise_and_does_not_square_it() {
        let rise = Transform::Log.widened(libm::log(5.0), 2.0);
        assert!((libm::exp(rise) - 9.0).abs() < 1e-9, "{rise}");
        assert!((Transform::Log.widened(-1.0, 2.0) + 2.0).abs() < 1e-12);
        assert!((Transform::None.widened(1.5, 2.0) - 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_zero_forbids_them_and_too_few_blocks_too() {
        let mut y = series(true);
        assert_eq!(Transform::choose(&y[..40], 6), Transform::None);
        y[3] = 0.0;
        assert_eq!(Transform::choose(&y, 6), Transform::None);
    }
}
