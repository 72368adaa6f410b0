//! Sums on their way into the store: what is complete is given out, and handed to the ingest port.
//!
//! **A batch is of one tenant**, so that what is wrong with it is in nobody else's way: sums of a tenant that is
//! over its rate wait for as long as it is told, and those of the next one go on. Batches of many tenants are on
//! their way at the same time, since the store makes all that wait durable by one sync.
//!
//! What may pass later is kept; what never will is dropped and told. Where one series makes the store refuse a
//! batch, as one whose last block is damaged does, the batch is halved until it stands alone.
//!
//! **Who is over its rate for good** would fill the memory of all with sums that wait. So of a tenant of which they
//! take a [`SHARE`] of it, nothing more is taken before they have gone; its senders are told so, and which quota it
//! is, while what was acknowledged is kept.

use super::{CHECKPOINT_BYTES, Error, Feed, Turned};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, sync_channel};
use tidegate_core::access::{Principal, Role};
use tidegate_core::ids::TenantId;
use tidegate_core::ports::serve::ServeError;
use tidegate_core::quota::Exceeded;
use tidegate_core::sample::{Rejection, SampleBatch, SeriesSamples, Stored, Values};
use tidegate_core::time::Timestamp;

/// Accounts that are looked through before a request has its turn.
const SLICE: usize = 500;

/// Sums that are on their way to the store at once.
const BATCH: usize = 20_000;

/// Which part of `feeds.memory` may be sums of one tenant that wait for its quota.
const SHARE: usize = 8;

/// What the store says of a batch.
type Answer = Result<(Stored, Vec<Rejection>), ServeError>;

/// A tenant that is over its rate: since when it waits, how long in milliseconds, and why.
#[derive(Debug)]
struct Waits {
    since: Timestamp,
    retry_ms: u64,
    why: String,
}

impl Waits {
    /// Whether it waits still; a clock that stepped back makes nobody wait for longer.
    fn is_on(&self, now: Timestamp) -> bool {
        let waited = u64::try_from(now.since_ms(self.since));
        waited.is_ok_and(|waited| waited < self.retry_ms)
    }
}

/// Sums that are given out and not stored.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    pub(super) sums: Vec<SeriesSamples>,
    waits: BTreeMap<TenantId, Waits>,
    /// How many series are sent at once of a tenant of which one is looked for that the store cannot take. What is
    /// tried costs of its rate, so that the search may have to wait, and must not begin anew.
    narrow: BTreeMap<TenantId, usize>,
}

impl Unsent {
    pub(super) fn of(sums: Vec<SeriesSamples>) -> Self {
        Self {
            sums,
            ..Self::default()
        }
    }
}

impl Feed {
    pub(super) fn hand_out(
        &self,
        unsent: &mut Unsent,
        now: Timestamp,
        turned: &mut Turned,
    ) -> Result<(), Error> {
        self.committer.catch_up()?;
        let mut next = Some(0);
        while let Some(from) = next {
            let mut inner = self.inner();
            let times = self.times(&inner, now);
            next = inner.books.due_of(from, SLICE, times, &mut unsent.sums);
            self.committer.add(&inner.books.drain());
            for (api, left_out) in inner.books.left_out() {
                turned.left_out.entry(api).or_default().add(&left_out);
            }
        }
        let weighs = weight(&unsent.sums);
        self.weight.store(weighs, Ordering::Relaxed);
        // After all sums were taken: none of them is of an api that waits and is not among these.
        let declared = self.declare();
        let ticket = self.committer.add(&self.inner().books.drain());
        // A sum may be stored only when all that is in it would survive a crash.
        self.committer.wait(ticket)?;
        turned.undeclared = declared.refused;
        if let Some(why) = declared.waiting {
            // Of an api that is not declared, the store takes nothing.
            turned.waiting = Some((unsent.sums.len(), why));
            return Ok(());
        }
        self.store(unsent, weighs, now, turned);
        let is_idle = *turned == Turned::default();
        let is_long = || {
            self.committer.is_long(CHECKPOINT_BYTES)
                || is_idle && self.committer.is_bloated(self.inner().books.about())
        };
        if is_long() {
            self.checkpoint(&unsent.sums)?;
        }
        Ok(())
    }

    /// Stores what can be stored now.
    fn store(&self, unsent: &mut Unsent, weighs: usize, now: Timestamp, turned: &mut Turned) {
        let mut sums = std::mem::take(&mut unsent.sums);
        // Of one series, they stay in their order.
        sums.sort_by(|a, b| a.key.api.tenant.cmp(&b.key.api.tenant));
        unsent.waits.retain(|_, waits| waits.is_on(now));
        let mut way = Way {
            feed: self,
            now,
            turned,
            rest: sums.into(),
            weighs,
            kept: vec![],
            waits: std::mem::take(&mut unsent.waits),
            narrow: std::mem::take(&mut unsent.narrow),
            stopped: None,
        };
        while way.stopped.is_none() && !way.rest.is_empty() {
            way.send_some();
        }
        let Way {
            rest,
            mut kept,
            waits,
            narrow,
            stopped,
            ..
        } = way;
        kept.extend(rest);
        let why = stopped.or_else(|| waits.values().next().map(|w| w.why.clone()));
        turned.waiting = why.map(|why| (kept.len(), why));
        self.hold_off(&kept, &waits, now);
        *unsent = Unsent {
            sums: kept,
            waits,
            narrow,
        };
    }

    /// Takes nothing more of tenants whose sums fill what they may.
    fn hold_off(&self, kept: &[SeriesSamples], waits: &BTreeMap<TenantId, Waits>, now: Timestamp) {
        let mut weights = BTreeMap::<&TenantId, usize>::new();
        for sums in kept {
            *weights.entry(&sums.key.api.tenant).or_default() += weight_of(sums);
        }
        let share = self.options.terms.max_open / SHARE;
        let behind = waits.iter().filter_map(|(tenant, waits)| {
            let weighs = *weights.get(tenant).filter(|weighs| **weighs >= share)?;
            let over = waits.why.split(';').next().unwrap_or_default();
            let what = format!(
                "{over} (`max_samples_per_s`), and its sums that wait take {} KiB of `feeds.memory`, all that they may",
                weighs >> 10
            );
            let left = waits.retry_ms.saturating_add_signed(waits.since.since_ms(now));
            Some((tenant.clone(), (what, left.max(1))))
        });
        let behind = behind.collect();
        self.inner().behind = behind;
    }

    /// Hands a batch of one tenant to the store, which answers when it is durable.
    fn send(&self, series: Vec<SeriesSamples>) -> Receiver<Answer> {
        let tenants = series.iter().map(|s| s.key.api.tenant.clone());
        let caller = Principal {
            name: "feeds".into(),
            role: Role::Writer,
            tenants: Some(tenants.collect()),
        };
        let (tell, told) = sync_channel(1);
        let done = Box::new(move |outcome| {
            let _ = tell.send(outcome);
        });
        self.door.ingest(&caller, SampleBatch { series }, done);
        told
    }
}

/// What a turn's sums have become so far.
struct Way<'f> {
    feed: &'f Feed,
    now: Timestamp,
    turned: &'f mut Turned,
    /// Not tried yet, by tenant.
    rest: VecDeque<SeriesSamples>,
    /// Bytes of all that is not stored.
    weighs: usize,
    /// What waits.
    kept: Vec<SeriesSamples>,
    waits: BTreeMap<TenantId, Waits>,
    narrow: BTreeMap<TenantId, usize>,
    /// Why the store takes nothing of anybody now.
    stopped: Option<String>,
}

impl Way<'_> {
    /// Sends what may be on its way at once, of each tenant one batch, and hears what became of it.
    fn send_some(&mut self) {
        let (mut sent, mut samples) = (vec![], 0);
        let mut last = None;
        while let Some(next) = self.rest.front() {
            let tenant = next.key.api.tenant.clone();
            if last.as_ref() == Some(&tenant) {
                break;
            }
            if self.waits.contains_key(&tenant) {
                self.keep_all(&tenant);
                continue;
            }
            let most = self.narrow.get(&tenant).copied().unwrap_or(usize::MAX);
            let mut n = 0;
            for sum in self.rest.iter().take_while(|s| s.key.api.tenant == tenant) {
                let with = samples + sum.times.len();
                if with > BATCH && samples > 0 || n == most {
                    break;
                }
                (samples, n) = (with, n + 1);
            }
            if n == 0 {
                break;
            }
            let batch: Vec<_> = self.rest.drain(..n).collect();
            let answer = self.feed.send(batch.clone());
            sent.push((batch, answer));
            last = Some(tenant);
        }
        for (batch, answer) in sent {
            self.settle(batch, &hear(&answer));
        }
        // What comes first of a series is stored first.
        if let Some(last) = last.filter(|tenant| self.waits.contains_key(tenant)) {
            self.keep_all(&last);
        }
        self.feed.weigh(self.weighs);
    }

    /// Keeps what was not tried yet of the tenant whose turn it is.
    fn keep_all(&mut self, tenant: &TenantId) {
        let rest = self.rest.iter();
        let n = rest.take_while(|s| s.key.api.tenant == *tenant).count();
        self.kept.extend(self.rest.drain(..n));
    }

    /// What becomes of a batch of one tenant.
    fn settle(&mut self, mut batch: Vec<SeriesSamples>, answer: &Answer) {
        let why = match answer {
            Ok((stored, rejections)) => match rejections.iter().find(|r| r.retry_ms.is_some()) {
                // What was stored of it all the same is not stored twice.
                Some(over) => {
                    let retry_ms = over.retry_ms.unwrap_or_default();
                    return self.wait(batch, retry_ms, &over.reason);
                }
                None => {
                    self.widen(&batch);
                    let refused = rejections.iter().map(|r| r.samples).sum::<u64>() + stored.late;
                    let reason = rejections.first().map(|r| &r.reason[..]);
                    self.turned.stored += stored.stored;
                    return self.is_over(&batch, refused, reason.unwrap_or("too far behind"));
                }
            },
            Err(ServeError::Quota(Exceeded {
                retry_ms: Some(retry_ms),
                ..
            })) => {
                let why = answer.as_ref().err().map(ToString::to_string);
                return self.wait(batch, *retry_ms, &why.unwrap_or_default());
            }
            Err(error @ (ServeError::Unavailable(_) | ServeError::Exhausted { .. })) => {
                self.stopped.get_or_insert_with(|| error.to_string());
                self.kept.append(&mut batch);
                return;
            }
            Err(error) => error,
        };
        if batch.len() == 1 || matches!(why, ServeError::Quota(_)) {
            let samples = batch.iter().map(|s| s.times.len() as u64).sum();
            return self.is_over(&batch, samples, &why.to_string());
        }
        let second = batch.split_off(batch.len() / 2);
        if let Some(first) = batch.first() {
            let tenant = first.key.api.tenant.clone();
            self.narrow.insert(tenant, batch.len());
        }
        for half in [batch, second] {
            let is_kept = half
                .first()
                .is_some_and(|s| self.waits.contains_key(&s.key.api.tenant));
            if is_kept || self.stopped.is_some() {
                self.kept.extend(half);
                continue;
            }
            let answer = hear(&self.feed.send(half.clone()));
            self.settle(half, &answer);
        }
    }

    /// The store has taken a batch: of its tenant, more may be sent at once.
    fn widen(&mut self, batch: &[SeriesSamples]) {
        let tenant = batch.first().map(|s| &s.key.api.tenant);
        if let Some(tenant) = tenant
            && let Some(n) = self.narrow.get_mut(tenant)
        {
            *n *= 2;
            if *n >= BATCH {
                self.narrow.remove(tenant);
            }
        }
    }

    /// Keeps a batch until its tenant may send again.
    fn wait(&mut self, mut batch: Vec<SeriesSamples>, retry_ms: u64, why: &str) {
        if let Some(first) = batch.first() {
            let waits = Waits {
                since: self.now,
                retry_ms,
                why: why.to_owned(),
            };
            self.waits.insert(first.key.api.tenant.clone(), waits);
        }
        self.kept.append(&mut batch);
    }

    /// Nothing more is to be done for a batch, of which so many samples were refused.
    fn is_over(&mut self, batch: &[SeriesSamples], refused: u64, why: &str) {
        self.weighs = self.weighs.saturating_sub(weight(batch));
        if refused > 0 {
            let all = self
                .turned
                .refused
                .get_or_insert_with(|| (0, why.to_owned()));
            all.0 += refused;
        }
    }
}

fn hear(answer: &Receiver<Answer>) -> Answer {
    let gone = |_| ServeError::Unavailable("the store gave no answer".into());
    answer.recv().map_err(gone)?
}

/// The memory that sums take, in bytes.
pub(super) fn weight(sums: &[SeriesSamples]) -> usize {
    sums.iter().map(weight_of).sum()
}

fn weight_of(sums: &SeriesSamples) -> usize {
    let values = match &sums.values {
        Values::Numbers(values) => size_of_val(&values[..]),
        Values::Distributions(values) => {
            let buckets = values.iter().map(|d| size_of_val(&d.buckets[..]));
            size_of_val(&values[..]) + buckets.sum::<usize>()
        }
    };
    size_of_val(sums) + size_of_val(&sums.times[..]) + values
}
