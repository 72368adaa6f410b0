//! What came packed: gzip, zstd or snappy, within a bound on what comes out of it.
//!
//! A few bytes can stand for gigabytes, so unpacking stops where more comes out than may. A frame of
//! zstd says how far it looks back (its window), and memory for all of that is set aside: no more than
//! 8 MiB, which is also the most that HTTP allows. Frames behind one another are read as one, as both
//! formats have it.
//!
//! zstd is read by its own library, in C, rather than by `ruzstd`: that compiles in a tenth of the time,
//! but reads OTLP at an eighth of the speed, slower than gzip, and who packs by zstd does so to be fast.
//!
//! Sources: RFC 1952; RFC 8878 and RFC 9659 (zstd by HTTP); `format_description.txt` of snappy.

use super::Held;
use std::io::Read as _;

/// Binary logarithm of the largest window of a frame of zstd, in bytes: 8 MiB.
const WINDOW_LOG: u32 = 23;

/// How something is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstd,
    Snappy,
}

/// Why something cannot be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    /// It is more than may be.
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
    /// It is not packed so, or damaged.
    #[error("it cannot be unpacked: {0}")]
    Damaged(String),
}

fn damaged(why: impl std::fmt::Display) -> Problem {
    Problem::Damaged(why.to_string())
}

impl Packing {
    /// Of OTLP, by the name that HTTP and gRPC have for it; nothing is no packing.
    pub(super) fn of_otlp(name: &str) -> Option<Self> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if name.is_empty() || is("identity") {
            Some(Packing::None)
        } else if is("gzip") || is("x-gzip") {
            Some(Packing::Gzip)
        } else if is("zstd") {
            Some(Packing::Zstd)
        } else {
            None
        }
    }

    /// Unpacks at most `limit` bytes.
    pub(super) fn unpack(self, packed: &[u8], limit: usize) -> Result<Vec<u8>, Problem> {
        let plain = match self {
            Packing::None => packed.to_vec(),
            Packing::Gzip => gzip(packed, limit)?,
            Packing::Zstd => zstd(packed, limit)?,
            Packing::Snappy => snappy(packed, limit)?,
        };
        if plain.len() > limit {
            return Err(Problem::TooLarge(limit));
        }
        Ok(plain)
    }

    /// The same on a thread that may be busy, which holds the room of the body as long as the body.
    pub(super) async fn unpack_aside(
        self,
        (packed, place): Held,
        limit: usize,
    ) -> Result<Held, Problem> {
        if self == Packing::None && packed.len() <= limit {
            return Ok((packed, place));
        }
        let unpacked = tokio::task::spawn_blocking(move || {
            let plain = self.unpack(&packed, limit)?;
            drop(packed);
            Ok((plain.into(), place))
        });
        unpacked.await.unwrap_or_else(|e| Err(damaged(e)))
    }
}

fn gzip(packed: &[u8], limit: usize) -> Result<Vec<u8>, Problem> {
    let mut plain = Vec::with_capacity((packed.len() * 4).min(limit));
    let mut reader = flate2::read::MultiGzDecoder::new(packed).take(limit as u64 + 1);
    reader.read_to_end(&mut plain).map_err(damaged)?;
    Ok(plain)
}

fn snappy(packed: &[u8], limit: usize) -> Result<Vec<u8>, Problem> {
    // The block says how large it will be, before anything is unpacked.
    let size = snap::raw::decompress_len(packed).map_err(damaged)?;
    if size > limit {
        return Err(Problem::TooLarge(limit));
    }
    snap::raw::Decoder::new()
        .decompress_vec(packed)
        .map_err(damaged)
}

fn zstd(packed: &[u8], limit: usize) -> Result<Vec<u8>, Problem> {
    if packed.is_empty() {
        return Err(damaged("there is no frame"));
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(damaged)?;
    decoder.window_log_max(WINDOW_LOG).map_err(damaged)?;
    let mut plain = Vec::with_capacity((packed.len() * 4).min(limit));
    let mut reader = decoder.take(limit as u64 + 1);
    reader.read_to_end(&mut plain).map_err(|error| {
        let why = error.to_string();
        if why.contains("too much memory") {
            return damaged("its window is larger than 8 MiB (RFC 9659); pack it at a lower level");
        }
        damaged(why)
    })?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut packer = zstd::bulk::Compressor::new(3).unwrap();
        packer.include_checksum(true).unwrap();
        packer.compress(plain).unwrap()
    }

    /// A frame of so many blocks of 128 KiB of one byte each, with a window of 128 KiB.
    fn bomb(blocks: usize) -> Vec<u8> {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x38];
        for i in 0..blocks {
            let head = (128_u32 << 10 << 3) | (1 << 1) | u32::from(i + 1 == blocks);
            frame.extend_from_slice(&head.to_le_bytes()[..3]);
            frame.push(b'x');
        }
        frame
    }

    fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, Problem> {
        Packing::Zstd.unpack(packed, limit)
    }

    #[test]
    fn zstd_comes_out_as_it_went_in_in_one_frame_or_in_several() {
        let plain: Vec<u8> = (0..300_000_u32).map(|i| (i / 7 % 251) as u8).collect();
        assert_eq!(unpack(&packed(&plain), 1 << 20), Ok(plain.clone()));
        // Two frames, with one between them that is to be skipped.
        let mut several = packed(&plain[..100_000]);
        several.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9]);
        several.extend(packed(&plain[100_000..]));
        assert_eq!(unpack(&several, 1 << 20), Ok(plain.clone()));
        assert_eq!(
            unpack(&packed(&plain), 299_999),
            Err(Problem::TooLarge(299_999))
        );
        assert_eq!(unpack(&bomb(2), 1 << 20), Ok(vec![b'x'; 256 << 10]));
    }

    #[test]
    fn what_would_be_large_stops_where_it_is_too_large() {
        // 400 KB that would be 13 GB.
        assert_eq!(
            unpack(&bomb(100_000), 1 << 20),
            Err(Problem::TooLarge(1 << 20))
        );
        // A window of 1 GiB, of which nothing would come.
        let wide = unpack(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0xa0, 1, 0, 0], 1 << 20);
        assert!(
            matches!(&wide, Err(Problem::Damaged(why)) if why.contains("RFC 9659")),
            "{wide:?}"
        );
        // Of 8 MiB, as senders in Go have it by default.
        let usual = unpack(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x68, 1, 0, 0], 1 << 20);
        assert_eq!(usual, Ok(vec![]));
    }

    #[test]
    fn what_is_cut_off_or_has_another_checksum_is_damaged() {
        let plain: Vec<u8> = (0..5_000_u32).map(|i| (i % 13) as u8).collect();
        let whole = packed(&plain);
        for n in 0..whole.len() {
            let cut = unpack(&whole[..n], 1 << 20);
            assert!(
                matches!(cut, Err(Problem::Damaged(_))),
                "{n} bytes: {cut:?}"
            );
        }
        // "hi" in a raw block, with a checksum (flag 4) that it does not have.
        let frame = [
            0x28, 0xb5, 0x2f, 0xfd, 4, 0x38, 0x11, 0, 0, b'h', b'i', 1, 2, 3, 4,
        ];
        let sum = unpack(&frame, 1 << 20);
        assert!(
            matches!(&sum, Err(Problem::Damaged(why)) if why.contains("checksum")),
            "{sum:?}"
        );
        let skipped = unpack(&[0x50, 0x2a, 0x4d, 0x18, 255, 255, 255, 255, 9], 1 << 20);
        assert!(matches!(skipped, Err(Problem::Damaged(_))), "{skipped:?}");
        assert!(unpack(&[], 1 << 20).is_err());
    }

    proptest! {
        #[test]
        fn damaged_frames_stay_within_the_bound(
            at in any::<prop::sample::Index>(), with: u8, noise: Vec<u8>, seed in 1_u64..1 << 40,
        ) {
            let mut x = seed;
            let mut letter = || { x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); (x >> 60) as u8 };
            let plain: Vec<u8> = (0..3_000).map(|_| letter()).collect();
            let mut frame = packed(&plain);
            let at = at.index(frame.len());
            frame[at] = with;
            for bytes in [&frame, &noise] {
                // A panic is caught where this is called; what it must not do is to take more than it may.
                let unpacked = std::panic::catch_unwind(|| unpack(bytes, 10_000));
                if let Ok(Ok(plain)) = unpacked { prop_assert!(plain.len() <= 10_000); }
            }
        }
    }
}
