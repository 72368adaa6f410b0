//! Which events are declared on which rows, out of columns by name.
//!
//! Sorted by kind, so that nothing depends on the order in which the host sends columns.

use crate::Covariates;

/// The longest name of a kind that is kept.
pub(crate) const MAX_NAME: usize = 256;

/// Kinds that run on any of the rows, by name, with the rows; without the `settled` ones.
pub(crate) fn running_rows<'a>(
    known: &Covariates<'a>,
    rows: usize,
    settled: &[String],
) -> Vec<(&'a str, Vec<bool>)> {
    let mut all: Vec<(&str, Vec<bool>)> = known
        .events()
        .filter(|(name, _)| name.len() <= MAX_NAME && settled.iter().all(|s| s != name))
        .map(|(name, column)| {
            let on = (0..rows).map(|r| column.get(r).is_some_and(|v| *v > 0.0));
            (name, on.collect())
        })
        .collect();
    all.retain(|(_, on)| on.contains(&true));
    all.sort_unstable_by_key(|(name, _)| *name);
    all.dedup_by_key(|(name, _)| *name);
    all
}
