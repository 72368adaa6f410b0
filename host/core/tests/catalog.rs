//! The catalog as an operator meets it: change sets as a whole, problems with their remedy.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails where its own data is wrong"
)]

use std::collections::BTreeMap;
use tidegate_core::catalog::{
    Api, Catalog, Change, Effect, Mode, Object, ObjectKey, ObjectKind, Pool, Tenant,
};
use tidegate_core::ids::Generation;
use tidegate_core::life::{Backtest, Gate};
use tidegate_core::module::{Binding, Challenger, ModuleKind, Selector, ShadowModule};
use tidegate_core::slo::{Indicator, Slo};
use tidegate_core::tier::Tier;
use tidegate_core::units::{Dimension, Level, Resources};

fn tenant() -> Object {
    Object::Tenant(Tenant {
        id: "shop".parse().unwrap(),
        max_series: 10,
        max_samples_per_s: 10,
        max_modules: 1,
    })
}

fn pool(cores: f64) -> Object {
    Object::Pool(Pool {
        id: "edge".parse().unwrap(),
        ready: Resources::NONE.with(Dimension::Cpu, cores),
        max: Resources::NONE,
        min: Resources::NONE,
        lead_time_s: 0,
        unit_cost: Resources::NONE,
        quotas: BTreeMap::new(),
    })
}

fn api() -> Api {
    Api {
        id: "shop/orders".parse().unwrap(),
        pool: "edge".parse().unwrap(),
        labels: BTreeMap::new(),
        category: "web".into(),
        mode: Mode::Enforce,
        base_tier: Tier::Silver,
        lowest_tier: Tier::Bronze,
        highest_tier: Tier::Gold,
        pinned_tier: None,
        weight: 1.0,
        floor: Resources::NONE,
        ceiling: Resources::NONE,
        safe: Resources::NONE,
        expected: None,
        time_zone: "UTC".into(),
        open: BTreeMap::new(),
    }
}

fn slo(objective: f64) -> Object {
    Object::Slo(Slo {
        id: "shop/fast".parse().unwrap(),
        api: "shop/orders".parse().unwrap(),
        indicator: Indicator::Latency { threshold: 0.2 },
        objective,
        window_s: 86_400,
        template: None,
    })
}

fn put(object: Object) -> Change {
    Change::Put {
        object: Box::new(object),
        expect: None,
    }
}

fn full() -> Catalog {
    let changes = [
        put(tenant()),
        put(pool(8.0)),
        put(Object::Api(api())),
        put(slo(0.99)),
    ];
    Catalog::default().apply(&changes).unwrap().0
}

/// Applies one change to a full catalog and expects a problem that names the field.
#[track_caller]
fn refused(change: Change, field: &str, part: &str) {
    let problems = full().apply(&[change]).unwrap_err();
    let found = problems
        .iter()
        .any(|p| p.field == field && p.problem.contains(part));
    assert!(found, "expected {field}: …{part}…, got {problems:?}");
}

#[test]
fn a_change_set_is_applied_in_any_order_as_a_whole() {
    let backwards = [
        put(slo(0.99)),
        put(Object::Api(api())),
        put(pool(8.0)),
        put(tenant()),
    ];
    let (catalog, effects) = Catalog::default().apply(&backwards).unwrap();
    assert_eq!(catalog.generation, Generation(1));
    assert!(effects.iter().all(|(_, e)| *e == Effect::Created));
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let (again, effects) = full()
        .apply(&[put(pool(8.0)), put(Object::Api(api()))])
        .unwrap();
    assert_eq!(again, full());
    assert!(effects.iter().all(|(_, e)| *e == Effect::Unchanged));
}

#[test]
fn every_problem_of_a_set_is_named_at_once_and_nothing_is_applied() {
    let mut lost = api();
    lost.pool = "nowhere".parse().unwrap();
    lost.weight = 0.0;
    let problems = full()
        .apply(&[put(Object::Api(lost)), put(slo(1.5))])
        .unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["pool", "weight", "objective"]);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_remedy() {
    refused(put(slo(0.0)), "objective", "0.999");
    refused(put(pool(f64::NAN)), "ready.cpu", "number >= 0");
    let mut a = api();
    a.lowest_tier = Tier::Gold;
    refused(put(Object::Api(a.clone())), "tier", "outside");
    a = api();
    a.floor = Resources::NONE.with(Dimension::Cpu, 9.0);
    refused(put(Object::Api(a.clone())), "floor.cpu", "whole pool");
    a.floor = Resources::NONE.with(Dimension::Memory, 1.0);
    refused(put(Object::Api(a.clone())), "floor.memory", "has no memory");
    a = api();
    a.expected = Some(0.0);
    refused(put(Object::Api(a)), "expected", "learn it");
}

#[test]
fn a_binding_that_could_never_match_is_refused() {
    let binding = |kind, category: Option<&str>| {
        put(Object::Binding(Binding {
            id: "mine".parse().unwrap(),
            kind,
            selector: Selector {
                category: category.map(str::to_owned),
                ..Selector::default()
            },
            module: "any".into(),
            config: "{}".into(),
            challengers: vec![],
            shadow: None,
            gate: Gate::default(),
        }))
    };
    refused(
        binding(ModuleKind::Tierer, Some("web")),
        "selector",
        "whole tenant",
    );
    refused(
        binding(ModuleKind::Allocator, Some("web")),
        "selector",
        "whole pool",
    );
    assert!(full().apply(&[binding(ModuleKind::Tierer, None)]).is_ok());
    assert!(
        full()
            .apply(&[binding(ModuleKind::Forecaster, Some("web"))])
            .is_ok()
    );
}

#[test]
fn challengers_stand_beside_a_forecaster_few_and_each_once() {
    let binding = |kind, challengers: &[(&str, &str)]| {
        put(Object::Binding(Binding {
            id: "mine".parse().unwrap(),
            kind,
            selector: Selector::default(),
            module: "ets".into(),
            config: "{}".into(),
            challengers: challengers
                .iter()
                .map(|(module, config)| Challenger {
                    module: (*module).into(),
                    config: (*config).into(),
                })
                .collect(),
            shadow: None,
            gate: Gate::default(),
        }))
    };
    let forecaster = |all: &[(&str, &str)]| binding(ModuleKind::Forecaster, all);
    let season = "{\"season\":24}";
    let fine = [("theta", "{}"), ("arima", season)];
    assert!(full().apply(&[forecaster(&fine)]).is_ok());
    refused(
        binding(ModuleKind::Allocator, &[("theta", "{}")]),
        "challengers",
        "leave `challengers` out",
    );
    refused(
        forecaster(&[("ets", season)]),
        "challengers[0]",
        "the binding's own module",
    );
    refused(
        forecaster(&[("a", "{}"), ("b", "{}"), ("a", season)]),
        "challengers[2]",
        "remove one of them",
    );
    let five = ["a", "b", "c", "d", "e"].map(|m| (m, "{}"));
    refused(forecaster(&five), "challengers", "more than 4");
    refused(
        forecaster(&[("", "{}")]),
        "challengers[0].module",
        "policy list",
    );
}

#[test]
fn a_challenger_that_becomes_the_module_is_none_any_more() {
    let challenger = |module: &str, config: &str| Challenger {
        module: module.into(),
        config: config.into(),
    };
    let binding = Binding {
        id: "mine".parse().unwrap(),
        kind: ModuleKind::Forecaster,
        selector: Selector::default(),
        module: "ets".into(),
        config: "{}".into(),
        challengers: vec![challenger("theta", "{}"), challenger("arima", "{}")],
        shadow: in_shadow("ensemble", "{}"),
        gate: Gate::default(),
    };
    let next = binding.served_by("theta".into(), "{}".into());
    assert_eq!(next.module, "theta");
    assert_eq!(next.challengers, [challenger("arima", "{}")]);
    assert_eq!(next.shadow, binding.shadow);
    let promoted = binding.served_by("ensemble".into(), "{}".into());
    assert_eq!(promoted.shadow, None);
}

fn in_shadow(module: &str, config: &str) -> Option<ShadowModule> {
    Some(ShadowModule {
        module: module.into(),
        config: config.into(),
    })
}

#[test]
fn a_shadow_is_another_version_than_what_serves_and_is_not_there_twice() {
    let binding = |kind, shadow| {
        put(Object::Binding(Binding {
            id: "mine".parse().unwrap(),
            kind,
            selector: Selector::default(),
            module: "ets".into(),
            config: "{}".into(),
            challengers: match kind {
                ModuleKind::Forecaster => vec![Challenger {
                    module: "theta".into(),
                    config: "{}".into(),
                }],
                _ => vec![],
            },
            shadow,
            gate: Gate::default(),
        }))
    };
    use ModuleKind::{Allocator, Forecaster, Judge, Tierer};
    for kind in [Forecaster, Tierer, Allocator] {
        assert!(
            full()
                .apply(&[binding(kind, in_shadow("arima", "{}"))])
                .is_ok()
        );
    }
    // Another config of the same module is another version.
    let other = in_shadow("ets", "{\"season\":24}");
    assert!(full().apply(&[binding(Forecaster, other)]).is_ok());
    for (kind, shadow, field, part) in [
        (
            Forecaster,
            in_shadow("", "{}"),
            "shadow.module",
            "policy list",
        ),
        (
            Forecaster,
            in_shadow("ets", "{}"),
            "shadow",
            "compared with itself",
        ),
        (
            Forecaster,
            in_shadow("theta", "{}"),
            "shadow.module",
            "remove it from one",
        ),
        (Judge, in_shadow("other", "{}"), "shadow", "policy bind"),
    ] {
        refused(binding(kind, shadow), field, part);
    }
}

#[test]
fn a_gate_that_could_never_decide_is_refused_by_its_field() {
    let gated = |gate| {
        put(Object::Binding(Binding {
            id: "mine".parse().unwrap(),
            kind: ModuleKind::Forecaster,
            selector: Selector::default(),
            module: "ets".into(),
            config: "{}".into(),
            challengers: vec![],
            shadow: None,
            gate,
        }))
    };
    let fine = Gate {
        backtest: Some(Backtest {
            window_s: 7 * 86_400,
            worse_by: 0.1,
        }),
        watch_s: 0,
        min_duration_s: 0,
        ..Gate::default()
    };
    assert!(full().apply(&[gated(fine)]).is_ok());
    let backtest = |window_s, worse_by| Gate {
        backtest: Some(Backtest { window_s, worse_by }),
        ..fine
    };
    let long = Gate::LONGEST_S + 1;
    let max = |max_duration_s| Gate {
        max_duration_s,
        ..fine
    };
    let margin = |margin| Gate { margin, ..fine };
    for (gate, field, part) in [
        (
            Gate {
                alpha: Level::P90,
                ..fine
            },
            "gate.alpha",
            "at most 5000",
        ),
        (margin(-0.1), "gate.margin", "0.05 for 5 %"),
        (margin(f64::NAN), "gate.margin", "0.05 for 5 %"),
        (margin(1.0), "gate.margin", "0.05 for 5 %"),
        (max(0), "gate.max_duration", "14d"),
        (max(long), "gate.max_duration", "90 days"),
        (
            Gate {
                watch_s: long,
                ..fine
            },
            "gate.watch",
            "90 days",
        ),
        (
            Gate {
                min_duration_s: 61,
                ..max(60)
            },
            "gate.min_duration",
            "at most that",
        ),
        (backtest(60, 0.1), "gate.backtest.window", "for example 7d"),
        (
            backtest(7200, f64::INFINITY),
            "gate.backtest.worse_by",
            "0.1 for 10 %",
        ),
    ] {
        refused(gated(gate), field, part);
    }
}

#[test]
fn what_others_rest_on_cannot_be_deleted() {
    let key = |kind, name: &str| ObjectKey {
        kind,
        name: name.into(),
    };
    let delete = |kind, name| Change::Delete {
        key: key(kind, name),
        expect: None,
    };
    refused(delete(ObjectKind::Pool, "edge"), "pool", "no pool `edge`");
    refused(
        delete(ObjectKind::Api, "shop/orders"),
        "api",
        "no api `shop/orders`",
    );
    refused(
        delete(ObjectKind::Api, "shop/none"),
        "name",
        "no such object",
    );
    let both = [
        delete(ObjectKind::Slo, "shop/fast"),
        delete(ObjectKind::Api, "shop/orders"),
    ];
    let (catalog, _) = full().apply(&both).unwrap();
    assert!(catalog.apis.is_empty() && catalog.slos.is_empty());
}

#[test]
fn a_stale_writer_is_told_to_read_again() {
    let stale = Change::Put {
        object: Box::new(pool(9.0)),
        expect: Some(Generation(0)),
    };
    refused(stale, "generation", "read it again");
    let fresh = Change::Put {
        object: Box::new(pool(9.0)),
        expect: Some(Generation(1)),
    };
    let (catalog, _) = full().apply(&[fresh]).unwrap();
    assert_eq!(
        catalog.pools.values().next().unwrap().generation,
        Generation(2)
    );
}

#[test]
fn a_weight_that_would_make_a_pools_sum_infinite_is_refused() {
    let mut heavy = api();
    heavy.weight = f64::MAX;
    let change = |object| Change::Put {
        object: Box::new(object),
        expect: None,
    };
    let changes = [tenant(), pool(8.0), Object::Api(heavy)].map(change);
    let problems = Catalog::default().apply(&changes).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].field, "weight");
}
