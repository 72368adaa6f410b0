//! The shipped modules in a daemon under a driven clock: what is in shadow is compared step by step.

use super::*;
use crate::gate::Gate;
use crate::shipped;
use crate::testing::{api, gate, pool, tenant};
use tidegate_core::life::Side;

fn open(dir: &std::path::Path) -> Gate {
    let gate = gate(dir);
    shipped::install(&gate.world, Timestamp(0)).unwrap();
    gate.world.follow_bindings(None);
    life::restore(&gate.world);
    OnTrial::restore(&gate.world);
    gate
}

#[test]
fn learned_is_in_shadow_of_the_default_allocator_and_what_is_known_outlives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let id: BindingId = "default-allocator".parse().unwrap();
    let first = open(dir.path());
    first.put(vec![tenant("shop"), pool("edge")]);
    first.put(vec![api("shop/orders", "edge")]);
    first.feed("shop/orders", 0..120);
    first.to(120);
    let told = first.world.standing(&id).unwrap();
    assert_eq!(told.candidate.module.name, "learned");
    assert_eq!(told.incumbent.module.name, "waterfill");
    assert_eq!(told.serving, Side::Incumbent);
    assert!(told.pairs > 15, "{told:?}");
    assert!(told.bounds.is_some(), "the judge has been asked: {told:?}");
    let plan = first.world.plans.get(&"edge".parse().unwrap()).unwrap();
    assert_eq!(plan.served.module.name, "waterfill");
    OnTrial::write(&first.world);
    first.world.store.close();
    drop((plan, first));

    let second = open(dir.path());
    let again = second.world.standing(&id).unwrap();
    assert_eq!((again.pairs, again.since), (told.pairs, told.since));
    second.feed("shop/orders", 120..180);
    second.to(180);
    let later = second.world.standing(&id).unwrap();
    assert!(later.pairs > told.pairs, "{later:?}");
}
