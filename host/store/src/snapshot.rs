//! The whole store as it is at one instant, read while it goes on.
//!
//! Values are handed over in the order of their keys. A write that comes meanwhile is looked at before it is
//! made: what it is about to replace or remove, and was not handed over yet, is handed over first, and what it
//! adds is passed by. So the order of what is handed over means nothing, all of it is of the instant at which
//! the snapshot began, and nothing has to be known of what a key means: a kind that is added tomorrow is in it.
//! It is what a power cut at that instant would have left, with everything that was acknowledged until then.
//!
//! The alternative, to note bounds of what grows and to copy what changes at once, as copies for replays do
//! (`copy`), needs a rule for every kind and memory for everything that changes: fitted models of many series
//! are hundreds of megabytes. Here a writer waits for one piece of [`PIECE`] bytes at most, and memory holds the
//! keys alone that were written meanwhile.

use crate::codec::unframe;
use crate::disk::Disk;
use crate::shared::{locked, writing};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use tidegate_core::ports::storage::StoreError;

/// Bytes that are read while writers wait.
const PIECE: usize = if cfg!(test) { 1 << 10 } else { 512 << 10 };

/// Where a snapshot goes: keys with their framed values, each once, in any order.
pub(crate) trait Sink: Send {
    /// Takes one.
    fn take(&mut self, key: &[u8], framed: &[u8]) -> Result<(), StoreError>;
}

/// One that somebody else looks at afterwards.
impl<T: Sink> Sink for Arc<Mutex<T>> {
    fn take(&mut self, key: &[u8], framed: &[u8]) -> Result<(), StoreError> {
        locked(self).take(key, framed)
    }
}

/// A snapshot that is being taken.
pub(crate) struct Watch {
    /// Keys up to this one were handed over.
    through: Option<Vec<u8>>,
    /// Keys beyond it that must not be: what stood there was handed over, or nothing stood there.
    done: BTreeSet<Vec<u8>>,
    sink: Box<dyn Sink>,
    /// Why it cannot be whole any more.
    failed: Option<StoreError>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("through", &self.through)
            .field("done", &self.done.len())
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// Looks at keys that are about to be written. A failure is the snapshot's, not the writer's.
    pub(crate) fn before<'a>(&mut self, disk: &Disk, keys: impl Iterator<Item = &'a [u8]>) {
        for key in keys {
            let is_past = self
                .through
                .as_deref()
                .is_some_and(|through| key <= through);
            if is_past || self.failed.is_some() || self.done.contains(key) {
                continue;
            }
            let handed = disk.raw(key).and_then(|there| match there {
                Some(value) => self.hand(key, &value),
                None => Ok(()),
            });
            if let Err(error) = handed {
                self.failed = Some(error);
            }
            self.done.insert(key.to_vec());
        }
    }

    fn hand(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        // What is damaged must not pass for a copy of what was there.
        unframe(key, value).map_err(|e| e.at(key))?;
        self.sink.take(key, value)
    }

    /// Hands over the next piece; `false` when that was the last.
    fn piece(&mut self, disk: &Disk) -> Result<bool, StoreError> {
        let mut taken = 0;
        for item in disk.scan_after(self.through.as_deref()) {
            let (key, value) = item?;
            if !self.done.remove(&key[..]) {
                self.hand(&key, &value)?;
            }
            taken += key.len() + value.len();
            self.through = Some(key.to_vec());
            if taken >= PIECE {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A watch that is taken by turns.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Passed by whoever wants it, so that who has just read a piece does not read the next one before those who
    /// have waited meanwhile.
    turnstile: Mutex<()>,
    watch: Mutex<Watch>,
}

impl Watched {
    pub(crate) fn enter(&self) -> MutexGuard<'_, Watch> {
        let _next = locked(&self.turnstile);
        locked(&self.watch)
    }
}

/// Ends a snapshot however it ends.
struct Watching<'a>(&'a Disk);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        *writing(&self.0.watch) = None;
    }
}

impl Disk {
    /// Hands everything over as it is now; `tell` hears how many bytes were read so far.
    ///
    /// # Errors
    /// [`StoreError::Refused`] while another snapshot is being taken, [`StoreError::Damaged`] where a value is,
    /// and what the sink says.
    pub(crate) fn snapshot(
        &self,
        sink: Box<dyn Sink>,
        tell: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let watch = Arc::new(Watched {
            turnstile: Mutex::default(),
            watch: Mutex::new(Watch {
                through: None,
                done: BTreeSet::new(),
                sink,
                failed: None,
            }),
        });
        {
            let mut slot = writing(&self.watch);
            if slot.is_some() {
                return Err(StoreError::Refused {
                    what: "a backup".into(),
                    why: "another one is being made; wait for its end".into(),
                });
            }
            *slot = Some(watch.clone());
        }
        let watching = Watching(self);
        let mut pieces = 0;
        loop {
            let mut watch = watch.enter();
            if let Some(error) = watch.failed.take() {
                return Err(error);
            }
            if !watch.piece(self)? {
                break;
            }
            drop(watch);
            pieces += 1;
            tell(pieces * PIECE as u64);
        }
        drop(watching);
        // Closing the slot has waited for every writer that still looked.
        let failed = watch.enter().failed.take();
        failed.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Batch;
    use crate::keys;
    use crate::options::Options;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Duration;
    use tidegate_core::ids::Digest;

    /// A disk that is slow, and how many values it has taken.
    struct Slow(Arc<AtomicU64>);

    impl Sink for Slow {
        fn take(&mut self, _: &[u8], _: &[u8]) -> Result<(), StoreError> {
            std::thread::sleep(Duration::from_millis(1));
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }

    #[test]
    fn a_writer_waits_for_a_piece_and_not_for_the_snapshot() {
        let home = tempfile::tempdir().unwrap();
        let disk = Disk::open(home.path(), &Options::default()).unwrap().disk;
        let put = |n: u32| {
            let mut batch = Batch::default();
            let digest = Digest::of(&n.to_le_bytes());
            batch.put(keys::digest(keys::Kind::Kept, &digest), &[7; 600]);
            disk.write(batch).unwrap();
        };
        (0..400).for_each(put);
        let (taken, ended) = (Arc::new(AtomicU64::new(0)), AtomicBool::new(false));
        let slow = Slow(taken.clone());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                disk.snapshot(Box::new(slow), &mut |_| {}).unwrap();
                ended.store(true, Ordering::SeqCst);
            });
            while taken.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            let mut waits = vec![];
            while waits.len() < 50 && !ended.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(3));
                let before = taken.load(Ordering::SeqCst);
                put(1000 + waits.len() as u32);
                waits.push(taken.load(Ordering::SeqCst) - before);
            }
            waits.sort_unstable();
            // But for a few: a thread may be given no processor for a while.
            let most = waits[waits.len() * 9 / 10];
            assert!(waits.len() == 50 && most <= 3, "{waits:?}");
        });
    }
}
