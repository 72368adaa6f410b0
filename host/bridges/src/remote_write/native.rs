//! Native histograms: sparse buckets whose bounds grow by a factor, or that the sender chose.
//!
//! Buckets come as spans of indices and, in integers, each as the difference to the one before it; a
//! float histogram has the counts themselves. They are laid out side by side here, with the gaps
//! between spans filled by zeros, so their number is bounded before anything is filled. Prometheus'
//! index `i` covers `(base^(i-1), base^i]`, OpenTelemetry's, which is used here, one more.
//!
//! Counts of a float histogram are rounded: what is rounded still only grows, and the error is never
//! more than one observation a bucket, whatever the time.
//!
//! Source: prometheus.io, "Native histograms"; `prometheus/prompb/types.proto` and
//! `io/prometheus/write/v2/types.proto`, in which the message is the same.

use super::STALE;
use crate::histogram::{Histogram, Layout};
use crate::wire::{Field, Malformed, Part, Value};

/// Buckets of one histogram that are read, gaps included.
const MAX_BUCKETS: usize = 4096;

/// The schema of bounds that the sender chose.
const CUSTOM: i32 = -53;

/// A native histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct Native {
    /// When it was read, in milliseconds since the epoch.
    pub time: i64,
    /// Since when it counts; `None` where the sender does not say.
    pub start: Option<i64>,
    /// What it says.
    pub told: Told,
}

/// What a native histogram says.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// Buckets.
    Histogram(Histogram),
    /// That its series has ended.
    Stale,
    /// Nothing that could be used, and why.
    Unusable(&'static str),
}

/// The fields of a message.
#[derive(Default)]
struct Fields {
    count: u64,
    zero: u64,
    sum: f64,
    schema: i32,
    gauge: bool,
    spans: Vec<(i32, u32)>,
    deltas: Vec<i64>,
    floats: Vec<f64>,
    custom: Vec<f64>,
    negative: bool,
    wrong: Option<&'static str>,
    time: i64,
    start: i64,
}

fn zigzag(raw: u64) -> i64 {
    ((raw >> 1) as i64) ^ -((raw & 1) as i64)
}

/// Varints, packed or one.
fn varints(field: &Field<'_>, mut each: impl FnMut(u64)) -> Result<(), Malformed> {
    match field.value {
        Value::Part(packed) => packed
            .packed_varints()
            .try_for_each(|number| number.map(&mut each)),
        Value::Varint(number) => {
            each(number);
            Ok(())
        }
        Value::Fixed64(_) | Value::Fixed32(_) => field.varint().map(drop),
    }
}

/// Doubles, packed or one.
fn doubles(field: &Field<'_>, mut each: impl FnMut(f64)) -> Result<(), Malformed> {
    match field.value {
        Value::Part(packed) => {
            packed.packed64()?.map(f64::from_bits).for_each(each);
            Ok(())
        }
        Value::Varint(_) | Value::Fixed64(_) | Value::Fixed32(_) => {
            each(f64::from_bits(field.fixed64()?));
            Ok(())
        }
    }
}

/// `BucketSpan`: offset = 1, length = 2.
fn span(part: Part<'_>) -> Result<(i32, u32), Malformed> {
    let (mut offset, mut length) = (0, 0);
    let mut fields = part.walk();
    while let Some(field) = fields.next()? {
        match field.number {
            1 => offset = field.sint32()?,
            2 => length = field.varint()? as u32,
            _ => {}
        }
    }
    Ok((offset, length))
}

/// Reads a message.
pub(super) fn read(part: Part<'_>) -> Result<Native, Malformed> {
    let mut to = Fields::default();
    let mut walk = part.walk();
    while let Some(field) = walk.next()? {
        to.field(&field)?;
    }
    Ok(Native {
        time: to.time,
        start: Some(to.start).filter(|s| *s > 0),
        told: to.told(),
    })
}

impl Fields {
    fn field(&mut self, field: &Field<'_>) -> Result<(), Malformed> {
        match field.number {
            1 => self.count = field.varint()?,
            2 => self.count = self.whole(f64::from_bits(field.fixed64()?)),
            3 => self.sum = f64::from_bits(field.fixed64()?),
            4 => self.schema = field.sint32()?,
            6 => self.zero = field.varint()?,
            7 => self.zero = self.whole(f64::from_bits(field.fixed64()?)),
            9 => varints(field, |raw| self.negative |= raw != 0)?,
            10 => doubles(field, |n| self.negative |= n != 0.0)?,
            11 if self.spans.len() < MAX_BUCKETS => self.spans.push(span(field.part()?)?),
            12 => varints(field, |raw| {
                if self.deltas.len() <= MAX_BUCKETS {
                    self.deltas.push(zigzag(raw));
                }
            })?,
            13 => doubles(field, |n| {
                if self.floats.len() <= MAX_BUCKETS {
                    self.floats.push(n);
                }
            })?,
            14 => self.gauge = field.varint()? == 3,
            15 => self.time = field.varint()? as i64,
            16 => doubles(field, |bound| {
                if self.custom.len() <= MAX_BUCKETS {
                    self.custom.push(bound);
                }
            })?,
            17 => self.start = field.varint()? as i64,
            _ => {}
        }
        Ok(())
    }

    /// A count that may be a fraction.
    fn whole(&mut self, n: f64) -> u64 {
        if !(n.is_finite() && n >= 0.0) {
            self.wrong = Some("a count of it is no finite number of 0 or more");
        }
        (n + 0.5) as u64
    }

    fn told(mut self) -> Told {
        if self.sum.to_bits() == STALE {
            return Told::Stale;
        }
        match self.histogram() {
            Ok(histogram) => Told::Histogram(histogram),
            Err(why) => Told::Unusable(why),
        }
    }

    fn histogram(&mut self) -> Result<Histogram, &'static str> {
        if self.gauge {
            return Err("it is a gauge histogram, which does not count from a start");
        }
        if self.negative {
            return Err("it has observations below zero, which no duration is");
        }
        let (first, counts) = self.counts()?;
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let total = counts.iter().fold(self.zero, |n, c| n.saturating_add(*c));
        // What is no number is in no bucket, and makes the sum none.
        let fits = if self.floats.is_empty() {
            total == self.count || (self.sum.is_nan() && total < self.count)
        } else {
            // Each was rounded by itself.
            total.abs_diff(self.count) <= counts.len() as u64 + 1
        };
        if !fits {
            return Err("its buckets do not add up to its count");
        }
        let sum = Some(self.sum).filter(|s| s.is_finite());
        if self.schema == CUSTOM {
            return custom(first, &counts, self.zero, &mut self.custom, sum);
        }
        if !(-4..=8).contains(&self.schema) {
            return Err("its schema is not between -4 and 8, nor -53");
        }
        Ok(Histogram {
            layout: Layout::Exponential {
                scale: self.schema,
                offset: first.saturating_sub(1),
                zero: self.zero,
            },
            counts,
            sum,
        })
    }

    /// The index of the first bucket, and the buckets side by side.
    fn counts(&mut self) -> Result<(i32, Vec<u64>), &'static str> {
        const BEYOND: &str = "its spans lie too far apart, or it has more than 4096 buckets";
        let told = self.spans.iter().map(|(_, n)| u64::from(*n));
        let told = told.fold(0_u64, u64::saturating_add);
        let have = self.deltas.len().max(self.floats.len()) as u64;
        if told != have || (!self.deltas.is_empty() && !self.floats.is_empty()) {
            return Err("its spans are not as long as its buckets");
        }
        let mut values = Vec::with_capacity(self.deltas.len().max(self.floats.len()));
        let mut running = 0_i64;
        for delta in std::mem::take(&mut self.deltas) {
            running = running
                .checked_add(delta)
                .filter(|n| *n >= 0)
                .ok_or("a bucket of it is below zero, or larger than can be counted")?;
            values.push(running as u64);
        }
        let floats = self.floats.clone();
        values.extend(floats.into_iter().map(|n| self.whole(n)));
        let (mut counts, mut first, mut values) = (vec![], 0, values.into_iter());
        for (i, (offset, length)) in self.spans.iter().enumerate() {
            if i == 0 {
                first = *offset;
            } else {
                let gap = usize::try_from(*offset).map_err(|_| BEYOND)?;
                if counts.len() + gap > MAX_BUCKETS {
                    return Err(BEYOND);
                }
                counts.resize(counts.len() + gap, 0);
            }
            if counts.len() + *length as usize > MAX_BUCKETS {
                return Err(BEYOND);
            }
            counts.extend(values.by_ref().take(*length as usize));
        }
        if first.checked_add(counts.len() as i32).is_none() {
            return Err(BEYOND);
        }
        Ok((first, counts))
    }
}

/// Of bounds that the sender chose: bucket `i` ends with bound `i`, and the last has no end.
fn custom(
    first: i32,
    counts: &[u64],
    zero: u64,
    bounds: &mut Vec<f64>,
    sum: Option<f64>,
) -> Result<Histogram, &'static str> {
    if bounds.last() == Some(&f64::INFINITY) {
        bounds.pop();
    }
    let rising = bounds.windows(2).all(|w| w[0] < w[1]);
    if !rising || bounds.iter().any(|b| !b.is_finite()) || bounds.len() > MAX_BUCKETS {
        return Err("its bounds are not finite and rising");
    }
    let first = usize::try_from(first).unwrap_or(usize::MAX);
    if zero > 0 || first.saturating_add(counts.len()) > bounds.len() + 1 {
        return Err("it has buckets beyond its bounds");
    }
    let mut all = vec![0; bounds.len() + 1];
    all[first..first + counts.len()].copy_from_slice(counts);
    Ok(Histogram {
        layout: Layout::Explicit(bounds.as_slice().into()),
        counts: all,
        sum,
    })
}
