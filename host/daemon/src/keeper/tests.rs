//! What is kept how long, in a world of states that nobody fitted.

use super::*;
use crate::gate::Gate;
use crate::testing::{api, gate, pool, tenant};
use std::sync::Arc;
use tidegate_core::forecast::{Choice, Ground, Prior, Sums};
use tidegate_core::module::ModuleRef;
use tidegate_core::policy::Blob;
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

#[test]
fn what_a_version_left_stays_for_a_day_after_it_served_last() {
    let dir = tempfile::tempdir().unwrap();
    let gate = world(dir.path(), &[state("shop/a", "old", 0)]);
    let serves_until = Timestamp(DAY * 60_000 / 2);
    lock(&gate.world.keeper).leave(Digest::of(b"old"), serves_until);
    sweep(&gate.world, Timestamp(DAY * 60_000)).unwrap();
    assert_eq!(stored(&gate).len(), 1, "a rollback may still need it");
    sweep(&gate.world, Timestamp(DAY * 90_000)).unwrap();
    assert_eq!(stored(&gate), []);
}

#[test]
fn what_an_allocator_left_goes_when_no_rollback_can_need_it() {
    let dir = tempfile::tempdir().unwrap();
    let gate = world(dir.path(), &[]);
    let module = |text: &str| ModuleRef {
        name: "shares".into(),
        version: text.into(),
        digest: Digest::of(text.as_bytes()),
    };
    let blob = |byte| Blob {
        format: 1,
        bytes: vec![byte],
    };
    let edge = gate.world.pool(&"edge".parse().unwrap());
    {
        let kept = &mut lock(&edge).allocator_state;
        kept.follow(module("1"), blob(1), Timestamp(0));
        kept.follow(module("2"), blob(2), Timestamp(60_000));
    }
    let left = || lock(&edge).allocator_state.own(&module("1")).cloned();
    sweep(&gate.world, Timestamp(DAY * 60_000)).unwrap();
    assert_eq!(left(), Some(blob(1)));
    sweep(&gate.world, Timestamp((DAY + 1) * 60_000)).unwrap();
    assert_eq!(left(), None);
}
