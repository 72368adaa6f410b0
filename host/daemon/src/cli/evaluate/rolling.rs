//! Rolling origins: the table that a module's author looks at, and the file of all forecasts.
//!
//! The first module is the one in question: its forecasts are written, its series are listed and
//! drawn. Those of `--compare` stand beside it in the table, on the same origins.

use super::ask::Question;
use super::input::Input;
use super::modules::Module;
use super::progress::{Bar, ThreadTime};
use super::{Args, json, show};
use crate::cli::connect::Output;
use crate::cli::errors::usage;
use crate::cli::say;
use anyhow::{Context, Result, anyhow};
use tidegate_backtest::evaluate::forecasts::{Origins, forecasts};
use tidegate_backtest::evaluate::report::{Report, report};
use tidegate_backtest::evaluate::rolling::{Cut, Made, roll};
use tidegate_core::policy::CallError;

/// What was made of one module.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) module: &'a Module,
    pub(super) made: Vec<Result<Made, CallError>>,
    pub(super) report: Report,
}

/// Measures and tells.
pub(super) fn run(
    args: &Args,
    question: &Question,
    input: &Input,
    modules: &[Module],
    output: Output,
) -> Result<()> {
    let mut question = question.clone();
    let (cuts, short) = cuts(&mut question, input)?;
    let mut runs = vec![];
    for module in modules {
        let bar = Bar::new(&module.subject.name);
        let tell = |done, all| bar.tell(done, all);
        let jobs = question.jobs;
        let made = roll(
            &module.subject,
            &cuts,
            question.cohort,
            jobs,
            &ThreadTime,
            &tell,
        );
        let plan = &question.plan;
        let name = &module.subject.name;
        let report = report(name, &cuts, &made, &question.score_at, plan.season);
        runs.push(Run {
            module,
            made,
            report,
        });
    }
    let first = runs.first().ok_or_else(|| anyhow!("no module was asked"))?;
    if let Some(path) = &args.forecasts {
        let origins = match input {
            Input::Pairs(_) => Origins::LeftOut,
            Input::Traces(_) => Origins::Named,
        };
        std::fs::write(path, forecasts(&cuts, &first.made, origins))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    match output {
        Output::Json => say(&serde_json::to_string_pretty(&json::rolling(
            &question, &cuts, &runs, &short,
        ))?)?,
        Output::Human => {
            say(&show::rolling(args, &question, input, &cuts, &runs, &short))?;
            if let Some(series) = &args.plot {
                say(&show::plot(series, &question, input, &cuts, first)?)?;
            }
        }
    }
    match first.made.iter().all(Result::is_err) {
        true => Err(anyhow!(
            "`{}` made no forecast at all: {}",
            first.report.subject,
            first.report.failed.first().map_or("", |f| f.2.as_str())
        )),
        false => Ok(()),
    }
}

/// The origins, and the series that are too short for one.
pub(super) fn cuts<'a>(
    question: &mut Question,
    input: &'a Input,
) -> Result<(Vec<Cut<'a>>, Vec<String>)> {
    let mut short = vec![];
    let mut cuts = vec![];
    match input {
        Input::Pairs(pairs) => {
            let least = pairs.iter().map(|p| p.actual.len()).min().unwrap_or(0);
            let horizon = match question.plan.horizon {
                0 => least,
                asked => asked,
            };
            question.until(horizon)?;
            for (i, pair) in pairs.iter().enumerate() {
                cuts.push(question.plan.cut(i, pair).ok_or_else(|| {
                    usage(format!(
                        "--horizon {horizon}: the series {} has {} values in TEST; give at most --horizon {least}",
                        pair.train.name,
                        pair.actual.len()
                    ))
                })?);
            }
        }
        Input::Traces(traces) => {
            for (i, trace) in traces.iter().enumerate() {
                let of_trace = question.plan.cuts(i, trace);
                if of_trace.is_empty() {
                    short.push(trace.name.clone());
                }
                cuts.extend(of_trace);
            }
        }
    }
    if cuts.is_empty() {
        let need = question.plan.shortest();
        return Err(anyhow!(
            "no series is long enough: {need} steps are needed (--min-history and --horizon); lower one of them, or the --step"
        ));
    }
    Ok((cuts, short))
}
