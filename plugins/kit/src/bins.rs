//! Numbers that a state keeps in two bytes or fewer: profiles on a grid of their own, and halves.
//!
//! A profile of 288 five-minute bins is most of a state's bytes, and seven digits of it are noise.
//! Once a fit has made it, it is settled: every number becomes a multiple of a quantum, a power of
//! two that is a small part of what neighbours differ by. As bytes it is those differences in a code
//! that takes five or six bits for most of them, whatever the level is, and as many as are needed
//! where the profile jumps (`rice.rs`). The quantum follows the profile's own roughness, so that a
//! power of two in the unit moves it by the same power. A profile of up to a hundred numbers is small
//! anyhow, and keeps more digits.
//!
//! An update that is smaller than half a quantum would be lost by rounding, however often it came.
//! So rounding is dithered: its threshold walks through (0, 1) by the golden ratio with the clock
//! (Weyl's sequence), which makes rounding unbiased over time without any chance in it. What is in
//! memory is what is in the bytes, so that cutting a batch in two changes nothing.
//!
//! **A profile has a budget of bits** ([`Bins::budget`]), because a state has one of bytes. A load that
//! is quiet for most of the day and jumps by hundreds of times that for the rest would get its quantum
//! from the quiet part and pay for the jumps. Where the code is longer than the budget the quantum
//! doubles, which takes about a bit off every number, until it is not: when a fit settles, and after
//! every number that an update sets.
//!
//! Rejected: one byte a number with a scale per table. A burst would take all the resolution, and
//! a scale that has to grow would rewrite its whole table in the middle of an update.

mod rice;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ops::Deref;

use crate::sort_floats;

/// The part of the differences that the quantum is chosen by.
const MOST: f64 = 0.8;
/// The length of a profile that is small anyhow, and the digits that it has at least.
const SHORT: usize = 100;
const SHORT_DIGITS: u16 = 1024;
/// The largest value in quanta: beyond, digits would be kept that nobody measured.
const FINEST: f64 = 1_048_576.0;
/// The largest value in quanta that is kept as it is: what comes may be larger than all that was.
const FARTHEST: f64 = (1u64 << 62) as f64;
/// The bits of a profile: so many, and five and a half for each number.
const BUDGET: u64 = 1024;
const HALF_BITS: u64 = 11;
/// The quantum of a profile that is zero throughout.
const IDLE: f32 = 1.0 / 4096.0;
/// The fractional part of the golden ratio in parts of 2^64.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
/// The largest quantum: 2^127.
const COARSEST: f32 = 1.701_411_8e38;
/// Exponents of quanta that are `f32` without a loss.
const EXPONENTS: std::ops::RangeInclusive<i16> = -126..=127;
/// What stands for the exponent where nothing was settled.
const FREE: i16 = i16::MIN;

/// Digits of a profile that was averaged from noise: a sixteenth of what neighbours differ by.
pub const PROFILE: u16 = 16;

/// The numbers of a profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    /// 0 while a fit still works on them.
    quantum: f32,
    /// Of the code.
    k: u8,
    /// The code's length; 0 while the quantum is.
    bits: u64,
    values: Vec<f32>,
}

impl Bins {
    /// Numbers that are not settled yet.
    #[must_use]
    pub fn free(values: Vec<f32>) -> Self {
        Self {
            quantum: 0.0,
            k: 0,
            bits: 0,
            values,
        }
    }

    /// The most bits that a settled profile of `count` numbers takes, which leaves a profile of two
    /// hundred numbers the digits of an `f32`'s half and one of two thousand six bits a number.
    #[must_use]
    pub const fn budget(count: usize) -> u64 {
        BUDGET + HALF_BITS * count as u64 / 2
    }

    /// The numbers, to be worked on; they are no longer settled.
    pub fn free_mut(&mut self) -> &mut [f32] {
        (self.quantum, self.bits) = (0.0, 0);
        &mut self.values
    }

    /// Chooses the quantum, a power of two up to the `digits`th part of what most neighbours
    /// differ by, and the code, and rounds.
    pub fn settle(&mut self, digits: u16) {
        let digits = if self.values.len() > SHORT {
            digits.max(1)
        } else {
            digits.max(SHORT_DIGITS)
        };
        self.quantum = quantum(&self.values, f64::from(digits));
        self.round();
        self.fit_budget();
    }

    /// Rounds all numbers to the quantum and chooses their code.
    fn round(&mut self) {
        for v in &mut self.values {
            *v = snap(f64::from(*v), self.quantum, 0.5);
        }
        self.k = rice::best_k(&gaps(&self.values, self.quantum));
        self.bits = code_length(&self.values, self.quantum, self.k);
    }

    /// Doubles the quantum until the code is within the budget.
    fn fit_budget(&mut self) {
        while self.bits > Self::budget(self.values.len()) && self.quantum < COARSEST {
            self.quantum *= 2.0;
            self.round();
        }
    }

    /// Replaces a number by one on the grid.
    fn set(&mut self, at: usize, value: f32) {
        if at >= self.values.len() {
            return;
        }
        if self.quantum == 0.0 {
            self.values[at] = value;
            return;
        }
        let before = self.bits_around(at);
        self.values[at] = value;
        self.bits = self.bits.saturating_sub(before) + self.bits_around(at);
        self.fit_budget();
    }

    /// Bits of the differences that a number is part of.
    fn bits_around(&self, at: usize) -> u64 {
        let quanta = |at: usize| {
            let value = self.values.get(at).map_or(0.0, |v| f64::from(*v));
            (value / f64::from(self.quantum)) as i64
        };
        let now = quanta(at);
        let before = at.checked_sub(1).map_or(0, quanta);
        let own = rice::bits(now.wrapping_sub(before), self.k);
        if at + 1 == self.values.len() {
            return own;
        }
        own + rice::bits(quanta(at + 1).wrapping_sub(now), self.k)
    }

    /// Sets one number, to the nearest that can be kept. Out of range, it does nothing.
    pub fn put(&mut self, at: usize, value: f64) {
        self.set(at, snap(value, self.quantum, 0.5));
    }

    /// Sets one number to what an average has moved to at a step of the absolute grid: rounded
    /// up or down, so that small moves add up. Out of range, it does nothing.
    pub fn blend(&mut self, at: usize, value: f64, clock: u64) {
        let walk = clock.wrapping_mul(GOLDEN) >> 11;
        let dither = walk as f64 / (1u64 << 53) as f64 + 0.5;
        self.set(at, snap(value, self.quantum, dither - dither.floor()));
    }

    /// Whether all numbers are finite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.values.iter().all(|v| v.is_finite())
    }
}

impl Deref for Bins {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

/// The multiple of `quantum` at or below `value` plus `dither` quanta.
fn snap(value: f64, quantum: f32, dither: f64) -> f32 {
    if quantum == 0.0 {
        return value as f32;
    }
    let quantum = f64::from(quantum);
    let steps = (value / quantum + dither)
        .floor()
        .clamp(-FARTHEST, FARTHEST);
    (steps * quantum).clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

/// The quantum for these numbers, a power of two.
fn quantum(values: &[f32], digits: f64) -> f32 {
    let mut gaps: Vec<f64> = values
        .windows(2)
        .map(|w| f64::from((w[1] - w[0]).abs()))
        .collect();
    sort_floats(&mut gaps);
    let most = (gaps.len() as f64 * MOST) as usize;
    let rough = gaps.get(most.min(gaps.len().saturating_sub(1)));
    let largest = values
        .iter()
        .fold(0.0, |a: f64, v| a.max(f64::from(v.abs())));
    let wanted = match rough {
        Some(gap) if *gap > 0.0 => (gap / digits).max(largest / FINEST),
        _ => largest / FINEST,
    };
    if !(wanted > 0.0 && wanted.is_finite()) {
        return IDLE;
    }
    let exponent = libm::ceil(libm::log2(wanted))
        .clamp(f64::from(*EXPONENTS.start()), f64::from(*EXPONENTS.end()));
    libm::ldexpf(1.0, exponent as i32)
}

/// The bytes of [`Bins`]: the exponent of the quantum, the code's `k`, how many numbers, the code.
type Stored = (i16, u8, u32, Vec<u8>);

impl Serialize for Bins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let count = self.values.len() as u32;
        let stored: Stored = if self.quantum == 0.0 {
            let bytes = self.values.iter().flat_map(|v| v.to_le_bytes());
            (FREE, 0, count, bytes.collect())
        } else {
            let bytes = rice::write(&gaps(&self.values, self.quantum), self.k);
            (libm::ilogbf(self.quantum) as i16, self.k, count, bytes)
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (exponent, k, count, bytes) = Stored::deserialize(deserializer)?;
        if exponent == FREE {
            let values = bytes.chunks_exact(4).filter_map(|b| b.try_into().ok());
            return Ok(Self::free(values.map(f32::from_le_bytes).collect()));
        }
        if !EXPONENTS.contains(&exponent) || k > rice::MAX_K {
            return Err(D::Error::custom("no such quantum or code"));
        }
        let gaps = rice::read(&bytes, count as usize, k)
            .ok_or_else(|| D::Error::custom("a profile ends too early"))?;
        let quantum = libm::ldexpf(1.0, i32::from(exponent));
        let mut now = 0i64;
        let values: Vec<f32> = gaps
            .iter()
            .map(|gap| {
                now = now.wrapping_add(*gap);
                (now as f64 * f64::from(quantum)) as f32
            })
            .collect();
        let bits = code_length(&values, quantum, k);
        Ok(Self {
            quantum,
            k,
            bits,
            values,
        })
    }
}

/// Differences of neighbours in quanta; the first is that to 0.
fn gaps(values: &[f32], quantum: f32) -> Vec<i64> {
    let mut before = 0i64;
    let gap = |v: &f32| {
        let now = (f64::from(*v) / f64::from(quantum)) as i64;
        let gap = now.wrapping_sub(before);
        before = now;
        gap
    };
    values.iter().map(gap).collect()
}

/// The bits of the code.
fn code_length(values: &[f32], quantum: f32, k: u8) -> u64 {
    let gaps = gaps(values, quantum);
    gaps.iter().map(|gap| rice::bits(*gap, k)).sum()
}

/// A number of which eight binary digits are known: the upper half of an `f32`, two bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Half(u16);

impl Half {
    /// The nearest to `value`.
    #[must_use]
    pub fn new(value: f64) -> Self {
        let value = (value as f32).clamp(f32::MIN, f32::MAX);
        let bits = value.to_bits();
        // Half of the last kept digit, less one where it is even: ties go to even.
        let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16;
        let kept = Self(rounded as u16);
        // What rounds beyond all numbers stays at the largest.
        if value.is_finite() && !kept.get().is_finite() {
            return Self((bits >> 16) as u16);
        }
        kept
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from(f32::from_bits(u32::from(self.0) << 16))
    }
}

impl Serialize for Half {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.to_le_bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Half {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(u16::from_le_bytes(<[u8; 2]>::deserialize(
            deserializer,
        )?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settled(values: &[f32]) -> Bins {
        let mut bins = Bins::free(values.to_vec());
        bins.settle(16);
        bins
    }

    #[test]
    fn a_noisy_day_takes_less_than_a_byte_a_bin_and_loses_nothing_of_its_noise() {
        let mut s = crate::Stream::new(1);
        let day: Vec<f32> = (0..288)
            .map(|t| (1000.0 + 300.0 * libm::sin(f64::from(t) / 46.0) + 5.0 * s.normal()) as f32)
            .collect();
        let bins = settled(&day);
        let bytes = postcard::to_allocvec(&bins).unwrap();
        assert!(bytes.len() < 288 * 3 / 4 + 16, "{}", bytes.len());
        for (a, b) in day.iter().zip(bins.iter()) {
            assert!((a - b).abs() < 0.6, "{a} {b}");
        }
    }

    #[test]
    fn a_profile_that_is_quiet_but_for_jumps_stays_within_its_budget() {
        // Most neighbours differ by one, a fifth by a hundred thousand.
        let spiky = |t: usize| if t % 11 < 2 { 1e5 } else { 0.0 } + (t % 3) as f32;
        let values: Vec<f32> = (0..2016).map(|t| spiky(t) * (1 + t % 7) as f32).collect();
        let bytes = |bins: &Bins| postcard::to_allocvec(bins).unwrap().len() as u64;
        let most = Bins::budget(values.len()).div_ceil(8) + 16;
        let mut bins = settled(&values);
        assert!(bytes(&bins) <= most, "{} of {most}", bytes(&bins));
        for (a, b) in values.iter().zip(bins.iter()) {
            assert!((a - b).abs() < 0.02 * 7e5, "{a} {b}");
        }
        // What comes later may be as wild.
        let mut s = crate::Stream::new(3);
        for at in 0..2016 {
            bins.put(at, libm::exp(6.0 * s.normal()));
        }
        assert!(bytes(&bins) <= most, "{} of {most}", bytes(&bins));
    }

    #[test]
    fn moves_below_the_quantum_add_up() {
        let mut bins = settled(&[0.0, 64.0].repeat(150));
        for cycle in 0..400u64 {
            let old = f64::from(bins[0]);
            bins.blend(0, old + 0.02 * (8.4 - old), 300 * cycle);
        }
        assert!((f64::from(bins[0]) - 8.4).abs() < 3.0, "{}", bins[0]);
    }

    #[test]
    fn a_half_is_within_a_two_hundred_and_fiftieth() {
        for v in [1.0, -3.3, 1e-20, 65_000.0, 0.1] {
            assert!((Half::new(v).get() - v).abs() <= v.abs() / 256.0, "{v}");
        }
        assert!(Half::new(f64::MAX).get().is_finite());
        assert!(Half::new(f64::NAN).get().is_nan());
    }

    proptest! {
        #[test]
        fn what_was_settled_comes_back_and_settles_no_further(
            values in prop::collection::vec(-1e6f32..1e6, 0..60), at in 0usize..60,
            v in prop_oneof![-1e9f64..1e9, Just(1e40), Just(-1e300)], shrink in 0i32..60,
            clock: u64,
        ) {
            let small: Vec<f32> = values.iter().map(|v| v * 2f32.powi(-shrink)).collect();
            let mut bins = settled(&small);
            bins.put(at, v);
            bins.blend(at / 2, v / 3.0, clock);
            let bytes = postcard::to_allocvec(&bins).unwrap();
            prop_assert_eq!(&postcard::from_bytes::<Bins>(&bytes).unwrap(), &bins);
            let free = Bins::free(values);
            let bytes = postcard::to_allocvec(&free).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Bins>(&bytes).unwrap(), free);
        }

        #[test]
        fn a_power_of_two_moves_every_number_by_itself(
            values in prop::collection::vec(-100f32..100.0, 2..60), k in -20i32..20, clock: u64, v in -9f64..9.0,
        ) {
            let factor = 2f32.powi(k);
            let mut plain = settled(&values);
            let mut scaled = settled(&values.iter().map(|v| v * factor).collect::<Vec<_>>());
            plain.blend(1, v, clock);
            scaled.blend(1, v * f64::from(factor), clock);
            for (a, b) in plain.iter().zip(scaled.iter()) {
                prop_assert_eq!((a * factor).to_bits(), b.to_bits());
            }
        }
    }
}
