//! A cold start as the daemon makes it: its own fit, on a history in which the other series are peers.
//!
//! Each origin gets a world of its own: the series under test with its newest steps alone, and every
//! other series as an api of the same tenant and category. What goes out of `flow`'s rooms is what is
//! scored, with the past that [`tidegate_flow::forecast::fit`] composes and the pooled calibration of a
//! series that has none of its own. Rejected: to rebuild the prior here. It would measure a likeness.
//!
//! Peers of other dates are moved by whole weeks, so that their clock and weekday stay true, to end in
//! the week before the origin. One that was measured for three days and more of the two weeks before
//! it stays where it is, so that nobody is told of the origin's own future.

use super::calendar::Calendar;
use super::parallel::{Progress, each};
use super::rolling::{Cut, Made};
use super::subject::{Grid, Meter, Subject};
use super::trace::Trace;
use std::collections::BTreeMap;
use tidegate_core::canonical;
use tidegate_core::catalog::{Api, Catalog, Mode, Versioned};
use tidegate_core::distribution::Distribution;
use tidegate_core::event::Event;
use tidegate_core::forecast::Prior;
use tidegate_core::frame::Column;
use tidegate_core::ids::{ApiId, Digest, Generation, IdError};
use tidegate_core::module::ModuleRef;
use tidegate_core::policy::{CallError, PolicyError};
use tidegate_core::ports::storage::{Completion, History, StoreError, Watermark};
use tidegate_core::roster::{Fault, Member, Retreat, Roster};
use tidegate_core::sample::{SampleBatch, SeriesKey};
use tidegate_core::time::{self, Step, Timestamp};
use tidegate_core::units::{Level, Signal};
use tidegate_flow::forecast::{self, Bank, FitInput, Input, Target, Tracks};

/// Whether the others may lend their day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// All series are of one category.
    Peers,
    /// Each is of none.
    Alone,
}

/// Who starts cold, among whom.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// Who is asked.
    pub subject: &'a Subject,
    /// What the others are to a series.
    pub company: Company,
    /// All series.
    pub traces: &'a [Trace],
    /// Most history, in steps, that a fit is given, what was composed included.
    pub window: usize,
}

/// One origin's outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// The forecast as it goes out.
    pub made: Result<Made, CallError>,
    /// What stood in for a past.
    pub prior: Option<Prior>,
}

const WEEK_MS: i64 = 7 * 86_400_000;

/// Days of a peer that lie before the origin and let it stay where it is.
const STAYS_MS: i64 = 3 * 86_400_000;

/// Runs a forecaster over cuts whose windows hold what is known of each series. One answer per cut, in
/// their order.
///
/// # Errors
/// Where no name of an api can be made.
pub fn cold(
    start: &Start<'_>,
    cuts: &[Cut<'_>],
    jobs: usize,
    meter: &dyn Meter,
    progress: Progress<'_>,
) -> Result<Vec<Started>, IdError> {
    let Start {
        subject,
        company,
        traces,
        window,
    } = *start;
    let keys = traces
        .iter()
        .enumerate()
        .map(|(i, t)| key(i, &t.name))
        .collect::<Result<Vec<_>, _>>()?;
    let catalog = catalog(&keys, company, &subject.calendar)?;
    Ok(each(cuts, jobs, progress, |cut| {
        let past = Past::of(traces, &keys, cut);
        let asked = Asked {
            subject,
            key: &keys[cut.series],
            past: &past,
            catalog: &catalog,
            window,
            meter,
        };
        asked.start(cut)
    }))
}

/// Names of files are no names of apis; their place and hash are one.
fn key(place: usize, name: &str) -> Result<SeriesKey, IdError> {
    let hash = canonical::seed(0, "evaluate", name, 0);
    let api: ApiId = format!("evaluate/s{place}-{hash:016x}").parse()?;
    Ok(SeriesKey {
        api,
        signal: Signal::Requests,
    })
}

fn catalog(keys: &[SeriesKey], company: Company, calendar: &Calendar) -> Result<Catalog, IdError> {
    let mut catalog = Catalog::default();
    let generation = Generation(1);
    for key in keys {
        let value = Api {
            category: match company {
                Company::Peers => "evaluated".into(),
                Company::Alone => String::new(),
            },
            mode: Mode::Observe,
            ..Api::free(key.api.clone(), "evaluate".parse()?)
        };
        let value = Versioned { generation, value };
        catalog.apis.insert(key.api.clone(), value);
    }
    if let Calendar::Utc(events) = calendar {
        for (i, event) in events.iter().enumerate() {
            let seconds = event.to.since_ms(event.from) / 1000;
            let value = Event::once(
                format!("evaluate/e{i}").parse()?,
                &event.kind,
                event.from,
                u32::try_from(seconds).unwrap_or(0),
            );
            let id = value.id.clone();
            catalog.events.insert(id, Versioned { generation, value });
        }
    }
    Ok(catalog)
}

/// One origin's question.
struct Asked<'a> {
    subject: &'a Subject,
    key: &'a SeriesKey,
    past: &'a Past<'a>,
    catalog: &'a Catalog,
    window: usize,
    meter: &'a dyn Meter,
}

impl Asked<'_> {
    fn start(&self, cut: &Cut<'_>) -> Started {
        let mut prior = None;
        let made = self.made(cut, &mut prior);
        Started { made, prior }
    }

    fn made(&self, cut: &Cut<'_>, prior: &mut Option<Prior>) -> Result<Made, CallError> {
        let (now, step) = (cut.window.end(), cut.window.step);
        let keys = std::slice::from_ref(self.key);
        let member = Member {
            module: ModuleRef {
                // A digest of its own, so that it is not taken for a baseline.
                digest: Digest([1; 32]),
                ..ModuleRef::native(&self.subject.name)
            },
            binding: None,
            retreat: Retreat::Active,
            config: self.subject.config.as_str().into(),
            policy: self.subject.forecaster.clone(),
        };
        let begun = self.meter.cpu_seconds();
        let targets = [Target {
            key: self.key.clone(),
            roster: Roster::of(vec![member.clone()]),
        }];
        let (none, tracks, choices) = (Bank::default(), Tracks::default(), BTreeMap::new());
        let question = Input {
            now,
            seed: self.subject.seed,
            step,
            steps: u32::try_from(cut.actual.len()).unwrap_or(u32::MAX),
            levels: &Level::STANDARD,
            targets: &targets,
            bank: &none,
            tracks: &tracks,
            choices: &choices,
            lanes: 1,
            reuse: None,
            history: self.past,
            catalog: self.catalog,
        };
        let fit = FitInput::of(&question, self.window, keys, &member);
        let mut fitted = forecast::fit(&fit).map_err(|e| unread(&e))?;
        let fitted_at = self.meter.cpu_seconds();
        let Some(state) = fitted.states.pop() else {
            return Err(failed(fitted.faults));
        };
        prior.clone_from(&state.prior);
        let (state_bytes, model_bytes) = (state.state.len(), state.model.len());
        let mut bank = Bank::default();
        bank.put(state);
        let moment = Input {
            bank: &bank,
            ..question
        };
        let mut output = forecast::run(&moment).map_err(|e| unread(&e))?;
        let predict_s = self.meter.cpu_seconds() - fitted_at;
        let Some(forecast) = output.forecasts.remove(self.key) else {
            return Err(failed(output.faults));
        };
        Ok(Made {
            grid: Grid {
                mean: forecast.mean,
                quantiles: forecast.quantiles,
            },
            fit_s: fitted_at - begun,
            predict_s,
            update_s: f64::NAN,
            state_bytes,
            model_bytes,
        })
    }
}

fn unread(error: &StoreError) -> CallError {
    CallError::Unavailable(error.to_string())
}

fn failed(faults: Vec<Fault>) -> CallError {
    let nothing = || PolicyError::Internal("it gave no state and no reason".into());
    let mut errors = faults.into_iter().map(|f| f.error);
    errors
        .next()
        .unwrap_or_else(|| CallError::Policy(nothing()))
}

/// What is known at one origin: per api, from when on, and the values.
struct Past<'a> {
    step: Step,
    series: BTreeMap<&'a SeriesKey, (Timestamp, &'a [f64])>,
}

impl<'a> Past<'a> {
    fn of(traces: &'a [Trace], keys: &'a [SeriesKey], cut: &Cut<'a>) -> Self {
        let now = cut.window.end();
        let series = traces.iter().zip(keys).enumerate().map(|(i, (t, key))| {
            let known = match i == cut.series {
                true => (cut.window.start, cut.window.values),
                false => lent(t, now),
            };
            (key, known)
        });
        Self {
            step: cut.window.step,
            series: series.collect(),
        }
    }
}

/// What a peer lends at `now`, and where that begins.
fn lent(trace: &Trace, now: Timestamp) -> (Timestamp, &[f64]) {
    let end = trace.at(trace.values.len());
    let overlap = end
        .min(now)
        .since_ms(trace.start.max(Timestamp(now.0 - 2 * WEEK_MS)));
    if overlap >= STAYS_MS {
        let steps = now.since_ms(trace.start) / trace.step.ms();
        let known = usize::try_from(steps).unwrap_or(0).min(trace.values.len());
        return (trace.start, &trace.values[..known]);
    }
    let weeks = now.since_ms(end).div_euclid(WEEK_MS);
    let moved = Timestamp(trace.start.0.saturating_add(weeks * WEEK_MS));
    (moved, &trace.values)
}

impl History for Past<'_> {
    fn append(&self, _batch: SampleBatch, done: Completion) {
        done(Err(StoreError::Closed));
    }

    fn column(&self, key: &SeriesKey, grid: time::Grid) -> Result<Column, StoreError> {
        let known = self.series.get(key);
        let value = |at: Timestamp| {
            let (start, values) = known?;
            let row = at.since_ms(*start).div_euclid(grid.step.ms());
            usize::try_from(row)
                .ok()
                .and_then(|row| values.get(row))
                .copied()
        };
        Ok(Column {
            signal: key.signal,
            start: grid.start,
            step: grid.step,
            values: (0..grid.count)
                .map(|i| value(grid.at(i)).unwrap_or(f64::NAN))
                .collect(),
        })
    }

    fn distributions(
        &self,
        _api: &ApiId,
        grid: time::Grid,
    ) -> Result<Vec<Option<Distribution>>, StoreError> {
        Ok(vec![None; grid.count])
    }

    fn series(&self) -> Vec<SeriesKey> {
        self.series.keys().map(|key| (*key).clone()).collect()
    }

    fn newest(&self, key: &SeriesKey) -> Option<Timestamp> {
        let (start, values) = self.series.get(key)?;
        let newest = values.iter().rposition(|v| v.is_finite())?;
        let count = i64::try_from(newest + 1).unwrap_or(i64::MAX);
        Some(start.plus_steps(self.step, count))
    }

    fn watermark(&self) -> Watermark {
        Watermark::default()
    }
}
