//! A cycle's forecasts, and what was asked of its allocator, made again from what its record names.
//!
//! The rooms are the cycle's own; what differs is where their inputs come from. States and tracks come from
//! [`Anchor`]s, which were written down before the forecasts that first came from them, and from there on
//! from the updates themselves: no state or answer that was stored later is looked at. Samples come from a
//! past that is as it was seen then. Who answered, after whatever faults, is read from the record, and so are
//! what tiers were in force, what was known of costs and latency, and why step bounds were lifted.
//!
//! A series is unknown until its first anchor, and says so. Which forecasts were kept from a step before
//! and which were made anew is found out again and not read.
//!
//! Rejected: to run the whole cycle. Its error budgets and learned costs rest on everything since the
//! daemon's start, which no snapshot of a day holds; the record has what they came to, by value.

use super::needs::{self, Ask};
use super::{Input, Pins, PoolState, Settings, carry, gather};
use crate::adjust;
use crate::allocate::{self, Row};
use crate::demand::{self, Learned};
use crate::forecast::{self, Refresh, Target, fitted_with, series_name};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::canonical;
use tidegate_core::catalog::{Api, Catalog, Pool};
use tidegate_core::forecast::Forecast;
use tidegate_core::ids::{ApiId, Digest, Generation, PoolId, TenantId};
use tidegate_core::module::ModuleRef;
use tidegate_core::plan::Plan;
use tidegate_core::policy::{AllocationInput, Allocator, CallError, Forecaster, Kept, Tierer};
use tidegate_core::ports::storage::{Anchor, History, StoreError};
use tidegate_core::record::{Basis, ForecastRecord, Record};
use tidegate_core::roster::{Member, Retreat, Roster};
use tidegate_core::sample::SeriesKey;
use tidegate_core::tier::TierState;
use tidegate_core::units::{Level, Signal};

/// What a record is held against.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// What was declared.
    pub catalog: &'a Catalog,
    /// The past as it was seen.
    pub history: &'a dyn History,
    /// Who forecasts, by the module that a record names, or why nobody can be asked.
    pub forecaster: &'a Asked<'a>,
}

/// Who forecasts, by module, or why nobody can be asked.
pub type Asked<'a> = dyn Fn(&ModuleRef) -> Result<Arc<dyn Forecaster>, String> + 'a;

impl std::fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// Forecasts that were made again.
#[derive(Debug, Default)]
pub struct Remade {
    /// By series.
    pub forecasts: BTreeMap<SeriesKey, Forecast>,
    /// Which could not be made again, and why.
    pub unknown: Vec<(SeriesKey, String)>,
    /// What was said in place of a forecast: the errors of those who were asked.
    pub failed: BTreeMap<SeriesKey, String>,
}

/// Forecasts of one pool, from record to record.
#[derive(Debug, Default)]
pub struct Again {
    state: PoolState,
    /// Who was last known to be followed, per series.
    followed: BTreeMap<SeriesKey, (Digest, Digest)>,
}

impl Again {
    /// Goes on from what was written down.
    pub fn anchor(&mut self, anchor: Anchor) {
        let Anchor {
            key,
            module,
            config,
            state,
            track,
        } = anchor;
        match track {
            Some(track) => self.state.tracks.put(track),
            None => self.state.tracks.remove(&key, module, config),
        }
        if let Some(state) = state {
            self.state.bank.set(state);
        }
        // It was written because the forecast was made anew.
        self.state.held.remove(&key);
        self.followed.insert(key, (module, config));
    }

    /// Makes the forecasts of a cycle's record again.
    ///
    /// # Errors
    /// When samples cannot be read.
    pub fn forecasts(
        &mut self,
        record: &Record,
        basis: &Basis,
        world: &World<'_>,
    ) -> Result<Remade, StoreError> {
        let mut remade = Remade::default();
        let mut targets = vec![];
        for of in &record.forecasts {
            match self.target(record, of, world) {
                Ok(target) => targets.push(target),
                Err(why) => {
                    self.followed.remove(&of.key);
                    remade.unknown.push((of.key.clone(), why));
                }
            }
        }
        let output = forecast::run(&forecast::Input {
            now: record.at,
            seed: basis.seed,
            step: record.plan.grid.step,
            steps: basis.horizon,
            levels: &Level::STANDARD,
            targets: &targets,
            bank: &self.state.bank,
            tracks: &self.state.tracks,
            choices: &BTreeMap::new(),
            lanes: Settings::default().lanes,
            reuse: Some(forecast::Reuse {
                held: &self.state.held,
                cadence: basis.cadence,
            }),
            history: world.history,
            catalog: world.catalog,
        })?;
        for fault in &output.faults {
            for target in &targets {
                let mut subjects = fault.subject.split(", ");
                if !subjects.any(|s| s == series_name(&target.key)) {
                    continue;
                }
                let (key, error) = (target.key.clone(), fault.error.to_string());
                match fault.error {
                    // That it was slow here says nothing of how it was there.
                    CallError::Deadline { .. } | CallError::Unavailable(_) => {
                        self.followed.remove(&key);
                        remade.unknown.push((key, error));
                    }
                    _ => drop(remade.failed.insert(key, error)),
                }
            }
        }
        output
            .unserved
            .iter()
            .for_each(|key| self.state.held.remove(key));
        self.state.held.commit(output.made, usize::MAX, |_| true);
        output
            .updates
            .into_iter()
            .for_each(|s| self.state.bank.set(s));
        output
            .tracks
            .into_iter()
            .for_each(|t| self.state.tracks.put(t));
        remade.forecasts = output.forecasts;
        Ok(remade)
    }

    /// Who made a forecast, if what it was made from is known here.
    fn target(
        &self,
        record: &Record,
        of: &ForecastRecord,
        world: &World<'_>,
    ) -> Result<Target, String> {
        let origin = of
            .origin
            .as_ref()
            .ok_or("its record is of before origins were kept")?;
        if !origin.is_anchored {
            return Err(
                "more was made anew at once than was written down, and it was not among it".into(),
            );
        }
        let (module, retreat) = (of.served.module.clone(), of.served.retreat);
        let config = fitted_with(&origin.config, record.plan.grid.step);
        if self.followed.get(&of.key) != Some(&(module.digest, config)) {
            return Err("no snapshot of what it was made from was kept before it".into());
        }
        let state = self.state.bank.get(&of.key, module.digest, config);
        let is_there = state.is_some_and(|s| s.fitted_at == origin.fitted_at);
        if retreat != Retreat::Baseline && !is_there {
            return Err(format!("the fit of {} was not kept", origin.fitted_at));
        }
        let policy = (world.forecaster)(&module)?;
        Ok(Target {
            key: of.key.clone(),
            roster: Roster::of(vec![Member {
                module,
                binding: None,
                retreat,
                config: origin.config.clone(),
                policy,
            }]),
        })
    }

    /// What the allocator of a cycle was asked, without its state; what it says of the plan before is left
    /// as recorded where that plan is not at hand. Every api's forecasts must be there.
    ///
    /// # Errors
    /// Why it cannot be said, for a person.
    pub fn question(
        &self,
        record: &Record,
        basis: &Basis,
        world: &World<'_>,
        forecasts: &BTreeMap<SeriesKey, Forecast>,
    ) -> Result<(AllocationInput, Vec<Vec<String>>), String> {
        let (plan, asked, catalog) = (&record.plan, &record.allocation, world.catalog);
        let pool = catalog.pools.get(&record.pool);
        let pool = &pool
            .ok_or("the pool is not in what was declared then")?
            .value;
        let settings = settings(record, basis);
        let input = Input {
            now: record.at,
            pool: &record.pool,
            catalog,
            history: world.history,
            pins: &Nothing,
            settings: &settings,
        };
        let last = self.before(record);
        let floors: adjust::Floors = record.floors.iter().cloned().collect();
        let ask = Ask {
            pool,
            apis: plan.apis.len(),
            dimensions: &asked.dimensions,
            grid: plan.grid,
            forecasts,
        };
        let expected = expected(record);
        let (mut rows, mut reasons) = (vec![], vec![]);
        for (n, row) in plan.apis.iter().enumerate() {
            let api = declared(catalog, &row.api)?;
            let is_carried = u32::try_from(n).is_ok_and(|n| basis.carried.contains(&n));
            if is_carried && last.is_none() {
                return Err(format!(
                    "the demand of {} is what plan {} foresaw, which is not at hand",
                    row.api, plan.parent
                ));
            }
            let learned = record.needs.get(n).filter(|need| need.api == row.api);
            let learned =
                learned.ok_or_else(|| format!("nothing is recorded of what {} needs", row.api))?;
            let learned = Learned::of(&learned.learned);
            let load = expected.get(&canonical::api_key(&row.api)).copied();
            let load = load.ok_or_else(|| {
                format!(
                    "no tierer answered for {}, so its ordinary load is not in the record",
                    row.api
                )
            })?;
            let foreseen = is_carried
                .then(|| carry::foreseen(&row.api, plan.grid, last))
                .flatten();
            let mut demand: demand::Output = foreseen
                .unwrap_or_else(|| needs::demand(&input, &ask, api, row.tier, load, &learned));
            gather::keep(
                &input,
                &floors,
                &row.api,
                &asked.dimensions,
                plan.grid,
                &mut demand,
            );
            reasons.push(demand.reasons.clone());
            let state = TierState {
                tier: row.tier,
                since: row.tier_since,
            };
            rows.push(Row {
                api,
                tier: (state, row.tier_reason.clone()),
                demand,
                emergency: row.emergency.clone(),
            });
        }
        let mut question = self.asked(record, &settings, (pool, catalog), &rows, last.map(|l| l.0));
        if last.is_none() && plan.parent != Generation(0) {
            question
                .previous_guaranteed
                .clone_from(&asked.previous_guaranteed);
            question.previous_limit.clone_from(&asked.previous_limit);
        }
        Ok((question, reasons))
    }

    fn asked(
        &self,
        record: &Record,
        settings: &Settings,
        (pool, catalog): (&Pool, &Catalog),
        rows: &[Row<'_>],
        previous: Option<&Plan>,
    ) -> AllocationInput {
        allocate::question(&allocate::Input {
            now: record.at,
            seed: settings.seed,
            grid: record.plan.grid,
            validity_ms: settings.validity_ms,
            pool,
            catalog,
            rows,
            previous,
            roster: &Roster::of(vec![]),
            state: &Kept::default(),
        })
    }

    /// The plan before a record's, and what was asked for it, if they are at hand.
    fn before(&self, record: &Record) -> Option<(&Plan, &AllocationInput)> {
        let last = self.state.last.as_deref().zip(self.state.asked.as_deref());
        last.filter(|(plan, _)| plan.generation == record.plan.parent)
    }

    /// Takes a record for done: what comes after it has it before.
    pub fn after(&mut self, record: &Record) {
        self.state.last = Some(Arc::new(record.plan.clone()));
        self.state.asked = Some(Arc::new(record.allocation.clone()));
    }
}

fn declared<'a>(catalog: &'a Catalog, api: &ApiId) -> Result<&'a Api, String> {
    let found = catalog.apis.get(api).map(|a| &a.value);
    found.ok_or_else(|| format!("{api} is not in what was declared then"))
}

/// Ordinary load of each api, by key, as tierers were told.
fn expected(record: &Record) -> BTreeMap<u64, f64> {
    let asked = record.tiers.iter().map(|tier| &tier.input);
    asked
        .flat_map(|input| {
            input
                .apis
                .iter()
                .copied()
                .zip(input.expected.iter().copied())
        })
        .collect()
}

fn settings(record: &Record, basis: &Basis) -> Settings {
    Settings {
        step: record.plan.grid.step,
        horizon: basis.horizon,
        plan_steps: u32::try_from(record.plan.grid.count).unwrap_or(u32::MAX),
        validity_ms: record.plan.expires_at.since_ms(record.plan.made_at),
        ahead: basis.ahead,
        seed: basis.seed,
        refresh: Refresh::default(),
        demand: demand::Settings {
            target_utilisation: basis.target_utilisation,
            step_tolerance: basis.step_tolerance,
            fixed_tolerance: basis.fixed_tolerance,
        },
        adjust: adjust::Settings {
            hold_ms: basis.hold_ms,
            ..adjust::Settings::default()
        },
        ..Settings::default()
    }
}

/// Whom a question of demand asks: nobody.
struct Nothing;

impl Pins for Nothing {
    fn forecaster(&self, _: &Api, _: Signal) -> Roster<dyn Forecaster> {
        Roster::of(vec![])
    }

    fn tierer(&self, _: &TenantId) -> Roster<dyn Tierer> {
        Roster::of(vec![])
    }

    fn allocator(&self, _: &PoolId) -> Roster<dyn Allocator> {
        Roster::of(vec![])
    }
}
