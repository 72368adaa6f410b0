//! What can still be read of a damaged store, in a new one; and by name what is lost.
//!
//! Repairing in place was rejected: it would write to a file of which nobody knows how far it can be trusted, and
//! take from whoever knows better what they could have tried next. So the damaged store is only read. The new one
//! is made whole: whatever it names is there, so that it opens, passes a check, and a daemon goes on with it. That
//! costs a little more than what is damaged: a ledger begins after its last gap (PL1), a page that names a block
//! that is gone names it no more. All of that is told as lost, by whom it was of and from when to when, since
//! nothing of it will ever be missed aloud again.
//!
//! Kind after kind is read, in the order in which one needs the other: pages of groups before blocks, records
//! before anchors (`samples`, `plans`, `rest`).

mod plans;
mod rest;
mod samples;

use crate::codec::{Malformed, Reader, frame, unframe};
use crate::database::LARGE_SEGMENT;
use crate::disk::{Disk, io};
use crate::keys::{self, Kind, PREFIX, VERSION};
use crate::migrate;
use crate::opening::{self, DATABASE};
use crate::parts::{self, in_parts};
use crate::store::Store;
use crate::swap::Incoming;
use std::path::Path;
use tidegate_core::ports::storage::StoreError;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;

/// Something that could not be brought along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The kind of value, as [`crate::KindStat`] calls it.
    pub kind: String,
    /// What it was of, for a person.
    pub of: String,
    /// Series of which something is lost, as far as that is known.
    pub series: Vec<SeriesKey>,
    /// From when on and before when, as far as that is known.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Samples, as far as they were counted.
    pub samples: u64,
    /// Why.
    pub cause: String,
}

impl Loss {
    fn new(kind: Kind, of: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            kind: keys::kind_name(kind as u8),
            of: of.into(),
            series: vec![],
            span: None,
            samples: 0,
            cause: cause.into(),
        }
    }

    fn between(mut self, from: i64, to: i64) -> Self {
        self.span = Some((Timestamp(from), Timestamp(to)));
        self
    }
}

/// What a salvage came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Salvaged {
    /// Values that the new store has.
    pub values: u64,
    /// Their bytes, with their keys.
    pub bytes: u64,
    /// What it has not.
    pub losses: Vec<Loss>,
}

impl Store {
    /// Copies everything that can be read of the store in `dir`, which nobody may have open, into a new store in
    /// `to`. The old one is left as it is. `tell` hears how many bytes were read so far.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where there is something in `to` or no store in `dir`, [`StoreError::Version`] where
    /// it is of a layout that this code does not know, [`StoreError::Damaged`] where sled itself reads nothing of
    /// it, and when the new one cannot be written; nothing is left of that then.
    pub fn salvage(
        dir: &Path,
        to: &Path,
        tell: &mut dyn FnMut(u64),
    ) -> Result<Salvaged, StoreError> {
        let refused = |why: &str| StoreError::Refused {
            what: format!("to salvage {} to {}", dir.display(), to.display()),
            why: why.into(),
        };
        if !dir.join(DATABASE).is_dir() {
            return Err(refused(
                "there is no store; name the directory of a damaged one",
            ));
        }
        if to.read_dir().is_ok_and(|mut there| there.next().is_some()) {
            return Err(refused(
                "there is something in the second; name a new directory",
            ));
        }
        let was_there = to.exists();
        let done = salvage(dir, to, tell);
        if done.is_err() && !was_there {
            // Why it was not made says more than why it could not be removed.
            let _ = std::fs::remove_dir_all(to);
        }
        done
    }
}

fn salvage(dir: &Path, to: &Path, tell: &mut dyn FnMut(u64)) -> Result<Salvaged, StoreError> {
    let mut losses = vec![];
    let old = open(dir, &mut losses)?;
    std::fs::create_dir_all(to).map_err(|e| io("create a directory for what is salvaged", &e))?;
    let lock = opening::lock(to)?;
    let again = lock
        .try_clone()
        .map_err(|e| io("share its lock file", &e))?;
    let mut salvage = Salvage {
        old,
        new: Incoming::create(to, again, LARGE_SEGMENT)?,
        losses,
        read: 0,
        tell,
    };
    salvage.put(keys::LAYOUT, &keys::LAYOUT_VERSION.to_be_bytes())?;
    salvage.samples()?;
    salvage.plans()?;
    salvage.rest()?;
    salvage.foreign()?;
    let Salvage {
        new, mut losses, ..
    } = salvage;
    let whole = new.finish(to)?;
    let tally = whole.tally;
    whole.put_in_place(to)?;
    drop(lock);
    // Whatever this code has not thought of is not to be found by the next start.
    for problem in Store::examine(to, &mut |_| {})?.problems {
        losses.push(Loss {
            kind: "salvaged".into(),
            of: problem.key,
            series: vec![],
            span: None,
            samples: 0,
            cause: format!(
                "it is not as it should be in the new store either: {}",
                problem.cause
            ),
        });
    }
    Ok(Salvaged {
        values: tally.values,
        bytes: tally.bytes,
        losses,
    })
}

/// Opens what is damaged, for reading alone; a layout that cannot be read is taken for this one, since every key says it
/// again.
fn open(dir: &Path, losses: &mut Vec<Loss>) -> Result<Disk, StoreError> {
    let (disk, lost) = opening::damaged(dir)?;
    let mut lose = |kind: String, of: String, cause: String| {
        losses.push(Loss {
            kind,
            of,
            series: vec![],
            span: None,
            samples: 0,
            cause,
        });
    };
    match migrate::layout(&disk.main.db) {
        Ok(Some(found)) if found > keys::LAYOUT_VERSION => {
            let known = keys::LAYOUT_VERSION;
            return Err(StoreError::Version { found, known });
        }
        Err(StoreError::Damaged { cause, .. }) => {
            let of = "the number of the layout, which was made anew";
            lose(keys::kind_name(u8::MAX), of.into(), cause);
        }
        other => drop(other?),
    }
    for (place, cause) in lost {
        lose("log".into(), place, cause.into());
    }
    Ok(disk)
}

/// A salvage under way.
struct Salvage<'a> {
    old: Disk,
    new: Incoming,
    losses: Vec<Loss>,
    read: u64,
    tell: &'a mut dyn FnMut(u64),
}

/// A value with its key.
type Value = (Vec<u8>, Vec<u8>);

/// A large value, by its parts as they are framed, and as a whole; or the first thing that is wrong with it.
struct Large {
    base: Vec<u8>,
    parts: Vec<Value>,
    bytes: Result<Vec<u8>, Malformed>,
}

impl Large {
    fn of(base: Vec<u8>, parts: Vec<Value>) -> Self {
        let join = || {
            let mut bytes = vec![];
            for (n, (key, framed)) in parts.iter().enumerate() {
                if *key != parts::part_key(&base, n) {
                    return Err(Malformed("a part of it is missing"));
                }
                let mut reader = Reader::new(unframe(key, framed)?);
                let left = reader.uint()?;
                bytes.extend_from_slice(reader.take(reader.remaining())?);
                match (left as usize, parts.len() - n - 1) {
                    (left, here) if left > here => {
                        return Err(Malformed("a part of it is missing"));
                    }
                    (left, here) if left < here => {
                        return Err(Malformed("its parts do not follow each other"));
                    }
                    _ => {}
                }
            }
            Ok(bytes)
        };
        let bytes = join();
        Self { base, parts, bytes }
    }
}

impl Salvage<'_> {
    /// Puts a value of this code's own making.
    fn put(&mut self, key: &[u8], payload: &[u8]) -> Result<(), StoreError> {
        self.new.put(key.to_vec(), &frame(key, payload))
    }

    /// The same, in parts.
    fn put_large(&mut self, base: &[u8], bytes: &[u8]) -> Result<(), StoreError> {
        for (key, payload) in in_parts(base, bytes)? {
            self.put(&key, &payload)?;
        }
        Ok(())
    }

    fn copy(&mut self, parts: Vec<Value>) -> Result<(), StoreError> {
        for (key, framed) in parts {
            self.new.put(key, &framed)?;
        }
        Ok(())
    }

    /// Calls `each` with every value of a kind. Where sled cannot read on, what follows of that kind is lost.
    fn each(
        &mut self,
        kind: Kind,
        mut each: impl FnMut(&mut Self, Value) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut last = None;
        for item in self.old.scan_raw(&kind.prefix()) {
            match item {
                Ok((key, value)) => {
                    self.read += (key.len() + value.len()) as u64;
                    (self.tell)(self.read);
                    last = Some(key.to_vec());
                    each(self, (key.to_vec(), value.to_vec()))?;
                }
                Err(error) => {
                    let of = match &last {
                        Some(key) => format!("everything of this kind after {}", keys::show(key)),
                        None => "everything of this kind".into(),
                    };
                    self.losses.push(Loss::new(kind, of, error.to_string()));
                    break;
                }
            }
        }
        Ok(())
    }

    /// Calls `each` with every large value of a kind.
    fn each_large(
        &mut self,
        kind: Kind,
        mut each: impl FnMut(&mut Self, Large) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut base: Vec<u8> = vec![];
        let mut parts: Vec<Value> = vec![];
        self.each(kind, |s, (key, value)| {
            let of = &key[..key.len().saturating_sub(2).max(PREFIX)];
            if of != base {
                let (base, parts) = (
                    std::mem::replace(&mut base, of.to_vec()),
                    std::mem::take(&mut parts),
                );
                if !parts.is_empty() {
                    each(s, Large::of(base, parts))?;
                }
            }
            parts.push((key, value));
            Ok(())
        })?;
        match parts.is_empty() {
            true => Ok(()),
            false => each(self, Large::of(base, parts)),
        }
    }

    /// Names what has a key that this code does not know: it would not be missed otherwise.
    fn foreign(&mut self) -> Result<(), StoreError> {
        let (mut first, last) = (true, [VERSION, 0, 0, u8::MAX].to_vec());
        let mut unknown: Vec<Vec<u8>> = vec![];
        let mut probe = |disk: &Disk, prefix: &[u8]| -> Result<(), StoreError> {
            if let Some(item) = disk.scan_raw(prefix).next() {
                unknown.push(item?.0.to_vec());
            }
            Ok(())
        };
        for kind in 0..=u8::MAX {
            let prefix = [VERSION, 0, 0, kind];
            if Kind::of(&prefix).is_none() {
                probe(&self.old, &prefix)?;
            }
            // Other versions and shards.
            if kind != VERSION && kind != 0 {
                probe(&self.old, &[kind])?;
            }
        }
        for item in self.old.scan_raw(&[0]) {
            let (key, _) = item?;
            if key != keys::LAYOUT && std::mem::take(&mut first) {
                unknown.push(key.to_vec());
            }
        }
        if let Some(item) = self.old.scan_after(Some(&last)).next() {
            let (key, _) = item?;
            if key.first() == Some(&VERSION) && Kind::of(&key).is_none() {
                unknown.push(key.to_vec());
            }
        }
        for key in unknown {
            self.losses.push(Loss {
                kind: keys::kind_name(key.get(3).copied().unwrap_or(0)),
                of: format!(
                    "everything from {} on, up to the next kind",
                    keys::show(&key)
                ),
                series: vec![],
                span: None,
                samples: 0,
                cause: "the key is foreign; a newer version may know it".into(),
            });
        }
        Ok(())
    }
}
