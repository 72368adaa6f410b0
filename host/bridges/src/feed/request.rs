//! One request: read, find streams, take points, answer when it is durable.
//!
//! What the protocols share: how a stream is found by the bytes that name it, introduced when it is
//! new, and how points are taken once a body was read to its end. What they do not share, how names
//! and values are read, stands in `otlp`, `write` and
//! `envoy`.

mod envoy;
mod otlp;
mod write;

pub(super) use envoy::Live;
pub use envoy::{Counters, Peer};
pub use write::Written;

use super::names::{Cut, Name, Refused, Slot};
use super::{Error, Feed, Inner};
use crate::books::{Fate, Introduced, Key, Observed, Value};
use crate::mapping::{Holder, Labels, Mapped, Stream, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use tidegate_core::access::{Principal, Role};
use tidegate_core::ids::TenantId;
use tidegate_core::time::Timestamp;

/// Why points were refused: by a word for metrics, how many, and the first text of each.
pub type Reasons = BTreeMap<&'static str, (u64, String)>;

/// What became of a request's points. Everything in `accepted` is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Took {
    /// Taken, or there before.
    pub accepted: u64,
    /// Of those, that were there before.
    pub duplicates: u64,
    /// Of no concern.
    pub passed_over: u64,
    /// Of those that were taken or passed over, histograms of remote write.
    pub histograms: u64,
    /// Refused for good: to send them again is useless.
    pub rejected: u64,
    /// Why.
    pub reasons: Reasons,
}

impl Took {
    /// What a sender is told of what was refused; `None` where nothing was.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        let told = self
            .reasons
            .values()
            .map(|(n, text)| format!("{n} {}: {text}", if *n == 1 { "point" } else { "points" }));
        let told: Vec<_> = told.collect();
        (self.rejected > 0).then(|| told.join("; "))
    }
}

/// After how long there is most likely room again, in milliseconds: what is complete is given out each second.
const FULL_MS: u64 = 2000;

/// How long a stream that was refused is not looked at again, in milliseconds.
const REFUSED_MS: i64 = 30_000;

/// Bytes that open steps may take at the least before a request is stopped halfway.
const MOST_OPEN: usize = 1 << 20;

/// Points for which room is kept from one request to the next.
const KEPT_POINTS: usize = 20_000;

/// A stream that is not known yet.
struct Fresh {
    name: Vec<u8>,
    /// How much of it is the name's head.
    head: usize,
    introduced: Introduced,
    cut: Option<Cut>,
}

/// Whose a point is; new ones by their place among those.
#[derive(Clone, Copy)]
pub(super) enum Id {
    Stream(u32),
    Fresh(u32),
}

/// Whose a point is, and which part of it.
#[derive(Clone, Copy)]
struct Whose {
    id: Id,
    cut: Option<Cut>,
}

/// What a walk gathers, whatever the protocol.
struct Gather<'f> {
    feed: &'f Feed,
    caller: &'f Principal,
    inner: &'f mut Inner,
    now: i64,
    took: Took,
    points: Vec<(Id, Observed)>,
    fresh: Vec<Fresh>,
    by_name: BTreeMap<Vec<u8>, u32>,
    /// Where the names know the point before.
    last: Option<u32>,
}

impl Feed {
    /// The books and names, if the caller may feed and there is room.
    fn begin(&self, caller: &Principal) -> Result<MutexGuard<'_, Inner>, Error> {
        if caller.role < Role::Writer {
            let text = "a reader may not feed; use a credential of the role writer";
            return Err(Error::Denied(text.into()));
        }
        self.committer.catch_up()?;
        let bound = self.options.terms.max_open;
        let full = |inner: &mut Inner| self.open_bytes(inner) >= bound;
        let patience = self.options.patience;
        let waited = self.room.wait_timeout_while(self.inner(), patience, full);
        let (mut inner, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(Error::Full {
                bytes: self.open_bytes(&inner),
                retry_ms: FULL_MS,
            });
        }
        let epoch = inner.books.epoch();
        inner.names.tidy(epoch);
        Ok(inner)
    }

    /// Waits until what a request moved is on disk.
    fn end(&self, mut inner: MutexGuard<'_, Inner>) -> Result<(), Error> {
        if self.open_bytes(&inner) > self.options.terms.max_open / 2 {
            self.filling.notify_one();
        }
        let ticket = self.committer.add(&inner.books.drain());
        drop(inner);
        Ok(self.committer.wait(ticket)?)
    }
}

impl<'f> Gather<'f> {
    fn new(feed: &'f Feed, caller: &'f Principal, inner: &'f mut Inner, now: Timestamp) -> Self {
        let (_, now) = feed.times(inner, now);
        let points = std::mem::take(&mut inner.points);
        Self {
            feed,
            caller,
            inner,
            now,
            took: Took::default(),
            points,
            fresh: vec![],
            by_name: BTreeMap::new(),
            last: None,
        }
    }

    fn reject(&mut self, points: u64, reason: &'static str, text: &str) {
        self.took.rejected += points;
        let told = self.took.reasons.entry(reason);
        told.or_insert_with(|| (0, text.to_owned())).0 += points;
    }

    /// The stream of so many points, by the bytes that name it; `None` where they do not count. A
    /// stream that nobody knows is asked for by `make`.
    fn find(
        &mut self,
        name: Name<'_>,
        points: u64,
        make: impl FnOnce(&Self) -> Result<Introduced, Slot>,
    ) -> Option<Id> {
        let found = self.find_cut(name, points, |gather| Ok((make(gather)?, None)));
        found.map(|whose| whose.id)
    }

    /// Likewise, of a stream that may be one series of a classic histogram.
    fn find_cut(
        &mut self,
        name: Name<'_>,
        points: u64,
        make: impl FnOnce(&Self) -> Result<(Introduced, Option<Cut>), Slot>,
    ) -> Option<Whose> {
        if let Some((entry, slot)) = self.inner.names.point(self.last, name) {
            self.last = Some(entry);
            match slot {
                Slot::Stream(id) => {
                    let id = Id::Stream(*id);
                    return Some(Whose { id, cut: None });
                }
                Slot::Slice(id, cut) => {
                    let (id, cut) = (Id::Stream(*id), Some(*cut));
                    return Some(Whose { id, cut });
                }
                Slot::PassedOver => {
                    self.took.passed_over += points;
                    return None;
                }
                Slot::Refused(refused) if self.now < refused.until => {
                    let refused = Arc::clone(refused);
                    self.inner.books.taint(&refused.family);
                    self.reject(points, refused.reason, &refused.text);
                    return None;
                }
                Slot::Refused(_) => {}
            }
        }
        let bytes = name.to_vec();
        if let Some(i) = self.by_name.get(&bytes) {
            let (id, cut) = (Id::Fresh(*i), self.fresh[*i as usize].cut);
            return Some(Whose { id, cut });
        }
        match make(self) {
            Ok((introduced, cut)) => {
                let i = self.fresh.len() as u32;
                self.by_name.insert(bytes.clone(), i);
                self.fresh.push(Fresh {
                    name: bytes,
                    head: name.head.len(),
                    introduced,
                    cut,
                });
                let id = Id::Fresh(i);
                Some(Whose { id, cut })
            }
            Err(slot) => {
                match &slot {
                    Slot::Refused(refused) => {
                        let refused = Arc::clone(refused);
                        self.reject(points, refused.reason, &refused.text);
                    }
                    Slot::Stream(_) | Slot::Slice(..) | Slot::PassedOver => {
                        self.took.passed_over += points;
                    }
                }
                self.inner.names.keep_point(name, slot);
                None
            }
        }
    }

    /// What is remembered of a stream that cannot be used.
    fn refusal(&self, text: impl Into<Arc<str>>) -> Slot {
        self.refused("mapping", text)
    }

    fn refused(&self, reason: &'static str, text: impl Into<Arc<str>>) -> Slot {
        Slot::Refused(Arc::new(Refused {
            until: self.now + REFUSED_MS,
            reason,
            text: text.into(),
            family: [0; 16],
        }))
    }

    /// What a stream is in Tidegate's words.
    fn decide(&self, stream: &Stream<'_>) -> Result<Mapped, Slot> {
        if let Some(problem) = too_wordy(stream.labels) {
            return Err(self.refusal(problem));
        }
        let holder = Holder {
            tenants: self.caller.tenants.as_ref(),
        };
        match self.feed.options.mapping.decide(stream, holder) {
            Verdict::Mapped(mapped) => Ok(*mapped),
            Verdict::PassedOver(_) => Err(Slot::PassedOver),
            Verdict::Refused(problem) => Err(self.refusal(problem)),
        }
    }

    /// Introduces what is new and takes all points.
    ///
    /// # Errors
    /// When a tenant has sent more than it may; then nothing is taken. When it opens more steps than there is twice
    /// the room for, though there was room before it; then what was taken is a duplicate once it is sent again.
    fn finish(mut self, now: Timestamp) -> Result<Took, Error> {
        if !self.inner.behind.is_empty() {
            let by_tenant = self.by_tenant();
            let behind = by_tenant.keys().find_map(|t| self.inner.behind.get(t));
            if let Some((what, retry_ms)) = behind.cloned() {
                return Err(Error::Over { what, retry_ms });
            }
        }
        if let Some(rate) = self.feed.options.max_points_per_s {
            let by_tenant = self.by_tenant();
            self.inner.allowance.take(&by_tenant, rate, now.0)?;
        }
        let ids = self.introduce();
        let mut points = std::mem::take(&mut self.points);
        if self.feed.options.clock == super::Clock::Data {
            let newest = points.iter().map(|(_, p)| p.time).max();
            self.inner.newest = newest.unwrap_or(i64::MIN).max(self.inner.newest);
        }
        let (clock, now) = self.feed.times(self.inner, now);
        let most = 2 * self.feed.options.terms.max_open.max(MOST_OPEN);
        let mut is_full = false;
        for (id, observed) in points.drain(..) {
            let id = match id {
                Id::Stream(id) => id,
                Id::Fresh(i) => match &ids[i as usize] {
                    Ok(id) => *id,
                    Err(problem) => {
                        let problem = Arc::clone(problem);
                        self.reject(1, "mapping", &problem);
                        continue;
                    }
                },
            };
            // All slices of a histogram, or none.
            if !matches!(observed.value, Some(Value::Slice(_))) {
                is_full |= self.inner.books.open() > most;
                if is_full {
                    continue;
                }
            }
            let native = matches!(observed.value, Some(Value::Histogram(_)));
            let fate = self.inner.books.take(id, observed, clock, now);
            self.took.histograms += u64::from(native && !matches!(fate, Fate::Refused(_)));
            match fate {
                Fate::Refused(why) => self.reject(1, why.name(), why.text()),
                Fate::Duplicate | Fate::Superseded => {
                    self.took.accepted += 1;
                    self.took.duplicates += 1;
                }
                Fate::Counted | Fate::Baseline | Fate::Gap | Fate::Ended => self.took.accepted += 1,
            }
        }
        points.shrink_to(KEPT_POINTS);
        self.inner.points = points;
        self.inner.books.settle(clock, now);
        if is_full {
            self.feed.filling.notify_one();
            return Err(Error::Full {
                bytes: self.feed.open_bytes(self.inner),
                retry_ms: FULL_MS,
            });
        }
        Ok(self.took)
    }

    fn by_tenant(&self) -> BTreeMap<TenantId, u64> {
        let mut by_tenant = BTreeMap::<&TenantId, u64>::new();
        for (id, _) in &self.points {
            let tenant = match id {
                Id::Stream(id) => self.inner.books.tenant(*id),
                Id::Fresh(i) => Some(&self.fresh[*i as usize].introduced.mapped.api.tenant),
            };
            if let Some(tenant) = tenant {
                *by_tenant.entry(tenant).or_default() += 1;
            }
        }
        let by_tenant = by_tenant.into_iter();
        by_tenant.map(|(tenant, n)| (tenant.clone(), n)).collect()
    }

    /// Numbers of the new streams, or why they have none.
    fn introduce(&mut self) -> Vec<Result<u32, Arc<str>>> {
        if self.fresh.is_empty() {
            return vec![];
        }
        let apis = self.fresh.iter().map(|f| f.introduced.mapped.api.clone());
        let apis = apis.collect::<BTreeSet<_>>();
        let looked = self.feed.look(self.caller, self.inner, &apis);
        let fresh = std::mem::take(&mut self.fresh);
        let mut ids = Vec::with_capacity(fresh.len());
        for Fresh {
            name,
            head,
            introduced,
            cut,
        } in fresh
        {
            let keep = &self.feed.keep;
            let id = match looked.problems.get(&introduced.mapped.api) {
                Some(problem) => {
                    self.inner.books.taint(&introduced.family);
                    Err(problem.clone())
                }
                None => {
                    let newest = |key: &tidegate_core::sample::SeriesKey| keep.newest(key);
                    self.inner.books.introduce(&introduced, &newest, self.now)
                }
            };
            if let Ok(id) = &id
                && looked.waiting.contains(&introduced.mapped.api)
            {
                self.inner.books.await_declaration(*id);
            }
            let id = id.map_err(Arc::from);
            let slot = match &id {
                Ok(id) => match cut {
                    Some(cut) => Slot::Slice(*id, cut),
                    None => Slot::Stream(*id),
                },
                Err(problem) => Slot::Refused(Arc::new(Refused {
                    until: self.now + REFUSED_MS,
                    reason: "mapping",
                    text: Arc::clone(problem),
                    family: introduced.family,
                })),
            };
            let (head, tail) = name.split_at(head);
            self.inner.names.keep_point(Name { head, tail }, slot);
            ids.push(id);
        }
        ids
    }
}

/// Labels of one stream, and bytes of one of them, that are read.
const MAX_LABELS: usize = 256;
const MAX_LABEL: usize = 8 << 10;

fn too_wordy(labels: &Labels) -> Option<&'static str> {
    if labels.iter().count() > MAX_LABELS {
        return Some("it has more than 256 labels; send fewer");
    }
    let long = labels
        .iter()
        .any(|(name, value)| name.len() + value.len() > MAX_LABEL);
    long.then_some("a label of it has more than 8 KiB; leave it out")
}

/// What names a stream whoever sends it: its tenant, metric and labels.
fn identity(mapped: &Mapped, name: &str, labels: &Labels, scope: &[u8]) -> Key {
    let text = format!("{}\0{name}\0{labels}\0{scope:?}", mapped.api.tenant);
    crate::books::key_of(text.as_bytes())
}
