//! What makes a catalog sensible: ranges within an object, references between objects.

mod binding;
mod template;

use super::{Api, Catalog, Effects, FieldProblem, ObjectKind, Pool};
use crate::event::{Event, Recurrence};
use crate::ids::{ApiId, TenantId};
use crate::slo::{Indicator, Slo};
use crate::tier::TierSpec;
use crate::units::Resources;

struct Report<'a> {
    object: String,
    problems: &'a mut Vec<FieldProblem>,
}

impl Report<'_> {
    fn unless(&mut self, ok: bool, field: &str, problem: impl FnOnce() -> String) {
        if !ok {
            self.problems.push(FieldProblem {
                object: self.object.clone(),
                field: field.into(),
                problem: problem(),
            });
        }
    }

    fn amounts(&mut self, field: &str, resources: &Resources) {
        for (dimension, amount) in resources.iter() {
            self.unless(
                amount.is_finite() && amount >= 0.0,
                &format!("{field}.{}", dimension.name()),
                || {
                    format!(
                        "{amount} is not an amount; write a number >= 0 in {}",
                        dimension.unit()
                    )
                },
            );
        }
    }
}

/// Adds every problem of `catalog`, which a change set has brought about that touched these objects.
pub(super) fn catalog(catalog: &Catalog, touched: &Effects, problems: &mut Vec<FieldProblem>) {
    for p in catalog.pools.values() {
        pool(
            catalog,
            &p.value,
            &mut Report {
                object: format!("pool {}", p.value.id),
                problems,
            },
        );
    }
    for t in catalog.tiers.values() {
        tier(
            &t.value,
            &mut Report {
                object: format!("tier {}", t.value.tier.name()),
                problems,
            },
        );
    }
    for t in catalog.templates.values() {
        template::template(
            catalog,
            &t.value,
            &mut Report {
                object: format!("template {}", t.value.id),
                problems,
            },
        );
    }
    for a in catalog.apis.values() {
        let known = problems.len();
        api(
            catalog,
            &a.value,
            &mut Report {
                object: format!("api {}", a.value.id),
                problems,
            },
        );
        for problem in &mut problems[known..] {
            say_whence(&a.value, touched, problem);
        }
    }
    for s in catalog.slos.values() {
        slo(
            catalog,
            &s.value,
            &mut Report {
                object: format!("slo {}", s.value.id),
                problems,
            },
        );
    }
    for e in catalog.events.values() {
        event(
            catalog,
            &e.value,
            &mut Report {
                object: format!("event {}", e.value.id),
                problems,
            },
        );
    }
    for b in catalog.bindings.values() {
        binding::binding(
            catalog,
            &b.value,
            &mut Report {
                object: format!("binding {}", b.value.id),
                problems,
            },
        );
    }
}

fn tenant_exists(catalog: &Catalog, tenant: &TenantId, field: &str, report: &mut Report<'_>) {
    report.unless(catalog.tenants.contains_key(tenant), field, || {
        format!("there is no tenant `{tenant}`; apply a `tenant` of that name first")
    });
}

fn api_exists(catalog: &Catalog, api: &ApiId, field: &str, report: &mut Report<'_>) {
    report.unless(catalog.apis.contains_key(api), field, || {
        format!("there is no api `{api}`; apply an `api` of that name first")
    });
}

fn pool(catalog: &Catalog, pool: &Pool, report: &mut Report<'_>) {
    report.unless(!pool.ready.dimensions().is_empty(), "ready", || {
        "the pool has no capacity; give at least one dimension, for example `cpu: 16`".into()
    });
    report.amounts("ready", &pool.ready);
    report.amounts("min", &pool.min);
    report.amounts("max", &pool.max);
    for (dimension, max) in pool.max.iter() {
        let ready = pool.ready.get(dimension);
        report.unless(
            ready.is_none_or(|r| r <= max),
            &format!("max.{}", dimension.name()),
            || {
                format!(
                    "{max} is below the {} that are ready",
                    ready.unwrap_or_default()
                )
            },
        );
    }
    for (tenant, quota) in &pool.quotas {
        let field = format!("quotas.{tenant}");
        tenant_exists(catalog, tenant, &field, report);
        report.amounts(&field, quota);
    }
}

fn tier(tier: &TierSpec, report: &mut Report<'_>) {
    report.unless(
        tier.weight.is_finite() && tier.weight > 0.0,
        "weight",
        || format!("{} is not a weight; write a number above 0", tier.weight),
    );
    report.unless(
        tier.step_up.is_finite() && tier.step_up > 1.0,
        "step_up",
        || {
            format!(
                "{} would never let a grant rise; write a factor above 1",
                tier.step_up
            )
        },
    );
    report.unless(tier.buy_level >= tier.demand_level, "buy_level", || {
        format!(
            "{} is below demand_level {}: what is guaranteed has to be bought; write at least that",
            tier.buy_level.get(),
            tier.demand_level.get()
        )
    });
    report.unless((0.0..1.0).contains(&tier.step_down), "step_down", || {
        format!("{} is not a factor from 0 to below 1", tier.step_down)
    });
    report.unless(
        tier.floor_of_expected.is_finite() && tier.floor_of_expected >= 0.0,
        "floor_of_expected",
        || {
            format!(
                "{} is not a multiple; write a number >= 0",
                tier.floor_of_expected
            )
        },
    );
    let share = tier.sharing.max_share;
    report.unless((0.0..=1.0).contains(&share), "max_share", || {
        format!("{share} is not a part of a pool; write 0.5 for half of it, or 1 for no bound")
    });
}

/// Apis of several tenants share a pool by weight: sums and products of weights must stay finite.
const MOST_WEIGHT: f64 = 1e6;

fn api(catalog: &Catalog, api: &Api, report: &mut Report<'_>) {
    tenant_exists(catalog, &api.id.tenant, "name", report);
    let pool = catalog.pools.get(&api.pool);
    report.unless(pool.is_some(), "pool", || {
        format!(
            "there is no pool `{}`; apply a `pool` of that name first",
            api.pool
        )
    });
    report.unless(
        api.weight > 0.0 && api.weight <= MOST_WEIGHT,
        "weight",
        || {
            format!(
                "{} is not a weight; write a number above 0 and up to {MOST_WEIGHT:.0}",
                api.weight
            )
        },
    );
    report.unless(api.lowest_tier <= api.highest_tier, "lowest_tier", || {
        format!(
            "{} is above highest_tier {}",
            api.lowest_tier.name(),
            api.highest_tier.name()
        )
    });
    report.unless(
        (api.lowest_tier..=api.highest_tier).contains(&api.base_tier),
        "tier",
        || {
            format!(
                "{} lies outside lowest_tier and highest_tier",
                api.base_tier.name()
            )
        },
    );
    report.unless(
        api.expected.is_none_or(|e| e.is_finite() && e > 0.0),
        "expected",
        || "expected is in requests/s and must be above 0; leave it out to learn it".into(),
    );
    for (field, resources) in [
        ("floor", &api.floor),
        ("ceiling", &api.ceiling),
        ("safe", &api.safe),
    ] {
        report.amounts(field, resources);
        for (dimension, amount) in resources.iter() {
            let ready = pool.and_then(|p| p.value.ready.get(dimension));
            let field = format!("{field}.{}", dimension.name());
            if let (Some(pool), true) = (pool, field.starts_with("floor")) {
                report.unless(ready.is_some_and(|r| amount <= r), &field, || match ready {
                    None => format!("pool `{}` has no {}", pool.value.id, dimension.name()),
                    Some(r) => format!("{amount} is more than the whole pool has ({r})"),
                });
            }
        }
    }
    for (dimension, ceiling) in api.ceiling.iter() {
        let floor = api.floor.get(dimension).unwrap_or(0.0);
        report.unless(
            ceiling >= floor,
            &format!("ceiling.{}", dimension.name()),
            || format!("{ceiling} is below the floor {floor}"),
        );
    }
}

/// Says of a value that a template filled in that it has to be changed there; as a problem of the
/// template where that is what was changed.
fn say_whence(api: &Api, touched: &Effects, problem: &mut FieldProblem) {
    let field = match problem.field.split('.').next() {
        Some("tier") => "base_tier",
        other => other.unwrap_or_default(),
    };
    let filled = api.open.iter().find(|(f, _)| f.name() == field);
    let Some((_, Some(template))) = filled else {
        return;
    };
    let of = |kind: ObjectKind, name: &str| {
        let mut keys = touched.iter().map(|(key, _)| key);
        keys.any(|key| key.kind == kind && key.name == name)
    };
    if of(ObjectKind::Template, template.as_str()) && !of(ObjectKind::Api, &api.id.to_string()) {
        problem.object = format!("template {template}");
        problem.problem = format!("of api {}: {}", api.id, problem.problem);
    } else {
        problem.problem += &format!(" (it comes from the template `{template}`)");
    }
}

fn slo(catalog: &Catalog, slo: &Slo, report: &mut Report<'_>) {
    if slo.template.is_some() {
        return; // The template that puts it there is checked.
    }
    api_exists(catalog, &slo.api, "api", report);
    report.unless(slo.api.tenant == slo.id.tenant, "api", || {
        format!(
            "an SLO of tenant `{}` cannot bind an api of another tenant",
            slo.id.tenant
        )
    });
    promise(slo.indicator, slo.objective, slo.window_s, "", report);
}

fn promise(indicator: Indicator, objective: f64, window_s: u32, of: &str, report: &mut Report<'_>) {
    report.unless(
        objective > 0.0 && objective < 1.0,
        &format!("{of}objective"),
        || format!("{objective} is not a part of good requests; write 0.999 for 99.9 %"),
    );
    report.unless(
        (300..=90 * 86_400).contains(&window_s),
        &format!("{of}window"),
        || format!("{window_s} s is not between 5 minutes and 90 days"),
    );
    if let Indicator::Latency { threshold } = indicator {
        report.unless(
            threshold.is_finite() && threshold > 0.0 && threshold <= 3600.0,
            &format!("{of}threshold"),
            || format!("{threshold} is not a latency in seconds above 0 and up to an hour; write 0.2 for 200 ms"),
        );
    }
}

fn event(catalog: &Catalog, event: &Event, report: &mut Report<'_>) {
    tenant_exists(catalog, &event.id.tenant, "name", report);
    for api in &event.apis {
        api_exists(catalog, api, "apis", report);
        report.unless(api.tenant == event.id.tenant, "apis", || {
            format!(
                "an event of tenant `{}` cannot touch `{api}`",
                event.id.tenant
            )
        });
    }
    report.unless(event.duration_s > 0, "duration", || {
        "it lasts 0 s; write how long, for example `2h`".into()
    });
    report.unless(
        event.every_s.is_none_or(|e| e >= event.duration_s && e > 0),
        "every",
        || "it comes back before it has ended; write a longer interval".into(),
    );
    report.unless(
        event
            .minimum_uplift
            .is_none_or(|u| u.is_finite() && u > 0.0),
        "minimum_uplift",
        || "write the least multiple of ordinary load, for example 3".into(),
    );
    report.unless(!event.kind.is_empty(), "kind", || {
        "write what it is, for example `campaign`".into()
    });
    let Some(recurrence) = &event.recurrence else {
        return;
    };
    report.unless(event.every_s.is_none(), "every", || {
        "it comes back by `rrule` already; remove one of the two".into()
    });
    let dates = recurrence.except.len() + recurrence.extra.len();
    report.unless(dates <= Recurrence::MOST_DATES, "rdate", || {
        format!(
            "{dates} single dates are more than {}; declare what is irregular as several events",
            Recurrence::MOST_DATES
        )
    });
    report.unless(
        !recurrence.rule.is_empty() || !recurrence.extra.is_empty(),
        "rrule",
        || "without a rule or an `rdate` it happens once; write for example `FREQ=WEEKLY`, or leave out `exdate` and `timezone`".into(),
    );
}
