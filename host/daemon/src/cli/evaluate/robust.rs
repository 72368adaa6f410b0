//! `--robustness`: what becomes of a module in misfortune, and how soon it finds back.
//!
//! No files: the cases are the same for everybody, so that two authors can compare their tables. The
//! command fails where a case is not endured, so that it can stand in an author's own checks.

use super::json;
use super::modules::Module;
use super::progress::Bar;
use crate::cli::connect::Output;
use crate::cli::say;
use crate::render::table::Table;
use anyhow::{Result, anyhow};
use tidegate_backtest::evaluate::parallel::each;
use tidegate_backtest::evaluate::robustness::{Endured, Outcome, endure};

/// Measures and tells.
pub(super) fn run(jobs: usize, modules: &[Module], output: Output) -> Result<()> {
    let bar = Bar::new("robustness");
    let tell = |done, all| bar.tell(done, all);
    let lives = each(modules, jobs, &tell, |module| endure(&module.subject));
    drop(bar);
    let all: Vec<(&Module, &[Endured])> = modules
        .iter()
        .zip(lives.iter().map(Vec::as_slice))
        .collect();
    match output {
        Output::Json => say(&serde_json::to_string_pretty(&json::robust(&all))?)?,
        Output::Human => say(&all.iter().map(|(m, l)| person(m, l)).collect::<String>())?,
    }
    let lives = all.iter().flat_map(|(_, lives)| lives.iter());
    match lives.filter(|l| !l.outcome.is_good()).count() {
        0 => Ok(()),
        bad => Err(anyhow!(
            "{bad} cases were not endured; the table says which"
        )),
    }
}

fn person(module: &Module, lives: &[Endured]) -> String {
    let mut text = format!(
        "{} ({}): steps of 15 minutes, an hour ahead, as the host corrects it\n",
        module.subject.name, module.way
    );
    let mut table = Table::new(&[
        "case",
        "outcome",
        "80% width",
        "widest 95%",
        "back after",
        "with refits",
        "refits",
    ]);
    let ratio = |value: f64| match value.is_finite() {
        true => format!("x{value:.2}"),
        false => "-".into(),
    };
    for life in lives {
        let steps = |back: Option<usize>| match (life.recovers, back) {
            (false, _) => "-".into(),
            (true, Some(steps)) => format!("{steps} steps"),
            (true, None) => "never".to_owned(),
        };
        table.row(vec![
            life.case.to_owned(),
            life.outcome.name().to_owned(),
            ratio(life.narrowest),
            ratio(life.widest),
            steps(life.by_updates),
            steps(life.by_refits),
            life.refits.to_string(),
        ]);
    }
    text += &table.to_string();
    for life in lives {
        if let Outcome::Failed(at, why) = &life.outcome {
            text += &format!("{} at step {at}: {why}\n", life.case);
        }
    }
    text += "80% width: mean, over the noise's own; widest 95%: over the largest value so far;\n";
    text += "back after: steps until the medians of an hour are within 20 % again, by updates alone\n\n";
    text
}
