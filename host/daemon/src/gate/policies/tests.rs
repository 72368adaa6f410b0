//! Who may bind, push and roll back what, on the shipped modules: admitting them is the slow part, so
//! one world serves several sentences.

mod cut_short;
mod versions;

use super::*;
use crate::shipped;
use crate::testing::{api, gate, of, pool, tenant};
use tidegate_core::catalog::{Change, Object, ObjectKey, ObjectKind};
use tidegate_core::module::{Challenger, ModuleKind, Selector};
use tidegate_core::policy::CallError;
use tidegate_core::ports::serve::{CatalogPort, Run};
use tidegate_core::ports::storage::Modules;
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
        shadow: None,
        gate: tidegate_core::life::Gate::default(),
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
            binding: Some(id(binding)),
            error: CallError::Trap("unreachable".into()),
            subject: "shop/orders requests".into(),
        }]);
    }
}

#[test]
fn what_was_rolled_back_comes_back_by_a_word_for_its_binding_alone() {
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
    // Nor by the catalog.
    gate.put(vec![binding("shop-own", "ets", Some("shop"))]);
    let change = Change::Put {
        object: Box::new(binding("shop-own", "seasonal-naive", Some("shop"))),
        expect: None,
    };
    let refused = gate.apply(&admin, vec![change], Run::Real).unwrap_err();
    assert!(refused.to_string().contains("RB1"), "{refused}");

    // By the word of whose binding it is; and again, although the catalog says so already.
    let writer = of(Role::Writer, &["shop"]);
    for _ in 0..2 {
        let slot = gate.bind(&writer, &id("shop-own"), "seasonal-naive", None);
        assert_eq!(slot.unwrap().active.name, "seasonal-naive");
        fail(&gate, "shop-own");
        assert_ne!(
            gate.world
                .policies
                .serving(&id("shop-own"))
                .map(|(m, _)| m.name),
            Some("seasonal-naive".into())
        );
    }
}

#[test]
fn one_tenants_bad_data_takes_a_module_from_nobody_else_until_it_fails_for_another_too() {
    let dir = tempfile::tempdir().unwrap();
    let gate = world(dir.path());
    let admin = Principal::local();
    gate.put(vec![
        binding("bank-own", "seasonal-naive", Some("bank")),
        binding("for-all", "seasonal-naive", None),
    ]);
    let serves = |binding: &str| {
        let serving = gate.world.policies.serving(&id(binding));
        serving.is_some_and(|(m, _)| m.name == "seasonal-naive")
    };
    let listed = |caller: &Principal| {
        let all = gate.modules(caller).unwrap();
        let module = all
            .into_iter()
            .find(|m| m.manifest.name == "seasonal-naive");
        let module = module.unwrap();
        (module.quarantined, module.quarantined_for)
    };

    fail(&gate, "shop-own");
    assert!(!serves("shop-own") && serves("bank-own") && serves("for-all"));
    let (shop, bank) = (of(Role::Writer, &["shop"]), of(Role::Writer, &["bank"]));
    assert_eq!(listed(&shop), (false, vec![id("shop-own")]));
    assert_eq!(
        listed(&bank),
        (false, vec![]),
        "it is nobody else's business"
    );
    // Elsewhere it can still be bound.
    gate.put(vec![binding("bank-more", "seasonal-naive", Some("bank"))]);
    assert!(serves("bank-more"));

    fail(&gate, "bank-own");
    assert_eq!(listed(&admin), (true, vec![id("bank-own"), id("shop-own")]));
    // Withdrawn: nobody but an operator binds it anew; where it serves well it goes on.
    assert!(serves("for-all") && serves("bank-more"));
    let refused = gate.bind(&bank, &id("bank-own"), "seasonal-naive", None);
    assert!(matches!(refused, Err(ServeError::Precondition(_))));
    gate.bind(&admin, &id("bank-own"), "seasonal-naive", None)
        .unwrap();
    assert!(serves("bank-own"));
}

#[test]
fn a_tenant_neither_harms_nor_sees_what_serves_others() {
    let dir = tempfile::tempdir().unwrap();
    let gate = world(dir.path());
    let shop = of(Role::Writer, &["shop"]);

    // `ets` serves bank: a rollback of shop's own binding condemns it there alone.
    gate.bind(&shop, &id("shop-own"), "ets", None).unwrap();
    gate.rollback(&shop, &id("shop-own")).unwrap();
    let (serving, _) = gate.world.policies.serving(&id("bank-own")).unwrap();
    assert_eq!(serving.name, "ets");
    assert!(gate.world.policies.admits(&id("bank-own"), serving.digest));
    assert!(!gate.world.policies.admits(&id("shop-own"), serving.digest));

    let seen = gate.modules(&shop).unwrap();
    let serving: Vec<_> = seen.iter().flat_map(|m| &m.serving).collect();
    assert!(serving.contains(&&id("shop-own")) && !serving.contains(&&id("bank-own")));

    // What is taken and what is free is refused in the same words; under its own name it may.
    let put_of = |name: &str, module: &str| {
        let change = Change::Put {
            object: Box::new(binding(name, module, Some("shop"))),
            expect: None,
        };
        gate.apply(&shop, vec![change], Run::Real)
    };
    let put = |name: &str| put_of(name, "ets");
    let taken = put("bank-own").unwrap_err().to_string();
    let free = put("bank-non").unwrap_err().to_string();
    assert_eq!(taken.replace("bank-own", "bank-non"), free);
    assert!(taken.contains("`shop/NAME`"), "{taken}");
    for name in ["bank/own", "bank/non"] {
        assert!(put(name).unwrap_err().to_string().contains("shop/"));
    }
    put("shop/mine").unwrap();
    let delete = |name: &str| {
        let key = ObjectKey {
            kind: ObjectKind::Binding,
            name: name.into(),
        };
        let change = Change::Delete { key, expect: None };
        let refused = gate.apply(&shop, vec![change], Run::Dry).unwrap_err();
        refused.to_string().replace(name, "_")
    };
    assert_eq!(delete("bank-own"), delete("bank-non"));
    // What it had before there was this rule stays its own; what was rolled back there stays away.
    let back = put("shop-own").unwrap_err().to_string();
    assert!(back.contains("(RB1)"), "{back}");
    put_of("shop-own", "seasonal-naive").unwrap();
    assert!(gate.world.catalog.load().list(ObjectKind::Binding).len() >= 7);
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
    let rival = rivals().first().cloned().unwrap();
    assert_eq!(rival.module.name, "seasonal-naive");

    // Bound by hand, it is a challenger no more, and is none when the slot has rolled back.
    gate.bind(&admin, &id("shop-own"), "seasonal-naive", None)
        .unwrap();
    assert!(rivals().is_empty() && declared("shop-own").challengers.is_empty());
    contested(&[("seasonal-naive", "{}")]).unwrap();
    assert_eq!(rivals().len(), 1);

    // RB1: what was rolled back here does not come back by winning a series.
    contested(&[]).unwrap();
    gate.bind(&admin, &id("shop-own"), "seasonal-naive", None)
        .unwrap();
    fail(&gate, "shop-own");
    assert!(
        !gate
            .world
            .policies
            .admits(&id("shop-own"), rival.module.digest)
    );
    let refused = contested(&[("seasonal-naive", "{}")]).unwrap_err();
    assert!(refused.to_string().contains("RB1"), "{refused}");
    assert!(rivals().is_empty());
}

/// Another component of the same name: a custom section more changes the digest alone.
fn another(bytes: &[u8], mark: u8) -> Vec<u8> {
    let mut other = bytes.to_vec();
    other.extend_from_slice(&[0, 3, 1, mark, 0]);
    other
}

fn component(name: &str) -> Vec<u8> {
    let found = shipped::SHIPPED.iter().find(|s| s.name == name);
    found.unwrap().bytes.to_vec()
}

#[test]
fn a_tenant_cannot_push_under_a_name_that_everybody_binds() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    gate.put(vec![tenant("shop")]);
    let (ets, local) = (component("ets"), Principal::local());
    gate.push(&local, None, ets.clone(), vec![]).unwrap();
    let shop = of(Role::Writer, &["shop"]);
    let refused = gate
        .push(&shop, None, another(&ets, b'x'), vec![])
        .unwrap_err();
    assert!(refused.to_string().contains("shared module"), "{refused}");
    // The same bytes are nothing that it would have to hold.
    let known = gate.push(&shop, None, ets.clone(), vec![]).unwrap();
    assert_eq!(
        (
            known.owner,
            gate.world.policies.held_by(&"shop".parse().unwrap())
        ),
        (None, 0)
    );
    assert!(gate.push(&local, None, another(&ets, b'x'), vec![]).is_ok());
    // What divides a pool is the operator's to push.
    let refused = gate
        .push(&shop, None, component("waterfill"), vec![])
        .unwrap_err();
    assert!(matches!(refused, ServeError::Denied(_)), "{refused}");
}

#[test]
fn a_tenants_modules_are_its_own_and_as_many_as_it_may_hold() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    gate.put(vec![tenant("shop"), tenant("bank")]);
    let (ets, admin) = (component("ets"), Principal::local());
    let (shop, bank) = (of(Role::Writer, &["shop"]), of(Role::Writer, &["bank"]));
    let both = of(Role::Writer, &["bank", "shop"]);
    let shop_id: TenantId = "shop".parse().unwrap();

    // For whom, if the credential holds several? And for whom not.
    let unsaid = gate.push(&both, None, ets.clone(), vec![]).unwrap_err();
    assert!(unsaid.to_string().contains("for which"), "{unsaid}");
    let foreign = gate.push(&bank, Some(shop_id.clone()), ets.clone(), vec![]);
    assert!(matches!(foreign, Err(ServeError::NotFound { .. })));

    let mine = gate
        .push(&both, Some(shop_id.clone()), ets.clone(), vec![])
        .unwrap();
    assert_eq!(mine.owner, Some(shop_id.clone()));
    assert_eq!(gate.modules(&shop).unwrap().len(), 1);
    assert!(gate.modules(&bank).unwrap().is_empty());

    // Bank may have the same bytes, and learns of nobody else who has them.
    let theirs = gate.push(&bank, None, ets.clone(), vec![]).unwrap();
    assert_eq!(
        (theirs.pushed_by.as_str(), theirs.digest),
        ("writer-bank", mine.digest)
    );

    // What is shop's binds for shop alone: not for another, not for everybody, not by digest.
    let digest = gate
        .push(&shop, None, another(&ets, b'1'), vec![])
        .unwrap()
        .digest
        .to_string();
    let named = format!("ets@{}", &digest[..12]);
    let bind = |caller: &Principal, name: &str, tenant: Option<&str>| {
        let change = Change::Put {
            object: Box::new(binding(name, &named, tenant)),
            expect: None,
        };
        gate.apply(caller, vec![change], Run::Dry)
    };
    bind(&shop, "shop/ets", Some("shop")).unwrap();
    for (caller, name, tenant) in [
        (&bank, "bank/ets", Some("bank")),
        (&admin, "all", None),
        (&admin, "bank/ets", Some("bank")),
    ] {
        let refused = bind(caller, name, tenant).unwrap_err();
        assert!(matches!(refused, ServeError::NotFound { .. }), "{refused}");
    }

    // Four are its quota; the fifth is refused and nothing else is lost.
    for mark in [b'2', b'3'] {
        gate.push(&shop, None, another(&ets, mark), vec![]).unwrap();
    }
    let refused = gate
        .push(&shop, None, another(&ets, b'4'), vec![])
        .unwrap_err();
    let ServeError::Quota(exceeded) = refused else {
        panic!("{refused}")
    };
    assert_eq!((exceeded.limit, exceeded.retry_ms), (4, None));
    assert_eq!(gate.modules(&shop).unwrap().len(), 4);
    gate.push(&shop, None, ets.clone(), vec![]).unwrap();
    gate.push(&bank, None, another(&ets, b'4'), vec![]).unwrap();
    let used = gate.usage(&shop, &shop_id).unwrap();
    assert_eq!(used.modules, 4);
    assert_eq!(gate.usage(&bank, &shop_id), None);

    // After a restart they are still whose they were.
    gate.world.store.close();
    drop(gate);
    let gate = crate::testing::gate(dir.path());
    assert_eq!(gate.modules(&shop).unwrap().len(), 4);
    assert_eq!(gate.modules(&bank).unwrap().len(), 2);
    assert_eq!(gate.modules(&admin).unwrap().len(), 5);
}

#[test]
fn a_module_goes_when_nothing_uses_it_and_what_uses_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let gate = world(dir.path());
    let admin = Principal::local();
    let digest = |name: &str| {
        let all = gate.modules(&admin).unwrap();
        all.into_iter()
            .find(|m| m.manifest.name == name)
            .map(|m| m.digest)
    };
    let refused = |caller: &Principal, owner: Option<&str>, module: &str| {
        let owner = owner.map(|t| t.parse().unwrap());
        gate.remove(caller, owner, module).unwrap_err().to_string()
    };
    let used = refused(&admin, None, "seasonal-naive");
    assert!(used.contains("it serves binding shop-own"), "{used}");
    // What serves no more still answers if the next fails.
    gate.bind(&admin, &id("shop-own"), "ets", None).unwrap();
    let used = refused(&admin, None, "seasonal-naive");
    assert!(
        used.contains("if what serves failed for binding shop-own"),
        "{used}"
    );

    // Who does not hold it hears of no such module, and a writer takes nothing from everybody.
    let shop = of(Role::Writer, &["shop"]);
    assert!(refused(&shop, None, "theta").contains("was not found"));
    assert!(refused(&shop, Some("bank"), "theta").contains("was not found"));
    assert!(matches!(
        gate.remove(&of(Role::Reader, &["shop"]), None, "theta"),
        Err(ServeError::Denied(_))
    ));

    let theta = digest("theta").unwrap();
    let removed = gate.remove(&admin, None, &theta.short()).unwrap();
    assert_eq!(removed.digest, theta);
    assert_eq!(digest("theta"), None);
    let change = Change::Put {
        object: Box::new(binding("bank-own", "theta", Some("bank"))),
        expect: None,
    };
    let refused = gate.apply(&admin, vec![change], Run::Real).unwrap_err();
    assert!(
        refused.to_string().contains("`theta` was not found"),
        "{refused}"
    );
    // Its bytes are there for the records; pushed again, it is as it was.
    let bytes = Modules::bytes(&*gate.world.store, &theta).unwrap().unwrap();
    gate.push(&admin, None, bytes, vec![]).unwrap();
    assert_eq!(digest("theta"), Some(theta));
}
