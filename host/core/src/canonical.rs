//! The one encoding that hashes and replays see.
//!
//! Tag-free and length-prefixed, little endian, floats by their bits: the bytes depend on the value
//! alone, on every machine and in every version of the code that does not change a type. It is
//! write only on purpose: what is *read* back is the store's mirror types.

use crate::ids::Digest;
use crate::plan::{ApiPlan, Loan, Plan};
use crate::policy::{AllocationInput, Blob, TierInput};
use crate::units::{Dimension, Resources};

/// Collects canonical bytes.
#[derive(Debug, Default, Clone)]
pub struct Encoder {
    bytes: Vec<u8>,
}

/// A value with a canonical encoding.
pub trait Canonical {
    /// Appends the value.
    fn encode(&self, to: &mut Encoder);

    /// The bytes.
    fn canonical(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        self.encode(&mut encoder);
        encoder.bytes
    }

    /// Their digest.
    fn digest(&self) -> Digest {
        Digest::of(&self.canonical())
    }
}

impl Encoder {
    /// With room for so many bytes, where it is known how many come.
    #[must_use]
    pub fn with_room(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
        }
    }

    /// Digest of what was written so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// Appends an integer.
    pub fn int(&mut self, value: i64) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Appends a count or key.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Appends a float by its bits; -0 is written as 0, every NaN as one.
    pub fn float(&mut self, value: f64) -> &mut Self {
        self.uint(canonical_bits(value))
    }

    /// Appends a text.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.raw(value.as_bytes())
    }

    /// Appends bytes with their length.
    pub fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.uint(value.len() as u64);
        self.bytes.extend_from_slice(value);
        self
    }

    /// Appends floats with their number.
    pub fn floats(&mut self, values: &[f64]) -> &mut Self {
        self.uint(values.len() as u64);
        // At one go: a record hashes every value of every forecast.
        let start = self.bytes.len();
        self.bytes.resize(start + 8 * values.len(), 0);
        let places = self.bytes[start..].as_chunks_mut().0.iter_mut();
        for (place, value) in places.zip(values) {
            *place = canonical_bits(*value).to_le_bytes();
        }
        self
    }

    /// Appends values with their number.
    pub fn list<T: Canonical>(&mut self, values: &[T]) -> &mut Self {
        self.uint(values.len() as u64);
        values.iter().for_each(|v| v.encode(self));
        self
    }

    /// Appends small numbers (enums, flags) with their number.
    pub fn codes(&mut self, values: impl ExactSizeIterator<Item = u64>) -> &mut Self {
        self.uint(values.len() as u64);
        for value in values {
            self.uint(value);
        }
        self
    }
}

/// The bits of a float; -0 is 0, and every NaN one.
fn canonical_bits(value: f64) -> u64 {
    let value = if value.is_nan() {
        f64::NAN
    } else {
        value + 0.0
    };
    value.to_bits()
}

impl Canonical for Resources {
    fn encode(&self, to: &mut Encoder) {
        for d in Dimension::ALL {
            match self.get(d) {
                None => to.uint(0),
                Some(amount) => to.uint(1).float(amount),
            };
        }
    }
}

impl Canonical for Blob {
    fn encode(&self, to: &mut Encoder) {
        to.uint(u64::from(self.format)).raw(&self.bytes);
    }
}

impl Canonical for ApiPlan {
    fn encode(&self, to: &mut Encoder) {
        to.text(&self.api.to_string())
            .uint(self.tier as u64)
            .int(self.tier_since.0);
        to.floats(&self.guaranteed)
            .floats(&self.limit)
            .floats(&self.demand);
        self.safe.encode(to);
        to.text(&self.reason)
            .text(&self.tier_reason)
            .text(self.emergency.as_deref().unwrap_or(""));
    }
}

impl Canonical for Loan {
    fn encode(&self, to: &mut Encoder) {
        to.text(&self.lender.to_string())
            .text(&self.borrower.to_string());
        to.uint(self.dimension as u64)
            .float(self.amount)
            .int(self.from.0)
            .int(self.until.0);
    }
}

impl Canonical for Plan {
    fn encode(&self, to: &mut Encoder) {
        to.text(self.pool.as_str())
            .uint(self.generation.0)
            .uint(self.parent.0);
        to.int(self.made_at.0).int(self.grid.start.0);
        to.uint(u64::from(self.grid.step.secs()))
            .uint(self.grid.count as u64)
            .int(self.expires_at.0);
        to.codes(self.dimensions.iter().map(|d| *d as u64));
        to.floats(&self.capacity)
            .floats(&self.wanted)
            .list(&self.apis)
            .list(&self.loans);
        to.text(&self.served.module.name)
            .text(&self.served.module.version);
        to.raw(&self.served.module.digest.0)
            .text(self.served.retreat.name())
            .raw(&self.inputs.0);
    }
}

impl Canonical for AllocationInput {
    fn encode(&self, to: &mut Encoder) {
        to.int(self.now.0).uint(self.seed);
        self.state.encode(to);
        to.int(self.grid.start.0)
            .uint(u64::from(self.grid.step.secs()))
            .uint(self.grid.count as u64);
        to.codes(self.dimensions.iter().map(|d| *d as u64));
        to.codes(self.apis.iter().copied());
        to.codes(self.tiers.iter().map(|t| *t as u64));
        to.codes(self.tenants.iter().map(|t| u64::from(*t)));
        to.codes(self.emergency.iter().map(|e| u64::from(*e)));
        let columns = [
            &self.capacity,
            &self.capacity_max,
            &self.weights,
            &self.floor,
            &self.ceiling,
            &self.demand,
            &self.median,
            &self.expected,
            &self.usage,
            &self.previous_guaranteed,
            &self.previous_limit,
            &self.step_up,
            &self.step_down,
            &self.quota,
        ];
        for column in columns {
            to.floats(column);
        }
        // Told where a tier shares otherwise than freely: a question of before tiers could keeps its bytes.
        if !self.is_shared_freely() {
            to.codes(self.lends.iter().map(|l| u64::from(*l)));
            to.codes(self.borrows.iter().map(|b| u64::from(*b)));
            to.floats(&self.max_share);
        }
    }
}

impl Canonical for TierInput {
    fn encode(&self, to: &mut Encoder) {
        to.int(self.now.0).uint(self.seed);
        self.state.encode(to);
        to.codes(self.apis.iter().copied());
        for tiers in [&self.current, &self.base, &self.lowest, &self.highest] {
            to.codes(tiers.iter().map(|t| *t as u64));
        }
        to.codes(self.dwell.iter().map(|d| u64::from(*d)));
        to.codes(self.levels.iter().map(|l| u64::from(l.get())));
        to.codes(self.burn_windows.iter().map(|w| u64::from(*w)));
        for column in [
            &self.expected,
            &self.peak,
            &self.utilisation,
            &self.burn,
            &self.budget_left,
        ] {
            to.floats(column);
        }
    }
}

/// Derives a seed from the root seed and what the seed is for, so that results depend neither on
/// batching nor on order. First eight bytes of a SHA-256.
#[must_use]
pub fn seed(root: u64, scope: &str, subject: &str, step: i64) -> u64 {
    let mut encoder = Encoder::default();
    encoder.uint(root).text(scope).text(subject).int(step);
    let digest = Digest::of(&encoder.bytes);
    u64::from_le_bytes(std::array::from_fn(|i| digest.0[i]))
}

/// A stable key for an api in policy inputs.
#[must_use]
pub fn api_key(api: &crate::ids::ApiId) -> u64 {
    seed(0, "api", &api.to_string(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_equal_bytes_and_different_ones_do_not() {
        let encode = |v: &[f64]| {
            let mut e = Encoder::default();
            e.floats(v);
            e.bytes
        };
        assert_eq!(encode(&[0.0, f64::NAN]), encode(&[-0.0, -f64::NAN]));
        assert_ne!(encode(&[1.0]), encode(&[1.0 + f64::EPSILON]));
        let joined = |a: &str, b: &str| {
            let mut e = Encoder::default();
            e.text(a).text(b);
            e.bytes
        };
        assert_ne!(joined("ab", "c"), joined("a", "bc"));
    }

    #[test]
    fn seeds_differ_by_every_part() {
        let all = [
            seed(1, "a", "x", 0),
            seed(2, "a", "x", 0),
            seed(1, "b", "x", 0),
            seed(1, "a", "y", 0),
            seed(1, "a", "x", 1),
        ];
        let unique: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
    }
}
