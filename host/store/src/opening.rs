//! Opening the database: one opener, one layout, and damage that is not confused with the rest.
//!
//! Our own lock file comes before sled's, so that a directory that is merely in use can never be
//! taken for a damaged one and set aside. sled answers some damage with a panic; here that is an
//! error like the other.

use crate::database::{Database, SEGMENT};
use crate::disk::{Batch, Disk, io};
use crate::keys::{self, Kind};
use crate::log::{Damage, Life, Log};
use crate::migrate::{self, STEPS, Step};
use crate::options::Options;
use crate::registry;
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
        let known = keys::LAYOUT_VERSION;
        let layout = migrate::layout(&db)?;
        if let Some(found) = layout.filter(|found| *found > known) {
            // Before anything of it is touched.
            return Err(StoreError::Version { found, known });
        }
        let (mut disk, mut lost) = of(db, &path, lock, damage, layout.unwrap_or(known))?;
        match layout {
            Some(found) if found == known => {}
            Some(found) => {
                let lock = disk.same_lock()?;
                migrate::migrate(dir, disk, (found, known), steps, tell)?;
                let db = open_sled(&path, options).map_err(Failure::into_error)?;
                let (opened, more) = of(db, &path, lock, damage, known)?;
                disk = opened;
                lost.extend(more);
            }
            None if disk.has_named() => {
                return Err(StoreError::Damaged {
                    key: "the database file".into(),
                    cause: "it is empty, and there are blocks of samples that it should name; if nobody has a better \
                            copy of it, move its directory away"
                        .into(),
                });
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
        lost.extend(keep_named(&disk));
        let opened = Opened {
            disk,
            set_aside,
            lost,
        };
        Ok((opened, layout.unwrap_or(known)))
    }
}

/// The logs beside the database: the kind of their keys, their directory, how their values go, and the layout that
/// they came with.
const LOGS: [(Kind, &str, Life, u32); 4] = [
    (Kind::Wal, "wal", Life::InOrder, 2),
    (Kind::Note, "notes", Life::InOrder, 2),
    (Kind::Block, "blocks", Life::Named, 3),
    (Kind::Cells, "cells", Life::Named, 3),
];

/// An open database and the logs that are there, or belong to its layout, as a disk; and what was left out of those.
fn of(
    db: sled::Db,
    path: &Path,
    lock: File,
    damage: Damage,
    layout: u32,
) -> Result<(Disk, Lost), StoreError> {
    let main = Database::new(db, path)?;
    let (mut logs, mut lost) = (vec![], vec![]);
    for (kind, name, life, since) in LOGS {
        // Before there was a log, its values were in the database. What is restored lies where it belongs at once.
        if layout < since && !path.join(name).is_dir() {
            continue;
        }
        let opened = Log::open(&path.join(name), kind, life, damage)?;
        logs.push(opened.log);
        lost.extend(opened.lost);
    }
    Ok((Disk::new(main, logs, lock), lost))
}

/// Lets go of blocks that no page names, as a crash leaves them over; named ones that are not there. Where a page
/// cannot be read everything stays, for whoever looks into that.
fn keep_named(disk: &Disk) -> Lost {
    let Ok(names) = registry::names(disk) else {
        return vec![];
    };
    let (gone, missing) = disk.keep_named(&names);
    if gone > 0 {
        tracing::warn!(
            blocks = gone,
            "no page names these blocks, as a crash leaves some: they are let go of"
        );
    }
    let lost = missing
        .iter()
        .map(|key| (keys::show(key), "its group names it and it is missing"));
    let lost: Lost = lost.collect();
    for (key, cause) in lost.iter().take(10) {
        tracing::error!(key, cause, "samples are lost");
    }
    lost
}

/// A database in a place of its own, as it is; created with these segments where there is none.
pub(crate) fn database(path: &Path, lock: File, segment: usize) -> Result<Disk, StoreError> {
    let db = open_with(path, &Options::default(), segment).map_err(Failure::into_error)?;
    let (disk, _) = of(db, path, lock, Damage::Refused, keys::LAYOUT_VERSION)?;
    swap::sync_directory(path)?;
    Ok(disk)
}

/// The store in `dir` for reading alone, whatever is damaged in it and whatever its layout: what it has no log for is
/// in the database.
pub(crate) fn damaged(dir: &Path) -> Result<(Disk, Lost), StoreError> {
    let lock = lock(dir)?;
    swap::settle(dir)?;
    let path = dir.join(DATABASE);
    let db = open_sled(&path, &Options::default()).map_err(Failure::into_error)?;
    of(db, &path, lock, Damage::Shown, 0)
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
    Err(StoreError::Refused {
        what: format!("to open {}", dir.display()),
        why: "it is already open in this or another process; stop that one first, or choose another directory".into(),
    })
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
pub(crate) fn segment_of(path: &Path) -> Option<usize> {
    let text = std::fs::read(path.join("conf")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|l| l.strip_prefix("segment_size: "));
    let size: usize = line?.trim().parse().ok()?;
    (size.is_power_of_two() && (256..=1 << 24).contains(&size)).then_some(size)
}

fn open_sled(path: &Path, options: &Options) -> Result<sled::Db, Failure> {
    open_with(path, options, SEGMENT)
}

/// Opens a database; a new one has these segments. What sled sums its log up in can be made again from the log: where
/// it cannot be read with it, it is read without.
fn open_with(path: &Path, options: &Options, segment: usize) -> Result<sled::Db, Failure> {
    match attempt(path, options, segment) {
        Err(Failure::Damaged(cause)) => {
            let aside = sums_aside(path)
                .map_err(|e| Failure::Other(io("set a sum of its log aside", &e)))?;
            if aside.is_empty() {
                return Err(Failure::Damaged(cause));
            }
            let again = attempt(path, options, segment);
            if again.is_ok() {
                tracing::warn!(%cause, "a sum of the database's log was damaged: it was made again from the log");
            }
            for (kept, place) in aside {
                // A better one may be there by now; the old one comes back where nothing was gained by its absence.
                let _ = match again {
                    Ok(_) => std::fs::remove_file(&kept),
                    Err(_) => std::fs::rename(&kept, &place),
                };
            }
            again
        }
        outcome => outcome,
    }
}

/// Files in which sled sums its log up.
fn sums(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(vec![]),
        entries => entries?,
    };
    let mut sums = vec![];
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") {
            sums.push(path);
        }
    }
    Ok(sums)
}

/// Moves them to where sled does not look; where to, and where they were.
fn sums_aside(path: &Path) -> std::io::Result<Vec<(PathBuf, PathBuf)>> {
    let mut aside = vec![];
    for place in sums(path)? {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let kept = path.join(format!("aside.{name}"));
        std::fs::rename(&place, &kept)?;
        aside.push((kept, place));
    }
    Ok(aside)
}

/// Removes what a crash or a full disk has left of a sum that was being written: sled takes it for the newest one.
fn remove_unfinished(path: &Path) -> std::io::Result<()> {
    for sum in sums(path)? {
        if sum.extension().is_some_and(|e| e == "generating") {
            std::fs::remove_file(sum)?;
        }
    }
    Ok(())
}

fn attempt(path: &Path, options: &Options, segment: usize) -> Result<sled::Db, Failure> {
    remove_unfinished(path)
        .map_err(|e| Failure::Other(io("remove an unfinished sum of its log", &e)))?;
    let config = sled::Config::new()
        .path(path)
        .segment_size(segment_of(path).unwrap_or(segment))
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
