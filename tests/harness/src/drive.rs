//! Turns the world step by step: sample, fit what is due, cycle every pool, perform the effects.
//!
//! The order is the daemon's under a driven clock (`host/daemon/src/driver`): fits finish before
//! the cycles of their step, and a record is in the ledger before its plan counts (LE1). The
//! simulated services close the loop: one that gets fewer cores than its requests need uses what it
//! gets and fails the rest, so its error budget burns.

use crate::bind::Slotted;
use crate::native::Native;
use crate::world::World;
use std::collections::BTreeMap;
use tidegate_core::alert::Alert;
use tidegate_core::ids::{ApiId, BindingId, Digest, PoolId, TenantId};
use tidegate_core::policy::Forecaster;
use tidegate_core::ports::storage::{History, Replays, States};
use tidegate_core::roster::{Member, Retreat};
use tidegate_core::sample::{SampleBatch, SeriesKey, SeriesSamples, Values};
use tidegate_core::time::Timestamp;
use tidegate_core::units::{Dimension, Signal};
use tidegate_engine::Policy;
use tidegate_flow::cycle::{self, Pins};
use tidegate_flow::forecast::{FitInput, fit, fitted_with};

/// Series of one fit.
const BATCH: usize = 16;

type Wanted = (SeriesKey, Member<dyn Forecaster>);

impl World {
    /// Moves the clock to `to`, step by step.
    pub fn run_until(&mut self, to: Timestamp) {
        let step = self.settings.step;
        let mut at = self.now.floor(step).plus_steps(step, 1);
        while at <= to {
            self.now = at;
            self.sample_until(at);
            self.fit_due();
            self.turn();
            self.follow_trials();
            at = at.plus_steps(step, 1);
        }
        self.now = self.now.max(to);
    }

    /// Runs the cycle of every pool now, as a change of data, catalog or slots makes the daemon do.
    pub fn turn(&mut self) {
        let pools: Vec<PoolId> = self.catalog.pools.keys().cloned().collect();
        pools.iter().for_each(|pool| self.cycle(pool));
    }

    fn cycle(&mut self, pool: &PoolId) {
        let pins = Slotted::of(self);
        let input = cycle::Input {
            now: self.now,
            pool,
            catalog: &self.catalog,
            history: &self.store,
            pins: &pins,
            settings: &self.settings,
        };
        let state = self.pools.entry(pool.clone()).or_default();
        let mut output = match cycle::run(&input, state) {
            Ok(output) => output,
            Err(error) => return self.note(format!("pool {pool}: {error}")),
        };
        self.report_faults(&output.faults);
        if let Some(basis) = output.record.as_mut().and_then(|r| r.basis.as_mut()) {
            basis.catalog = self.store.keep_catalog(&self.catalog).ok();
        }
        if let Some(record) = &output.record
            && let Err(error) = self.store.append_with(record, &output.anchors)
        {
            return self.note(format!(
                "pool {pool}: not recorded, so not published: {error}"
            ));
        }
        let state = self.pools.entry(pool.clone()).or_default();
        state.commit(output.delta, output.record);
        self.forecasts.retain(|key, _| {
            let of = self.catalog.apis.get(&key.api).map(|a| &a.value.pool);
            of != Some(pool)
        });
        self.forecasts.extend(output.forecasts);
        self.raise(pool, &output.alerts);
    }

    /// Takes in what a cycle has seen of a pool; notes what is new and what is over.
    fn raise(&mut self, pool: &PoolId, seen: &[Alert]) {
        let name = |a: &Alert| {
            let about = a
                .api
                .as_ref()
                .map_or(String::new(), |api| format!(" of {api}"));
            format!("{}{about} {}", a.kind.name(), a.subject)
        };
        let standing = self.standing.entry(pool.clone()).or_default();
        let turns = standing.look(self.now, seen);
        for alert in &turns.new {
            self.note(format!("alert: {}", name(alert).trim_end()));
        }
        for alert in &turns.over {
            self.note(format!("over:  {}", name(alert).trim_end()));
        }
    }

    /// Samples every service from where its feed stands up to the step that ends at `end`.
    pub(crate) fn sample_until(&mut self, end: Timestamp) {
        let step = self.settings.step;
        let mut batch = SampleBatch::default();
        for (api, feed) in &self.feeds {
            let mut columns: [Vec<f64>; 3] = Default::default();
            let mut times = vec![];
            let mut at = feed.next;
            while at.plus_steps(step, 1) <= end {
                if let Some(rate) = feed.load.at(at, self.settings.seed, &api.to_string()) {
                    let seconds = f64::from(step.secs());
                    let requests = (rate * seconds).round();
                    let needed = requests / seconds * feed.cost;
                    let limit = self.limit(api, at).unwrap_or(f64::INFINITY);
                    let failed = if needed > limit {
                        (requests * (1.0 - limit / needed)).round()
                    } else {
                        0.0
                    };
                    times.push(at);
                    let row = [requests, failed, needed.min(limit)];
                    columns.iter_mut().zip(row).for_each(|(c, v)| c.push(v));
                }
                at = at.plus_steps(step, 1);
            }
            if times.is_empty() {
                continue;
            }
            let signals = [Signal::Requests, Signal::Errors, Signal::Cpu];
            for (signal, values) in signals.into_iter().zip(columns) {
                batch.series.push(SeriesSamples {
                    key: SeriesKey {
                        api: api.clone(),
                        signal,
                    },
                    step,
                    times: times.clone(),
                    values: Values::Numbers(values),
                });
            }
        }
        for feed in self.feeds.values_mut() {
            feed.next = feed.next.max(end.floor(step));
        }
        if !batch.is_empty() {
            History::append(&self.store, batch, Box::new(|_| ()));
        }
    }

    /// Cores that a service could use in the step that starts at `at`; `None` before any plan.
    fn limit(&self, api: &ApiId, at: Timestamp) -> Option<f64> {
        let pool = &self.catalog.apis.get(api)?.value.pool;
        let plan = self.pools.get(pool)?.last.as_ref()?;
        plan.grant(api, at)?.limit.get(Dimension::Cpu)
    }

    /// Fits every series whose state is missing or old, by who actively serves it.
    pub(crate) fn fit_due(&mut self) {
        let pins = Slotted::of(self);
        let (now, refit) = (self.now, self.refit_ms);
        let mut due: Vec<Wanted> = vec![];
        let served = |api: &_| pins.forecaster(api, Signal::Requests).members.to_vec();
        let mut wanted = self.wanted(served);
        wanted.extend(self.wanted(|api| {
            let binding = pins.binding_of(api);
            let shadow = binding.and_then(|id| self.shadow_of(&id));
            shadow.into_iter().collect()
        }));
        for (key, member) in wanted {
            let config = fitted_with(&member.config, self.settings.step);
            let pool = &self.catalog.apis[&key.api].value.pool;
            let state = self.pools.get(pool);
            let fitted = state.and_then(|p| p.bank.get(&key, member.module.digest, config));
            let newest = self.store.newest(&key).unwrap_or_default();
            let tried = self.tried.get(&(key.clone(), member.module.digest));
            let lately = tried.is_some_and(|(at, then)| {
                let waited = now.since_ms(*at);
                waited < refit / 10 || (*then == newest && waited < refit)
            });
            if lately || fitted.is_some_and(|s| now.since_ms(s.fitted_at) < refit) {
                continue;
            }
            self.tried
                .insert((key.clone(), member.module.digest), (now, newest));
            due.push((key, member));
        }
        self.fit_all(due);
    }

    /// Fits, with a module that is to be bound, every series that the binding serves.
    pub(crate) fn prepare(&mut self, id: &BindingId, native: &Native, config: &str) {
        let Policy::Forecaster(policy) = &native.policy else {
            return;
        };
        let member = Member {
            module: native.module.clone(),
            binding: Some(id.clone()),
            retreat: Retreat::Active,
            config: config.into(),
            policy: policy.clone(),
        };
        let pins = Slotted::of(self);
        let mine = self.wanted(|api| {
            if pins.binding_of(api).as_ref() == Some(id) {
                vec![member.clone()]
            } else {
                vec![]
            }
        });
        self.fit_all(mine);
    }

    /// Every measured series that is forecast, with the active module that should serve it.
    fn wanted(
        &self,
        members: impl Fn(&tidegate_core::catalog::Api) -> Vec<Member<dyn Forecaster>>,
    ) -> Vec<Wanted> {
        let mut all = vec![];
        for api in self.catalog.apis.values().map(|a| &a.value) {
            for signal in [Signal::Requests, Signal::Cpu] {
                let key = SeriesKey {
                    api: api.id.clone(),
                    signal,
                };
                if self.store.newest(&key).is_none() {
                    continue;
                }
                let active = members(api)
                    .into_iter()
                    .find(|m| m.retreat == Retreat::Active);
                all.extend(active.map(|member| (key, member)));
            }
        }
        all
    }

    /// Fits in batches of one tenant, module and config, and keeps the states.
    fn fit_all(&mut self, wanted: Vec<Wanted>) {
        type Cohort = (TenantId, Digest, String);
        let mut cohorts: BTreeMap<Cohort, Vec<Wanted>> = BTreeMap::new();
        for (key, member) in wanted {
            let tenant = key.api.tenant.clone();
            let cohort = (tenant, member.module.digest, member.config.to_string());
            cohorts.entry(cohort).or_default().push((key, member));
        }
        for series in cohorts.into_values().flat_map(|all| {
            let chunks: Vec<Vec<Wanted>> = all.chunks(BATCH).map(<[Wanted]>::to_vec).collect();
            chunks
        }) {
            let keys: Vec<SeriesKey> = series.iter().map(|(key, _)| key.clone()).collect();
            let Some((_, member)) = series.first() else {
                continue;
            };
            let config = fitted_with(&member.config, self.settings.step);
            let module = member.module.digest;
            let pools = self.pools.values();
            let mut bases = pools.map(|pool| pool.bank.base(&keys, module, config));
            let base = bases.find(|base| !base.is_empty()).unwrap_or_default();
            let outcome = fit(&FitInput {
                now: self.now,
                seed: self.settings.seed,
                step: self.settings.step,
                window: self.settings.fit_window,
                keys: &keys,
                member,
                base: &base,
                reach: self.settings.horizon,
                history: &self.store,
                catalog: &self.catalog,
            });
            match outcome {
                Ok(outcome) => {
                    self.report_faults(&outcome.faults);
                    self.keep(outcome.states);
                }
                Err(error) => self.note(format!("nothing was fitted: {error}")),
            }
        }
    }

    fn keep(&mut self, states: Vec<tidegate_core::ports::storage::SeriesState>) {
        if let Err(error) = States::save(&self.store, &states) {
            return self.note(format!("fitted states could not be kept: {error}"));
        }
        for state in states {
            if let Some(api) = self.catalog.apis.get(&state.key.api) {
                let pool = self.pools.entry(api.value.pool.clone()).or_default();
                pool.bank.put(state);
            }
        }
    }
}
