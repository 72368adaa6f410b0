//! What is due to be fitted, and why: read from the world at every look, never remembered.

use super::queue::{Part, Reason};
use crate::trials::OnTrial;
use crate::world::{World, lock};
use tidegate_core::catalog::{Api, Catalog};
use tidegate_core::ids::Digest;
use tidegate_core::policy::Forecaster;
use tidegate_core::ports::storage::History;
use tidegate_core::roster::{Member, Retreat};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;
use tidegate_core::units::{Dimension, Signal};
use tidegate_flow::cycle::{Pins as _, PoolState};
use tidegate_flow::forecast::fitted_with;

/// One series to be fitted by one module.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) key: SeriesKey,
    pub(super) member: Member<dyn Forecaster>,
    pub(super) part: Part,
    pub(super) reason: Reason,
    /// When it was fitted last.
    fitted_at: Timestamp,
}

/// What names a fit: series, module, config and step.
pub(super) type Slot = (SeriesKey, Digest, Digest);

/// Everything that is due at `now`.
pub(super) fn due(world: &World, now: Timestamp) -> Vec<Due> {
    let catalog = world.catalog.load_full();
    let pins = world.policies.pin();
    let silent = OnTrial::forecasters(world);
    let all = wanted(world, &catalog, |api, signal| {
        let roster = pins.forecaster(api, signal);
        let mut members = roster.members.iter();
        let serving = members.find(|m| m.retreat == Retreat::Active);
        let on_trial = pins.binding_of(api).and_then(|id| silent.get(&id));
        let beside = roster.challengers.iter().chain(on_trial);
        let all = serving.map(|m| (Part::Serving, m));
        all.into_iter()
            .chain(beside.map(|m| (Part::Challenger, m)))
            .map(|(part, m)| (part, m.clone()))
            .collect()
    });
    let judge = |(key, part, member): Wanted| {
        let pool = world.pool(&catalog.apis.get(&key.api)?.value.pool);
        let pool = lock(&pool);
        let fit = (
            member.module.digest,
            fitted_with(&member.config, world.settings.step),
        );
        let (reason, fitted_at) = reason(&pool, &key, fit, now, world.refit_ms)?;
        // A challenger that a series has made its champion serves it.
        let champion = pool.choices.get(&key).map(|c| c.champion);
        let part = if champion == Some(fit.0) {
            Part::Serving
        } else {
            part
        };
        Some(Due {
            key,
            member,
            part,
            reason,
            fitted_at,
        })
    };
    all.into_iter().filter_map(judge).collect()
}

/// Why a series is due, and when it was fitted last; `None`: it is not. One that was fitted on a
/// composed past is due again when it has as much once more as it had of its own.
fn reason(
    pool: &PoolState,
    key: &SeriesKey,
    (module, config): (Digest, Digest),
    now: Timestamp,
    refit_ms: i64,
) -> Option<(Reason, Timestamp)> {
    let never = Timestamp(i64::MIN);
    let Some(state) = pool.bank.get(key, module, config) else {
        let reason = if pool.bank.knows(&(key.clone(), module)) {
            Reason::Config
        } else if pool.bank.has(key) {
            Reason::Module
        } else {
            Reason::New
        };
        return Some((reason, never));
    };
    let age = now.since_ms(state.fitted_at);
    let refit_ms = state.prior.as_ref().map_or(refit_ms, |prior| {
        (i64::from(prior.own_s) * 1000).clamp(refit_ms / 10, refit_ms)
    });
    let shifted = || pool.drifts.shifted(key, module, state.fitted_at);
    if !(0..refit_ms).contains(&age) {
        Some((Reason::Stale, state.fitted_at))
    } else if age >= refit_ms / 10 && shifted().is_some() {
        Some((Reason::Drift, state.fitted_at))
    } else {
        None
    }
}

/// Puts those first that have waited longest, so that under a budget that is too small everyone is
/// fitted more seldom and nobody never; of about the same age, those of one module side by side, so
/// that batches fill.
pub(super) fn sort(due: &mut [Due], refit_ms: i64) {
    let age = |due: &Due| due.fitted_at.0.div_euclid((refit_ms / 8).max(1));
    due.sort_by(|a, b| {
        let of = |d: &Due| (age(d), d.member.module.digest);
        (of(a), &a.member.config, &a.key).cmp(&(of(b), &b.member.config, &b.key))
    });
}

/// End of what a series has: a measure of how much there is.
pub(super) fn length(world: &World, key: &SeriesKey) -> i64 {
    world.store.newest(key).map_or(0, |t| t.0)
}

/// A measured series, and who is to know it.
pub(super) type Wanted = (SeriesKey, Part, Member<dyn Forecaster>);

/// Every measured series that is forecast, with the modules that should know it.
pub(super) fn wanted(
    world: &World,
    catalog: &Catalog,
    members: impl Fn(&Api, Signal) -> Vec<(Part, Member<dyn Forecaster>)>,
) -> Vec<Wanted> {
    let mut all = vec![];
    for api in catalog.apis.values().map(|a| &a.value) {
        let Some(pool) = catalog.pools.get(&api.pool) else {
            continue;
        };
        for signal in Dimension::signals(&pool.value.ready.dimensions()) {
            let key = SeriesKey {
                api: api.id.clone(),
                signal,
            };
            if world.store.newest(&key).is_none() {
                continue;
            }
            let of = members(api, signal).into_iter();
            all.extend(of.map(|(part, member)| (key.clone(), part, member)));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tidegate_core::ports::storage::SeriesState;

    const MODULE: Digest = Digest([1; 32]);
    const CONFIG: Digest = Digest([2; 32]);
    const HOUR: i64 = 3_600_000;

    fn key() -> SeriesKey {
        SeriesKey {
            api: "shop/orders".parse().unwrap(),
            signal: Signal::Requests,
        }
    }

    fn fitted(module: Digest, config: Digest) -> PoolState {
        let mut pool = PoolState::default();
        pool.bank.put(SeriesState {
            key: key(),
            module,
            config,
            format: 1,
            model: Arc::from([]),
            state: vec![],
            fitted_at: Timestamp(0),
            seen: Timestamp(0),
            prior: None,
        });
        pool
    }

    #[track_caller]
    fn check(pool: &PoolState, hours: i64, expected: Option<Reason>) {
        let found = reason(
            pool,
            &key(),
            (MODULE, CONFIG),
            Timestamp(hours * HOUR),
            6 * HOUR,
        );
        assert_eq!(found.map(|(reason, _)| reason), expected);
    }

    #[test]
    fn a_series_is_fitted_when_nobody_knows_it_or_somebody_else_does() {
        let other = Digest([9; 32]);
        check(&PoolState::default(), 1, Some(Reason::New));
        check(&fitted(MODULE, CONFIG), 1, None);
        check(&fitted(MODULE, other), 1, Some(Reason::Config));
        check(&fitted(other, CONFIG), 1, Some(Reason::Module));
    }

    #[test]
    fn a_model_is_old_after_the_interval_or_when_the_clock_stepped_back() {
        check(&fitted(MODULE, CONFIG), 5, None);
        check(&fitted(MODULE, CONFIG), 6, Some(Reason::Stale));
        check(&fitted(MODULE, CONFIG), -1, Some(Reason::Stale));
    }
}
