//! Two forecasts of one series, priced by what came.
//!
//! Once a block the silent one is asked for the series of the binding, and of both forecasts two steps are
//! remembered: the next one (`near`), which says how well a module follows, and the one that ends an hour
//! ahead, or at the end of the horizon (`far`), which is what capacity is bought by. When a step has passed, each loses the pinball loss (Koenker & Bassett 1978), mean over
//! [`Level::STANDARD`]: the loss of [`crate::forecast::score`]. Both are priced as they go out, corrected
//! by what each promised before ([`crate::forecast::calibrate`]), so that a candidate is not beaten by
//! what its incumbent has learned of itself alone; it gathers tracks of its own, which it takes along when
//! it is promoted.
//!
//! It is asked as a challenger is, through [`crate::forecast::run`], but outside of the cycle and of every
//! choice: a shadow is never made the champion of a series. Where a challenger answers for a series, or a
//! member further back, the two on trial are not compared there.
//!
//! At most [`SERIES`] series of a pool are asked, the first by a hash that stays, so that a trial costs the
//! same in a large world.

use super::evidence::Name;
use super::trial::Waiting as Kind;
use super::{Input, Output, Scene};
use crate::demand::codec::{Reader, Writer};
use crate::forecast::{self, Target, Tracks, calibrate, fitted_with, series_name};
use std::collections::BTreeMap;
use tidegate_core::forecast::{Forecast, SCORED, Track};
use tidegate_core::ids::Digest;
use tidegate_core::policy::Forecaster;
use tidegate_core::ports::storage::StoreError;
use tidegate_core::roster::{Member, Retreat, Roster};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Level;

/// Series of one pool that are asked at most.
pub const SERIES: usize = 256;

/// How far ahead the further of the two promises ends, in seconds.
const FAR_S: u32 = 3_600;

/// How long an outcome is waited for, in milliseconds.
const PATIENCE_MS: i64 = 6 * 3_600_000;

/// Part of the running mean of what came below which no incumbent's loss is believed: a forecast of a
/// constant is right by luck.
const LEAST: f64 = 0.002;

/// Steps ahead of the further promise; 1 where there is only one.
#[must_use]
pub fn far(step: Step, horizon: u32) -> u32 {
    (FAR_S / step.secs()).clamp(1, horizon.max(1))
}

/// What both said of one step.
#[derive(Debug, Clone, PartialEq)]
struct Promise {
    key: SeriesKey,
    name: Name,
    /// Start of the block in which it was made.
    block: Timestamp,
    /// Start of the step that it is about.
    target: Timestamp,
    silent: [f64; SCORED],
    serving: [f64; SCORED],
}

/// What waits for its outcome.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Promises {
    waiting: Vec<Promise>,
    /// Newest block in which a series was asked for.
    asked: BTreeMap<SeriesKey, Timestamp>,
    /// What came of a series lately.
    level: BTreeMap<SeriesKey, f64>,
    /// Of the silent one.
    tracks: BTreeMap<SeriesKey, Track>,
}

/// Prices what has passed, and asks.
pub(super) fn follow(
    input: &Input<'_>,
    member: &Member<dyn Forecaster>,
    output: &mut Output,
) -> Result<(), StoreError> {
    settle(input, output)?;
    for scene in input.scenes {
        ask(input, scene, member, output)?;
    }
    Ok(())
}

fn settle(input: &Input<'_>, output: &mut Output) -> Result<(), StoreError> {
    let Kind::Promises(promises) = &mut output.trial.waiting else {
        return Ok(());
    };
    let mut come = vec![];
    let mut waiting = vec![];
    for promise in std::mem::take(&mut promises.waiting) {
        let end = promise.target.plus_steps(input.step, 1);
        let newest = input.history.newest(&promise.key);
        if newest.is_some_and(|newest| newest.min(input.now) >= end) {
            come.push(promise);
        } else if input.now.since_ms(end) < PATIENCE_MS {
            waiting.push(promise);
        }
    }
    promises.waiting = waiting;
    for promise in come {
        let grid = Grid {
            start: promise.target,
            step: input.step,
            count: 1,
        };
        let column = input.history.column(&promise.key, grid)?;
        let Some(came) = column.values.first().copied().filter(|v| v.is_finite()) else {
            continue;
        };
        let Kind::Promises(promises) = &mut output.trial.waiting else {
            return Ok(());
        };
        let level = promises.level.entry(promise.key.clone()).or_insert(came);
        *level += 0.05 * (came - *level);
        let floor = LEAST * level.abs();
        let losses = (
            pinball(came, &promise.silent),
            pinball(came, &promise.serving),
        );
        let subject = series_name(&promise.key);
        output
            .trial
            .compare(promise.name, &subject, promise.block, losses, floor);
    }
    Ok(())
}

/// Mean pinball loss over the tracked levels.
fn pinball(came: f64, quantiles: &[f64; SCORED]) -> f64 {
    let loss = |(level, quantile): (&Level, &f64)| {
        let p = level.probability();
        (p * (came - quantile)).max((p - 1.0) * (came - quantile))
    };
    Level::STANDARD.iter().zip(quantiles).map(loss).sum::<f64>() / SCORED as f64
}

fn ask(
    input: &Input<'_>,
    scene: &Scene<'_>,
    member: &Member<dyn Forecaster>,
    output: &mut Output,
) -> Result<(), StoreError> {
    let start = input.now.floor(input.step);
    let block = output.trial.block(start);
    let serving = output.trial.about.serving().module.digest;
    let config = fitted_with(&member.config, input.step);
    let knows = |key: &SeriesKey| {
        let state = scene.bank.get(key, member.module.digest, config);
        state.is_some_and(|s| s.seen <= input.now)
    };
    let Kind::Promises(promises) = &mut output.trial.waiting else {
        return Ok(());
    };
    let mut due: Vec<&Forecast> = vec![];
    let mut missed = false;
    let mut sampled: Vec<&Forecast> = scene.forecasts.to_vec();
    sample(&mut sampled);
    for forecast in sampled {
        let last = promises.asked.get(&forecast.key);
        if last.is_some_and(|last| *last >= block) || !knows(&forecast.key) {
            continue;
        }
        promises.asked.insert(forecast.key.clone(), block);
        let served = &forecast.served;
        if served.module.digest == serving && served.retreat == Retreat::Active {
            due.push(forecast);
        } else {
            missed |= served.retreat != Retreat::Active;
        }
    }
    if due.is_empty() {
        if missed {
            for name in [Name::Near, Name::Far] {
                output.trial.missed(name, block);
            }
        }
        return Ok(());
    }
    let tracks = tracks(promises, &due, scene, (member.module.digest, config));
    let targets: Vec<Target> = due
        .iter()
        .map(|forecast| Target {
            key: forecast.key.clone(),
            roster: Roster::of(vec![Member {
                retreat: Retreat::Active,
                ..member.clone()
            }]),
        })
        .collect();
    let far = far(input.step, input.horizon);
    let answered = forecast::run(&forecast::Input {
        now: input.now,
        seed: input.seed,
        step: input.step,
        steps: far,
        levels: &Level::STANDARD,
        targets: &targets,
        bank: scene.bank,
        tracks: &tracks,
        choices: &BTreeMap::new(),
        lanes: 1,
        reuse: None,
        history: input.history,
        catalog: input.catalog,
    })?;
    for track in &answered.tracks {
        promises.tracks.insert(track.key.clone(), track.clone());
    }
    let mut failed = 0_usize;
    for forecast in due {
        let Some(silent) = answered.forecasts.get(&forecast.key) else {
            if !answered.faults.is_empty() {
                failed += 1;
            }
            continue;
        };
        let mut names = vec![(Name::Near, 1)];
        names.extend((far > 1).then_some((Name::Far, far)));
        for (name, lead) in names {
            let target = start.plus_steps(input.step, i64::from(lead) - 1);
            if let Some((silent, serving)) = row(silent, target).zip(row(forecast, target)) {
                promises.waiting.push(Promise {
                    key: forecast.key.clone(),
                    name,
                    block,
                    target,
                    silent,
                    serving,
                });
            }
        }
    }
    for _ in 0..failed {
        output.trial.failed(Name::Near, block);
        output.trial.failed(Name::Far, block);
    }
    output.states.extend(answered.updates);
    output.tracks.extend(answered.tracks);
    output.faults.extend(answered.faults);
    Ok(())
}

/// Keeps the first [`SERIES`] by a hash that stays.
pub fn sample(forecasts: &mut Vec<&Forecast>) {
    if forecasts.len() > SERIES {
        forecasts.sort_by_cached_key(|f| calibrate::salt(&f.key));
        forecasts.truncate(SERIES);
    }
}

/// The tracks of the silent one on these series: its own, or what the pool had kept of it.
fn tracks(
    promises: &Promises,
    due: &[&Forecast],
    scene: &Scene<'_>,
    fit: (Digest, Digest),
) -> Tracks {
    let mut tracks = Tracks::default();
    for forecast in due {
        let key = &forecast.key;
        let kept = || scene.tracks.get(key, fit.0, fit.1);
        if let Some(track) = promises.tracks.get(key).or_else(kept) {
            tracks.put(track.clone());
        }
    }
    tracks
}

/// A forecast's tracked levels at a step.
fn row(forecast: &Forecast, target: Timestamp) -> Option<[f64; SCORED]> {
    let step = forecast.grid.index_of(target)?;
    Some(std::array::from_fn(|i| {
        forecast.quantile(step, Level::STANDARD[i])
    }))
}

impl Promises {
    /// The tracks of the silent one.
    pub(super) fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.tracks.values()
    }

    /// Promises begin anew after a restart, as what came lately does.
    pub(super) fn write(&self, to: &mut Writer) {
        to.count(0);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.number().map(|_| Self::default())
    }
}
