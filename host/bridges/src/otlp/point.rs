//! Points: one struct for the five kinds, over buffers that are used again for each.
//!
//! A point's attributes stay encoded. Who has seen the same bytes before knows what they say, and
//! that is nearly always so; [`super::key_value`] reads them for who has not.

use super::Kind;
use crate::histogram::{Histogram, Layout};
use crate::wire::{Field, Malformed, Part, Value};
use std::sync::Arc;

/// Buckets of one point that are read; SDKs send 16 or 160, and a distribution keeps 320.
pub(crate) const MAX_BUCKETS: usize = 4096;

/// What a point says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading<'a> {
    /// Of a gauge or a sum.
    Number(f64),
    /// Of a histogram.
    Explicit {
        /// Number of observations.
        count: u64,
        /// Their sum; some senders leave it out.
        sum: Option<f64>,
        /// Upper, inclusive bounds of all buckets but the last, rising.
        bounds: &'a [f64],
        /// One more than there are bounds.
        counts: &'a [u64],
    },
    /// Of an exponential histogram: bucket `i` covers `(base^(offset+i), base^(offset+i+1)]`.
    Exponential {
        /// Number of observations.
        count: u64,
        /// Their sum.
        sum: Option<f64>,
        /// base = `2^(2^-scale)`.
        scale: i32,
        /// Observations at or next to zero.
        zero: u64,
        /// Index of the first bucket.
        offset: i32,
        /// Buckets.
        counts: &'a [u64],
    },
    /// Of a summary.
    Summary {
        /// Number of observations.
        count: u64,
        /// Their sum.
        sum: f64,
    },
    /// The sender says that the stream has no value any more (flag `NO_RECORDED_VALUE`).
    Ended,
    /// Nothing that could be used, and why.
    Unusable(&'static str),
}

impl Reading<'_> {
    /// The histogram that it tells of, if it does. `last` are the bounds of the last one, which nearly all have
    /// in common.
    #[must_use]
    pub fn histogram(&self, last: &mut Arc<[f64]>) -> Option<Histogram> {
        match *self {
            Self::Explicit {
                count,
                sum,
                bounds,
                counts,
            } => {
                if **last != *bounds {
                    *last = bounds.into();
                }
                let layout = Layout::Explicit(Arc::clone(last));
                let counts = match counts.is_empty() {
                    true => vec![count],
                    false => counts.to_vec(),
                };
                Some(Histogram {
                    layout,
                    counts,
                    sum,
                })
            }
            Self::Exponential {
                sum,
                scale,
                zero,
                offset,
                counts,
                ..
            } => Some(Histogram {
                layout: Layout::Exponential {
                    scale,
                    offset,
                    zero,
                },
                counts: counts.to_vec(),
                sum,
            }),
            Self::Number(_) | Self::Summary { .. } | Self::Ended | Self::Unusable(_) => None,
        }
    }
}

/// A point of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point<'a> {
    /// Its attributes, each an encoded `KeyValue`.
    pub attributes: &'a [Part<'a>],
    /// The same as fields of the point, side by side: the same bytes are the same attributes.
    pub named: &'a [u8],
    /// Since when it counts, in nanoseconds since the epoch; 0 is unknown.
    pub start: u64,
    /// When it was read, in nanoseconds since the epoch.
    pub time: u64,
    /// What it says.
    pub reading: Reading<'a>,
    /// Where it begins in the body.
    pub at: usize,
}

/// Buffers of the walk.
#[derive(Debug, Default)]
pub(super) struct Scratch<'a> {
    attributes: Vec<Part<'a>>,
    /// Attributes that do not stand side by side.
    named: Vec<u8>,
    bounds: Vec<f64>,
    counts: Vec<u64>,
}

/// The fields of a point that are the same number in no two kinds.
#[derive(Default)]
struct Parts {
    start: u64,
    time: u64,
    flags: u64,
    number: Option<f64>,
    count: u64,
    sum: Option<f64>,
    scale: i32,
    zero: u64,
    offset: i32,
    too_many: bool,
    negative: bool,
}

impl<'a> Scratch<'a> {
    pub(super) fn read(&mut self, kind: Kind, part: Part<'a>) -> Result<Point<'_>, Malformed> {
        self.attributes.clear();
        self.named.clear();
        self.bounds.clear();
        self.counts.clear();
        let mut parts = Parts::default();
        let attribute = match kind {
            Kind::Gauge | Kind::Counter(_) | Kind::UpDown(_) | Kind::Summary => 7,
            Kind::Histogram(_) => 9,
            Kind::Exponential(_) => 1,
        };
        // Where the attributes begin and end; more than one stretch of them is copied.
        let mut stretch = 0..0;
        let mut fields = part.walk();
        loop {
            let from = fields.offset();
            let Some(field) = fields.next()? else {
                break;
            };
            match field.number {
                number if number == attribute => {
                    self.attributes.push(field.part()?);
                    if stretch.end != from && !stretch.is_empty() {
                        self.named.extend_from_slice(&part.bytes[stretch]);
                        stretch = from..from;
                    } else if stretch.is_empty() {
                        stretch = from..from;
                    }
                    stretch.end = fields.offset();
                }
                2 => parts.start = field.fixed64()?,
                3 => parts.time = field.fixed64()?,
                _ => match kind {
                    Kind::Gauge | Kind::Counter(_) | Kind::UpDown(_) => {
                        Self::number(&field, &mut parts)?;
                    }
                    Kind::Histogram(_) => self.histogram(&field, &mut parts)?,
                    Kind::Exponential(_) => self.exponential(&field, &mut parts)?,
                    Kind::Summary => Self::summary(&field, &mut parts)?,
                },
            }
        }
        if !self.named.is_empty() {
            self.named.extend_from_slice(&part.bytes[stretch.clone()]);
        }
        let named = if self.named.is_empty() {
            &part.bytes[stretch]
        } else {
            &self.named
        };
        Ok(Point {
            attributes: &self.attributes,
            named,
            start: parts.start,
            time: parts.time,
            reading: self.reading(kind, &parts),
            at: part.at,
        })
    }

    fn number(field: &Field<'a>, parts: &mut Parts) -> Result<(), Malformed> {
        match field.number {
            4 => parts.number = Some(f64::from_bits(field.fixed64()?)),
            6 => parts.number = Some(field.fixed64()? as i64 as f64),
            8 => parts.flags = field.varint()?,
            _ => {}
        }
        Ok(())
    }

    fn histogram(&mut self, field: &Field<'a>, parts: &mut Parts) -> Result<(), Malformed> {
        match field.number {
            4 => parts.count = field.fixed64()?,
            5 => parts.sum = Some(f64::from_bits(field.fixed64()?)),
            6 => match field.value {
                Value::Part(packed) if packed.bytes.len() <= MAX_BUCKETS * 8 => {
                    self.counts.extend(packed.packed64()?);
                }
                Value::Part(_) => parts.too_many = true,
                Value::Varint(_) | Value::Fixed64(_) | Value::Fixed32(_) => {
                    self.counts.push(field.fixed64()?);
                }
            },
            7 => match field.value {
                Value::Part(packed) if packed.bytes.len() <= MAX_BUCKETS * 8 => {
                    self.bounds.extend(packed.packed64()?.map(f64::from_bits));
                }
                Value::Part(_) => parts.too_many = true,
                Value::Varint(_) | Value::Fixed64(_) | Value::Fixed32(_) => {
                    self.bounds.push(f64::from_bits(field.fixed64()?));
                }
            },
            10 => parts.flags = field.varint()?,
            _ => {}
        }
        Ok(())
    }

    fn exponential(&mut self, field: &Field<'a>, parts: &mut Parts) -> Result<(), Malformed> {
        match field.number {
            4 => parts.count = field.fixed64()?,
            5 => parts.sum = Some(f64::from_bits(field.fixed64()?)),
            6 => parts.scale = field.sint32()?,
            7 => parts.zero = field.fixed64()?,
            8 => {
                let mut buckets = field.part()?.walk();
                while let Some(field) = buckets.next()? {
                    match (field.number, field.value) {
                        (1, _) => parts.offset = field.sint32()?,
                        (2, Value::Part(packed)) => {
                            for count in packed.packed_varints() {
                                let count = count?;
                                if self.counts.len() < MAX_BUCKETS {
                                    self.counts.push(count);
                                } else {
                                    parts.too_many = true;
                                }
                            }
                        }
                        (2, _) if self.counts.len() < MAX_BUCKETS => {
                            self.counts.push(field.varint()?);
                        }
                        (2, _) => parts.too_many = true,
                        _ => {}
                    }
                }
            }
            9 => {
                let mut buckets = field.part()?.walk();
                while let Some(field) = buckets.next()? {
                    let any = match (field.number, field.value) {
                        (2, Value::Part(packed)) => {
                            let mut any = false;
                            for count in packed.packed_varints() {
                                any |= count? > 0;
                            }
                            any
                        }
                        (2, _) => field.varint()? > 0,
                        _ => false,
                    };
                    parts.negative |= any;
                }
            }
            10 => parts.flags = field.varint()?,
            _ => {}
        }
        Ok(())
    }

    fn summary(field: &Field<'a>, parts: &mut Parts) -> Result<(), Malformed> {
        match field.number {
            4 => parts.count = field.fixed64()?,
            5 => parts.sum = Some(f64::from_bits(field.fixed64()?)),
            8 => parts.flags = field.varint()?,
            _ => {}
        }
        Ok(())
    }

    fn reading(&self, kind: Kind, parts: &Parts) -> Reading<'_> {
        if parts.flags & 1 == 1 {
            return Reading::Ended;
        }
        let total = || self.counts.iter().fold(0_u64, |n, c| n.saturating_add(*c));
        match kind {
            Kind::Gauge | Kind::Counter(_) | Kind::UpDown(_) => match parts.number {
                Some(number) => Reading::Number(number),
                None => Reading::Unusable("it has no value"),
            },
            Kind::Histogram(_) | Kind::Exponential(_)
                if parts.too_many || self.counts.len() > MAX_BUCKETS =>
            {
                Reading::Unusable("it has more than 4096 buckets; send fewer")
            }
            Kind::Histogram(_) => {
                let counts = &self.counts[..];
                let rising = self.bounds.windows(2).all(|w| w[0] < w[1]);
                if !rising || self.bounds.iter().any(|b| !b.is_finite()) {
                    Reading::Unusable("its bounds are not finite and rising")
                } else if counts.is_empty() && self.bounds.is_empty() {
                    // Without buckets only the count is told; the specification allows it.
                    Reading::Explicit {
                        count: parts.count,
                        sum: parts.sum,
                        bounds: &[],
                        counts: &[],
                    }
                } else if counts.len() != self.bounds.len() + 1 {
                    Reading::Unusable("it has not one bucket more than bounds")
                } else if total() != parts.count {
                    Reading::Unusable("its buckets do not add up to its count")
                } else {
                    Reading::Explicit {
                        count: parts.count,
                        sum: parts.sum,
                        bounds: &self.bounds,
                        counts,
                    }
                }
            }
            Kind::Exponential(_) if parts.negative => {
                Reading::Unusable("it has observations below zero, which no duration is")
            }
            Kind::Exponential(_) if !(-20..=40).contains(&parts.scale) => {
                Reading::Unusable("its scale is not between -20 and 40")
            }
            Kind::Exponential(_) if total().saturating_add(parts.zero) != parts.count => {
                Reading::Unusable("its buckets do not add up to its count")
            }
            Kind::Exponential(_) => Reading::Exponential {
                count: parts.count,
                sum: parts.sum,
                scale: parts.scale,
                zero: parts.zero,
                offset: parts.offset,
                counts: &self.counts,
            },
            Kind::Summary => Reading::Summary {
                count: parts.count,
                sum: parts.sum.unwrap_or(0.0),
            },
        }
    }
}
