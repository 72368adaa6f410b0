//! Batches that wait in a file, because memory is full and the daemon is away.
//!
//! A record is a `PushRequest` behind its length and a checksum, so that a file which was cut short
//! is read up to the cut, and a newer version of this crate can read an older one's file. The file
//! is a queue that is emptied from the front and only cut when it is empty and everything out of it
//! is acked: whatever is in it when a program ends is sent by the next one that opens it, perhaps
//! twice, which the daemon counts as duplicates. It is not synced: it outlives the program, not the
//! machine.

use super::pack;
use super::sample::{Sample, SeriesKey};
use prost::Message as _;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use tidegate_proto::v1;

/// Bytes before a record: its length, and its checksum.
const HEAD: u64 = 12;
/// Largest record that is believed, in bytes.
const MAX_RECORD: u64 = 256 << 20;

/// Series with their columns.
pub(super) type Content = Vec<(SeriesKey, v1::Columns)>;

/// The file.
#[derive(Debug)]
pub(super) struct Spill {
    file: File,
    most: u64,
    read_at: u64,
    write_at: u64,
    /// Samples that wait in it.
    pub(super) samples: u64,
}

impl Spill {
    /// Opens or creates the file; what is in it waits. What does not hold together ends it.
    ///
    /// # Errors
    /// When the file cannot be opened, read or cut.
    pub(super) fn open(path: &Path, most: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut spill = Self {
            file,
            most,
            read_at: 0,
            write_at: u64::MAX,
            samples: 0,
        };
        let mut samples = 0;
        while let Some(content) = spill.read()? {
            samples += count(&content);
        }
        spill.write_at = spill.read_at;
        spill.file.set_len(spill.write_at)?;
        (spill.read_at, spill.samples) = (0, samples);
        Ok(spill)
    }

    /// Bytes of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.write_at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.read_at >= self.write_at
    }

    /// Appends a batch; false when the file would grow beyond its bound.
    ///
    /// # Errors
    /// When it cannot be written; what was there before is not harmed.
    pub(super) fn push(&mut self, content: &Content) -> io::Result<bool> {
        let series = content.iter().map(|(key, columns)| v1::PushSeries {
            api: key.api.clone(),
            signal: key.signal.into(),
            step_s: key.step_s,
            columns: Some(columns.clone()),
        });
        let body = v1::PushRequest {
            series: series.collect(),
        }
        .encode_to_vec();
        let length = body.len() as u64;
        if self.write_at + HEAD + length > self.most || length > MAX_RECORD {
            return Ok(false);
        }
        let mut record = Vec::with_capacity(body.len() + 12);
        record.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        record.extend(checksum(&body).to_le_bytes());
        record.extend(body);
        self.file.seek(SeekFrom::Start(self.write_at))?;
        self.file.write_all(&record)?;
        self.write_at += HEAD + length;
        self.samples += count(content);
        Ok(true)
    }

    /// Takes the oldest batch.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn pop(&mut self) -> io::Result<Option<Content>> {
        if self.is_empty() {
            return Ok(None);
        }
        let content = self.read()?;
        match &content {
            Some(content) => self.samples = self.samples.saturating_sub(count(content)),
            // It was whole when it was written or opened; whoever changed it has ended it.
            None => (self.read_at, self.samples) = (self.write_at, 0),
        }
        Ok(content)
    }

    /// Cuts a file out of which everything was acked.
    ///
    /// # Errors
    /// When it cannot be cut.
    pub(super) fn settled(&mut self) -> io::Result<()> {
        if self.is_empty() && self.write_at > 0 {
            self.file.set_len(0)?;
            (self.read_at, self.write_at) = (0, 0);
        }
        Ok(())
    }

    /// The record at the front; `None` where there is none that is whole.
    fn read(&mut self) -> io::Result<Option<Content>> {
        self.file.seek(SeekFrom::Start(self.read_at))?;
        let mut head = [0; HEAD as usize];
        if !filled(&mut self.file, &mut head)? {
            return Ok(None);
        }
        let [a, b, c, d, rest @ ..] = head;
        let length = u64::from(u32::from_le_bytes([a, b, c, d]));
        let end = self.read_at + HEAD + length;
        if length > MAX_RECORD || end > self.file.metadata()?.len().min(self.write_at) {
            return Ok(None);
        }
        let mut body = vec![0; usize::try_from(length).unwrap_or(0)];
        if !filled(&mut self.file, &mut body)? || checksum(&body) != u64::from_le_bytes(rest) {
            return Ok(None);
        }
        let Ok(push) = v1::PushRequest::decode(body.as_slice()) else {
            return Ok(None);
        };
        self.read_at = end;
        let series = push.series.into_iter().map(|s| {
            let key = SeriesKey {
                signal: s.signal(),
                api: s.api,
                step_s: s.step_s,
            };
            (key, s.columns.unwrap_or_default())
        });
        Ok(Some(series.collect()))
    }
}

/// What was gathered, as columns.
pub(super) fn content(gathered: BTreeMap<SeriesKey, Vec<Sample>>) -> Content {
    let mut content = Vec::with_capacity(gathered.len());
    for (key, samples) in gathered {
        for columns in pack::columns(&key, samples) {
            content.push((key.clone(), columns));
        }
    }
    content
}

/// Samples of a batch.
pub(super) fn count(content: &Content) -> u64 {
    content.iter().map(|(_, c)| super::sample::count(c)).sum()
}

fn filled(file: &mut File, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): against a torn end, not against an enemy.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample::Value;
    use super::*;

    fn batch(n: i64) -> Content {
        let key = SeriesKey {
            api: "shop/orders".into(),
            signal: v1::Signal::Requests,
            step_s: 60,
        };
        let sample = |i: i64| Sample {
            start_ms: i * 60_000,
            value: Value::Number(i as f64),
        };
        content([(key, (0..n).map(sample).collect())].into())
    }

    struct Place(std::path::PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let name = format!("tidegate-spill-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn batches_come_back_in_order_and_a_file_that_is_settled_is_cut() {
        let place = Place::new("order");
        let mut spill = Spill::open(&place.0, 1 << 20).unwrap();
        assert!(spill.push(&batch(3)).unwrap() && spill.push(&batch(5)).unwrap());
        assert_eq!(spill.samples, 8);
        assert_eq!(spill.pop().unwrap().unwrap(), batch(3));
        spill.settled().unwrap();
        assert!(spill.bytes() > 0 && spill.samples == 5);
        assert_eq!(spill.pop().unwrap().unwrap(), batch(5));
        assert_eq!(spill.pop().unwrap(), None);
        spill.settled().unwrap();
        assert_eq!(std::fs::metadata(&place.0).unwrap().len(), 0);
        assert!(spill.push(&batch(2)).unwrap());
        assert_eq!(spill.pop().unwrap().unwrap(), batch(2));
    }

    #[test]
    fn the_next_program_finds_what_was_not_settled_and_a_torn_end_is_cut_off() {
        let place = Place::new("torn");
        let mut spill = Spill::open(&place.0, 1 << 20).unwrap();
        for n in 1..=3 {
            assert!(spill.push(&batch(n)).unwrap());
        }
        spill.pop().unwrap();
        let whole = spill.bytes();
        drop(spill);
        let file = OpenOptions::new().write(true).open(&place.0).unwrap();
        file.set_len(whole - 1).unwrap();
        let mut spill = Spill::open(&place.0, 1 << 20).unwrap();
        assert_eq!(spill.samples, 3, "of the first and the second");
        assert!(spill.push(&batch(7)).unwrap());
        let sizes: Vec<_> = std::iter::from_fn(|| spill.pop().unwrap())
            .map(|content| count(&content))
            .collect();
        assert_eq!(sizes, [1, 2, 7]);
    }

    #[test]
    fn a_file_keeps_to_its_bound() {
        let place = Place::new("bound");
        let mut spill = Spill::open(&place.0, 200).unwrap();
        let mut taken = 0;
        while spill.push(&batch(2)).unwrap() {
            taken += 1;
        }
        assert!(taken > 1 && spill.bytes() <= 200);
        std::fs::write(&place.0, b"this is no queue of batches, but it is a file").unwrap();
        assert!(Spill::open(&place.0, 200).unwrap().is_empty());
    }
}
