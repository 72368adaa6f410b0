//! Histograms of others, and how they become distributions.
//!
//! A sender's histogram is kept as it came, in its own layout, until it is known which observations
//! are new: a cumulative one is only worth something as the difference to the one before. The
//! difference, and the part of it that falls into a step, are taken bucket by bucket in integers, so
//! that no observation is counted twice or lost. Only then it becomes a [`Distribution`], which is
//! exponential.
//!
//! Bounds that a sender chose become exact counts above them ([`Distribution::above`]), so an
//! objective whose threshold is such a bound is measured exactly. Within a bucket nothing is known,
//! and observations are spread evenly over it, as Prometheus' `histogram_quantile` does. The last
//! bucket has no end; what is in it lies just above the last bound, or where the sum says that it
//! must lie.
//!
//! Source: OpenTelemetry metrics data model, "Histogram" and "ExponentialHistogram: Upscaling";
//! downscaling by one merges buckets `2i` and `2i + 1`.

use std::sync::Arc;
use tidegate_core::distribution::{Distribution, MAX_BUCKETS};

/// Where the buckets lie.
#[derive(Debug, Clone, PartialEq)]
pub enum Layout {
    /// Upper, inclusive bounds of all buckets but the last, rising; one bucket more than bounds.
    Explicit(Arc<[f64]>),
    /// Bucket `i` covers `(base^(offset+i), base^(offset+i+1)]`, base = `2^(2^-scale)`.
    Exponential {
        /// Of the base.
        scale: i32,
        /// Index of the first bucket.
        offset: i32,
        /// Observations at or next to zero.
        zero: u64,
    },
}

/// A histogram as it was sent, or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Where the buckets lie.
    pub layout: Layout,
    /// Observations by bucket.
    pub counts: Vec<u64>,
    /// Sum of all observations, in the sender's unit; `None` where it does not tell.
    pub sum: Option<f64>,
}

impl Histogram {
    /// Number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        let zero = match self.layout {
            Layout::Explicit(_) => 0,
            Layout::Exponential { zero, .. } => zero,
        };
        self.counts.iter().fold(zero, |n, c| n.saturating_add(*c))
    }

    /// Whether anything is known of where observations lie.
    #[must_use]
    pub fn has_bounds(&self) -> bool {
        match &self.layout {
            Layout::Explicit(bounds) => !bounds.is_empty(),
            Layout::Exponential { .. } => true,
        }
    }

    /// What came since `before`; `None` when this one does not continue it: another layout, or
    /// fewer observations in some bucket.
    #[must_use]
    pub fn since(&self, before: &Self) -> Option<Self> {
        let sum = self.sum.zip(before.sum).map(|(now, then)| now - then);
        match (&self.layout, &before.layout) {
            (Layout::Explicit(now), Layout::Explicit(then)) => {
                if now != then || self.counts.len() != before.counts.len() {
                    return None;
                }
                let counts = less(&self.counts, &before.counts)?;
                Some(Self {
                    layout: self.layout.clone(),
                    counts,
                    sum,
                })
            }
            (&Layout::Exponential { scale: now, .. }, &Layout::Exponential { scale: then, .. }) => {
                let (mut after, mut base) = (self.clone(), before.clone());
                let coarser = now.min(then);
                after.downscale_to(coarser);
                base.downscale_to(coarser);
                let (
                    &Layout::Exponential { offset, zero, .. },
                    &Layout::Exponential {
                        offset: from,
                        zero: old,
                        ..
                    },
                ) = (&after.layout, &base.layout)
                else {
                    return None;
                };
                let mut counts = after.counts;
                // A sender that has too many buckets widens the one at zero over the lowest ones:
                // what was below the first that is left counts as zero now.
                let lead = counts.iter().take_while(|n| **n == 0).count() as i64;
                let mut old = old;
                for (i, &n) in base.counts.iter().enumerate() {
                    if n == 0 {
                        continue;
                    }
                    let at = i64::from(from) + i as i64 - i64::from(offset);
                    if at < lead {
                        old = old.saturating_add(n);
                        continue;
                    }
                    let bucket = counts.get_mut(usize::try_from(at).ok()?)?;
                    *bucket = bucket.checked_sub(n)?;
                }
                let zero = zero.checked_sub(old)?;
                Some(Self {
                    layout: Layout::Exponential {
                        scale: coarser,
                        offset,
                        zero,
                    },
                    counts,
                    sum,
                })
            }
            _ => None,
        }
    }

    /// The part of it that falls between `from` and `to` of `whole`, where it is spread evenly: per
    /// bucket the integer part of what has come until `to`, less the same until `from`. So parts
    /// that follow each other add up to the whole.
    #[must_use]
    pub fn part(&self, from: i64, to: i64, whole: i64) -> Self {
        if from <= 0 && to >= whole {
            return self.clone();
        }
        let share = |n: u64| share(n, to, whole) - share(n, from, whole);
        let layout = match &self.layout {
            Layout::Explicit(bounds) => Layout::Explicit(bounds.clone()),
            &Layout::Exponential {
                scale,
                offset,
                zero,
            } => Layout::Exponential {
                scale,
                offset,
                zero: share(zero),
            },
        };
        let counts: Vec<u64> = self.counts.iter().map(|&n| share(n)).collect();
        let mut part = Self {
            layout,
            counts,
            sum: None,
        };
        let (all, some) = (self.count(), part.count());
        part.sum = self
            .sum
            .filter(|_| all > 0)
            .map(|s| s * (some as f64 / all as f64));
        part
    }

    /// As a distribution in seconds; `factor` is the length of the sender's unit in seconds.
    #[must_use]
    pub fn distribution(&self, factor: f64) -> Distribution {
        let mut told = self.sum.unwrap_or(f64::NAN) * factor;
        if !(told.is_finite() && told >= 0.0) {
            told = f64::NAN;
        }
        let mut to = match &self.layout {
            Layout::Explicit(bounds) => explicit(bounds, &self.counts, factor, told),
            &Layout::Exponential {
                scale,
                offset,
                zero,
            } => exponential(scale, offset, zero, &self.counts, factor),
        };
        to.sum = if told.is_nan() { middle(&to) } else { told };
        to
    }

    fn downscale_to(&mut self, to: i32) {
        let Layout::Exponential { scale, offset, .. } = &mut self.layout else {
            return;
        };
        let by = (*scale - to).clamp(0, 63) as u32;
        if by == 0 {
            return;
        }
        let index = |i: usize| ((i64::from(*offset) + i as i64) >> by.min(40)) as i32;
        let first = index(0);
        let len = self
            .counts
            .len()
            .checked_sub(1)
            .map_or(0, |last| index(last) - first + 1);
        let mut counts = vec![0_u64; len as usize];
        for (i, &n) in self.counts.iter().enumerate() {
            let slot = &mut counts[(index(i) - first) as usize];
            *slot = slot.saturating_add(n);
        }
        self.counts = counts;
        *offset = first;
        *scale = to;
    }
}

/// The integer part of `n * at / whole`.
pub(crate) fn share(n: u64, at: i64, whole: i64) -> u64 {
    if at <= 0 || whole <= 0 {
        return 0;
    }
    if at >= whole {
        return n;
    }
    match n.checked_mul(at as u64) {
        Some(product) => product / whole as u64,
        None => (u128::from(n) * at as u128 / whole as u128) as u64,
    }
}

fn less(now: &[u64], then: &[u64]) -> Option<Vec<u64>> {
    let pairs = now.iter().zip(then);
    pairs.map(|(a, b)| a.checked_sub(*b)).collect()
}

/// Scale of what is made of explicit bounds: buckets grow by 9 %.
const SCALE: i8 = 3;
/// Indices beyond which nothing is told apart: 2^-30 s (a nanosecond) to 2^20 s (12 days).
const LOWEST: i32 = -30;
const HIGHEST: i32 = 20;

/// Index of the bucket of scale [`SCALE`] that holds `x` > 0.
fn index(x: f64) -> i32 {
    let at = libm::ceil(libm::log2(x) * f64::from(1 << SCALE)) - 1.0;
    (at as i32).clamp(LOWEST << SCALE, (HIGHEST << SCALE) - 1)
}

fn edge(index: i32) -> f64 {
    libm::exp2(f64::from(index) / f64::from(1 << SCALE))
}

fn explicit(bounds: &[f64], counts: &[u64], factor: f64, told: f64) -> Distribution {
    let mut spread = Spread::default();
    let mut above = Vec::with_capacity(bounds.len());
    let total: u64 = counts.iter().fold(0, |n, c| n.saturating_add(*c));
    let mut below = 0_u64;
    let mut known = 0.0;
    for (i, &n) in counts.iter().enumerate() {
        let low = i.checked_sub(1).map_or(0.0, |j| bounds[j]) * factor;
        let high = bounds.get(i).map(|b| b * factor);
        below = below.saturating_add(n);
        if let Some(high) = high {
            // Bounds far below any unit are one when they are told in seconds.
            let last = above.last().map_or(0.0, |(last, _)| *last);
            if high > last && high.is_finite() && bounds.len() <= MAX_THRESHOLDS {
                above.push((high, total - below.min(total)));
            }
            known += n as f64 * (low.max(0.0) + high.max(0.0)) / 2.0;
            spread.put(low, high, n);
        } else if n > 0 {
            // Their mean, as far as the sum tells it; at least the last bound.
            let rest = (told - known) / n as f64;
            let mean = if rest.is_finite() { rest.max(low) } else { low };
            spread.put(low, 2.0 * mean.max(low) - low, n);
        }
    }
    let mut to = spread.distribution();
    to.above = above;
    to
}

/// Bounds of which the exact counts are kept; a distribution must stay small.
const MAX_THRESHOLDS: usize = 64;

fn exponential(scale: i32, offset: i32, zero: u64, counts: &[u64], factor: f64) -> Distribution {
    let same_unit = (factor - 1.0).abs() < 1e-12;
    let used = counts
        .iter()
        .rposition(|n| *n > 0)
        .map_or(0, |last| last + 1);
    let octaves = |i: f64| i * libm::exp2(-f64::from(scale));
    // Beyond these, no duration lies; and within, merging never needs a scale below 2.
    let sane = (-4..=20).contains(&scale)
        && octaves(f64::from(offset)) >= -40.0
        && octaves(f64::from(offset) + used as f64) <= 40.0;
    if same_unit && sane {
        let lead = counts.iter().take_while(|n| **n == 0).count().min(used);
        let mut to = Distribution {
            scale: scale as i8,
            zero_count: zero,
            offset: if used == lead {
                0
            } else {
                offset + lead as i32
            },
            buckets: counts[lead..used].to_vec(),
            sum: 0.0,
            above: vec![],
        };
        if to.buckets.len() > MAX_BUCKETS {
            // Merging brings it down to what a distribution may have.
            let split = to.buckets.split_off(MAX_BUCKETS / 2);
            let mut rest = Distribution {
                offset: to.offset + (MAX_BUCKETS / 2) as i32,
                ..to.clone()
            };
            rest.buckets = split;
            rest.zero_count = 0;
            while rest.buckets.len() > MAX_BUCKETS {
                let tail = rest.buckets.split_off(MAX_BUCKETS / 2);
                let next = Distribution {
                    offset: rest.offset + (MAX_BUCKETS / 2) as i32,
                    buckets: tail,
                    ..rest.clone()
                };
                to.merge(&rest);
                rest = next;
            }
            to.merge(&rest);
        }
        return to;
    }
    let mut spread = Spread {
        zero,
        ..Spread::default()
    };
    for (i, &n) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
        let at = |i: i64| {
            let exponent = i as f64 * libm::exp2(-f64::from(scale));
            libm::exp2(exponent.clamp(-1000.0, 1000.0)) * factor
        };
        let i = i64::from(offset) + i as i64;
        spread.put(at(i), at(i + 1), n);
    }
    spread.distribution()
}

/// Observations by bucket of scale [`SCALE`].
#[derive(Default)]
struct Spread {
    zero: u64,
    buckets: std::collections::BTreeMap<i32, u64>,
}

impl Spread {
    /// Spreads `n` observations evenly over `(low, high]`.
    fn put(&mut self, low: f64, high: f64, n: u64) {
        if n == 0 {
            return;
        }
        if high.is_nan() || high <= 0.0 {
            self.zero = self.zero.saturating_add(n);
            return;
        }
        let low = low.max(0.0);
        let last = index(high);
        // From zero on, buckets have no beginning: eight octaves below hold all but 0.4 %.
        let first = if low > 0.0 {
            // A bucket begins above its lower edge.
            (index(low) + 1).min(last)
        } else {
            (last - (8 << SCALE)).max(LOWEST << SCALE)
        };
        let (span, whole) = (high - low, n);
        let mut given = 0;
        for i in first..=last {
            let until = if i == last {
                whole
            } else {
                let part = ((edge(i + 1) - low) / span).clamp(0.0, 1.0);
                ((part * whole as f64) as u64).clamp(given, whole)
            };
            if until > given {
                let slot = self.buckets.entry(i).or_default();
                *slot = slot.saturating_add(until - given);
                given = until;
            }
        }
    }

    fn distribution(&self) -> Distribution {
        let mut to = Distribution {
            scale: SCALE,
            zero_count: self.zero,
            ..Distribution::default()
        };
        let (Some((&first, _)), Some((&last, _))) = (
            self.buckets.first_key_value(),
            self.buckets.last_key_value(),
        ) else {
            return to;
        };
        // At most (HIGHEST - LOWEST) << SCALE = 400 buckets: too wide ones are made coarser.
        let mut scale = SCALE;
        while ((last >> (SCALE - scale)) - (first >> (SCALE - scale)) + 1) as usize > MAX_BUCKETS {
            scale -= 1;
        }
        let shift = SCALE - scale;
        let offset = first >> shift;
        to.scale = scale;
        to.offset = offset;
        to.buckets = vec![0; ((last >> shift) - offset + 1) as usize];
        for (&i, &n) in &self.buckets {
            let slot = &mut to.buckets[((i >> shift) - offset) as usize];
            *slot = slot.saturating_add(n);
        }
        to
    }
}

/// A sum where none was told: every observation in the middle of its bucket.
fn middle(d: &Distribution) -> f64 {
    let at = |i: usize| {
        let index = f64::from(d.offset) + i as f64 + 0.5;
        libm::exp2(index * libm::exp2(-f64::from(d.scale)))
    };
    let buckets = d.buckets.iter().enumerate();
    buckets.map(|(i, &n)| at(i) * n as f64).sum()
}

#[cfg(test)]
mod tests;
