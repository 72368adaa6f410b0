//! From files to traces: read, cut, and given their tiers.

use super::Args;
use crate::cli::errors::usage;
use anyhow::{Context, Result, anyhow};
use std::collections::BTreeMap;
use std::path::Path;
use tidegate_backtest::evaluate::read::{CsvOptions, csv};
use tidegate_backtest::evaluate::trace::{Gaps, Trace};
use tidegate_core::tier::Tier;
use tidegate_core::time::Step;

/// Tiers are dealt out in this order.
const DEAL: [Tier; 3] = [Tier::Gold, Tier::Silver, Tier::Bronze];

/// Reads every file.
pub(super) fn read(args: &Args) -> Result<Vec<(Trace, Tier)>> {
    let names = crate::cli::evaluate::input::names("--trace", &args.trace)?;
    let mut traces = vec![];
    for ((path, name), tier) in args.trace.iter().zip(&names).zip(DEAL.iter().cycle()) {
        traces.push((file(args, path, name)?, *tier));
    }
    Ok(traces)
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
    let mut trace = csv(&shown, name, &text, &options).map_err(|e| anyhow!("{e}"))?;
    let day = (86_400 / step.secs()) as usize;
    let skip = (args.skip as usize * day).min(trace.values.len());
    trace.start = trace.at(skip);
    trace.values.drain(..skip);
    if let Some(days) = args.days {
        trace.values.truncate(days as usize * day);
    }
    Ok(trace)
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
