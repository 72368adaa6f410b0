//! Predicts every series of a pool, from states that were fitted before.
//!
//! `fit` is slow and runs apart from the cycle; here states are only moved on by the newest rows
//! and asked for the horizon, in one batch per module and cohort. A series for which the pinned
//! module has no state yet is served by the next member that has one, and says so.
//!
//! Most forecasts of a large world are those of a step before, as [`Held`] keeps them.
//!
//! No module's quantiles go out as they come: [`calibrate`] corrects them by what they promised
//! before and what came. Beside the module that answers, its challengers are asked now and then, in
//! [`score`] and out of mind: their answers are held against what comes, their faults are told apart,
//! and [`select`] lets one answer in the bound module's place once it has been better for a while.

mod bank;
mod batch;
mod configs;
mod covariates;
mod drift;
mod fit;
mod held;
mod lanes;
mod migrate;
mod prior;

pub mod calibrate;
pub mod score;
pub mod select;

mod tracking;
mod tracks;

pub use bank::Bank;
pub use configs::fitted_with;
pub use drift::{Drift, Drifts, Watch, Watched};
pub use fit::{FitInput, FitOutput, fit};
pub use held::{Earlier, Held, Refresh, Source};
pub use migrate::{MOST_APART, MigrateInput, Migrated, migrate};
pub use tracks::Tracks;

use crate::forecast::batch::Cohort;
use crate::forecast::configs::Configs;
use crate::forecast::held::Events;
use crate::forecast::tracking::Tracking;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::catalog::Catalog;
use tidegate_core::forecast::{Choice, Forecast, Track};
use tidegate_core::ids::Digest;
use tidegate_core::policy::{CallError, Forecaster, PolicyError};
use tidegate_core::ports::storage::{History, SeriesState, StoreError};
use tidegate_core::roster::{Fault, Member, Retreat, Roster};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Level;

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
    /// What is known of the modules' promises.
    pub tracks: &'a Tracks,
    /// Who was chosen before, for series with challengers.
    pub choices: &'a BTreeMap<SeriesKey, Choice>,
    /// Calls of a module at once, at most; no answer depends on it.
    pub lanes: usize,
    /// What may be used again; `None`: every series is predicted anew, and nothing is kept.
    pub reuse: Option<Reuse<'a>>,
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

/// Forecasts of before.
#[derive(Debug, Clone, Copy)]
pub struct Reuse<'a> {
    /// What is kept.
    pub held: &'a Held,
    /// Steps from one forecast of a series to the next ([`Refresh::cadence`]).
    pub cadence: u32,
}

/// Which fit a forecast comes from: series, module, and when it was fitted.
pub type FitOf = (SeriesKey, Digest, Timestamp);

/// What was predicted.
#[derive(Debug, Default)]
pub struct Output {
    /// One per target that could be served, by series.
    pub forecasts: BTreeMap<SeriesKey, Forecast>,
    /// Which fits they come from.
    pub fits: Vec<FitOf>,
    /// With which configs those were fitted, one each.
    pub configs: Vec<Arc<str>>,
    /// Series that should have been predicted, and nobody could.
    pub unserved: Vec<SeriesKey>,
    /// Those that were made anew, as they are kept.
    pub made: Vec<Earlier>,
    /// States that have moved on.
    pub updates: Vec<SeriesState>,
    /// Tracks that have learned or taken promises.
    pub tracks: Vec<Track>,
    /// Who is chosen, where that has changed.
    pub choices: Vec<(SeriesKey, Choice)>,
    /// Who failed on the way.
    pub faults: Vec<Fault>,
    /// Who failed beside the way: as a challenger, whose answer nobody waits for.
    pub shadow_faults: Vec<Fault>,
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
    if input.levels == Level::STANDARD {
        return predict(input);
    }
    // Corrections need the tracked levels, whatever was asked for.
    let mut levels = [input.levels, &Level::STANDARD].concat();
    levels.sort_unstable();
    levels.dedup();
    let mut output = predict(&Input {
        levels: &levels,
        ..*input
    })?;
    for forecast in output.forecasts.values_mut() {
        forecast.restrict(input.levels);
    }
    Ok(output)
}

fn predict(input: &Input<'_>) -> Result<Output, Error> {
    let mut output = Output::default();
    let mut tracking = Tracking::new(input);
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
                tracking.observe(&target.key, newest)?;
                pending.push(target);
            }
        }
    }
    let champions = choose(input, &mut tracking, &pending, &mut output);
    let events = Events(input.catalog);
    let pending = &mut reuse(input, grid, &events, pending, &champions, &mut output)?;
    let all = pending.clone();
    let long = Grid {
        count: grid.count + input.reuse.map_or(0, |r| r.cadence.saturating_sub(1)) as usize,
        ..grid
    };
    for link in [
        Link::Champion,
        Link::Chain(Retreat::Active),
        Link::Chain(Retreat::LastGood),
        Link::Chain(Retreat::Baseline),
    ] {
        let asked = pending.iter().map(|&t| (t, link.members(t, &champions)));
        let cohorts = batch::cohorts(input, link.retreat(), asked)?;
        let served = lanes::serve_all(input, long, &cohorts, &mut output.faults)?;
        for (cohort, answers) in cohorts.iter().zip(served) {
            let source = Arc::new(Source {
                served: cohort.served(),
                config: cohort.config,
            });
            for (state, mut forecast) in answers {
                tracking.correct(cohort.config, &mut forecast);
                if input.reuse.is_some() {
                    let events = events.digest(&state.key.api, forecast.grid);
                    output
                        .made
                        .extend(Earlier::of(&forecast, source.clone(), &state, events));
                }
                forecast.truncate(grid.count);
                tracking.promise(cohort.config, &forecast)?;
                output
                    .fits
                    .push((state.key.clone(), state.module, state.fitted_at));
                output.configs.push(cohort.member.config.clone());
                output.forecasts.insert(state.key.clone(), forecast);
                output.updates.push(state);
            }
        }
        pending.retain(|t| !output.forecasts.contains_key(&t.key));
    }
    output.unserved = pending.iter().map(|t| t.key.clone()).collect();
    shadow(input, grid, &all, &mut tracking, &mut output)?;
    output.tracks = tracking.into_changed();
    Ok(output)
}

/// Takes what still holds of forecasts of before; gives the targets for which nothing does.
fn reuse<'a>(
    input: &Input<'_>,
    grid: Grid,
    events: &Events<'_>,
    targets: Vec<&'a Target>,
    champions: &Champions,
    output: &mut Output,
) -> Result<Vec<&'a Target>, Error> {
    let Some(Reuse { held, cadence }) = input.reuse else {
        return Ok(targets);
    };
    let mut due = vec![];
    let configs = Configs::default();
    for target in targets {
        let key = &target.key;
        let kept = held
            .get(key)
            .and_then(|kept| Some((kept, asked(input, target, champions, &configs)?)));
        let Some((kept, (member, asked))) = kept else {
            due.push(target);
            continue;
        };
        let newest = input.history.newest(key).unwrap_or(grid.start);
        let standing = kept.standing(&held::Standing {
            grid,
            end: newest.min(input.now).floor(input.step),
            cadence,
            asked,
            events: &|grid| events.digest(&key.api, grid),
            history: input.history,
        })?;
        match standing {
            Some(forecast) => {
                output.fits.push((key.clone(), asked.0, kept.fitted_at()));
                output.configs.push(member.config.clone());
                output.forecasts.insert(key.clone(), forecast);
            }
            None => due.push(target),
        }
    }
    Ok(due)
}

/// A module, the digest of its config, and the state that it has of a series; the baseline has none.
type Asked<'a> = (Digest, Digest, Option<&'a SeriesState>);

/// Who would be asked for a series first, with which config and state.
fn asked<'a, 't>(
    input: &Input<'a>,
    target: &'t Target,
    champions: &Champions,
    configs: &Configs,
) -> Option<(&'t Member<dyn Forecaster>, Asked<'a>)> {
    let won = champions.get(&target.key);
    let mut rivals = target.roster.challengers.iter();
    let champion = rivals.find(|m| Some(&m.module.digest) == won);
    let of = |retreat: Retreat| {
        let members = target.roster.members.iter();
        members.filter(move |m| m.retreat == retreat)
    };
    let members = champion
        .into_iter()
        .chain(of(Retreat::Active))
        .chain(of(Retreat::LastGood));
    for member in members {
        let (module, config) = (member.module.digest, configs.of(member, input.step));
        let state = input.bank.get(&target.key, module, config);
        if let Some(state) = state.filter(|s| s.seen <= input.now) {
            return Some((member, (module, config, Some(state))));
        }
    }
    let baseline = of(Retreat::Baseline).next()?;
    let config = configs.of(baseline, input.step);
    Some((baseline, (baseline.module.digest, config, None)))
}

/// Whom a series has chosen in place of the bound module.
type Champions = BTreeMap<SeriesKey, Digest>;

fn choose(
    input: &Input<'_>,
    tracking: &mut Tracking<'_>,
    targets: &[&Target],
    output: &mut Output,
) -> Champions {
    let mut champions = Champions::new();
    for target in targets {
        let Some(choice) = tracking.choose(target) else {
            continue;
        };
        champions.insert(target.key.clone(), choice.champion);
        if input.choices.get(&target.key) != Some(&choice) {
            output.choices.push((target.key.clone(), choice));
        }
    }
    champions
}

/// Who is asked next.
#[derive(Clone, Copy)]
enum Link {
    /// The challenger that has won the series.
    Champion,
    /// The chain of retreat.
    Chain(Retreat),
}

impl Link {
    fn retreat(self) -> Retreat {
        match self {
            Link::Champion => Retreat::Active,
            Link::Chain(retreat) => retreat,
        }
    }

    fn members<'a>(
        self,
        target: &'a Target,
        champions: &Champions,
    ) -> Vec<&'a Member<dyn Forecaster>> {
        match self {
            Link::Champion => {
                let won = champions.get(&target.key);
                let mut rivals = target.roster.challengers.iter();
                rivals
                    .find(|m| Some(&m.module.digest) == won)
                    .into_iter()
                    .collect()
            }
            Link::Chain(retreat) => {
                let members = target.roster.members.iter();
                members.filter(|m| m.retreat == retreat).collect()
            }
        }
    }
}

/// Asks those who did not answer, where it is their turn to be scored. Nothing that they do changes
/// what goes out.
fn shadow(
    input: &Input<'_>,
    grid: Grid,
    targets: &[&Target],
    tracking: &mut Tracking<'_>,
    output: &mut Output,
) -> Result<(), Error> {
    let due: Vec<&Target> = targets
        .iter()
        .copied()
        .filter(|t| !t.roster.challengers.is_empty() && tracking.looks(&t.key))
        .collect();
    let answered = |target: &Target| {
        let forecast = output.forecasts.get(&target.key);
        forecast.map(|f| f.served.module.digest)
    };
    let mut asked = vec![];
    for target in due {
        let served = answered(target);
        let candidates = tracking::bound(target)
            .into_iter()
            .chain(&*target.roster.challengers);
        for member in candidates.filter(|m| Some(m.module.digest) != served) {
            asked.push((target, vec![member]));
        }
    }
    let cohorts = batch::cohorts(input, Retreat::Active, asked)?;
    let served = lanes::serve_all(input, grid, &cohorts, &mut output.shadow_faults)?;
    for (cohort, answers) in cohorts.iter().zip(served) {
        for (state, mut forecast) in answers {
            tracking.correct(cohort.config, &mut forecast);
            tracking.promise(cohort.config, &forecast)?;
            output.updates.push(state);
        }
    }
    Ok(())
}

/// Moves one cohort on and asks it; what it cannot serve stays open for the next link.
fn serve(
    input: &Input<'_>,
    grid: Grid,
    cohort: &Cohort<'_>,
    faults: &mut Vec<Fault>,
) -> Result<Vec<(SeriesState, Forecast)>, Error> {
    let member = cohort.member;
    let subject = || {
        cohort
            .rows
            .iter()
            .map(|r| series_name(&r.state.key))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let answers = match batch::serve(input, grid, cohort)? {
        Ok(answers) => answers,
        Err(error) => {
            faults.push(member.fault(error, subject()));
            return Ok(vec![]);
        }
    };
    let mut served = vec![];
    for answer in answers {
        match answer {
            Ok(one) => served.push(one),
            Err((key, error)) => push_series_fault(faults, member, &key, error),
        }
    }
    Ok(served)
}

fn push_series_fault(
    faults: &mut Vec<Fault>,
    member: &Member<dyn Forecaster>,
    key: &SeriesKey,
    error: PolicyError,
) {
    if !matches!(error, PolicyError::InsufficientData { .. }) {
        faults.push(member.fault(CallError::Policy(error), series_name(key)));
    }
}

/// `shop/orders requests`.
#[must_use]
pub fn series_name(key: &SeriesKey) -> String {
    format!("{} {}", key.api, key.signal.name())
}

#[cfg(test)]
mod tests;
