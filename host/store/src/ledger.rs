//! The ledger: one record per plan, appended and never changed.
//!
//! A record is large (it holds everything that a plan was made from), so it is stored in parts
//! where needed; beside it lies a small value of its own, so that opening need not read the records:
//! when it was made, what it takes, and what it names by digest. Generations are contiguous by PL1,
//! hence the index of a pool is one vector.
//!
//! What a replay needs beside records ([`Replays`]) lives here too, because it lives as long: anchors
//! go with the record that they were written with; models and declared worlds are kept once by digest
//! and counted by the records that name them. What is dropped, and when, stands in `trim`.

use crate::codec::{Malformed, Reader, put_int, put_uint};
use crate::disk::{Batch, Disk};
use crate::keys::{self, Kind};
use crate::mirror::{self, Anchored};
use crate::shared::{locked, reading};
use crate::sight::Then;
use crate::store::Store;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::{Digest, Generation, PoolId};
use tidegate_core::invariant::check_succession;
use tidegate_core::ports::storage::{Anchor, History, Ledger, Replays, SeriesState, StoreError};
use tidegate_core::record::Record;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;

/// What is known of a record without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) at: i64,
    /// Bytes of the record and its anchors; 0 in what was written before it was kept.
    pub(crate) bytes: u32,
    /// Arrival sequence that it saw, likewise.
    pub(crate) as_of: u64,
    /// Whether it amends a plan whose record it rests on, likewise.
    pub(crate) amends: bool,
}

/// The plans of a pool, from the first generation that is kept on.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) first: u64,
    pub(crate) entries: VecDeque<Entry>,
    /// What a record names that the one before it did not, by generation.
    pub(crate) names: BTreeMap<u64, Vec<Digest>>,
    /// From which generation on what was declared.
    pub(crate) declared: BTreeMap<u64, Digest>,
}

impl Made {
    /// The newest generation.
    pub(crate) fn last(&self) -> Option<Generation> {
        let n = self.entries.len() as u64;
        (n > 0).then(|| Generation(self.first + n - 1))
    }
}

/// The plans of every pool.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) pools: BTreeMap<PoolId, Made>,
    /// Records that name a kept value.
    pub(crate) uses: BTreeMap<Digest, u32>,
    pub(crate) bytes: u64,
}

/// What a record names by digest.
#[derive(Debug, Default)]
struct Named {
    declared: Option<Digest>,
    models: Vec<Digest>,
}

impl Index {
    /// Reads what lies beside every record.
    pub(crate) fn load(disk: &Disk) -> Result<Self, StoreError> {
        let mut index = Self::default();
        let mut models = models(disk)?;
        for item in disk.scan(&Kind::RecordTime.prefix()) {
            let (key, payload) = item?;
            let (pool, generation) = parse(&key).map_err(|e| e.at(&key))?;
            let (entry, declared) = read(&payload).map_err(|e| e.at(&key))?;
            let models = models
                .remove(&(pool.clone(), generation))
                .unwrap_or_default();
            let named = Named { declared, models };
            let made = index.pools.get(&pool);
            let next = made.and_then(Made::last).map(Generation::next);
            if next.is_some_and(|next| next != generation) {
                return Err(Malformed("a plan before it is missing (PL1)").at(&key));
            }
            index.add(&pool, generation, entry, named);
        }
        Ok(index)
    }

    fn add(&mut self, pool: &PoolId, generation: Generation, entry: Entry, named: Named) {
        let made = self.pools.entry(pool.clone()).or_default();
        if made.entries.is_empty() {
            made.first = generation.0;
        }
        made.entries.push_back(entry);
        self.bytes += u64::from(entry.bytes);
        for digest in &named.models {
            *self.uses.entry(*digest).or_default() += 1;
        }
        if !named.models.is_empty() {
            made.names.insert(generation.0, named.models);
        }
        let before = made.declared.last_key_value().map(|(_, digest)| *digest);
        if let Some(declared) = named.declared.filter(|d| Some(*d) != before) {
            *self.uses.entry(declared).or_default() += 1;
            made.declared.insert(generation.0, declared);
        }
    }

    /// Number of records.
    pub(crate) fn len(&self) -> u64 {
        self.pools.values().map(|m| m.entries.len() as u64).sum()
    }
}

/// Models that records' anchors name.
type Models = BTreeMap<(PoolId, Generation), Vec<Digest>>;

fn models(disk: &Disk) -> Result<Models, StoreError> {
    let mut models = Models::new();
    disk.scan_large(&Kind::Named.prefix(), |key, bytes| {
        let plan = parse(key).map_err(|e| e.at(key))?;
        let (digests, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(Malformed("a digest is cut").at(key));
        }
        models.insert(plan, digests.iter().map(|d| Digest(*d)).collect());
        Ok(())
    })?;
    Ok(models)
}

/// What lies beside a record.
pub(crate) fn write(entry: &Entry, declared: Option<Digest>) -> Vec<u8> {
    let mut bytes = vec![];
    put_int(&mut bytes, entry.at);
    put_uint(&mut bytes, u64::from(entry.bytes));
    put_uint(&mut bytes, entry.as_of);
    bytes.push(u8::from(entry.amends));
    bytes.extend(declared.iter().flat_map(|d| d.0));
    bytes
}

/// What [`write`] wrote; at first there was only the time.
pub(crate) fn read(payload: &[u8]) -> Result<(Entry, Option<Digest>), Malformed> {
    let r = &mut Reader::new(payload);
    let at = r.int()?;
    let mut entry = Entry {
        at,
        bytes: 0,
        as_of: 0,
        amends: false,
    };
    if r.is_empty() {
        return Ok((entry, None));
    }
    (entry.bytes, entry.as_of) = (r.u32()?, r.uint()?);
    entry.amends = r.byte()? != 0;
    let declared = match r.is_empty() {
        true => None,
        false => r.take(32)?.first_chunk().map(|d| Digest(*d)),
    };
    Ok((entry, declared))
}

/// Whether what [`write`] wrote is of a record that amends another.
pub(crate) fn amends(payload: &[u8]) -> Result<bool, Malformed> {
    Ok(read(payload)?.0.amends)
}

/// Pool and generation of a key.
pub(crate) fn parse(key: &[u8]) -> Result<(PoolId, Generation), Malformed> {
    const BAD: Malformed = Malformed("its key names no plan");
    let tail = key.get(keys::PREFIX..).ok_or(BAD)?;
    let (name, number) = tail.split_last_chunk::<8>().ok_or(BAD)?;
    let number = u64::from_be_bytes(*number);
    if number > keys::LAST {
        return Err(BAD);
    }
    let name = name.strip_suffix(&[0]).ok_or(BAD)?;
    let name = std::str::from_utf8(name).map_err(|_| BAD)?;
    Ok((PoolId::new(name).map_err(|_| BAD)?, Generation(number)))
}

impl Ledger for Store {
    fn append(&self, record: &Record) -> Result<(), StoreError> {
        self.append_with(record, &[])
    }

    fn record(&self, pool: &PoolId, generation: Generation) -> Result<Option<Record>, StoreError> {
        let key = keys::record(Kind::Record, pool, generation);
        let bytes = self.shared.disk.get_large(&key)?;
        bytes
            .map(|b| mirror::record_of(&b).map_err(|e| e.at(&key)))
            .transpose()
    }

    fn last(&self, pool: &PoolId) -> Option<Generation> {
        locked(&self.shared.ledger)
            .pools
            .get(pool)
            .and_then(Made::last)
    }

    fn at(&self, pool: &PoolId, at: Timestamp) -> Result<Option<Generation>, StoreError> {
        let index = locked(&self.shared.ledger);
        // From the newest back: the cycle's clock may have stepped, so times need not ascend.
        let found = index.pools.get(pool).and_then(|made| {
            let i = made.entries.iter().rposition(|e| e.at <= at.0)?;
            Some(Generation(made.first + i as u64))
        });
        Ok(found)
    }
}

impl Replays for Store {
    fn append_with(&self, record: &Record, anchors: &[Anchor]) -> Result<(), StoreError> {
        let _writing = reading(&self.shared.writing);
        let disk = &self.shared.disk;
        disk.room()?;
        // Before the lock: pools that record at once do not wait for each other's encoding.
        let bytes = mirror::encode_record(record)?;
        let mut batch = Batch::default();
        let _keeping = (!anchors.is_empty()).then(|| locked(&self.shared.keeping));
        let (anchored, models) = self.put_anchors(&mut batch, record, anchors)?;
        let mut index = locked(&self.shared.ledger);
        let plan = &record.plan;
        let refused = |why: String| StoreError::Refused {
            what: format!("plan {} of pool {}", plan.generation, plan.pool),
            why,
        };
        if plan.pool != record.pool {
            return Err(refused(format!("its record is of pool {}", record.pool)));
        }
        let last = index.pools.get(&record.pool).and_then(Made::last);
        check_succession(plan, last).map_err(|breach| refused(breach.to_string()))?;
        let key = keys::record(Kind::Record, &record.pool, plan.generation);
        disk.put_large(&mut batch, &key, &bytes)?;
        let entry = Entry {
            at: record.at.0,
            bytes: u32::try_from(bytes.len() + anchored).unwrap_or(u32::MAX),
            as_of: record.as_of,
            amends: record.amends.is_some(),
        };
        let named = Named {
            declared: record.basis.as_ref().and_then(|b| b.catalog),
            models,
        };
        let key = keys::record(Kind::RecordTime, &record.pool, plan.generation);
        batch.put(key, &write(&entry, named.declared));
        if !named.models.is_empty() {
            let key = keys::record(Kind::Named, &record.pool, plan.generation);
            let digests: Vec<u8> = named.models.iter().flat_map(|d| d.0).collect();
            disk.put_large(&mut batch, &key, &digests)?;
        }
        disk.commit(batch)?;
        index.add(&record.pool, plan.generation, entry, named);
        Ok(())
    }

    fn anchors(&self, pool: &PoolId, generation: Generation) -> Result<Vec<Anchor>, StoreError> {
        let key = keys::record(Kind::Anchor, pool, generation);
        let Some(bytes) = self.shared.disk.get_large(&key)? else {
            return Ok(vec![]);
        };
        let anchored = mirror::anchors_of(&bytes).map_err(|e| e.at(&key))?;
        let mut models: BTreeMap<Digest, Arc<[u8]>> = BTreeMap::new();
        let mut anchors = vec![];
        for Anchored {
            key: of,
            module,
            config,
            state,
            track,
        } in anchored
        {
            let state = match state {
                None => None,
                Some(state) => {
                    let model = match models.get(&state.model) {
                        Some(model) => model.clone(),
                        None => {
                            let model = self.kept(&state.model)?;
                            let model =
                                model.ok_or_else(|| Malformed("its model is missing").at(&key))?;
                            models.entry(state.model).or_insert(model.into()).clone()
                        }
                    };
                    Some(SeriesState {
                        key: state.key,
                        module: state.module,
                        config: state.config,
                        format: state.format,
                        model,
                        state: state.state,
                        fitted_at: state.fitted_at,
                        seen: state.seen,
                        prior: state.prior,
                    })
                }
            };
            anchors.push(Anchor {
                key: of,
                module,
                config,
                state,
                track,
            });
        }
        Ok(anchors)
    }

    fn keep_catalog(&self, catalog: &Catalog) -> Result<Digest, StoreError> {
        let _writing = reading(&self.shared.writing);
        let bytes = mirror::encode_declared(catalog)?;
        let digest = Digest::of(&bytes);
        let _keeping = locked(&self.shared.keeping);
        let mut batch = Batch::default();
        self.put_kept(&mut batch, &digest, &bytes)?;
        self.shared.disk.write(batch)?;
        *locked(&self.shared.declared) = Some(digest);
        Ok(digest)
    }

    fn kept_catalog(&self, digest: &Digest) -> Result<Option<Catalog>, StoreError> {
        let bytes = self.kept(digest)?;
        let declared = bytes.map(|b| mirror::declared_of(&b));
        declared
            .transpose()
            .map_err(|e| e.at(&keys::digest(Kind::Kept, digest)))
    }

    fn as_of(
        &self,
        sequence: u64,
        newest: BTreeMap<SeriesKey, Timestamp>,
    ) -> Box<dyn History + '_> {
        Box::new(Then::of(&self.shared, sequence, newest))
    }
}

impl Store {
    /// Adds a record's anchors to a batch: their size, and the models that they name.
    fn put_anchors(
        &self,
        batch: &mut Batch,
        record: &Record,
        anchors: &[Anchor],
    ) -> Result<(usize, Vec<Digest>), StoreError> {
        if anchors.is_empty() {
            return Ok((0, vec![]));
        }
        // A model is shared by many states, and hashed once.
        let mut digests: BTreeMap<*const u8, Digest> = BTreeMap::new();
        let mut models: BTreeMap<Digest, &[u8]> = BTreeMap::new();
        let mut stored = Vec::with_capacity(anchors.len());
        for anchor in anchors {
            let model = anchor.state.as_ref().map(|state| {
                let digest = digests
                    .entry(state.model.as_ptr())
                    .or_insert_with(|| Digest::of(&state.model));
                models.insert(*digest, &state.model);
                *digest
            });
            stored.push(Anchored::of(anchor, model.unwrap_or(Digest([0; 32]))));
        }
        let mut size = 0;
        for (digest, model) in &models {
            size += self.put_kept(batch, digest, model)?;
        }
        let bytes = mirror::encode_anchors(&stored)?;
        let key = keys::record(Kind::Anchor, &record.pool, record.plan.generation);
        self.shared.disk.put_large(batch, &key, &bytes)?;
        Ok((size + bytes.len(), models.into_keys().collect()))
    }

    /// Adds a value by its digest, unless it is there; what it adds, in bytes.
    fn put_kept(
        &self,
        batch: &mut Batch,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<usize, StoreError> {
        let disk = &self.shared.disk;
        let key = keys::digest(Kind::Kept, digest);
        if disk.has_large(&key)? {
            return Ok(0);
        }
        disk.put_large(batch, &key, bytes)?;
        Ok(bytes.len())
    }

    /// A value by its digest.
    fn kept(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let key = keys::digest(Kind::Kept, digest);
        let bytes = self.shared.disk.get_large(&key)?;
        match bytes {
            Some(bytes) if Digest::of(&bytes) != *digest => {
                Err(Malformed("it has another digest than its name says").at(&key))
            }
            bytes => Ok(bytes),
        }
    }
}
