//! Predicts every series of a pool, from states that were fitted before.
//!
//! `fit` is slow and runs apart from the cycle; here states are only moved on by the newest rows
//! and asked for the horizon, in one batch per module and cohort. A series for which the pinned
//! module has no state yet is served by the next member that has one, and says so.

mod batch;
mod covariates;
mod drift;
mod fit;
mod prior;

pub use drift::{Drift, Drifts, Shift, Watch, Watched};
pub use fit::{FitInput, FitOutput, fit};

use crate::forecast::batch::Cohort;
use std::collections::BTreeMap;
use tidegate_core::canonical;
use tidegate_core::catalog::Catalog;
use tidegate_core::forecast::Forecast;
use tidegate_core::ids::{ApiId, Digest};
use tidegate_core::policy::{CallError, Forecaster, PolicyError};
use tidegate_core::ports::storage::{History, SeriesState, StoreError};
use tidegate_core::roster::{Fault, Member, Retreat, Roster};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Level;

/// What tells fits of one series by one module apart: the module's config, and the step at which it
/// was fitted. A season of 1440 steps is a day at one step and five days at another, so a state must
/// not outlive a change of the daemon's resolution.
#[must_use]
pub fn fitted_with(config: &str, step: Step) -> Digest {
    let mut encoder = canonical::Encoder::default();
    encoder.text(config).raw(&step.secs().to_le_bytes());
    encoder.digest()
}

/// States by (series, module, [`fitted_with`]).
#[derive(Debug, Clone, Default)]
pub struct Bank {
    states: BTreeMap<(SeriesKey, Digest, Digest), SeriesState>,
}

impl Bank {
    /// The state of a series for a module with a config.
    #[must_use]
    pub fn get(&self, key: &SeriesKey, module: Digest, config: Digest) -> Option<&SeriesState> {
        self.states.get(&(key.clone(), module, config))
    }

    /// Whether there is a state of a series for a module, with whatever config.
    #[must_use]
    pub fn knows(&self, watched: &Watched) -> bool {
        let from = (watched.0.clone(), watched.1, Digest([0; 32]));
        let next = self.states.range(from..).next();
        next.is_some_and(|(slot, _)| slot.0 == watched.0 && slot.1 == watched.1)
    }

    /// Whether any module has a state of a series.
    #[must_use]
    pub fn has(&self, key: &SeriesKey) -> bool {
        let least = Digest([0; 32]);
        let next = self.states.range((key.clone(), least, least)..).next();
        next.is_some_and(|(slot, _)| slot.0 == *key)
    }

    /// Takes a state in. One that has seen less than what is there is dropped: a slow fit must not
    /// turn the series back, unless it was fitted later.
    pub fn put(&mut self, state: SeriesState) {
        let slot = (state.key.clone(), state.module, state.config);
        let newer = self
            .states
            .get(&slot)
            .is_none_or(|old| (state.fitted_at, state.seen) >= (old.fitted_at, old.seen));
        if newer {
            self.states.insert(slot, state);
        }
    }

    /// Takes the states of an api out.
    pub fn take(&mut self, api: &ApiId) -> Vec<SeriesState> {
        let of_api = |slot: &(SeriesKey, Digest, Digest)| slot.0.api == *api;
        let slots: Vec<_> = self.states.keys().filter(|s| of_api(s)).cloned().collect();
        slots
            .iter()
            .filter_map(|slot| self.states.remove(slot))
            .collect()
    }

    /// A bank that holds the states of one series alone.
    #[must_use]
    pub fn only(&self, key: &SeriesKey) -> Self {
        let mine = self.states.iter().filter(|(slot, _)| slot.0 == *key);
        Self {
            states: mine.map(|(s, state)| (s.clone(), state.clone())).collect(),
        }
    }

    /// All states.
    pub fn iter(&self) -> impl Iterator<Item = &SeriesState> {
        self.states.values()
    }

    /// Drops states of modules that nobody needs.
    pub fn retain(&mut self, keep: impl Fn(&SeriesState) -> bool) {
        self.states.retain(|_, state| keep(state));
    }
}

/// A series and who serves it.
#[derive(Debug, Clone)]
pub struct Target {
    /// The series.
    pub key: SeriesKey,
    /// Its pinned chain.
    pub roster: Roster<dyn Forecaster>,
}

/// What the room needs.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The cycle's time.
    pub now: Timestamp,
    /// Root seed.
    pub seed: u64,
    /// Resolution.
    pub step: Step,
    /// Steps to predict, from the step that contains `now`.
    pub steps: u32,
    /// Quantile levels, rising.
    pub levels: &'a [Level],
    /// What to predict.
    pub targets: &'a [Target],
    /// Fitted states.
    pub bank: &'a Bank,
    /// The past.
    pub history: &'a dyn History,
    /// The calendar.
    pub catalog: &'a Catalog,
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("now", &self.now)
            .field("targets", &self.targets.len())
            .finish_non_exhaustive()
    }
}

/// What was predicted.
#[derive(Debug, Default)]
pub struct Output {
    /// One per target that could be served, by series.
    pub forecasts: BTreeMap<SeriesKey, Forecast>,
    /// States that have moved on.
    pub updates: Vec<SeriesState>,
    /// Who failed on the way.
    pub faults: Vec<Fault>,
    /// Series without any data.
    pub silent: Vec<SeriesKey>,
    /// Series that are predicted although their feed has fallen behind, and since when there is no
    /// data.
    pub lagging: Vec<(SeriesKey, Timestamp)>,
}

/// Stored data cannot be read.
pub type Error = StoreError;

/// How far a feed may lag before an operator is told: three steps, and never less than this. A
/// sender that exports every minute and retries is within it.
pub const LATE_MS: i64 = 10 * 60_000;

/// How far a feed may lag before its series is no longer predicted from it: beyond a day the
/// horizon would be guesswork, and the stale feed has been alerted long before.
pub const MAX_LAG_MS: i64 = 86_400_000;

/// Predicts.
///
/// # Errors
/// When stored data cannot be read.
pub fn run(input: &Input<'_>) -> Result<Output, Error> {
    let mut output = Output::default();
    let grid = Grid {
        start: input.now.floor(input.step),
        step: input.step,
        count: input.steps as usize,
    };
    let mut pending: Vec<&Target> = vec![];
    for target in input.targets {
        match input.history.newest(&target.key) {
            None => output.silent.push(target.key.clone()),
            Some(newest) if grid.start.since_ms(newest) > MAX_LAG_MS => {
                output.silent.push(target.key.clone())
            }
            Some(newest) => {
                if grid.start.since_ms(newest) > LATE_MS.max(3 * input.step.ms()) {
                    output.lagging.push((target.key.clone(), newest));
                }
                pending.push(target);
            }
        }
    }
    for retreat in [Retreat::Active, Retreat::LastGood, Retreat::Baseline] {
        let cohorts = batch::cohorts(input, retreat, &pending)?;
        for cohort in cohorts {
            serve(input, grid, &cohort, &mut output)?;
        }
        pending.retain(|t| !output.forecasts.contains_key(&t.key));
    }
    Ok(output)
}

/// Moves one cohort on and asks it; what it cannot serve stays open for the next link.
fn serve(
    input: &Input<'_>,
    grid: Grid,
    cohort: &Cohort<'_>,
    output: &mut Output,
) -> Result<(), Error> {
    let member = cohort.member;
    let subject = || {
        cohort
            .rows
            .iter()
            .map(|r| series_name(&r.state.key))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let fault = |error: CallError, subject: String| Fault {
        module: member.module.clone(),
        error,
        subject,
    };
    let moved = match batch::advance(input, cohort)? {
        Ok(moved) => moved,
        Err(error) => {
            output.faults.push(fault(error, subject()));
            return Ok(());
        }
    };
    let mut alive = vec![];
    for outcome in moved {
        match outcome {
            Ok(state) => alive.push(state),
            Err((key, error)) => push_series_fault(output, member, &key, error),
        }
    }
    if alive.is_empty() {
        return Ok(());
    }
    match batch::predict(input, grid, cohort, &alive) {
        Ok(results) => {
            for (state, result) in alive.into_iter().zip(results) {
                match result {
                    Ok(forecast) => {
                        output.forecasts.insert(state.key.clone(), forecast);
                        output.updates.push(state);
                    }
                    Err(error) => push_series_fault(output, member, &state.key.clone(), error),
                }
            }
        }
        Err(error) => output.faults.push(fault(error, subject())),
    }
    Ok(())
}

fn push_series_fault(
    output: &mut Output,
    member: &Member<dyn Forecaster>,
    key: &SeriesKey,
    error: PolicyError,
) {
    if !matches!(error, PolicyError::InsufficientData { .. }) {
        output.faults.push(Fault {
            module: member.module.clone(),
            error: CallError::Policy(error),
            subject: series_name(key),
        });
    }
}

/// `shop/orders requests`.
#[must_use]
pub fn series_name(key: &SeriesKey) -> String {
    format!("{} {}", key.api, key.signal.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::LastValue;
    use crate::fake::Rates;
    use std::sync::Arc;
    use tidegate_core::module::ModuleRef;
    use tidegate_core::units::Signal;

    fn member(retreat: Retreat) -> Member<dyn Forecaster> {
        let active = retreat == Retreat::Active;
        Member {
            module: ModuleRef {
                digest: Digest([u8::from(active); 32]),
                ..ModuleRef::native("last-value")
            },
            retreat,
            config: "{}".into(),
            policy: Arc::new(LastValue),
        }
    }

    #[test]
    fn a_state_does_not_outlive_a_change_of_the_step() {
        let hour = Step::from_secs(3600).unwrap();
        assert_ne!(fitted_with("{}", Step::MINUTE), fitted_with("{}", hour));
        let key = SeriesKey {
            api: "shop/orders".parse().unwrap(),
            signal: Signal::Requests,
        };
        let mut history = Rates::default();
        history.feed(Signal::Requests, 0..300, 1.0);
        let at_minutes = fit(&FitInput {
            now: Timestamp(300 * 60_000),
            seed: 0,
            step: Step::MINUTE,
            window: 60,
            keys: std::slice::from_ref(&key),
            member: &member(Retreat::Active),
            history: &history,
            catalog: &Catalog::default(),
        });
        let mut bank = Bank::default();
        at_minutes
            .unwrap()
            .states
            .into_iter()
            .for_each(|s| bank.put(s));
        let served = |step: Step| {
            let targets = [Target {
                key: key.clone(),
                roster: Roster::of(vec![member(Retreat::Active), member(Retreat::Baseline)]),
            }];
            let output = run(&Input {
                now: Timestamp(300 * 60_000),
                seed: 0,
                step,
                steps: 2,
                levels: &Level::STANDARD,
                targets: &targets,
                bank: &bank,
                history: &history,
                catalog: &Catalog::default(),
            });
            output.unwrap().forecasts[&key].served.retreat
        };
        assert_eq!(served(Step::MINUTE), Retreat::Active);
        assert_eq!(served(hour), Retreat::Baseline);
    }

    #[test]
    fn after_the_clock_stepped_back_no_state_answers_for_another_time() {
        let key = SeriesKey {
            api: "shop/orders".parse().unwrap(),
            signal: Signal::Requests,
        };
        let mut history = Rates::default();
        history.feed(Signal::Requests, 0..30, 1.0);
        history.feed(Signal::Requests, 30..60, 9.0);
        let catalog = Catalog::default();
        let at = |minute: i64| Timestamp(minute * 60_000);
        let fitted = fit(&FitInput {
            now: at(60),
            seed: 0,
            step: Step::MINUTE,
            window: 60,
            keys: std::slice::from_ref(&key),
            member: &member(Retreat::Active),
            history: &history,
            catalog: &catalog,
        });
        let mut bank = Bank::default();
        fitted.unwrap().states.into_iter().for_each(|s| bank.put(s));
        let targets = [Target {
            key: key.clone(),
            roster: Roster::of(vec![member(Retreat::Active), member(Retreat::Baseline)]),
        }];
        let forecast = |minute: i64| {
            let output = run(&Input {
                now: at(minute),
                seed: 0,
                step: Step::MINUTE,
                steps: 2,
                levels: &Level::STANDARD,
                targets: &targets,
                bank: &bank,
                history: &history,
                catalog: &catalog,
            });
            let forecast = output.unwrap().forecasts.remove(&key).unwrap();
            (forecast.served.retreat, forecast.mean[0].round())
        };
        assert_eq!(forecast(60), (Retreat::Active, 9.0));
        assert_eq!(forecast(30), (Retreat::Baseline, 1.0));
    }
}
