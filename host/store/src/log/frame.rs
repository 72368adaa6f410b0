//! The frame of a batch in a log, and finding frames where bytes are not as they were written.
//!
//! ```text
//! "tglg", length of the payload, synced, CRC-32 of what stands before it but the magic and of the payload     4 + 4 + 8 + 4 bytes, low first
//! payload: (1, key, value | 0, key)*                           lengths as LEB128
//! ```
//!
//! `synced` says how much of the segment was durable when the frame was written. That tells damage from what a
//! power cut leaves: a broken frame that a later one calls synced was acknowledged once; without such a word
//! no sync has covered it, and nobody was promised anything.

use super::Op;
use crate::codec::{Malformed, Reader, put_bytes, put_uint};
use crate::disk::io;
use tidegate_core::ports::storage::StoreError;

const MAGIC: &[u8; 4] = b"tglg";
/// Bytes before the payload.
const HEAD: usize = 20;
const REMOVE: u8 = 0;
const PUT: u8 = 1;

/// Offset and length of a value in its segment; `None` where a key is removed.
pub(super) type Value = Option<(u64, u32)>;

/// The bytes of a batch that is to stand at `at`, and where its values will lie, in the order of `ops`.
pub(super) fn write(ops: &[Op], synced: u64, at: u64) -> Result<(Vec<u8>, Vec<Value>), StoreError> {
    let size: usize = ops
        .iter()
        .map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len) + 12)
        .sum();
    let mut bytes = Vec::with_capacity(HEAD + size);
    bytes.extend_from_slice(MAGIC);
    bytes.resize(HEAD, 0);
    let mut places = Vec::with_capacity(ops.len());
    for (key, value) in ops {
        bytes.push(if value.is_some() { PUT } else { REMOVE });
        put_bytes(&mut bytes, key);
        let place = value.as_ref().map(|value| {
            put_uint(&mut bytes, value.len() as u64);
            let place = (at + bytes.len() as u64, value.len() as u32);
            bytes.extend_from_slice(value);
            place
        });
        places.push(place);
    }
    let length = u32::try_from(bytes.len() - HEAD)
        .map_err(|_| io("write to its log", &"a batch exceeds 4 GiB"))?;
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes[8..16].copy_from_slice(&synced.to_le_bytes());
    let sum = checksum(&bytes);
    bytes[16..20].copy_from_slice(&sum.to_le_bytes());
    Ok((bytes, places))
}

fn checksum(frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[4..16]);
    hasher.update(&frame[HEAD..]);
    hasher.finalize()
}

/// A frame as it stands in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// How much of the segment was durable when it was written.
    pub(super) synced: u64,
    /// Bytes of it.
    pub(super) len: usize,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the beginning of `bytes`, if one is there whole.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let head = bytes.get(..HEAD).filter(|head| head.starts_with(MAGIC))?;
        let length = u32::from_le_bytes(head[4..8].try_into().ok()?);
        let len = HEAD.checked_add(length as usize)?;
        let frame = bytes.get(..len)?;
        let sum = u32::from_le_bytes(head[16..20].try_into().ok()?);
        (checksum(frame) == sum).then_some(Self {
            synced: u64::from_le_bytes(head[8..16].try_into().ok()?),
            len,
            payload: &frame[HEAD..],
        })
    }

    /// The first whole frame at or after `from`, and where it stands.
    pub(super) fn find(bytes: &'a [u8], from: usize) -> Option<(usize, Self)> {
        let starts = bytes.windows(MAGIC.len()).enumerate().skip(from);
        let mut magic = starts.filter(|(_, w)| *w == MAGIC);
        magic.find_map(|(at, _)| Some((at, Self::read(&bytes[at..])?)))
    }

    /// Its operations: keys, and where their values lie when the frame stands at `at`.
    pub(super) fn ops(&self, at: u64) -> Result<Vec<(&'a [u8], Value)>, Malformed> {
        let mut reader = Reader::new(self.payload);
        let mut ops = vec![];
        while !reader.is_empty() {
            let what = reader.byte()?;
            let key = reader.bytes()?;
            let value = match what {
                REMOVE => None,
                PUT => {
                    let len = reader.count(1)?;
                    let before = self.payload.len() - reader.remaining();
                    reader.take(len)?;
                    Some((at + (HEAD + before) as u64, len as u32))
                }
                _ => return Err(Malformed("an operation is unknown")),
            };
            ops.push((key, value));
        }
        Ok(ops)
    }
}
