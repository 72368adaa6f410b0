//! What stands in, after a restart, for what a cycle has not looked at again yet.
//!
//! Kept forecasts, error budgets and ordinary loads are not on disk: they follow from what is. In a large
//! world to make them all anew takes minutes, and for so long the pool would be left with a plan of
//! before. The last record holds what its plan was made from, which is less than a quarter of an hour
//! old, so the next plan is made of that: each api's demand by the step that it was foreseen for, and
//! what the tierer was told of it. The first cycle carries everybody; then a part of the apis has its
//! turn in each step, by a hash, until all had ([`SPREAD`]). Only in a world that spreads its forecasts
//! anyway: in a small one all are made at once, as ever.
//!
//! What is carried is in the new record like everything that was asked, so that its plan can be
//! recomputed from it, and what a cycle carries follows from the last record and the time alone.
//! Rejected: to keep forecasts on disk. They are a gigabyte for a hundred thousand apis, written again
//! within half an hour, to spare ten steps of a day.

use super::Input;
use crate::demand;
use crate::tier::LEVELS;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::canonical;
use tidegate_core::catalog::Api;
use tidegate_core::ids::ApiId;
use tidegate_core::plan::Plan;
use tidegate_core::policy::{AllocationInput, TierInput};
use tidegate_core::record::Record;
use tidegate_core::slo::{BURN_WINDOWS, Burn};
use tidegate_core::time::Grid;
use tidegate_core::units::Dimension;

/// Steps within which every api has its turn.
const SPREAD: u64 = 10;

/// What a tierer was told of an api.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Told {
    pub(super) expected: f64,
    pub(super) peak: [f64; LEVELS.len()],
    pub(super) burn: Burn,
    pub(super) budget_left: f64,
}

/// What is known of apis from before the restart; an api leaves it with its turn.
#[derive(Debug, Clone, Default)]
pub struct Carried {
    told: BTreeMap<ApiId, Told>,
    /// Whether there was a cycle since.
    begun: bool,
}

/// Apis that are carried through a cycle.
#[derive(Debug, Default)]
pub(super) struct Waiting<'a> {
    told: BTreeMap<&'a ApiId, &'a Told>,
}

impl Carried {
    /// What a record knows.
    pub(super) fn of(record: &Record) -> Self {
        let keys = record.plan.apis.iter();
        let names: BTreeMap<u64, &ApiId> = keys
            .map(|row| (canonical::api_key(&row.api), &row.api))
            .collect();
        let mut all = BTreeMap::new();
        for input in record.tiers.iter().map(|tier| &tier.input) {
            for (row, key) in input.apis.iter().enumerate() {
                if let Some((api, told)) = names.get(key).zip(told(input, row)) {
                    all.insert((*api).clone(), told);
                }
            }
        }
        Self {
            told: all,
            begun: false,
        }
    }

    /// Apis whose turn it is not, of those that the last plan still says something of. `cadence` is the
    /// number of steps from one forecast of a series to the next.
    pub(super) fn waiting<'a>(
        &'a self,
        input: &Input<'_>,
        apis: &[&Api],
        dimensions: &[Dimension],
        last: Option<(&Plan, &AllocationInput)>,
        cadence: u32,
    ) -> Waiting<'a> {
        let step = input.settings.step;
        let start = input.now.floor(step);
        let covers = |(plan, asked): &(&Plan, &AllocationInput)| {
            plan.grid.step == step
                && plan.grid.index_of(start).is_some()
                && asked.grid == plan.grid
                && asked.dimensions == dimensions
                && asked.apis.len() == plan.apis.len()
        };
        if cadence <= 1 || self.told.is_empty() || last.filter(covers).is_none() {
            return Waiting::default();
        }
        let at = start.0.div_euclid(step.ms()) as u64;
        let is_due = |api: &ApiId| {
            self.begun
                && at
                    .wrapping_add(canonical::api_key(api))
                    .is_multiple_of(SPREAD)
        };
        let waits = |api: &&Api| {
            let known = self.told.get_key_value(&api.id)?;
            // What its owner promises now may not have been known then.
            let promised = super::gather::promised(input, api, known.1.expected);
            let is_carried = !is_due(&api.id) && promised.iter().all(|p| *p <= 0.0);
            is_carried.then_some(known)
        };
        Waiting {
            told: apis.iter().filter_map(waits).collect(),
        }
    }

    /// Apis that have not had their turn since the restart.
    #[must_use]
    pub fn apis(&self) -> BTreeSet<&ApiId> {
        self.told.keys().collect()
    }

    /// What is still carried after a cycle.
    pub(super) fn after(waiting: &Waiting<'_>) -> Self {
        let left = waiting.told.iter();
        Self {
            told: left.map(|(api, told)| ((*api).clone(), **told)).collect(),
            begun: true,
        }
    }
}

impl<'a> Waiting<'a> {
    /// What the tierer was told of an api that is carried.
    pub(super) fn told(&self, api: &ApiId) -> Option<&'a Told> {
        self.told.get(api).copied()
    }

    /// The demand of an api that is carried, over the steps of a new plan; `None` for any other.
    pub(super) fn demand(
        &self,
        api: &ApiId,
        grid: Grid,
        last: Option<(&Plan, &AllocationInput)>,
    ) -> Option<demand::Output> {
        self.told.get(api)?;
        foreseen(api, grid, last)
    }
}

/// What a plan before foresaw of an api's demand over the steps of a new one.
pub(super) fn foreseen(
    api: &ApiId,
    grid: Grid,
    last: Option<(&Plan, &AllocationInput)>,
) -> Option<demand::Output> {
    let (plan, asked) = last?;
    let row = plan.apis.binary_search_by(|row| row.api.cmp(api)).ok()?;
    let shift = plan.grid.index_of(grid.start)?;
    let from = plan.generation;
    Some(demand::Output::carried(asked, (row, shift), grid, from))
}

/// What a tierer was told of the api of a row.
fn told(input: &TierInput, row: usize) -> Option<Told> {
    let burns = row * BURN_WINDOWS.len();
    let peaks = row * LEVELS.len();
    let is_whole = input.levels == LEVELS && input.burn_windows == BURN_WINDOWS;
    let told = Told {
        expected: *input.expected.get(row)?,
        peak: *input.peak.get(peaks..)?.first_chunk()?,
        burn: *input.burn.get(burns..)?.first_chunk()?,
        budget_left: *input.budget_left.get(row)?,
    };
    is_whole.then_some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> TierInput {
        use tidegate_core::tier::Tier;
        let tiers = vec![Tier::Silver; 2];
        TierInput {
            now: tidegate_core::time::Timestamp(0),
            seed: 0,
            state: tidegate_core::policy::Blob::default(),
            apis: vec![7, 8],
            current: tiers.clone(),
            base: tiers.clone(),
            lowest: tiers.clone(),
            highest: tiers,
            dwell: vec![0; 2],
            expected: vec![1.0, 2.0],
            levels: LEVELS.to_vec(),
            peak: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            utilisation: vec![0.5; 2],
            burn_windows: BURN_WINDOWS.to_vec(),
            burn: (0..2 * BURN_WINDOWS.len()).map(|b| b as f64).collect(),
            budget_left: vec![0.9, 0.8],
        }
    }

    #[test]
    fn an_api_is_carried_with_what_the_tierer_was_told_of_it() {
        let found = told(&asked(), 1).unwrap();
        let first = BURN_WINDOWS.len() as f64;
        let is = |a: f64, b: f64| assert_eq!(a.to_bits(), b.to_bits());
        is(found.expected, 2.0);
        is(found.peak[0], 4.0);
        is(found.burn[0], first);
        is(found.budget_left, 0.8);
    }

    #[test]
    fn what_was_told_of_other_levels_or_windows_is_not_carried() {
        let mut other = asked();
        other.levels.reverse();
        assert_eq!(told(&other, 0), None);
        let mut other = asked();
        other.burn_windows[0] += 1;
        assert_eq!(told(&other, 0), None);
        assert_eq!(told(&asked(), 2), None);
    }
}
