//! The host's calibration as the daemon runs it, around one streamed series.
//!
//! Not a copy: `flow` corrects the forecast, takes promises of what goes out and learns from what
//! came; here is the history that it asks for, and a key for a series that belongs to no tenant.

use super::stream::Correct;
use super::subject::Grid;
use super::trace::Trace;
use tidegate_core::canonical;
use tidegate_core::forecast::{Forecast, Track};
use tidegate_core::ids::{ApiId, Digest};
use tidegate_core::module::ModuleRef;
use tidegate_core::roster::{Retreat, Served};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{self, Step, Timestamp};
use tidegate_core::units::{Level, Signal};
use tidegate_flow::forecast::calibrate;

/// A track, and the values that it may look back to.
#[derive(Debug, Clone)]
pub struct Online {
    track: Track,
    start: Timestamp,
    seen: Vec<f64>,
}

impl Online {
    /// Before the first forecast, with `known` steps of the trace behind it. `None` where no key
    /// can be made of the name, which a hash always allows.
    #[must_use]
    pub fn new(trace: &Trace, known: usize) -> Option<Self> {
        // Names of files are no names of apis; their hash is one.
        let hash = canonical::seed(0, "evaluate", &trace.name, 0);
        let api: ApiId = format!("evaluate/s{hash:016x}").parse().ok()?;
        let key = SeriesKey {
            api,
            signal: Signal::Requests,
        };
        let nobody = Digest([0; 32]);
        Some(Self {
            track: Track::new(key, nobody, nobody, trace.step),
            start: trace.start,
            seen: trace.values[..known.min(trace.values.len())].to_vec(),
        })
    }

    /// A forecast as it goes out of a series that nothing is known of yet: by the pooled prior.
    #[must_use]
    pub fn at_first(trace: &Trace, now: Timestamp, forecast: &Grid) -> Grid {
        match Self::new(trace, 0) {
            Some(mut online) => online.correct(now, forecast),
            None => forecast.clone(),
        }
    }

    fn step(&self) -> Step {
        self.track.step
    }
}

/// The value of the step that starts at an instant; NaN where there is none.
fn value(start: Timestamp, step: Step, seen: &[f64], at: Timestamp) -> f64 {
    let steps = at.since_ms(start).div_euclid(step.ms());
    let found = usize::try_from(steps).ok().and_then(|i| seen.get(i));
    found.copied().unwrap_or(f64::NAN)
}

impl Correct for Online {
    fn correct(&mut self, now: Timestamp, raw: &Grid) -> Grid {
        let mut forecast = Forecast {
            key: self.track.key.clone(),
            grid: time::Grid {
                start: now,
                step: self.step(),
                count: raw.mean.len(),
            },
            levels: Level::STANDARD.to_vec(),
            mean: raw.mean.clone(),
            quantiles: raw.quantiles.clone(),
            served: Served {
                module: ModuleRef::native("evaluated"),
                retreat: Retreat::Active,
            },
            state: Digest([0; 32]),
            calibration: None,
        };
        // One that cannot be corrected goes out as the module made it, as in the cycle.
        let _ = calibrate::correct(&self.track, &mut forecast);
        let (start, step, seen) = (self.start, self.step(), &self.seen);
        calibrate::issue(&mut self.track, &forecast, &mut |at| {
            value(start, step, seen, at)
        });
        Grid {
            mean: forecast.mean,
            quantiles: forecast.quantiles,
        }
    }

    fn observe(&mut self, at: Timestamp, outcome: f64) {
        let step = self.step();
        let place = at.since_ms(self.start).div_euclid(step.ms());
        let place = usize::try_from(place).unwrap_or(self.seen.len());
        self.seen.resize(place.max(self.seen.len()), f64::NAN);
        if place == self.seen.len() {
            self.seen.push(outcome);
        }
        let (start, seen) = (self.start, &self.seen);
        let until = at.plus_steps(step, 1);
        calibrate::observe(&mut self.track, until, |at| value(start, step, seen, at));
    }
}
