//! Swaps between two versions of one module, with real components: what goes on, what is refused, and
//! what is left for the way back. States are put in by hand, so that nothing has to be measured.

use crate::gate::Gate;
use crate::keeper;
use crate::testing::{api, gate, pool, tenant};
use crate::world::lock;
use std::path::Path;
use std::sync::Arc;
use tidegate_core::access::Principal;
use tidegate_core::catalog::{Change, Object};
use tidegate_core::ids::{BindingId, Digest};
use tidegate_core::module::{Binding, ModuleKind, Selector};
use tidegate_core::policy::Kept;
use tidegate_core::ports::serve::{CatalogPort as _, PoliciesPort as _, Run, TrialsPort as _};
use tidegate_core::ports::storage::{SeriesState, States};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::Signal;
use tidegate_flow::forecast::fitted_with;
use tidegate_generations::Guest;

const SERIES: [(&str, f64); 3] = [("shop/a", 10.0), ("shop/b", 2000.0), ("shop/c", 30.0)];

fn push(gate: &Gate, guest: Guest) -> Digest {
    let bytes = guest.component().unwrap();
    let pushed = gate.push(&Principal::local(), None, bytes, vec![]);
    pushed.unwrap().digest
}

fn binding(kind: ModuleKind, module: &str, config: &str) -> Object {
    Object::Binding(Binding {
        id: id(),
        kind,
        selector: Selector::default(),
        module: module.into(),
        config: config.into(),
        challengers: vec![],
        shadow: None,
        gate: tidegate_core::life::Gate::default(),
    })
}

fn id() -> BindingId {
    "all".parse().unwrap()
}

/// A state as the first version writes it.
fn state(api: &str, value: f64, module: Digest, config: &str) -> SeriesState {
    let seen = Timestamp(600_000);
    SeriesState {
        key: SeriesKey {
            api: api.parse().unwrap(),
            signal: Signal::Cpu,
        },
        module,
        config: fitted_with(config, Step::MINUTE),
        format: 1,
        model: Arc::from(config.as_bytes()),
        state: [seen.0.to_le_bytes(), value.to_le_bytes()].concat(),
        fitted_at: seen,
        seen,
        prior: None,
    }
}

/// The first version serves, with a state of every series; the second is there.
fn world(dir: &Path, config: &str) -> (Gate, Digest, Digest) {
    let gate = gate(dir);
    gate.put(vec![tenant("shop"), pool("edge")]);
    gate.put(SERIES.map(|(name, _)| api(name, "edge")).to_vec());
    let first = push(&gate, Guest::FirstForecaster);
    gate.put(vec![binding(ModuleKind::Forecaster, "steady", config)]);
    let states = SERIES.map(|(name, value)| state(name, value, first, config));
    States::save(&*gate.world.store, &states).unwrap();
    keeper::restore(&gate.world).unwrap();
    let second = push(&gate, Guest::SecondForecaster);
    (gate, first, second)
}

fn serving(gate: &Gate) -> Digest {
    let (module, _) = gate.world.policies.serving(&id()).unwrap();
    module.digest
}

/// What is held of a module: the values in its states, by format.
fn held(gate: &Gate, module: Digest) -> Vec<(u32, f64)> {
    let edge = gate.world.pool(&"edge".parse().unwrap());
    let pool = lock(&edge);
    let mine = pool.bank.iter().filter(|s| s.module == module);
    mine.map(|s| {
        let value = s.state[8..16].try_into().unwrap();
        (s.format, f64::from_le_bytes(value))
    })
    .collect()
}

fn all(format: u32) -> Vec<(u32, f64)> {
    SERIES.map(|(_, value)| (format, value)).to_vec()
}

fn bind(gate: &Gate) -> Result<(), String> {
    let bound = gate.bind(&Principal::local(), &id(), "steady", None);
    bound.map(drop).map_err(|error| error.to_string())
}

#[test]
fn every_state_goes_on_under_the_next_version_and_stays_for_the_way_back() {
    let dir = tempfile::tempdir().unwrap();
    let (gate, first, second) = world(dir.path(), "{}");
    bind(&gate).unwrap();
    assert_eq!(serving(&gate), second);
    assert_eq!((held(&gate, second), held(&gate, first)), (all(2), all(1)));
    // Both are on disk; of the second version, since the rehearsal.
    let stored = States::load(&*gate.world.store).unwrap();
    assert_eq!(stored.len(), 2 * SERIES.len());
    gate.rollback(&Principal::local(), &id()).unwrap();
    assert_eq!((serving(&gate), held(&gate, first)), (first, all(1)));
}

#[test]
fn one_state_that_fails_refuses_the_swap_and_changes_nothing() {
    for (fault, words) in [
        (
            "one",
            "1 of 3 failed in rehearsal, the first that of shop/b cpu: numeric failure: 2000",
        ),
        (
            "format",
            "3 of 3 failed in rehearsal, the first that of shop/a cpu: `migrate` wrote format 7",
        ),
        ("trap", "the tide went out"),
        (
            "wild",
            "it foresees 10000000.0000 on average, the version before foresees 10.0000",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (gate, first, second) = world(dir.path(), &format!("{{\"fault\": \"{fault}\"}}"));
        let told = bind(&gate).unwrap_err();
        assert!(told.contains(words), "{fault}: {told}");
        assert!(
            told.contains("steady 1.0.0") && told.contains("`unsupported`"),
            "{told}"
        );
        assert_eq!(serving(&gate), first, "{fault}");
        assert_eq!((held(&gate, first), held(&gate, second)), (all(1), vec![]));

        // Nor by a file.
        let object = binding(
            ModuleKind::Forecaster,
            &format!("steady@{second}"),
            &format!("{{\"fault\": \"{fault}\"}}"),
        );
        let change = Change::Put {
            object: Box::new(object),
            expect: None,
        };
        let told = gate.apply(&Principal::local(), vec![change], Run::Real);
        assert!(told.unwrap_err().to_string().contains(words), "{fault}");
        assert_eq!(serving(&gate), first, "{fault}");
    }
}

#[test]
fn what_the_next_version_does_not_read_is_fitted_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (gate, first, second) = world(dir.path(), r#"{"fault": "unsupported"}"#);
    bind(&gate).unwrap();
    assert_eq!(serving(&gate), second);
    // Nothing was ever measured here, so there is nothing to fit.
    assert_eq!((held(&gate, first), held(&gate, second)), (all(1), vec![]));
}

#[test]
fn another_config_is_another_model_and_takes_nothing_over() {
    let dir = tempfile::tempdir().unwrap();
    let (gate, _, second) = world(dir.path(), "{}");
    let config = Some(r#"{"fault": "none"}"#.to_owned());
    gate.bind(&Principal::local(), &id(), "steady", config)
        .unwrap();
    assert_eq!((serving(&gate), held(&gate, second)), (second, vec![]));
}

#[test]
fn an_end_between_rehearsal_and_swap_leaves_the_old_version_serving() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = {
        let (gate, first, second) = world(dir.path(), "{}");
        let policies = &gate.world.policies;
        let whose = crate::policies::Whose::Shared;
        let loaded = policies.find(&format!("steady@{second}"), whose).unwrap();
        let catalog = gate.world.catalog.load_full();
        super::prepare(&gate.world, &catalog.bindings[&id()].value, &loaded).unwrap();
        assert_eq!(serving(&gate), first);
        // Nothing is closed: what is on disk by now is all that a killed daemon leaves.
        (first, second)
    };
    let gate = gate(dir.path());
    gate.world.follow_bindings(None);
    assert_eq!((serving(&gate), held(&gate, first)), (first, all(1)));
    // Asked again, the swap finds what was made.
    let told = gate.bind(
        &Principal::local(),
        &id(),
        &format!("steady@{second}"),
        None,
    );
    told.unwrap();
    assert_eq!((serving(&gate), held(&gate, second)), (second, all(2)));
}

/// How often the tierer of `shop` was asked, as its state tells.
fn asked(gate: &Gate) -> (u32, u8) {
    let edge = gate.world.pool(&"edge".parse().unwrap());
    let kept: Kept = lock(&edge).tier_states[&"shop".parse().unwrap()].clone();
    (kept.blob.format, kept.blob.bytes[0])
}

#[test]
fn a_tierers_memory_goes_on_through_swap_rollback_and_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = {
        let gate = gate(dir.path());
        gate.put(vec![tenant("shop"), pool("edge")]);
        gate.put(vec![api("shop/a", "edge")]);
        let first = push(&gate, Guest::FirstTierer);
        gate.put(vec![binding(ModuleKind::Tierer, "steady-tiers", "{}")]);
        gate.to(3);
        assert_eq!(asked(&gate), (1, 3));
        push(&gate, Guest::SecondTierer);
        let bound = gate.bind(&Principal::local(), &id(), "steady-tiers", None);
        bound.unwrap();
        gate.to(5);
        assert_eq!(asked(&gate), (2, 5), "the count went on");
        gate.world.store.close();
        first
    };
    // What the first kept is in no memory any more, and in the ledger still.
    let gate = gate(dir.path());
    gate.world.follow_bindings(None);
    gate.world.clock.set(Timestamp(5 * 60_000));
    let back = format!("steady-tiers@{first}");
    let bound = gate.bind(&Principal::local(), &id(), &back, None);
    bound.unwrap();
    gate.to(6);
    assert_eq!(asked(&gate), (1, 4), "from where it was");
}

#[test]
fn a_tierer_that_cannot_read_what_was_kept_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    gate.put(vec![tenant("shop"), pool("edge")]);
    gate.put(vec![api("shop/a", "edge")]);
    let first = push(&gate, Guest::FirstTierer);
    gate.put(vec![binding(ModuleKind::Tierer, "steady-tiers", "{}")]);
    gate.to(2);
    {
        // Two bytes are more than the second version takes from format 1.
        let edge = gate.world.pool(&"edge".parse().unwrap());
        let mut pool = lock(&edge);
        let kept = pool.tier_states.get_mut(&"shop".parse().unwrap()).unwrap();
        kept.blob.bytes = vec![1, 1];
    }
    push(&gate, Guest::SecondTierer);
    let told = gate.bind(&Principal::local(), &id(), "steady-tiers", None);
    let told = told.unwrap_err().to_string();
    assert!(
        told.contains("1 of 1 failed in rehearsal, the first that of tenant shop"),
        "{told}"
    );
    assert_eq!(serving(&gate), first);
}

/// A judge looks at an allocator's trial beside itself with another config, until it has been asked.
fn judged(gate: &Gate) -> BindingId {
    gate.put(vec![tenant("shop"), pool("edge")]);
    gate.put(vec![api("shop/a", "edge")]);
    push(gate, Guest::FirstAllocator);
    push(gate, Guest::FirstJudge);
    let shares: BindingId = "shares".parse().unwrap();
    let Object::Binding(of) = binding(ModuleKind::Allocator, "steady-shares", "{}") else {
        panic!("no binding")
    };
    gate.put(vec![
        binding(ModuleKind::Judge, "steady-judge", "{}"),
        Object::Binding(Binding {
            id: shares.clone(),
            ..of
        }),
    ]);
    let other = Some(r#"{"fault":"none"}"#.to_owned());
    let admin = Principal::local();
    gate.put_in_shadow(&admin, &shares, "steady-shares", other)
        .unwrap();
    for minute in 0..40 {
        gate.feed("shop/a", minute..minute + 1);
        gate.to(minute + 1);
    }
    let standing = gate.world.standing(&shares).unwrap();
    assert!(standing.pairs > 0, "{standing:?}");
    assert!(standing.reason.contains("0 flushes"), "{standing:?}");
    shares
}

#[test]
fn a_judge_that_cannot_go_on_with_a_trial_does_not_take_it_over() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    let shares = judged(&gate);
    let first = serving(&gate);
    push(&gate, Guest::SecondJudge);
    let admin = Principal::local();
    let swap = || gate.bind(&admin, &id(), "steady-judge", None);
    let told = swap().unwrap_err().to_string();
    let part = "of 2 failed in rehearsal, the first that of the trial of binding shares, what its plans cost";
    assert!(told.contains(part), "{told}");
    assert!(told.contains("nothing was shown to it"), "{told}");
    assert_eq!(serving(&gate), first);
    // Where nothing is on trial there is nothing to take over.
    gate.end_shadow(&admin, &shares).unwrap();
    gate.to(50);
    swap().unwrap();
    assert_ne!(serving(&gate), first);
}
