//! Notes that are not samples yet: entries under rising numbers, of any size, whole or not at all.
//!
//! Apart from the write-ahead records, since those are of series that are stored, are sealed into
//! blocks and dropped by the writer; what these mean only their writer knows, and it drops them. An
//! entry is one batch, whatever its size: the parts of a checkpoint must not come apart.

use crate::codec::Malformed;
use crate::disk::Batch;
use crate::keys::{self, Kind, PREFIX};
use crate::shared::{Shared, locked, reading};
use crate::store::Store;
use tidegate_core::ports::storage::{Notes, StoreError};

/// Entries that one batch drops.
const DROPS: usize = 1000;

/// The number of an entry, by the key of any of its parts.
fn number_of(key: &[u8]) -> u64 {
    let bytes = key.get(PREFIX..PREFIX + 8).and_then(|b| b.try_into().ok());
    bytes.map_or(0, u64::from_be_bytes)
}

impl Shared {
    /// Numbers of the first entry and of the next one.
    fn notes_span(&self) -> Result<(u64, u64), StoreError> {
        let mut all = self.disk.scan_raw(&Kind::Note.prefix());
        let Some(first) = all.next() else {
            return Ok((1, 1));
        };
        let first = first?.0;
        let last = all.next_back().transpose()?;
        let last = last.map_or_else(|| first.clone(), |(key, _)| key);
        if number_of(&last) > keys::LAST {
            return Err(Malformed("its number is beyond any that a store gives").at(&last));
        }
        Ok((number_of(&first), number_of(&last) + 1))
    }
}

impl Notes for Store {
    fn write(&self, entry: &[u8]) -> Result<u64, StoreError> {
        let shared = &self.shared;
        let _writing = reading(&shared.writing);
        shared.disk.room()?;
        let mut span = locked(&shared.notes);
        let (first, next) = match *span {
            Some(span) => span,
            None => shared.notes_span()?,
        };
        let mut batch = Batch::default();
        shared
            .disk
            .put_large(&mut batch, &keys::note(next), entry)?;
        shared.disk.commit(batch)?;
        *span = Some((first, next + 1));
        Ok(next)
    }

    fn entries(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        self.shared
            .disk
            .scan_large(&Kind::Note.prefix(), |_, bytes| {
                each(&bytes);
                Ok(())
            })
    }

    fn drop_before(&self, number: u64) -> Result<(), StoreError> {
        let shared = &self.shared;
        let _writing = reading(&shared.writing);
        let mut span = locked(&shared.notes);
        let (mut first, next) = match *span {
            Some(span) => span,
            None => shared.notes_span()?,
        };
        let number = number.min(next.saturating_sub(1));
        while first < number {
            let mut batch = Batch::default();
            let end = number.min(first + DROPS as u64);
            for old in first..end {
                shared.disk.remove_parts(&mut batch, &keys::note(old), 0)?;
            }
            shared.disk.write(batch)?;
            first = end;
        }
        shared.disk.gather(Kind::Note)?;
        *span = Some((first, next));
        Ok(())
    }
}
