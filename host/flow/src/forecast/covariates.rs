//! What is known beside a series: the calendar and declared events, on the rows of a frame.

use tidegate_core::catalog::Catalog;
use tidegate_core::ids::ApiId;
use tidegate_core::policy::Covariates;
use tidegate_core::time::Grid;

/// Declared events as covariates: one column per kind, 1 while an occurrence touches the api.
pub(super) fn covariates(catalog: &Catalog, apis: &[&ApiId], grids: &[Grid]) -> Covariates {
    let relevant: Vec<_> = catalog
        .events
        .values()
        .map(|e| &e.value)
        .filter(|e| apis.iter().any(|a| e.touches(a)))
        .collect();
    let kinds: std::collections::BTreeSet<&str> =
        relevant.iter().map(|e| e.kind.as_str()).collect();
    let mut covariates = Covariates::default();
    for kind in kinds {
        covariates.names.push(format!("event:{kind}"));
        for (api, grid) in apis.iter().zip(grids) {
            let mine: Vec<_> = relevant
                .iter()
                .filter(|e| e.kind == kind && e.touches(api))
                .collect();
            covariates.values.extend(
                (0..grid.count)
                    .map(|i| f64::from(u8::from(mine.iter().any(|e| e.covers(grid.at(i)))))),
            );
        }
    }
    covariates
}
