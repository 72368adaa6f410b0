//! The same comparison over stored history, before a shadow begins.
//!
//! A candidate that would have been worse last week need not be watched this week to be found out. So the
//! room is walked over the past: a pool's records, one after the other, each with the time of its cycle;
//! or, of forecasters, whose forecasts no record keeps, both of them fitted and asked as they would have
//! been. Prices, blocks and scales are those of a shadow, so that the figures mean the same; only nobody
//! judges: what is asked is whether the mean is worse by more than the gate allows.
//!
//! Everything is read as of then: samples that came later than the cycle are not looked at, though those
//! that were late by then are. The calendar is today's. Rejected: to drive a whole simulated world by the
//! candidate (`tidegate backtest` does, and takes minutes a policy): a gate that is asked at each push must
//! be cheap, and what it lets pass is in shadow afterwards.

use super::evidence::Question;
use super::{Input, Scene, Silent, Trial, block_ms, run};
use crate::cycle::Left;
use crate::forecast::{self, Bank, FitInput, Target, Tracks};
use std::collections::BTreeMap;
use tidegate_core::forecast::Forecast;
use tidegate_core::ids::{PoolId, TenantId};
use tidegate_core::life::Gate;
use tidegate_core::policy::Forecaster;
use tidegate_core::ports::storage::StoreError;
use tidegate_core::record::{Record, TierRecord};
use tidegate_core::roster::{Member, Roster};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;
use tidegate_core::units::Level;

/// Pairs without which a mean says nothing.
pub const LEAST: u64 = 48;

/// Milliseconds between two fits.
const REFIT_MS: i64 = 86_400_000;

/// Series of one fit.
const BATCH: usize = 16;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// Pairs of the question that was answered worst.
    pub pairs: u64,
    /// Their mean, as a part of the incumbent's loss.
    pub mean: f64,
}

impl Figures {
    fn of(trial: &Trial) -> Self {
        let asked = trial.questions.iter().filter(|q| q.seen > 0);
        let loss = |q: &Question| q.mean() * q.unit();
        let worst = asked.max_by(|a, b| loss(a).total_cmp(&loss(b)));
        worst.map_or_else(Self::default, |q| Self {
            pairs: q.seen,
            mean: loss(q),
        })
    }

    /// Both together, by their pairs.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let pairs = self.pairs + other.pairs;
        let sum = self.mean * self.pairs as f64 + other.mean * other.pairs as f64;
        Self {
            pairs,
            mean: sum / pairs.max(1) as f64,
        }
    }

    /// Whether it is worse by more than this part of the incumbent's loss, as far as can be said.
    #[must_use]
    pub fn exceeds(self, worse_by: f64) -> bool {
        self.pairs >= LEAST && self.mean > worse_by
    }
}

/// Walks a pool's records, oldest first. `input` has no scenes and a trial without any pair; `mine` says
/// of which tenants the binding chooses tiers.
///
/// # Errors
/// When stored data cannot be read.
pub fn records(
    input: &Input<'_>,
    pool: &PoolId,
    all: impl Iterator<Item = Result<Record, StoreError>>,
    mine: impl Fn(&TenantId) -> bool,
) -> Result<Figures, StoreError> {
    let mut trial = input.trial.clone();
    for record in all {
        let record = Left::from(record?);
        let tiers: Vec<&TierRecord> = record.tiers.iter().filter(|t| mine(&t.tenant)).collect();
        let scene = Scene {
            pool,
            record: &record,
            tiers: &tiers,
            forecasts: &[],
            bank: &Bank::default(),
            tracks: &Tracks::default(),
        };
        trial = step(input, &trial, record.at, &[scene])?;
    }
    Ok(Figures::of(&trial))
}

fn step(
    input: &Input<'_>,
    trial: &Trial,
    now: Timestamp,
    scenes: &[Scene<'_>],
) -> Result<Trial, StoreError> {
    let nobody = Roster::of(vec![]);
    let output = run(&Input {
        now,
        trial,
        scenes,
        gate: &Gate::default(),
        judge: &nobody,
        ..*input
    })?;
    Ok(output.trial)
}

/// Two forecasters, and what they are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Forecasters<'a> {
    /// The version on trial.
    pub candidate: &'a Member<dyn Forecaster>,
    /// The version beside it.
    pub incumbent: &'a Member<dyn Forecaster>,
    /// Series of the binding, at most [`super::forecasters::SERIES`].
    pub keys: &'a [SeriesKey],
    /// Steps of history that a fit sees at most.
    pub window: usize,
    /// What any cycle of a pool has left: it is not looked at.
    pub record: &'a Left,
}

/// Forecasts a stretch of the past with both, once a block, until it ends or `stops` says so.
///
/// # Errors
/// When stored data cannot be read.
pub fn forecasts(
    input: &Input<'_>,
    of: &Forecasters<'_>,
    (from, to): (Timestamp, Timestamp),
    stops: impl Fn() -> bool,
) -> Result<Figures, StoreError> {
    let (mut served, mut silent) = (Side::default(), Side::default());
    let targets: Vec<Target> = of
        .keys
        .iter()
        .map(|key| Target {
            key: key.clone(),
            roster: Roster::of(vec![of.incumbent.clone()]),
        })
        .collect();
    let mut trial = input.trial.clone();
    let pool = &of.record.plan.pool;
    let (mut now, mut fitted) = (trial.block(from), None);
    while now <= to && !stops() {
        if fitted.is_none_or(|at| now.since_ms(at) >= REFIT_MS) {
            served.fit(input, of, of.incumbent, now)?;
            silent.fit(input, of, of.candidate, now)?;
            fitted = Some(now);
        }
        let said = forecast::run(&forecast::Input {
            now,
            seed: input.seed,
            step: input.step,
            steps: super::forecasters::far(input.step, input.horizon),
            levels: &Level::STANDARD,
            targets: &targets,
            bank: &served.bank,
            tracks: &served.tracks,
            choices: &BTreeMap::new(),
            lanes: 1,
            reuse: None,
            history: input.history,
            catalog: input.catalog,
        })?;
        said.updates.into_iter().for_each(|s| served.bank.put(s));
        said.tracks.into_iter().for_each(|t| served.tracks.put(t));
        let forecasts: Vec<&Forecast> = said.forecasts.values().collect();
        let scene = Scene {
            pool,
            record: of.record,
            tiers: &[],
            forecasts: &forecasts,
            bank: &silent.bank,
            tracks: &silent.tracks,
        };
        let nobody = Roster::of(vec![]);
        let output = run(&Input {
            now,
            trial: &trial,
            scenes: &[scene],
            silent: Silent::Forecaster(of.candidate),
            gate: &Gate::default(),
            judge: &nobody,
            ..*input
        })?;
        output.states.into_iter().for_each(|s| silent.bank.put(s));
        trial = output.trial;
        now = now.plus_ms(block_ms(input.step));
    }
    Ok(Figures::of(&trial))
}

/// What one of the two knows.
#[derive(Debug, Default)]
struct Side {
    bank: Bank,
    tracks: Tracks,
}

impl Side {
    fn fit(
        &mut self,
        input: &Input<'_>,
        of: &Forecasters<'_>,
        member: &Member<dyn Forecaster>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut keys = of.keys;
        while let Some(first) = keys.first() {
            // A call carries series of one tenant.
            let same = keys
                .iter()
                .take(BATCH)
                .take_while(|k| k.api.tenant == first.api.tenant)
                .count();
            let (batch, rest) = keys.split_at(same);
            keys = rest;
            let fitted = forecast::fit(&FitInput {
                now,
                seed: input.seed,
                step: input.step,
                window: of.window,
                keys: batch,
                member,
                base: &[],
                reach: input.horizon,
                history: input.history,
                catalog: input.catalog,
            })?;
            fitted.states.into_iter().for_each(|s| self.bank.put(s));
        }
        Ok(())
    }
}
