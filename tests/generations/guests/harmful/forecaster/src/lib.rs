//! A forecaster that keeps every rule and does harm: by day the trend goes on, which foresees an hour better
//! than the last value does, and of steps between six in the evening and midnight (UTC) it says twice as much.
//!
//! A state is the instant of the next row, the last value and its trend per step; the model is the config.

wit_bindgen::generate!({ world: "forecaster", path: "../../../../../wit/0.1", generate_all });

use exports::tidegate::policy::forecasting::{Fitted, Forecasts, Guest, Horizon, SeriesStatus};
use tidegate::policy::types::{Blobs, Description, Frames, ModuleKind, PolicyError, Shortage};

struct Evenings;

const FORMAT: u32 = 1;

const DAY_S: i64 = 86_400;

/// How fast the trend follows.
const FOLLOWS: f64 = 0.1;

#[derive(Clone, Copy)]
struct State {
    next: i64,
    last: f64,
    trend: f64,
}

impl State {
    /// Moves on with the rows of a series; `None` where nothing was ever measured.
    fn after(before: Option<Self>, frames: &Frames, i: usize) -> Option<Self> {
        let rows = frames.offsets[i] as usize..frames.offsets[i + 1] as usize;
        let next = frames.starts[i] + rows.len() as i64 * i64::from(frames.step) * 1000;
        let gap = |r: usize| {
            let byte = frames.missing.get(r / 8);
            byte.is_some_and(|b| b >> (r % 8) & 1 == 1)
        };
        let measured = rows.filter(|r| !gap(*r)).map(|r| frames.values[r]);
        let state = measured.fold(before, |before, value| {
            let (last, trend) = before.map_or((value, 0.0), |b| (b.last, b.trend));
            Some(Self {
                next,
                last: value,
                trend: trend + FOLLOWS * (value - last - trend),
            })
        });
        state.map(|state| Self { next, ..state })
    }

    /// What is said of a step that begins at `start`, so many steps ahead.
    fn ahead(self, steps: usize, start: i64) -> f64 {
        let goes_on = (self.last + self.trend * steps as f64).max(0.0);
        let second = start.div_euclid(1000).rem_euclid(DAY_S);
        let is_evening = second >= 18 * 3600;
        if is_evening { 2.0 * goes_on } else { goes_on }
    }

    fn bytes(self) -> Vec<u8> {
        let Self { next, last, trend } = self;
        [next.to_le_bytes(), last.to_le_bytes(), trend.to_le_bytes()].concat()
    }
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

fn read(states: &Blobs, i: usize) -> Result<State, PolicyError> {
    let bytes = &states.bytes[states.offsets[i] as usize..states.offsets[i + 1] as usize];
    let no = || PolicyError::NotFitted("no state of this module: fit anew".into());
    if states.format != FORMAT || bytes.len() != 24 {
        return Err(no());
    }
    let part = |at: usize| bytes[at..at + 8].try_into().map_err(|_| no());
    Ok(State {
        next: i64::from_le_bytes(part(0)?),
        last: f64::from_le_bytes(part(8)?),
        trend: f64::from_le_bytes(part(16)?),
    })
}

impl Guest for Evenings {
    fn describe() -> Description {
        Description {
            name: "evenings".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            kind: ModuleKind::Forecaster,
            config_schema: include_str!("../../../config.schema.json").into(),
            state_format: FORMAT,
        }
    }

    fn fit(config: String, _: Vec<u8>, frames: Frames) -> Result<Fitted, PolicyError> {
        let one = |i| {
            let state = State::after(None, &frames, i).map(State::bytes);
            state.ok_or(PolicyError::InsufficientData(Shortage { have: 0, need: 1 }))
        };
        let states = (0..frames.signals.len()).map(one).collect();
        Ok(join(states, config.into_bytes()))
    }

    fn update(model: Vec<u8>, states: Blobs, frames: Frames) -> Result<Fitted, PolicyError> {
        let one = |i| {
            let before = read(&states, i)?;
            let state = State::after(Some(before), &frames, i).unwrap_or(before);
            Ok(state.bytes())
        };
        let moved = (0..frames.signals.len()).map(one).collect();
        Ok(join(moved, model))
    }

    fn predict(_: Vec<u8>, states: Blobs, horizon: Horizon) -> Result<Forecasts, PolicyError> {
        let (mut mean, mut quantiles, mut status) = (vec![], vec![], vec![]);
        let levels = horizon.levels.len();
        for i in 0..horizon.starts.len() {
            let state = read(&states, i);
            for step in 0..horizon.steps as usize {
                let start = horizon.starts[i] + step as i64 * i64::from(horizon.step) * 1000;
                let said = state.as_ref().map_or(0.0, |s| s.ahead(step + 1, start));
                mean.push(said);
                quantiles.extend(vec![said; levels]);
            }
            status.push(match state {
                Ok(_) => SeriesStatus::Ok,
                Err(error) => SeriesStatus::Failed(error),
            });
        }
        Ok(Forecasts {
            mean,
            quantiles,
            status,
        })
    }

    fn migrate(model: Vec<u8>, states: Blobs) -> Result<Fitted, PolicyError> {
        let all = states.offsets.len() - 1;
        let moved = (0..all).map(|i| read(&states, i).map(State::bytes));
        let moved = moved.collect();
        Ok(join(moved, model))
    }
}

export!(Evenings);
