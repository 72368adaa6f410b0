//! From forecasts to one table: means over series of means over origins.
//!
//! What could not be measured is told beside the means and not hidden in them: origins that failed
//! (with the module's words) and origins before which the load repeats itself exactly, so that no
//! scale exists.

use super::metrics::{mean, symmetric_percentage_error};
use super::naive2::naive2;
use super::rolling::{Cut, Made};
use super::scores::{Metric, Scores};
use tidegate_core::policy::CallError;

/// Errors of Naive2 as means over series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Benchmark {
    /// Percent.
    pub smape: f64,
    /// Over the scale.
    pub mase: f64,
}

impl Benchmark {
    /// Naive2 on the 414 hourly series of M4, as published.
    pub const M4_HOURLY: Benchmark = Benchmark {
        smape: 18.383,
        mase: 2.395,
    };

    /// Overall weighted average of M4: mean of the two errors relative to the benchmark's.
    #[must_use]
    pub fn owa(&self, scores: &Scores) -> f64 {
        let relative =
            scores.get(Metric::Smape) / self.smape + scores.get(Metric::Mase) / self.mase;
        relative / 2.0
    }
}

/// What the forecasts cost, per origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Mean CPU milliseconds of a fit.
    pub fit_ms: f64,
    /// Mean CPU milliseconds of a prediction.
    pub predict_ms: f64,
    /// Mean CPU milliseconds of moving on by one step.
    pub update_ms: f64,
    /// Median over origins of fit and prediction together.
    pub median_ms: f64,
    /// Largest.
    pub state_bytes: usize,
    /// Largest.
    pub model_bytes: usize,
}

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Origins that were scored.
    pub origins: usize,
    /// One per [`Report::score_at`].
    pub scores: Vec<Scores>,
}

/// All that is known of one forecaster.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The forecaster.
    pub subject: String,
    /// Scores are over the first so many steps.
    pub score_at: Vec<usize>,
    /// One per series that has an origin.
    pub rows: Vec<Row>,
    /// Means over the rows, one per `score_at`.
    pub total: Vec<Scores>,
    /// Naive2 on the same windows, one per `score_at`.
    pub naive2: Vec<Benchmark>,
    /// What it cost.
    pub cost: Cost,
    /// Series, origin and reason of forecasts that were not made.
    pub failed: Vec<(String, usize, String)>,
    /// Series and origin where no scale exists.
    pub unscaled: Vec<(String, usize)>,
}

/// Scores what [`super::rolling::roll`] made of the cuts.
#[must_use]
pub fn report(
    subject: &str,
    cuts: &[Cut<'_>],
    made: &[Result<Made, CallError>],
    score_at: &[usize],
    season: usize,
) -> Report {
    let (mut failed, mut unscaled) = (vec![], vec![]);
    let mut rows: Vec<Row> = vec![];
    let mut simple: Vec<Vec<Benchmark>> = vec![];
    for series in series(cuts) {
        let mut scored: Vec<Vec<Scores>> = vec![];
        let mut bench: Vec<Vec<Benchmark>> = vec![];
        let mut name = "";
        let of_series = cuts.iter().zip(made).filter(|(c, _)| c.series == series);
        for (cut, answer) in of_series {
            name = cut.window.name;
            match (answer, cut.scale) {
                (Err(error), _) => failed.push((name.to_owned(), cut.origin, error.to_string())),
                (Ok(_), None) => unscaled.push((name.to_owned(), cut.origin)),
                (Ok(made), Some(scale)) => {
                    let first = |n: &usize| &cut.actual[..(*n).min(cut.actual.len())];
                    let score = |n| Scores::of(first(n), &made.grid, Some(scale));
                    scored.push(score_at.iter().map(score).collect());
                    let plain = naive2(cut.window.values, season, cut.actual.len());
                    let of = |n| errors(first(n), &plain, scale);
                    bench.push(score_at.iter().map(of).collect());
                }
            }
        }
        if scored.is_empty() {
            continue;
        }
        let at = 0..score_at.len();
        rows.push(Row {
            name: name.to_owned(),
            origins: scored.len(),
            scores: at
                .clone()
                .map(|k| Scores::mean(scored.iter().map(move |s| &s[k])))
                .collect(),
        });
        simple.push(at.map(|k| average(bench.iter().map(|b| b[k]))).collect());
    }
    let at = 0..score_at.len();
    Report {
        subject: subject.to_owned(),
        score_at: score_at.to_vec(),
        total: at
            .clone()
            .map(|k| Scores::mean(rows.iter().map(move |r| &r.scores[k])))
            .collect(),
        naive2: at.map(|k| average(simple.iter().map(|b| b[k]))).collect(),
        cost: cost(made),
        rows,
        failed,
        unscaled,
    }
}

fn series(cuts: &[Cut<'_>]) -> Vec<usize> {
    let mut all: Vec<usize> = cuts.iter().map(|c| c.series).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn errors(actual: &[f64], forecast: &[f64], scale: f64) -> Benchmark {
    let pairs = || {
        let measured = actual.iter().zip(forecast);
        measured.filter(|(y, _)| y.is_finite())
    };
    let over = |values: Option<f64>| values.unwrap_or(f64::NAN);
    Benchmark {
        smape: over(mean(
            pairs().map(|(y, f)| symmetric_percentage_error(*y, *f)),
        )),
        mase: over(mean(pairs().map(|(y, f)| (y - f).abs() / scale))),
    }
}

fn average(all: impl Iterator<Item = Benchmark> + Clone) -> Benchmark {
    Benchmark {
        smape: mean(all.clone().map(|b| b.smape)).unwrap_or(f64::NAN),
        mase: mean(all.map(|b| b.mase)).unwrap_or(f64::NAN),
    }
}

fn cost(made: &[Result<Made, CallError>]) -> Cost {
    let good = || made.iter().filter_map(|m| m.as_ref().ok());
    let ms = |f: fn(&Made) -> f64| mean(good().map(|m| f(m) * 1e3)).unwrap_or(f64::NAN);
    let mut both: Vec<f64> = good().map(|m| (m.fit_s + m.predict_s) * 1e3).collect();
    both.sort_by(f64::total_cmp);
    Cost {
        fit_ms: ms(|m| m.fit_s),
        predict_ms: ms(|m| m.predict_s),
        update_ms: ms(|m| m.update_s),
        median_ms: both.get(both.len() / 2).copied().unwrap_or(f64::NAN),
        state_bytes: good().map(|m| m.state_bytes).max().unwrap_or(0),
        model_bytes: good().map(|m| m.model_bytes).max().unwrap_or(0),
    }
}
