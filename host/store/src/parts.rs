//! Values of any size, in parts under `key | part`, each with the number of parts that follow it: a
//! part that is missing is found, wherever it is.

use crate::codec::{Malformed, Reader, put_uint};
use crate::disk::{Batch, CHUNK, Disk};
use tidegate_core::ports::storage::StoreError;

pub(crate) fn part_key(base: &[u8], part: usize) -> Vec<u8> {
    let mut key = base.to_vec();
    key.extend_from_slice(&u16::try_from(part).unwrap_or(u16::MAX).to_be_bytes());
    key
}

/// Keys and payloads of the parts of a value.
pub(crate) fn in_parts(
    base: &[u8],
    bytes: &[u8],
) -> Result<impl Iterator<Item = (Vec<u8>, Vec<u8>)>, StoreError> {
    let parts = bytes.len().div_ceil(CHUNK).max(1);
    if parts > usize::from(u16::MAX) {
        return Err(StoreError::Refused {
            what: format!("a value of {} bytes", bytes.len()),
            why: "it has more than 65,535 parts; make it smaller".into(),
        });
    }
    Ok((0..parts).map(move |part| {
        let from = part * CHUNK;
        let slice = &bytes[from..bytes.len().min(from + CHUNK)];
        let mut payload = Vec::with_capacity(slice.len() + 4);
        put_uint(&mut payload, (parts - part - 1) as u64);
        payload.extend_from_slice(slice);
        (part_key(base, part), payload)
    }))
}

impl Disk {
    /// Adds a value of any size to a batch, in parts, replacing what stood there.
    pub(crate) fn put_large(
        &self,
        batch: &mut Batch,
        base: &[u8],
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let mut parts = 0;
        for (key, payload) in in_parts(base, bytes)? {
            batch.put(key, &payload);
            parts += 1;
        }
        self.remove_parts(batch, base, parts)
    }

    /// Removes a value that [`Disk::put_large`] wrote, from a part on.
    pub(crate) fn remove_parts(
        &self,
        batch: &mut Batch,
        base: &[u8],
        from: usize,
    ) -> Result<(), StoreError> {
        for part in from.. {
            let key = part_key(base, part);
            if !self.contains(&key)? {
                break;
            }
            batch.remove(key);
        }
        Ok(())
    }

    /// Whether there is a value that [`Disk::put_large`] wrote.
    pub(crate) fn has_large(&self, base: &[u8]) -> Result<bool, StoreError> {
        self.contains(&part_key(base, 0))
    }

    /// A value that [`Disk::put_large`] wrote.
    pub(crate) fn get_large(&self, base: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut bytes = vec![];
        for part in 0.. {
            let key = part_key(base, part);
            let Some(payload) = self.get(&key)? else {
                if part == 0 {
                    return Ok(None);
                }
                return Err(Malformed("a part of it is missing").at(&key));
            };
            let mut reader = Reader::new(&payload);
            let left = reader.uint().map_err(|e| e.at(&key))?;
            let rest = reader.take(reader.remaining()).map_err(|e| e.at(&key))?;
            bytes.extend_from_slice(rest);
            if left == 0 {
                break;
            }
        }
        Ok(Some(bytes))
    }

    /// Calls `each` with the base and bytes of every value under a prefix that
    /// [`Disk::put_large`] wrote.
    pub(crate) fn scan_large(
        &self,
        prefix: &[u8],
        mut each: impl FnMut(&[u8], Vec<u8>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut bytes = vec![];
        let mut expected = 0;
        for item in self.scan(prefix) {
            let (key, payload) = item?;
            let (base, part) = key.split_at(key.len().saturating_sub(2));
            if part_key(base, expected) != key {
                return Err(Malformed("its parts do not follow each other").at(&key));
            }
            debug_assert_eq!(part.len(), 2);
            let mut reader = Reader::new(&payload);
            let left = reader.uint().map_err(|e| e.at(&key))?;
            let rest = reader.take(reader.remaining()).map_err(|e| e.at(&key))?;
            bytes.extend_from_slice(rest);
            expected += 1;
            if left == 0 {
                each(base, std::mem::take(&mut bytes))?;
                expected = 0;
            }
        }
        if expected > 0 {
            return Err(Malformed("the last part of a value is missing").at(prefix));
        }
        Ok(())
    }
}
