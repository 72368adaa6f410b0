//! Power cuts of which every one is tried: a recorder that sees each write and each sync of a store's files.
//!
//! Around every operation on a file that must be in order with others there is an [`Op`]; what is durable is
//! told by [`synced`]. While a directory is watched, the end of each operation is a *point*, at which nobody
//! else writes, and the recorder hands over what the disk may look like if the power goes now: every file as
//! it is, and every file as the last sync left it. Between the two lies whatever a disk makes of a cut.
//!
//! Built for tests alone. Rejected: a file system that counts. It would see more (what sled does between our
//! syncs), and needs privileges or a kernel module where tests run.

mod campaign;
mod every;
mod world;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

/// The files of a directory, by their names below it.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What is told of a watched directory.
#[derive(Debug)]
pub(crate) enum Told<'a> {
    /// Bytes of a file that are durable from now on.
    Synced(&'a Path, u64),
    /// An operation is over. Nobody writes until the answer.
    Point {
        /// As the last syncs left it.
        durable: &'a Files,
    },
}

type Listener = Box<dyn Fn(Told<'_>) + Send + Sync>;

struct Recorder {
    dir: PathBuf,
    /// Held shared by operations, alone by a point.
    gate: RwLock<()>,
    durable: Mutex<Files>,
    listener: Listener,
}

static RECORDERS: RwLock<Vec<&'static Recorder>> = RwLock::new(vec![]);

thread_local! {
    /// Operations within operations of this thread.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

fn recorder(path: &Path) -> Option<&'static Recorder> {
    let all = RECORDERS.read().unwrap_or_else(PoisonError::into_inner);
    all.iter().find(|r| path.starts_with(&r.dir)).copied()
}

/// Every file below a directory.
pub(crate) fn files(dir: &Path) -> Files {
    fn walk(root: &Path, dir: &Path, all: &mut Files) {
        let Ok(entries) = std::fs::read_dir(dir) else {
            return;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                walk(root, &path, all);
            } else if let (Ok(name), Ok(bytes)) = (path.strip_prefix(root), std::fs::read(&path)) {
                all.insert(name.to_owned(), bytes);
            }
        }
    }
    let mut all = Files::new();
    walk(dir, dir, &mut all);
    all
}

/// Watches a directory from now on, until the process ends. What is in it is durable.
pub(crate) fn watch(dir: &Path, listener: Listener) {
    let recorder = Box::leak(Box::new(Recorder {
        dir: dir.to_owned(),
        gate: RwLock::default(),
        durable: Mutex::new(files(dir)),
        listener,
    }));
    let mut all = RECORDERS.write().unwrap_or_else(PoisonError::into_inner);
    all.push(recorder);
}

/// An operation on a file of a store that goes on.
#[must_use]
pub(crate) struct Op {
    recorder: Option<&'static Recorder>,
    gate: Option<RwLockReadGuard<'static, ()>>,
}

/// Begins an operation on a file.
pub(crate) fn op(path: &Path) -> Op {
    let recorder = recorder(path);
    let outer = recorder.filter(|_| DEPTH.replace(DEPTH.get() + 1) == 0);
    Op {
        recorder,
        gate: outer.map(|r| r.gate.read().unwrap_or_else(PoisonError::into_inner)),
    }
}

impl Drop for Op {
    fn drop(&mut self) {
        let Some(recorder) = self.recorder else {
            return;
        };
        DEPTH.set(DEPTH.get() - 1);
        if self.gate.take().is_some() && !std::thread::panicking() {
            let _alone = recorder
                .gate
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            let durable = recorder
                .durable
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            (recorder.listener)(Told::Point { durable: &durable });
        }
    }
}

/// So many bytes of a file are durable; all of them without a number.
pub(crate) fn synced(path: &Path, len: Option<u64>) {
    let Some(recorder) = recorder(path) else {
        return;
    };
    let (Ok(name), Ok(mut bytes)) = (path.strip_prefix(&recorder.dir), std::fs::read(path)) else {
        return;
    };
    if let Some(len) = len {
        bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
    }
    (recorder.listener)(Told::Synced(name, bytes.len() as u64));
    let mut durable = recorder
        .durable
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    durable.insert(name.to_owned(), bytes);
}

/// A file is gone, durably.
pub(crate) fn removed(path: &Path) {
    if let Some(recorder) = recorder(path)
        && let Ok(name) = path.strip_prefix(&recorder.dir)
    {
        let mut durable = recorder
            .durable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        durable.remove(name);
    }
}
