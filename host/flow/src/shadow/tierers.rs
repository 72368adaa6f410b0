//! Two choices of tiers, priced by the load that came.
//!
//! A tier buys the quantile of demand that it is met up to. So a tier that is wanted at an instant is a
//! promise to be met in the step that begins up to the load that is predicted at that quantile, and its
//! price is the pinball loss of that promise and of the load that came, in units that idle:
//!
//! ```text
//! loss = p / (1 - p) max(0, came - bought) + max(0, bought - came)
//! ```
//!
//! `p` is the quantile of the tier that the owner wants in quiet times: who declared Silver said by it
//! that a unit short costs nine times a unit too many, and who declared Gold, ninety-nine times. While its
//! budget burns, an api's `p` is that of the highest tier that it may have, since that is what tiers above
//! the declared one are for: a tierer that does not raise who burns loses by it, and so does one that raises
//! whom nothing ails. The losses of a tenant's apis are added up over the loads that came. A unit that idles
//! costs the same whoever has it: in pinball's own unit, where one beside Bronze costs fifty times one beside
//! Gold, a tierer that demotes everybody would pay for what it takes from Gold by what it saves at the others.
//!
//! The step that begins, because its quantiles are held to what they promise, and those of the highest load
//! of an hour are not; and because hours overlap, so that evidence would take weeks. Only where no forecast
//! is at hand, in records of the past, both are held to the highest load of the horizon.
//!
//! Rejected: to look whether objectives held. Under the tier that was in force they did or did not; under
//! the other nobody knows, and an idle candidate would live on what its incumbent prevents.
//!
//! Wanted tiers are compared and not applied ones: dwell times and pins are the host's, and the same for
//! both. The apis of a tenant that are priced are the first [`PRICED`] by key.

use super::evidence::{Name, read_kept, write_kept};
use super::trial::Waiting as Kind;
use super::{Input, Output, Scene, counts};
use crate::demand::codec::{Reader, Writer};
use std::collections::BTreeMap;
use tidegate_core::canonical;
use tidegate_core::forecast::Forecast;
use tidegate_core::ids::{ApiId, PoolId, TenantId};
use tidegate_core::policy::{CallError, Kept, TierInput, TierOutput, Tierer};
use tidegate_core::ports::storage::StoreError;
use tidegate_core::record::TierRecord;
use tidegate_core::roster::Member;
use tidegate_core::sample::SeriesKey;
use tidegate_core::tier::Tier;
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::Signal;

/// Apis of one tenant in one pool that are priced at most.
pub const PRICED: usize = 256;

/// Least unit of a difference, in parts of the load.
const FLOOR: f64 = 0.01;

/// Index of 30 minutes among the burn windows.
const BURNING: usize = 1;

/// One api's two promises.
#[derive(Debug, Clone, PartialEq)]
struct Bet {
    api: ApiId,
    silent: f64,
    serving: f64,
    base: Tier,
    highest: Tier,
}

/// What was wanted at an instant.
#[derive(Debug, Clone, PartialEq)]
struct Round {
    start: Timestamp,
    /// Steps over whose highest load they bet.
    steps: usize,
    bets: Vec<Bet>,
}

/// One tenant's apis in one pool.
#[derive(Debug, Clone, PartialEq, Default)]
struct Seat {
    kept: Kept,
    /// Block of the newest round.
    block: Option<Timestamp>,
    waiting: Vec<Round>,
}

/// What is known by pool and tenant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tenants(BTreeMap<(PoolId, TenantId), Seat>);

/// Prices what has passed, and asks.
pub(super) fn follow(
    input: &Input<'_>,
    silent: &Member<dyn Tierer>,
    serving: &Member<dyn Tierer>,
    output: &mut Output,
) -> Result<(), StoreError> {
    for scene in input.scenes.iter().filter(|s| s.record.amends.is_none()) {
        for record in scene.tiers {
            let key = (scene.pool.clone(), record.tenant.clone());
            let Kind::Tenants(all) = &mut output.trial.waiting else {
                return Ok(());
            };
            let mut seat = all.0.remove(&key).unwrap_or_default();
            let done = settle(input, record, &key, &mut seat, output);
            ask(input, scene, record, (silent, serving), &mut seat, output);
            if let Kind::Tenants(all) = &mut output.trial.waiting {
                all.0.insert(key, seat);
            }
            done?;
        }
    }
    if let Kind::Tenants(all) = &mut output.trial.waiting {
        let catalog = input.catalog;
        all.0.retain(|(pool, tenant), _| {
            catalog.pools.contains_key(pool) && catalog.tenants.contains_key(tenant)
        });
    }
    Ok(())
}

fn settle(
    input: &Input<'_>,
    record: &TierRecord,
    (pool, tenant): &(PoolId, TenantId),
    seat: &mut Seat,
    output: &mut Output,
) -> Result<(), StoreError> {
    let grid = |round: &Round| Grid {
        start: round.start,
        step: input.step,
        count: round.steps,
    };
    let is_over = |round: &Round| input.now.since_ms(grid(round).end()) >= super::LATE_MS;
    let (come, waiting) = std::mem::take(&mut seat.waiting)
        .into_iter()
        .partition(|round: &Round| is_over(round));
    seat.waiting = waiting;
    for round in come {
        let burning = burning(&record.input);
        let (mut silent, mut serving, mut load) = (0.0, 0.0, 0.0);
        for bet in &round.bets {
            let key = SeriesKey {
                api: bet.api.clone(),
                signal: Signal::Requests,
            };
            let column = input.history.column(&key, grid(&round))?;
            let sound = column.values.iter().copied().filter(|v| v.is_finite());
            let Some(came) = sound.reduce(f64::max) else {
                continue;
            };
            let burns = burning.get(&canonical::api_key(&bet.api)).copied();
            let tier = if burns == Some(true) {
                bet.highest
            } else {
                bet.base
            };
            let p = input.catalog.tier(tier).demand_level.probability();
            let short = p / (1.0 - p);
            let loss = |bought: f64| (short * (came - bought)).max(bought - came);
            silent += loss(bet.silent);
            serving += loss(bet.serving);
            load += came;
        }
        if load > 0.0 {
            let block = match round.steps {
                1 => round.start,
                // Known so late that the block of its start is closed.
                _ => grid(&round).end(),
            };
            let block = output.trial.block(block);
            let subject = format!("{pool} {tenant}");
            let losses = (silent / load, serving / load);
            output
                .trial
                .compare(Name::Tiers, &subject, block, losses, FLOOR);
        }
    }
    Ok(())
}

/// Whose budgets burn faster than they may, by key.
fn burning(question: &TierInput) -> BTreeMap<u64, bool> {
    let windows = question.burn_windows.len();
    let rows = question.burn.chunks(windows.max(1));
    let burns = rows.map(|row| row.get(BURNING).is_some_and(|burn| *burn >= 1.0));
    question.apis.iter().copied().zip(burns).collect()
}

fn ask(
    input: &Input<'_>,
    scene: &Scene<'_>,
    record: &TierRecord,
    (silent, serving): (&Member<dyn Tierer>, &Member<dyn Tierer>),
    seat: &mut Seat,
    output: &mut Output,
) {
    let start = scene.record.plan.grid.start;
    let block = output.trial.block(start);
    let asked = TierInput {
        state: seat
            .kept
            .for_module(&silent.module, |blob| silent.policy.migrate(blob)),
        ..record.input.clone()
    };
    let subject = || format!("tiers of {}", record.tenant);
    let answer = match call(silent, &asked) {
        Ok(answer) => answer,
        Err(error) => {
            if counts(&error) {
                output.trial.failed(Name::Tiers, block);
                output.faults.push(silent.fault(error, subject()));
            }
            return;
        }
    };
    seat.kept = Kept::of(silent.module.clone(), answer.state);
    // Every cycle moves the states; a bet is taken once a block.
    if seat.block.is_some_and(|last| last >= block) {
        return;
    }
    seat.block = Some(block);
    let about = output.trial.about.serving();
    if record.served.module != about.module || record.config != about.config {
        return output.trial.missed(Name::Tiers, block);
    }
    // What it said when its answer counted.
    let Ok(counted) = call(serving, &record.input) else {
        return;
    };
    let question = &record.input;
    let keys: BTreeMap<u64, &ApiId> = scene
        .record
        .plan
        .apis
        .iter()
        .map(|a| (canonical::api_key(&a.api), &a.api))
        .collect();
    let width = question.levels.len();
    let loads = scene.forecasts.iter();
    let loads = loads.filter(|f| f.key.signal == Signal::Requests);
    let loads: BTreeMap<&ApiId, &Forecast> = loads.map(|f| (&f.key.api, *f)).collect();
    let bought = |i: usize, api: &ApiId, tier: Tier| {
        let level = input.catalog.tier(tier).demand_level;
        if !loads.is_empty() {
            let forecast = loads.get(api)?;
            let step = forecast.grid.index_of(start)?;
            return Some(forecast.quantile(step, level));
        }
        let place = question.levels.iter().position(|l| *l >= level);
        let place = place.unwrap_or(width.saturating_sub(1));
        question.peak.get(i * width + place).copied()
    };
    let rows = question.apis.iter().enumerate().take(PRICED);
    let bets = rows.filter_map(|(i, key)| {
        let api = *keys.get(key)?;
        Some(Bet {
            api: api.clone(),
            silent: bought(i, api, *answer.wanted.get(i)?)?,
            serving: bought(i, api, *counted.wanted.get(i)?)?,
            base: *question.base.get(i)?,
            highest: *question.highest.get(i)?,
        })
    });
    let bets: Vec<Bet> = bets.collect();
    let steps = match loads.is_empty() {
        true => input.horizon.max(1) as usize,
        false => 1,
    };
    seat.waiting.push(Round { start, steps, bets });
}

fn call(member: &Member<dyn Tierer>, asked: &TierInput) -> Result<TierOutput, CallError> {
    let answer = member.policy.decide(&member.config, asked)?;
    let checked = crate::tier::check(&answer, asked.apis.len());
    checked.map(|()| answer).map_err(CallError::Refused)
}

impl Tenants {
    /// What each seat's silent one keeps; rounds that wait begin anew after a restart.
    pub(super) fn write(&self, to: &mut Writer) {
        to.count(self.0.len());
        for ((pool, tenant), seat) in &self.0 {
            to.text(pool.as_str());
            to.text(tenant.as_str());
            write_kept(&seat.kept, to);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut all = BTreeMap::new();
        for _ in 0..from.count(20)? {
            let key = (from.text()?.parse().ok()?, from.text()?.parse().ok()?);
            let seat = Seat {
                kept: read_kept(from)?,
                ..Seat::default()
            };
            all.insert(key, seat);
        }
        Some(Self(all))
    }
}
