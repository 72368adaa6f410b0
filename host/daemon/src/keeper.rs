//! Keeps what was learned, and lets go of what nobody needs any more.
//!
//! A fitted state is written when it is fitted. What forecasts are judged by (tracks, and who was
//! chosen) changes with every step, and to write it with every cycle would cost more than the plan
//! itself; it is written by the hour of the data's clock and when the daemon ends, so that a crash
//! costs an hour of scores and no decision. The watch over a fit goes with its track and not with its
//! state, since what it adds up comes after the fit.
//!
//! Nothing that was written goes by that: a series keeps states and tracks of every module that ever
//! forecast it. So at the same time this part drops those of apis that are gone, and of modules and
//! configs that no binding names. A module that was just unbound is not unneeded yet: for a day after it
//! served last ([`ROLLBACK_MS`]), and as long as a promotion is watched, going back to it, which is what a
//! person does who sees that the new one is worse, finds its states. The same holds for what allocators and tierers keep.
//! It looks by the clock and not by the catalog's changes, because most become unneeded by waiting.

use crate::world::{World, lock};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::catalog::Catalog;
use tidegate_core::forecast::{Track, Watch};
use tidegate_core::ids::Digest;
use tidegate_core::module::{ModuleKind, ROLLBACK_MS};
use tidegate_core::ports::storage::{Fit, SeriesState, States, StoreError, Tracks};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;
use tidegate_core::units::{Level, Signal};
use tidegate_flow::cycle::{Delta, Pins as _, PoolState};
use tidegate_flow::forecast::{fitted_with, score};
use tidegate_telemetry::TOLD_APIS;

/// How often it looks.
const EVERY_MS: i64 = 3_600_000;

/// Levels of which the coverage is a metric.
const TOLD_LEVELS: [Level; 3] = [Level::P50, Level::P90, Level::P99];

/// What is to be written, and when it was.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    looked: Option<Timestamp>,
    learned: BTreeSet<Fit>,
    chosen: BTreeSet<SeriesKey>,
    /// When modules served last that serve no more.
    left: BTreeMap<Digest, Timestamp>,
}

/// What is needed, at an instant.
struct Needed<'a> {
    catalog: &'a Catalog,
    now: Timestamp,
    /// Modules that serve, challenge or are compared in silence, with their configs.
    named: BTreeSet<(Digest, Digest)>,
    /// Modules that would come back, with whatever config they had.
    behind: BTreeSet<Digest>,
    /// When modules served last.
    left: BTreeMap<Digest, Timestamp>,
    /// How long they are needed from then on.
    window_ms: i64,
}

/// How long what a version left may be needed, in milliseconds: a day, and as long as any promotion is
/// watched.
pub(crate) fn window_ms(catalog: &Catalog) -> i64 {
    let watched = catalog.bindings.values().map(|b| b.value.gate.watch_s);
    watched
        .map(|s| i64::from(s) * 1000)
        .fold(ROLLBACK_MS, i64::max)
}

impl<'a> Needed<'a> {
    fn new(world: &World, catalog: &'a Catalog, now: Timestamp) -> Self {
        let with = |config: &str| fitted_with(config, world.settings.step);
        let slots = world.policies.slots();
        let serving = slots
            .iter()
            .filter_map(|s| world.policies.serving(&s.binding));
        let mut named: BTreeSet<_> = serving
            .map(|(module, config)| (module.digest, with(&config)))
            .collect();
        // The native baseline stands behind everybody.
        named.insert((Digest([0; 32]), with("{}")));
        let challengers = world.policies.challengers().into_values().flatten();
        named.extend(challengers.map(|m| (m.module.digest, with(&m.config))));
        let silent = crate::life::trials(world);
        let silent = silent.iter().map(crate::life::Trial::silent_version);
        named.extend(silent.map(|v| (v.module.digest, with(&v.config))));
        let behind = slots.into_iter().filter_map(|s| s.last_good);
        Self {
            catalog,
            now,
            named,
            behind: behind.map(|m| m.digest).collect(),
            left: lock(&world.keeper).left.clone(),
            window_ms: window_ms(catalog),
        }
    }

    fn needs(&self, (key, module, config): &Fit, at: Timestamp) -> bool {
        let named = self.named.contains(&(*module, *config)) || self.behind.contains(module);
        let last = self.left.get(module).map_or(at, |left| at.max(*left));
        let recent = || self.now.since_ms(last) < self.window_ms;
        self.catalog.apis.contains_key(&key.api) && (named || recent())
    }

    fn state(&self, state: &SeriesState) -> bool {
        self.needs(&of_state(state), state.fitted_at)
    }

    fn track(&self, track: &Track) -> bool {
        self.needs(&of_track(track), track.issued)
    }
}

fn of_state(state: &SeriesState) -> Fit {
    (state.key.clone(), state.module, state.config)
}

fn of_track(track: &Track) -> Fit {
    (track.key.clone(), track.module, track.config)
}

impl Keeper {
    /// Notes that a module has ceased to serve somewhere.
    pub(crate) fn leave(&mut self, module: Digest, now: Timestamp) {
        self.left.insert(module, now);
    }

    /// Looks, if it is time to.
    pub(crate) fn turn(world: &World, now: Timestamp) {
        {
            let mut keeper = lock(&world.keeper);
            let since = keeper.looked.map(|at| now.since_ms(at));
            if since.is_some_and(|ms| (0..EVERY_MS).contains(&ms)) {
                return;
            }
            keeper.looked = Some(now);
        }
        if let Err(error) = sweep(world, now) {
            tracing::error!(error = %error, "what nobody needs could not be dropped from the store");
        }
        Self::write(world);
        tell(world);
    }

    /// Notes what a cycle is about to change in a pool.
    pub(crate) fn note(world: &World, pool: &PoolState, delta: &Delta) {
        for (key, choice) in &delta.choices {
            let before = pool.choices.get(key).map(|c| c.champion);
            if before.is_some_and(|b| b != choice.champion) {
                world.metrics.champion_changed(choice.ground.name());
                tracing::info!(api = %key.api, signal = key.signal.name(), champion = %choice.champion.short(), ground = choice.ground.name(), "another module answers for a series");
            }
        }
        let mut keeper = lock(&world.keeper);
        keeper.learned.extend(delta.tracks.iter().map(of_track));
        let chosen = delta.choices.iter().map(|(key, _)| key.clone());
        keeper.chosen.extend(chosen);
    }

    /// Writes what was learned since the last time.
    pub(crate) fn write(world: &World) {
        let (learned, chosen) = {
            let mut keeper = lock(&world.keeper);
            (
                std::mem::take(&mut keeper.learned),
                std::mem::take(&mut keeper.chosen),
            )
        };
        let (mut tracks, mut choices) = (vec![], vec![]);
        for id in world.catalog.load_full().pools.keys() {
            let shared = world.pool(id);
            let pool = lock(&shared);
            let mine = pool.tracks.iter();
            let mine = mine.filter(|t| learned.contains(&of_track(t)));
            tracks.extend(mine.map(|track| watched(&pool, track)));
            let mine = pool.choices.iter().filter(|(key, _)| chosen.contains(*key));
            choices.extend(mine.map(|(key, choice)| (key.clone(), *choice)));
        }
        if tracks.is_empty() && choices.is_empty() {
            return;
        }
        if let Err(error) = Tracks::save(&*world.store, &tracks, &choices) {
            tracing::error!(error = %error, "scores of forecasts could not be written; they are tried again with the next");
            let mut keeper = lock(&world.keeper);
            keeper.learned.extend(learned);
            keeper.chosen.extend(chosen);
        }
    }
}

/// Drops what is not needed at `now`, from memory first: should the disk fail, it is only read once
/// more at the next start.
fn sweep(world: &World, now: Timestamp) -> Result<(), StoreError> {
    let catalog = world.catalog.load_full();
    let needed = Needed::new(world, &catalog, now);
    let (mut states, mut tracks): (Vec<Fit>, Vec<Fit>) = (vec![], vec![]);
    let mut series: Vec<SeriesKey> = vec![];
    let (mut tiers, mut shares) = (0, 0);
    for id in catalog.pools.keys() {
        let shared = world.pool(id);
        let mut pool = lock(&shared);
        shares += pool.allocator_state.forget(now, needed.window_ms);
        let kept = pool.tier_states.values_mut();
        tiers += kept
            .map(|kept| kept.forget(now, needed.window_ms))
            .sum::<usize>();
        states.extend(pool.bank.iter().filter(|s| !needed.state(s)).map(of_state));
        pool.bank.retain(|s| needed.state(s));
        tracks.extend(
            pool.tracks
                .iter()
                .filter(|t| !needed.track(t))
                .map(of_track),
        );
        pool.tracks.retain(|t| needed.track(t));
        let gone = |key: &SeriesKey| !catalog.apis.contains_key(&key.api);
        series.extend(pool.choices.keys().filter(|k| gone(k)).cloned());
        pool.choices.retain(|key, _| !gone(key));
    }
    lock(&world.keeper)
        .left
        .retain(|_, at| now.since_ms(*at) < needed.window_ms);
    for (kind, dropped) in [
        (ModuleKind::Forecaster, states.len()),
        (ModuleKind::Tierer, tiers),
        (ModuleKind::Allocator, shares),
    ] {
        world.metrics.states_dropped(kind.name(), dropped as u64);
    }
    if tiers + shares > 0 {
        tracing::info!(
            tiers,
            shares,
            "dropping what versions kept that no rollback can need"
        );
    }
    forget(world, &states, &tracks, &series)
}

fn forget(
    world: &World,
    states: &[Fit],
    tracks: &[Fit],
    series: &[SeriesKey],
) -> Result<(), StoreError> {
    if !states.is_empty() {
        tracing::info!(
            states = states.len(),
            "dropping states that no api or binding needs"
        );
        States::forget(&*world.store, states)?;
    }
    if !tracks.is_empty() || !series.is_empty() {
        Tracks::forget(&*world.store, tracks, series)?;
    }
    Ok(())
}

/// Tells the collector how good the forecasts of requests have been, of whoever answers now.
fn tell(world: &World) {
    let catalog = world.catalog.load_full();
    let pins = world.policies.pin();
    for api in catalog.apis.values().take(TOLD_APIS).map(|a| &a.value) {
        let key = SeriesKey {
            api: api.id.clone(),
            signal: Signal::Requests,
        };
        let roster = pins.forecaster(api, key.signal);
        let shared = world.pool(&api.pool);
        let pool = lock(&shared);
        let chosen = pool.choices.get(&key).map(|c| c.champion);
        let Some(member) = roster.champion(chosen) else {
            continue;
        };
        let config = fitted_with(&member.config, world.settings.step);
        let Some(track) = pool.tracks.get(&key, member.module.digest, config) else {
            continue;
        };
        let name = api.id.to_string();
        for standing in track
            .bands
            .iter()
            .filter(|b| b.score.outcomes > 0)
            .map(score::standing)
        {
            let band = standing.band.name();
            for c in standing
                .coverage
                .iter()
                .filter(|c| TOLD_LEVELS.contains(&c.level))
            {
                world.metrics.covered(&name, c.level.get(), band, c.below);
            }
            if let Some(loss) = standing.loss {
                world.metrics.lost(&name, band, loss);
            }
        }
    }
}

/// Hands what was stored to the pool of its api. What belongs to apis that are gone, deleted with
/// their pool or while the daemon was down, is dropped.
pub(crate) fn restore(world: &World) -> Result<(), StoreError> {
    let catalog = world.catalog.load_full();
    let home = |key: &SeriesKey| {
        catalog
            .apis
            .get(&key.api)
            .map(|a| world.pool(&a.value.pool))
    };
    let (mut states, mut tracks, mut series) = (vec![], vec![], vec![]);
    for state in States::load(&*world.store)? {
        match home(&state.key) {
            Some(pool) => lock(&pool).bank.put(state),
            None => states.push(of_state(&state)),
        }
    }
    let stored = Tracks::load(&*world.store)?;
    for mut track in stored.tracks {
        match home(&track.key) {
            Some(pool) => {
                let mut pool = lock(&pool);
                if let Some(watch) = track.watch.take() {
                    resume(&mut pool, &track, *watch);
                }
                pool.tracks.put(track);
            }
            None => tracks.push(of_track(&track)),
        }
    }
    for (key, choice) in stored.choices {
        match home(&key) {
            Some(pool) => drop(lock(&pool).choices.insert(key, choice)),
            None => series.push(key),
        }
    }
    forget(world, &states, &tracks, &series)
}

/// A track with the watch over the fit that it belongs to. A watch is of a module's newest fit,
/// whatever its config.
fn watched(pool: &PoolState, track: &Track) -> Track {
    let state = pool.bank.get(&track.key, track.module, track.config);
    let watch = pool.drifts.kept(&(track.key.clone(), track.module));
    let watch = watch.filter(|w| state.is_some_and(|s| s.fitted_at == w.fitted_at));
    Track {
        watch: watch.map(Box::new),
        ..track.clone()
    }
}

/// Goes on with the watch over a fit, if it is still the fit.
fn resume(pool: &mut PoolState, track: &Track, watch: Watch) {
    let state = pool.bank.get(&track.key, track.module, track.config);
    if state.is_some_and(|s| s.fitted_at == watch.fitted_at) {
        pool.drifts.resume((track.key.clone(), track.module), watch);
    }
}

#[cfg(test)]
mod tests;
