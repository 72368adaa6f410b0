//! A forecaster of interface 0.1: the last value goes on.
//!
//! A state of format 1 is the instant of the next row and the last value; the model is the config.

wit_bindgen::generate!({ world: "forecaster", path: "../../../../../wit/0.1", generate_all });

use exports::tidegate::policy::forecasting::{Fitted, Forecasts, Guest, Horizon, SeriesStatus};
use tidegate::policy::types::{Blobs, Description, Frames, ModuleKind, PolicyError, Shortage};

struct Steady;

const FORMAT: u32 = 1;

/// Rows of a series as `(next, last measured)`.
fn seen(frames: &Frames, i: usize) -> (i64, Option<f64>) {
    let rows = frames.offsets[i] as usize..frames.offsets[i + 1] as usize;
    let gap = |r: &usize| {
        frames
            .missing
            .get(r / 8)
            .is_some_and(|b| b >> (r % 8) & 1 == 1)
    };
    let next = frames.starts[i] + rows.len() as i64 * i64::from(frames.step) * 1000;
    let last = rows.rev().find(|r| !gap(r)).map(|r| frames.values[r]);
    (next, last)
}

fn join(states: Vec<Result<Vec<u8>, PolicyError>>, model: Vec<u8>) -> Fitted {
    let (mut offsets, mut bytes, mut status) = (vec![0], vec![], vec![]);
    for state in states {
        match state {
            Ok(state) => {
                bytes.extend(state);
                status.push(SeriesStatus::Ok);
            }
            Err(error) => status.push(SeriesStatus::Failed(error)),
        }
        offsets.push(bytes.len() as u32);
    }
    Fitted {
        model,
        states: Blobs {
            format: FORMAT,
            offsets,
            bytes,
        },
        status,
    }
}

fn read(states: &Blobs, i: usize) -> Result<(i64, f64), PolicyError> {
    let bytes = &states.bytes[states.offsets[i] as usize..states.offsets[i + 1] as usize];
    let no = || PolicyError::NotFitted("no state of this module: fit anew".into());
    if states.format != FORMAT || bytes.len() != 16 {
        return Err(no());
    }
    let next = i64::from_le_bytes(bytes[..8].try_into().map_err(|_| no())?);
    let last = f64::from_le_bytes(bytes[8..].try_into().map_err(|_| no())?);
    Ok((next, last))
}

fn write((next, last): (i64, f64)) -> Vec<u8> {
    [next.to_le_bytes(), last.to_le_bytes()].concat()
}

impl Guest for Steady {
    fn describe() -> Description {
        Description {
            name: "steady".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            kind: ModuleKind::Forecaster,
            config_schema: include_str!("../../../config.schema.json").into(),
            state_format: FORMAT,
        }
    }

    fn fit(config: String, _: Vec<u8>, frames: Frames) -> Result<Fitted, PolicyError> {
        let one = |i| match seen(&frames, i) {
            (next, Some(last)) => Ok(write((next, last))),
            _ => Err(PolicyError::InsufficientData(Shortage { have: 0, need: 1 })),
        };
        let states = (0..frames.signals.len()).map(one).collect();
        Ok(join(states, config.into_bytes()))
    }

    fn update(model: Vec<u8>, states: Blobs, frames: Frames) -> Result<Fitted, PolicyError> {
        let one = |i| {
            let (_, before) = read(&states, i)?;
            let (next, last) = seen(&frames, i);
            Ok(write((next, last.unwrap_or(before))))
        };
        let moved = (0..frames.signals.len()).map(one).collect();
        Ok(join(moved, model))
    }

    fn predict(_: Vec<u8>, states: Blobs, horizon: Horizon) -> Result<Forecasts, PolicyError> {
        let (mut mean, mut quantiles, mut status) = (vec![], vec![], vec![]);
        let steps = horizon.steps as usize;
        for i in 0..horizon.starts.len() {
            let (value, outcome) = match read(&states, i) {
                Ok((_, last)) => (last, SeriesStatus::Ok),
                Err(error) => (0.0, SeriesStatus::Failed(error)),
            };
            mean.extend(vec![value; steps]);
            quantiles.extend(vec![value; steps * horizon.levels.len()]);
            status.push(outcome);
        }
        Ok(Forecasts {
            mean,
            quantiles,
            status,
        })
    }

    fn migrate(model: Vec<u8>, states: Blobs) -> Result<Fitted, PolicyError> {
        if states.format != FORMAT {
            let text = format!(
                "states of format {}, this version reads 1 alone",
                states.format
            );
            return Err(PolicyError::Unsupported(text));
        }
        let all = states.offsets.len() - 1;
        let moved = (0..all).map(|i| read(&states, i).map(write)).collect();
        Ok(join(moved, model))
    }
}

export!(Steady);
