//! The last value goes on, with a spread that grows like a random walk's.
//!
//! Quantiles are Laplace's: its tails are heavier than the normal's, its quantile function is a
//! logarithm, and its one parameter is the mean absolute change, which needs no fit.

use tidegate_core::policy::{
    Blobs, CallError, Fitted, Forecaster, Forecasts, Frames, Horizon, PolicyError, SeriesStatus,
};
use tidegate_core::units::Level;

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct LastValue;

/// Weight of the newest change in the mean absolute change.
const GAIN: f64 = 0.1;

#[derive(Debug, Clone, Copy)]
struct State {
    last: f64,
    change: f64,
}

impl State {
    fn read(bytes: &[u8]) -> Result<Self, PolicyError> {
        let number = |from: usize| -> Option<f64> {
            let bits: [u8; 8] = bytes.get(from..from + 8)?.try_into().ok()?;
            Some(f64::from_le_bytes(bits))
        };
        match (number(0), number(8)) {
            (Some(last), Some(change)) => Ok(Self { last, change }),
            _ => Err(PolicyError::NotFitted(
                "the state is not the baseline's".into(),
            )),
        }
    }

    fn write(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.last.to_le_bytes());
        bytes[8..].copy_from_slice(&self.change.to_le_bytes());
        bytes
    }

    fn learn(state: Option<Self>, values: &[f64]) -> Option<Self> {
        values
            .iter()
            .filter(|v| v.is_finite())
            .fold(state, |state, &value| {
                Some(match state {
                    // A first value says nothing of change: assume a tenth.
                    None => Self {
                        last: value,
                        change: value.abs() * 0.1,
                    },
                    Some(s) => Self {
                        last: value,
                        change: s.change + GAIN * ((value - s.last).abs() - s.change),
                    },
                })
            })
    }

    fn quantile(self, ahead: usize, level: Level) -> f64 {
        let (p, scale) = (
            level.probability(),
            self.change * ((ahead + 1) as f64).sqrt(),
        );
        let offset = if p < 0.5 {
            libm::log(2.0 * p)
        } else {
            -libm::log(2.0 * (1.0 - p))
        };
        (self.last + scale * offset).max(0.0)
    }
}

fn learned(states: Vec<Option<State>>) -> Fitted {
    let status: Vec<SeriesStatus> = states
        .iter()
        .map(|s| {
            s.map(drop)
                .ok_or(PolicyError::InsufficientData { have: 0, need: 1 })
        })
        .collect();
    let parts: Vec<Vec<u8>> = states
        .into_iter()
        .map(|s| s.map(|s| s.write().to_vec()).unwrap_or_default())
        .collect();
    Fitted {
        model: vec![],
        states: Blobs::join(1, parts.iter().map(Vec::as_slice)),
        status,
    }
}

impl Forecaster for LastValue {
    fn fit_from(&self, _: &str, _: &[u8], frames: &Frames) -> Result<Fitted, CallError> {
        Ok(learned(
            (0..frames.len())
                .map(|i| State::learn(None, &frames.series(i)))
                .collect(),
        ))
    }

    fn update(&self, _model: &[u8], states: &Blobs, frames: &Frames) -> Result<Fitted, CallError> {
        let next = (0..frames.len())
            .map(|i| State::learn(State::read(states.get(i)).ok(), &frames.series(i)));
        Ok(learned(next.collect()))
    }

    fn predict(
        &self,
        _model: &[u8],
        states: &Blobs,
        horizon: &Horizon,
    ) -> Result<Forecasts, CallError> {
        let steps = horizon.steps as usize;
        let mut out = Forecasts {
            mean: vec![],
            quantiles: vec![],
            status: vec![],
        };
        for i in 0..horizon.starts.len() {
            let read = State::read(states.get(i));
            let state = read.clone().unwrap_or(State {
                last: 0.0,
                change: 0.0,
            });
            for step in 0..steps {
                out.mean.push(state.last.max(0.0));
                out.quantiles
                    .extend(horizon.levels.iter().map(|&l| state.quantile(step, l)));
            }
            out.status.push(read.map(drop));
        }
        Ok(out)
    }

    fn migrate(&self, _model: &[u8], _states: &Blobs) -> Result<Fitted, CallError> {
        Err(CallError::Policy(PolicyError::Unsupported(
            "the baseline has one format".into(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::invariant::check_forecasts;
    use tidegate_core::time::{Step, Timestamp};
    use tidegate_core::units::Signal;

    #[test]
    fn it_forecasts_from_one_value_and_widens() {
        let mut frames = Frames::new(Step::MINUTE);
        frames.push(Signal::Requests, Timestamp(0), &[f64::NAN, 10.0], 0);
        frames.push(Signal::Requests, Timestamp(0), &[f64::NAN], 0);
        let fitted = LastValue.fit("{}", &frames).unwrap();
        assert!(fitted.status[0].is_ok() && fitted.status[1].is_err());
        let horizon = Horizon {
            step: Step::MINUTE,
            steps: 30,
            levels: Level::STANDARD.to_vec(),
            starts: vec![Timestamp(120_000); 2],
            future: tidegate_core::policy::Covariates::default(),
            seeds: vec![0; 2],
        };
        let forecasts = LastValue
            .predict(&fitted.model, &fitted.states, &horizon)
            .unwrap();
        check_forecasts(&horizon, &forecasts).unwrap();
        let width = |step: usize| forecasts.quantiles[step * 9 + 8] - forecasts.quantiles[step * 9];
        assert!(width(29) > width(0));
        assert!((forecasts.mean[0] - 10.0).abs() < 1e-12);
    }
}
