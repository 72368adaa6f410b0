//! The question with all its defaults filled in, checked before anything is read.
//!
//! Defaults follow the step: an hour, a day and two weeks are numbers of steps that nobody should
//! have to compute. What contradicts itself is refused here, with the flag's name.

use super::{Args, positive};
use crate::cli::errors::usage;
use anyhow::Result;
use tidegate_backtest::evaluate::rolling::{Cohort, Plan};
use tidegate_core::time::Step;

const DAY_S: u32 = 86_400;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// Length of a step.
    pub(super) step: Step,
    /// Where origins lie. Its horizon is 0 for M4 files until they are read, unless it was given.
    pub(super) plan: Plan,
    /// Scores over the first so many steps; empty until the horizon is known.
    pub(super) score_at: Vec<usize>,
    /// Who is fitted together.
    pub(super) cohort: Cohort,
    /// Threads.
    pub(super) jobs: usize,
}

impl Question {
    /// Of the flags.
    pub(super) fn of(args: &Args) -> Result<Self> {
        let inputs = [
            args.m4.is_some(),
            !args.csv.is_empty(),
            !args.series.is_empty(),
        ];
        match inputs.iter().filter(|given| **given).count() {
            1 => {}
            0 => {
                return Err(usage(
                    "nothing to evaluate on; give --m4 TRAIN TEST, --csv FILE..., or --store DIR --series TENANT/API:SIGNAL",
                ));
            }
            _ => return Err(usage("give one of --m4, --csv and --series, not several")),
        }
        let is_m4 = args.m4.is_some();
        let step_s = match (args.step, args.season, is_m4) {
            (Some(step), _, _) => step,
            (None, season, true) => {
                let season = u32::try_from(season.unwrap_or(24)).unwrap_or(u32::MAX);
                if season == 0 || !DAY_S.is_multiple_of(season) {
                    return Err(usage(format!(
                        "a season of {season} steps is no whole day; say with --step how many seconds a step has"
                    )));
                }
                DAY_S / season
            }
            (None, _, false) => 300,
        };
        let step = Step::from_secs(step_s)
            .ok_or_else(|| usage(format!("--step {step_s}: a step has 1 to {DAY_S} seconds")))?;
        let steps = |seconds: u32| (seconds / step_s).max(1) as usize;
        let day = steps(DAY_S);
        let season = match (args.season, is_m4) {
            (Some(season), _) => positive("--season", season)?,
            (None, true) => 24,
            (None, false) => day,
        };
        let horizon = match (args.horizon, is_m4) {
            (Some(horizon), _) => positive("--horizon", horizon)?,
            (None, true) => 0,
            (None, false) if args.stream => steps(3600),
            (None, false) => day,
        };
        let train = match (args.train, is_m4) {
            (Some(train), _) => Some(positive("--train", train)?),
            (None, true) => None,
            (None, false) => Some(14 * day),
        };
        if let Some(train) = train.filter(|train| *train <= season) {
            return Err(usage(format!(
                "--train {train}: errors are measured in those of seasonal-naive within the training window, which takes more than --season {season} steps; give at least --train {}",
                2 * season
            )));
        }
        let score_at = match (args.score_at.is_empty(), is_m4) {
            (false, _) => args.score_at.clone(),
            (true, true) => vec![],
            (true, false) if !args.cold_start.is_empty() => {
                vec![steps(900).min(horizon), steps(3600).min(horizon), horizon]
            }
            (true, false) => vec![steps(3600).min(horizon), horizon],
        };
        let mut question = Self {
            step,
            plan: Plan {
                season,
                horizon,
                origins: positive("--origins", args.origins)?,
                gap: positive("--gap", args.gap)?,
                train,
                min_history: args.min_history.steps(step_s),
            },
            score_at,
            cohort: if args.joint {
                Cohort::Joint
            } else {
                Cohort::Single
            },
            jobs: positive("--jobs", args.jobs)?,
        };
        if horizon > 0 {
            question.until(horizon)?;
        }
        Ok(question)
    }

    /// Settles the horizon, and what is scored within it.
    pub(super) fn until(&mut self, horizon: usize) -> Result<()> {
        self.plan.horizon = horizon;
        if self.score_at.is_empty() {
            self.score_at = vec![horizon];
        }
        for at in &self.score_at {
            positive("--score-at", *at)?;
            if *at > horizon {
                return Err(usage(format!(
                    "--score-at {at} lies beyond the horizon of {horizon} steps; score within it, or ask for more with --horizon"
                )));
            }
        }
        self.score_at.sort_unstable();
        self.score_at.dedup();
        Ok(())
    }
}
