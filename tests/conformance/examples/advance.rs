//! What one call for both steps of a cycle saves: `update` and `predict` against `advance`, per series, of a
//! cohort of 64 that is moved on by one row and asked an hour ahead.
//!
//! `cargo run --release -p tidegate-conformance --example advance -- target/guests/components/*.wasm`

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::time::{Duration, Instant};
use tidegate_conformance::samples::{self, ROWS, SERIES};
use tidegate_core::policy::{Blobs, Fitted};
use tidegate_core::units::Level;
use tidegate_engine::{Engine, Limits, Options, Policy};

/// Series of a cohort.
const COHORT: usize = 64;

/// Calls of which the median is told.
const ROUNDS: usize = 101;

/// Steps ahead.
const STEPS: u32 = 60;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::new(Options::default())?;
    let many: Vec<usize> = (0..COHORT).map(|i| i % SERIES).collect();
    println!(
        "{:<18}{:>8}{:>12}{:>12}{:>8}",
        "us a series", "bytes", "two calls", "advance", "saved"
    );
    for path in std::env::args().skip(1) {
        let loaded = engine.admit(&std::fs::read(&path)?, &Limits::default())?;
        let Policy::Forecaster(policy) = loaded.policy() else {
            continue;
        };
        let last = ROWS - 1;
        let fitted = policy.fit("{}", &samples::frames(&many, 0, last))?;
        let news = samples::frames(&many, last, ROWS);
        let horizon = samples::horizon(&many, ROWS, STEPS, &Level::STANDARD);
        let Fitted { model, states, .. } = &fitted;
        let two = || -> Result<(), tidegate_core::policy::CallError> {
            let moved = policy.update(model, states, &news)?;
            policy.predict(model, &moved.states, &horizon).map(drop)
        };
        let one = || policy.advance(model, states, &news, &horizon).map(drop);
        let (mut twos, mut ones) = (vec![], vec![]);
        // In turns, so that a slow moment of the machine hits both.
        for _ in 0..ROUNDS {
            twos.push(timed(two)?);
            ones.push(timed(one)?);
        }
        let (two, one) = (median(twos), median(ones));
        println!(
            "{:<18}{:>8}{:>12.2}{:>12.2}{:>7.0}%",
            loaded.manifest().name,
            size(states),
            two,
            one,
            100.0 * (1.0 - one / two)
        );
    }
    Ok(())
}

fn timed<E>(call: impl Fn() -> Result<(), E>) -> Result<Duration, E> {
    let clock = Instant::now();
    call()?;
    Ok(clock.elapsed())
}

/// In microseconds a series.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6 / COHORT as f64
}

fn size(states: &Blobs) -> usize {
    states.bytes.len() / states.len().max(1)
}
