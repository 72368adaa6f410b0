//! Bytes of the journal: varints, texts, histograms.
//!
//! Written by hand rather than derived, since a point must take few bytes and is written a million
//! times a second. A first byte tells the version of an entry ([`VERSION`]), so that a later form can
//! be told from this one.

use crate::histogram::{Histogram, Layout};
use tidegate_core::distribution::Distribution;
use tidegate_core::sample::SeriesKey;
use tidegate_core::units::Signal;

use super::classic::Slice;
use crate::mapping::How;

/// Of every entry. Version 1 has points in their long form alone, version 2 no apis that wait and no closed account,
/// version 3 no sums that wait, nor how long the daemon was down.
pub(super) const VERSION: u8 = 4;

/// A journal entry cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entry of the feeds' journal is damaged: {0}")]
pub struct Damaged(pub &'static str);

pub(super) fn put_uint(to: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        to.push(n as u8 | 0x80);
        n >>= 7;
    }
    to.push(n as u8);
}

pub(super) fn put_int(to: &mut Vec<u8>, n: i64) {
    put_uint(to, ((n << 1) ^ (n >> 63)) as u64);
}

pub(super) fn put_float(to: &mut Vec<u8>, x: f64) {
    to.extend_from_slice(&x.to_bits().to_le_bytes());
}

pub(super) fn put_text(to: &mut Vec<u8>, text: &str) {
    put_uint(to, text.len() as u64);
    to.extend_from_slice(text.as_bytes());
}

pub(super) fn put_series(to: &mut Vec<u8>, key: &SeriesKey) {
    put_text(to, &key.api.to_string());
    put_text(to, key.signal.name());
}

pub(super) fn how_number(how: How) -> u64 {
    match how {
        How::Count => 0,
        How::Rate => 1,
        How::Level => 2,
        How::Latency => 3,
    }
}

/// A number: integers take as few bytes as they need.
pub(super) fn put_number(to: &mut Vec<u8>, x: f64) {
    let int = x as i64;
    if x.abs() < 9e15 && (int as f64).to_bits() == x.to_bits() {
        to.push(0);
        put_int(to, int);
    } else {
        to.push(1);
        put_float(to, x);
    }
}

pub(super) fn put_histogram(to: &mut Vec<u8>, h: &Histogram) {
    match &h.layout {
        Layout::Explicit(bounds) => {
            put_uint(to, bounds.len() as u64 * 2);
            bounds.iter().for_each(|b| put_float(to, *b));
        }
        &Layout::Exponential {
            scale,
            offset,
            zero,
        } => {
            put_uint(to, 1);
            put_int(to, scale.into());
            put_int(to, offset.into());
            put_uint(to, zero);
        }
    }
    put_uint(to, h.counts.len() as u64);
    h.counts.iter().for_each(|n| put_uint(to, *n));
    put_float(to, h.sum.unwrap_or(f64::NAN));
}

pub(super) fn put_slice(to: &mut Vec<u8>, slice: Slice) {
    match slice {
        Slice::Sum(sum) => {
            to.push(0);
            put_number(to, sum);
        }
        Slice::Until(bound, n) => {
            to.push(1);
            put_float(to, bound);
            put_number(to, n);
        }
    }
}

pub(super) fn put_distribution(to: &mut Vec<u8>, d: &Distribution) {
    put_int(to, d.scale.into());
    put_uint(to, d.zero_count);
    put_int(to, d.offset.into());
    put_uint(to, d.buckets.len() as u64);
    d.buckets.iter().for_each(|n| put_uint(to, *n));
    put_float(to, d.sum);
    put_uint(to, d.above.len() as u64);
    for (threshold, n) in &d.above {
        put_float(to, *threshold);
        put_uint(to, *n);
    }
}

/// Reads what was put.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a byte if it is this one.
    pub(super) fn next_is(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], Damaged> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(Damaged("it is cut off"))?;
        self.0 = tail;
        Ok(head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damaged> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn uint(&mut self) -> Result<u64, Damaged> {
        let mut n = 0_u64;
        for i in 0..10 {
            let byte = self.byte()?;
            n |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(Damaged("a number has no end"))
    }

    pub(super) fn int(&mut self) -> Result<i64, Damaged> {
        let raw = self.uint()?;
        Ok(((raw >> 1) as i64) ^ -((raw & 1) as i64))
    }

    pub(super) fn small<T: TryFrom<i64>>(&mut self) -> Result<T, Damaged> {
        T::try_from(self.int()?).map_err(|_| Damaged("a number is too large"))
    }

    pub(super) fn index(&mut self) -> Result<u32, Damaged> {
        u32::try_from(self.uint()?).map_err(|_| Damaged("a number is too large"))
    }

    /// A number of things that take at least a byte each.
    pub(super) fn count(&mut self) -> Result<usize, Damaged> {
        let n = usize::try_from(self.uint()?).unwrap_or(usize::MAX);
        if n > self.0.len() {
            return Err(Damaged("it is cut off"));
        }
        Ok(n)
    }

    pub(super) fn float(&mut self) -> Result<f64, Damaged> {
        let bytes = self.take(8)?.try_into().unwrap_or([0; 8]);
        Ok(f64::from_bits(u64::from_le_bytes(bytes)))
    }

    pub(super) fn number(&mut self) -> Result<f64, Damaged> {
        Ok(match self.byte()? {
            0 => self.int()? as f64,
            _ => self.float()?,
        })
    }

    pub(super) fn key(&mut self) -> Result<[u8; 16], Damaged> {
        Ok(self.take(16)?.try_into().unwrap_or([0; 16]))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Damaged> {
        let n = self.count()?;
        std::str::from_utf8(self.take(n)?).map_err(|_| Damaged("a text is not UTF-8"))
    }

    pub(super) fn series(&mut self) -> Result<SeriesKey, Damaged> {
        let api = self
            .text()?
            .parse()
            .map_err(|_| Damaged("a name is none"))?;
        let signal = Signal::parse(self.text()?).ok_or(Damaged("a signal is unknown"))?;
        Ok(SeriesKey { api, signal })
    }

    pub(super) fn how(&mut self) -> Result<How, Damaged> {
        Ok(match self.uint()? {
            0 => How::Count,
            1 => How::Rate,
            2 => How::Level,
            3 => How::Latency,
            _ => return Err(Damaged("a kind of sum is unknown")),
        })
    }

    pub(super) fn histogram(&mut self) -> Result<Histogram, Damaged> {
        let layout = match self.uint()? {
            1 => Layout::Exponential {
                scale: self.small()?,
                offset: self.small()?,
                zero: self.uint()?,
            },
            n => {
                let bounds = (0..n / 2)
                    .map(|_| self.float())
                    .collect::<Result<Vec<_>, _>>()?;
                Layout::Explicit(bounds.into())
            }
        };
        let counts = (0..self.count()?)
            .map(|_| self.uint())
            .collect::<Result<_, _>>()?;
        let sum = Some(self.float()?).filter(|s| !s.is_nan());
        Ok(Histogram {
            layout,
            counts,
            sum,
        })
    }

    pub(super) fn slice(&mut self) -> Result<Slice, Damaged> {
        Ok(match self.byte()? {
            0 => Slice::Sum(self.number()?),
            _ => Slice::Until(self.float()?, self.number()?),
        })
    }

    pub(super) fn distribution(&mut self) -> Result<Distribution, Damaged> {
        Ok(Distribution {
            scale: self.small()?,
            zero_count: self.uint()?,
            offset: self.small()?,
            buckets: (0..self.count()?)
                .map(|_| self.uint())
                .collect::<Result<_, _>>()?,
            sum: self.float()?,
            above: (0..self.count()?)
                .map(|_| Ok((self.float()?, self.uint()?)))
                .collect::<Result<_, _>>()?,
        })
    }
}
