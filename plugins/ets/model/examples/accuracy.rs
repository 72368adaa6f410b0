//! Scores `ets` beside `seasonal-naive` on real series, by the definitions of the M4 competition.
//!
//! `accuracy DATA_DIR hourly|five-minute|minute [auto|additive|multiplicative|none]`: DATA_DIR holds
//! `m4_hourly_train.csv` and `m4_hourly_test.csv`, or folders of `timestamp,value` files. Printed
//! are means over series of sMAPE, MASE, MSPL (mean pinball loss at 2.5, 10, 50, 90, 97.5 % over
//! the seasonal-naive scale), the coverage of the 80 and 95 % intervals, milliseconds per fit and
//! predict, and the largest state in bytes. `minute` takes the last hour off two weeks of minutes.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::path::Path;

use tidegate_model_ets as ets;
use tidegate_model_kit::{Prediction, Series};
use tidegate_model_seasonal_naive as naive;

const LEVELS: [u16; 5] = [250, 1000, 5000, 9000, 9750];

type AnyError = Box<dyn Error>;
type Forecast = dyn Fn(&Series<'_>, usize) -> Result<(Prediction, usize, String), AnyError>;

/// Sums of scores over forecasts.
#[derive(Debug, Clone, Copy, Default)]
struct Score {
    n: f64,
    smape: f64,
    mase: f64,
    mspl: f64,
    in80: f64,
    in95: f64,
}

impl Score {
    fn of(actual: &[f64], p: &Prediction, scale: f64) -> Self {
        let h = actual.len() as f64;
        let mut s = Self {
            n: 1.0,
            ..Self::default()
        };
        for (t, y) in actual.iter().enumerate() {
            let f = p.mean[t];
            if y.abs() + f.abs() > 0.0 {
                s.smape += 200.0 * (y - f).abs() / (y.abs() + f.abs()) / h;
            }
            s.mase += (y - f).abs() / scale / h;
            let q = &p.quantiles[t * 5..t * 5 + 5];
            for (q, level) in q.iter().zip(LEVELS) {
                let a = f64::from(level) / 1e4;
                let loss = if y >= q {
                    a * (y - q)
                } else {
                    (1.0 - a) * (q - y)
                };
                s.mspl += loss / 5.0 / scale / h;
            }
            s.in80 += f64::from(u8::from((q[1]..=q[3]).contains(y))) * 100.0 / h;
            s.in95 += f64::from(u8::from((q[0]..=q[4]).contains(y))) * 100.0 / h;
        }
        s
    }

    fn add(&mut self, o: &Self) {
        let w = if o.n > 0.0 { 1.0 / o.n } else { 0.0 };
        self.n += 1.0;
        self.smape += o.smape * w;
        self.mase += o.mase * w;
        self.mspl += o.mspl * w;
        self.in80 += o.in80 * w;
        self.in95 += o.in95 * w;
    }

    fn line(&self) -> String {
        let n = self.n.max(1.0);
        format!(
            "sMAPE {:6.2}  MASE {:.3}  MSPL {:.4}  cov {:.1}/{:.1}",
            self.smape / n,
            self.mase / n,
            self.mspl / n,
            self.in80 / n,
            self.in95 / n
        )
    }
}

fn main() -> Result<(), AnyError> {
    let args: Vec<String> = std::env::args().collect();
    let [_, dir, what, rest @ ..] = args.as_slice() else {
        return Err("usage: accuracy DATA_DIR hourly|five-minute|minute [season]".into());
    };
    let season = rest.first().map_or("auto", String::as_str);
    let config: ets::Config = match season.strip_prefix('{') {
        Some(_) => serde_json::from_str(season)?,
        None => serde_json::from_str(&format!("{{\"season\":\"{season}\"}}"))?,
    };
    let by_ets = move |s: &Series<'_>, h: usize| -> Result<_, AnyError> {
        let state = ets::fit(&config, s)?;
        let size = state.encode()?.len();
        let c = state.class();
        let class = format!("{:?},{:?},{:?}", c.error, c.trend, c.season);
        Ok((state.predict(h, &LEVELS, 1)?, size, class))
    };
    let by_naive = |season: naive::SeasonChoice| {
        move |s: &Series<'_>, h: usize| -> Result<_, AnyError> {
            let state = naive::fit(&naive::Config { season }, s)?;
            let size = state.encode()?.len();
            Ok((
                state.predict(h, &LEVELS, 1)?,
                size,
                state.period().to_string(),
            ))
        }
    };
    let daily = by_naive(naive::SeasonChoice::Shortest);
    let chosen = by_naive(naive::SeasonChoice::Auto);
    let models: [(&str, &Forecast); 3] = [
        ("naive, day", &daily),
        ("seasonal-naive", &chosen),
        ("ets", &by_ets),
    ];
    let verbose = rest.len() > 1;
    for (name, model) in models {
        match what.as_str() {
            "hourly" => hourly(Path::new(dir), name, model, verbose)?,
            "minute" => minute(Path::new(dir), name, model)?,
            _ => five_minute(Path::new(dir), name, model, verbose)?,
        }
    }
    Ok(())
}

fn rows(file: &Path) -> Result<Vec<(String, Vec<f64>)>, AnyError> {
    let text = std::fs::read_to_string(file)?;
    Ok(text
        .lines()
        .map(|l| {
            let mut cells = l.split(',');
            let id = cells.next().unwrap_or_default().to_owned();
            (id, cells.filter_map(|c| c.parse().ok()).collect())
        })
        .collect())
}

/// Mean absolute seasonal difference.
fn scale(y: &[f64], m: usize) -> f64 {
    let d: Vec<f64> = y
        .iter()
        .skip(m)
        .zip(y)
        .map(|(a, b)| (a - b).abs())
        .collect();
    (d.iter().sum::<f64>() / d.len().max(1) as f64).max(1e-12)
}

#[expect(
    clippy::disallowed_methods,
    reason = "this program measures its own speed"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn report(
    name: &str,
    what: &str,
    score: &Score,
    ms: f64,
    size: usize,
    classes: &BTreeMap<String, usize>,
) -> Result<(), AnyError> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{name:15} {what:7} {}  {ms:.1} ms  {size} B  {classes:?}",
        score.line()
    )?;
    Ok(())
}

fn hourly(dir: &Path, name: &str, model: &Forecast, verbose: bool) -> Result<(), AnyError> {
    let train = rows(&dir.join("m4_hourly_train.csv"))?;
    let test: BTreeMap<_, _> = rows(&dir.join("m4_hourly_test.csv"))?.into_iter().collect();
    let (mut total, mut size, mut classes) = (Score::default(), 0, BTreeMap::new());
    let mut spent = 0.0;
    for (id, y) in &train {
        let Some(actual) = test.get(id) else { continue };
        let series = Series {
            values: y,
            start_ms: 0,
            step_s: 3600,
            periods: &[],
        };
        let start = now();
        let (p, bytes, class) = model(&series, actual.len())?;
        spent += start.elapsed().as_secs_f64() * 1e3;
        let s = Score::of(actual, &p, scale(y, 24));
        if verbose {
            writeln!(std::io::stdout(), "  {id} {} {class}", s.line())?;
        }
        total.add(&s);
        size = size.max(bytes);
        *classes.entry(class).or_insert(0) += 1;
    }
    report(name, "h=48", &total, spent / total.n, size, &classes)
}

fn minute(dir: &Path, name: &str, model: &Forecast) -> Result<(), AnyError> {
    let (mut total, mut size, mut classes, mut spent) = (Score::default(), 0, BTreeMap::new(), 0.0);
    for file in [
        "rate_1min/worldcup98",
        "resource_1min/crane_09",
        "resource_1min/crane_12",
    ] {
        let y = grid(&dir.join(format!("{file}.csv")), 60, i64::MAX)?;
        let y = &y[y.len().saturating_sub(20_220)..];
        let (train, actual) = y.split_at(y.len() - 60);
        let series = Series {
            values: train,
            start_ms: 0,
            step_s: 60,
            periods: &[],
        };
        let start = now();
        let (p, bytes, class) = model(&series, 60)?;
        spent += start.elapsed().as_secs_f64() * 1e3;
        total.add(&Score::of(actual, &p, scale(train, 1440)));
        size = size.max(bytes);
        *classes.entry(class).or_insert(0) += 1;
    }
    report(name, "h=60", &total, spent / total.n, size, &classes)
}

/// Means over `step` seconds of a `timestamp,value` file; missing steps take the value a day before,
/// else a line between neighbours.
fn grid(file: &Path, step: i64, until: i64) -> Result<Vec<f64>, AnyError> {
    let text = std::fs::read_to_string(file)?;
    let mut bins: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let Some((t, v)) = line.split_once(',') else {
            continue;
        };
        let (t, v) = (t.parse::<f64>()? as i64, v.parse::<f64>());
        if let Ok(v) = v
            && t < until
        {
            let bin = bins.entry(t.div_euclid(step)).or_insert((0.0, 0.0));
            *bin = (bin.0 + v, bin.1 + 1.0);
        }
    }
    let first = *bins.keys().next().ok_or("empty file")?;
    let last = *bins.keys().next_back().ok_or("empty file")?;
    let day = usize::try_from(86_400 / step)?;
    let mut y: Vec<f64> = (first..=last)
        .map(|k| bins.get(&k).map_or(f64::NAN, |(s, n)| s / n))
        .collect();
    for t in 0..y.len() {
        if !y[t].is_nan() {
            continue;
        }
        if t >= day {
            y[t] = y[t - day];
            continue;
        }
        let next = (t..y.len()).find(|u| !y[*u].is_nan()).unwrap_or(t);
        y[t] = y[t - 1] + (y[next] - y[t - 1]) / (next - t + 1) as f64;
    }
    Ok(y)
}

fn five_minute(dir: &Path, name: &str, model: &Forecast, verbose: bool) -> Result<(), AnyError> {
    const NAB: [&str; 7] = [
        "ec2_cpu_utilization_53ea38",
        "ec2_cpu_utilization_ac20cd",
        "elb_request_count_8c0756",
        "rds_cpu_utilization_cc0c53",
        "cpu_utilization_asg_misconfiguration",
        "Twitter_volume_AMZN",
        "Twitter_volume_GOOG",
    ];
    let mut files = Vec::new();
    for folder in ["rate_1min", "resource_1min", "resource_5min"] {
        for entry in std::fs::read_dir(dir.join(folder))? {
            files.push(entry?.path());
        }
    }
    files.extend(NAB.iter().map(|f| dir.join("nab").join(format!("{f}.csv"))));
    files.sort();
    let (mut near, mut far, mut size) = (Score::default(), Score::default(), 0);
    let (mut spent, mut origins, mut classes) = (0.0, 0.0, BTreeMap::new());
    for file in files
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "csv"))
    {
        let label = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let until = if label == "worldcup98" {
            899_510_400
        } else {
            i64::MAX
        };
        let y = grid(file, 300, until)?;
        let (mut a, mut b) = (Score::default(), Score::default());
        for back in 0..8 {
            let Some(origin) = y
                .len()
                .checked_sub(288 + 137 * back)
                .filter(|o| *o >= 5 * 288)
            else {
                continue;
            };
            let train = &y[origin.saturating_sub(4032)..origin];
            let series = Series {
                values: train,
                start_ms: 0,
                step_s: 300,
                periods: &[],
            };
            let start = now();
            let (p, bytes, class) = model(&series, 288)?;
            spent += start.elapsed().as_secs_f64() * 1e3;
            let unit = scale(train, 288);
            // A day that repeats itself exactly has no scale: nothing is measurable by it.
            if unit <= 1e-9 {
                continue;
            }
            for (sum, h) in [(&mut a, 12), (&mut b, 288)] {
                let s = Score::of(&y[origin..origin + h], &p, unit);
                let n = sum.n + 1.0;
                *sum = Score {
                    n,
                    smape: sum.smape + s.smape,
                    mase: sum.mase + s.mase,
                    mspl: sum.mspl + s.mspl,
                    in80: sum.in80 + s.in80,
                    in95: sum.in95 + s.in95,
                };
            }
            origins += 1.0;
            size = size.max(bytes);
            *classes.entry(class).or_insert(0) += 1;
        }
        if verbose {
            writeln!(
                std::io::stdout(),
                "  {label:40} {} | {}",
                a.line(),
                b.line()
            )?;
        }
        near.add(&a);
        far.add(&b);
    }
    report(name, "h=12", &near, spent / origins, size, &classes)?;
    report(name, "h=288", &far, spent / origins, size, &classes)
}
