//! Stretches of a delta stream that are remembered to know a retry.
//!
//! A point that was taken and comes again must not count again, so every stretch is remembered that could: of which
//! a step is open still. The last [`FEW`] are remembered beyond that, so that a late retry is a duplicate and not
//! late. Nearly always that is all, and they stand in a row; a past that is sent at once opens thousands of steps,
//! and of so many stretches there is a tree.

use super::Books;
use super::account::Account;
use super::feeds::Feeds;
use std::collections::BTreeSet;

/// As many are remembered at the least, and take no more memory than a stream does anyway.
const FEW: usize = 32;

/// What one more takes in the tree, about.
const NODE: usize = 32;

/// Starts and ends of points.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Recent {
    Few(Vec<(i64, i64)>),
    /// By end, then start. In a box, as few streams ever have so many.
    #[expect(
        clippy::box_collection,
        reason = "a set's own 24 bytes would make every stream 8 bytes larger, and there are a million"
    )]
    Many(Box<BTreeSet<(i64, i64)>>),
}

// A stream has one whatever it is.
const _: () = assert!(size_of::<Recent>() <= size_of::<Vec<()>>());

impl Default for Recent {
    fn default() -> Self {
        Recent::Few(vec![])
    }
}

impl Recent {
    pub(crate) fn len(&self) -> usize {
        match self {
            Recent::Few(few) => few.len(),
            Recent::Many(many) => many.len(),
        }
    }

    /// Bytes that those beyond the last few take, about.
    pub(super) fn weight(&self) -> usize {
        self.len().saturating_sub(FEW) * NODE
    }

    /// Whether a stretch is there; one without a start, if one is there that ends when it does.
    pub(super) fn knows(&self, start: Option<i64>, end: i64) -> bool {
        match (self, start) {
            (Recent::Few(few), None) => few.iter().any(|(_, e)| *e == end),
            (Recent::Few(few), Some(start)) => few.contains(&(start, end)),
            (Recent::Many(many), None) => many
                .range((end, i64::MIN)..=(end, i64::MAX))
                .next()
                .is_some(),
            (Recent::Many(many), Some(start)) => many.contains(&(end, start)),
        }
    }

    /// Remembers one more; what ends by `reach`, if that is known, can count no more.
    fn add(&mut self, (start, end): (i64, i64), reach: Option<i64>) {
        if let Recent::Few(few) = self {
            if few.len() == FEW {
                let ends = few.iter().map(|(_, end)| *end).enumerate();
                let first = ends.min_by_key(|(_, end)| *end);
                if let Some((at, _)) =
                    first.filter(|(_, end)| reach.is_some_and(|reach| *end <= reach))
                {
                    few.remove(at);
                }
            }
            if few.len() < FEW {
                return few.push((start, end));
            }
            let all = few.drain(..).map(|(start, end)| (end, start));
            *self = Recent::Many(Box::new(all.collect()));
        }
        if let Recent::Many(many) = self {
            many.insert((end, start));
        }
    }

    /// Forgets what can count no more, but for the last few.
    fn settle(&mut self, reach: i64) {
        let Recent::Many(many) = self else {
            return;
        };
        while many.len() > FEW && many.first().is_some_and(|(end, _)| *end <= reach) {
            many.pop_first();
        }
        if many.len() <= FEW {
            *self = Recent::Few(many.iter().map(|(end, start)| (*start, *end)).collect());
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (i64, i64)> {
        let (few, many) = match self {
            Recent::Few(few) => (Some(few), None),
            Recent::Many(many) => (None, Some(many)),
        };
        let few = few.into_iter().flatten().copied();
        few.chain(
            many.into_iter()
                .flat_map(|m| m.iter())
                .map(|(end, start)| (*start, *end)),
        )
    }
}

impl FromIterator<(i64, i64)> for Recent {
    fn from_iter<T: IntoIterator<Item = (i64, i64)>>(all: T) -> Self {
        let mut recent = Self::default();
        all.into_iter()
            .for_each(|stretch| recent.add(stretch, None));
        recent
    }
}

/// Up to when a stream's points cannot count any more: where the steps before were given out, of all that it feeds.
fn reach(accounts: &[Account], feeds: &Feeds, step: i64) -> i64 {
    let given = feeds
        .iter()
        .map(|(account, _)| accounts[*account as usize].given);
    given.min().unwrap_or(i64::MIN).saturating_sub(step)
}

impl Books {
    /// Remembers a stretch of a stream.
    pub(super) fn remember(&mut self, id: u32, stretch: (i64, i64)) {
        let step = self.terms.step.ms();
        if let Some(source) = &mut self.sources[id as usize] {
            let before = source.recent.weight();
            let reach = reach(&self.accounts, &source.feeds, step);
            source.recent.add(stretch, Some(reach));
            self.open = self.open + source.recent.weight() - before;
        }
    }

    /// Forgets what an account's streams need not remember, once it has given out more.
    pub(super) fn settle_recent(&mut self, account: u32) {
        let step = self.terms.step.ms();
        for id in &self.accounts[account as usize].sources {
            let Some(source) = &mut self.sources[*id as usize] else {
                continue;
            };
            let before = source.recent.weight();
            if before > 0 {
                let reach = reach(&self.accounts, &source.feeds, step);
                source.recent.settle(reach);
                self.open = self.open + source.recent.weight() - before;
            }
        }
    }
}
