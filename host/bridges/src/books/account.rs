//! One signal of one api: the steps that are open, and when they are complete.

use super::steps::Steps;
use super::stream::{Flow, Source};
use super::{Books, Key, Text};
use crate::mapping::How;
use std::collections::BTreeMap;
use tidegate_core::distribution::Distribution;
use tidegate_core::sample::{SeriesKey, SeriesSamples, Values};
use tidegate_core::time::Timestamp;

/// What was added up in a step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sum {
    /// Counts, or an amount.
    Amount(f64),
    /// By stream: sum and number of what was read. In a box, as an amount, which most are, need not take the
    /// room of a tree.
    #[expect(
        clippy::box_collection,
        reason = "a map's own 24 bytes would make every open step 40 bytes instead of 32, and there are millions"
    )]
    Levels(Box<BTreeMap<u32, (f64, u32)>>),
    /// Merged.
    Latency(Box<Distribution>),
}

/// A step that is not given out yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Open {
    /// When its first part arrived, by the machine's clock.
    pub(crate) arrived: i64,
    pub(crate) sum: Sum,
}

impl Open {
    /// The memory that it takes, in bytes.
    #[inline]
    pub(crate) fn weight(&self) -> usize {
        let more = match &self.sum {
            Sum::Amount(_) => 0,
            Sum::Levels(levels) => size_of_val(&**levels) + levels.len() * LEVEL,
            Sum::Latency(d) => {
                size_of_val(&**d) + size_of_val(&d.buckets[..]) + size_of_val(&d.above[..])
            }
        };
        size_of::<(i64, Self)>() + more
    }
}

// A backfill opens hundreds of them for each account.
const _: () = assert!(size_of::<(i64, Open)>() <= 32);

/// What one level takes in its tree, about.
const LEVEL: usize = 32;

/// Why a stream is heard from some time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// It was not known.
    Unknown,
    /// It was silent for too long.
    Again,
}

/// A signal of an api.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Account {
    pub(crate) key: SeriesKey,
    pub(crate) how: How,
    /// By start.
    pub(crate) open: Steps,
    /// End of the last step that was given out.
    pub(crate) given: i64,
    /// When anybody was heard first, by the machine's clock; `i64::MIN` before that.
    pub(crate) begun: i64,
    /// Steps that begin before this are not given out: of them, not everything was heard.
    pub(crate) partial_until: i64,
    /// Who feeds it.
    pub(crate) sources: Vec<u32>,
    /// Group of metrics that it rests on.
    pub(crate) group: Text,
    /// Which metric of it, per instance.
    pub(crate) instances: BTreeMap<Key, Text>,
    /// Nobody feeds it any more, and its number may be given to another.
    pub(crate) closed: bool,
}

impl Account {
    pub(crate) fn new(key: SeriesKey, how: How, given: i64) -> Self {
        Self {
            key,
            how,
            open: Steps::default(),
            given,
            begun: i64::MIN,
            partial_until: i64::MIN,
            sources: vec![],
            group: "".into(),
            instances: BTreeMap::new(),
            closed: false,
        }
    }

    pub(crate) fn nothing(how: How) -> Sum {
        match how {
            How::Count | How::Rate => Sum::Amount(0.0),
            How::Level => Sum::Levels(Box::default()),
            How::Latency => Sum::Latency(Box::default()),
        }
    }
}

impl Books {
    /// A step of an account.
    pub(super) fn step_of(&mut self, account: u32, start: i64, now: i64) -> &mut Open {
        let account = &mut self.accounts[account as usize];
        let how = account.how;
        let (is_new, open) = account.open.at(start, || Open {
            arrived: now,
            sum: Account::nothing(how),
        });
        if is_new {
            self.open += open.weight();
        }
        open
    }

    /// A stream that was there before is heard from `time` on, and not what it did until then. When a
    /// signal begins to be fed, that goes for all its streams, one after the other; later, a stream
    /// without a known start is most likely new, and the little that it did is missing.
    pub(super) fn begin(&mut self, id: u32, time: i64, now: i64, begins: Begins) {
        let Some(source) = &self.sources[id as usize] else {
            return;
        };
        let feeds = source.feeds.clone();
        let (step, hold) = (self.terms.step.ms(), self.terms.hold_ms);
        let whole_from = time + (-time).rem_euclid(step);
        for &(account, _) in feeds.iter() {
            let of = &mut self.accounts[account as usize];
            if of.begun == i64::MIN {
                of.begun = now;
            }
            if begins == Begins::Again || now.saturating_sub(of.begun) <= hold {
                of.partial_until = of.partial_until.max(whole_from);
            }
        }
    }

    /// Notes a level of a stream in a step; whether the step was still open.
    pub(super) fn level_at(
        &mut self,
        account: u32,
        id: u32,
        start: i64,
        value: f64,
        now: i64,
    ) -> bool {
        if start < self.accounts[account as usize].given {
            return false;
        }
        let open = self.step_of(account, start, now);
        let before = open.weight();
        if let Sum::Levels(levels) = &mut open.sum {
            let (sum, n) = levels.entry(id).or_insert((0.0, 0));
            *sum += value;
            *n += 1;
        }
        let after = open.weight();
        self.open = self.open + after - before;
        true
    }

    /// End of the last step of an account that is complete.
    pub(super) fn due_until(&self, id: u32, clock: i64, now: i64) -> Option<i64> {
        let step = self.terms.step.ms();
        let account = &self.accounts[id as usize];
        let first = account.open.first()?;
        if first + step > clock {
            return None;
        }
        // Up to where all that still speak have spoken.
        let speaks =
            |s: &&Source| !s.ended && s.last.is_some() && now - s.heard < self.terms.hold_ms;
        // Of delta streams, those in which nothing happened are left out by many senders.
        let until = |s: &Source| match s.flow {
            Flow::Delta => s.spoken().max(self.families[s.family as usize].latest),
            Flow::Cumulative | Flow::Level => s.spoken(),
        };
        let sources = account.sources.iter();
        let sources = sources.filter_map(|s| self.sources[*s as usize].as_ref());
        let spoken = sources.filter(speaks).map(until).min();
        let spoken = spoken.unwrap_or(i64::MIN);
        let (settle, hold) = (self.terms.settle_ms, self.terms.hold_ms);
        let complete = |start: i64, open: &Open| {
            let (end, waited) = (start + step, now - open.arrived);
            let all = spoken >= end && waited >= settle;
            end <= clock && (all || waited >= hold && end + hold <= clock)
        };
        let steps = account.open.iter();
        let ready = steps.take_while(|(start, open)| complete(*start, open));
        ready.last().map(|(start, _)| start + step)
    }

    /// The steps of an account that lie before `end`; from now on they are given out.
    pub(super) fn give(&mut self, id: u32, end: i64) -> Option<SeriesSamples> {
        let step = self.terms.step.ms();
        let account = &mut self.accounts[id as usize];
        let mut times = vec![];
        let mut numbers = vec![];
        let mut distributions = vec![];
        account.given = account.given.max(end);
        while let Some((start, open)) = account.open.pop_before(end) {
            self.open -= open.weight();
            if start < account.partial_until {
                self.tally.partial += 1;
                let left_out = self.left_out.entry(account.key.api.clone());
                let past = account.partial_until.saturating_sub(self.terms.hold_ms);
                left_out.or_default().note(start, step, past);
                continue;
            }
            match open.sum {
                Sum::Amount(sum) => {
                    let rate = account.how == How::Rate;
                    numbers.push(if rate {
                        sum / (step as f64 / 1000.0)
                    } else {
                        sum
                    });
                }
                Sum::Levels(levels) if levels.is_empty() => continue,
                Sum::Levels(levels) => {
                    numbers.push(levels.values().map(|(sum, n)| sum / f64::from(*n)).sum());
                }
                Sum::Latency(d) if d.count() == 0 => continue,
                Sum::Latency(d) => distributions.push(*d),
            }
            self.tally.steps += 1;
            times.push(Timestamp(start));
        }
        let key = account.key.clone();
        let how = account.how;
        self.settle_recent(id);
        if times.is_empty() {
            return None;
        }
        let values = if how == How::Latency {
            Values::Distributions(distributions)
        } else {
            Values::Numbers(numbers)
        };
        Some(SeriesSamples {
            key,
            step: self.terms.step,
            times,
            values,
        })
    }
}
