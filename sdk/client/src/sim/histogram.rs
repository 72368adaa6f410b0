//! Latencies as an exponential histogram, in OpenTelemetry's layout.
//!
//! The shape in which a collector would report them (OpenTelemetry metrics data model,
//! "ExponentialHistogram"): base `2^(2^-scale)`, bucket `i` holds `(base^i, base^(i+1)]`. The scale
//! is fixed instead of adapted, because a service's histograms are added over steps, and the range
//! of latencies is bounded by the timeout.

/// A histogram of positive values with a constant relative bucket width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExponentialHistogram {
    scale: u8,
    offset: i32,
    counts: Vec<u64>,
}

impl ExponentialHistogram {
    /// An empty histogram of this scale (4: buckets 4.4 % wide; at most 10).
    pub fn new(scale: u8) -> Self {
        Self {
            scale: scale.min(10),
            offset: 0,
            counts: Vec::new(),
        }
    }

    /// Counts `count` values equal to `value`; values that are not finite or not above 0 go to the
    /// bucket of the smallest positive number.
    pub fn record(&mut self, value: f64, count: u64) {
        if count == 0 {
            return;
        }
        let index = self.index_of(value);
        if self.counts.is_empty() {
            self.offset = index;
        }
        if index < self.offset {
            let missing = self.offset.abs_diff(index) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.offset = index;
        }
        let slot = index.abs_diff(self.offset) as usize;
        if slot >= self.counts.len() {
            self.counts.resize(slot + 1, 0);
        }
        self.counts[slot] += count;
    }

    /// Adds another histogram of the same scale; one of another scale enters by its bucket bounds.
    pub fn add(&mut self, other: &Self) {
        for (index, &count) in (other.offset..).zip(&other.counts) {
            self.record(other.bound(index), count);
        }
    }

    /// The scale; the base is `2^(2^-scale)`.
    pub fn scale(&self) -> u8 {
        self.scale
    }

    /// Index of the first bucket in [`Self::counts`].
    pub fn offset(&self) -> i32 {
        self.offset
    }

    /// Counts of the consecutive buckets from [`Self::offset`] on.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Number of values recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Geometric middle of the bucket in which the `q`-quantile lies (`q` in 0..=1); none if empty.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = ((q * self.count() as f64).ceil() as u64).max(1);
        let mut below = 0;
        for (index, count) in (self.offset..).zip(&self.counts) {
            below += count;
            if below >= rank {
                return Some((self.bound(index) * self.bound(index - 1)).sqrt());
            }
        }
        None
    }

    fn index_of(&self, value: f64) -> i32 {
        let safe = if value.is_finite() && value > 0.0 {
            value
        } else {
            f64::MIN_POSITIVE
        };
        let position = libm::log2(safe) * f64::from(1u32 << self.scale);
        position.ceil() as i32 - 1
    }

    /// Upper bound of bucket `index`.
    fn bound(&self, index: i32) -> f64 {
        libm::exp2((f64::from(index) + 1.0) / f64::from(1u32 << self.scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        let mut h = ExponentialHistogram::new(0);
        h.record(2.0, 1);
        h.record(2.0001, 1);
        assert_eq!((h.offset(), h.counts()), (0, &[1, 1][..]));
    }

    #[test]
    fn values_below_the_first_bucket_extend_it_downwards() {
        let mut h = ExponentialHistogram::new(1);
        h.record(1.0, 3);
        h.record(0.25, 2);
        h.record(8.0, 1);
        assert_eq!(h.count(), 6);
        assert_eq!(h.offset(), -5);
        assert_eq!((h.counts()[0], h.counts()[4], h.counts()[10]), (2, 3, 1));
    }

    #[test]
    fn quantiles_are_within_a_bucket_of_the_truth() {
        let mut h = ExponentialHistogram::new(4);
        for i in 1..=1000 {
            h.record(f64::from(i) / 1000.0, 1);
        }
        for q in [0.1, 0.5, 0.9, 0.99] {
            let got = h.quantile(q).unwrap();
            assert!((got / q - 1.0).abs() < 0.045, "{q}: {got}");
        }
        assert_eq!(ExponentialHistogram::new(4).quantile(0.5), None);
    }

    #[test]
    fn adding_keeps_every_count_in_its_bucket() {
        let (mut a, mut b) = (ExponentialHistogram::new(4), ExponentialHistogram::new(4));
        for i in 1..200 {
            a.record(f64::from(i) * 0.003, 2);
            b.record(f64::from(i) * 0.003, 2);
        }
        let before = a.clone();
        a.add(&b);
        let doubled: Vec<u64> = before.counts().iter().map(|c| 2 * c).collect();
        assert_eq!((a.offset(), a.counts()), (before.offset(), &doubled[..]));
    }
}
