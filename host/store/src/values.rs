//! The columns of a run: times and values, each in the narrowest of a few forms.

/// Twice as far from the epoch as any instant that is admitted; what is stored beyond was not written by a store,
/// and nothing that is computed from what lies within overflows.
pub(crate) const FARTHEST: i64 = 1 << 53;

/// Instants, in milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Times {
    /// One per step from `start` on.
    Regular { start: i64, count: usize },
    /// Ascending, without repetition.
    Listed(Vec<i64>),
}

/// Encoded distributions, one after another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Blobs {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

/// As many as there are times.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    Ints(Vec<i32>),
    Floats(Vec<f64>),
    Blobs(Blobs),
}

/// One value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Datum<'a> {
    Number(f64),
    /// An encoded distribution.
    Blob(&'a [u8]),
}

/// The integer that a float is, if it is one that comes back bit for bit.
pub(crate) fn integral(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    let int = value as i64;
    (value.abs() <= LIMIT && (int as f64).to_bits() == value.to_bits()).then_some(int)
}

fn small(value: f64) -> Option<i32> {
    integral(value).and_then(|v| i32::try_from(v).ok())
}

impl Blobs {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of what it holds.
    pub(crate) fn weight(&self) -> usize {
        self.bytes.len() + self.ends.len() * 4
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 4
    }

    pub(crate) fn get(&self, i: usize) -> &[u8] {
        let from = i.checked_sub(1).map_or(0, |j| self.ends[j] as usize);
        &self.bytes[from..self.ends[i] as usize]
    }

    pub(crate) fn push(&mut self, blob: &[u8]) {
        self.bytes.extend_from_slice(blob);
        self.ends.push(self.bytes.len() as u32);
    }
}

impl Values {
    pub(crate) fn push(&mut self, datum: Datum<'_>) {
        match (&mut *self, datum) {
            (Values::Ints(v), Datum::Number(x)) => match small(x) {
                Some(int) => v.push(int),
                None => {
                    let mut floats: Vec<f64> = v.iter().map(|i| f64::from(*i)).collect();
                    floats.push(x);
                    *self = Values::Floats(floats);
                }
            },
            (Values::Floats(v), Datum::Number(x)) => v.push(x),
            (Values::Blobs(v), Datum::Blob(x)) => v.push(x),
            // A series keeps its shape from its first sample on (see `Registry`), so a run never
            // meets the other one.
            (Values::Blobs(v), Datum::Number(_)) => v.push(&[]),
            (Values::Ints(_) | Values::Floats(_), Datum::Blob(_)) => {
                self.push(Datum::Number(f64::NAN))
            }
        }
    }

    pub(crate) fn get(&self, i: usize) -> Datum<'_> {
        match self {
            Values::Ints(v) => Datum::Number(f64::from(v[i])),
            Values::Floats(v) => Datum::Number(v[i]),
            Values::Blobs(v) => Datum::Blob(v.get(i)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_zero_is_no_integer() {
        assert_eq!(integral(-0.0), None);
        assert_eq!(integral(f64::NAN), None);
        assert_eq!(integral(-3.0), Some(-3));
        assert_eq!(integral(1e300), None);
    }
}
