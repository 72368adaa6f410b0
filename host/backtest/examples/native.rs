//! `tidegate evaluate --native` without the daemon: seconds to build, for authors of models.
//!
//! `native MODULE m4 TRAIN.csv TEST.csv` or `native MODULE csv FILE...` score a linked forecaster by
//! the published procedures (hourly: season 24, horizon 48; 5 minutes: season 288, eight origins,
//! scored over 12 and 288 steps); `native MODULE stream FILE...` asks an hour ahead at every step
//! whether intervals hold; `native MODULE cold FILE...` starts cold, the other files being peers.
//! Everything that can be chosen is chosen in the real command.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a person at a terminal"
)]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tidegate_backtest::evaluate::calendar::Calendar;
use tidegate_backtest::evaluate::calibrated::Online;
use tidegate_backtest::evaluate::cold::{Company, Start, cold};
use tidegate_backtest::evaluate::read::{CsvOptions, Pair, csv, m4};
use tidegate_backtest::evaluate::report::{Benchmark, Report, report};
use tidegate_backtest::evaluate::rolling::{Cohort, Cut, Plan, roll};
use tidegate_backtest::evaluate::scores::Metric;
use tidegate_backtest::evaluate::stream::{Correct, PROMISES, StreamPlan, Streamed, kept, stream};
use tidegate_backtest::evaluate::subject::{Meter, Subject};
use tidegate_backtest::evaluate::trace::{Gaps, Trace};
use tidegate_core::time::Step;
use tidegate_flow::baseline::LastValue;

const HOURLY: Plan = Plan {
    season: 24,
    horizon: 48,
    origins: 1,
    gap: 0,
    train: None,
    min_history: 1,
};

const FIVE_MINUTES: Plan = Plan {
    season: 288,
    horizon: 288,
    origins: 8,
    gap: 137,
    train: Some(4032),
    min_history: 5 * 288,
};

const STREAM: StreamPlan = StreamPlan {
    warm_up: 288,
    horizon: 12,
    refit: 288,
    window: 4032,
};

/// CPU time of the calling thread.
struct ThreadTime;

impl Meter for ThreadTime {
    fn cpu_seconds(&self) -> f64 {
        let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        spent.tv_sec as f64 + spent.tv_nsec as f64 * 1e-9
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<(), String> {
    let usage = "usage: native MODULE[:JSON] m4 TRAIN TEST | native MODULE[:JSON] csv|stream|cold FILE[@UNTIL]...";
    let [module, kind, files @ ..] = args else {
        return Err(usage.into());
    };
    let (name, config) = module.split_once(':').unwrap_or((module, "{}"));
    let linked = tidegate_native::forecaster(name).ok_or(format!("no forecaster {name}"))?;
    let subject = Subject {
        name: name.into(),
        forecaster: linked.forecaster,
        config: config.into(),
        seed: 1,
        calendar: match kind.as_str() {
            "m4" => Calendar::Unknown,
            _ => Calendar::Utc(vec![]),
        },
    };
    match (kind.as_str(), files) {
        ("m4", [train, test]) => {
            let pairs = pairs(train, test)?;
            let cuts: Vec<Cut<'_>> = pairs
                .iter()
                .enumerate()
                .filter_map(|(i, pair)| HOURLY.cut(i, pair))
                .collect();
            show(&measure(&subject, &cuts, &HOURLY, &[48]));
        }
        ("csv", files) => {
            let traces: Vec<Trace> = files.iter().map(|f| trace(f)).collect::<Result<_, _>>()?;
            let cuts: Vec<Cut<'_>> = traces
                .iter()
                .enumerate()
                .flat_map(|(i, trace)| FIVE_MINUTES.cuts(i, trace))
                .collect();
            show(&measure(&subject, &cuts, &FIVE_MINUTES, &[12, 288]));
        }
        ("stream", files) => {
            let traces: Vec<Trace> = files.iter().map(|f| trace(f)).collect::<Result<_, _>>()?;
            let streamed = traces.iter().map(|trace| {
                let online = Online::new(trace, STREAM.warm_up);
                let corrector = online.map(|o| Box::new(o) as Box<dyn Correct>);
                stream(&subject, trace, &STREAM, corrector)
            });
            promises(&streamed.collect::<Vec<_>>());
        }
        ("cold", files) => {
            let traces: Vec<Trace> = files.iter().map(|f| trace(f)).collect::<Result<_, _>>()?;
            cold_starts(&subject, &traces)?;
        }
        _ => return Err(usage.into()),
    }
    Ok(())
}

/// Two hours, a day and a week of history, with and without the day of the others.
fn cold_starts(subject: &Subject, traces: &[Trace]) -> Result<(), String> {
    let cuts: Vec<Cut<'_>> = traces
        .iter()
        .enumerate()
        .flat_map(|(i, trace)| FIVE_MINUTES.cuts(i, trace))
        .collect();
    let naive = tidegate_native::forecaster("seasonal-naive").ok_or("no seasonal-naive")?;
    let rival = |name: &str, forecaster| Subject {
        name: name.into(),
        forecaster,
        config: "{}".into(),
        ..subject.clone()
    };
    let rows = [
        (subject.clone(), Company::Peers),
        (subject.clone(), Company::Alone),
        (rival("seasonal-naive", naive.forecaster), Company::Alone),
        (rival("last-value", Arc::new(LastValue)), Company::Alone),
    ];
    for (history, steps) in [("2h", 24), ("1d", 288), ("1w", 2016)] {
        let short: Vec<Cut<'_>> = cuts.iter().map(|c| c.with_history(steps)).collect();
        for (subject, company) in &rows {
            let tell = |_, _| {};
            let start = Start {
                subject,
                company: *company,
                traces,
                window: 4032,
            };
            let starts = cold(&start, &short, 1, &ThreadTime, &tell).map_err(|e| e.to_string())?;
            let made: Vec<_> = starts.into_iter().map(|s| s.made).collect();
            let report = report(&subject.name, &short, &made, &[3, 12, 288], 288);
            for row in &report.rows {
                let far = row.scores.last().map_or(f64::NAN, |s| s.get(Metric::Mspl));
                println!(
                    "  {history} {:14} {company:?} {:42} mspl {far:.4}",
                    subject.name, row.name
                );
            }
            for (k, at) in report.score_at.iter().enumerate() {
                let of = |m| report.total[k].get(m);
                println!(
                    "{history} {:14} {company:?} h={at:3}  mase {:.3}  mspl {:.4}  cover {:.1} {:.1}  failed {}",
                    subject.name,
                    of(Metric::Mase),
                    of(Metric::Mspl),
                    of(Metric::Cover80),
                    of(Metric::Cover95),
                    report.failed.len()
                );
            }
        }
    }
    Ok(())
}

fn promises(streamed: &[Streamed]) {
    let raw = streamed.iter().map(|s| (s.name.as_str(), &s.raw));
    let fixed = streamed
        .iter()
        .filter_map(|s| Some((s.name.as_str(), s.calibrated.as_ref()?)));
    let tables = [("raw", kept(raw)), ("calibrated", kept(fixed))];
    for (kind, table) in tables {
        for row in table {
            let (band, promise) = (row.band.name(), PROMISES[row.promise].name);
            println!(
                "{kind:10} {band:4} {promise:3}  coverage {:.2}  mean deviation {:.2}  worst {:.1} {}",
                row.coverage, row.deviation, row.worst.1, row.worst.0
            );
        }
    }
}

fn measure(subject: &Subject, cuts: &[Cut<'_>], plan: &Plan, score_at: &[usize]) -> Report {
    let made = roll(subject, cuts, Cohort::Single, 1, &ThreadTime, &|_, _| {});
    report(&subject.name, cuts, &made, score_at, plan.season)
}

fn text(file: &str) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|e| format!("cannot read {file}: {e}"))
}

fn pairs(train: &str, test: &str) -> Result<Vec<Pair>, String> {
    let hour = Step::from_secs(3600).ok_or("an hour is a step")?;
    let (known, came) = (text(train)?, text(test)?);
    m4((train, &known), (test, &came), hour).map_err(|e| e.to_string())
}

fn trace(file: &str) -> Result<Trace, String> {
    let (file, until) = match file.split_once('@') {
        Some((file, until)) => (file, until.parse().ok()),
        None => (file, None),
    };
    let options = CsvOptions {
        step: Step::from_secs(300).ok_or("five minutes are a step")?,
        until,
        gaps: Gaps::Fill,
        column: None,
    };
    let name = Path::new(file).file_stem().unwrap_or_default();
    csv(file, &name.to_string_lossy(), &text(file)?, &options).map_err(|e| e.to_string())
}

fn show(report: &Report) {
    for (k, at) in report.score_at.iter().enumerate() {
        for row in &report.rows {
            println!("  {:42} h={at:3}  {}", row.name, line(&row.scores[k]));
        }
    }
    for (k, at) in report.score_at.iter().enumerate() {
        println!("{} h={at}  {}", report.subject, line(&report.total[k]));
        let owa = [Benchmark::M4_HOURLY, report.naive2[k]].map(|b| b.owa(&report.total[k]));
        println!(
            "  OWA {:.3} by the published Naive2, {:.3} by its own",
            owa[0], owa[1]
        );
    }
    println!("{:.3?}", report.cost);
    println!("unscaled {:?}\nfailed {:?}", report.unscaled, report.failed);
}

fn line(scores: &tidegate_backtest::evaluate::scores::Scores) -> String {
    let shown = Metric::ALL
        .iter()
        .map(|m| format!("{} {:.4}", m.name(), scores.get(*m)));
    shown.collect::<Vec<_>>().join("  ")
}
