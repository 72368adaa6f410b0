//! Templates as owners and operators meet them: what fills what, what wins, and what is refused.
#![expect(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "a test fails where its own data is wrong; values are handed on, not computed"
)]

use proptest::prelude::*;
use std::collections::BTreeMap;
use tidegate_core::catalog::template::{Field, GroupSlo, Template};
use tidegate_core::catalog::{
    Api, Catalog, Change, Effect, FieldProblem, Mode, Object, ObjectKey, ObjectKind, Pool, Tenant,
};
use tidegate_core::module::Selector;
use tidegate_core::slo::{Indicator, Judged, Slo};
use tidegate_core::tier::{Pin, Tier};
use tidegate_core::units::{Dimension, Resources};

fn put(object: Object) -> Change {
    Change::Put {
        object: Box::new(object),
        expect: None,
    }
}

fn tenant(name: &str) -> Change {
    put(Object::Tenant(Tenant {
        id: name.parse().unwrap(),
        max_series: 10,
        max_samples_per_s: 10,
        max_modules: 1,
    }))
}

/// `TENANT/API` that declares nothing, with labels.
fn open(name: &str, labels: &[(&str, &str)]) -> Api {
    let labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    Api {
        labels: labels.collect(),
        open: Field::ALL.map(|field| (field, None)).into(),
        ..Api::free(name.parse().unwrap(), "edge".parse().unwrap())
    }
}

fn api(name: &str, labels: &[(&str, &str)]) -> Change {
    put(Object::Api(open(name, labels)))
}

/// A template of a tenant and labels, which sets nothing.
fn template(name: &str, tenant: Option<&str>, labels: &[(&str, &str)]) -> Template {
    let labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    Template {
        id: name.parse().unwrap(),
        selector: Selector {
            tenant: tenant.map(|t| t.parse().unwrap()),
            labels: labels.collect(),
            ..Selector::default()
        },
        mode: None,
        base_tier: None,
        lowest_tier: None,
        highest_tier: None,
        pinned_tier: None,
        weight: None,
        floor: None,
        ceiling: None,
        safe: None,
        time_zone: None,
        slos: vec![],
    }
}

fn promise(name: &str, objective: f64) -> GroupSlo {
    GroupSlo {
        name: name.parse().unwrap(),
        indicator: Indicator::Availability,
        objective,
        window_s: 86_400,
        judged: Judged::Each,
    }
}

fn of(template: Template) -> Change {
    put(Object::Template(template))
}

/// Two tenants, a pool, `shop/pay` (critical) and `bank/pay` (critical).
fn world() -> Catalog {
    let pool = Object::Pool(Pool {
        id: "edge".parse().unwrap(),
        ready: Resources::NONE.with(Dimension::Cpu, 8.0),
        max: Resources::NONE,
        min: Resources::NONE,
        lead_time_s: 0,
        unit_cost: Resources::NONE,
        quotas: BTreeMap::new(),
    });
    let critical = [("class", "critical")];
    after(
        &Catalog::default(),
        &[
            tenant("shop"),
            tenant("bank"),
            put(pool),
            api("shop/pay", &critical),
            api("bank/pay", &critical),
        ],
    )
}

fn after(catalog: &Catalog, changes: &[Change]) -> Catalog {
    catalog.apply(changes).unwrap().0
}

fn refused(catalog: &Catalog, changes: &[Change]) -> Vec<FieldProblem> {
    catalog.apply(changes).unwrap_err()
}

fn in_force<'a>(catalog: &'a Catalog, api: &str) -> &'a Api {
    &catalog.apis[&api.parse().unwrap()].value
}

fn slo<'a>(catalog: &'a Catalog, id: &str) -> Option<&'a Slo> {
    Some(&catalog.slos.get(&id.parse().unwrap())?.value)
}

/// An SLO that stands for itself, of half of all requests.
fn declared(id: &str, api: &str) -> Change {
    put(Object::Slo(Slo {
        id: id.parse().unwrap(),
        api: api.parse().unwrap(),
        indicator: Indicator::Availability,
        objective: 0.5,
        window_s: 86_400,
        template: None,
    }))
}

#[test]
fn a_template_fills_what_its_apis_leave_open_and_says_so() {
    let catalog = after(
        &world(),
        &[of(Template {
            base_tier: Some(Tier::Gold),
            floor: Some(Resources::NONE.with(Dimension::Cpu, 1.0)),
            slos: vec![promise("up", 0.99)],
            ..template("critical", None, &[("class", "critical")])
        })],
    );
    let pay = in_force(&catalog, "shop/pay");
    assert_eq!(pay.base_tier, Tier::Gold);
    assert_eq!(pay.floor.get(Dimension::Cpu), Some(1.0));
    assert_eq!(pay.safe, pay.floor, "what is open falls back to the floor");
    let by = |field| pay.open[&field].as_ref().map(ToString::to_string);
    assert_eq!(by(Field::BaseTier).as_deref(), Some("critical"));
    assert_eq!(by(Field::Weight), None);
    let up = slo(&catalog, "bank/pay/up").unwrap();
    assert_eq!(up.api.to_string(), "bank/pay");
    assert_eq!(up.template.as_ref().unwrap().id.as_str(), "critical");
}

#[test]
fn what_an_api_declares_wins_and_the_more_specific_template_wins_and_names_break_ties() {
    let gold = |name: &str, labels: &[(&str, &str)], weight| Template {
        weight: Some(weight),
        base_tier: Some(Tier::Gold),
        slos: vec![promise("up", 1.0 - 1.0 / (weight * 100.0))],
        ..template(name, None, labels)
    };
    let declared = Api {
        base_tier: Tier::Bronze,
        open: [(Field::Weight, None)].into(),
        ..open("shop/own", &[("class", "critical"), ("team", "x")])
    };
    let catalog = after(
        &world(),
        &[
            put(Object::Api(declared)),
            of(gold("c-two", &[("class", "critical"), ("team", "x")], 3.0)),
            of(gold("b-also", &[("class", "critical")], 2.0)),
            of(gold("a-first", &[("class", "critical")], 1.0)),
        ],
    );
    let own = in_force(&catalog, "shop/own");
    assert_eq!((own.base_tier, own.weight), (Tier::Bronze, 3.0));
    assert_eq!(in_force(&catalog, "shop/pay").weight, 1.0);
    let of = |id: &str| slo(&catalog, id).unwrap().template.clone().unwrap().id;
    assert_eq!(of("shop/own/up").as_str(), "c-two");
    assert_eq!(of("shop/pay/up").as_str(), "a-first");
}

#[test]
fn an_api_or_a_narrower_template_that_says_that_it_is_not_pinned_is_not_whatever_a_template_says() {
    let pinning = |name: &str, labels: &[(&str, &str)], pin| Template {
        pinned_tier: Some(pin),
        ..template(name, None, labels)
    };
    let mut unpinned = open("shop/free", &[("class", "critical")]);
    unpinned.open.remove(&Field::PinnedTier);
    let catalog = after(
        &world(),
        &[
            put(Object::Api(unpinned)),
            api("shop/tried", &[("class", "critical"), ("team", "x")]),
            of(pinning(
                "critical",
                &[("class", "critical")],
                Pin::At(Tier::Gold),
            )),
            of(pinning(
                "team-x",
                &[("class", "critical"), ("team", "x")],
                Pin::Free,
            )),
        ],
    );
    let pinned = |api: &str| in_force(&catalog, api).pinned_tier;
    assert_eq!(pinned("shop/pay"), Some(Tier::Gold));
    assert_eq!((pinned("shop/free"), pinned("shop/tried")), (None, None));
    let by = &in_force(&catalog, "shop/tried").open[&Field::PinnedTier];
    assert_eq!(by.as_ref().unwrap().as_str(), "team-x");
}

#[test]
fn a_declared_slo_wins_over_that_of_a_template_and_gives_way_when_it_is_deleted() {
    let templated = Template {
        slos: vec![promise("up", 0.99)],
        ..template("critical", None, &[("class", "critical")])
    };
    let declared = declared("shop/pay/up", "shop/pay");
    let both = after(&world(), &[of(templated), declared]);
    assert_eq!(slo(&both, "shop/pay/up").unwrap().objective, 0.5);
    assert_eq!(slo(&both, "bank/pay/up").unwrap().objective, 0.99);
    let delete = |name: &str| Change::Delete {
        key: ObjectKey {
            kind: ObjectKind::Slo,
            name: name.into(),
        },
        expect: None,
    };
    let back = after(&both, &[delete("shop/pay/up")]);
    assert_eq!(slo(&back, "shop/pay/up").unwrap().objective, 0.99);
    let problems = refused(&back, &[delete("shop/pay/up")]);
    assert!(problems[0].problem.contains("template `critical`"));
}

#[test]
fn a_template_of_one_tenant_touches_no_other_and_its_name_says_whose_it_is() {
    let mine = Template {
        base_tier: Some(Tier::Gold),
        slos: vec![promise("up", 0.99)],
        ..template("shop/mine", Some("shop"), &[("class", "critical")])
    };
    let before = world();
    let catalog = after(&before, &[of(mine)]);
    assert_eq!(in_force(&catalog, "shop/pay").base_tier, Tier::Gold);
    assert_eq!(
        in_force(&catalog, "bank/pay"),
        in_force(&before, "bank/pay")
    );
    assert!(slo(&catalog, "bank/pay/up").is_none());
    let posing = template("bank/mine", Some("shop"), &[]);
    assert_eq!(refused(&before, &[of(posing)])[0].field, "name");
}

#[test]
fn a_template_that_goes_takes_with_it_what_it_filled() {
    let before = world();
    let critical = of(Template {
        mode: Some(Mode::Observe),
        slos: vec![promise("up", 0.99)],
        ..template("critical", None, &[("class", "critical")])
    });
    let there = after(&before, std::slice::from_ref(&critical));
    assert_eq!(in_force(&there, "shop/pay").mode, Mode::Observe);
    let delete = Change::Delete {
        key: ObjectKey {
            kind: ObjectKind::Template,
            name: "critical".into(),
        },
        expect: None,
    };
    let gone = after(&there, &[delete]);
    assert_eq!(gone.apis, before.apis);
    assert!(gone.slos.is_empty());
}

#[test]
fn what_does_not_fit_an_api_is_told_of_what_was_changed() {
    let large = of(Template {
        floor: Some(Resources::NONE.with(Dimension::Cpu, 9.0)),
        ..template("critical", None, &[("class", "critical")])
    });
    let problems = refused(&world(), std::slice::from_ref(&large));
    assert_eq!(problems[0].object, "template critical");
    assert!(
        problems[0]
            .problem
            .starts_with("of api bank/pay: 9 is more")
    );

    let late = after(&Catalog::default(), &[tenant("shop")]);
    let late = late.apply(&[large]).unwrap().0;
    let pool = put(Object::Pool(Pool {
        id: "edge".parse().unwrap(),
        ready: Resources::NONE.with(Dimension::Cpu, 8.0),
        max: Resources::NONE,
        min: Resources::NONE,
        lead_time_s: 0,
        unit_cost: Resources::NONE,
        quotas: BTreeMap::new(),
    }));
    let problems = refused(&late, &[pool, api("shop/pay", &[("class", "critical")])]);
    assert_eq!(problems[0].object, "api shop/pay");
    assert!(problems[0].problem.contains("from the template `critical`"));
}

#[test]
fn two_slos_of_one_name_are_refused() {
    let nested = of(Template {
        slos: vec![promise("a/up", 0.9)],
        ..template("critical", None, &[("class", "critical")])
    });
    let other = declared("shop/pay/a/up", "shop/pay/a");
    let problems = refused(&world(), &[api("shop/pay/a", &[]), other, nested]);
    assert!(
        problems[0].problem.contains("an SLO of api shop/pay, and"),
        "{problems:?}"
    );
}

#[test]
fn what_is_told_of_an_api_can_be_put_back_and_what_is_changed_in_it_is_declared() {
    let catalog = after(
        &world(),
        &[of(Template {
            base_tier: Some(Tier::Gold),
            ..template("critical", None, &[("class", "critical")])
        })],
    );
    let told = in_force(&catalog, "shop/pay").clone();
    let (same, effects) = catalog.apply(&[put(Object::Api(told.clone()))]).unwrap();
    assert_eq!(effects[0].1, Effect::Unchanged);
    assert_eq!(same, catalog);
    let changed = Api {
        base_tier: Tier::Silver,
        ..told
    };
    let changed = after(&catalog, &[put(Object::Api(changed))]);
    let pay = in_force(&changed, "shop/pay");
    assert_eq!(pay.base_tier, Tier::Silver);
    assert!(!pay.open.contains_key(&Field::BaseTier));
    assert!(pay.open.contains_key(&Field::Weight));
}

/// A template that selects by some of three labels and sets some of two fields.
fn some_template() -> impl Strategy<Value = Template> {
    let labels = prop::collection::btree_map("[abc]", "[xy]", 0..3);
    let weight = prop::option::of(1..9_u8);
    let slo = prop::option::of(1..9_u8);
    ("[a-z]{1,4}", labels, weight, slo).prop_map(|(name, labels, weight, slo)| Template {
        selector: Selector {
            labels,
            ..Selector::default()
        },
        weight: weight.map(f64::from),
        slos: slo
            .map(|n| promise("up", f64::from(n) / 10.0))
            .into_iter()
            .collect(),
        ..template(&name, None, &[])
    })
}

proptest! {
    #[test]
    fn the_order_of_changes_does_not_matter_and_filling_again_changes_nothing(
        templates in prop::collection::btree_map("[a-z]{1,4}", some_template(), 0..6),
        labels in prop::collection::btree_map("[abc]", "[xy]", 0..4),
    ) {
        let mut changes = vec![put(Object::Api(Api { labels, ..open("shop/any", &[]) }))];
        changes.extend(templates.into_iter().map(|(name, t)| {
            of(Template { id: name.parse().unwrap(), ..t })
        }));
        let forward = after(&world(), &changes);
        changes.reverse();
        prop_assert_eq!(&after(&world(), &changes), &forward);
        let mut again = forward.clone();
        again.fill();
        prop_assert_eq!(&again, &forward);

        // The rule, told another way: of those that select it and set it, none has more conditions, and
        // none with as many comes before.
        let any = in_force(&forward, "shop/any");
        let saying = || forward.templates.values().map(|t| &t.value).filter(|t| {
            t.weight.is_some() && t.selector.selects(any)
        });
        match any.open[&Field::Weight].as_ref() {
            None => prop_assert_eq!(saying().count(), 0),
            Some(by) => {
                let won = &forward.templates[by].value;
                let rank = |t: &Template| (std::cmp::Reverse(t.selector.specificity()), t.id.clone());
                prop_assert!(saying().all(|t| rank(t) >= rank(won)));
                prop_assert_eq!(Some(any.weight), won.weight);
            }
        }
    }
}
