//! Modules, states and the catalog come back as they went in, whatever their kind and size.

use super::*;
use std::collections::BTreeMap;
use tidegate_core::catalog::template::{Field, GroupSlo, Template};
use tidegate_core::catalog::{Api, Catalog, Mode, Object, ObjectKind, Pool, Tenant};
use tidegate_core::event::{Event, Origin, Recurrence};
use tidegate_core::ids::{Digest, Generation};
use tidegate_core::life::{Backtest, Gate, Promotion};
use tidegate_core::module::{
    Binding, Challenger, Holding, Manifest, ModuleKind, Selector, ShadowModule, Signer,
};
use tidegate_core::ports::storage::{
    CatalogStore, Condemned, Modules, SeriesState, States, StoredModule,
};
use tidegate_core::slo::{Indicator, Judged, Slo};
use tidegate_core::tier::{Pin, Sharing, Tier, TierSpec};
use tidegate_core::units::{Dimension, Level, Resources};

fn module(bytes: &[u8], at: i64) -> StoredModule {
    StoredModule {
        digest: Digest::of(bytes),
        manifest: Manifest {
            name: "ets".into(),
            version: "0.3.1".into(),
            kind: ModuleKind::Forecaster,
            interface: "0.1.0-next".into(),
            config_schema: "{\"type\":\"object\"}".into(),
            memory_bytes: Some(64 << 20),
            deadline_ms: None,
            description: "Exponential smoothing".into(),
        },
        holdings: vec![held(None, at)],
        quarantined: false,
        condemned: vec![],
    }
}

fn held(owner: Option<&str>, at: i64) -> Holding {
    Holding {
        owner: owner.map(|t| t.parse().unwrap()),
        pushed_by: "ci".into(),
        admitted_at: Timestamp(at),
        signed_by: owner.map(|name| Signer {
            name: name.into(),
            id: "3d4017c3e843895a".into(),
        }),
    }
}

fn component(seed: u32, length: usize) -> Vec<u8> {
    let mut x = seed;
    (0..length)
        .map(|_| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 24) as u8
        })
        .collect()
}

#[test]
fn a_component_larger_than_a_value_comes_back_whole() {
    let mut f = Fixture::new(Options::default());
    let all: Vec<Vec<u8>> = [96_000, 700_001, 0, 120_000]
        .iter()
        .enumerate()
        .map(|(i, n)| component(i as u32, *n))
        .collect();
    for (i, bytes) in all.iter().enumerate() {
        f.store().put(&module(bytes, 10 - i as i64), bytes).unwrap();
    }
    f.restart();
    for bytes in &all {
        assert_eq!(
            f.store().bytes(&Digest::of(bytes)).unwrap().as_ref(),
            Some(bytes)
        );
    }
    let times: Vec<i64> = f
        .store()
        .list()
        .unwrap()
        .iter()
        .map(|m| m.admitted_at().0)
        .collect();
    assert_eq!(times, [7, 8, 9, 10]);
    assert_eq!(f.store().bytes(&Digest::of(b"other")).unwrap(), None);
    f.clean();
}

#[test]
fn a_module_pushed_again_changes_who_holds_it_and_its_quarantine_alone() {
    let f = Fixture::new(Options::default());
    let bytes = component(1, 200_000);
    let first = module(&bytes, 5);
    f.store().put(&first, &bytes).unwrap();
    let again = StoredModule {
        quarantined: true,
        condemned: vec![Condemned {
            binding: "shop/own".parse().unwrap(),
            party: Some("shop".parse().unwrap()),
        }],
        holdings: vec![held(None, 5), held(Some("shop"), 9)],
        manifest: Manifest {
            name: "another".into(),
            ..first.manifest.clone()
        },
        ..first.clone()
    };
    f.store().put(&again, &[]).unwrap();
    let expected = StoredModule {
        manifest: first.manifest,
        ..again
    };
    assert_eq!(f.store().list().unwrap(), [expected]);
    assert_eq!(f.store().bytes(&Digest::of(&bytes)).unwrap(), Some(bytes));
    let wrong = f.store().put(&module(b"x", 1), b"y").unwrap_err();
    assert!(wrong.to_string().contains("digest"), "{wrong}");
}

fn state(api: &str, config: &str, model: &Arc<[u8]>, text: &str) -> SeriesState {
    SeriesState {
        key: key(api, Signal::Requests),
        module: Digest::of(b"ets"),
        config: Digest::of(config.as_bytes()),
        format: 2,
        model: model.clone(),
        state: text.as_bytes().to_vec(),
        fitted_at: Timestamp(-7),
        seen: Timestamp(60_000),
        prior: None,
    }
}

/// States of two series that share a model.
pub(super) fn fitted() -> [SeriesState; 2] {
    let cohort: Arc<[u8]> = component(3, 250_000).into();
    [
        state("t/a", "x", &cohort, "a"),
        state("t/b", "x", &cohort, "b"),
    ]
}

/// Values of a kind that lie in the database, read behind the store's back.
pub(super) fn stored_values(f: &Fixture, kind: u8) -> usize {
    super::damage::behind(f)
        .scan_prefix([1, 0, 0, kind])
        .count()
}

#[test]
fn states_come_back_and_a_model_that_nobody_uses_goes() {
    let mut f = Fixture::new(Options::default());
    let cohort: Arc<[u8]> = component(3, 250_000).into();
    let alone: Arc<[u8]> = b"alone".as_slice().into();
    let first = [
        state("t/a", "x", &cohort, "a"),
        state("t/a", "y", &alone, "a, other config"),
        state("t/b", "x", &cohort, "b"),
    ];
    States::save(&**f.store(), &first).unwrap();
    f.restart();
    assert_eq!(States::load(&**f.store()).unwrap(), first);
    // The cohort is fitted anew: its old model is unreachable and must not stay.
    let refit: Arc<[u8]> = b"refit".as_slice().into();
    let second = [
        state("t/b", "x", &refit, "b2"),
        state("t/a", "x", &refit, "gone"),
        state("t/a", "x", &refit, "a2"),
    ];
    States::save(&**f.store(), &second).unwrap();
    let loaded = States::load(&**f.store()).unwrap();
    assert_eq!(
        loaded,
        [second[2].clone(), first[1].clone(), second[0].clone()]
    );
    assert!(
        Arc::ptr_eq(&loaded[0].model, &loaded[2].model),
        "a cohort shares its model"
    );
    f.clean();
    f.stop();
    assert_eq!(stored_values(&f, 9), 2, "two models are in use");
}

fn objects() -> Vec<Object> {
    let r = |x: f64| {
        Dimension::ALL
            .into_iter()
            .fold(Resources::NONE, |r, d| r.with(d, x + d as usize as f64))
    };
    let api = |name: &str, pinned, expected| {
        Object::Api(Api {
            id: name.parse().unwrap(),
            pool: "edge".parse().unwrap(),
            labels: BTreeMap::from([("team".into(), "ü".into()), ("x".into(), String::new())]),
            category: "web".into(),
            mode: Mode::Recommend,
            base_tier: Tier::Silver,
            lowest_tier: Tier::Bronze,
            highest_tier: Tier::Gold,
            pinned_tier: pinned,
            weight: 1.5,
            floor: Resources::NONE.with(Dimension::Io, 3.0),
            ceiling: r(100.0),
            safe: Resources::NONE,
            expected,
            time_zone: "Europe/Rome".into(),
            open: BTreeMap::new(),
        })
    };
    let slo = |name: &str, indicator| {
        Object::Slo(Slo {
            id: name.parse().unwrap(),
            api: "shop/a".parse().unwrap(),
            indicator,
            objective: 0.999,
            window_s: 86_400 * 30,
            template: None,
        })
    };
    vec![
        Object::Tenant(Tenant {
            id: "shop".parse().unwrap(),
            max_series: 1000,
            max_samples_per_s: u64::MAX,
            max_modules: 3,
        }),
        Object::Pool(Pool {
            id: "edge".parse().unwrap(),
            ready: r(16.0),
            max: Resources::NONE,
            min: r(0.5),
            lead_time_s: 120,
            unit_cost: Resources::NONE.with(Dimension::Cpu, 0.04),
            quotas: BTreeMap::from([("shop".parse().unwrap(), r(8.0))]),
        }),
        Object::Tier(TierSpec::default_of(Tier::Gold)),
        Object::Tier(TierSpec {
            sharing: Sharing {
                lends: false,
                borrows: true,
                max_share: 0.25,
            },
            ..TierSpec::default_of(Tier::Bronze)
        }),
        api("shop/a", Some(Tier::Gold), None),
        api("shop/b", None, Some(12.5)),
        Object::Api(Api {
            open: Field::ALL.map(|field| (field, None)).into(),
            ..Api::free("shop/open".parse().unwrap(), "edge".parse().unwrap())
        }),
        slo("shop/fast", Indicator::Latency { threshold: 0.2 }),
        slo("shop/up", Indicator::Availability),
        Object::Template(Template {
            id: "shop/bronze".parse().unwrap(),
            selector: Selector {
                tenant: Some("shop".parse().unwrap()),
                ..Selector::default()
            },
            mode: Some(Mode::Observe),
            base_tier: None,
            lowest_tier: Some(Tier::Bronze),
            highest_tier: Some(Tier::Silver),
            pinned_tier: Some(Pin::At(Tier::Bronze)),
            weight: Some(0.5),
            floor: None,
            ceiling: Some(r(50.0)),
            safe: Some(Resources::NONE),
            time_zone: Some("Asia/Tokyo".into()),
            slos: vec![GroupSlo {
                name: "quick".parse().unwrap(),
                indicator: Indicator::Latency { threshold: 1.5 },
                objective: 0.9,
                window_s: 3600,
                judged: Judged::Together,
            }],
        }),
        Object::Template(Template {
            id: "shop/free".parse().unwrap(),
            selector: Selector {
                tenant: Some("shop".parse().unwrap()),
                ..Selector::default()
            },
            mode: Some(Mode::Observe),
            base_tier: None,
            lowest_tier: Some(Tier::Bronze),
            highest_tier: Some(Tier::Silver),
            pinned_tier: Some(Pin::Free),
            weight: Some(0.5),
            floor: None,
            ceiling: Some(r(50.0)),
            safe: Some(Resources::NONE),
            time_zone: Some("Asia/Tokyo".into()),
            slos: vec![],
        }),
        Object::Event(Event {
            apis: vec!["shop/a".parse().unwrap()],
            every_s: Some(604_800),
            until: Some(Timestamp(1 << 40)),
            minimum_uplift: Some(2.0),
            ..Event::once(
                "shop/sale".parse().unwrap(),
                "campaign",
                Timestamp(-1),
                3600,
            )
        }),
        Object::Event(Event {
            title: "Monday's batch".into(),
            recurrence: Some(Recurrence {
                rule: "FREQ=WEEKLY;BYDAY=MO".into(),
                time_zone: "Europe/Berlin".into(),
                except: vec![Timestamp(-5)],
                extra: vec![Timestamp(7), Timestamp(1 << 41)],
            }),
            origin: Some(Origin {
                calendar: "batches".into(),
                uid: "1@example.org".into(),
            }),
            ..Event::once("shop/batch".parse().unwrap(), "batch", Timestamp(9), 60)
        }),
        Object::Binding(Binding {
            id: "default".parse().unwrap(),
            kind: ModuleKind::Judge,
            selector: Selector {
                tenant: Some("shop".parse().unwrap()),
                pool: Some("edge".parse().unwrap()),
                category: Some("web".into()),
                labels: BTreeMap::from([("team".into(), "pay".into())]),
            },
            module: "sequential-judge".into(),
            config: "{\"alpha\": 0.05}".into(),
            challengers: vec![],
            shadow: None,
            gate: Gate::default(),
        }),
        Object::Binding(Binding {
            id: "contested".parse().unwrap(),
            kind: ModuleKind::Forecaster,
            selector: Selector::default(),
            module: "ets".into(),
            config: "{}".into(),
            challengers: vec![
                Challenger {
                    module: "theta".into(),
                    config: "{\"season\": 24}".into(),
                },
                Challenger {
                    module: "arima".into(),
                    config: "{}".into(),
                },
            ],
            shadow: None,
            gate: Gate::default(),
        }),
        Object::Binding(Binding {
            id: "gated".parse().unwrap(),
            kind: ModuleKind::Allocator,
            selector: Selector::default(),
            module: "waterfill".into(),
            config: "{}".into(),
            challengers: vec![],
            shadow: Some(ShadowModule {
                module: "learned".into(),
                config: "{\"rate\": 0.1}".into(),
            }),
            gate: Gate {
                promote: Promotion::Manual,
                alpha: Level::new(50).unwrap(),
                margin: 0.02,
                min_duration_s: 3600,
                max_duration_s: 86_400,
                watch_s: 7200,
                backtest: Some(Backtest {
                    window_s: 604_800,
                    worse_by: 0.1,
                }),
            },
        }),
    ]
}

#[test]
fn every_kind_of_object_comes_back_with_its_generation() {
    let mut f = Fixture::new(Options::default());
    assert_eq!(
        CatalogStore::load(&**f.store()).unwrap(),
        Catalog::default()
    );
    let mut catalog = Catalog {
        generation: Generation(77),
        ..Catalog::default()
    };
    for (generation, object) in (1..).zip(objects()) {
        catalog.insert(object, Generation(generation));
    }
    catalog.fill();
    assert!(
        ObjectKind::ALL
            .into_iter()
            .all(|kind| !catalog.list(kind).is_empty())
    );
    CatalogStore::save(&**f.store(), &catalog).unwrap();
    f.restart();
    assert_eq!(CatalogStore::load(&**f.store()).unwrap(), catalog);
}

#[test]
fn a_catalog_that_shrinks_leaves_none_of_its_parts() {
    let mut f = Fixture::new(Options::default());
    let small = Catalog::default();
    let mut large = Catalog::default();
    for i in 0..6000 {
        large.insert(
            Object::Tenant(Tenant {
                id: format!("tenant-{i}-with-a-rather-long-name")
                    .parse()
                    .unwrap(),
                max_series: i,
                max_samples_per_s: 1,
                max_modules: 1,
            }),
            Generation(1),
        );
    }
    CatalogStore::save(&**f.store(), &large).unwrap();
    f.restart();
    assert_eq!(CatalogStore::load(&**f.store()).unwrap(), large);
    CatalogStore::save(&**f.store(), &small).unwrap();
    assert_eq!(CatalogStore::load(&**f.store()).unwrap(), small);
    f.clean();
    f.stop();
    assert_eq!(stored_values(&f, 10), 1);
}
