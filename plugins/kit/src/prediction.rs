//! The answer of a forecaster, which can only be built lawful: the asked shape, finite,
//! non-negative, quantiles in the order of their levels (invariant FC1).

use crate::ModelError;
use crate::quantile::{probability, validate_levels};

/// The most steps that one call may ask for.
const MAX_HORIZON: usize = 20_160;
/// The largest value that leaves room for sums downstream.
const CEILING: f64 = 1e300;

/// What a caller asks for, checked once.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Steps ahead, at least one.
    pub horizon: usize,
    /// Probabilities, strictly ascending within (0, 1).
    pub probabilities: Vec<f64>,
}

impl Shape {
    /// Checks a horizon and levels in parts per 10,000.
    ///
    /// # Errors
    /// [`ModelError::InvalidInput`] for a horizon outside 1..=20160 and for levels that are not
    /// strictly ascending within 1..=9999.
    pub fn new(horizon: usize, levels: &[u16]) -> Result<Self, ModelError> {
        if horizon == 0 || horizon > MAX_HORIZON {
            return Err(ModelError::invalid(format!(
                "horizon {horizon} is outside 1..={MAX_HORIZON} steps"
            )));
        }
        validate_levels(levels)?;
        Ok(Self {
            horizon,
            probabilities: levels.iter().map(|l| probability(*l)).collect(),
        })
    }
}

/// A forecast of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The expected value per step, in the signal's unit.
    pub mean: Vec<f64>,
    /// Quantiles, step-major: the value of step `s` at level `l` is at `s * levels + l`.
    pub quantiles: Vec<f64>,
}

impl Prediction {
    /// Makes a lawful prediction of raw numbers: loads are not negative, so both mean and
    /// quantiles are cut at zero (a censored distribution keeps its quantiles that way); then
    /// each step's quantiles are made monotone by a running maximum, which repairs rounding and
    /// crossing without moving the lowest level.
    ///
    /// # Errors
    /// [`ModelError::Numeric`] if a number is NaN; [`ModelError::Internal`] if the shape is not
    /// the asked one.
    pub fn lawful(
        shape: &Shape,
        mut mean: Vec<f64>,
        mut quantiles: Vec<f64>,
    ) -> Result<Self, ModelError> {
        let width = shape.probabilities.len();
        if mean.len() != shape.horizon || quantiles.len() != shape.horizon * width {
            return Err(ModelError::Internal(format!(
                "{} means and {} quantiles for {} steps of {width} levels",
                mean.len(),
                quantiles.len(),
                shape.horizon
            )));
        }
        if let Some(at) = mean.iter().position(|v| v.is_nan()) {
            return Err(ModelError::Numeric(format!(
                "the mean of step {at} is not a number"
            )));
        }
        if let Some(at) = quantiles.iter().position(|v| v.is_nan()) {
            return Err(ModelError::Numeric(format!(
                "quantile {at} is not a number"
            )));
        }
        for v in mean.iter_mut().chain(quantiles.iter_mut()) {
            // `+ 0.0` turns a negative zero into a plain one: one encoding for one number.
            *v = v.clamp(0.0, CEILING) + 0.0;
        }
        if width > 0 {
            for step in quantiles.chunks_exact_mut(width) {
                let mut floor = 0.0;
                for v in step {
                    floor = v.max(floor);
                    *v = floor;
                }
            }
        }
        Ok(Self { mean, quantiles })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crossing_and_negative_quantiles_are_repaired() {
        let shape = Shape::new(1, &[1000, 5000, 9000]).unwrap();
        let p = Prediction::lawful(&shape, vec![-1.0], vec![-2.0, 3.0, 2.5]).unwrap();
        assert_eq!(
            p,
            Prediction {
                mean: vec![0.0],
                quantiles: vec![0.0, 3.0, 3.0]
            }
        );
    }

    #[test]
    fn a_nan_is_an_error_and_never_an_answer() {
        let shape = Shape::new(1, &[5000]).unwrap();
        let e = Prediction::lawful(&shape, vec![1.0], vec![f64::NAN]).unwrap_err();
        assert!(matches!(e, ModelError::Numeric(_)));
    }

    #[test]
    fn a_wrong_shape_is_the_models_own_fault() {
        let shape = Shape::new(2, &[5000]).unwrap();
        let e = Prediction::lawful(&shape, vec![1.0], vec![1.0]).unwrap_err();
        assert!(matches!(e, ModelError::Internal(_)));
    }

    #[test]
    fn a_horizon_of_zero_is_refused() {
        assert!(Shape::new(0, &[5000]).is_err());
        assert!(Shape::new(20_161, &[5000]).is_err());
    }
}
