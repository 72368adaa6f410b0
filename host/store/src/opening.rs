//! Opening the database: one opener, one layout, and damage that is not confused with the rest.
//!
//! Our own lock file comes before sled's, so that a directory that is merely in use can never be
//! taken for a damaged one and set aside. sled answers some damage with a panic; here that is an
//! error like the other.

use crate::database::{Database, SEGMENT};
use crate::disk::{Batch, Disk, io};
use crate::keys::{self, Kind};
use crate::log::{Damage, Log};
use crate::migrate::{self, STEPS, Step};
use crate::options::Options;
use crate::swap;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_core::ports::storage::StoreError;

/// Name of the database inside the store's directory.
pub(crate) const DATABASE: &str = "sled";

/// Damaged places with what is wrong with each.
pub(crate) type Lost = Vec<(String, &'static str)>;

/// What opening found.
pub(crate) struct Opened {
    pub(crate) disk: Disk,
    /// Where a damaged database was moved.
    pub(crate) set_aside: Option<PathBuf>,
    /// Damaged places of its logs that were left out, and what is wrong with each.
    pub(crate) lost: Lost,
}

impl Disk {
    /// Opens or creates the database in `dir`.
    pub(crate) fn open(dir: &Path, options: &Options) -> Result<Opened, StoreError> {
        Self::open_by(dir, options, STEPS, &mut |_| {}).map(|(opened, _)| opened)
    }

    /// The same, with the steps that lead here from older layouts; and the layout that was found.
    pub(crate) fn open_by(
        dir: &Path,
        options: &Options,
        steps: &[Step],
        tell: &mut dyn FnMut(u64),
    ) -> Result<(Opened, u32), StoreError> {
        std::fs::create_dir_all(dir).map_err(|e| io("create its directory", &e))?;
        let lock = lock(dir)?;
        swap::settle(dir)?;
        let path = dir.join(DATABASE);
        let (db, set_aside) = match open_sled(&path, options) {
            Ok(db) => (db, None),
            Err(Failure::Damaged(cause)) if options.recover => {
                let aside = set_aside(&path)?;
                tracing::error!(
                    %cause, moved_to = %aside.display(),
                    "the database cannot be read: starting with an empty one"
                );
                let db = open_sled(&path, options).map_err(Failure::into_error)?;
                (db, Some(aside))
            }
            Err(failure) => return Err(failure.into_error()),
        };
        let damage = match options.recover {
            true => Damage::LeftOut,
            false => Damage::Refused,
        };
        let (mut disk, mut lost) = of(db, &path, lock, damage)?;
        let known = keys::LAYOUT_VERSION;
        let layout = migrate::layout(&disk)?;
        match layout {
            Some(found) if found == known => {}
            Some(found) => {
                let lock = disk.same_lock()?;
                migrate::migrate(dir, disk, (found, known), steps, tell)?;
                let db = open_sled(&path, options).map_err(Failure::into_error)?;
                let (opened, more) = of(db, &path, lock, damage)?;
                disk = opened;
                lost.extend(more);
            }
            None => {
                let mut batch = Batch::default();
                batch.put(keys::LAYOUT.to_vec(), &known.to_be_bytes());
                disk.commit(batch)?;
            }
        }
        for directory in [dir, path.as_path()] {
            swap::sync_directory(directory)?;
        }
        let opened = Opened {
            disk,
            set_aside,
            lost,
        };
        Ok((opened, layout.unwrap_or(known)))
    }
}

/// An open database and the logs in its directory as a disk; and what of those was left out.
fn of(db: sled::Db, path: &Path, lock: File, damage: Damage) -> Result<(Disk, Lost), StoreError> {
    let main = Database::new(db, path)?;
    let open = |kind, name| Log::open(&path.join(name), kind, damage);
    let (wal, notes) = (open(Kind::Wal, "wal")?, open(Kind::Note, "notes")?);
    let disk = Disk::new(main, vec![wal.log, notes.log], lock);
    Ok((disk, [wal.lost, notes.lost].concat()))
}

/// A database in a place of its own, as it is; created where there is none.
pub(crate) fn database(path: &Path, lock: File) -> Result<Disk, StoreError> {
    let db = open_sled(path, &Options::default()).map_err(Failure::into_error)?;
    let (disk, _) = of(db, path, lock, Damage::Refused)?;
    swap::sync_directory(path)?;
    Ok(disk)
}

/// The store in `dir` for reading alone, whatever is damaged in it and whatever its layout.
pub(crate) fn damaged(dir: &Path) -> Result<(Disk, Lost), StoreError> {
    let lock = lock(dir)?;
    swap::settle(dir)?;
    let path = dir.join(DATABASE);
    let db = open_sled(&path, &Options::default()).map_err(Failure::into_error)?;
    if path.join("wal").is_dir() {
        return of(db, &path, lock, Damage::Shown);
    }
    // Before there were logs, everything was in the database.
    let main = Database::new(db, &path)?;
    Ok((Disk::new(main, vec![], lock), vec![]))
}

/// One store per directory: the second opener is told so.
pub(crate) fn lock(dir: &Path) -> Result<File, StoreError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join("LOCK"))
        .map_err(|e| io("open its lock file", &e))?;
    // A lock also lives in every child that a process has forked and that has not become another
    // program yet: for a moment, a directory that was just closed still looks open.
    for _ in 0..25 {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(e)) => return Err(io("lock its directory", &e)),
        }
    }
    Err(io(
        "be opened",
        &format!(
            "{} is already open in this or another process; stop that one first, or choose another directory",
            dir.display()
        ),
    ))
}

enum Failure {
    Damaged(String),
    Other(StoreError),
}

impl Failure {
    fn into_error(self) -> StoreError {
        match self {
            Failure::Damaged(cause) => StoreError::Damaged {
                key: "the database file".into(),
                cause: format!("{cause} (opening with `recover` sets it aside)"),
            },
            Failure::Other(error) => error,
        }
    }
}

/// The size of segments that a database was made with, which it keeps; `None` where none can be read.
fn segment_of(path: &Path) -> Option<usize> {
    let text = std::fs::read(path.join("conf")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|l| l.strip_prefix("segment_size: "));
    let size: usize = line?.trim().parse().ok()?;
    (size.is_power_of_two() && (256..=1 << 24).contains(&size)).then_some(size)
}

fn open_sled(path: &Path, options: &Options) -> Result<sled::Db, Failure> {
    let config = sled::Config::new()
        .path(path)
        .segment_size(segment_of(path).unwrap_or(SEGMENT))
        .cache_capacity(options.page_cache_bytes)
        // Every write that matters is synced by us, before it is acknowledged.
        .flush_every_ms(None);
    // A store that was just dropped may still hold sled's lock for a moment: its threads end late.
    for _ in 0..100 {
        settled(path)?;
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(sled::Error::Io(e))) if e.to_string().contains("acquire lock") => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(Err(sled::Error::Io(e)))
                if !matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) =>
            {
                return Err(Failure::Other(io("open its database", &e)));
            }
            Ok(Err(e)) => return Err(Failure::Damaged(e.to_string())),
            Err(_) => return Err(Failure::Damaged("sled panicked while opening it".into())),
        }
    }
    Err(Failure::Other(io(
        "open its database",
        &"another process holds sled's lock on it",
    )))
}

/// Makes durable what an earlier process has written to the log and not synced: opening, sled sums its log up in a
/// file that it syncs, and a power cut that takes from the log what the sum rests on leaves nothing to open.
fn settled(path: &Path) -> Result<(), Failure> {
    let file = path.join("db");
    match File::open(&file).and_then(|file| file.sync_all()) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Failure::Other(io("sync its database file", &e))),
        Ok(()) => {}
    }
    #[cfg(test)]
    crate::crash::synced(&file, None);
    Ok(())
}

fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    for n in 1..10_000 {
        let aside = path.with_extension(format!("damaged-{n}"));
        if !aside.exists() {
            std::fs::rename(path, &aside).map_err(|e| io("set its damaged database aside", &e))?;
            return Ok(aside);
        }
    }
    Err(io(
        "set its damaged database aside",
        &"10,000 others are there already",
    ))
}
