//! FC1: a forecast has the asked steps and levels, all finite and >= 0, monotone across levels,
//! with a mean.

use super::{Breach, Invariant};
use crate::policy::{Forecasts, Horizon};

/// Checks a batch; a series whose status is an error may hold anything.
///
/// # Errors
/// The first breach, with the series, step and level where it stands.
pub fn check_forecasts(horizon: &Horizon, answer: &Forecasts) -> Result<(), Breach> {
    check_forecasts_shape(horizon, answer)?;
    let series = horizon.starts.len();
    let steps = horizon.steps as usize;
    let levels = horizon.levels.len();
    for s in (0..series).filter(|&s| answer.status[s].is_ok()) {
        let mean = &answer.mean[s * steps..(s + 1) * steps];
        let grid = &answer.quantiles[s * steps * levels..(s + 1) * steps * levels];
        check_grid(mean, grid, levels)
            .map_err(|b| Breach::new(b.invariant, format!("series {s}: {}", b.detail)))?;
    }
    Ok(())
}

/// Checks the lengths of a batch alone, so that nobody indexes past an end.
///
/// # Errors
/// The column whose length is wrong.
pub fn check_forecasts_shape(horizon: &Horizon, answer: &Forecasts) -> Result<(), Breach> {
    let series = horizon.starts.len();
    let steps = horizon.steps as usize;
    let levels = horizon.levels.len();
    let shape = [
        ("status", answer.status.len(), series),
        ("mean", answer.mean.len(), series * steps),
        ("quantiles", answer.quantiles.len(), series * steps * levels),
    ];
    for (what, have, want) in shape {
        if have != want {
            return Err(Breach::new(
                Invariant::FC1,
                format!("{what} has {have} entries, {want} were asked for"),
            ));
        }
    }
    Ok(())
}

/// Checks one series: `mean` is `[step]`, `quantiles` `[step][level]`.
///
/// # Errors
/// The first breach, with the step and level where it stands.
pub fn check_grid(mean: &[f64], quantiles: &[f64], levels: usize) -> Result<(), Breach> {
    let breach = |detail: String| Err(Breach::new(Invariant::FC1, detail));
    if quantiles.len() != mean.len() * levels {
        return breach(format!(
            "{} quantiles for {} steps of {levels} levels",
            quantiles.len(),
            mean.len()
        ));
    }
    for (step, &m) in mean.iter().enumerate() {
        if !(m.is_finite() && m >= 0.0) {
            return breach(format!(
                "the mean at step {step} is {m}, not finite and >= 0"
            ));
        }
        let row = &quantiles[step * levels..(step + 1) * levels];
        for (level, &q) in row.iter().enumerate() {
            if !(q.is_finite() && q >= 0.0) {
                return breach(format!(
                    "level {level} at step {step} is {q}, not finite and >= 0"
                ));
            }
            if level > 0 && q < row[level - 1] {
                return breach(format!(
                    "level {level} at step {step} is {q}, below the level before it"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mean: &[f64], quantiles: &[f64], part: Option<&str>) {
        match (check_grid(mean, quantiles, 2), part) {
            (Ok(()), None) => {}
            (Err(breach), Some(part)) => assert!(breach.to_string().contains(part), "{breach}"),
            (outcome, part) => panic!("{outcome:?}, expected {part:?}"),
        }
    }

    #[test]
    fn a_forecast_is_complete_finite_and_monotone() {
        check(&[1.0], &[1.0, 2.0], None);
        check(&[1.0], &[2.0, 1.0], Some("below the level"));
        check(&[f64::NAN], &[1.0, 2.0], Some("mean at step 0"));
        check(&[1.0], &[-1.0, 2.0], Some("level 0"));
        check(&[1.0], &[1.0, f64::INFINITY], Some("level 1"));
        check(&[1.0], &[1.0], Some("1 quantiles"));
    }
}
