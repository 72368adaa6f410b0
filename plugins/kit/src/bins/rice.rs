//! Whole numbers near zero as few bits (Rice, "Some practical universal noiseless coding
//! techniques", JPL 79-22, 1979): a sign folded into the last digit, the upper digits in unary, the
//! lower `k` as they are. A number with too many upper digits for that is written out in full.
//!
//! Differences of neighbours in a profile fall off about geometrically on both sides of zero, which
//! is the distribution that the code is the best one for. Rejected: bytes of variable length, which
//! cost half as much again; and an entropy coder with a model, whose model costs more than it saves
//! in 288 numbers.

/// The most bits of a unary part; as many say that 64 plain ones follow.
const ESCAPE: u64 = 20;
/// The largest `k` that is worth anything.
pub(super) const MAX_K: u8 = 40;

/// Bits for these folded numbers with this `k`.
fn cost(folded: &[u64], k: u8) -> u64 {
    let one = |n: &u64| match n >> k {
        upper if upper < ESCAPE => upper + 1 + u64::from(k),
        _ => ESCAPE + 64,
    };
    folded.iter().map(one).sum()
}

/// Bits for one number with this `k`.
pub(super) fn bits(n: i64, k: u8) -> u64 {
    cost(&[fold(n)], k)
}

/// The `k` that takes the fewest bits.
pub(super) fn best_k(numbers: &[i64]) -> u8 {
    let folded: Vec<u64> = numbers.iter().map(|n| fold(*n)).collect();
    (0..=MAX_K).min_by_key(|k| cost(&folded, *k)).unwrap_or(0)
}

/// The numbers as bytes, the last filled up with zeros.
pub(super) fn write(numbers: &[i64], k: u8) -> Vec<u8> {
    let mut out = Bits::default();
    for n in numbers {
        let folded = fold(*n);
        let upper = folded >> k;
        if upper < ESCAPE {
            out.push((1 << upper) - 1, upper + 1);
            out.push(folded & ((1 << k) - 1), u64::from(k));
        } else {
            out.push((1 << ESCAPE) - 1, ESCAPE);
            out.push(folded & 0xFFFF_FFFF, 32);
            out.push(folded >> 32, 32);
        }
    }
    out.bytes
}

/// `count` numbers; `None` where the bytes end before.
pub(super) fn read(bytes: &[u8], count: usize, k: u8) -> Option<Vec<i64>> {
    // Each takes a bit at least.
    if count > bytes.len().saturating_mul(8) {
        return None;
    }
    let mut at = 0usize;
    let mut bit = || {
        let found = bytes.get(at / 8).map(|b| b >> (at % 8) & 1)?;
        at += 1;
        Some(u64::from(found))
    };
    let mut numbers = Vec::with_capacity(count);
    for _ in 0..count {
        let mut upper = 0;
        while upper < ESCAPE && bit()? == 1 {
            upper += 1;
        }
        let (lower, high) = if upper < ESCAPE {
            (u64::from(k), upper << k)
        } else {
            (64, 0)
        };
        let mut folded = high;
        for place in 0..lower {
            folded |= bit()? << place;
        }
        numbers.push((folded >> 1) as i64 ^ -((folded & 1) as i64));
    }
    Some(numbers)
}

/// 0, -1, 1, -2, ... as 0, 1, 2, 3, ...
fn fold(n: i64) -> u64 {
    (n.wrapping_shl(1) ^ (n >> 63)) as u64
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u64,
}

impl Bits {
    /// Appends the lowest `count` (up to 32, or `ESCAPE`) digits, the lowest first.
    fn push(&mut self, mut digits: u64, mut count: u64) {
        while count > 0 {
            let room = 8 - self.used % 8;
            if room == 8 {
                self.bytes.push(0);
            }
            let taken = room.min(count);
            let part = digits & ((1 << taken) - 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= (part << (self.used % 8)) as u8;
            }
            digits >>= taken;
            count -= taken;
            self.used += taken;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_numbers_take_a_few_bits_each() {
        let numbers: Vec<i64> = (0..800).map(|n| n % 7 - 3).collect();
        let k = best_k(&numbers);
        assert!(write(&numbers, k).len() <= 400, "k {k}");
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_with_any_k(
            numbers in prop::collection::vec(prop_oneof![any::<i64>(), -30i64..30], 0..60),
            k in 0..=MAX_K,
        ) {
            let bytes = write(&numbers, k);
            prop_assert_eq!(read(&bytes, numbers.len(), k), Some(numbers));
        }

        #[test]
        fn the_best_k_is_no_longer_than_any_other(
            numbers in prop::collection::vec(-5000i64..5000, 1..60), k in 0..=MAX_K,
        ) {
            prop_assert!(write(&numbers, best_k(&numbers)).len() <= write(&numbers, k).len());
        }

        #[test]
        fn bytes_of_another_kind_are_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..40), count in 0usize..400, k in 0..=MAX_K,
        ) {
            if let Some(numbers) = read(&bytes, count, k) {
                prop_assert_eq!(numbers.len(), count);
            }
        }
    }
}
