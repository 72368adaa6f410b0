//! Compressed values: a form number, then a block of LZ4 that begins with its length.
//!
//! LZ4, because what is compressed is written in the cycle: it works at the speed at which bytes are copied,
//! and much of a record is digests and noisy floats that nothing compresses. What a block claims to be is
//! held against what a block of its size can be, before anything is allocated for it.

use crate::codec::Malformed;
use serde::{Deserialize, Serialize};
use tidegate_core::ports::storage::StoreError;

/// A block is at most so many times smaller than what it says.
const MOST: usize = 256;

/// The bytes of a value.
pub(crate) fn pack<T: Serialize>(form: u8, value: &T) -> Result<Vec<u8>, StoreError> {
    let plain = postcard::to_extend(value, Vec::with_capacity(1 << 12));
    let plain = plain.map_err(|e| StoreError::Io {
        step: "encode a value",
        cause: e.to_string(),
    })?;
    let mut bytes = vec![form];
    bytes.append(&mut lz4_flex::block::compress_prepend_size(&plain));
    Ok(bytes)
}

/// What was compressed.
pub(crate) fn plain(form: u8, bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let block = match bytes.split_first() {
        Some((found, block)) if *found == form => block,
        _ => return Err(Malformed("it has an unknown format")),
    };
    let claimed = block
        .first_chunk::<4>()
        .ok_or(Malformed("it ends too early"))?;
    if u32::from_le_bytes(*claimed) as usize > block.len().saturating_mul(MOST) {
        return Err(Malformed("it claims to be larger than it can be"));
    }
    lz4_flex::block::decompress_size_prepended(block)
        .map_err(|_| Malformed("it cannot be decompressed"))
}

/// The value that plain bytes say.
pub(crate) fn unpack<'a, T: Deserialize<'a>>(plain: &'a [u8]) -> Result<T, Malformed> {
    match postcard::take_from_bytes(plain) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(Malformed("bytes follow the value")),
        Err(_) => Err(Malformed("it cannot be decoded")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_short_or_claims_too_much_is_refused_and_nothing_panics() {
        let value: Vec<u64> = (0..999).collect();
        let bytes = pack(3, &value).unwrap();
        let read = |bytes: &[u8]| unpack::<Vec<u64>>(&plain(3, bytes)?);
        assert_eq!(read(&bytes).unwrap(), value);
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).is_err(), "{cut}");
        }
        let mut vast = bytes.clone();
        vast[1..5].fill(0xff);
        assert!(read(&vast).is_err());
        assert!(plain(4, &bytes).is_err());
    }
}
