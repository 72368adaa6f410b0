//! The ladder: how a total that does not fit is cut, rung by rung.
//!
//! Each api has three rungs, each at least as high as the one below: what is owed first, what is
//! owed next, and the wish. All apis climb together: the highest rung whose sum fits is reached by
//! all, and the way to the next rung is gone by all to the same fraction. So the cut is in
//! proportion *within* a rung and strict *between* rungs, and every api's share rises with the
//! capacity, because both the rung and the fraction do.
//!
//! "Fits" is decided on the very sum that a checker computes, left to right in input order, and
//! not on an estimate of it: float addition is monotone in its terms, so a fraction that is too
//! high by rounding is found and lowered.

/// Relative margin kept below the capacity whenever a total has to be cut.
const MARGIN: f64 = 1e-12;

/// Where the climb ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reached {
    /// The highest rung that fits whole: 0 (nothing) to 3 (the wish).
    pub(crate) rung: usize,
    /// The part of the way to the next rung, 0 to 1; 0 at the top.
    pub(crate) fraction: f64,
}

/// The rungs of all apis of one pool in one cell; `top` is overwritten with the result.
#[derive(Debug, Default)]
pub(crate) struct Ladder {
    pub(crate) first: Vec<f64>,
    pub(crate) second: Vec<f64>,
    pub(crate) top: Vec<f64>,
}

impl Ladder {
    fn rung(&self, api: usize, rung: usize) -> f64 {
        match rung {
            0 => 0.0,
            1 => self.first[api].min(self.top[api]),
            2 => self.second[api].min(self.top[api]),
            _ => self.top[api],
        }
    }

    fn between(&self, api: usize, rung: usize, fraction: f64) -> f64 {
        let low = self.rung(api, rung);
        if fraction <= 0.0 {
            return low;
        }
        let high = self.rung(api, rung + 1);
        (low + fraction * (high - low)).clamp(low, high)
    }

    /// What `members` hold at their second rung: floors and what step bounds keep.
    pub(crate) fn due(&self, members: &[usize]) -> f64 {
        let each = members.iter().map(|&i| self.rung(i, 2));
        each.fold(0.0, |total, amount| total + amount)
    }

    /// Lowers `top` of `members` so that their sum is at most `capacity`.
    pub(crate) fn climb(&mut self, members: &[usize], capacity: f64) -> Reached {
        let sum = |me: &Self, rung: usize, fraction: f64| {
            members
                .iter()
                .fold(0.0, |total, &i| total + me.between(i, rung, fraction))
        };
        let Some(rung) = (0..=3).rev().find(|&r| sum(self, r, 0.0) <= capacity) else {
            // Only a capacity below zero or NaN comes here: nothing is the lawful answer.
            members.iter().for_each(|&i| self.top[i] = 0.0);
            return Reached {
                rung: 0,
                fraction: 0.0,
            };
        };
        if rung == 3 {
            return Reached {
                rung,
                fraction: 0.0,
            };
        }
        let (low, high) = (sum(self, rung, 0.0), sum(self, rung + 1, 0.0));
        let mut fraction = ((capacity - low) / (high - low) * (1.0 - MARGIN)).clamp(0.0, 1.0);
        let mut shrink = MARGIN;
        while fraction > 0.0 && sum(self, rung, fraction) > capacity {
            fraction = (fraction * (1.0 - shrink)).max(0.0);
            shrink = (shrink * 2.0).min(1.0);
        }
        for &i in members {
            self.top[i] = self.between(i, rung, fraction);
        }
        Reached { rung, fraction }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn climb(first: &[f64], second: &[f64], top: &[f64], capacity: f64) -> (Vec<f64>, Reached) {
        let mut ladder = Ladder {
            first: first.to_vec(),
            second: second.to_vec(),
            top: top.to_vec(),
        };
        let members: Vec<usize> = (0..top.len()).collect();
        let reached = ladder.climb(&members, capacity);
        (ladder.top, reached)
    }

    #[test]
    fn a_wish_that_fits_is_left_alone_to_the_last_bit() {
        let wish = [0.1, 0.2, 0.3];
        let (got, reached) = climb(&[0.0; 3], &[0.0; 3], &wish, 0.1 + 0.2 + 0.3);
        assert_eq!((got.as_slice(), reached.rung), (wish.as_slice(), 3));
    }

    #[test]
    fn a_rung_is_cut_only_when_the_one_below_is_whole() {
        let (got, reached) = climb(&[4.0, 0.0], &[4.0, 4.0], &[8.0, 8.0], 6.0);
        assert_eq!(reached.rung, 1);
        assert!(
            (got[0] - 4.0).abs() < 1e-9 && (got[1] - 2.0).abs() < 1e-9,
            "{got:?}"
        );
    }

    #[test]
    fn the_sum_is_within_capacity_where_tenths_do_not_add_up() {
        let wish = vec![0.1; 1000];
        let (got, _) = climb(&wish, &wish, &wish, 99.9);
        let sum = got.iter().fold(0.0, |a, b| a + b);
        assert!(sum <= 99.9 && sum > 99.899_999, "{sum}");
    }

    #[test]
    fn a_capacity_below_zero_gives_nothing() {
        let (got, _) = climb(&[1.0], &[1.0], &[1.0], -1.0);
        assert_eq!(got, [0.0]);
    }
}
