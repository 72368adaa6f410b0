//! Rows of codes in half of their bytes.
//!
//! What a forecast says of one step is near to what it says of the step before, and the distances of its
//! quantiles from its median are nearer still: they grow slowly with the distance in time, however much the
//! median moves. So of each row the median is written as its change, and of every other value the change
//! of its distance from the median, in as many groups of seven bits as it takes. Nothing is lost by it, and
//! rows can be read from the first on alone, which is how they are read.

use super::{MEDIAN, WIDTH};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rows(Box<[u8]>);

impl Rows {
    /// Keeps codes, `[step][WIDTH]`.
    pub(super) fn of(codes: &[u16]) -> Self {
        let mut bytes = Vec::with_capacity(codes.len() + codes.len() / 2);
        let mut last = [0_i32; WIDTH];
        for row in codes.chunks_exact(WIDTH) {
            let median = i32::from(row[MEDIAN]);
            for (place, (code, last)) in row.iter().zip(&mut last).enumerate() {
                let away = if place == MEDIAN { 0 } else { median };
                let next = i32::from(*code) - away;
                put(&mut bytes, next - *last);
                *last = next;
            }
        }
        Self(bytes.into())
    }

    /// All rows, first to last.
    pub(super) fn iter(&self) -> impl Iterator<Item = [u16; WIDTH]> + '_ {
        let mut rest = &*self.0;
        let mut last = [0_i32; WIDTH];
        std::iter::from_fn(move || {
            for last in &mut last {
                *last += take(&mut rest)?;
            }
            let away = |place| if place == MEDIAN { 0 } else { last[MEDIAN] };
            Some(std::array::from_fn(|place| {
                (last[place] + away(place)) as u16
            }))
        })
    }
}

/// Small numbers of either sign in few bytes: the sign last, seven bits a byte.
fn put(bytes: &mut Vec<u8>, value: i32) {
    let mut left = ((value << 1) ^ (value >> 31)) as u32;
    while left >= 128 {
        bytes.push(left as u8 | 128);
        left >>= 7;
    }
    bytes.push(left as u8);
}

fn take(rest: &mut &[u8]) -> Option<i32> {
    let mut value = 0_u32;
    for shift in (0..35).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u32::from(byte & 127) << shift;
        if *byte < 128 {
            break;
        }
    }
    Some((value >> 1) as i32 ^ -((value & 1) as i32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(rows: &Rows) -> Vec<u16> {
        rows.iter().flatten().collect()
    }

    proptest! {
        #[test]
        fn any_rows_come_back_as_they_were(
            rows in proptest::collection::vec(proptest::array::uniform10(any::<u16>()), 0..40)
        ) {
            let codes = rows.concat();
            prop_assert_eq!(read(&Rows::of(&codes)), codes);
        }
    }

    #[test]
    fn rows_that_follow_each_other_take_little_more_than_a_byte_a_value() {
        let row = |step: usize| -> [u16; WIDTH] {
            let median = 28_000 + (step * 7919) % 5000;
            std::array::from_fn(|place| (median + 400 * place + 3 * step * place) as u16)
        };
        let codes: Vec<u16> = (0..90).flat_map(row).collect();
        let rows = Rows::of(&codes);
        assert_eq!(read(&rows), codes);
        assert!(rows.0.len() < codes.len() * 5 / 4, "{}", rows.0.len());
    }
}
