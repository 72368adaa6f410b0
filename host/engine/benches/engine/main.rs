//! What the sandbox costs: `cargo bench -p tidegate-engine`, a table beside the goals. Behind `--`, any of
//! `models`, `calls`, `start` and `swaps` chooses parts.
//!
//! Medians of interleaved runs, because a shared machine drifts: whatever is compared takes turns, so
//! that all see the same neighbours. Whole calls are measured through the engine's public face, for only
//! they are paid. Fits and predictions of models count the thread's CPU time, the rest the wall's. No
//! bench framework: the numbers wanted are ratios of two subjects, which these do not form.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench reads the clock and answers a person"
)]

mod calls;
mod models;
mod swaps;

use std::error::Error;
use std::path::Path;
use std::time::Instant;
use tidegate_build::Builder;
use tidegate_engine::{Engine, Limits, Options, Source};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let known = ["models", "calls", "start", "swaps"];
    let named = |part: &str| chosen.iter().any(|c| c == part);
    let none = !known.into_iter().any(named);
    let wants = |part: &str| none || named(part);
    println!(
        "{:52} {:>10} {:>10} {:>7}  goal",
        "what", "native", "component", "ratio"
    );
    if wants("models") {
        let only: Vec<&String> = chosen.iter().filter(|c| !known.contains(&&***c)).collect();
        for (name, bytes) in components(&models::NAMES)? {
            let asked = only.iter().filter(|c| !c.starts_with('-'));
            if asked.clone().count() == 0 || asked.clone().any(|c| **c == name) {
                models::compare(&name, &bytes)?;
            }
        }
    }
    if wants("calls") {
        calls::run()?;
    }
    if wants("start") {
        for (_, bytes) in components(&["seasonal-naive"])? {
            start(&bytes)?;
        }
    }
    if wants("swaps") {
        swaps::run(components(&["seasonal-naive"])?)?;
    }
    Ok(())
}

/// Shipped plugins, built as they ship, in the order of their names here.
fn components(names: &[&str]) -> Outcome<Vec<(String, Vec<u8>)>> {
    let builder = Builder::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins"));
    let mut packages = builder.packages()?;
    packages.retain(|p| names.contains(&p.name()));
    let mut all = Vec::new();
    for built in builder.build(&packages)? {
        let name = built.package.name().to_owned();
        all.push((name, std::fs::read(built.component)?));
    }
    all.sort_by_key(|(name, _)| names.iter().position(|n| n == name));
    Ok(all)
}

/// An engine with 50 modules whose code is kept.
fn start(bytes: &[u8]) -> Outcome {
    let directory = tempfile::tempdir()?;
    let modules: Vec<Vec<u8>> = (0..50_u8).map(|n| marked(bytes, n)).collect();
    let mut times = Vec::new();
    for run in 0..6 {
        let options = Options {
            cache: Some(directory.path().to_owned()),
            ..Options::default()
        };
        let begun = Instant::now();
        let engine = Engine::new(options)?;
        for module in &modules {
            let loaded = engine.admit(module, &Limits::default())?;
            if run > 0 && loaded.source() != Source::Cached {
                return Err("a module was compiled again".into());
            }
        }
        if run > 0 {
            times.push(begun.elapsed().as_secs_f64());
        }
    }
    let time = format!("{:.0} ms", median(times) * 1e3);
    row("start with 50 cached modules", "", &time, "", "< 1 s");
    Ok(())
}

/// The same module under another digest: a custom section more.
fn marked(bytes: &[u8], mark: u8) -> Vec<u8> {
    [bytes, &[0, 3, 1, b'n', mark]].concat()
}

fn row(what: &str, native: &str, component: &str, ratio: &str, goal: &str) {
    println!("{what:52} {native:>10} {component:>10} {ratio:>7}  {goal}");
}

/// Microseconds for a person.
fn us(seconds: f64) -> String {
    format!("{:.2} us", seconds * 1e6)
}

fn median(times: Vec<f64>) -> f64 {
    at(times, 0.5)
}

/// A quantile of some times; NaN of none.
fn at(mut times: Vec<f64>, part: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let last = times.len().saturating_sub(1);
    let index = (last as f64 * part) as usize;
    times.get(index).copied().unwrap_or(f64::NAN)
}
