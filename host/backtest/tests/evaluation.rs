//! What an evaluation promises, whatever the forecaster: honest, repeatable, open about failures.
//!
//! Real forecasters are linked in for what must hold of all of them; stubs misbehave on purpose,
//! each in one way. A frozen meter stands in for the clock, so that equal runs give equal bytes.

use std::sync::Arc;
use tidegate_backtest::evaluate::calendar::Calendar;
use tidegate_backtest::evaluate::calibrated::Online;
use tidegate_backtest::evaluate::forecasts::{Origins, forecasts};
use tidegate_backtest::evaluate::report::report;
use tidegate_backtest::evaluate::rolling::{Cohort, Cut, Made, Plan, roll};
use tidegate_backtest::evaluate::scores::Metric;
use tidegate_backtest::evaluate::stream::{
    Correct, Lane, PROMISES, StreamPlan, kept, stream, worst_day,
};
use tidegate_backtest::evaluate::subject::{Grid, Meter, Subject};
use tidegate_backtest::evaluate::trace::Trace;
use tidegate_core::forecast::Band;
use tidegate_core::policy::{
    Blobs, CallError, Fitted, Forecaster, Forecasts, Frames, Horizon, PolicyError,
};
use tidegate_core::time::{Step, Timestamp};

const PLAN: Plan = Plan {
    season: 24,
    horizon: 24,
    origins: 3,
    gap: 17,
    train: Some(14 * 24),
    min_history: 5 * 24,
};

struct Frozen;

impl Meter for Frozen {
    fn cpu_seconds(&self) -> f64 {
        0.0
    }
}

fn hour() -> Step {
    Step::from_secs(3600).expect("an hour is a step")
}

/// Days that differ: a wave and a rough but repeatable noise.
fn trace(name: &str, steps: usize, salt: usize) -> Trace {
    let value = |t: usize| {
        let phase = (t % 24) as f64;
        let wave = 100.0 + 4.0 * phase * (24.0 - phase);
        wave + ((t * 7919 + salt * 104_729) % 97) as f64
    };
    Trace {
        name: name.into(),
        start: Timestamp(0),
        step: hour(),
        values: (0..steps).map(value).collect(),
        missing: 0,
    }
}

fn traces() -> Vec<Trace> {
    (0..5)
        .map(|i| trace(&format!("s{i}"), 500 + 30 * i, i))
        .collect()
}

fn cuts(traces: &[Trace]) -> Vec<Cut<'_>> {
    let all = traces.iter().enumerate();
    all.flat_map(|(i, t)| PLAN.cuts(i, t)).collect()
}

fn subject(name: &str, forecaster: Arc<dyn Forecaster>) -> Subject {
    Subject {
        name: name.into(),
        forecaster,
        config: "{}".into(),
        seed: 7,
        calendar: Calendar::Utc(vec![]),
    }
}

fn linked(name: &str) -> Subject {
    subject(
        name,
        tidegate_native::forecaster(name)
            .expect("a shipped forecaster")
            .forecaster,
    )
}

fn run(
    subject: &Subject,
    cuts: &[Cut<'_>],
    cohort: Cohort,
    jobs: usize,
) -> Vec<Result<Made, CallError>> {
    roll(subject, cuts, cohort, jobs, &Frozen, &|_, _| {})
}

/// How a stub misbehaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    Traps,
    FailsOneSeries,
    AnswersNan,
    ForgetsStates,
}

/// Says the quantiles 10, 20, .. 90 and the mean 50, always.
#[derive(Debug)]
struct Stub(Fault);

impl Stub {
    fn fitted(&self, series: usize) -> Result<Fitted, CallError> {
        let states: Vec<&[u8]> = match self.0 {
            Fault::Traps => return Err(CallError::Trap("unreachable".into())),
            Fault::ForgetsStates => vec![],
            _ => vec![b"state"; series],
        };
        let mut status = vec![Ok(()); series];
        if self.0 == Fault::FailsOneSeries {
            status[0] = Err(PolicyError::InsufficientData { have: 1, need: 2 });
        }
        Ok(Fitted {
            model: b"model".to_vec(),
            states: Blobs::join(1, states),
            status,
        })
    }
}

impl Forecaster for Stub {
    fn fit_from(&self, _: &str, _: &[u8], frames: &Frames) -> Result<Fitted, CallError> {
        self.fitted(frames.len())
    }

    fn update(&self, _: &[u8], states: &Blobs, _: &Frames) -> Result<Fitted, CallError> {
        self.fitted(states.len())
    }

    fn predict(&self, _: &[u8], states: &Blobs, ask: &Horizon) -> Result<Forecasts, CallError> {
        let steps = states.len() * ask.steps as usize;
        let row = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0];
        let mean = match self.0 {
            Fault::AnswersNan => f64::NAN,
            _ => 50.0,
        };
        Ok(Forecasts {
            mean: vec![mean; steps],
            quantiles: row.repeat(steps),
            status: vec![Ok(()); states.len()],
        })
    }

    fn migrate(&self, _: &[u8], _: &Blobs) -> Result<Fitted, CallError> {
        Err(CallError::Unavailable("nothing to migrate".into()))
    }
}

#[test]
fn two_runs_and_any_number_of_threads_write_the_same_bytes() {
    let traces = traces();
    let cuts = cuts(&traces);
    for name in ["seasonal-naive", "ets"] {
        let subject = linked(name);
        let written = |jobs| {
            let made = run(&subject, &cuts, Cohort::Single, jobs);
            forecasts(&cuts, &made, Origins::Named)
        };
        let first = written(1);
        assert_eq!(first, written(1), "{name}");
        assert_eq!(first, written(4), "{name}");
        assert_eq!(first.lines().count(), 1 + cuts.len() * PLAN.horizon);
    }
}

#[test]
fn the_file_has_the_promised_columns_and_names_its_origins() {
    let traces = traces();
    let cuts = cuts(&traces[..1]);
    let made = run(
        &subject("stub", Arc::new(Stub(Fault::None))),
        &cuts,
        Cohort::Single,
        1,
    );
    let text = forecasts(&cuts, &made, Origins::Named);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "series,origin,step,mean,lo80,hi80,lo95,hi95,seconds"
    );
    assert_eq!(lines[1], "s0,442,1,50,20,60,10,80,0.000000");
    assert_eq!(lines[3 * 24], "s0,476,24,50,20,60,10,80,0.000000");
    let bare = forecasts(&cuts, &made, Origins::LeftOut);
    assert!(bare.starts_with("series,step,mean,lo80,hi80,lo95,hi95,seconds\ns0,1,50,20,"));
}

#[test]
fn nothing_after_the_origin_reaches_a_forecast() {
    let honest = traces();
    let mut other = traces();
    let cut = |t: &Trace| *PLAN.origins(t.values.len()).first().unwrap();
    for trace in &mut other {
        let from = cut(trace);
        trace.values[from..].fill(1e6);
    }
    for name in ["seasonal-naive", "ets"] {
        let subject = linked(name);
        for (a, b) in honest.iter().zip(&other) {
            let (a, b) = (PLAN.cuts(0, a), PLAN.cuts(0, b));
            let (a, b) = (&a[..1], &b[..1]);
            let made = |cuts: &[Cut<'_>]| {
                let made = run(&subject, cuts, Cohort::Single, 1).pop().unwrap();
                made.unwrap().grid
            };
            assert_eq!(made(a), made(b), "{name}");
        }
    }
}

#[test]
fn a_module_that_learns_alone_learns_the_same_in_company() {
    let traces = traces();
    let cuts = cuts(&traces);
    let subject = linked("ets");
    let grids = |cohort| -> Vec<Grid> {
        let made = run(&subject, &cuts, cohort, 2);
        made.into_iter().map(|m| m.unwrap().grid).collect()
    };
    assert_eq!(grids(Cohort::Single), grids(Cohort::Joint));
}

#[test]
fn what_fails_is_named_and_left_out_of_the_means() {
    let traces = traces();
    let cuts = cuts(&traces);
    let of = |fault, cohort| {
        let made = run(&subject("stub", Arc::new(Stub(fault))), &cuts, cohort, 1);
        report("stub", &cuts, &made, &[12, 24], PLAN.season)
    };
    let good = of(Fault::None, Cohort::Single);
    assert_eq!((good.failed.len(), good.rows.len()), (0, 5));
    for (fault, said) in [
        (Fault::Traps, "unreachable"),
        (Fault::AnswersNan, "FC1"),
        (Fault::ForgetsStates, "0 states for 1 series"),
    ] {
        let bad = of(fault, Cohort::Single);
        assert_eq!(
            (bad.failed.len(), bad.rows.len()),
            (cuts.len(), 0),
            "{fault:?}"
        );
        assert!(bad.failed[0].2.contains(said), "{:?}", bad.failed[0]);
        assert!(bad.total[0].get(Metric::Mase).is_nan());
    }
    let one = of(Fault::FailsOneSeries, Cohort::Joint);
    assert_eq!((one.failed.len(), one.rows.len()), (3, 4));
    assert!(
        one.failed
            .iter()
            .all(|(series, _, why)| series == "s0" && why.contains("insufficient"))
    );
}

#[test]
fn a_load_that_repeats_itself_has_no_scale_and_stands_apart() {
    let mut traces = traces();
    traces[2].values = (0..500).map(|t| f64::from(t % 24)).collect();
    let cuts = cuts(&traces);
    let made = run(&linked("seasonal-naive"), &cuts, Cohort::Single, 1);
    let report = report("x", &cuts, &made, &[24], PLAN.season);
    assert_eq!((report.rows.len(), report.unscaled.len()), (4, 3));
    assert!(report.unscaled.iter().all(|(series, _)| series == "s2"));
}

#[test]
fn short_histories_are_measured_by_the_same_yardstick() {
    let traces = traces();
    for cut in cuts(&traces) {
        let short = cut.with_history(5);
        assert_eq!(
            short.window.values,
            &cut.window.values[cut.window.values.len() - 5..]
        );
        assert_eq!(short.window.end(), cut.window.end());
        assert_eq!((short.scale, short.origin), (cut.scale, cut.origin));
    }
}

const STREAM: StreamPlan = StreamPlan {
    warm_up: 24,
    horizon: 6,
    refit: 24,
    window: 14 * 24,
};

#[test]
fn a_stream_counts_what_lies_in_each_promise() {
    // Values 0, 1, .. 99 in turn: a quantile of 60 holds 61 of 100.
    let mut steps = trace("s", 24 + 1000, 0);
    steps.values = (0..1024).map(|t| f64::from(t % 100)).collect();
    let out = stream(
        &subject("stub", Arc::new(Stub(Fault::None))),
        &steps,
        &STREAM,
        None,
    );
    assert_eq!((out.fits, out.failed.0), (42, 0));
    let hour = &out.raw.bands[&Band::Hour];
    assert_eq!(hour.count, 1000);
    let shares: Vec<f64> = (0..PROMISES.len()).map(|p| hour.coverage(p)).collect();
    assert_eq!(shares, [21.0, 41.0, 71.0, 61.0, 91.0]);
    assert!(
        out.raw.bands.keys().all(|b| *b <= Band::HalfDay),
        "{:?}",
        out.raw.bands.keys()
    );
    let table = kept([("s", &out.raw)]);
    assert_eq!(
        (table[0].band, table[0].coverage, table[0].deviation),
        (Band::Hour, 21.0, 29.0)
    );
    let (_, held, next) = worst_day(&out.raw, 2).unwrap();
    assert!(held < 71.0 && next.is_some());
}

#[test]
fn a_stream_goes_on_after_failures_and_says_how_many() {
    let steps = trace("s", 100, 0);
    let out = stream(
        &subject("stub", Arc::new(Stub(Fault::Traps))),
        &steps,
        &STREAM,
        None,
    );
    assert_eq!((out.fits, out.failed.0), (0, 76));
    assert!(out.failed.1.unwrap().contains("unreachable"));
    assert!(out.raw.bands.is_empty());
}

/// Widens to the largest value that it was told, and notes what it knew when.
struct Recorder {
    seen: Option<Timestamp>,
    top: f64,
}

impl Correct for Recorder {
    fn correct(&mut self, now: Timestamp, forecast: &Grid) -> Grid {
        assert!(
            self.seen.is_none_or(|seen| seen < now),
            "it knew the future"
        );
        let mut wide = forecast.clone();
        wide.quantiles.iter_mut().for_each(|q| *q = q.max(self.top));
        wide
    }

    fn observe(&mut self, at: Timestamp, value: f64) {
        self.seen = Some(at);
        self.top = self.top.max(value);
    }
}

#[test]
fn a_correction_learns_from_outcomes_only_after_they_came() {
    let steps = trace("s", 300, 0);
    let recorder = Recorder {
        seen: None,
        top: 0.0,
    };
    let stub = subject("stub", Arc::new(Stub(Fault::None)));
    let out = stream(&stub, &steps, &STREAM, Some(Box::new(recorder)));
    let calibrated = out.calibrated.unwrap();
    let (raw, fixed) = (&out.raw.bands[&Band::Hour], &calibrated.bands[&Band::Hour]);
    assert_eq!(raw.count, fixed.count);
    assert!(fixed.coverage(4) > raw.coverage(4));
}

#[test]
fn the_hosts_calibration_brings_bad_intervals_nearer_to_their_promise() {
    // Evenly spread over 0 to 99: the stub's 95 % interval holds 71 %, its p99 91 %.
    let mut steps = trace("s", 24 * 200, 0);
    let values = (0..24 * 200_usize).map(|t| (t * 7919 % 100) as f64);
    steps.values = values.collect();
    let online = Online::new(&steps, STREAM.warm_up).unwrap();
    let stub = subject("stub", Arc::new(Stub(Fault::None)));
    let out = stream(&stub, &steps, &STREAM, Some(Box::new(online)));
    let calibrated = out.calibrated.unwrap();
    for promise in [1, 2, 4] {
        let off = |lane: &Lane| {
            let hour = &lane.bands[&Band::Hour];
            (hour.coverage(promise) - PROMISES[promise].percent()).abs()
        };
        let (raw, fixed) = (off(&out.raw), off(&calibrated));
        assert!(
            fixed < raw / 2.0,
            "{}: {raw} to {fixed}",
            PROMISES[promise].name
        );
    }
}
