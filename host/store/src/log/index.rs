//! The index at the end of a segment whose values are named: what is in it and where, so that opening a store reads
//! no value.
//!
//! ```text
//! (key, offset, length of the value)*                                     lengths and numbers as LEB128
//! length of the above, its CRC-32, "tgindex\n"                            8 + 4 + 8 bytes, low first
//! ```
//!
//! Only a segment that takes nothing more has one. Without one, or with one that is damaged, the frames tell.

use crate::codec::{Malformed, Reader, put_bytes, put_uint};
use std::fs::File;
use std::os::unix::fs::FileExt;

const MAGIC: &[u8; 8] = b"tgindex\n";
/// Bytes behind the entries.
const TAIL: usize = 20;

/// A key, and offset and length of its value.
pub(super) type Entry = (Vec<u8>, u64, u32);

/// The bytes of an index.
pub(super) fn write(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * 32 + TAIL);
    for (key, at, len) in entries {
        put_bytes(&mut bytes, key);
        put_uint(&mut bytes, *at);
        put_uint(&mut bytes, u64::from(*len));
    }
    let (length, sum) = (bytes.len() as u64, crc32fast::hash(&bytes));
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.extend_from_slice(MAGIC);
    bytes
}

/// Whether a segment ends as one with an index does, whole or not.
pub(super) fn is_there(segment: &[u8]) -> bool {
    segment.ends_with(MAGIC)
}

/// The index of a segment of so many bytes; `None` where it has none that is whole.
pub(super) fn read(file: &File, length: u64) -> std::io::Result<Option<Vec<Entry>>> {
    let Some(tail_at) = length.checked_sub(TAIL as u64) else {
        return Ok(None);
    };
    let mut tail = [0; TAIL];
    file.read_exact_at(&mut tail, tail_at)?;
    let (size, rest) = tail.split_at(8);
    let (sum, magic) = rest.split_at(4);
    let size = size.try_into().map_or(u64::MAX, u64::from_le_bytes);
    let Some(at) = tail_at.checked_sub(size).filter(|_| magic == MAGIC) else {
        return Ok(None);
    };
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, at)?;
    if sum != crc32fast::hash(&bytes).to_le_bytes() {
        return Ok(None);
    }
    Ok(entries(&bytes, at).ok())
}

/// Entries whose values all lie before `end`.
fn entries(bytes: &[u8], end: u64) -> Result<Vec<Entry>, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut all = vec![];
    while !reader.is_empty() {
        let key = reader.bytes()?.to_vec();
        let (at, len) = (reader.uint()?, reader.uint()?);
        let len = u32::try_from(len).map_err(|_| Malformed("a value is too long"))?;
        if at.checked_add(u64::from(len)).is_none_or(|to| to > end) {
            return Err(Malformed("a value lies behind its segment"));
        }
        all.push((key, at, len));
    }
    Ok(all)
}
