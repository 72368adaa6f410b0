//! Opening a log: which frames count, what is cut off, and what is damage.
//!
//! | found | in the last segment | in an earlier one |
//! | --- | --- | --- |
//! | a broken frame that no later frame calls synced | cut off with what follows | damage |
//! | a broken frame that a later one calls synced | damage | damage |
//! | no header, or half of one | the segment was being made: it is made again | damage |
//! | a number that is missing between two | damage | damage |
//!
//! Damage is an error, or with [`crate::Options::recover`] counted and left out; what is left is then written to
//! segments of its own, so that the next opening finds a log without damage.
//!
//! Where values are named ([`Life::Named`]) numbers may be missing, damage is told and passed over in any case, and
//! only what no whole frame follows is cut off: whoever asks for what is lost is told by its name, and the rest can be
//! read. The segment stays until somebody opens the log with [`Damage::LeftOut`] and lets go of what is in it.

use super::frame::Frame;
use super::{Inner, Life, Log, Segment, failed, index};
use crate::keys::Kind;
use crate::swap::sync_directory;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use tidegate_core::ports::storage::StoreError;

/// What every segment begins with.
const HEADER: &[u8] = b"tidegate log 1\n";
const SUFFIX: &str = ".log";

/// The file of a segment.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}{SUFFIX}"))
}

/// Makes an empty segment, durably.
pub(super) fn create(dir: &Path, number: u64) -> Result<Segment, StoreError> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path(dir, number))
        .map_err(failed("begin a segment of its log"))?;
    file.write_all_at(HEADER, 0)
        .and_then(|()| file.sync_all())
        .map_err(failed("begin a segment of its log"))?;
    sync_directory(dir)?;
    #[cfg(test)]
    crate::crash::synced(&path(dir, number), None);
    Ok(Segment::new(file, HEADER.len() as u64))
}

/// Removes a segment, durably: were a later one gone and this one there after a power cut, it would look like
/// damage.
pub(super) fn remove(dir: &Path, number: u64) -> Result<(), StoreError> {
    std::fs::remove_file(path(dir, number)).map_err(failed("remove a segment of its log"))?;
    #[cfg(test)]
    crate::crash::removed(&path(dir, number));
    sync_directory(dir)
}

/// A log that was opened.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) log: Arc<Log>,
    /// Damaged places that were left out, and what is wrong with each.
    pub(crate) lost: Vec<(String, &'static str)>,
}

/// What is done about damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// It is an error.
    Refused,
    /// It is told and left out, for good.
    LeftOut,
    /// It is told and left out, and the files stay as they are; nothing may be written then.
    Shown,
}

/// A walk through the segments.
struct Walk<'a> {
    dir: &'a Path,
    life: Life,
    damage: Damage,
    inner: Inner,
    lost: Vec<(String, &'static str)>,
}

impl Log {
    /// Opens or creates the log of a kind in `dir`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with segment and byte, [`StoreError::Io`] when the files cannot be used.
    pub(crate) fn open(
        dir: &Path,
        kind: Kind,
        life: Life,
        damage: Damage,
    ) -> Result<Opening, StoreError> {
        std::fs::create_dir_all(dir).map_err(failed("create the directory of its log"))?;
        let numbers = numbers(dir)?;
        let mut walk = Walk {
            dir,
            life,
            damage,
            inner: Inner {
                places: BTreeMap::new(),
                segments: BTreeMap::new(),
                index: vec![],
                written: 0,
                synced: HEADER.len() as u64,
            },
            lost: vec![],
        };
        for (i, number) in numbers.iter().enumerate() {
            if life == Life::InOrder && i > 0 && numbers[i - 1] + 1 != *number {
                walk.damaged(number - 1, 0, "the segment is missing")?;
            }
            walk.segment(*number, i + 1 == numbers.len())?;
        }
        let Walk { inner, lost, .. } = walk;
        let log = Log {
            dir: dir.to_owned(),
            kind,
            life,
            inner: RwLock::new(inner),
            tail: Mutex::new(()),
            moving: Mutex::default(),
            synced: Mutex::new(0),
        };
        if damage != Damage::Shown {
            match life {
                Life::InOrder => log.begin(!lost.is_empty())?,
                Life::Named => log.go_on()?,
            }
        }
        Ok(Opening {
            log: Arc::new(log),
            lost,
        })
    }

    /// Sees to a segment that takes what comes.
    fn go_on(&self) -> Result<(), StoreError> {
        let is_open = {
            let inner = crate::shared::reading(&self.inner);
            let last = inner.segments.values().next_back();
            last.is_some_and(|last| !last.is_ended)
        };
        if is_open { Ok(()) } else { self.next() }
    }

    /// The same, after damage with segments without any.
    fn begin(&self, anew: bool) -> Result<(), StoreError> {
        let mut ops = vec![];
        let old: Vec<u64> = {
            let inner = crate::shared::reading(&self.inner);
            for (key, place) in inner.places.iter().filter(|_| anew) {
                ops.push((key.clone(), Some(inner.read(*place)?)));
            }
            inner.segments.keys().copied().collect()
        };
        if !anew && !old.is_empty() {
            return self.let_go();
        }
        self.next()?;
        ops.chunks(1).try_for_each(|op| self.put(op))?;
        self.sync()?;
        for number in old {
            remove(&self.dir, number)?;
            crate::shared::writing(&self.inner).segments.remove(&number);
        }
        Ok(())
    }
}

/// Numbers of the segments that are there, ascending.
fn numbers(dir: &Path) -> Result<Vec<u64>, StoreError> {
    let mut numbers = vec![];
    for entry in std::fs::read_dir(dir).map_err(failed("list the segments of its log"))? {
        let name = entry
            .map_err(failed("list the segments of its log"))?
            .file_name();
        let number = name
            .to_str()
            .and_then(|n| n.strip_suffix(SUFFIX)?.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

impl Walk<'_> {
    fn damaged(&mut self, number: u64, at: u64, cause: &'static str) -> Result<(), StoreError> {
        let name = self.dir.file_name().unwrap_or_default().to_string_lossy();
        let key = format!("log:{name}/{number} byte {at}");
        if self.damage == Damage::Refused && self.life == Life::InOrder {
            return Err(StoreError::Damaged {
                key,
                cause: cause.into(),
            });
        }
        tracing::error!(place = key, cause, "a part of a log is lost");
        if self.damage != Damage::LeftOut
            && let Some(segment) = self.inner.segments.get_mut(&number)
        {
            segment.is_stuck = true;
        }
        self.lost.push((key, cause));
        Ok(())
    }

    fn segment(&mut self, number: u64, is_last: bool) -> Result<(), StoreError> {
        let path = path(self.dir, number);
        let file = File::options().read(true).write(true).open(&path);
        let mut file = file.map_err(failed("open a segment of its log"))?;
        if self.life == Life::Named && self.indexed(number, &file)? {
            return Ok(());
        }
        let mut bytes = vec![];
        file.read_to_end(&mut bytes)
            .map_err(failed("read a segment of its log"))?;
        let is_begun = is_last && bytes.len() < HEADER.len() && HEADER.starts_with(&bytes);
        if is_begun && self.damage == Damage::Shown {
            return Ok(());
        }
        if is_begun {
            let segment = create(self.dir, number)?;
            self.inner.synced = segment.len;
            self.inner.segments.insert(number, segment);
            return Ok(());
        }
        let mut segment = Segment::new(file, bytes.len() as u64);
        segment.is_ended = self.life == Life::Named && !is_last;
        self.inner.segments.insert(number, segment);
        if !bytes.starts_with(HEADER) {
            self.damaged(number, 0, "it is no log that this version knows")?;
            if let Some(segment) = self.inner.segments.get_mut(&number)
                && self.life == Life::Named
            {
                // Whatever it is, nothing is written to it or cut off.
                segment.is_ended = true;
                return Ok(());
            }
        }
        let mut at = HEADER.len().min(bytes.len());
        while at < bytes.len() {
            if let Some(frame) = Frame::read(&bytes[at..]) {
                match frame.ops(at as u64) {
                    Ok(ops) => {
                        if self.life == Life::Named && is_last {
                            let values = ops.iter();
                            let values = values.filter_map(|(key, v)| Some((key.to_vec(), (*v)?)));
                            let entries = values.map(|(key, (at, len))| (key, at, len));
                            self.inner.index.extend(entries);
                        }
                        self.inner.apply(number, ops.into_iter());
                    }
                    Err(cause) => self.damaged(number, at as u64, cause.0)?,
                }
                at += frame.len;
                continue;
            }
            let is_named = self.life == Life::Named;
            // What follows of named values is there, whatever is known of it: pages tell whether one is missed.
            let next = next_whole(&bytes, at, is_last && !is_named);
            if next.is_none() && is_last {
                self.cut(number, at as u64, bytes.len())?;
                bytes.truncate(at);
                break;
            }
            if next.is_none() && is_named && index::is_there(&bytes) {
                tracing::warn!(
                    segment = number,
                    "the index of a segment is damaged; its values are not"
                );
                break;
            }
            self.damaged(number, at as u64, "a checksum does not match")?;
            at = next.unwrap_or(bytes.len());
        }
        self.settled(number, bytes.len() as u64)
    }

    /// What was read is taken for durable from here on; the disk may not have it yet.
    fn settled(&mut self, number: u64, bytes: u64) -> Result<(), StoreError> {
        let segment = &self.inner.segments[&number];
        segment.file.sync_all().map_err(failed("sync its log"))?;
        #[cfg(test)]
        crate::crash::synced(&path(self.dir, number), None);
        self.inner.synced = bytes;
        Ok(())
    }

    /// Takes a segment by its index; whether it has one.
    fn indexed(&mut self, number: u64, file: &File) -> Result<bool, StoreError> {
        let length = file.metadata().map(|about| about.len());
        let read = length.and_then(|length| Ok((length, index::read(file, length)?)));
        let (length, entries) = read.map_err(failed("read a segment of its log"))?;
        let Some(entries) = entries else {
            return Ok(false);
        };
        let file = file
            .try_clone()
            .map_err(failed("open a segment of its log"))?;
        let mut segment = Segment::new(file, length);
        segment.is_ended = true;
        self.inner.segments.insert(number, segment);
        let values = entries
            .iter()
            .map(|(key, at, len)| (key.as_slice(), Some((*at, *len))));
        self.inner.apply(number, values);
        self.settled(number, length)?;
        Ok(true)
    }

    /// Cuts off what no sync has covered.
    fn cut(&mut self, number: u64, at: u64, len: usize) -> Result<(), StoreError> {
        tracing::warn!(
            segment = number,
            bytes = len as u64 - at,
            "a log ends in what was never acknowledged: it is cut off"
        );
        let Some(segment) = self.inner.segments.get_mut(&number) else {
            return Ok(());
        };
        segment.len = at;
        if self.damage == Damage::Shown {
            return Ok(());
        }
        match segment.file.set_len(at) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(failed("cut its log")(e)),
            _ => Ok(()),
        }
    }
}

/// Where reading goes on after a broken frame at `at`; `None` where nothing says that it was synced.
fn next_whole(bytes: &[u8], at: usize, is_last: bool) -> Option<usize> {
    let (next, frame) = Frame::find(bytes, at + 1)?;
    let mut found = (next, frame);
    loop {
        let (place, frame) = found;
        if !is_last || frame.synced > at as u64 {
            return Some(next);
        }
        let after = place + frame.len;
        found = Frame::find(bytes, after)?;
    }
}
