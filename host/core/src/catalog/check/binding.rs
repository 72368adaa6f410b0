//! What makes a binding sensible: whom it may serve by its kind, and who may stand beside its module.

mod shadow;

use super::{Report, tenant_exists};
use crate::catalog::Catalog;
use crate::module::{Binding, ModuleKind};

/// Adds every problem of a binding.
pub(super) fn binding(catalog: &Catalog, binding: &Binding, report: &mut Report<'_>) {
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
    shadow::shadow(binding, report);
    shadow::gate(&binding.gate, report);
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
