//! A past to ask a forecaster about: synthetic, or a sample of what is stored.
//!
//! The last steps are withheld: a module is fitted on what is before them, asked what comes, told what
//! came, and asked again, as it is on its first day of service. Covariates are the calendar's of UTC,
//! since only a catalog knows an api's own clock.

use super::questions;
use crate::trial::Sample;
use tidegate_core::policy::{Covariates, Frames, Horizon};
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::{Level, Signal};

/// Steps that are withheld, and that are asked for.
pub(super) const FRESH: usize = 12;

/// Fewest steps of a stored series: with less, nothing is left to be fitted.
const LEAST: usize = 3 * FRESH;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 1440 * MINUTE_MS;

/// One series.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) signal: Signal,
    pub(super) start: Timestamp,
    /// NaN where missing.
    pub(super) values: Vec<f64>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Past {
    /// How an error names it.
    pub(super) case: String,
    step: Step,
    lines: Vec<Line>,
}

impl Past {
    /// What every module meets in its first hour.
    pub(super) fn synthetic() -> Self {
        Self {
            case: "two weeks of a daily wave, with gaps, of zeros and of a step".into(),
            step: questions::hourly(),
            lines: questions::lines(),
        }
    }

    /// What is stored, as far as it is long enough and of one step; `None` where nothing is.
    pub(super) fn stored(samples: &[Sample]) -> Option<Self> {
        let step = Step::from_secs(samples.first()?.step_s)?;
        let long = |s: &&Sample| s.step_s == step.secs() && s.values.len() >= LEAST;
        let mut names = vec![];
        let mut lines = vec![];
        for sample in samples.iter().filter(long) {
            let Some(signal) = Signal::ALL.into_iter().find(|s| s.name() == sample.signal) else {
                continue;
            };
            names.push(format!("{} {}", sample.api, sample.signal));
            lines.push(Line {
                signal,
                start: Timestamp(sample.start_ms),
                values: sample
                    .values
                    .iter()
                    .map(|v| v.unwrap_or(f64::NAN))
                    .collect(),
            });
        }
        (!lines.is_empty()).then(|| Self {
            case: format!("the stored series {}", names.join(", ")),
            step,
            lines,
        })
    }

    /// What a module is fitted on.
    pub(super) fn before(&self) -> Frames {
        self.frames(|line| 0..line.values.len() - FRESH)
    }

    /// What it is told then.
    pub(super) fn after(&self) -> Frames {
        self.frames(|line| line.values.len() - FRESH..line.values.len())
    }

    /// The next steps of every series, `told` of which it knows, at every standard level.
    pub(super) fn horizon(&self, told: usize) -> Horizon {
        let starts = self.lines.iter().map(|line| {
            let known = line.values.len() - FRESH + told;
            line.start.plus_steps(self.step, known as i64)
        });
        let starts: Vec<Timestamp> = starts.collect();
        let rows = starts.iter().map(|&start| (start, FRESH));
        Horizon {
            step: self.step,
            steps: FRESH as u32,
            levels: Level::STANDARD.to_vec(),
            future: self.calendar(rows),
            seeds: (1..=starts.len() as u64).collect(),
            starts,
        }
    }

    fn frames(&self, rows: impl Fn(&Line) -> std::ops::Range<usize>) -> Frames {
        let mut frames = Frames::new(self.step);
        let mut spans = vec![];
        for (seed, line) in (1..).zip(&self.lines) {
            let rows = rows(line);
            let start = line.start.plus_steps(self.step, rows.start as i64);
            spans.push((start, rows.len()));
            frames.push(line.signal, start, &line.values[rows], seed);
        }
        frames.covariates = self.calendar(spans.into_iter());
        frames
    }

    fn calendar(&self, spans: impl Iterator<Item = (Timestamp, usize)>) -> Covariates {
        let at = |(start, count): (Timestamp, usize)| {
            (0..count).map(move |n| start.plus_steps(self.step, n as i64).0)
        };
        let instants: Vec<i64> = spans.flat_map(at).collect();
        let minute = |ms: &i64| (ms.rem_euclid(DAY_MS) / MINUTE_MS) as f64;
        // The first of January 1970 was a Thursday; Monday is 0.
        let day = |ms: &i64| (ms.div_euclid(DAY_MS) + 3).rem_euclid(7) as f64;
        let minutes = instants.iter().map(minute);
        Covariates {
            names: vec!["minute-of-day".into(), "day-of-week".into()],
            values: minutes.chain(instants.iter().map(day)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(api: &str, step_s: u32, values: usize) -> Sample {
        Sample {
            api: api.into(),
            signal: "requests".into(),
            // A Tuesday, 01:00 UTC.
            start_ms: 1_700_528_400_000,
            step_s,
            values: (0..values).map(|n| (n != 40).then_some(n as f64)).collect(),
        }
    }

    #[test]
    fn a_stored_past_is_divided_into_what_is_known_and_what_comes() {
        let past = Past::stored(&[
            sample("shop/a", 300, 50),
            sample("shop/short", 300, 20),
            sample("shop/other", 60, 50),
            sample("shop/b", 300, 100),
        ]);
        let past = past.unwrap();
        assert_eq!(
            past.case,
            "the stored series shop/a requests, shop/b requests"
        );
        let (before, after) = (past.before(), past.after());
        assert_eq!((before.series(0).len(), before.series(1).len()), (38, 88));
        assert_eq!(
            before.series(1)[39..42].to_vec()[0].to_bits(),
            39.0_f64.to_bits()
        );
        assert!(before.series(1)[40].is_nan());
        assert_eq!(after.series(0)[3].to_bits(), 41.0_f64.to_bits());
        assert_eq!(past.horizon(0).starts, after.starts);
        let told = past.horizon(FRESH);
        assert_eq!(told.starts[0].0, 1_700_528_400_000 + 50 * 300_000);
        let rows = before.values.len();
        assert_eq!(before.covariates.values.len(), 2 * rows);
        assert_eq!(before.covariates.values[..2], [60.0, 65.0]);
        assert_eq!(before.covariates.values[rows].to_bits(), 1.0_f64.to_bits());
        assert!(Past::stored(&[sample("shop/short", 300, 20)]).is_none());
        assert!(Past::stored(&[]).is_none());
    }
}
