//! Who may bind, push and roll back what, on the shipped modules: admitting them is the slow part, so
//! one world serves several sentences.

use super::*;
use crate::shipped;
use crate::testing::{api, gate, of, pool, tenant};
use tidegate_core::catalog::ObjectKind;
use tidegate_core::module::{Challenger, ModuleKind, Selector};
use tidegate_core::policy::CallError;
use tidegate_core::ports::serve::{CatalogPort, Run};
use tidegate_core::roster::Fault;
use tidegate_core::time::Timestamp;
use tidegate_core::units::Signal;
use tidegate_flow::cycle::Pins as _;

fn binding(id: &str, module: &str, tenant: Option<&str>) -> Object {
    Object::Binding(Binding {
        id: id.parse().unwrap(),
        kind: ModuleKind::Forecaster,
        selector: Selector {
            tenant: tenant.map(|t| t.parse().unwrap()),
            ..Selector::default()
        },
        module: module.into(),
        config: "{}".into(),
        challengers: vec![],
    })
}

fn id(text: &str) -> BindingId {
    text.parse().unwrap()
}

/// Two tenants; `shop-own` serves shop, the default bindings everybody.
fn world(dir: &std::path::Path) -> Gate {
    let gate = gate(dir);
    shipped::install(&gate.world, Timestamp(0)).unwrap();
    gate.world.follow_bindings(None);
    if gate.world.catalog.load().tenants.is_empty() {
        gate.put(vec![tenant("shop"), tenant("bank"), pool("edge")]);
        gate.put(vec![api("shop/orders", "edge")]);
        gate.put(vec![
            binding("shop-own", "seasonal-naive", Some("shop")),
            binding("bank-own", "ets", Some("bank")),
        ]);
    }
    gate
}

/// Lets the module of a binding fail until it is rolled back.
fn fail(gate: &Gate, binding: &str) {
    let (module, _) = gate.world.policies.serving(&id(binding)).unwrap();
    for _ in 0..4 {
        gate.world.report_faults(&[Fault {
            module: module.clone(),
            error: CallError::Trap("unreachable".into()),
            subject: "shop/orders requests".into(),
        }]);
    }
}

#[test]
fn what_was_rolled_back_comes_back_by_an_operators_word_for_its_binding_alone() {
    let dir = tempfile::tempdir().unwrap();
    let first = world(dir.path());
    fail(&first, "shop-own");
    assert_eq!(first.world.policies.serving(&id("shop-own")), None);
    first.world.store.close();
    drop(first);

    // After a restart the catalog still names it, and the quarantine still holds.
    let gate = world(dir.path());
    let admin = Principal::local();
    assert_eq!(gate.world.policies.serving(&id("shop-own")), None);
    gate.bind(&admin, &id("bank-own"), "ets", None).unwrap();
    assert_eq!(
        gate.world.policies.serving(&id("shop-own")),
        None,
        "RB1: the word for another binding brought it back"
    );

    // Nor by the catalog, nor by a word of the tenant.
    let change = Change::Put {
        object: Box::new(binding("more", "seasonal-naive", None)),
        expect: None,
    };
    let refused = gate.apply(&admin, vec![change], Run::Real).unwrap_err();
    assert!(refused.to_string().contains("RB1"), "{refused}");
    let writer = of(Role::Writer, &["shop"]);
    let refused = gate.bind(&writer, &id("shop-own"), "seasonal-naive", None);
    assert!(matches!(refused, Err(ServeError::Precondition(_))));

    let slot = gate.bind(&admin, &id("shop-own"), "seasonal-naive", None);
    assert_eq!(slot.unwrap().active.name, "seasonal-naive");
    fail(&gate, "shop-own");
    assert_eq!(gate.world.policies.serving(&id("shop-own")), None);
    // The same word again is no less a word for being what the catalog says already.
    let slot = gate.bind(&admin, &id("shop-own"), "seasonal-naive", None);
    assert_eq!(slot.unwrap().active.name, "seasonal-naive");
}

#[test]
fn a_tenant_neither_harms_nor_sees_what_serves_others() {
    let dir = tempfile::tempdir().unwrap();
    let gate = world(dir.path());
    let shop = of(Role::Writer, &["shop"]);

    // `ets` serves bank and everybody without a binding of their own.
    gate.bind(&shop, &id("shop-own"), "ets", None).unwrap();
    let refused = gate.rollback(&shop, &id("shop-own"));
    assert!(matches!(refused, Err(ServeError::Precondition(_))));
    gate.bind(&shop, &id("shop-own"), "seasonal-naive", None)
        .unwrap();
    assert_eq!(
        gate.rollback(&shop, &id("shop-own")).unwrap().active.name,
        "ets"
    );

    let seen = gate.modules(&shop).unwrap();
    let serving: Vec<_> = seen.iter().flat_map(|m| &m.serving).collect();
    assert!(serving.contains(&&id("shop-own")) && !serving.contains(&&id("bank-own")));

    // Its name is taken, by whom is not said.
    let change = Change::Put {
        object: Box::new(binding("bank-own", "ets", Some("shop"))),
        expect: None,
    };
    let refused = gate.apply(&shop, vec![change], Run::Real).unwrap_err();
    let told = refused.to_string().replace("bank-own", "");
    assert!(!told.contains("bank"), "{refused}");
    assert!(gate.world.catalog.load().list(ObjectKind::Binding).len() >= 6);
}

#[test]
fn challengers_are_pinned_refused_with_a_remedy_and_stand_aside_when_quarantined() {
    let dir = tempfile::tempdir().unwrap();
    let gate = world(dir.path());
    let admin = Principal::local();
    let contested = |challengers: &[(&str, &str)]| {
        let Object::Binding(mut binding) = binding("shop-own", "ets", Some("shop")) else {
            panic!("no binding")
        };
        let named = challengers.iter().map(|(module, config)| Challenger {
            module: (*module).into(),
            config: (*config).into(),
        });
        binding.challengers = named.collect();
        let change = Change::Put {
            object: Box::new(Object::Binding(binding)),
            expect: None,
        };
        gate.apply(&admin, vec![change], Run::Real)
    };
    for (challenger, field, remedy) in [
        (("nobody", "{}"), "challengers[0].module", "policy push"),
        (
            ("waterfill", "{}"),
            "challengers[0].module",
            "only a forecaster",
        ),
        (("seasonal-naive", "[]"), "challengers[0].config", ""),
    ] {
        let refused = contested(&[challenger]).unwrap_err().to_string();
        assert!(
            refused.contains(field) && refused.contains(remedy),
            "{refused}"
        );
    }

    contested(&[("seasonal-naive", "{}")]).unwrap();
    let declared = |id_text: &str| {
        gate.world.catalog.load().bindings[&id(id_text)]
            .value
            .clone()
    };
    let pinned = declared("shop-own").challengers[0].module.clone();
    assert!(pinned.starts_with("seasonal-naive@"), "{pinned}");
    let orders = "shop/orders".parse().unwrap();
    let rivals = || {
        let catalog = gate.world.catalog.load();
        let pins = gate.world.policies.pin();
        let roster = pins.forecaster(&catalog.apis[&orders].value, Signal::Requests);
        roster.challengers
    };
    let rival = rivals().pop().unwrap();
    assert_eq!(rival.module.name, "seasonal-naive");

    // Bound by hand, it is a challenger no more, and is none when the slot has rolled back.
    gate.bind(&admin, &id("shop-own"), "seasonal-naive", None)
        .unwrap();
    assert!(rivals().is_empty() && declared("shop-own").challengers.is_empty());
    contested(&[("seasonal-naive", "{}")]).unwrap();
    assert_eq!(rivals().len(), 1);

    // RB1: what was rolled back elsewhere does not come back by winning a series here.
    gate.bind(&admin, &id("bank-own"), "seasonal-naive", None)
        .unwrap();
    fail(&gate, "bank-own");
    assert!(gate.world.policies.is_quarantined(rival.module.digest));
    assert!(rivals().is_empty());
    contested(&[]).unwrap();
    let refused = contested(&[("seasonal-naive", "{}")]).unwrap_err();
    assert!(refused.to_string().contains("RB1"), "{refused}");
}

#[test]
fn a_tenant_cannot_push_under_a_name_that_others_bind() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    let ets = shipped::SHIPPED.iter().find(|s| s.name == "ets").unwrap();
    let local = Principal::local();
    gate.push(&local, ets.bytes.to_vec()).unwrap();
    // Another component of the same name: a custom section more changes the digest alone.
    let mut other = ets.bytes.to_vec();
    other.extend_from_slice(&[0, 3, 1, b'x', 0]);
    let shop = of(Role::Writer, &["shop"]);
    let refused = gate.push(&shop, other.clone()).unwrap_err();
    assert!(refused.to_string().contains("not yours"), "{refused}");
    assert!(gate.push(&local, other).is_ok());
}
