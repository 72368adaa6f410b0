//! Copies that the daemon makes of its store for a command beside it, under `copies` in the data directory.
//!
//! The command moves the copy away or removes it when it has read it. What can go wrong is that one of the two dies
//! in between, and then a copy as large as the store would lie there for good. So a copy has another name until it
//! is whole; one whose command has gone before it was done is removed at once; and what a command has left behind
//! is removed at the next start and before the next copy. Only names that commands choose by themselves
//! ([`name`]) are touched: whoever asks for a copy by the API under a name of their own means to keep it.

use crate::clock::wall;
use crate::world::World;
use std::path::Path;
use std::time::Duration;
use tidegate_core::ids::Name;
use tidegate_core::ports::health::LastBackup;
use tidegate_core::ports::serve::Extent;
use tidegate_core::ports::storage::StoreError;
use tidegate_store::Store;

/// How the name of a copy begins that a command has asked for by itself.
const TAKEN_BY: &str = "taken-by-";
/// What follows the name of one that is not whole.
const PARTIAL: &str = "partial";
/// While the daemon runs, what lies untouched for so long is nobody's: a command that was answered moves its copy
/// or opens it within moments, and one that still reads holds its lock.
const ABANDONED: Duration = Duration::from_secs(3600);
/// The same where no process bears the number in the name: it may be one that this one does not see.
const ORPHANED: Duration = Duration::from_secs(60);
/// Where the last backup is noted, beside the store.
const NOTE: &str = "last-backup";

/// A name for a copy that this process asks for.
pub(crate) fn name() -> String {
    format!("{TAKEN_BY}{}", std::process::id())
}

/// Makes one; where it is, and its bytes. `waits` says whether somebody still wants it.
pub(crate) fn take(
    world: &World,
    name: &Name,
    extent: Extent,
    waits: &dyn Fn() -> bool,
) -> Result<(String, u64), StoreError> {
    let store = &world.store;
    let copies = store.dir().with_file_name("copies");
    sweep(&copies, ABANDONED);
    let place = copies.join(name.as_str());
    let bytes = match extent {
        Extent::Replay => replay(store, &place)?,
        Extent::Whole => {
            let bytes = store.backup(&place, &mut |_| {})?.bytes;
            // What counts is what can be read again.
            Store::check_backup(&place, &mut |_| {})?;
            note(store.dir(), &place);
            bytes
        }
    };
    if !waits() {
        tracing::info!(copy = %place.display(), "nobody waits for a copy of the store any more: it is removed");
        remove(&place);
    }
    Ok((place.display().to_string(), bytes))
}

fn replay(store: &Store, place: &Path) -> Result<u64, StoreError> {
    let partial = place.with_extension(PARTIAL);
    if place.exists() {
        return Err(StoreError::Refused {
            what: format!("a copy in {}", place.display()),
            why: "there is something in it; choose another name".into(),
        });
    }
    let copied = store.copy_to(&partial.join("store")).and_then(|copied| {
        let named = std::fs::rename(&partial, place);
        named.map_err(|e| StoreError::Io {
            step: "name a copy of it",
            cause: e.to_string(),
        })?;
        Ok(copied.bytes)
    });
    if copied.is_err() {
        remove(&partial);
    }
    copied
}

/// Removes what was not written to its end, and what commands have left that is older than `age`.
pub(crate) fn sweep(copies: &Path, age: Duration) {
    let Ok(entries) = copies.read_dir() else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_partial = path.extension().is_some_and(|e| e == PARTIAL);
        let named = path.file_name().and_then(|name| name.to_str());
        let taken_by = named.and_then(|name| name.strip_prefix(TAKEN_BY));
        let is_orphan = taken_by.is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        let age = if is_orphan { age.min(ORPHANED) } else { age };
        let touched = path.metadata().and_then(|about| about.modified());
        let is_old = touched.is_ok_and(|at| at.elapsed().unwrap_or_default() >= age);
        if (is_partial || taken_by.is_some()) && is_old && !is_read(&path) {
            tracing::info!(path = %path.display(), "a copy of the store that nobody took is removed");
            remove(&path);
        }
    }
}

/// Whether somebody has the store of a copy open.
fn is_read(copy: &Path) -> bool {
    let lock = std::fs::File::options()
        .write(true)
        .open(copy.join("store").join("LOCK"));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(std::fs::TryLockError::WouldBlock)))
}

fn remove(path: &Path) {
    let removed = match path.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
    if let Err(error) = removed {
        tracing::warn!(path = %path.display(), %error, "a copy of the store stays; remove it by hand");
    }
}

/// Notes that a backup of the store in `dir` was written to a file, and read again.
pub(crate) fn note(dir: &Path, file: &Path) {
    let bytes = file.metadata().map_or(0, |about| about.len());
    let (at, path) = (wall().0, dir.join(NOTE));
    let partial = path.with_extension(PARTIAL);
    let written = std::fs::write(&partial, format!("{at} {bytes} checked\n"))
        .and_then(|()| std::fs::rename(&partial, &path));
    if let Err(error) = written {
        tracing::warn!(path = %path.display(), %error, "that a backup was made could not be noted; it is whole all the same");
    }
}

/// The last backup of the store in `dir` that was noted.
pub(crate) fn last(dir: &Path) -> Option<LastBackup> {
    let text = std::fs::read_to_string(dir.join(NOTE)).ok()?;
    let mut words = text.split_whitespace();
    Some(LastBackup {
        at: tidegate_core::time::Timestamp(words.next()?.parse().ok()?),
        bytes: words.next()?.parse().ok()?,
        is_checked: words.next() == Some("checked"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_left_is_removed_and_what_somebody_named_or_reads_stays() {
        let home = tempfile::tempdir().unwrap();
        let copies = home.path().join("copies");
        let put = |name: &str| {
            let store = copies.join(name).join("store");
            std::fs::create_dir_all(&store).unwrap();
            std::fs::write(store.join("LOCK"), "").unwrap();
        };
        for name in ["taken-by-1", "taken-by-2", "before-the-move", "x.partial"] {
            put(name);
        }
        for name in ["taken-by-3", "kept", "taken-by-4.partial"] {
            std::fs::write(copies.join(name), "").unwrap();
        }
        let left = || {
            let entries = copies.read_dir().unwrap();
            let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort_unstable();
            names
        };
        sweep(&copies, ABANDONED);
        assert_eq!(left().len(), 7, "all of it is fresh");
        let read = std::fs::File::open(copies.join("taken-by-2/store/LOCK")).unwrap();
        read.lock().unwrap();
        sweep(&copies, Duration::ZERO);
        assert_eq!(left(), ["before-the-move", "kept", "taken-by-2"]);
    }

    #[test]
    fn the_last_backup_is_known_by_the_next_process() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(last(home.path()), None);
        let file = home.path().join("tide.backup");
        std::fs::write(&file, [0; 77]).unwrap();
        note(home.path(), &file);
        let told = last(home.path()).unwrap();
        assert_eq!((told.bytes, told.is_checked), (77, true));
        assert!(told.at.0 > 0);
        std::fs::write(home.path().join(NOTE), "rubbish").unwrap();
        assert_eq!(last(home.path()), None);
    }
}
