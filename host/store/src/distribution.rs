//! Distributions as bytes: in the head and in write-ahead records one by one, in sealed blocks as
//! columns.
//!
//! Neighbouring buckets are mostly empty or small, so one distribution is varints with runs of
//! empty buckets counted; a block instead compresses each field over all its samples, where the
//! likeness of one step to the next is.

use crate::codec::{Malformed, Reader, put_int, put_uint};
use tidegate_core::distribution::Distribution;

/// Appends a distribution.
pub(crate) fn encode(d: &Distribution, to: &mut Vec<u8>) {
    to.push(d.scale as u8);
    put_uint(to, d.zero_count);
    put_int(to, i64::from(d.offset));
    put_uint(to, d.buckets.len() as u64);
    let mut buckets = d.buckets.iter().peekable();
    while let Some(count) = buckets.next() {
        put_uint(to, *count);
        if *count == 0 {
            let mut more = 0;
            while buckets.next_if(|c| **c == 0).is_some() {
                more += 1;
            }
            put_uint(to, more);
        }
    }
    to.extend_from_slice(&d.sum.to_le_bytes());
    put_uint(to, d.above.len() as u64);
    for (threshold, count) in &d.above {
        to.extend_from_slice(&threshold.to_le_bytes());
        put_uint(to, *count);
    }
}

/// Most buckets that are decoded; far above what is admitted, it only bounds damaged bytes.
const SANE: u64 = 1 << 20;

/// Reads a distribution.
pub(crate) fn decode(bytes: &[u8]) -> Result<Distribution, Malformed> {
    let mut r = Reader::new(bytes);
    let scale = r.byte()? as i8;
    let zero_count = r.uint()?;
    let offset = i32::try_from(r.int()?).map_err(|_| Malformed("a bucket offset is too large"))?;
    let n = r.uint()?;
    if n > SANE {
        return Err(Malformed("it claims too many buckets"));
    }
    let n = n as usize;
    let mut buckets = vec![];
    while buckets.len() < n {
        let count = r.uint()?;
        buckets.push(count);
        if count == 0 {
            let more = r.uint()?;
            if more > (n - buckets.len()) as u64 {
                return Err(Malformed("a run of empty buckets is too long"));
            }
            buckets.resize(buckets.len() + more as usize, 0);
        }
    }
    let sum = r.float()?;
    let above = (0..r.count(9)?)
        .map(|_| Ok((r.float()?, r.uint()?)))
        .collect::<Result<_, Malformed>>()?;
    if !r.is_empty() {
        return Err(Malformed("bytes follow a distribution"));
    }
    Ok(Distribution {
        scale,
        zero_count,
        offset,
        buckets,
        sum,
        above,
    })
}

/// Many distributions, field by field.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    pub(crate) scales: Vec<i64>,
    pub(crate) zeros: Vec<u64>,
    pub(crate) offsets: Vec<i64>,
    pub(crate) widths: Vec<u64>,
    pub(crate) buckets: Vec<u64>,
    pub(crate) sums: Vec<f64>,
    pub(crate) marks: Vec<u64>,
    pub(crate) thresholds: Vec<f64>,
    pub(crate) beyond: Vec<u64>,
}

impl Columns {
    pub(crate) fn push(&mut self, d: &Distribution) {
        self.scales.push(i64::from(d.scale));
        self.zeros.push(d.zero_count);
        self.offsets.push(i64::from(d.offset));
        self.widths.push(d.buckets.len() as u64);
        self.buckets.extend_from_slice(&d.buckets);
        self.sums.push(d.sum);
        self.marks.push(d.above.len() as u64);
        self.thresholds.extend(d.above.iter().map(|(t, _)| *t));
        self.beyond.extend(d.above.iter().map(|(_, n)| *n));
    }

    /// The distributions again.
    pub(crate) fn rows(&self) -> Result<Vec<Distribution>, Malformed> {
        const SHORT: Malformed = Malformed("its columns differ in length");
        let (mut bucket, mut mark) = (0_usize, 0_usize);
        let take = |at: &mut usize, n: u64| {
            let from = *at;
            *at = usize::try_from(n)
                .ok()
                .and_then(|n| from.checked_add(n))
                .ok_or(SHORT)?;
            Ok(from..*at)
        };
        (0..self.scales.len())
            .map(|i| {
                let width = *self.widths.get(i).ok_or(SHORT)?;
                if width > SANE {
                    return Err(Malformed("it claims too many buckets"));
                }
                let buckets = self.buckets.get(take(&mut bucket, width)?).ok_or(SHORT)?;
                let marks = take(&mut mark, *self.marks.get(i).ok_or(SHORT)?)?;
                let thresholds = self.thresholds.get(marks.clone()).ok_or(SHORT)?;
                let beyond = self.beyond.get(marks).ok_or(SHORT)?;
                Ok(Distribution {
                    scale: i8::try_from(self.scales[i]).map_err(|_| SHORT)?,
                    zero_count: *self.zeros.get(i).ok_or(SHORT)?,
                    offset: i32::try_from(*self.offsets.get(i).ok_or(SHORT)?).map_err(|_| SHORT)?,
                    buckets: buckets.to_vec(),
                    sum: *self.sums.get(i).ok_or(SHORT)?,
                    above: thresholds
                        .iter()
                        .copied()
                        .zip(beyond.iter().copied())
                        .collect(),
                })
            })
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_distribution() -> impl Strategy<Value = Distribution> {
        let count = prop_oneof![4 => Just(0_u64), 4 => 1_u64..100, 1 => any::<u64>()];
        (
            any::<i8>(),
            any::<u64>(),
            any::<i32>(),
            prop::collection::vec(count, 0..60),
            any::<f64>(),
            prop::collection::vec((any::<f64>(), any::<u64>()), 0..4),
        )
            .prop_map(
                |(scale, zero_count, offset, buckets, sum, above)| Distribution {
                    scale,
                    zero_count,
                    offset,
                    buckets,
                    sum,
                    above,
                },
            )
    }

    proptest! {
        #[test]
        fn a_distribution_comes_back_exactly(d in any_distribution()) {
            let mut bytes = vec![];
            encode(&d, &mut bytes);
            prop_assert_eq!(format!("{:?}", decode(&bytes)), format!("{:?}", Ok::<_, Malformed>(d)));
        }

        #[test]
        fn columns_hold_what_was_pushed(all in prop::collection::vec(any_distribution(), 0..10)) {
            let mut columns = Columns::default();
            all.iter().for_each(|d| columns.push(d));
            prop_assert_eq!(format!("{:?}", columns.rows()), format!("{:?}", Ok::<_, Malformed>(all)));
        }

        #[test]
        fn any_bytes_are_decoded_without_a_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
