//! The formulas, each over one forecast or one value, with the paper that they come from.
//!
//! Values that were not measured are NaN and count nowhere: a mean is over the steps that have a
//! value. Errors are scaled by the in-sample seasonal-naive error, because percentages explode on
//! loads that touch zero; sMAPE is given all the same, because M4 and most peers report it.

/// Pinball loss of a quantile forecast at probability `p` (Koenker and Bassett, "Regression
/// Quantiles", Econometrica 1978). In the value's unit, at least 0, 0 only for a perfect forecast.
#[must_use]
pub fn pinball_loss(actual: f64, quantile: f64, p: f64) -> f64 {
    if actual >= quantile {
        p * (actual - quantile)
    } else {
        (1.0 - p) * (quantile - actual)
    }
}

/// Interval score of a central interval that should miss a share `alpha` (Gneiting and Raftery,
/// "Strictly Proper Scoring Rules, Prediction, and Estimation", JASA 2007, eq. 43): the width, and
/// `2 / alpha` times the distance by which the value lies outside. M4's MSIS is its mean over the
/// steps, over the seasonal-naive scale.
#[must_use]
pub fn interval_score(actual: f64, low: f64, high: f64, alpha: f64) -> f64 {
    (high - low) + 2.0 / alpha * ((low - actual).max(0.0) + (actual - high).max(0.0))
}

/// Symmetric absolute percentage error as in M4 (Makridakis et al., "The M4 Competition", IJF
/// 2020): 0 to 200; 0 where both are 0.
#[must_use]
pub fn symmetric_percentage_error(actual: f64, forecast: f64) -> f64 {
    let sum = actual.abs() + forecast.abs();
    if sum > 0.0 {
        200.0 * (actual - forecast).abs() / sum
    } else {
        0.0
    }
}

/// The scale of MASE (Hyndman and Koehler, "Another look at measures of forecast accuracy", IJF
/// 2006): mean absolute difference to the value one season before, over the training window. `None`
/// where it is nothing beside the level of the series, or where no two values lie a season apart:
/// nothing is measurable by it.
#[must_use]
pub fn seasonal_scale(train: &[f64], season: usize) -> Option<f64> {
    let pairs = train.iter().skip(season.max(1)).zip(train);
    let (mut sum, mut count) = (0.0, 0.0_f64);
    for (now, before) in pairs {
        let difference = (now - before).abs();
        if difference.is_finite() {
            sum += difference;
            count += 1.0;
        }
    }
    let level = mean(train.iter().map(|v| v.abs())).unwrap_or(0.0);
    let scale = sum / count.max(1.0);
    (scale > 1e-9 * level).then_some(scale)
}

/// Mean of the finite values; `None` if there is none.
#[must_use]
pub fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0_f64);
    for value in values.into_iter().filter(|v| v.is_finite()) {
        sum += value;
        count += 1.0;
    }
    (count > 0.0).then(|| sum / count)
}
