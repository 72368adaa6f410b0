//! The next version of the same forecaster, of interface 0.2: it also counts the rows that it has seen.
//!
//! A state of format 2 has that number behind what format 1 had. What goes wrong when it is given states of
//! format 1 is said by the config that they were fitted with, so that one component shows every way in which
//! a migration can fail.

wit_bindgen::generate!({ world: "forecaster", path: "../../../../../wit/0.2", generate_all });

use exports::tidegate::policy::forecasting::{
    Advanced, Fitted, Forecasts, Guest, Horizon, SeriesStatus,
};
use tidegate::policy::host::{Severity, log};
use tidegate::policy::types::{Blobs, Description, Frames, ModuleKind, PolicyError, Shortage};

struct Steady;

const FORMAT: u32 = 2;

/// A series above this is the one that cannot be migrated under the fault `one`.
const ODD: f64 = 1000.0;

/// Next row, last value, rows seen.
type State = (i64, f64, u64);

fn seen(frames: &Frames, i: usize) -> (i64, Option<f64>, u64) {
    let rows = frames.offsets[i] as usize..frames.offsets[i + 1] as usize;
    let gap = |r: &usize| {
        frames
            .missing
            .get(r / 8)
            .is_some_and(|b| b >> (r % 8) & 1 == 1)
    };
    let next = frames.starts[i] + rows.len() as i64 * i64::from(frames.step) * 1000;
    let count = rows.len() as u64;
    let last = rows.rev().find(|r| !gap(r)).map(|r| frames.values[r]);
    (next, last, count)
}

fn blobs(states: Vec<Vec<u8>>) -> Blobs {
    let mut offsets = vec![0];
    let mut end = 0;
    for state in &states {
        end += state.len() as u32;
        offsets.push(end);
    }
    Blobs {
        format: FORMAT,
        offsets,
        bytes: states.concat(),
    }
}

fn join(states: Vec<Result<Vec<u8>, PolicyError>>, model: Vec<u8>) -> Fitted {
    let status = |s: &Result<Vec<u8>, PolicyError>| match s {
        Ok(_) => SeriesStatus::Ok,
        Err(error) => SeriesStatus::Failed(error.clone()),
    };
    let status = states.iter().map(status).collect();
    let states = states.into_iter().map(Result::unwrap_or_default).collect();
    Fitted {
        model,
        states: blobs(states),
        status,
    }
}

fn slice(states: &Blobs, i: usize) -> &[u8] {
    &states.bytes[states.offsets[i] as usize..states.offsets[i + 1] as usize]
}

fn read(states: &Blobs, i: usize) -> Result<State, PolicyError> {
    let bytes = slice(states, i);
    let word = |at: usize| <[u8; 8]>::try_from(&bytes[at..at + 8]).unwrap_or_default();
    if states.format != FORMAT || bytes.len() != 24 {
        return Err(PolicyError::NotFitted(
            "no state of this module: fit anew".into(),
        ));
    }
    let (next, last) = (i64::from_le_bytes(word(0)), f64::from_le_bytes(word(8)));
    Ok((next, last, u64::from_le_bytes(word(16))))
}

fn write((next, last, rows): State) -> Vec<u8> {
    [next.to_le_bytes(), last.to_le_bytes(), rows.to_le_bytes()].concat()
}

fn moved(states: &Blobs, frames: &Frames, i: usize) -> Result<State, PolicyError> {
    let (_, before, had) = read(states, i)?;
    let (next, last, rows) = seen(frames, i);
    Ok((next, last.unwrap_or(before), had + rows))
}

fn grids(states: Vec<Result<State, PolicyError>>, horizon: &Horizon) -> Forecasts {
    let (mut mean, mut quantiles, mut status) = (vec![], vec![], vec![]);
    let steps = horizon.steps as usize;
    for state in states {
        let (value, outcome) = match state {
            Ok((_, last, _)) => (last, SeriesStatus::Ok),
            Err(error) => (0.0, SeriesStatus::Failed(error)),
        };
        mean.extend(vec![value; steps]);
        quantiles.extend(vec![value; steps * horizon.levels.len()]);
        status.push(outcome);
    }
    Forecasts {
        mean,
        quantiles,
        status,
    }
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
            (next, Some(last), rows) => Ok(write((next, last, rows))),
            _ => Err(PolicyError::InsufficientData(Shortage { have: 0, need: 1 })),
        };
        let states = (0..frames.signals.len()).map(one).collect();
        Ok(join(states, config.into_bytes()))
    }

    fn update(model: Vec<u8>, states: Blobs, frames: Frames) -> Result<Fitted, PolicyError> {
        let one = |i| moved(&states, &frames, i).map(write);
        let moved = (0..frames.signals.len()).map(one).collect();
        Ok(join(moved, model))
    }

    fn predict(_: Vec<u8>, states: Blobs, horizon: Horizon) -> Result<Forecasts, PolicyError> {
        let all = (0..horizon.starts.len()).map(|i| read(&states, i));
        Ok(grids(all.collect(), &horizon))
    }

    fn advance(
        _: Vec<u8>,
        states: Blobs,
        news: Frames,
        horizon: Horizon,
    ) -> Result<Advanced, PolicyError> {
        let one = |i| match news.offsets[i] == news.offsets[i + 1] {
            true => read(&states, i),
            false => moved(&states, &news, i),
        };
        let all: Vec<_> = (0..horizon.starts.len()).map(one).collect();
        let bytes = all.iter().map(|s| s.clone().map(write).unwrap_or_default());
        let states = blobs(bytes.collect());
        Ok(Advanced {
            states,
            forecasts: grids(all, &horizon),
        })
    }

    fn migrate(model: Vec<u8>, states: Blobs) -> Result<Fitted, PolicyError> {
        let all = states.offsets.len() - 1;
        if states.format == FORMAT {
            let same = (0..all).map(|i| read(&states, i).map(write)).collect();
            return Ok(join(same, model));
        }
        let config = String::from_utf8_lossy(&model).into_owned();
        let fault = |name: &str| config.contains(&format!("\"{name}\""));
        if states.format != 1 || fault("unsupported") {
            let text = format!("states of format {}: fit anew", states.format);
            return Err(PolicyError::Unsupported(text));
        }
        if fault("trap") {
            log(Severity::Error, "the tide went out");
            unreachable!();
        }
        let one = |i| {
            let bytes = slice(&states, i);
            let word = |at: usize| <[u8; 8]>::try_from(&bytes[at..at + 8]).unwrap_or_default();
            let (next, mut last) = (i64::from_le_bytes(word(0)), f64::from_le_bytes(word(8)));
            if fault("one") && last > ODD {
                return Err(PolicyError::Numeric(format!("{last} is beyond {ODD}")));
            }
            if fault("wild") {
                last *= 1e6;
            }
            Ok(write((next, last, 1)))
        };
        let mut fitted = join((0..all).map(one).collect(), model);
        if fault("format") {
            fitted.states.format = 7;
        }
        Ok(fitted)
    }
}

export!(Steady);
