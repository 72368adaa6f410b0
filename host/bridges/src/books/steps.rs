//! The steps of an account that are open, in their order, whatever the order in which they came.
//!
//! Nearly always there are one or two, and what comes belongs into the last or makes a new one behind it; so they
//! stand in a row, and the last one in the account itself, where it is found without a look elsewhere. A past that is
//! sent in any order would move half of the row for each new step, so what lies far from both its ends stands in a
//! tree beside it.
//!
//! One request may open steps without end, since room is looked for before it and not for each of its points. So an
//! account has [`MAX_STEPS`] at the most, and a stream as many stretches that may come again.

use super::Books;
use super::account::Open;
use super::stream::{Flow, Observed};
use std::collections::{BTreeMap, VecDeque};

/// Steps of an account that may be open, and stretches of a stream: eleven days of 10 s that come within the two or
/// three seconds that it takes to give them out.
pub(super) const MAX_STEPS: usize = 100_000;

/// So far from an end of the row a step is put into it.
const NEAR: usize = 64;

/// Steps that are not given out yet, by start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steps {
    row: VecDeque<(i64, Open)>,
    /// What would stand far from both ends of the row.
    strays: BTreeMap<i64, Open>,
    /// The newest.
    last: Option<(i64, Open)>,
}

/// Where they stand says only in which order they came.
impl PartialEq for Steps {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Steps {
    pub(crate) fn len(&self) -> usize {
        self.row.len() + self.strays.len() + usize::from(self.last.is_some())
    }

    /// All, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Open)> {
        let mut row = self
            .row
            .iter()
            .map(|(start, open)| (*start, open))
            .peekable();
        let strays = self.strays.iter();
        let mut strays = strays.map(|(start, open)| (*start, open)).peekable();
        let earlier = std::iter::from_fn(move || match (row.peek(), strays.peek()) {
            (Some((a, _)), Some((b, _))) if a > b => strays.next(),
            (None, _) => strays.next(),
            _ => row.next(),
        });
        earlier.chain(self.last.as_ref().map(|(start, open)| (*start, open)))
    }

    /// All, in any order.
    pub(super) fn each_mut(&mut self) -> impl Iterator<Item = &mut Open> {
        let strays = self.strays.values_mut();
        let others = self.row.iter_mut().chain(&mut self.last);
        others.map(|(_, open)| open).chain(strays)
    }

    pub(super) fn first(&self) -> Option<i64> {
        self.iter().next().map(|(start, _)| start)
    }

    /// Whether the step that begins at `start` is open.
    fn has(&self, start: i64) -> bool {
        let is_last = self.last.as_ref().is_some_and(|(last, _)| *last == start);
        is_last
            || self.row.binary_search_by_key(&start, |(s, _)| *s).is_ok()
            || self.strays.contains_key(&start)
    }

    /// The step that begins at `start`, which is made if there is none; whether it was.
    #[inline]
    pub(crate) fn at(&mut self, start: i64, make: impl FnOnce() -> Open) -> (bool, &mut Open) {
        let last = self.last.as_ref().map_or(i64::MIN, |(last, _)| *last);
        if start < last {
            return self.earlier(start, make);
        }
        let is_new = start > last || self.last.is_none();
        if is_new && let Some(last) = self.last.take() {
            self.row.push_back(last);
        }
        let last = self.last.get_or_insert_with(|| (start, make()));
        (is_new, &mut last.1)
    }

    fn earlier(&mut self, start: i64, make: impl FnOnce() -> Open) -> (bool, &mut Open) {
        let at = match self.row.binary_search_by_key(&start, |(s, _)| *s) {
            Ok(at) => return (false, &mut self.row[at].1),
            Err(at) => at,
        };
        let is_near = at.min(self.row.len() - at) <= NEAR;
        let is_stray = self.strays.contains_key(&start);
        if is_near && !is_stray {
            self.row.insert(at, (start, make()));
            return (true, &mut self.row[at].1);
        }
        (!is_stray, self.strays.entry(start).or_insert_with(make))
    }

    /// Takes the first out, where it begins before `end`.
    pub(super) fn pop_before(&mut self, end: i64) -> Option<(i64, Open)> {
        let first = self.first().filter(|first| *first < end)?;
        if let Some(stray) = self.strays.remove_entry(&first) {
            return Some(stray);
        }
        let step = self.row.pop_front().or_else(|| self.last.take());
        if self.row.is_empty() {
            // What an hour's delay took need not stay.
            self.row.shrink_to(4);
        }
        step
    }
}

impl Books {
    /// Whether a point would open one more step than an account of its stream may have open.
    #[inline]
    pub(super) fn is_crowded(&self, id: u32, observed: &Observed) -> bool {
        let Some(source) = self.sources.get(id as usize).and_then(Option::as_ref) else {
            return false;
        };
        let is_full = |account: u32| {
            let open = &self.accounts[account as usize].open;
            open.len() >= MAX_STEPS && !open.has(self.step_before(observed.time))
        };
        let stretches = || {
            source.recent.len() >= MAX_STEPS && !source.recent.knows(observed.start, observed.time)
        };
        source.feeds.iter().any(|(account, _)| is_full(*account))
            || source.flow == Flow::Delta && stretches()
    }

    /// Start of the step in which the last moment before `time` lies.
    fn step_before(&self, time: i64) -> i64 {
        let last = time.saturating_sub(1);
        last - last.rem_euclid(self.terms.step.ms())
    }
}

#[cfg(test)]
mod tests {
    use super::super::account::Sum;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn they_are_in_their_order_whatever_the_order_in_which_they_came(
            starts in prop::collection::vec(0_i64..2000, 0..1500), until in 0_i64..2000,
        ) {
            let mut steps = Steps::default();
            let mut expected = BTreeMap::new();
            for start in starts {
                let arrived = start + 1;
                let make = || Open { arrived, sum: Sum::Amount(0.0) };
                let (is_new, open) = steps.at(start, make);
                prop_assert_eq!(is_new, !expected.contains_key(&start));
                let Sum::Amount(sum) = &mut open.sum else { unreachable!() };
                *sum += 1.0;
                *expected.entry(start).or_insert(0.0) += 1.0;
            }
            prop_assert_eq!(steps.len(), expected.len());
            let amount = |open: &Open| match &open.sum {
                Sum::Amount(sum) => *sum,
                Sum::Levels(_) | Sum::Latency(_) => f64::NAN,
            };
            let all: Vec<_> = steps.iter().map(|(start, open)| (start, amount(open))).collect();
            prop_assert_eq!(all, expected.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(steps.each_mut().count(), expected.len());
            for start in 0..2000 {
                prop_assert_eq!(steps.has(start), expected.contains_key(&start));
            }
            let later = expected.split_off(&until);
            for first in expected {
                let popped = steps.pop_before(until).map(|(start, open)| (start, amount(&open)));
                prop_assert_eq!(popped, Some(first));
            }
            prop_assert!(steps.pop_before(until).is_none());
            prop_assert_eq!(steps.len(), later.len());
        }
    }
}
