//! What makes a catalog sensible: ranges within an object, references between objects.

use super::{Api, Catalog, FieldProblem, Pool};
use crate::event::{Event, Recurrence};
use crate::ids::{ApiId, TenantId};
use crate::module::{Binding, ModuleKind};
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

/// Adds every problem of `catalog`.
pub(super) fn catalog(catalog: &Catalog, problems: &mut Vec<FieldProblem>) {
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
    for a in catalog.apis.values() {
        api(
            catalog,
            &a.value,
            &mut Report {
                object: format!("api {}", a.value.id),
                problems,
            },
        );
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
        binding(
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

fn slo(catalog: &Catalog, slo: &Slo, report: &mut Report<'_>) {
    api_exists(catalog, &slo.api, "api", report);
    report.unless(slo.api.tenant == slo.id.tenant, "api", || {
        format!(
            "an SLO of tenant `{}` cannot bind an api of another tenant",
            slo.id.tenant
        )
    });
    report.unless(
        slo.objective > 0.0 && slo.objective < 1.0,
        "objective",
        || {
            format!(
                "{} is not a part of good requests; write 0.999 for 99.9 %",
                slo.objective
            )
        },
    );
    report.unless(
        (300..=90 * 86_400).contains(&slo.window_s),
        "window",
        || format!("{} s is not between 5 minutes and 90 days", slo.window_s),
    );
    if let Indicator::Latency { threshold } = slo.indicator {
        report.unless(threshold.is_finite() && threshold > 0.0 && threshold <= 3600.0, "threshold", || {
            format!("{threshold} is not a latency in seconds above 0 and up to an hour; write 0.2 for 200 ms")
        });
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

fn binding(catalog: &Catalog, binding: &Binding, report: &mut Report<'_>) {
    use ModuleKind::{Allocator, Forecaster, Judge, Tierer};
    // `TENANT/NAME` is that tenant's: its name must not tell of one and serve another.
    if let Some(tenant) = binding.id.as_str().split_once('/').map(|(t, _)| t) {
        let serves = binding.selector.tenant.as_ref().map(|t| t.as_str());
        report.unless(serves == Some(tenant), "name", || {
            format!("a binding of that name serves tenant `{tenant}` alone: write it into the selector, or another name")
        });
    }
    if let Some(tenant) = &binding.selector.tenant {
        tenant_exists(catalog, tenant, "tenant", report);
    }
    if let Some(pool) = &binding.selector.pool {
        report.unless(catalog.pools.contains_key(pool), "pool", || {
            format!("there is no pool `{pool}`")
        });
    }
    report.unless(!binding.module.is_empty(), "module", || {
        "name a module; `tidegate policy list` shows them".into()
    });
    challengers(binding, report);
    match binding.kind {
        Allocator => report.unless(
            binding.selector.tenant.is_none()
                && binding.selector.labels.is_empty()
                && binding.selector.category.is_none(),
            "selector",
            || "an allocator divides a whole pool: select by `pool`, or by nothing".into(),
        ),
        // A tierer decides for the apis of a tenant together: there is no one api to select by.
        Tierer => report.unless(
            binding.selector.pool.is_none()
                && binding.selector.labels.is_empty()
                && binding.selector.category.is_none(),
            "selector",
            || "a tierer serves a whole tenant: select by `tenant`, or by nothing".into(),
        ),
        Forecaster | Judge => {}
    }
}

fn challengers(binding: &Binding, report: &mut Report<'_>) {
    let (all, most) = (&binding.challengers, Binding::MOST_CHALLENGERS);
    report.unless(
        all.is_empty() || binding.kind == ModuleKind::Forecaster,
        "challengers",
        || {
            format!(
                "only forecasters are compared series by series so far; leave `challengers` out of a binding of kind {}",
                binding.kind
            )
        },
    );
    report.unless(all.len() <= most, "challengers", || {
        format!(
            "{} are more than {most}, and each is fitted to every series; keep the best ones",
            all.len()
        )
    });
    for (i, challenger) in all.iter().enumerate() {
        let field = format!("challengers[{i}]");
        report.unless(
            !challenger.module.is_empty(),
            &format!("{field}.module"),
            || "name a module; `tidegate policy list` shows them".into(),
        );
        // Scores and choices name a module and not its config.
        report.unless(challenger.module != binding.module, &field, || {
            format!(
                "`{}` is the binding's own module; remove it here",
                challenger.module
            )
        });
        let twice = all[..i].iter().any(|c| c.module == challenger.module);
        report.unless(!twice, &field, || {
            format!(
                "`{}` stands there before; remove one of them",
                challenger.module
            )
        });
    }
}
