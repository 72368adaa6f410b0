//! A forecaster: simple exponential smoothing, with an interval that widens with the horizon.
//!
//! What it would take to be better is in the types: seasons from `minute-of-day`, declared events from
//! the covariates, several models in one state. Change the model, raise `STATE_FORMAT` when `State`
//! changes, and let `tidegate policy test` tell whether the host can rely on it.

use serde::{Deserialize, Serialize};
use tidegate_guest::kit::{Shape, normal_quantile};
use tidegate_guest::{Error, ForecasterPolicy, Horizon, Policy, Prediction, SeriesView};

/// The policy.
#[derive(Debug)]
pub struct Forecaster;

/// What `--config` may hold; `{}` means the defaults.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How much of its last error the level is moved by, above 0 and at most 1.
    pub alpha: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { alpha: 0.3 }
    }
}

/// What the host keeps of a series between calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// In the signal's unit.
    level: f64,
    /// Mean square of the errors of one step.
    variance: f64,
}

impl Policy for Forecaster {
    const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");
    const STATE_FORMAT: u32 = 1;
    type Config = Config;
    type State = State;

    fn validate(config: &Config) -> Result<(), Error> {
        if config.alpha > 0.0 && config.alpha <= 1.0 {
            return Ok(());
        }
        Err(Error::invalid("alpha must be above 0 and at most 1"))
    }
}

impl ForecasterPolicy for Forecaster {
    fn fit(config: &Config, history: &SeriesView<'_>) -> Result<State, Error> {
        let known = history.values.iter().position(|v| !v.is_nan());
        let first = known.ok_or(Error::InsufficientData { have: 0, need: 1 })?;
        let mut state = State {
            level: history.values[first],
            variance: 0.0,
        };
        follow(config, &mut state, &history.values[first + 1..]);
        Ok(state)
    }

    fn update(config: &Config, state: &mut State, rows: &SeriesView<'_>) -> Result<(), Error> {
        follow(config, state, rows.values);
        Ok(())
    }

    fn predict(config: &Config, state: &State, ask: &Horizon<'_>) -> Result<Prediction, Error> {
        let shape = Shape::new(ask.steps, ask.levels)?;
        let mut quantiles = Vec::new();
        for step in 0..ask.steps {
            // The variance of what a smoothed level errs by so many steps ahead (Hyndman et al. 2008, 6.3).
            let growth = 1.0 + config.alpha * config.alpha * step as f64;
            let spread = (state.variance * growth).sqrt();
            let levels = shape.probabilities.iter();
            quantiles.extend(levels.map(|p| state.level + spread * normal_quantile(*p)));
        }
        // Cuts at zero and keeps the levels in order, which is what the host checks.
        Prediction::lawful(&shape, vec![state.level; ask.steps], quantiles)
    }
}

/// Takes values one by one; a missing one (NaN) is no news.
fn follow(config: &Config, state: &mut State, values: &[f64]) {
    for value in values.iter().filter(|v| !v.is_nan()) {
        let error = value - state.level;
        state.level += config.alpha * error;
        state.variance += config.alpha * (error * error - state.variance);
    }
}

tidegate_guest::export_forecaster!(Forecaster);

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_guest::Covariates;
    use tidegate_guest::series::Signal;

    fn rows(values: &[f64]) -> SeriesView<'_> {
        SeriesView {
            values,
            start: 0,
            step: 60,
            signal: Signal::Requests,
            covariates: Covariates::none(),
            seed: 1,
        }
    }

    fn ahead(state: &State, steps: usize) -> Prediction {
        let ask = Horizon {
            steps,
            levels: &[1000, 5000, 9000],
            start: 0,
            step: 60,
            covariates: Covariates::none(),
            seed: 1,
        };
        Forecaster::predict(&Config::default(), state, &ask).expect("it answers")
    }

    #[test]
    fn a_level_that_holds_is_expected_to_hold() {
        let state = Forecaster::fit(&Config::default(), &rows(&[10.0; 50])).expect("it fits");
        let answer = ahead(&state, 3);
        assert!(answer.mean.iter().all(|m| (m - 10.0).abs() < 1e-9));
    }

    #[test]
    fn the_interval_widens_with_the_horizon_and_never_goes_below_zero() {
        let noisy: Vec<f64> = (0..60).map(|t| f64::from(t % 3)).collect();
        let state = Forecaster::fit(&Config::default(), &rows(&noisy)).expect("it fits");
        let answer = ahead(&state, 30);
        let width = |step: usize| answer.quantiles[step * 3 + 2] - answer.quantiles[step * 3];
        assert!(width(29) > width(0));
        assert!(answer.quantiles.iter().all(|q| *q >= 0.0));
    }

    #[test]
    fn an_update_cut_in_two_is_the_same_update() {
        let config = Config::default();
        let start = Forecaster::fit(&config, &rows(&[4.0, 5.0])).expect("it fits");
        let (mut whole, mut cut) = (start.clone(), start);
        Forecaster::update(&config, &mut whole, &rows(&[6.0, f64::NAN, 7.0])).expect("it moves");
        Forecaster::update(&config, &mut cut, &rows(&[6.0])).expect("it moves");
        Forecaster::update(&config, &mut cut, &rows(&[f64::NAN, 7.0])).expect("it moves");
        assert_eq!(whole, cut);
    }
}
