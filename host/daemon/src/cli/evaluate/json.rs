//! The answer for programs: every figure with its full precision, `null` where there is none.

use super::ask::Question;
use super::rolling::Run;
use crate::cli::json::instant;
use serde_json::{Map, Value, json};
use tidegate_backtest::evaluate::report::{Benchmark, Report};
use tidegate_backtest::evaluate::robustness::{Endured, Outcome};
use tidegate_backtest::evaluate::rolling::Cut;
use tidegate_backtest::evaluate::scores::{Metric, Scores};
use tidegate_backtest::evaluate::stream::{Kept, PROMISES, Streamed, kept, worst_day};

/// JSON has no NaN.
fn figure(value: f64) -> Value {
    match value.is_finite() {
        true => json!(value),
        false => Value::Null,
    }
}

fn scores(scores: &Scores) -> Map<String, Value> {
    let all = Metric::ALL.iter();
    all.map(|m| (m.name().to_owned(), figure(scores.get(*m))))
        .collect()
}

/// Rolling origins.
pub(super) fn rolling(
    question: &Question,
    cuts: &[Cut<'_>],
    runs: &[Run<'_>],
    short: &[String],
) -> Value {
    let plan = &question.plan;
    json!({
        "step_s": question.step.secs(), "season": plan.season, "horizon": plan.horizon,
        "origins": cuts.len(), "too_short": short,
        "modules": runs.iter().map(|r| module(r, cuts.len())).collect::<Vec<_>>(),
    })
}

fn module(run: &Run<'_>, origins: usize) -> Value {
    let report = &run.report;
    let cost = &report.cost;
    json!({
        "module": report.subject, "runs": run.module.way, "config": run.module.subject.config,
        "seed": run.module.subject.seed, "origins": origins,
        "total": total(report),
        "cost": {
            "fit_ms": figure(cost.fit_ms), "predict_ms": figure(cost.predict_ms),
            "update_ms": figure(cost.update_ms), "median_ms": figure(cost.median_ms),
            "state_bytes": cost.state_bytes, "model_bytes": cost.model_bytes,
            "peak_memory_bytes": run.module.peak_memory(),
        },
        "series": report.rows.iter().map(|row| {
            let at = report.score_at.iter().zip(&row.scores);
            json!({
                "series": row.name, "origins": row.origins,
                "scores": at.map(|(at, s)| (at.to_string(), Value::from(scores(s)))).collect::<Map<_, _>>(),
            })
        }).collect::<Vec<_>>(),
        "failed": report.failed.iter().map(|(series, origin, why)| json!({"series": series, "origin": origin, "why": why})).collect::<Vec<_>>(),
        "without_scale": report.unscaled.iter().map(|(series, origin)| json!({"series": series, "origin": origin})).collect::<Vec<_>>(),
    })
}

fn total(report: &Report) -> Value {
    let one = |k: usize| {
        let mut all = scores(&report.total[k]);
        let naive2 = report.naive2[k];
        all.insert("owa".into(), figure(naive2.owa(&report.total[k])));
        all.insert(
            "owa_m4_hourly".into(),
            figure(Benchmark::M4_HOURLY.owa(&report.total[k])),
        );
        all.insert("naive2_smape".into(), figure(naive2.smape));
        all.insert("naive2_mase".into(), figure(naive2.mase));
        Value::from(all)
    };
    let at = report.score_at.iter().enumerate();
    at.map(|(k, at)| (at.to_string(), one(k)))
        .collect::<Map<_, _>>()
        .into()
}

/// A stream, per module.
pub(super) fn stream(module: &super::modules::Module, streamed: &[Streamed]) -> Value {
    let raw = kept(streamed.iter().map(|s| (s.name.as_str(), &s.raw)));
    let corrected = streamed
        .iter()
        .filter_map(|s| Some((s.name.as_str(), s.calibrated.as_ref()?)));
    json!({
        "module": module.subject.name, "runs": module.way, "config": module.subject.config,
        "raw": raw.iter().map(promise).collect::<Vec<_>>(),
        "calibrated": kept(corrected).iter().map(promise).collect::<Vec<_>>(),
        "series": streamed.iter().map(|s| json!({
            "series": s.name, "fits": s.fits, "failed_steps": s.failed.0, "why": s.failed.1,
            "raw": lane(&s.raw), "calibrated": s.calibrated.as_ref().map(lane),
        })).collect::<Vec<_>>(),
    })
}

fn promise(kept: &Kept) -> Value {
    json!({
        "ahead": kept.band.name(), "promise": PROMISES[kept.promise].name,
        "promised": PROMISES[kept.promise].percent(), "coverage": figure(kept.coverage),
        "mean_deviation": figure(kept.deviation),
        "worst_series": kept.worst.0, "worst_coverage": figure(kept.worst.1),
    })
}

fn lane(lane: &tidegate_backtest::evaluate::stream::Lane) -> Value {
    let bands = lane.bands.iter().map(|(band, tally)| {
        let mut all: Map<String, Value> = PROMISES
            .iter()
            .enumerate()
            .map(|(i, p)| (p.name.to_owned(), figure(tally.coverage(i))))
            .collect();
        let count = tally.count as f64;
        all.insert("outcomes".into(), json!(tally.count));
        all.insert("pinball_loss".into(), figure(tally.loss / count));
        all.insert("width_80".into(), figure(tally.width / count));
        (band.name().to_owned(), Value::from(all))
    });
    let days = PROMISES.iter().enumerate().filter_map(|(i, p)| {
        let (day, coverage, next) = worst_day(lane, i)?;
        let next = next.map(figure);
        Some((
            p.name.to_owned(),
            json!({"day": instant(day.0), "coverage": figure(coverage), "day_after": next}),
        ))
    });
    json!({"ahead": bands.collect::<Map<_, _>>(), "worst_day": days.collect::<Map<_, _>>()})
}

/// Cold starts: per history, the reports of all modules.
pub(super) fn cold(histories: &[(String, Vec<Report>)]) -> Value {
    let one = |(history, reports): &(String, Vec<Report>)| {
        json!({
            "history": history,
            "modules": reports.iter().map(|r| json!({
                "module": r.subject, "total": total(r), "failed": r.failed.len(),
            })).collect::<Vec<_>>(),
        })
    };
    json!({"cold_start": histories.iter().map(one).collect::<Vec<_>>()})
}

/// Robustness, per module.
pub(super) fn robust(all: &[(&super::modules::Module, &[Endured])]) -> Value {
    let life = |life: &Endured| {
        let failed = match &life.outcome {
            Outcome::Failed(step, why) => json!({"step": step, "why": why}),
            _ => Value::Null,
        };
        json!({
            "case": life.case, "outcome": life.outcome.name(), "failed": failed,
            "width_80_over_noise": figure(life.narrowest),
            "widest_95_over_largest": figure(life.widest),
            "recovers": life.recovers, "steps_by_updates": life.by_updates,
            "steps_by_refits": life.by_refits, "refits": life.refits,
        })
    };
    let one = |(module, lives): &(&super::modules::Module, &[Endured])| {
        json!({
            "module": module.subject.name, "runs": module.way, "config": module.subject.config,
            "seed": module.subject.seed, "cases": lives.iter().map(life).collect::<Vec<_>>(),
        })
    };
    json!({"robustness": all.iter().map(one).collect::<Vec<_>>()})
}
