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
//! configs that no binding names. A module that was just unbound is not unneeded yet: for a day,
//! binding it again, which is what a person does who sees that the new one is worse, finds its states.
//! It looks by the clock and not by the catalog's changes, because most become unneeded by waiting.

use crate::world::{World, lock};
use std::collections::BTreeSet;
use tidegate_core::catalog::Catalog;
use tidegate_core::forecast::{Track, Watch};
use tidegate_core::ids::Digest;
use tidegate_core::ports::storage::{Fit, SeriesState, States, StoreError, Tracks};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;
use tidegate_core::units::{Level, Signal};
use tidegate_flow::cycle::{Delta, Pins as _, PoolState};
use tidegate_flow::forecast::{fitted_with, score};
use tidegate_telemetry::TOLD_APIS;

/// How often it looks.
const EVERY_MS: i64 = 3_600_000;

/// How long a state outlives the last fit of a module that no binding names.
const ROLLBACK_MS: i64 = 86_400_000;

/// Levels of which the coverage is a metric.
const TOLD_LEVELS: [Level; 3] = [Level::P50, Level::P90, Level::P99];

/// What is to be written, and when it was.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    looked: Option<Timestamp>,
    learned: BTreeSet<Fit>,
    chosen: BTreeSet<SeriesKey>,
}

/// What is needed, at an instant.
struct Needed<'a> {
    catalog: &'a Catalog,
    now: Timestamp,
    /// Modules that serve, challenge or are compared in silence, with their configs.
    named: BTreeSet<(Digest, Digest)>,
    /// Modules that would come back, with whatever config they had.
    behind: BTreeSet<Digest>,
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
        }
    }

    fn needs(&self, (key, module, config): &Fit, at: Timestamp) -> bool {
        let named = self.named.contains(&(*module, *config)) || self.behind.contains(module);
        let recent = || self.now.since_ms(at) < ROLLBACK_MS;
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
    for id in catalog.pools.keys() {
        let shared = world.pool(id);
        let mut pool = lock(&shared);
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
mod tests {
    use super::*;
    use crate::gate::Gate;
    use crate::testing::{api, gate, pool, tenant};
    use std::sync::Arc;
    use tidegate_core::forecast::{Choice, Ground, Prior, Sums};
    use tidegate_core::time::Step;

    const DAY: i64 = 24 * 60;

    fn state(api: &str, module: &str, fitted_minute: i64) -> SeriesState {
        let at = Timestamp(fitted_minute * 60_000);
        SeriesState {
            key: SeriesKey {
                api: api.parse().unwrap(),
                signal: Signal::Requests,
            },
            module: Digest::of(module.as_bytes()),
            config: Digest::of(b"{}"),
            format: 1,
            model: Arc::from(module.as_bytes()),
            state: vec![1],
            fitted_at: at,
            seen: at,
            prior: None,
        }
    }

    fn world(dir: &std::path::Path, states: &[SeriesState]) -> Gate {
        let gate = gate(dir);
        if gate.world.catalog.load().tenants.is_empty() {
            gate.put(vec![tenant("shop"), pool("edge")]);
            gate.put(vec![api("shop/a", "edge"), api("shop/b", "edge")]);
        }
        States::save(&*gate.world.store, states).unwrap();
        restore(&gate.world).unwrap();
        gate
    }

    fn stored(gate: &Gate) -> Vec<SeriesState> {
        States::load(&*gate.world.store).unwrap()
    }

    fn held(gate: &Gate) -> usize {
        let edge = gate.world.pool(&"edge".parse().unwrap());
        lock(&edge).bank.iter().count()
    }

    #[test]
    fn a_state_of_a_module_that_no_binding_names_outlives_its_last_fit_by_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let gate = world(
            dir.path(),
            &[state("shop/a", "old", 0), state("shop/b", "old", 60)],
        );
        assert_eq!(held(&gate), 2);
        sweep(&gate.world, Timestamp((DAY - 1) * 60_000)).unwrap();
        assert_eq!((held(&gate), stored(&gate).len()), (2, 2));
        sweep(&gate.world, Timestamp(DAY * 60_000)).unwrap();
        assert_eq!(held(&gate), 1);
        assert_eq!(stored(&gate), [state("shop/b", "old", 60)]);
    }

    #[test]
    fn a_deleted_api_takes_its_states_along() {
        let dir = tempfile::tempdir().unwrap();
        let gate = world(
            dir.path(),
            &[state("shop/a", "ets", 0), state("shop/b", "ets", 0)],
        );
        gate.delete(&[api("shop/a", "edge")]);
        sweep(&gate.world, Timestamp(60_000)).unwrap();
        assert_eq!(stored(&gate), [state("shop/b", "ets", 0)]);

        // With its pool, at run time, and after a restart.
        gate.delete(&[api("shop/b", "edge"), pool("edge")]);
        gate.world.store.close();
        drop(gate);
        let gate = crate::testing::gate(dir.path());
        assert_eq!(stored(&gate), []);
    }

    #[test]
    fn it_looks_by_the_hour_of_the_datas_clock() {
        let dir = tempfile::tempdir().unwrap();
        let gate = world(dir.path(), &[state("shop/a", "old", 0)]);
        gate.to(1);
        gate.delete(&[api("shop/a", "edge")]);
        gate.to(59);
        assert_eq!(stored(&gate).len(), 1);
        gate.to(61);
        assert_eq!(stored(&gate), []);
    }

    #[test]
    fn what_was_learned_is_written_by_the_hour_and_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let of = SeriesState {
            prior: Some(Prior {
                category: "web".into(),
                peers: 3,
                own_s: 7_200,
            }),
            ..state("shop/a", "theta", 0)
        };
        let gate = world(dir.path(), std::slice::from_ref(&of));
        let watched = (of.key.clone(), of.module);
        let watch = Watch {
            fitted_at: of.fitted_at,
            sums: Sums {
                seen: 400,
                up: 11.5,
                ..Sums::default()
            },
            shifted: None,
        };
        let track = Track::new(of.key.clone(), of.module, of.config, Step::MINUTE);
        let choice = Choice {
            champion: of.module,
            since: Timestamp(0),
            ground: Ground::Series,
            rival: None,
        };
        let delta = || Delta {
            tracks: vec![Track {
                issued: Timestamp(0),
                ..track.clone()
            }],
            choices: vec![(of.key.clone(), choice)],
            ..Delta::default()
        };
        let edge = gate.world.pool(&"edge".parse().unwrap());
        {
            let mut pool = lock(&edge);
            Keeper::note(&gate.world, &pool, &delta());
            pool.commit(delta(), None);
            pool.drifts.resume(watched.clone(), watch);
        }
        let stored = || Tracks::load(&*gate.world.store).unwrap();
        assert_eq!(stored().tracks, []);
        Keeper::turn(&gate.world, Timestamp(60_000));
        assert_eq!((stored().tracks.len(), stored().choices.len()), (1, 1));

        gate.world.store.close();
        drop((edge, gate));
        let gate = crate::testing::gate(dir.path());
        let edge = gate.world.pool(&"edge".parse().unwrap());
        assert_eq!(lock(&edge).choices.get(&of.key), Some(&choice));
        assert!(lock(&edge).tracks.of(&of.key).next().is_some());
        // Halfway to a shift, and still knowing that its past was composed.
        assert_eq!(lock(&edge).drifts.kept(&watched), Some(watch));
        let state = lock(&edge).bank.get(&of.key, of.module, of.config).cloned();
        assert_eq!(state.unwrap().prior, of.prior);

        // The api goes, and its scores with it.
        gate.delete(&[api("shop/a", "edge")]);
        sweep(&gate.world, Timestamp(120_000)).unwrap();
        let left = Tracks::load(&*gate.world.store).unwrap();
        assert_eq!((left.tracks.len(), left.choices.len()), (0, 0));
    }
}
