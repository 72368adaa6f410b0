//! Latency distributions: exponential histograms plus exact counts beyond SLO thresholds.
//!
//! An SLO needs the *exact* number of requests slower than its threshold; bucket interpolation
//! would move error budgets by the bucket's width. So a distribution carries both: an OpenTelemetry
//! exponential histogram (base `2^(2^-scale)`), mergeable by downscaling, for quantiles; and a
//! count per threshold that the sender was told to count.

/// Observations of one step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Distribution {
    /// OpenTelemetry scale: bucket `i` covers `(base^i, base^(i+1)]`, base = `2^(2^-scale)`.
    pub scale: i8,
    /// Observations at or next to zero.
    pub zero_count: u64,
    /// Index of the first bucket.
    pub offset: i32,
    /// Counts of consecutive buckets.
    pub buckets: Vec<u64>,
    /// Sum of all observations, in seconds.
    pub sum: f64,
    /// `(threshold in seconds, observations strictly above it)`, thresholds rising.
    pub above: Vec<(f64, u64)>,
}

/// Most buckets that a distribution may carry; OpenTelemetry's SDKs default to 160.
pub const MAX_BUCKETS: usize = 320;

impl Distribution {
    /// Number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets
            .iter()
            .fold(self.zero_count, |n, &b| n.saturating_add(b))
    }

    /// Mean in seconds, `None` without observations.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let n = self.count();
        (n > 0).then(|| self.sum / n as f64)
    }

    /// Observations above `threshold` seconds: exact where the sender counted that threshold, else
    /// from the buckets, with the bucket that holds the threshold divided in proportion.
    #[must_use]
    pub fn above(&self, threshold: f64) -> f64 {
        if let Some(&(_, n)) = self
            .above
            .iter()
            .find(|(t, _)| (t - threshold).abs() <= 1e-9 * threshold)
        {
            return n as f64;
        }
        let mut total = 0.0;
        for (i, &n) in self.buckets.iter().enumerate() {
            let (low, high) = (self.edge(i), self.edge(i + 1));
            if low >= threshold {
                total += n as f64;
            } else if high > threshold {
                total += n as f64 * (high - threshold) / (high - low);
            }
        }
        total
    }

    /// Quantile in seconds: the upper edge of the bucket that holds it, `None` without
    /// observations.
    #[must_use]
    pub fn quantile(&self, probability: f64) -> Option<f64> {
        let n = self.count();
        if n == 0 {
            return None;
        }
        let rank = probability.clamp(0.0, 1.0) * n as f64;
        let mut seen = self.zero_count as f64;
        if seen >= rank && self.zero_count > 0 {
            return Some(0.0);
        }
        for (i, &count) in self.buckets.iter().enumerate() {
            seen += count as f64;
            if seen >= rank && count > 0 {
                return Some(self.edge(i + 1));
            }
        }
        Some(self.edge(self.buckets.len()))
    }

    /// Lower edge of bucket `i`, in seconds.
    fn edge(&self, i: usize) -> f64 {
        let index = f64::from(self.offset) + i as f64;
        libm::exp2(index * libm::exp2(-f64::from(self.scale)))
    }

    /// Adds another distribution, at the coarser of the two scales, and coarser still where the
    /// result would exceed [`MAX_BUCKETS`]. Threshold counts survive only where both have them.
    pub fn merge(&mut self, other: &Self) {
        if other.count() == 0 {
            return;
        }
        if self.count() == 0 {
            *self = other.clone();
            return;
        }
        let mut right = other.clone();
        let scale = self.scale.min(right.scale);
        self.downscale_to(scale);
        right.downscale_to(scale);
        let span = |a: &Self, b: &Self| {
            let start = a.offset.min(b.offset);
            let end = (a.offset + a.buckets.len() as i32).max(b.offset + b.buckets.len() as i32);
            (start, (end - start) as usize)
        };
        while span(self, &right).1 > MAX_BUCKETS {
            let coarser = self.scale - 1;
            self.downscale_to(coarser);
            right.downscale_to(coarser);
        }
        let (start, len) = span(self, &right);
        let mut buckets = vec![0_u64; len];
        for d in [&*self, &right] {
            let shift = (d.offset - start) as usize;
            for (i, &n) in d.buckets.iter().enumerate() {
                buckets[shift + i] = buckets[shift + i].saturating_add(n);
            }
        }
        self.offset = start;
        self.buckets = buckets;
        self.zero_count = self.zero_count.saturating_add(right.zero_count);
        self.sum += right.sum;
        self.above = self
            .above
            .iter()
            .filter_map(|&(t, n)| {
                let same = right.above.iter().find(|(u, _)| u.total_cmp(&t).is_eq())?;
                Some((t, n.saturating_add(same.1)))
            })
            .collect();
    }

    fn downscale_to(&mut self, scale: i8) {
        while self.scale > scale {
            let offset = self.offset.div_euclid(2);
            let end = (self.offset + self.buckets.len() as i32 + 1).div_euclid(2);
            let mut buckets = vec![0_u64; (end - offset).max(0) as usize];
            for (i, &n) in self.buckets.iter().enumerate() {
                let to = ((self.offset + i as i32).div_euclid(2) - offset) as usize;
                buckets[to] = buckets[to].saturating_add(n);
            }
            self.offset = offset;
            self.buckets = buckets;
            self.scale -= 1;
        }
    }

    /// What is wrong with it, if anything; text for the sender.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        if self.buckets.len() > MAX_BUCKETS {
            return Some(format!(
                "has {} buckets, at most {MAX_BUCKETS} are taken: lower the scale",
                self.buckets.len()
            ));
        }
        if !(-10..=20).contains(&self.scale) {
            return Some(format!("has scale {}, expected -10 to 20", self.scale));
        }
        if self.offset.unsigned_abs() > 1 << 26 {
            return Some(format!(
                "has bucket offset {}, out of any sane range",
                self.offset
            ));
        }
        if !(self.sum.is_finite() && self.sum >= 0.0) {
            return Some(format!(
                "has sum {}, expected finite seconds >= 0",
                self.sum
            ));
        }
        let n = self.count();
        let mut last = 0.0;
        for &(threshold, above) in &self.above {
            if !(threshold.is_finite() && threshold > last) {
                return Some("has thresholds that are not finite, positive and rising".into());
            }
            if above > n {
                return Some(format!(
                    "counts {above} above {threshold} s, but holds only {n}"
                ));
            }
            last = threshold;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64], scale: i8, thresholds: &[f64]) -> Distribution {
        let index = |v: f64| (libm::log2(v) * libm::exp2(f64::from(scale))).ceil() as i32 - 1;
        let low = values.iter().map(|&v| index(v)).min().unwrap_or(0);
        let high = values.iter().map(|&v| index(v)).max().unwrap_or(0);
        let mut buckets = vec![0; (high - low + 1) as usize];
        values
            .iter()
            .for_each(|&v| buckets[(index(v) - low) as usize] += 1);
        let above = thresholds
            .iter()
            .map(|&t| (t, values.iter().filter(|&&v| v > t).count() as u64))
            .collect();
        Distribution {
            scale,
            zero_count: 0,
            offset: low,
            buckets,
            sum: values.iter().sum(),
            above,
        }
    }

    #[test]
    fn merging_keeps_counts_sums_and_exact_thresholds() {
        let mut a = of(&[0.01, 0.02, 0.3], 4, &[0.2]);
        a.merge(&of(&[0.001, 5.0], 2, &[0.2]));
        assert_eq!((a.count(), a.scale), (5, 2));
        assert!((a.sum - 5.331).abs() < 1e-12);
        assert_eq!(a.above(0.2).to_bits(), 2.0_f64.to_bits());
        assert!(a.problem().is_none());
    }

    #[test]
    fn a_quantile_lies_within_one_bucket_of_the_truth() {
        let values: Vec<f64> = (1..=1000).map(|i| f64::from(i) / 1000.0).collect();
        let d = of(&values, 5, &[]);
        let p99 = d.quantile(0.99).unwrap();
        assert!((0.99..0.99 * 1.05).contains(&p99), "{p99}");
        assert!((d.above(0.5) - 500.0).abs() < 12.0);
    }

    #[test]
    fn merging_far_apart_distributions_stays_bounded() {
        let mut a = of(&[1e-9], 20, &[]);
        a.merge(&of(&[1e6], 20, &[]));
        assert!(a.buckets.len() <= MAX_BUCKETS);
        assert_eq!(a.count(), 2);
    }
}
