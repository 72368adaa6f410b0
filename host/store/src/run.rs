//! A run: samples of one series at one step, ascending in time, in as few bytes as stays simple.
//!
//! The same type is the head in memory, the entry of a write-ahead record and the content of a
//! sealed block, so that no sample is ever converted on its way. Two facts of real feeds make it
//! small: samples come one per step (then their times are a start and a count), and most signals
//! are counts (then a value is four bytes). A run that loses such a property is widened, never
//! refused.

use crate::codec::Malformed;
use crate::values::{Blobs, Datum, FARTHEST, Times, Values};
use tidegate_core::time::Step;

#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) step: Step,
    times: Times,
    values: Values,
}

impl Run {
    /// An empty run.
    pub(crate) fn new(step: Step) -> Self {
        Self {
            step,
            times: Times::Listed(vec![]),
            values: Values::Ints(vec![]),
        }
    }

    /// A run from decoded columns; `n` is the number of values.
    pub(crate) fn from_columns(
        step: Step,
        times: Times,
        values: Values,
    ) -> Result<Self, Malformed> {
        let n = match &values {
            Values::Ints(v) => v.len(),
            Values::Floats(v) => v.len(),
            Values::Blobs(v) => v.len(),
        };
        let (count, ends) = match &times {
            Times::Regular { start, count } => {
                let span = i64::try_from(*count).ok();
                let span = span.and_then(|c| c.checked_mul(step.ms()));
                let end = span.and_then(|span| start.checked_add(span));
                (*count, end.map(|end| (*start, end)))
            }
            Times::Listed(t) => {
                let ends = (
                    t.first().copied().unwrap_or(0),
                    t.last().copied().unwrap_or(0),
                );
                (t.len(), t.is_sorted_by(|a, b| a < b).then_some(ends))
            }
        };
        if count != n {
            return Err(Malformed("it has not as many times as values"));
        }
        let Some((first, last)) = ends else {
            return Err(Malformed("its times do not ascend"));
        };
        if first < -FARTHEST || last > FARTHEST {
            return Err(Malformed("a time of it is no time of a measurement"));
        }
        Ok(Self {
            step,
            times,
            values,
        })
    }

    pub(crate) fn len(&self) -> usize {
        match &self.times {
            Times::Regular { count, .. } => *count,
            Times::Listed(t) => t.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn times(&self) -> &Times {
        &self.times
    }

    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    /// Whether it holds distributions.
    pub(crate) fn is_blobs(&self) -> bool {
        matches!(self.values, Values::Blobs(_))
    }

    /// Start of the step of sample `i`.
    pub(crate) fn time(&self, i: usize) -> i64 {
        match &self.times {
            Times::Regular { start, .. } => start + i as i64 * self.step.ms(),
            Times::Listed(t) => t[i],
        }
    }

    pub(crate) fn value(&self, i: usize) -> Datum<'_> {
        self.values.get(i)
    }

    /// The oldest time.
    pub(crate) fn first(&self) -> Option<i64> {
        (!self.is_empty()).then(|| self.time(0))
    }

    /// The newest time.
    pub(crate) fn last(&self) -> Option<i64> {
        self.len().checked_sub(1).map(|i| self.time(i))
    }

    /// Index of the first sample at or after `t`.
    pub(crate) fn lower_bound(&self, t: i64) -> usize {
        match &self.times {
            Times::Regular { start, count } => {
                let ahead = t.saturating_sub(*start);
                if ahead <= 0 {
                    return 0;
                }
                let i = (ahead - 1) / self.step.ms() + 1;
                usize::try_from(i).map_or(*count, |i| i.min(*count))
            }
            Times::Listed(times) => times.partition_point(|x| *x < t),
        }
    }

    pub(crate) fn contains(&self, t: i64) -> bool {
        let i = self.lower_bound(t);
        i < self.len() && self.time(i) == t
    }

    /// Appends a sample that is newer than all others.
    pub(crate) fn push(&mut self, t: i64, datum: Datum<'_>) {
        let n = self.len();
        if n == 0 {
            self.times = Times::Regular { start: t, count: 1 };
            if matches!(datum, Datum::Blob(_)) {
                self.values = Values::Blobs(Blobs::default());
            }
        } else {
            let last = self.time(n - 1);
            debug_assert!(t > last);
            match &mut self.times {
                Times::Regular { count, .. } if t - last == self.step.ms() => *count += 1,
                Times::Regular { .. } => {
                    let mut listed: Vec<i64> = (0..n).map(|i| self.time(i)).collect();
                    listed.push(t);
                    self.times = Times::Listed(listed);
                }
                Times::Listed(times) => times.push(t),
            }
        }
        self.values.push(datum);
    }

    /// Adds the samples of another run of the same step; where both have a time, this one's value
    /// stands.
    pub(crate) fn absorb(&mut self, other: &Run) {
        let appends = match (self.last(), other.first()) {
            (Some(last), Some(first)) => first > last,
            _ => true,
        };
        if appends {
            for i in 0..other.len() {
                self.push(other.time(i), other.value(i));
            }
            return;
        }
        let mut merged = Run::new(self.step);
        let (mut i, mut j) = (0, 0);
        while i < self.len() || j < other.len() {
            let mine = (i < self.len()).then(|| self.time(i));
            let theirs = (j < other.len()).then(|| other.time(j));
            match (mine, theirs) {
                (Some(a), b) if b.is_none_or(|b| a <= b) => {
                    merged.push(a, self.value(i));
                    i += 1;
                    j += usize::from(Some(a) == b);
                }
                (_, Some(b)) => {
                    merged.push(b, other.value(j));
                    j += 1;
                }
                (_, None) => break,
            }
        }
        *self = merged;
    }

    /// The samples with `from <= index < to`.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Run {
        let mut run = Run::new(self.step);
        for i in from..to.min(self.len()) {
            run.push(self.time(i), self.value(i));
        }
        run
    }

    /// The samples whose times another run does not have.
    pub(crate) fn without(&self, other: &Run) -> Run {
        // Usually they are the newest.
        let after = other
            .last()
            .map_or(0, |t| self.lower_bound(t.saturating_add(1)));
        if self.len() - after == self.len().saturating_sub(other.len()) {
            return self.slice(after, self.len());
        }
        let mut run = Run::new(self.step);
        for i in (0..self.len()).filter(|i| !other.contains(self.time(*i))) {
            run.push(self.time(i), self.value(i));
        }
        run
    }

    /// Bytes of its samples: what sealing and memory limits count.
    pub(crate) fn weight(&self) -> usize {
        let times = match &self.times {
            Times::Regular { .. } => 0,
            Times::Listed(t) => t.len() * 8,
        };
        let values = match &self.values {
            Values::Ints(v) => v.len() * 4,
            Values::Floats(v) => v.len() * 8,
            Values::Blobs(b) => b.weight(),
        };
        times + values
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        let times = match &self.times {
            Times::Regular { .. } => 0,
            Times::Listed(t) => t.capacity() * 8,
        };
        let values = match &self.values {
            Values::Ints(v) => v.capacity() * 4,
            Values::Floats(v) => v.capacity() * 8,
            Values::Blobs(b) => b.memory(),
        };
        std::mem::size_of::<Self>() + times + values
    }
}

/// Equal times and bitwise equal values, however they are held.
#[cfg(test)]
impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        let same = |i: usize| match (self.value(i), other.value(i)) {
            (Datum::Number(a), Datum::Number(b)) => a.to_bits() == b.to_bits(),
            (Datum::Blob(a), Datum::Blob(b)) => a == b,
            (Datum::Number(_), Datum::Blob(_)) | (Datum::Blob(_), Datum::Number(_)) => false,
        };
        self.step == other.step
            && self.len() == other.len()
            && (0..self.len()).all(|i| self.time(i) == other.time(i) && same(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn run(samples: &BTreeMap<i64, f64>) -> Run {
        let mut run = Run::new(Step::MINUTE);
        for (t, v) in samples {
            run.push(*t, Datum::Number(*v));
        }
        run
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            (-1000_i32..1000).prop_map(f64::from),
            any::<f64>(),
            Just(-0.0),
            Just(f64::NAN)
        ]
    }

    proptest! {
        #[test]
        fn absorbing_is_a_union_in_which_the_first_value_stands(
            a in prop::collection::btree_map((-50_i64..50).prop_map(|t| t * 60_000), value(), 0..30),
            b in prop::collection::btree_map((-50_i64..50).prop_map(|t| t * 60_000), value(), 0..30),
        ) {
            let a_times: Vec<i64> = a.keys().copied().collect();
            let a_run = a.clone();
            let mut left = run(&a);
            left.absorb(&run(&b));
            let mut union = b;
            union.extend(a);
            prop_assert!(left == run(&union));
            let fresh = union.iter().filter(|(t, _)| !a_times.contains(t));
            prop_assert!(left.without(&run(&a_run)) == run(&fresh.map(|(t, v)| (*t, *v)).collect()));
            for t in union.keys() {
                prop_assert!(left.contains(*t));
                prop_assert!(!left.contains(t + 1));
            }
        }
    }

    #[test]
    fn regular_counts_take_four_bytes_each() {
        let mut r = Run::new(Step::MINUTE);
        for i in 0..1000 {
            r.push(i * 60_000, Datum::Number(i as f64));
        }
        assert!(r.memory() < 4_400, "{}", r.memory());
        r.push(1_000_000_000, Datum::Number(0.5));
        assert_eq!(r.len(), 1001);
        assert_eq!(r.time(1000), 1_000_000_000);
        assert_eq!(r.lower_bound(59_940_001), 1000);
    }
}
