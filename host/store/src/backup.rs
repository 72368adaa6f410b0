//! A backup: one file with everything that a store holds, as it is at one instant.
//!
//! One file and no directory: it is written from front to back and renamed when it is whole, it can be moved,
//! encrypted and kept by whatever keeps files, and it does not depend on how sled lays out its own. A copy of
//! sled's directory was rejected: taken from a running daemon it may not open, and it carries the room of what
//! was removed.
//!
//! ```text
//! "tidegate backup 1\n"
//! (key length, key, value length, value with its checksum)*     lengths as LEB128, no key is empty
//! 0
//! layout, values, bytes, number of kinds, (kind, values, bytes)*     the manifest, LEB128
//! place of the 0, CRC-32 of the manifest, CRC-32 of all before it, "tgbe"     8 + 4 + 4 + 4 bytes, low first
//! ```
//!
//! What was cut off has no end; what was altered fails a value's checksum or the file's, or holds other counts
//! than its manifest says. All of it is checked before a restored database takes its place.

use crate::codec::{Reader, put_bytes, put_uint, unframe};
use crate::database::LARGE_SEGMENT;
use crate::disk::{Disk, io};
use crate::keys::{self, Kind};
use crate::migrate;
use crate::opening::{self, DATABASE};
use crate::options::Options;
use crate::shared::locked;
use crate::snapshot::Sink;
use crate::space::Beside;
use crate::store::Store;
use crate::swap::{self, Incoming};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tidegate_core::ports::storage::StoreError;

const MAGIC: &[u8] = b"tidegate backup 1\n";
const END: &[u8] = b"tgbe";
/// Bytes after the manifest.
const FOOTER: u64 = 20;
/// Bytes of the longest key and value that a file may claim; sled's values are a tenth of it.
const LONGEST: u64 = 1 << 20;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// The layout of its values.
    pub layout: u32,
    /// Values.
    pub values: u64,
    /// Their bytes, with their keys.
    pub bytes: u64,
    /// Both by kind; what a kind is called, see [`crate::KindStat`].
    pub kinds: BTreeMap<String, (u64, u64)>,
}

/// By the byte of the kind; 255 for what belongs to none.
type Counts = BTreeMap<u8, (u64, u64)>;

fn kind(key: &[u8]) -> u8 {
    Kind::of(key).map_or(u8::MAX, |kind| kind as u8)
}

impl Manifest {
    fn of(layout: u32, counts: &Counts) -> Self {
        let named = |(kind, counts): (&u8, &(u64, u64))| (keys::kind_name(*kind), *counts);
        Self {
            layout,
            values: counts.values().map(|(values, _)| values).sum(),
            bytes: counts.values().map(|(_, bytes)| bytes).sum(),
            kinds: counts.iter().map(named).collect(),
        }
    }
}

/// A file on its way; everything that goes through it is in its checksum.
struct Writing {
    to: BufWriter<File>,
    at: u64,
    sum: crc32fast::Hasher,
    counts: Counts,
    room: Beside,
}

impl Writing {
    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.room.take(bytes.len())?;
        self.sum.update(bytes);
        self.at += bytes.len() as u64;
        self.to
            .write_all(bytes)
            .map_err(|e| io("write a backup", &e))
    }

    /// Writes the end, and syncs.
    fn end(mut self, layout: u32) -> Result<Manifest, StoreError> {
        let place = self.at;
        let mut bytes = vec![];
        put_uint(&mut bytes, 0);
        let manifest = Manifest::of(layout, &self.counts);
        put_uint(&mut bytes, u64::from(layout));
        put_uint(&mut bytes, manifest.values);
        put_uint(&mut bytes, manifest.bytes);
        put_uint(&mut bytes, self.counts.len() as u64);
        for (kind, (values, size)) in &self.counts {
            bytes.push(*kind);
            put_uint(&mut bytes, *values);
            put_uint(&mut bytes, *size);
        }
        let sum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&place.to_le_bytes());
        bytes.extend_from_slice(&sum.to_le_bytes());
        self.put(&bytes)?;
        let sum = self.sum.clone().finalize();
        self.put(&sum.to_le_bytes())?;
        self.put(END)?;
        let file = self.to.into_inner();
        file.map_err(|e| e.into_error())
            .and_then(|file| file.sync_all())
            .map_err(|e| io("sync a backup", &e))?;
        Ok(manifest)
    }
}

impl Sink for Writing {
    fn take(&mut self, key: &[u8], framed: &[u8]) -> Result<(), StoreError> {
        let mut head = Vec::with_capacity(key.len() + 8);
        put_bytes(&mut head, key);
        put_uint(&mut head, framed.len() as u64);
        self.put(&head)?;
        self.put(framed)?;
        let (values, bytes) = self.counts.entry(kind(key)).or_default();
        *values += 1;
        *bytes += (key.len() + framed.len()) as u64;
        Ok(())
    }
}

impl Disk {
    /// Writes a backup to `to`; what there is of it when that fails is removed.
    pub(crate) fn backup(
        &self,
        to: &Path,
        tell: &mut dyn FnMut(u64),
    ) -> Result<Manifest, StoreError> {
        let taken = |why: &str| StoreError::Refused {
            what: format!("a backup to {}", to.display()),
            why: why.into(),
        };
        if to.exists() {
            return Err(taken("there is something; name a new file"));
        }
        let (Some(folder), Some(name)) = (to.parent(), to.file_name()) else {
            return Err(taken("it names no file"));
        };
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        std::fs::create_dir_all(folder).map_err(|e| io("create a backup's directory", &e))?;
        let mut partial = name.to_owned();
        partial.push(".partial");
        let partial = folder.join(partial);
        let written = self.backup_in(&partial, tell).and_then(|manifest| {
            std::fs::rename(&partial, to).map_err(|e| io("name a backup", &e))?;
            swap::sync_directory(folder)?;
            Ok(manifest)
        });
        if written.is_err() {
            // It is not whole; that it could not be removed says less than why it is not.
            let _ = std::fs::remove_file(&partial);
        }
        written
    }

    fn backup_in(&self, partial: &Path, tell: &mut dyn FnMut(u64)) -> Result<Manifest, StoreError> {
        let layout = migrate::layout(&self.main.db)?.unwrap_or(keys::LAYOUT_VERSION);
        let file = File::create(partial).map_err(|e| io("create a backup", &e))?;
        let mut writing = Writing {
            to: BufWriter::with_capacity(1 << 20, file),
            at: 0,
            sum: crc32fast::Hasher::new(),
            counts: Counts::new(),
            room: Beside::new(partial, &self.same_lock()?),
        };
        writing.put(MAGIC)?;
        let writing = Arc::new(Mutex::new(Some(writing)));
        self.snapshot(Box::new(Shared(writing.clone())), tell)?;
        let writing = locked(&writing).take();
        let gone = || io("end a backup", &"it was ended before");
        writing.ok_or_else(gone)?.end(layout)
    }
}

/// A backup that is looked at again when the snapshot is over.
struct Shared(Arc<Mutex<Option<Writing>>>);

impl Sink for Shared {
    fn take(&mut self, key: &[u8], framed: &[u8]) -> Result<(), StoreError> {
        match locked(&self.0).as_mut() {
            Some(writing) => writing.take(key, framed),
            None => Ok(()),
        }
    }
}

impl Store {
    /// Writes everything that the store holds to a new file, as it is at this instant. Readers and writers go on;
    /// `tell` hears how many bytes were read so far.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where there is something at `to` or another backup is under way,
    /// [`StoreError::Damaged`] where a value is, or what writing says; nothing is left of it then.
    pub fn backup(&self, to: &Path, tell: &mut dyn FnMut(u64)) -> Result<Manifest, StoreError> {
        self.shared.disk.backup(to, tell)
    }

    /// The same of a store that nobody has open.
    ///
    /// # Errors
    /// Likewise, and when it cannot be opened.
    pub fn backup_of(
        dir: &Path,
        to: &Path,
        tell: &mut dyn FnMut(u64),
    ) -> Result<Manifest, StoreError> {
        let disk = Disk::open(dir, &Options::default())?.disk;
        disk.backup(to, tell)
    }

    /// Reads a backup to its end and checks all of it.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where it is none, is not whole, or was altered.
    pub fn check_backup(from: &Path, tell: &mut dyn FnMut(u64)) -> Result<Manifest, StoreError> {
        read(from, tell, |_, _| Ok(()))
    }

    /// Makes the store in `dir` what a backup says: written beside what is there, checked, and put in its place as a
    /// whole; a backup of an older layout is migrated. With [`Onto::Store`] the store that is
    /// there is removed then.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the backup is not whole or there is a store already, [`StoreError::Version`]
    /// where it is of a newer layout, [`StoreError::Io`] when somebody has the store open; it is then as it was.
    pub fn restore(
        from: &Path,
        dir: &Path,
        onto: Onto,
        tell: &mut dyn FnMut(u64),
    ) -> Result<Manifest, StoreError> {
        // Before anything is written: a file that is no backup must not cost a disk its room.
        let (found, known) = (glance(from)?.layout, keys::LAYOUT_VERSION);
        if found > known {
            return Err(StoreError::Version { found, known });
        }
        std::fs::create_dir_all(dir).map_err(|e| io("create its directory", &e))?;
        let lock = opening::lock(dir)?;
        swap::settle(dir)?;
        if onto == Onto::Nothing && dir.join(DATABASE).exists() {
            return Err(StoreError::Refused {
                what: format!("to restore into {}", dir.display()),
                why: "there is a store; name another directory, or say that it is to be replaced"
                    .into(),
            });
        }
        let again = lock.try_clone();
        let again = again.map_err(|e| io("share its lock file", &e))?;
        let mut incoming = Incoming::create(dir, again, LARGE_SEGMENT)?;
        let manifest = read(from, tell, |key, value| incoming.put(key.to_vec(), value))?;
        incoming.finish(dir)?.put_in_place(dir)?;
        if found < known {
            // What was written lies where this layout has it: no older binary may take it for its own.
            drop(lock);
            if let Err(error) = Disk::open(dir, &Options::default()) {
                tracing::warn!(%error, "what was restored is of an older layout and cannot be brought to this one");
            }
        }
        Ok(manifest)
    }
}

/// What a backup is restored onto.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onto {
    /// A directory without a store.
    Nothing,
    /// Whatever is there.
    Store,
}

fn bad(from: &Path, why: &str) -> StoreError {
    StoreError::Refused {
        what: format!("the backup {}", from.display()),
        why: why.into(),
    }
}

const CUT: &str = "it is not whole: it was cut off while it was written or copied; take another";
const ALTERED: &str =
    "it was altered after it was written: a checksum does not match; take another";
const FOREIGN: &str = "it is no backup of a tidegate that this one knows; name a file that \
                       `tidegate store backup` has written";

/// A manifest by the file's end, without reading the rest.
fn glance(from: &Path) -> Result<Manifest, StoreError> {
    let cannot = |e: std::io::Error| io("read a backup", &format!("{}: {e}", from.display()));
    let mut file = File::open(from).map_err(cannot)?;
    let mut magic = vec![];
    let mut start = (&mut file).take(MAGIC.len() as u64);
    start.read_to_end(&mut magic).map_err(cannot)?;
    if magic != MAGIC {
        return Err(bad(from, FOREIGN));
    }
    let length = file.metadata().map_err(cannot)?.len();
    let tail = length
        .checked_sub(FOOTER)
        .filter(|at| *at >= MAGIC.len() as u64);
    let tail = tail.ok_or_else(|| bad(from, CUT))?;
    file.seek(SeekFrom::Start(tail)).map_err(cannot)?;
    let mut footer = [0; FOOTER as usize];
    file.read_exact(&mut footer).map_err(cannot)?;
    let place = footer.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
    if footer[16..] != *END || place >= tail || tail - place > LONGEST {
        return Err(bad(from, CUT));
    }
    file.seek(SeekFrom::Start(place)).map_err(cannot)?;
    let mut bytes = vec![0; usize::try_from(tail - place).unwrap_or(0)];
    file.read_exact(&mut bytes).map_err(cannot)?;
    if footer[8..12] != crc32fast::hash(&bytes).to_le_bytes() {
        return Err(bad(from, ALTERED));
    }
    let (layout, counts) = manifest(&bytes).ok_or_else(|| bad(from, ALTERED))?;
    Ok(Manifest::of(layout, &counts))
}

/// The layout and counts of a manifest, the 0 before it included.
fn manifest(bytes: &[u8]) -> Option<(u32, Counts)> {
    let r = &mut Reader::new(bytes);
    let (end, layout) = (r.uint().ok()?, r.u32().ok()?);
    let (values, size) = (r.uint().ok()?, r.uint().ok()?);
    let mut counts = Counts::new();
    for _ in 0..r.count(3).ok()? {
        let (kind, values, bytes) = (r.byte().ok()?, r.uint().ok()?, r.uint().ok()?);
        counts.insert(kind, (values, bytes));
    }
    let manifest = Manifest::of(layout, &counts);
    let agrees = end == 0 && r.is_empty() && (manifest.values, manifest.bytes) == (values, size);
    agrees.then_some((layout, counts))
}

/// A backup that is read from front to back.
struct Reading<'a> {
    from: &'a Path,
    file: BufReader<File>,
    sum: crc32fast::Hasher,
    at: u64,
}

impl Reading<'_> {
    fn take(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.file.read_exact(bytes).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => bad(self.from, CUT),
            _ => io("read a backup", &format!("{}: {e}", self.from.display())),
        })?;
        self.sum.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn uint(&mut self) -> Result<u64, StoreError> {
        let mut bytes = [0; 10];
        for n in 0..bytes.len() {
            self.take(&mut bytes[n..=n])?;
            if bytes[n] & 0x80 == 0 {
                let value = Reader::new(&bytes[..=n]).uint();
                return value.map_err(|_| bad(self.from, ALTERED));
            }
        }
        Err(bad(self.from, ALTERED))
    }

    /// So many bytes, into a buffer that is used again.
    fn bytes(&mut self, length: u64, into: &mut Vec<u8>) -> Result<(), StoreError> {
        if length > LONGEST {
            return Err(bad(self.from, ALTERED));
        }
        into.resize(usize::try_from(length).unwrap_or(0), 0);
        self.take(into)
    }
}

/// Reads a backup from front to back, handing out keys and framed values, and checks all of it.
fn read(
    from: &Path,
    tell: &mut dyn FnMut(u64),
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<Manifest, StoreError> {
    let promised = glance(from)?;
    let file = File::open(from);
    let file = file.map_err(|e| io("read a backup", &format!("{}: {e}", from.display())))?;
    let mut r = Reading {
        from,
        file: BufReader::with_capacity(1 << 20, file),
        sum: crc32fast::Hasher::new(),
        at: 0,
    };
    let (mut key, mut value) = (vec![], vec![]);
    r.bytes(MAGIC.len() as u64, &mut key)?;
    let mut counts = Counts::new();
    let place = loop {
        let place = r.at;
        let length = r.uint()?;
        if length == 0 {
            break place;
        }
        r.bytes(length, &mut key)?;
        let length = r.uint()?;
        r.bytes(length, &mut value)?;
        unframe(&key, &value).map_err(|_| bad(from, ALTERED))?;
        let (values, bytes) = counts.entry(kind(&key)).or_default();
        *values += 1;
        *bytes += (key.len() + value.len()) as u64;
        each(&key, &value)?;
        tell(r.at);
    };
    // The manifest was read; here it counts for the checksum alone.
    let mut rest = vec![];
    (&mut r.file)
        .take(LONGEST)
        .read_to_end(&mut rest)
        .map_err(|e| io("read a backup", &e))?;
    let Some((body, footer)) = rest.split_at_checked(rest.len().saturating_sub(8)) else {
        return Err(bad(from, CUT));
    };
    r.sum.update(body);
    let sum = r.sum.finalize().to_le_bytes();
    let place_told = body
        .len()
        .checked_sub(12)
        .and_then(|at| body[at..].first_chunk());
    let place_told = place_told.map(|b| u64::from_le_bytes(*b));
    let is_right = footer.starts_with(&sum)
        && footer.ends_with(END)
        && place_told == Some(place)
        && Manifest::of(promised.layout, &counts) == promised;
    if is_right {
        Ok(promised)
    } else {
        Err(bad(from, ALTERED))
    }
}
