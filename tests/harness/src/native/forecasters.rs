//! Models of one series as forecasters of batches: one state per series, the config as the model.

use super::{config, said};
use serde::de::DeserializeOwned;
use tidegate_core::policy::{
    Blobs, CallError, Fitted, Forecaster, Forecasts, Frames, Horizon, PolicyError,
};
use tidegate_model_kit::{ModelError, Prediction, Series};

/// A model as functions; the shipped crates all have these, each with its own types.
pub(super) struct PerSeries<C, S> {
    name: &'static str,
    format: u32,
    fit: fn(&C, &Series<'_>) -> Result<S, ModelError>,
    update: fn(&mut S, &[f64]),
    predict: fn(&S, usize, &[u16], u64) -> Result<Prediction, ModelError>,
    encode: fn(&S) -> Result<Vec<u8>, ModelError>,
    decode: fn(&[u8]) -> Result<S, ModelError>,
}

impl<C, S> std::fmt::Debug for PerSeries<C, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PerSeries").field(&self.name).finish()
    }
}

macro_rules! model {
    ($name:ident, $module:ident, $text:literal) => {
        pub(super) fn $name() -> PerSeries<$module::Config, $module::State> {
            PerSeries {
                name: $text,
                format: $module::FORMAT,
                fit: $module::fit,
                update: $module::State::update,
                predict: $module::State::predict,
                encode: $module::State::encode,
                decode: $module::State::decode,
            }
        }
    };
}
model!(
    seasonal_naive,
    tidegate_model_seasonal_naive,
    "seasonal-naive"
);
model!(ets, tidegate_model_ets, "ets");

impl<C, S> PerSeries<C, S> {
    fn gather(&self, model: &[u8], outcomes: Vec<Result<S, ModelError>>) -> Fitted {
        let encoded: Vec<Result<Vec<u8>, ModelError>> = outcomes
            .into_iter()
            .map(|outcome| outcome.and_then(|state| (self.encode)(&state)))
            .collect();
        let parts = encoded.iter().map(|e| e.as_deref().unwrap_or_default());
        Fitted {
            model: model.to_vec(),
            states: Blobs::join(self.format, parts),
            status: encoded
                .iter()
                .map(|e| e.as_ref().map(|_| ()).map_err(said))
                .collect(),
        }
    }
}

impl<C: DeserializeOwned, S> Forecaster for PerSeries<C, S> {
    fn fit(&self, text: &str, frames: &Frames) -> Result<Fitted, CallError> {
        let config: C = config(text)?;
        let outcomes = (0..frames.len())
            .map(|i| {
                let series = Series {
                    values: &frames.series(i),
                    start_ms: frames.starts[i].0,
                    step_s: frames.step.secs(),
                    periods: &[],
                };
                (self.fit)(&config, &series)
            })
            .collect();
        Ok(self.gather(text.as_bytes(), outcomes))
    }

    fn update(&self, model: &[u8], states: &Blobs, frames: &Frames) -> Result<Fitted, CallError> {
        let outcomes = (0..frames.len())
            .map(|i| {
                let mut state = (self.decode)(states.get(i))?;
                (self.update)(&mut state, &frames.series(i));
                Ok(state)
            })
            .collect();
        Ok(self.gather(model, outcomes))
    }

    fn predict(&self, _: &[u8], states: &Blobs, horizon: &Horizon) -> Result<Forecasts, CallError> {
        let steps = horizon.steps as usize;
        let levels: Vec<u16> = horizon.levels.iter().map(|l| l.get()).collect();
        let mut answer = Forecasts {
            mean: vec![],
            quantiles: vec![],
            status: vec![],
        };
        for i in 0..states.len() {
            let outcome = (self.decode)(states.get(i))
                .and_then(|state| (self.predict)(&state, steps, &levels, horizon.seeds[i]));
            match outcome {
                Ok(prediction) => {
                    answer.mean.extend(prediction.mean);
                    answer.quantiles.extend(prediction.quantiles);
                    answer.status.push(Ok(()));
                }
                Err(error) => {
                    answer.mean.extend(vec![0.0; steps]);
                    answer.quantiles.extend(vec![0.0; steps * levels.len()]);
                    answer.status.push(Err(said(&error)));
                }
            }
        }
        Ok(answer)
    }

    fn migrate(&self, _: &[u8], _: &Blobs) -> Result<Fitted, CallError> {
        let text = format!("{} has one format: fit anew", self.name);
        Err(CallError::Policy(PolicyError::Unsupported(text)))
    }
}
