//! Forecasts and demand of a record made again, and what came out otherwise.
//!
//! The room's own code makes them ([`tidegate_flow::cycle::again`]); this part finds what it needs by the
//! names in the record, and compares. Of a series only the first thing that differs is told, in the order in
//! which one leads to the next: who answered, the state, the correction, the forecast. What cannot be made
//! again is counted apart and by name: it is never taken for the same.

use super::compare;
use super::{Deciders, Divergence, Replayed};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::Digest;
use tidegate_core::module::ModuleRef;
use tidegate_core::policy::Forecaster;
use tidegate_core::ports::storage::Replays;
use tidegate_core::record::{Basis, ForecastRecord, Record};
use tidegate_core::roster::Retreat;
use tidegate_core::sample::SeriesKey;
use tidegate_flow::cycle::again::{Again, Remade, World};
use tidegate_flow::forecast::series_name;

/// Something that could not be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmade {
    /// What.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// See the module.
pub(super) struct Forecasts<'a> {
    store: &'a dyn Replays,
    again: Again,
    /// What was declared last.
    catalog: Option<(Digest, Catalog)>,
    modules: Modules,
}

impl std::fmt::Debug for Forecasts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forecasts")
            .field("again", &self.again)
            .finish_non_exhaustive()
    }
}

impl<'a> Forecasts<'a> {
    pub(super) fn new(store: &'a dyn Replays) -> Self {
        Self {
            store,
            again: Again::default(),
            catalog: None,
            modules: RefCell::default(),
        }
    }

    /// Makes what a record rests on again.
    pub(super) fn record(&mut self, record: &Record, deciders: &dyn Deciders, told: &mut Replayed) {
        if let Some(basis) = &record.basis {
            self.cycle(record, basis, deciders, told);
        } else if record.amends.is_none() {
            let why = "its record is of before what they rest on was kept";
            told.unmade.push(unmade("all forecasts", why));
        }
        self.again.after(record);
    }

    fn cycle(
        &mut self,
        record: &Record,
        basis: &Basis,
        deciders: &dyn Deciders,
        told: &mut Replayed,
    ) {
        match self.store.anchors(&record.pool, record.plan.generation) {
            Ok(anchors) => anchors.into_iter().for_each(|a| self.again.anchor(a)),
            Err(error) => {
                return told
                    .unmade
                    .push(unmade("all forecasts", &error.to_string()));
            }
        }
        let catalog = match self.declared(basis) {
            Ok(catalog) => catalog,
            Err(why) => return told.unmade.push(unmade("all forecasts", &why)),
        };
        let ends = record.forecasts.iter().filter_map(|f| {
            let origin = f.origin.as_ref()?;
            Some((f.key.clone(), origin.newest))
        });
        let past = self.store.as_of(record.as_of, ends.collect());
        let modules = &self.modules;
        let forecaster = |module: &ModuleRef| asked(modules, module, deciders);
        let world = World {
            catalog: &catalog,
            history: &*past,
            forecaster: &forecaster,
        };
        let again = &mut self.again;
        let remade = match again.forecasts(record, basis, &world) {
            Ok(remade) => remade,
            Err(error) => {
                return told
                    .unmade
                    .push(unmade("all forecasts", &error.to_string()));
            }
        };
        let whole = compare_all(record, &remade, told);
        if whole {
            match self
                .again
                .question(record, basis, &world, &remade.forecasts)
            {
                Ok((question, reasons)) => {
                    told.demands += 1;
                    compare::question(record, &question, &mut told.divergences);
                    compare::reasons(record, &reasons, &mut told.divergences);
                }
                Err(why) => told.unmade.push(unmade("the demand", &why)),
            }
        } else {
            let why = "not all of the forecasts that it rests on could be made again";
            told.unmade.push(unmade("the demand", why));
        }
        drop(past);
        self.catalog = basis.catalog.map(|digest| (digest, catalog));
    }

    /// What was declared; taken out, to be put back by who is done with it.
    fn declared(&mut self, basis: &Basis) -> Result<Catalog, String> {
        let digest = basis.catalog.ok_or("what was declared then was not kept")?;
        if let Some((known, catalog)) = self.catalog.take()
            && known == digest
        {
            return Ok(catalog);
        }
        let kept = self
            .store
            .kept_catalog(&digest)
            .map_err(|e| e.to_string())?;
        kept.ok_or_else(|| "what was declared then is not kept any more".into())
    }
}

/// By digest, who is asked or why nobody can be.
type Modules = RefCell<BTreeMap<Digest, Result<Arc<dyn Forecaster>, String>>>;

fn asked(
    modules: &Modules,
    module: &ModuleRef,
    deciders: &dyn Deciders,
) -> Result<Arc<dyn Forecaster>, String> {
    let mut known = modules.borrow_mut();
    let found = known.entry(module.digest);
    found.or_insert_with(|| deciders.forecaster(module)).clone()
}

fn unmade(what: &str, why: &str) -> Unmade {
    Unmade {
        what: what.into(),
        why: why.into(),
    }
}

/// Compares every forecast of a record with how it came out again; whether all did, whatever came out.
fn compare_all(record: &Record, remade: &Remade, told: &mut Replayed) -> bool {
    let mut whole = true;
    let unknown: BTreeMap<&SeriesKey, &String> =
        remade.unknown.iter().map(|(key, why)| (key, why)).collect();
    for was in &record.forecasts {
        let what = || format!("the forecast of {}", series_name(&was.key));
        if let Some(why) = unknown.get(&was.key) {
            told.unmade.push(unmade(&what(), why));
            whole = false;
            continue;
        }
        let Some(forecast) = remade.forecasts.get(&was.key) else {
            let error = remade.failed.get(&was.key);
            let error = error.map_or("no answer", String::as_str);
            told.divergences
                .push(Divergence::new(what(), "made", error));
            whole = false;
            continue;
        };
        let is = ForecastRecord {
            origin: was.origin.clone(),
            ..ForecastRecord::of(forecast)
        };
        match differs(record, was, &is) {
            None => told.forecasts += 1,
            // The baseline fits itself to samples of its category too, whose ends no record names.
            Some(_) if was.served.retreat == Retreat::Baseline => {
                let why = "the engine's own rule made it, from samples of other series as well, and it came out \
                           otherwise";
                told.unmade.push(unmade(&what(), why));
                whole = false;
            }
            Some(divergence) => {
                told.forecasts += 1;
                told.divergences.push(divergence);
            }
        }
    }
    whole
}

/// The first of what led to a forecast that is not the same.
fn differs(record: &Record, was: &ForecastRecord, is: &ForecastRecord) -> Option<Divergence> {
    let name = series_name(&was.key);
    let step = record.plan.grid.step;
    let newest = was.origin.as_ref().map_or(record.newest, |o| o.newest);
    let seen = newest.min(record.at).floor(step).plus_steps(step, -1);
    let text = |digest: Option<Digest>| digest.map_or("none".into(), |d| d.short());
    let of = |what: String, a: String, b: String| Some(Divergence::new(what, &a, &b));
    if was.served != is.served {
        let what = format!("who forecast {name}");
        return of(
            what,
            was.served.module.to_string(),
            is.served.module.to_string(),
        );
    }
    if was.state != is.state {
        let what = format!(
            "the state of {} on {name} after step {seen}",
            was.served.module
        );
        return of(what, text(Some(was.state)), text(Some(is.state)));
    }
    if was.calibration != is.calibration {
        let what = format!("the correction of {name} after step {seen}");
        return of(what, text(was.calibration), text(is.calibration));
    }
    if was.answer != is.answer {
        let what = format!("the forecast of {name} after step {seen}, from its highest p99 on");
        return of(what, was.peak.to_string(), is.peak.to_string());
    }
    let same = was.peak.to_bits() == is.peak.to_bits() && was.peak_at == is.peak_at;
    if !same {
        let text = |f: &ForecastRecord| format!("{} at {}", f.peak, f.peak_at);
        return of(format!("the peak of {name}"), text(was), text(is));
    }
    None
}
