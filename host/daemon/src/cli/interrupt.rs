//! What a command removes when it is interrupted: a copy of the store that it reads, a file that is not whole.
//!
//! A command that is told to stop (Ctrl-C, a job that is cancelled) ends at once, without its destructors. What it
//! has laid down as large as a store must not stay because of that. So a thread waits for the signal, removes what
//! is registered, and ends the process as the signal would have.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};
use tokio::signal::unix::{SignalKind, signal};

/// Signals belong to the process, and so does this.
static DOOMED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
static WAITER: Once = Once::new();

/// A file or directory that goes when this is dropped, or when the command is interrupted.
#[derive(Debug)]
pub(super) struct Temporary(PathBuf);

impl Temporary {
    /// Registers one, whether it is there yet or not.
    pub(super) fn new(path: PathBuf) -> Self {
        WAITER.call_once(|| {
            // Without the thread an interrupted command leaves behind what the next one, or the daemon, removes.
            let _ = std::thread::Builder::new()
                .name("interrupt".into())
                .spawn(wait);
        });
        doomed(|all| all.insert(path.clone()));
        Self(path)
    }

    /// It is what was asked for, and stays.
    pub(super) fn keep(self) {
        doomed(|all| all.remove(&self.0));
        std::mem::forget(self);
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        doomed(|all| all.remove(&self.0));
        if let Err(error) = remove(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            eprintln!(
                "tidegate: {} could not be removed: {error}",
                self.0.display()
            );
        }
    }
}

fn doomed(change: impl FnOnce(&mut BTreeSet<PathBuf>) -> bool) {
    change(&mut DOOMED.lock().unwrap_or_else(PoisonError::into_inner));
}

fn remove(path: &Path) -> std::io::Result<()> {
    match path.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    }
}

fn wait() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return };
    let code = runtime.block_on(async {
        let (mut interrupt, mut end) = (
            signal(SignalKind::interrupt()).ok()?,
            signal(SignalKind::terminate()).ok()?,
        );
        tokio::select! {
            _ = interrupt.recv() => Some(130),
            _ = end.recv() => Some(143),
        }
    });
    let Some(code) = code else { return };
    let all = std::mem::take(&mut *DOOMED.lock().unwrap_or_else(PoisonError::into_inner));
    for path in all {
        // It ends now in any case.
        let _ = remove(&path);
    }
    std::process::exit(code);
}
