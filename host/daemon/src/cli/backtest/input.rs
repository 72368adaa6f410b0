//! From files to traces: read, cut, and given their tiers.

mod stored;

pub(super) use stored::Range;

use super::Args;
use super::config::Setup;
use crate::cli::errors::usage;
use crate::cli::words::hint;
use anyhow::{Context, Result, anyhow};
use std::collections::BTreeMap;
use std::path::Path;
use tidegate_backtest::evaluate::read::{CsvOptions, csv};
use tidegate_backtest::evaluate::trace::{Gaps, Trace};
use tidegate_backtest::shape::case::Load;
use tidegate_core::tier::Tier;
use tidegate_core::time::Step;

/// Tiers are dealt out in this order.
const DEAL: [Tier; 3] = [Tier::Gold, Tier::Silver, Tier::Bronze];

/// Reads every file, or what a stopped daemon has stored.
pub(super) fn read(args: &Args, setup: &Setup) -> Result<Vec<Load>> {
    let mut loads = match (&args.from_store, &args.store) {
        (Some(range), Some(dir)) => stored::read(dir, *range)?,
        _ => files(args)?,
    };
    for name in setup.apis.keys() {
        if !loads.iter().any(|l| l.trace.name == *name) {
            let known: Vec<&str> = loads.iter().map(|l| l.trace.name.as_str()).collect();
            return Err(usage(format!(
                "--config: apis.{name}: no trace has that name{}; there are {}",
                hint(name, &known),
                known.join(", ")
            )));
        }
    }
    for load in &mut loads {
        if let Some(api) = setup.apis.get(&load.trace.name) {
            load.tier = api.tier.map_or(load.tier, Tier::from);
            load.replica = api.replica.or(load.replica);
        }
        cut(args, &mut load.trace);
    }
    Ok(loads)
}

/// Leaves out what is not asked for.
fn cut(args: &Args, trace: &mut Trace) {
    let day = (86_400 / trace.step.secs()) as usize;
    let skip = (args.skip as usize * day).min(trace.values.len());
    trace.start = trace.at(skip);
    trace.values.drain(..skip);
    if let Some(days) = args.days {
        trace.values.truncate(days as usize * day);
    }
}

fn files(args: &Args) -> Result<Vec<Load>> {
    let names = crate::cli::evaluate::input::names("--trace", &args.trace)?;
    let dealt = args.trace.iter().zip(&names).zip(DEAL.iter().cycle());
    dealt
        .map(|((path, name), tier)| {
            Ok(Load {
                trace: file(args, path, name)?,
                tier: *tier,
                replica: None,
                events: vec![],
            })
        })
        .collect()
}

fn file(args: &Args, path: &Path, name: &str) -> Result<Trace> {
    let shown = path.display().to_string();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| anyhow!("{shown} is no text (UTF-8); give a CSV file"))?;
    let seconds = args.step.unwrap_or_else(|| usual_distance(&text));
    let step = Step::from_secs(seconds)
        .filter(|s| s.secs() >= 60 && s.secs() <= 3600 && s.secs().is_multiple_of(60))
        .ok_or_else(|| {
            usage(format!(
                "{shown}: a step of {seconds} s is not one that can be simulated; write --step with whole minutes, 60 to 3600"
            ))
        })?;
    let options = CsvOptions {
        step,
        until: None,
        gaps: Gaps::Fill,
        column: args.column.as_deref(),
    };
    csv(&shown, name, &text, &options).map_err(|e| anyhow!("{e}"))
}

/// Seconds that most rows are apart, in whole minutes; a minute where nothing can be told.
fn usual_distance(text: &str) -> u32 {
    let stamps: Vec<f64> = text
        .lines()
        .filter_map(|line| {
            line.split(',')
                .next()?
                .trim()
                .trim_matches('"')
                .parse()
                .ok()
        })
        .collect();
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for pair in stamps.windows(2) {
        let minutes = ((pair[1] - pair[0]) / 60.0).round().clamp(1.0, 1440.0);
        *counts.entry(minutes as u32 * 60).or_default() += 1;
    }
    let most = counts
        .iter()
        .max_by_key(|(step, n)| (**n, std::cmp::Reverse(**step)));
    most.map_or(60, |(step, _)| *step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_of_a_file_is_what_most_of_its_rows_are_apart() {
        assert_eq!(
            usual_distance("timestamp,value\n0,1\n300,1\n601,1\n1500,1\n1800,1\n"),
            300
        );
        assert_eq!(usual_distance("timestamp,value\n0,1\n15,1\n30,1\n"), 60);
        assert_eq!(usual_distance("timestamp,value\n"), 60);
    }
}
