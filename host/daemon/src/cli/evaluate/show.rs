//! The answer for people: one table per horizon, what it cost, which series are worst, a picture.
//!
//! A module that does not beat seasonal-naive has a MASE near or above 1 by the definition of the
//! scale; that needs no column. What could not be measured is said under the tables in words.

use super::Args;
use super::ask::Question;
use super::input::Input;
use super::rolling::Run;
use crate::cli::errors::usage;
use crate::cli::words;
use crate::render::plot::{self, Curves};
use crate::render::table::Table;
use anyhow::{Result, anyhow};
use std::fmt::Write as _;
use tidegate_backtest::evaluate::report::{Benchmark, Row};
use tidegate_backtest::evaluate::rolling::Cut;
use tidegate_backtest::evaluate::scores::{Metric, Scores, quantile};

/// Series that are listed without `--per-series`; of more, the worst.
const LISTED: usize = 40;

/// How many of the worst.
const WORST: usize = 10;

/// Failures that are told in words.
const TOLD: usize = 5;

/// A figure with so many digits, a dash where there is none.
fn figure(value: f64, digits: usize) -> String {
    match value.is_finite() {
        true if value.abs() >= 1e6 => format!("{value:.2e}"),
        true => format!("{value:.digits$}"),
        false => "-".into(),
    }
}

/// Metrics of the table, with their heads and digits.
const COLUMNS: [(Metric, &str, usize); 13] = [
    (Metric::Smape, "sMAPE", 2),
    (Metric::Mase, "MASE", 3),
    (Metric::Mspl, "MSPL", 4),
    (Metric::Msis, "MSIS", 2),
    (Metric::Wql, "WQL", 4),
    (Metric::Cover50, "cov50", 1),
    (Metric::Cover80, "cov80", 1),
    (Metric::Cover95, "cov95", 1),
    (Metric::Width50, "wid50", 2),
    (Metric::Width80, "wid80", 2),
    (Metric::Width95, "wid95", 2),
    (Metric::Below90, "p90", 1),
    (Metric::Below99, "p99", 1),
];

fn cells(scores: &Scores) -> impl Iterator<Item = String> + '_ {
    COLUMNS.iter().map(|(m, _, d)| figure(scores.get(*m), *d))
}

fn head(first: &[&'static str], last: &[&'static str]) -> Table {
    let mut head = first.to_vec();
    head.extend(COLUMNS.iter().map(|(_, name, _)| *name));
    head.extend(last);
    Table::new(&head)
}

/// Rolling origins.
pub(super) fn rolling(
    args: &Args,
    question: &Question,
    input: &Input,
    cuts: &[Cut<'_>],
    runs: &[Run<'_>],
    short: &[String],
) -> String {
    let plan = &question.plan;
    let mut series: Vec<usize> = cuts.iter().map(|c| c.series).collect();
    series.dedup();
    let mut text = format!(
        "{} series, {} origins, {} steps of {} s ahead, season {}, seed {}\n",
        series.len(),
        cuts.len(),
        plan.horizon,
        question.step.secs(),
        plan.season,
        args.seed
    );
    for (k, at) in question.score_at.iter().enumerate() {
        // The published constants belong to M4's hourly series alone.
        let is_m4 = matches!(input, Input::Pairs(_)) && plan.season == 24;
        let _ = write!(text, "\nfirst {at} steps, means over series\n");
        let mut table = head(
            &["module", "runs"],
            if is_m4 {
                &["OWA", "OWA here"]
            } else {
                &["OWA here"]
            },
        );
        for run in runs {
            let (scores, naive2) = (&run.report.total[k], run.report.naive2[k]);
            let way = run.module.way.split(' ').next().unwrap_or_default();
            let mut row = vec![run.report.subject.clone(), way.to_owned()];
            row.extend(cells(scores));
            if is_m4 {
                row.push(figure(Benchmark::M4_HOURLY.owa(scores), 3));
            }
            row.push(figure(naive2.owa(scores), 3));
            table.row(row);
        }
        text += &table.to_string();
    }
    text += "\none origin costs, on one core\n";
    text += &costs(runs).to_string();
    if let Some(first) = runs.first() {
        text += &per_series(args, question, first);
    }
    text += &told(runs, short);
    text
}

fn costs(runs: &[Run<'_>]) -> Table {
    let mut table = Table::new(&[
        "module",
        "fit ms",
        "predict ms",
        "median of both",
        "update ms",
        "state bytes",
        "model bytes",
        "peak memory",
    ]);
    for run in runs {
        let cost = &run.report.cost;
        let peak = run.module.peak_memory();
        table.row(vec![
            run.report.subject.clone(),
            figure(cost.fit_ms, 2),
            figure(cost.predict_ms, 3),
            figure(cost.median_ms, 2),
            figure(cost.update_ms, 4),
            cost.state_bytes.to_string(),
            cost.model_bytes.to_string(),
            peak.map_or_else(|| "-".into(), |p| words::bytes(p as f64)),
        ]);
    }
    table
}

/// Lines of the first module: all series, or the worst by the farthest MSPL.
fn per_series(args: &Args, question: &Question, run: &Run<'_>) -> String {
    let mut rows: Vec<&Row> = run.report.rows.iter().collect();
    let all = args.per_series || rows.len() <= LISTED;
    let mut text = format!("\n{}, per series", run.report.subject);
    if !all {
        rows.sort_by(|a, b| worst(b).total_cmp(&worst(a)));
        rows.truncate(WORST);
        let _ = write!(text, " (the {WORST} worst; --per-series lists all)");
    }
    text.push('\n');
    let mut table = head(&["series", "steps", "origins"], &[]);
    for (k, at) in question.score_at.iter().enumerate() {
        for row in &rows {
            let mut line = vec![row.name.clone(), at.to_string(), row.origins.to_string()];
            line.extend(cells(&row.scores[k]));
            table.row(line);
        }
    }
    text + &table.to_string()
}

fn worst(row: &Row) -> f64 {
    let last = row.scores.last();
    last.map_or(f64::NAN, |s| s.get(Metric::Mspl))
}

/// What stands beside the means.
fn told(runs: &[Run<'_>], short: &[String]) -> String {
    let mut text = String::new();
    if !short.is_empty() {
        let _ = write!(text, "\ntoo short for an origin: {}\n", short.join(", "));
    }
    if let Some(unscaled) = runs.first().map(|r| &r.report.unscaled)
        && !unscaled.is_empty()
    {
        let named: Vec<String> = unscaled
            .iter()
            .map(|(name, origin)| format!("{name}@{origin}"))
            .collect();
        let _ = write!(
            text,
            "\n{} origins are scored nowhere, since the season before them repeats itself exactly: {}\n",
            named.len(),
            named.join(", ")
        );
    }
    for run in runs {
        let failed = &run.report.failed;
        if failed.is_empty() {
            continue;
        }
        let _ = write!(
            text,
            "\n{} made no forecast at {} origins, which its means leave out:\n",
            run.report.subject,
            failed.len()
        );
        for (series, origin, why) in failed.iter().take(TOLD) {
            let _ = writeln!(text, "  {series}@{origin}: {why}");
        }
        if failed.len() > TOLD {
            let _ = writeln!(text, "  and {} more", failed.len() - TOLD);
        }
    }
    text
}

/// The last forecast of a series, of the worst where none is named.
pub(super) fn plot(
    series: &str,
    question: &Question,
    input: &Input,
    cuts: &[Cut<'_>],
    run: &Run<'_>,
) -> Result<String> {
    let rows = &run.report.rows;
    let name = match series {
        "" => rows
            .iter()
            .max_by(|a, b| worst(a).total_cmp(&worst(b)))
            .map(|r| r.name.as_str())
            .ok_or_else(|| anyhow!("no series was scored, so there is none to draw"))?,
        named => named,
    };
    let last = cuts
        .iter()
        .zip(&run.made)
        .rfind(|(c, _)| c.window.name == name);
    let Some((cut, made)) = last else {
        let count = match input {
            Input::Pairs(pairs) => pairs.len(),
            Input::Traces(traces) => traces.len(),
        };
        return Err(usage(format!(
            "--plot {name}: none of the {count} series is called so (or it is too short)"
        )));
    };
    let made = made
        .as_ref()
        .map_err(|e| anyhow!("`{}` made no forecast of {name}: {e}", run.report.subject))?;
    let column = |level| -> Vec<f64> {
        let rows = 0..made.grid.mean.len();
        rows.map(|t| quantile(made.grid.row(t), level)).collect()
    };
    let (low, high) = (column(1000), column(9000));
    let shown = (2 * question.plan.horizon).min(cut.window.values.len());
    let history = &cut.window.values[cut.window.values.len() - shown..];
    let curves = Curves {
        history,
        mean: &made.grid.mean,
        low: &low,
        high: &high,
    };
    let mut came = history.to_vec();
    came.extend(cut.actual);
    let real = Curves {
        history: &came,
        ..Curves::default()
    };
    Ok(format!(
        "\n{name}, the last {shown} steps before origin {} and the forecast of {}\n\n{}\
         {}  • measured   ━ expected (mean)   ░ 80% of what comes\n\nand what came\n\n{}",
        cut.origin,
        run.report.subject,
        plot::draw(&curves, 76, 12, words::number),
        "",
        plot::draw(&real, 76, 12, words::number),
    ))
}
