//! Adds up what the instances of a service say, step by step, so that every request that somebody
//! counted is in exactly one sum.
//!
//! The store keeps one number per api, signal and step, and the first one stands. What is sent are
//! points of *streams*: each instance, status and method has its own, most of them cumulative, at
//! times that fall anywhere in a step. So something between the two must (1) take differences per
//! stream, (2) cut them at the steps' edges, (3) add them up over streams, and (4) know when a step's
//! sum is complete; and what was acknowledged must survive a crash in between.
//!
//! Two ways were weighed. *Raw streams under the hood*, added up when they are read, would never be
//! too early; but a read would cost as many series as there are instances and statuses, churn of
//! instances would be churn of series, and every consumer of history would pay. So the books are
//! kept here: per stream its last point, per api and signal the steps that are still open. Points are
//! written to a journal before they are acknowledged, and the books follow from the journal: state
//! is a function of what was noted, in the order in which it was noted (`journal`).
//!
//! **The law** (a property test): what [`Books::due`] gives out, over all steps, is the sum of the
//! differences that were taken, whatever the order of streams, retries, resets and restarts. A part
//! that belongs into a step whose sum was given out already goes into the first step that is open,
//! but no more than one step's length of it: an hour that comes at once must not look like a burst.
//! What is later is refused as late, or cut off and counted. Nothing is counted twice: points are
//! compared with the last one of their stream.
//!
//! **When a step is complete**: when every stream of it that still speaks has a point at its end or
//! beyond; or when nobody more can be expected: `hold` after it began to fill and after its end, so
//! that an instance that died, or a sender that sleeps, holds nobody up for longer. `hold` must
//! exceed the longest interval of senders.
//!
//! What is *not known* is not made up: the first point of a stream whose start is unknown is a base
//! line; a silence longer than `gap` is not filled; a step of which not every stream was heard from
//! its beginning, when a signal begins to be fed, is not given out. Of a stream that appears among known ones (the first error of a route), everything is
//! new since its instance was heard last.
//!
//! Sources: OpenTelemetry metrics data model, "Resets and gaps", "Single-writer"; Prometheus for
//! stale markers.

mod account;
mod checkpoint;
mod classic;
mod codec;
mod feeds;
mod figures;
mod forget;
mod journal;
mod left_out;
mod recent;
mod spread;
mod steps;
mod stream;
mod streams;
mod waiting;
mod why;

pub use classic::Slice;
pub use codec::Damaged;
pub use left_out::LeftOut;
pub use stream::{Fate, Flow, Observed, Value};
pub use why::Why;

use account::Account;
use journal::Log;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stream::{Family, Source};
use tidegate_core::ids::{ApiId, TenantId};
use tidegate_core::sample::{SeriesKey, SeriesSamples};
use tidegate_core::time::{Step, Timestamp};

use crate::mapping::{Basis, How, Mapped};

/// What names a stream, a metric of an instance, or an instance: half of a SHA-256 of its text.
pub type Key = [u8; 16];

/// The key of a text.
#[must_use]
pub fn key_of(text: &[u8]) -> Key {
    let digest = tidegate_core::ids::Digest::of(text).0;
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    key
}

/// How the books are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Length of the steps that are given out.
    pub step: Step,
    /// How long a step waits at least, after it began to fill, in milliseconds: requests of one
    /// moment arrive one after the other.
    pub settle_ms: i64,
    /// How long it waits at most for streams that do not speak, in milliseconds.
    pub hold_ms: i64,
    /// Longest silence of a stream over which its counts are spread, in milliseconds.
    pub gap_ms: i64,
    /// How far ahead of the clock a point may lie, in milliseconds.
    pub ahead_ms: i64,
    /// Streams that may be known at a time.
    pub max_streams: usize,
    /// Of them, of one tenant.
    pub max_streams_per_tenant: usize,
    /// Memory that open steps may take, over all apis and signals, in bytes.
    pub max_open: usize,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            step: Step::MINUTE,
            settle_ms: 2_000,
            hold_ms: 90_000,
            gap_ms: 300_000,
            ahead_ms: 60_000,
            max_streams: 1_000_000,
            max_streams_per_tenant: usize::MAX,
            max_open: 256 << 20,
        }
    }
}

/// After so long without a point, a stream is forgotten, in milliseconds, unless others are waited for longer.
const FORGET_MS: i64 = 3_600_000;
/// After so long, another metric may tell of the same thing, in milliseconds.
const BASIS_MS: i64 = 600_000;

/// What is told of a new stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Introduced {
    /// Its key.
    pub key: Key,
    /// Of its metric and instance.
    pub family: Key,
    /// Of its instance.
    pub instance: Key,
    /// How its points follow each other.
    pub flow: Flow,
    /// What it is in Tidegate's words.
    pub mapped: Mapped,
}

/// What was done since the start, in points or steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Points that counted.
    pub counted: u64,
    /// Points that were there before.
    pub duplicates: u64,
    /// Points that a later one of their stream had made needless.
    pub superseded: u64,
    /// First points whose start is unknown.
    pub baselines: u64,
    /// Silences that were too long to be filled.
    pub gaps: u64,
    /// Stretches of which a part went into a later step than its own.
    pub moved: u64,
    /// Stretches of which a part was too late even for that, and is lost.
    pub cut: u64,
    /// Steps that were given out.
    pub steps: u64,
    /// Steps that were not, because not all of them was heard.
    pub partial: u64,
}

/// The books. See the module.
#[derive(Debug)]
pub struct Books {
    terms: Terms,
    pub(crate) sources: Vec<Option<Source>>,
    /// Numbers that nobody has.
    free: BTreeSet<u32>,
    by_key: BTreeMap<Key, u32>,
    /// Streams by tenant.
    shares: BTreeMap<TenantId, usize>,
    families: Vec<Family>,
    by_family: BTreeMap<Key, u32>,
    free_families: Vec<u32>,
    accounts: Vec<Account>,
    by_series: BTreeMap<SeriesKey, u32>,
    /// Numbers of accounts that are closed; the lowest is given first, so that a replay gives the same.
    free_accounts: BTreeSet<u32>,
    /// Rises when streams were forgotten, so that whoever keeps their numbers asks again.
    epoch: u64,
    /// Weight of the steps that are open.
    open: usize,
    tally: Tally,
    swept: i64,
    log: Log,
    /// Streams of which slices came since the last settlement.
    touched: Vec<u32>,
    again: Vec<SeriesSamples>,
    /// Apis that are to be declared.
    waiting: waiting::Waiting,
    left_out: BTreeMap<ApiId, LeftOut>,
}

impl Books {
    /// Empty ones.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            sources: vec![],
            free: BTreeSet::new(),
            by_key: BTreeMap::new(),
            shares: BTreeMap::new(),
            families: vec![],
            by_family: BTreeMap::new(),
            free_families: vec![],
            accounts: vec![],
            by_series: BTreeMap::new(),
            free_accounts: BTreeSet::new(),
            epoch: 0,
            open: 0,
            tally: Tally::default(),
            swept: 0,
            log: Log::default(),
            touched: vec![],
            again: vec![],
            waiting: BTreeMap::new(),
            left_out: BTreeMap::new(),
        }
    }

    /// Rises when numbers of streams have become invalid.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether a stream is known as just what it is now.
    #[must_use]
    pub fn find(&self, introduced: &Introduced) -> Option<u32> {
        let &id = self.by_key.get(&introduced.key)?;
        let source = self.sources.get(id as usize)?.as_ref()?;
        let same =
            source.flow == introduced.flow
                && source.factor.to_bits() == introduced.mapped.factor.to_bits()
                && source.feeds.len() == introduced.mapped.feeds.len()
                && source.feeds.iter().zip(&introduced.mapped.feeds).all(
                    |((account, how), fed)| {
                        let key = &self.accounts[*account as usize].key;
                        key.api == introduced.mapped.api && (key.signal, *how) == *fed
                    },
                );
        same.then_some(id)
    }

    /// Takes a stream in. `newest` tells up to where a series is stored already.
    ///
    /// # Errors
    /// When something else tells of the same, or too many are known; text for the sender.
    pub fn introduce(
        &mut self,
        introduced: &Introduced,
        newest: &dyn Fn(&SeriesKey) -> Option<Timestamp>,
        now: i64,
    ) -> Result<u32, String> {
        if let Some(id) = self.find(introduced) {
            return Ok(id);
        }
        if let Some(old) = self.by_key.get(&introduced.key).copied() {
            // It was read as something else before.
            self.forget(&[old]);
        }
        if self.by_key.len() >= self.terms.max_streams {
            return Err(format!(
                "{} streams are known already; send fewer labels, or raise `feeds.max_streams`",
                self.by_key.len()
            ));
        }
        self.check_share(&introduced.mapped.api.tenant)?;
        if let Err(problem) = self.check_basis(introduced, now) {
            // Its streams grow unseen, so those that appear later have no known start either.
            self.taint(&introduced.family);
            return Err(problem);
        }
        let family = self.family(introduced.family);
        let mut feeds = vec![];
        for (signal, how) in &introduced.mapped.feeds {
            let key = SeriesKey {
                api: introduced.mapped.api.clone(),
                signal: *signal,
            };
            feeds.push((self.account(key, newest, *how), *how));
        }
        let source = Source::new(introduced, family, feeds.into_iter().collect(), now);
        let basis = &introduced.mapped.basis;
        let id = self.free.pop_first();
        let id = id.unwrap_or(self.sources.len() as u32);
        self.log
            .stream(id, &source, &self.families[family as usize], basis);
        self.enlist(id, source, basis);
        Ok(id)
    }

    /// Gives a stream its number, which is free, and its place.
    fn enlist(&mut self, id: u32, source: Source, basis: &Basis) {
        let (key, instance, feeds) = (source.key, source.instance, source.feeds.clone());
        if id as usize == self.sources.len() {
            self.sources.push(None);
        }
        self.sources[id as usize] = Some(source);
        self.by_key.insert(key, id);
        self.count_in(id);
        if let Some(source) = &self.sources[id as usize] {
            self.families[source.family as usize].streams += 1;
        }
        for (account, _) in feeds.iter() {
            let account = &mut self.accounts[*account as usize];
            account.sources.push(id);
            account.group = basis.group.clone();
            account.instances.insert(instance, basis.metric.clone());
        }
    }

    fn family(&mut self, key: Key) -> u32 {
        if let Some(&id) = self.by_family.get(&key) {
            return id;
        }
        let id = match self.free_families.pop() {
            Some(id) => {
                self.families[id as usize] = Family::new(key);
                id
            }
            None => {
                self.families.push(Family::new(key));
                self.families.len() as u32 - 1
            }
        };
        self.by_family.insert(key, id);
        id
    }

    fn account(
        &mut self,
        key: SeriesKey,
        newest: &dyn Fn(&SeriesKey) -> Option<Timestamp>,
        how: How,
    ) -> u32 {
        if let Some(&id) = self.by_series.get(&key) {
            return id;
        }
        let stored = newest(&key).map_or(i64::MIN, |t| t.0);
        self.log.account(&key, how, stored);
        self.open_account(key, how, stored)
    }

    fn open_account(&mut self, key: SeriesKey, how: How, given: i64) -> u32 {
        let account = Account::new(key.clone(), how, given);
        let id = match self.free_accounts.pop_first() {
            Some(id) => {
                self.accounts[id as usize] = account;
                id
            }
            None => {
                self.accounts.push(account);
                self.accounts.len() as u32 - 1
            }
        };
        self.by_series.insert(key, id);
        id
    }

    /// Whether nothing else tells of the same load.
    fn check_basis(&self, introduced: &Introduced, now: i64) -> Result<(), String> {
        let Mapped {
            api, feeds, basis, ..
        } = &introduced.mapped;
        for (signal, _) in feeds {
            let key = SeriesKey {
                api: api.clone(),
                signal: *signal,
            };
            let Some(account) = self.by_series.get(&key) else {
                continue;
            };
            let account = &self.accounts[*account as usize];
            let speaks = |id: &u32| {
                let source = self.sources[*id as usize].as_ref();
                source.is_some_and(|s| !s.ended && now - s.heard < BASIS_MS)
            };
            if account.group != basis.group && account.sources.iter().any(speaks) {
                return Err(format!(
                    "{} of {api} is told by metrics of `{}` already, and would be counted twice; drop one of them by a rule",
                    signal.name(),
                    account.group
                ));
            }
            let same_group = account.group == basis.group;
            let other = account.instances.get(&introduced.instance);
            if let Some(other) = other.filter(|m| same_group && **m != basis.metric)
                && account.sources.iter().any(speaks)
            {
                return Err(format!(
                    "{} of {api} is told by `{other}` of the same instance already, and would be counted twice; drop one of them by a rule",
                    signal.name()
                ));
            }
        }
        Ok(())
    }

    /// Notes that points of a metric of an instance were not taken, so that what appears later has
    /// no known start.
    pub fn taint(&mut self, family: &Key) {
        let Some(&id) = self.by_family.get(family) else {
            return;
        };
        let family = &mut self.families[id as usize];
        if !family.tainted {
            family.tainted = true;
            self.log.taint(&family.key);
        }
    }

    /// Whether a point that does not count has moved the books all the same: what is late is still
    /// the last that its stream has said.
    fn changed(&self, fate: Fate) -> bool {
        fate == Fate::Refused(Why::Late)
    }

    /// What was noted since this was asked last: to be written to the journal before anything of it
    /// is acknowledged. Empty when nothing was.
    pub fn drain(&mut self) -> Vec<u8> {
        self.log.drain()
    }

    /// Takes a point. `clock` is the data's clock, against which points may not lie ahead; `now` is
    /// when it arrived, by the machine's.
    pub fn take(&mut self, id: u32, observed: Observed, clock: i64, now: i64) -> Fate {
        // Not in a replay: what was taken once is taken again.
        if self.is_crowded(id, &observed) {
            return Fate::Refused(Why::Crowded);
        }
        let noted = self.log.mark();
        let source = self.sources.get(id as usize).and_then(Option::as_ref);
        let last = source.and_then(|s| s.last.as_ref()).map(|l| &l.value);
        self.log.point((id, last), &observed, (clock, now));
        let fate = self.weigh(id, observed, clock, now);
        if matches!(fate, Fate::Duplicate | Fate::Superseded | Fate::Refused(_))
            && !self.changed(fate)
        {
            self.log.back_to(noted);
        }
        let tally = &mut self.tally;
        match fate {
            Fate::Counted => tally.counted += 1,
            Fate::Duplicate => tally.duplicates += 1,
            Fate::Superseded => tally.superseded += 1,
            Fate::Baseline => tally.baselines += 1,
            Fate::Gap => tally.gaps += 1,
            Fate::Ended | Fate::Refused(_) => {}
        }
        fate
    }

    /// What is complete at `clock`: to be stored, after what was noted so far is in the journal.
    /// `now` is the machine's clock.
    pub fn due(&mut self, clock: i64, now: i64) -> Vec<SeriesSamples> {
        let mut out = vec![];
        let mut from = Some(0);
        while let Some(next) = from {
            from = self.due_of(next, usize::MAX, (clock, now), &mut out);
        }
        out
    }

    /// Likewise of so many accounts from one on, so that whoever asks for all need not have the books to
    /// himself meanwhile: what is complete of one has nothing to do with another. Returns from which to go on.
    pub fn due_of(
        &mut self,
        from: u32,
        accounts: usize,
        (clock, now): (i64, i64),
        out: &mut Vec<SeriesSamples>,
    ) -> Option<u32> {
        let all = self.accounts.len() as u32;
        let to = from.saturating_add(u32::try_from(accounts).unwrap_or(u32::MAX));
        for id in from..to.min(all) {
            if let Some(end) = self.due_until(id, clock, now) {
                self.log.given(id, end);
                out.extend(self.give(id, end));
            }
        }
        if to < all {
            return Some(to);
        }
        if now - self.swept >= FORGET_MS / 4 {
            self.swept = now;
            self.sweep(clock, now);
        }
        None
    }
}

/// A text that many share.
pub(crate) type Text = Arc<str>;

#[cfg(test)]
mod tests;
