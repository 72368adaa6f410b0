//! Acts that the end of the daemon has cut short: the next start ends them, and the journal tells it.

use super::*;
use crate::life;
use tidegate_core::catalog::Catalog;
use tidegate_core::life::{Actor, Event};
use tidegate_core::ports::serve::TrialsPort as _;
use tidegate_core::ports::storage::CatalogStore;

fn again(gate: Gate, dir: &std::path::Path) -> Gate {
    gate.world.store.close();
    drop(gate);
    let gate = world(dir);
    life::restore(&gate.world);
    gate
}

fn last(gate: &Gate, count: usize) -> Vec<(Event, Actor)> {
    let steps = gate.history(&Principal::local(), "shop-own").unwrap();
    let from = steps.len() - count;
    steps
        .into_iter()
        .skip(from)
        .map(|s| (s.event, s.by))
        .collect()
}

fn serves(gate: &Gate) -> Option<String> {
    let serving = gate.world.policies.serving(&id("shop-own"));
    serving.map(|(module, _)| module.name)
}

#[test]
fn a_rollback_that_got_as_far_as_the_quarantine_is_done_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (gate, own) = (world(dir.path()), id("shop-own"));
    let admin = Principal::local();
    gate.bind(&admin, &own, "ets", None).unwrap();
    gate.world.policies.rollback(&own).unwrap();
    gate.world.keep_quarantine().unwrap();

    let gate = again(gate, dir.path());
    assert_eq!(serves(&gate).as_deref(), Some("seasonal-naive"));
    let told = [Event::RolledBack, Event::Quarantined].map(|e| (e, Actor::Daemon));
    assert_eq!(last(&gate, 2), told);
    // Once is enough.
    let count = gate.history(&admin, "shop-own").unwrap().len();
    let gate = again(gate, dir.path());
    assert_eq!(gate.history(&admin, "shop-own").unwrap().len(), count);
    assert_eq!(serves(&gate).as_deref(), Some("seasonal-naive"));
}

#[test]
fn a_shadow_that_was_condemned_and_not_ended_is_ended_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (gate, own) = (world(dir.path()), id("shop-own"));
    gate.put_in_shadow(&Principal::local(), &own, "ets", None)
        .unwrap();
    let digest = gate.world.standing(&own).unwrap().candidate.module.digest;
    gate.world.policies.condemn_at(&own, digest);
    gate.world.keep_quarantine().unwrap();

    let gate = again(gate, dir.path());
    assert!(gate.world.standing(&own).is_none());
    let told = [Event::ShadowEnded, Event::Quarantined].map(|e| (e, Actor::Daemon));
    assert_eq!(last(&gate, 2), told);
}

#[test]
fn a_swap_whose_step_could_not_be_written_is_told_of_as_found() {
    let dir = tempfile::tempdir().unwrap();
    let (gate, own) = (world(dir.path()), id("shop-own"));
    life::restore(&gate.world);
    let stands = gate.world.catalog.load().bindings[&own].value.clone();
    let ets = gate.world.policies.pinned(&Binding {
        module: "ets".into(),
        ..stands
    });
    let change = Change::Put {
        object: Box::new(Object::Binding(ets.unwrap())),
        expect: None,
    };
    let (next, _) = Catalog::apply(&gate.world.catalog.load(), &[change]).unwrap();
    CatalogStore::save(&*gate.world.store, &next).unwrap();

    let gate = again(gate, dir.path());
    assert_eq!(serves(&gate).as_deref(), Some("ets"));
    let step = gate.history(&Principal::local(), "shop-own").unwrap().pop();
    let step = step.unwrap();
    assert_eq!((step.event, &step.by), (Event::Bound, &Actor::Daemon));
    assert_eq!(step.from.unwrap().module.name, "seasonal-naive");
    assert!(step.reason.contains("no step tells"), "{}", step.reason);
    // So it is watched, as any other swap is.
    assert!(life::trial(&gate.world, &own).is_some_and(|t| t.is_watch()));
}

#[test]
fn what_cannot_be_written_leaves_catalog_journal_and_slot_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let (gate, own) = (world(dir.path()), id("shop-own"));
    let admin = Principal::local();
    let past = || gate.history(&admin, "shop-own").unwrap();
    let (before, catalog) = (past(), gate.world.catalog.load_full());
    gate.world.store.close();
    assert!(gate.put_in_shadow(&admin, &own, "theta", None).is_err());
    assert_eq!(past(), before);
    assert_eq!(*gate.world.catalog.load_full(), *catalog);
    assert_eq!(serves(&gate).as_deref(), Some("seasonal-naive"));
}
