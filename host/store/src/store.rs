//! Opening, closing, and the figures of a store.

use crate::codec::{Malformed, unframe};
use crate::columns::Cache;
use crate::disk::{Batch, Disk, io};
use crate::keeper::{self, Desk};
use crate::keys::{self, Kind};
use crate::ledger::Index;
use crate::mirror::{self, Marks};
use crate::opening::Opened;
use crate::options::Options;
use crate::queue::Queue;
use crate::registry::{Group, Registry};
use crate::retain::Held;
use crate::rollup::{Level, roll};
use crate::shared::{Shared, locked, reading};
use crate::space;
use crate::wal::{self, Item};
use crate::writer::Writer;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use tidegate_core::ports::storage::StoreError;

/// An open store: implements every port of [`tidegate_core::ports::storage`].
///
/// Dropping it closes it: what waits is written, then its two threads end.
#[derive(Debug)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    dir: PathBuf,
    /// Writer and keeper; the writer's end ends the keeper.
    threads: Mutex<Option<[JoinHandle<()>; 2]>>,
    set_aside: Option<PathBuf>,
    lost_records: u64,
}

/// Figures of a store at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Bytes of the database files.
    pub disk_bytes: u64,
    /// Bytes left where they lie; `None` where the file system does not say.
    pub free_bytes: Option<u64>,
    /// Series with at least one sample.
    pub series: u64,
    /// Samples that are not sealed yet.
    pub head_samples: u64,
    /// Their bytes in memory.
    pub head_bytes: u64,
    /// Samples in sealed blocks.
    pub sealed_samples: u64,
    /// Sealed blocks.
    pub blocks: u64,
    /// Their bytes, compressed.
    pub block_bytes: u64,
    /// What is held of samples as they came, sealed.
    pub raw: Held,
    /// What is held of cells of five minutes.
    pub five_minutes: Held,
    /// What is held of cells of an hour.
    pub hour: Held,
    /// Groups of series that wait to be sealed or are being sealed.
    pub sealing_groups: u64,
    /// Sealed blocks that are old enough to be rolled up and are not yet.
    pub unrolled_blocks: u64,
    /// Write-ahead records on disk.
    pub wal_records: u64,
    /// Their bytes.
    pub wal_bytes: u64,
    /// Arrival sequence of the newest stored batch.
    pub sequence: u64,
    /// Bytes of batches that wait for the writer.
    pub waiting_bytes: u64,
    /// Bytes of decoded columns kept for readers.
    pub cached_bytes: u64,
    /// Records in the ledger.
    pub ledger_records: u64,
    /// Their bytes, with what replays set out from; what was written before sizes were kept counts nothing.
    pub ledger_bytes: u64,
    /// Where opening has moved a damaged database ([`Options::recover`]).
    pub set_aside: Option<PathBuf>,
    /// Damaged or missing write-ahead records ([`Options::recover`]), damaged places of the logs, and blocks that are
    /// named and not there, all of which opening has skipped.
    pub lost_records: u64,
}

/// Missing records in a row that recovery puts something in the place of.
const MENDED: usize = 100_000;

/// What the write-ahead records gave.
struct Replayed {
    marks: Marks,
    records: VecDeque<(u64, usize)>,
    lost: u64,
}

impl Store {
    /// Opens or creates the store in `dir`, replays what a crash left, and starts the writer.
    ///
    /// # Errors
    /// [`StoreError::Version`] for another layout, [`StoreError::Io`] when the directory cannot be
    /// used (among others: it is open already), [`StoreError::Damaged`] when stored data fails its
    /// checksum and [`Options::recover`] is off.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Arc<Self>, StoreError> {
        let Opened {
            disk,
            set_aside,
            lost,
        } = Disk::open(dir.as_ref(), &options)?;
        let mut registry = Registry::load(&disk)?;
        let replayed = replay(&disk, &mut registry, options.recover)?;
        forget_late(&disk, replayed.marks.sequence)?;
        registry.sequence = replayed.marks.sequence;
        registry.next_record = replayed.marks.next_record;
        let ledger = Index::load(&disk)?;
        let shared = Arc::new(Shared {
            cache: Cache::new(options.column_cache_bytes),
            queue: Queue::new(options.max_waiting_bytes),
            desk: Desk::default(),
            told: AtomicI64::new(i64::MIN),
            options,
            disk,
            registry: RwLock::new(registry),
            ledger: Mutex::new(ledger),
            late: Mutex::default(),
            copying: AtomicUsize::new(0),
            keeping: Mutex::default(),
            declared: Mutex::default(),
            models: Mutex::default(),
            notes: Mutex::default(),
            catalog: Mutex::default(),
            modules: Mutex::default(),
            writing: RwLock::default(),
            replacing: RwLock::default(),
            looked: AtomicU64::default(),
            wal_records: AtomicU64::default(),
            wal_bytes: AtomicU64::default(),
        });
        let writer = Writer::new(shared.clone(), replayed.marks, replayed.records);
        let kept = shared.clone();
        let keeper = std::thread::Builder::new()
            .name("store-keeper".into())
            .spawn(move || keeper::run(&kept))
            .map_err(|e| io("start its keeper thread", &e))?;
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(|| writer.run())
            .map_err(|e| {
                shared.desk.close();
                io("start its writer thread", &e)
            })?;
        Ok(Arc::new(Self {
            shared,
            dir: dir.as_ref().to_owned(),
            threads: Mutex::new(Some([thread, keeper])),
            set_aside,
            lost_records: replayed.lost + lost.len() as u64,
        }))
    }

    /// Writes what waits, syncs, and ends the writer thread. Later writes answer
    /// [`StoreError::Closed`]; reads still work. Closing twice is harmless.
    pub fn close(&self) {
        self.shared.queue.close();
        let Some(threads) = locked(&self.threads).take() else {
            return;
        };
        // A completion may hold the last handle: the writer cannot wait for itself, nor for the keeper,
        // which may be waiting for it.
        let own = std::thread::current().id();
        if threads.iter().all(|thread| thread.thread().id() != own) {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a thread of the store panicked");
                }
            }
        }
        self.shared.disk.close();
    }

    /// The directory in which it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Figures of this moment.
    ///
    /// # Errors
    /// When the directory cannot be measured.
    pub fn stat(&self) -> Result<Stat, StoreError> {
        let shared = &self.shared;
        let disk_bytes = shared.disk.size()?;
        let (ledger_records, ledger_bytes) = {
            let ledger = locked(&shared.ledger);
            (ledger.len(), ledger.bytes)
        };
        let now = shared.now();
        let registry = reading(&shared.registry);
        let due = |g: &Group| roll::due(g, now, &shared.options) as u64;
        let blocks = || registry.groups.iter().flat_map(|g| &g.blocks);
        Ok(Stat {
            disk_bytes,
            free_bytes: space::left(rustix::fs::statvfs(&self.dir)),
            series: registry
                .series
                .iter()
                .filter(|s| s.newest != i64::MIN)
                .count() as u64,
            head_samples: registry.samples as u64,
            head_bytes: registry.weight as u64,
            sealed_samples: blocks().map(|b| b.samples).sum(),
            blocks: blocks().count() as u64,
            block_bytes: blocks().map(|b| u64::from(b.bytes)).sum(),
            raw: Held::of(&registry, None),
            five_minutes: Held::of(&registry, Some(Level::FiveMinutes)),
            hour: Held::of(&registry, Some(Level::Hour)),
            sealing_groups: shared.desk.sealing() as u64,
            unrolled_blocks: registry.groups.iter().map(due).sum(),
            wal_records: shared.wal_records.load(Ordering::Relaxed),
            wal_bytes: shared.wal_bytes.load(Ordering::Relaxed),
            sequence: registry.sequence,
            waiting_bytes: shared.queue.bytes() as u64,
            cached_bytes: shared.cache.bytes() as u64,
            ledger_records,
            ledger_bytes,
            set_aside: self.set_aside.clone(),
            lost_records: self.lost_records,
        })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// Brings back what was acknowledged and not yet sealed.
fn replay(disk: &Disk, registry: &mut Registry, recover: bool) -> Result<Replayed, StoreError> {
    let marks = match disk.get(&keys::marks())? {
        Some(bytes) => mirror::unpack(&bytes)
            .and_then(Marks::checked)
            .map_err(|e| e.at(&keys::marks()))?,
        None => Marks {
            sequence: 0,
            next_record: 0,
        },
    };
    let mut replayed = Replayed {
        marks,
        records: VecDeque::new(),
        lost: 0,
    };
    for group in &registry.groups {
        let next = &mut replayed.marks.next_record;
        *next = (*next).max(group.sealed_through);
    }
    let mut mended = Batch::default();
    let mut expected = None;
    for item in disk.scan_raw(&Kind::Wal.prefix()) {
        let (key, value) = item?;
        let number = keys::trailing_u64(&key).ok_or_else(|| Malformed("its key").at(&key))?;
        let outcome = match expected {
            Some(n) if n != number => Err(Malformed("a record before it is missing")),
            _ => Ok(()),
        }
        .or_else(|gap| {
            if !recover {
                return Err(gap);
            }
            tracing::error!(
                record = number,
                "write-ahead records before this one are missing"
            );
            replayed.lost += 1;
            // An empty record stands for what is lost, so that the next opening finds no gap.
            for missing in (expected.unwrap_or(number)..number).take(MENDED) {
                mended.put(keys::wal(missing), &[]);
                replayed.records.push_back((missing, 0));
            }
            Ok(())
        })
        .and_then(|()| unframe(&key, &value))
        .and_then(wal::read)
        .and_then(|items| apply(registry, &mut replayed.marks, number, items));
        expected = Some(number + 1);
        replayed.marks.next_record = replayed.marks.next_record.max(number + 1);
        match outcome {
            Ok(()) => replayed.records.push_back((number, value.len())),
            Err(error) if recover => {
                tracing::error!(
                    record = number,
                    cause = error.0,
                    "a write-ahead record is lost"
                );
                replayed.lost += 1;
                mended.put(key.to_vec(), &[]);
                replayed.records.push_back((number, 0));
            }
            Err(error) => return Err(error.at(&key)),
        }
    }
    if replayed.lost > 0 {
        mended.put(keys::marks(), &mirror::pack(&replayed.marks)?);
        disk.commit(mended)?;
    }
    Ok(replayed)
}

/// Removes what was noted of late samples of batches that a power cut has kept from being stored: their
/// sequences will be others'.
fn forget_late(disk: &Disk, sequence: u64) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    let mut stale = 0;
    for item in disk.scan_raw(&Kind::Late.prefix()).rev() {
        let (key, _) = item?;
        let base = &key[..key.len().saturating_sub(2)];
        if keys::trailing_u64(base).is_none_or(|of| of <= sequence) {
            break;
        }
        batch.remove(key.to_vec());
        stale += 1;
    }
    match stale {
        0 => Ok(()),
        _ => disk.commit(batch),
    }
}

fn apply(
    registry: &mut Registry,
    marks: &mut Marks,
    record: u64,
    items: Vec<Item>,
) -> Result<(), Malformed> {
    for item in items {
        match item {
            Item::Batch(sequence) => marks.sequence = marks.sequence.max(sequence),
            Item::Entry(number, run) => {
                let id = registry
                    .numbered(number)
                    .ok_or(Malformed("it names an unknown series"))?;
                let series = &registry.series[id as usize];
                if registry.groups[series.group as usize].sealed_through <= record {
                    registry.publish(id, run, record);
                }
            }
        }
    }
    Ok(())
}
