//! Fits on the daemon's schedule: what nobody knows yet, what is old, what has shifted.
//!
//! As under a driven clock: whatever is due is fitted before the cycle, so that a slow machine gives
//! the same plans as a fast one. Budgets and fairness between tenants belong to the daemon, where many
//! series wait for one core; here there are a few, and none waits.

use std::collections::BTreeMap;
use tidegate_core::catalog::Catalog;
use tidegate_core::policy::Forecaster;
use tidegate_core::ports::storage::{History, StoreError};
use tidegate_core::roster::{Fault, Member, Retreat};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;
use tidegate_core::units::Dimension;
use tidegate_flow::cycle::{Pins, PoolState, Settings};
use tidegate_flow::forecast::{FitInput, fit, fitted_with};

/// The world at one instant.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) now: Timestamp,
    pub(super) settings: &'a Settings,
    pub(super) catalog: &'a Catalog,
    pub(super) history: &'a dyn History,
    pub(super) pins: &'a dyn Pins,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Fitter {
    refit_ms: i64,
    tried: BTreeMap<SeriesKey, Timestamp>,
}

impl Fitter {
    pub(super) fn new(refit_ms: i64) -> Self {
        Self {
            refit_ms,
            tried: BTreeMap::new(),
        }
    }

    /// Fits what is due; what went wrong is returned.
    pub(super) fn catch_up(
        &mut self,
        look: &Look<'_>,
        state: &mut PoolState,
    ) -> Result<Vec<Fault>, StoreError> {
        let mut faults = vec![];
        for (key, member) in wanted(look) {
            if !self.is_due(look, state, &key, &member) {
                continue;
            }
            self.tried.insert(key.clone(), look.now);
            let keys = std::slice::from_ref(&key);
            let config = fitted_with(&member.config, look.settings.step);
            let base = state.bank.base(keys, member.module.digest, config);
            let outcome = fit(&FitInput {
                now: look.now,
                seed: look.settings.seed,
                step: look.settings.step,
                window: look.settings.fit_window,
                keys,
                member: &member,
                base: &base,
                reach: look.settings.horizon,
                history: look.history,
                catalog: look.catalog,
            })?;
            faults.extend(outcome.faults);
            outcome.states.into_iter().for_each(|s| state.bank.put(s));
        }
        Ok(faults)
    }

    fn is_due(
        &self,
        look: &Look<'_>,
        state: &PoolState,
        key: &SeriesKey,
        member: &Member<dyn Forecaster>,
    ) -> bool {
        // Drift that a fit did not cure costs little.
        let lately = self.tried.get(key).map(|at| look.now.since_ms(*at));
        if lately.is_some_and(|ms| ms < self.refit_ms / 10) {
            return false;
        }
        let config = fitted_with(&member.config, look.settings.step);
        let Some(known) = state.bank.get(key, member.module.digest, config) else {
            return true;
        };
        let shifted = state
            .drifts
            .shifted(key, member.module.digest, known.fitted_at);
        look.now.since_ms(known.fitted_at) >= self.refit_ms || shifted.is_some()
    }
}

/// Every measured series that is forecast, with who serves it.
fn wanted(look: &Look<'_>) -> Vec<(SeriesKey, Member<dyn Forecaster>)> {
    let mut all = vec![];
    for api in look.catalog.apis.values().map(|a| &a.value) {
        let Some(pool) = look.catalog.pools.get(&api.pool) else {
            continue;
        };
        for signal in Dimension::signals(&pool.value.ready.dimensions()) {
            let key = SeriesKey {
                api: api.id.clone(),
                signal,
            };
            let roster = look.pins.forecaster(api, signal);
            let mut members = roster.members.iter();
            let active = members.find(|m| m.retreat == Retreat::Active);
            if let (Some(_), Some(member)) = (look.history.newest(&key), active) {
                all.push((key, member.clone()));
            }
        }
    }
    all
}
