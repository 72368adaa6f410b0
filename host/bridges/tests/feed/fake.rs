//! A daemon and a store in memory, just enough of each.

use super::otlp::Request;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use tidegate_bridges::feed::{Error, Feed, Options, Took};
use tidegate_core::access::Principal;
use tidegate_core::catalog::{
    Api, Catalog, Change, FieldProblem, Object, ObjectKey, ObjectKind, Tenant, Versioned,
};
use tidegate_core::distribution::Distribution;
use tidegate_core::frame::Column;
use tidegate_core::ids::{ApiId, TenantId};
use tidegate_core::ports::serve::{
    Acked, Applied, CatalogPort, ClockPort, IngestPort, Run, ServeError,
};
use tidegate_core::ports::storage::{Completion, History, Notes, StoreError, Watermark};
use tidegate_core::quota::{Exceeded, Quota, Usage};
use tidegate_core::sample::{Rejection, SampleBatch, SeriesKey, Stored, Values};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Signal;

/// So many seconds after the epoch.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(i64::try_from(seconds).unwrap())
}

#[derive(Debug, Default)]
struct Inside {
    catalog: Mutex<Catalog>,
    numbers: Mutex<BTreeMap<SeriesKey, BTreeMap<i64, f64>>>,
    distributions: Mutex<BTreeMap<SeriesKey, BTreeMap<i64, Distribution>>>,
    journal: Mutex<(u64, BTreeMap<u64, Vec<u8>>)>,
    busy: AtomicBool,
    /// Tenants that are over a quota, and after how long they are not.
    over: Mutex<BTreeMap<TenantId, Option<u64>>>,
    /// Samples that a tenant may send until somebody grants it more; what is tried costs of them.
    left: Mutex<BTreeMap<TenantId, u64>>,
    /// Series of which the store cannot take anything.
    damaged: Mutex<Option<SeriesKey>>,
    /// Change sets of the catalog that were asked for.
    changes: AtomicUsize,
    /// The catalog cannot be written now.
    locked: AtomicBool,
    /// Writes of the journal wait.
    stopped: Mutex<bool>,
    goes_on: Condvar,
    /// They fail for good.
    broken: AtomicBool,
    /// They find no room.
    full: AtomicBool,
    /// A tenant whose apis break a rule.
    outlaw: Mutex<Option<TenantId>>,
}

#[derive(Debug)]
pub(crate) struct World {
    inside: Arc<Inside>,
    pub(crate) options: Options,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut options = Options::default();
        options.terms.step = Step::from_secs(10).unwrap();
        Self {
            inside: Arc::default(),
            options,
        }
    }

    pub(crate) fn open(&self) -> Feed {
        let (door, keep) = (self.inside.clone(), self.inside.clone());
        Feed::open(self.options.clone(), door, keep, at(900)).unwrap()
    }

    pub(crate) fn send(&self, feed: &Feed, now: u64, request: &Request) -> Result<Took, Error> {
        feed.otlp(&Principal::local(), &request.encode(), at(now))
    }

    /// Hands out everything that is due; nothing may be left over or refused.
    pub(crate) fn turn(&self, feed: &Feed, now: u64) {
        let turned = feed.turn(at(now)).unwrap();
        assert!(
            turned.refused.is_none() && turned.waiting.is_none(),
            "{turned:?}"
        );
    }

    pub(crate) fn busy(&self, busy: bool) {
        self.inside.busy.store(busy, Ordering::Relaxed);
    }

    /// From now on, or no more, a tenant is over its rate, for so long, or over its number of series.
    pub(crate) fn over(&self, tenant: &str, over: Option<Option<u64>>) {
        let mut all = self.inside.over.lock().unwrap();
        let tenant: TenantId = tenant.parse().unwrap();
        match over {
            Some(retry_ms) => drop(all.insert(tenant, retry_ms)),
            None => drop(all.remove(&tenant)),
        }
    }

    /// A tenant may send so many samples more, and then is over its rate for a second at a time.
    pub(crate) fn grant(&self, tenant: &str, samples: u64) {
        let mut all = self.inside.left.lock().unwrap();
        all.insert(tenant.parse().unwrap(), samples);
    }

    /// From now on the store takes nothing of this series, nor of a batch that it is in.
    pub(crate) fn damage(&self, api: &str, signal: Signal) {
        let api = api.parse().unwrap();
        *self.inside.damaged.lock().unwrap() = Some(SeriesKey { api, signal });
    }

    /// Values by start of their step, in seconds.
    pub(crate) fn numbers(&self, api: &str, signal: Signal) -> BTreeMap<i64, f64> {
        let key = SeriesKey {
            api: api.parse().unwrap(),
            signal,
        };
        let all = self.inside.numbers.lock().unwrap();
        let of = all.get(&key).cloned().unwrap_or_default();
        of.into_iter().map(|(t, v)| (t / 1000, v)).collect()
    }

    /// How many latencies were observed.
    pub(crate) fn observations(&self, api: &str) -> u64 {
        let key = SeriesKey {
            api: api.parse().unwrap(),
            signal: Signal::Latency,
        };
        let all = self.inside.distributions.lock().unwrap();
        all.get(&key)
            .map_or(0, |of| of.values().map(Distribution::count).sum())
    }

    /// All latencies that were observed.
    pub(crate) fn latency(&self, api: &str) -> Distribution {
        let key = SeriesKey {
            api: api.parse().unwrap(),
            signal: Signal::Latency,
        };
        let mut all = Distribution::default();
        let distributions = self.inside.distributions.lock().unwrap();
        let of = distributions
            .get(&key)
            .into_iter()
            .flat_map(BTreeMap::values);
        of.for_each(|d| all.merge(d));
        all
    }

    pub(crate) fn object(&self, kind: &str, name: &str) -> Object {
        let key = ObjectKey {
            kind: ObjectKind::parse(kind).unwrap(),
            name: name.into(),
        };
        let catalog = self.inside.catalog.lock().unwrap();
        catalog.get(&key).unwrap().value
    }

    pub(crate) fn declare_tenant(&self, name: &str, max_series: u64) {
        let object = Object::Tenant(Tenant {
            id: name.parse().unwrap(),
            max_series,
            max_samples_per_s: 1000,
            max_modules: 1,
        });
        let change = Change::Put {
            object: Box::new(object),
            expect: None,
        };
        self.inside
            .apply(&Principal::local(), vec![change], Run::Real)
            .unwrap();
    }

    /// From now on, or no more, writes of the journal wait.
    pub(crate) fn stop_journal(&self, stopped: bool) {
        *self.inside.stopped.lock().unwrap() = stopped;
        self.inside.goes_on.notify_all();
    }

    /// From now on, or no more, writes of the journal find no room.
    pub(crate) fn fill_journal(&self, full: bool) {
        self.inside.full.store(full, Ordering::Relaxed);
    }

    /// From now on writes of the journal fail for good.
    pub(crate) fn break_journal(&self) {
        self.inside.broken.store(true, Ordering::Relaxed);
    }

    pub(crate) fn changes(&self) -> usize {
        self.inside.changes.load(Ordering::Relaxed)
    }

    /// Whether the catalog can be written.
    pub(crate) fn lock_catalog(&self, locked: bool) {
        self.inside.locked.store(locked, Ordering::Relaxed);
    }

    /// From now on the apis of this tenant break a rule of the catalog.
    pub(crate) fn outlaw(&self, tenant: Option<&str>) {
        *self.inside.outlaw.lock().unwrap() = tenant.map(|t| t.parse().unwrap());
    }

    pub(crate) fn has_api(&self, name: &str) -> bool {
        let api = name.parse().unwrap();
        self.inside.catalog.lock().unwrap().apis.contains_key(&api)
    }

    pub(crate) fn declare_api(&self, name: &str) {
        let api = Api::free(name.parse().unwrap(), "observed".parse().unwrap());
        let change = Change::Put {
            object: Box::new(Object::Api(api)),
            expect: None,
        };
        let operator = Principal::local();
        self.inside
            .apply(&operator, vec![change], Run::Real)
            .unwrap();
    }

    pub(crate) fn delete_api(&self, name: &str) {
        let kind = ObjectKind::Api;
        let change = Change::Delete {
            key: ObjectKey {
                kind,
                name: name.into(),
            },
            expect: None,
        };
        let operator = Principal::local();
        self.inside
            .apply(&operator, vec![change], Run::Real)
            .unwrap();
    }

    pub(crate) fn journal_entries(&self) -> usize {
        self.journal().len()
    }

    /// Writes that there were, also of what was dropped since.
    pub(crate) fn journal_writes(&self) -> u64 {
        self.inside.journal.lock().unwrap().0
    }

    /// What was noted, write by write.
    pub(crate) fn journal(&self) -> Vec<Vec<u8>> {
        let journal = self.inside.journal.lock().unwrap();
        journal.1.values().cloned().collect()
    }
}

impl IngestPort for Inside {
    fn ingest(&self, caller: &Principal, batch: SampleBatch, done: Acked) {
        if self.busy.load(Ordering::Relaxed) {
            return done(Err(ServeError::Exhausted {
                what: "the store is behind".into(),
                retry_ms: 5,
            }));
        }
        let mut tenants = batch.series.iter().map(|s| &s.key.api.tenant);
        let tenant = tenants.next().unwrap().clone();
        assert!(tenants.all(|of| *of == tenant), "a batch is of one tenant");
        let samples = batch.series.iter().map(|s| s.times.len() as u64).sum();
        let mut over = self.over.lock().unwrap().get(&tenant).copied();
        if let Some(left) = self.left.lock().unwrap().get_mut(&tenant) {
            match left.checked_sub(samples) {
                Some(less) => *left = less,
                None => over = Some(Some(1_000)),
            }
        }
        if let Some(retry_ms) = over {
            let (quota, limit) = match retry_ms {
                Some(_) => (Quota::Samples, 10),
                None => (Quota::Series, 10),
            };
            return done(Err(ServeError::Quota(Exceeded {
                tenant,
                quota,
                limit,
                retry_ms,
            })));
        }
        let damaged = self.damaged.lock().unwrap().clone();
        if let Some(key) = damaged.filter(|key| batch.series.iter().any(|s| s.key == *key)) {
            let text = format!("stored value {} is damaged", key.api);
            return done(Err(ServeError::Precondition(text)));
        }
        let mut stored = Stored::default();
        let mut rejections = vec![];
        for series in batch.series {
            assert!(caller.sees(&series.key.api.tenant));
            let catalog = self.catalog.lock().unwrap();
            if !catalog.apis.contains_key(&series.key.api) {
                rejections.push(Rejection {
                    field: "series".into(),
                    samples: series.times.len() as u64,
                    reason: format!("there is no api {}", series.key.api),
                    retry_ms: None,
                });
                continue;
            }
            for (i, t) in series.times.iter().enumerate() {
                let fresh = match &series.values {
                    Values::Numbers(v) => {
                        let mut all = self.numbers.lock().unwrap();
                        let of = all.entry(series.key.clone()).or_default();
                        let fresh = !of.contains_key(&t.0);
                        of.entry(t.0).or_insert(v[i]);
                        fresh
                    }
                    Values::Distributions(v) => {
                        let mut all = self.distributions.lock().unwrap();
                        let of = all.entry(series.key.clone()).or_default();
                        let fresh = !of.contains_key(&t.0);
                        of.entry(t.0).or_insert_with(|| v[i].clone());
                        fresh
                    }
                };
                stored.stored += u64::from(fresh);
                stored.duplicates += u64::from(!fresh);
            }
        }
        done(Ok((stored, rejections)));
    }
}

impl CatalogPort for Inside {
    fn apply(&self, _: &Principal, changes: Vec<Change>, _: Run) -> Result<Applied, ServeError> {
        self.changes.fetch_add(1, Ordering::Relaxed);
        if self.locked.load(Ordering::Relaxed) {
            return Err(ServeError::Unavailable("the disk is full".into()));
        }
        let mut catalog = self.catalog.lock().unwrap();
        let invalid = |problems: Vec<FieldProblem>| ServeError::Invalid { problems };
        let outlaw = self.outlaw.lock().unwrap();
        for change in &changes {
            if let Change::Put { object, .. } = change
                && let Object::Api(api) = &**object
                && Some(&api.id.tenant) == outlaw.as_ref()
            {
                return Err(ServeError::field(
                    "template all",
                    "apis",
                    "it fits no such api",
                ));
            }
        }
        let (next, effects) = catalog.apply(&changes).map_err(invalid)?;
        let generation = next.generation;
        *catalog = next;
        Ok(Applied {
            generation,
            effects,
        })
    }

    fn get(&self, _: &Principal, key: &ObjectKey) -> Result<Versioned<Object>, ServeError> {
        let found = self.catalog.lock().unwrap().get(key);
        found.ok_or(ServeError::NotFound {
            what: key.to_string(),
            remedy: String::new(),
        })
    }

    fn list(&self, _: &Principal, kind: ObjectKind) -> Result<Vec<Versioned<Object>>, ServeError> {
        Ok(self.catalog.lock().unwrap().list(kind))
    }

    fn usage(&self, _: &Principal, tenant: &TenantId) -> Option<Usage> {
        let numbers = self.numbers.lock().unwrap();
        let distributions = self.distributions.lock().unwrap();
        let keys = numbers.keys().chain(distributions.keys());
        let series = keys.filter(|k| k.api.tenant == *tenant).count() as u64;
        Some(Usage {
            series,
            ..Usage::default()
        })
    }
}

impl ClockPort for Inside {
    fn now(&self) -> Timestamp {
        at(0)
    }

    fn advance(&self, _: &Principal, now: Timestamp) -> Result<Timestamp, ServeError> {
        Ok(now)
    }
}

impl Notes for Inside {
    fn write(&self, entry: &[u8]) -> Result<u64, StoreError> {
        let stopped = self.stopped.lock().unwrap();
        let stopped = self.goes_on.wait_while(stopped, |stopped| *stopped);
        drop(stopped.unwrap());
        if self.broken.load(Ordering::Relaxed) {
            return Err(StoreError::Closed);
        }
        if self.full.load(Ordering::Relaxed) {
            let (free, wanted) = (1, 2);
            return Err(StoreError::Full { free, wanted });
        }
        let mut journal = self.journal.lock().unwrap();
        journal.0 += 1;
        let number = journal.0;
        journal.1.insert(number, entry.to_vec());
        Ok(number)
    }

    fn entries(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        self.journal
            .lock()
            .unwrap()
            .1
            .values()
            .for_each(|e| each(e));
        Ok(())
    }

    fn drop_before(&self, number: u64) -> Result<(), StoreError> {
        let mut journal = self.journal.lock().unwrap();
        journal.1 = journal.1.split_off(&number);
        Ok(())
    }
}

impl History for Inside {
    fn append(&self, _: SampleBatch, done: Completion) {
        done(Err(StoreError::Closed));
    }

    fn column(&self, key: &SeriesKey, grid: Grid) -> Result<Column, StoreError> {
        Ok(Column {
            signal: key.signal,
            start: grid.start,
            step: grid.step,
            values: vec![],
        })
    }

    fn distributions(&self, _: &ApiId, _: Grid) -> Result<Vec<Option<Distribution>>, StoreError> {
        Ok(vec![])
    }

    fn series(&self) -> Vec<SeriesKey> {
        vec![]
    }

    fn newest(&self, key: &SeriesKey) -> Option<Timestamp> {
        let numbers = self.numbers.lock().unwrap();
        let distributions = self.distributions.lock().unwrap();
        let last = numbers.get(key).and_then(|of| of.keys().last().copied());
        let last = last.or_else(|| distributions.get(key)?.keys().last().copied());
        last.map(|t| Timestamp(t + 10_000))
    }

    fn watermark(&self) -> Watermark {
        Watermark::default()
    }
}
