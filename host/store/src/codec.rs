//! Bytes: variable-length integers, a bounded reader, and the frame of every stored value.
//!
//! The frame is a CRC-32 over *key and payload*: a value that was put under a wrong key is as
//! damaged as one with a flipped bit. Postcard serves the stored mirrors; the samples' own formats
//! are written with the few functions here, since they are columns and not records.
//!
//! A [`Reader`] never panics and never allocates by what a length field claims: it hands out only
//! bytes that are there.

use tidegate_core::ports::storage::StoreError;

/// Why bytes could not be decoded: what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl Malformed {
    /// The error for the value under `key`.
    pub(crate) fn at(self, key: &[u8]) -> StoreError {
        StoreError::Damaged {
            key: crate::keys::show(key),
            cause: self.0.to_owned(),
        }
    }
}

/// Appends an unsigned integer, seven bits a byte, low bits first (LEB128).
pub(crate) fn put_uint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push((value as u8) | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Appends a signed integer, sign in the lowest bit (zigzag).
pub(crate) fn put_int(to: &mut Vec<u8>, value: i64) {
    put_uint(to, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends bytes with their length.
pub(crate) fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

/// Reads what the functions above wrote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self
            .bytes
            .split_at_checked(n)
            .ok_or(Malformed("it ends too early"))?;
        self.bytes = tail;
        Ok(head)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn uint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("an integer exceeds 64 bits"))
    }

    pub(crate) fn int(&mut self) -> Result<i64, Malformed> {
        let value = self.uint()?;
        Ok(((value >> 1) as i64) ^ -((value & 1) as i64))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.uint()?).map_err(|_| Malformed("a number exceeds 32 bits"))
    }

    /// A count of things of which each takes at least `least` bytes from here on.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize, Malformed> {
        let n = usize::try_from(self.uint()?).map_err(|_| Malformed("a count is too large"))?;
        if n.saturating_mul(least) > self.bytes.len() {
            return Err(Malformed("a count exceeds what follows it"));
        }
        Ok(n)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let n = self.count(1)?;
        self.take(n)
    }

    pub(crate) fn float(&mut self) -> Result<f64, Malformed> {
        let bytes = self.take(8)?;
        let bits = bytes
            .iter()
            .rev()
            .fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
        Ok(f64::from_bits(bits))
    }
}

/// Bytes of a stored value before its payload.
pub(crate) const FRAME: usize = 4;

fn checksum(key: &[u8], payload: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(payload);
    hasher.finalize().to_le_bytes()
}

/// The value to store under `key`: checksum, then payload.
pub(crate) fn frame(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(payload.len() + FRAME);
    value.extend_from_slice(&checksum(key, payload));
    value.extend_from_slice(payload);
    value
}

/// The payload of a stored value.
pub(crate) fn unframe<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], Malformed> {
    let (sum, payload) = value
        .split_at_checked(FRAME)
        .ok_or(Malformed("it is shorter than its checksum"))?;
    if sum == checksum(key, payload) {
        Ok(payload)
    } else {
        Err(Malformed("its checksum does not match"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_come_back(a: u64, b: i64, c in 0_u64..300, d in -300_i64..300) {
            let mut bytes = vec![];
            put_uint(&mut bytes, a);
            put_int(&mut bytes, b);
            put_uint(&mut bytes, c);
            put_int(&mut bytes, d);
            let mut r = Reader::new(&bytes);
            prop_assert_eq!(
                (r.uint(), r.int(), r.uint(), r.int(), r.is_empty()),
                (Ok(a), Ok(b), Ok(c), Ok(d), true)
            );
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let mut r = Reader::new(&bytes);
            while !r.is_empty() {
                if r.int().is_err() || r.bytes().is_err() {
                    break;
                }
            }
        }

        #[test]
        fn a_changed_bit_breaks_the_frame(payload: Vec<u8>, at: prop::sample::Index, bit in 0_u8..8) {
            let mut value = frame(b"key", &payload);
            prop_assert_eq!(unframe(b"key", &value), Ok(&payload[..]));
            prop_assert!(unframe(b"kez", &value).is_err());
            let i = at.index(value.len());
            value[i] ^= 1 << bit;
            prop_assert!(unframe(b"key", &value).is_err());
        }
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        let mut bytes = vec![];
        put_uint(&mut bytes, u64::MAX);
        assert!(Reader::new(&bytes).bytes().is_err());
        assert!(Reader::new(&[0xff; 11]).uint().is_err());
    }
}
