//! A cold start: what the default makes of two hours of history, beside what anybody could do.
//!
//! The daemon's own fit is asked, on a history in which the other files are apis of the same
//! category; once more without them, to see what they are worth. Same origins and same scale for every
//! length of history, so that the rows can be compared: the scale is that of the whole window before
//! the origin, of which the module sees only the end.

use super::ask::Question;
use super::input::Input;
use super::modules::Module;
use super::progress::{Bar, ThreadTime};
use super::{Args, json, rolling};
use crate::cli::connect::Output;
use crate::cli::errors::usage;
use crate::cli::say;
use crate::render::table::Table;
use anyhow::Result;
use tidegate_backtest::evaluate::cold::{Company, Start, cold};
use tidegate_backtest::evaluate::report::{Report, report};
use tidegate_backtest::evaluate::rolling::Cut;
use tidegate_backtest::evaluate::scores::Metric;

/// Measures and tells.
pub(super) fn run(
    args: &Args,
    question: &Question,
    input: &Input,
    modules: &[Module],
    output: Output,
) -> Result<()> {
    let mut question = question.clone();
    let (cuts, _) = rolling::cuts(&mut question, input)?;
    let Input::Traces(traces) = input else {
        return Err(usage(
            "--cold-start needs the dates of its series; give --csv or --series",
        ));
    };
    let window = question.plan.train.unwrap_or(question.plan.min_history);
    let mut histories: Vec<(String, Vec<Report>)> = vec![];
    for span in &args.cold_start {
        let steps = span.steps(question.step.secs()).max(1);
        let short: Vec<Cut<'_>> = cuts.iter().map(|c| c.with_history(steps)).collect();
        let mut reports = vec![];
        for (n, module) in modules.iter().enumerate() {
            let subject = &module.subject;
            let bar = Bar::new(&format!("{span} of {}", subject.name));
            let tell = |done, all| bar.tell(done, all);
            // The module in question with a prior and without; the rest are what anybody could do.
            let ways: &[Company] = match n {
                0 if traces.len() > 1 => &[Company::Peers, Company::Alone],
                _ => &[Company::Alone],
            };
            for company in ways {
                let name = match company {
                    Company::Peers => format!("{} + prior", subject.name),
                    Company::Alone => subject.name.clone(),
                };
                let start = Start {
                    subject,
                    company: *company,
                    traces,
                    window,
                };
                let starts = cold(&start, &short, question.jobs, &ThreadTime, &tell)?;
                let made: Vec<_> = starts.into_iter().map(|s| s.made).collect();
                let (at, season) = (&question.score_at, question.plan.season);
                reports.push(report(&name, &short, &made, at, season));
            }
        }
        histories.push((span.to_string(), reports));
    }
    match output {
        Output::Json => say(&serde_json::to_string_pretty(&json::cold(&histories))?),
        Output::Human => say(&person(&question, cuts.len(), &histories)),
    }
}

fn person(question: &Question, origins: usize, histories: &[(String, Vec<Report>)]) -> String {
    let mut text = format!(
        "{origins} origins, each fitted with the newest history alone; \"+ prior\": and the usual day of the other series\n"
    );
    for (k, at) in question.score_at.iter().enumerate() {
        text += &format!("\nfirst {at} steps, means over series\n");
        let mut table = Table::new(&[
            "history", "module", "sMAPE", "MASE", "MSPL", "cov80", "cov95", "p99", "wid80",
            "failed",
        ]);
        for (history, reports) in histories {
            for report in reports {
                let scores = &report.total[k];
                let figure = |metric: Metric, digits: usize| match scores.get(metric) {
                    v if v.is_finite() => format!("{v:.digits$}"),
                    _ => "-".into(),
                };
                table.row(vec![
                    history.clone(),
                    report.subject.clone(),
                    figure(Metric::Smape, 2),
                    figure(Metric::Mase, 3),
                    figure(Metric::Mspl, 4),
                    figure(Metric::Cover80, 1),
                    figure(Metric::Cover95, 1),
                    figure(Metric::Below99, 1),
                    figure(Metric::Width80, 2),
                    report.failed.len().to_string(),
                ]);
            }
        }
        text += &table.to_string();
    }
    let failed = histories
        .iter()
        .flat_map(|(h, r)| r.iter().map(move |r| (h, r)));
    for (history, report) in failed {
        if let Some((series, origin, why)) = report.failed.first() {
            let name = &report.subject;
            text += &format!("\n{name} with {history}, {series}@{origin}: {why}");
        }
    }
    text
}
