//! What makes a template sensible. What it fills is checked where it lands, on the apis of its group;
//! here stands what would be wrong of it without any.

use super::{MOST_WEIGHT, Report, promise, tenant_exists};
use crate::catalog::Catalog;
use crate::catalog::template::Template;

/// Adds every problem of a template.
pub(super) fn template(catalog: &Catalog, template: &Template, report: &mut Report<'_>) {
    let selector = &template.selector;
    if let Some(tenant) = template.id.as_str().split_once('/').map(|(t, _)| t) {
        let of = selector.tenant.as_ref().map(|t| t.as_str());
        report.unless(of == Some(tenant), "name", || {
            format!("a template of that name selects apis of tenant `{tenant}` alone: write it into the selector, or another name")
        });
    }
    if let Some(tenant) = &selector.tenant {
        tenant_exists(catalog, tenant, "selector.tenant", report);
    }
    if let Some(pool) = &selector.pool {
        report.unless(catalog.pools.contains_key(pool), "selector.pool", || {
            format!("there is no pool `{pool}`; apply a `pool` of that name first")
        });
    }
    let (lowest, highest) = (template.lowest_tier, template.highest_tier);
    report.unless(
        lowest.is_none_or(|l| highest.is_none_or(|h| l <= h)),
        "lowest_tier",
        || "it is above highest_tier; exchange the two".into(),
    );
    report.unless(
        template.weight.is_none_or(|w| w > 0.0 && w <= MOST_WEIGHT),
        "weight",
        || {
            format!(
                "{} is not a weight; write a number above 0 and up to {MOST_WEIGHT:.0}",
                template.weight.unwrap_or_default()
            )
        },
    );
    for (field, amounts) in [
        ("floor", &template.floor),
        ("ceiling", &template.ceiling),
        ("safe", &template.safe),
    ] {
        if let Some(amounts) = amounts {
            report.amounts(field, amounts);
        }
    }
    for (i, slo) in template.slos.iter().enumerate() {
        let twice = template.slos[..i].iter().any(|s| s.name == slo.name);
        report.unless(!twice, &format!("slos[{i}].name"), || {
            format!("`{}` stands there before; remove one of them", slo.name)
        });
        promise(
            slo.indicator,
            slo.objective,
            slo.window_s,
            &format!("slos[{i}]."),
            report,
        );
    }
    for api in catalog
        .apis
        .values()
        .map(|a| &a.value)
        .filter(|a| selector.selects(a))
    {
        let room = 100_usize.saturating_sub(api.id.name.as_str().len() + 1);
        for slo in template
            .slos
            .iter()
            .filter(|s| s.name.as_str().len() > room)
        {
            report.unless(false, "slos", || {
                format!("`{}/{}` is longer than the 100 characters of a name; shorten the name of the SLO", api.id, slo.name)
            });
        }
    }
}
