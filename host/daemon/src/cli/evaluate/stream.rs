//! `--stream`: are the intervals what they promise, ahead by band, and on the worst day?
//!
//! Both kinds of forecasts stand in one table, as the module made them and as the host's calibration
//! corrected them, because the second is what users get and the first is what authors can improve.

use super::Args;
use super::ask::Question;
use super::input::Input;
use super::json;
use super::modules::Module;
use super::progress::Bar;
use crate::cli::connect::Output;
use crate::cli::errors::usage;
use crate::cli::{say, words};
use crate::render::table::Table;
use anyhow::{Result, anyhow};
use std::fmt::Write as _;
use tidegate_backtest::evaluate::calibrated::Online;
use tidegate_backtest::evaluate::parallel::each;
use tidegate_backtest::evaluate::stream::{
    Correct, Kept, Lane, PROMISES, StreamPlan, Streamed, kept, stream, worst_day,
};

/// Measures and tells.
pub(super) fn run(
    args: &Args,
    question: &Question,
    input: &Input,
    modules: &[Module],
    output: Output,
) -> Result<()> {
    let Input::Traces(traces) = input else {
        return Err(usage("--stream needs series with time: --csv or --series"));
    };
    let day = (86_400 / question.step.secs()).max(1) as usize;
    let plan = StreamPlan {
        warm_up: args.warm_up.unwrap_or(day).max(1),
        horizon: question.plan.horizon,
        refit: day,
        window: question.plan.train.unwrap_or(usize::MAX),
    };
    let long = |t: &&tidegate_backtest::evaluate::trace::Trace| t.values.len() > plan.warm_up;
    let traces: Vec<_> = traces.iter().filter(long).collect();
    if traces.is_empty() {
        return Err(anyhow!(
            "no series is longer than the {} steps before the first forecast; lower --warm-up",
            plan.warm_up
        ));
    }
    let mut answers = vec![];
    for module in modules {
        let bar = Bar::new(&module.subject.name);
        let tell = |done, all| bar.tell(done, all);
        let streamed = each(&traces, question.jobs, &tell, |trace| {
            let online = Online::new(trace, plan.warm_up);
            let corrector = online.map(|o| Box::new(o) as Box<dyn Correct>);
            stream(&module.subject, trace, &plan, corrector)
        });
        answers.push((module, streamed));
    }
    match output {
        Output::Json => {
            let all: Vec<_> = answers.iter().map(|(m, s)| json::stream(m, s)).collect();
            say(&serde_json::to_string_pretty(
                &serde_json::json!({"modules": all}),
            )?)
        }
        Output::Human => {
            let mut text = format!(
                "{} series, a forecast of {} steps of {} s at every step, fitted daily\n",
                traces.len(),
                plan.horizon,
                question.step.secs()
            );
            for (module, streamed) in &answers {
                text += &person(&module.subject.name, streamed);
            }
            say(&text)
        }
    }
}

fn person(name: &str, streamed: &[Streamed]) -> String {
    let mut text = String::new();
    let raw = kept(streamed.iter().map(|s| (s.name.as_str(), &s.raw)));
    let _ = write!(text, "\n{name}, as the module said\n{}", promises(&raw));
    let corrected = streamed
        .iter()
        .filter_map(|s| Some((s.name.as_str(), s.calibrated.as_ref()?)));
    if corrected.clone().next().is_some() {
        let table = promises(&kept(corrected));
        let _ = write!(text, "\n{name}, as calibrated by the host\n{table}");
        let _ = write!(
            text,
            "\nwhat calibration changes, per series\n{}",
            changes(streamed)
        );
    }
    let _ = write!(
        text,
        "\nthe worst day of each series, up to an hour ahead\n{}",
        days(streamed)
    );
    for s in streamed.iter().filter(|s| s.failed.0 > 0) {
        let why = s.failed.1.as_deref().unwrap_or_default();
        let _ = write!(
            text,
            "\n{}: {} steps failed; the first: {why}",
            s.name, s.failed.0
        );
    }
    text
}

fn promises(kept: &[Kept]) -> Table {
    let mut table = Table::new(&[
        "ahead",
        "promise",
        "promised",
        "coverage",
        "mean deviation",
        "worst",
        "worst series",
    ]);
    for row in kept {
        let promise = PROMISES[row.promise];
        table.row(vec![
            row.band.name().to_owned(),
            promise.name.to_owned(),
            format!("{:.0}", promise.percent()),
            format!("{:.1}", row.coverage),
            format!("{:.2}", row.deviation),
            format!("{:.1}", row.worst.1),
            row.worst.0.clone(),
        ]);
    }
    table
}

/// Loss and width after over before, so that coverage bought by width is seen.
fn changes(streamed: &[Streamed]) -> Table {
    let mut table = Table::new(&["series", "ahead", "loss", "width of 80%"]);
    for s in streamed {
        let Some(calibrated) = &s.calibrated else {
            continue;
        };
        for (band, after) in &calibrated.bands {
            let before = s.raw.bands.get(band).copied().unwrap_or_default();
            table.row(vec![
                s.name.clone(),
                band.name().to_owned(),
                format!("x{:.3}", after.loss / before.loss),
                format!("x{:.3}", after.width / before.width),
            ]);
        }
    }
    table
}

fn days(streamed: &[Streamed]) -> Table {
    let mut table = Table::new(&[
        "series",
        "forecast",
        "80% day",
        "held",
        "day after",
        "95% day",
        "held",
        "day after",
    ]);
    let mut line = |s: &Streamed, kind: &str, lane: &Lane| {
        let mut row = vec![s.name.clone(), kind.to_owned()];
        for promise in [1, 2] {
            let percent = |v: f64| format!("{v:.1}");
            match worst_day(lane, promise) {
                Some((day, held, next)) => row.extend([
                    words::instant(day.0).chars().take(10).collect(),
                    percent(held),
                    next.map_or_else(|| "-".into(), percent),
                ]),
                None => row.extend(["-".to_owned(), "-".to_owned(), "-".to_owned()]),
            }
        }
        table.row(row);
    };
    for s in streamed {
        line(s, "raw", &s.raw);
        if let Some(lane) = &s.calibrated {
            line(s, "calibrated", lane);
        }
    }
    table
}
