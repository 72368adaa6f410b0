//! How far each member counts at a step: trust by horizon, over width.
//!
//! The width at a step is the mean over the latter half of the way there, so that a spike of one
//! member's interval (a phase of the day that varies) does not hand its step to another, and
//! depends on no later step: a forecast of twelve steps is the beginning of one of a day.
//!
//! Near, the weighted mean is drawn towards the plain median of the members that are trusted there.
//! A narrow member that is wrong just now pulls the mean with all of its weight and the median not
//! at all (Stock and Watson, Journal of Forecasting 23, 2004, find the two to be of equal worth;
//! their errors differ, so the mean of both is better). Far ahead the members agree less, the
//! repeated season is one of them, and the median was worth nothing.
//!
//! A width is a recent loss only as far ahead as a back-test reached. Beyond a quarter of the history
//! no member has been judged, what it says is its own formula carried on, and the formula is the
//! wronger the more it assumes. So from there on, up to the history's whole length, trust moves to
//! `seasonal-naive`, which assumes least, and the interval is no longer narrowed for members whose
//! errors may all be one. With a week and more of history a forecast of a day never gets there.
//!
//! Nor does one member alone make the interval there: a distance is counted up to a few times that of
//! the next largest. One runaway among four would otherwise be the answer, since a mean of quantiles
//! has no breakdown point. Within what is judged a distance counts up to fifty times the next largest: the
//! one member that is wide may be the one that has noticed a burst, and one beyond that has lost itself.

use tidegate_model_kit::median;

use crate::config::Trust;

/// Below this part of a day ahead, trust is `near`; above `FAR`, it is `far`.
const NEAR: f64 = 0.05;
const FAR: f64 = 0.3;
/// Widths below this part of the widest are the same to a weight: a member that claims to be
/// certain is not believed without end.
const FLOOR: f64 = 1e-3;
/// The parts of the history between which a horizon goes from judged to unjudged.
const JUDGED: f64 = 0.25;
const UNJUDGED: f64 = 1.0;
/// Where nobody is judged, a distance is counted up to so many times the next largest of its level.
const RUNAWAY: f64 = 4.0;
/// And so many times anywhere.
const ABSURD: f64 = 50.0;
/// The part of the median in a centre.
const ROBUST: Trust = Trust {
    near: 0.25,
    far: 0.0,
};

/// The trust `ahead` days from now.
pub(crate) fn trust_at(trust: Trust, ahead: f64) -> f64 {
    let way = (libm::log(ahead.max(NEAR) / NEAR) / libm::log(FAR / NEAR)).clamp(0.0, 1.0);
    trust.near + way * (trust.far - trust.near)
}

/// How little a history of `span` steps can judge a forecast `h` steps ahead: 0 within a quarter of
/// it, 1 beyond all of it, in between with the logarithm of the horizon.
pub(crate) fn unjudged(h: usize, span: f64) -> f64 {
    let part = h as f64 / span.max(1.0);
    if part <= JUDGED {
        return 0.0;
    }
    (libm::log(part / JUDGED) / libm::log(UNJUDGED / JUDGED)).min(1.0)
}

/// Draws the one distance that is beyond all others of its level to a few times the next largest; the
/// smaller the `doubt` (0 to 1) the less, and without any only what is absurd.
pub(crate) fn rein_in(distances: &mut [f64], doubt: f64) {
    let most = (RUNAWAY / doubt).min(ABSURD);
    let (mut first, mut second, mut at) = (0.0, 0.0, None);
    for (member, distance) in distances.iter().enumerate() {
        let size = distance.abs();
        if size > first {
            (first, second, at) = (size, first, Some(member));
        } else if size > second {
            second = size;
        }
    }
    // Where all others are certain, the one that is not is all that is known.
    if let Some(distance) = at.and_then(|member| distances.get_mut(member))
        && second > 0.0
    {
        *distance = distance.clamp(-most * second, most * second);
    }
}

/// Each step's mean of `widths` over the steps after half of the way to it.
pub(crate) fn smooth(widths: &[f64]) -> Vec<f64> {
    let (mut sum, mut from) = (0.0, 0);
    widths
        .iter()
        .enumerate()
        .map(|(at, width)| {
            sum += width;
            while from < at.div_ceil(2) {
                sum -= widths[from];
                from += 1;
            }
            (sum / (at + 1 - from) as f64).max(0.0)
        })
        .collect()
}

/// Weights that add up to 1, of members with these trusts and widths; equal ones if no member is
/// trusted here.
pub(crate) fn weigh(trusts: &[f64], widths: &[f64], sharpness: f64) -> Vec<f64> {
    let widest = widths.iter().copied().fold(0.0, f64::max);
    let raw: Vec<f64> = trusts
        .iter()
        .zip(widths)
        .map(|(trust, width)| {
            let part = if widest > 0.0 && widest.is_finite() {
                (width / widest).max(FLOOR)
            } else {
                1.0
            };
            trust / libm::pow(part, sharpness)
        })
        .collect();
    let total: f64 = raw.iter().sum();
    if total > 0.0 {
        raw.iter().map(|w| w / total).collect()
    } else {
        vec![1.0 / trusts.len().max(1) as f64; trusts.len()]
    }
}

/// The weighted mean of the members' `centres`, drawn towards the median of those that are trusted
/// `near`, at `ahead` days from now.
pub(crate) fn combine(centres: &[f64], weights: &[f64], near: &[bool], ahead: f64) -> f64 {
    let mean: f64 = centres.iter().zip(weights).map(|(c, w)| w * c).sum();
    let trusted = centres.iter().zip(near).filter(|(_, near)| **near);
    let mut trusted: Vec<f64> = trusted.map(|(c, _)| *c).collect();
    let part = trust_at(ROBUST, ahead);
    if trusted.is_empty() || part == 0.0 {
        return mean;
    }
    mean + part * (median(&mut trusted) - mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn trust_goes_from_near_to_far_with_the_logarithm_of_the_horizon() {
        let trust = Trust {
            near: 2.0,
            far: 1.0,
        };
        let at = |ahead| trust_at(trust, ahead);
        assert!((at(0.001) - 2.0).abs() < 1e-12 && (at(3.0) - 1.0).abs() < 1e-12);
        assert!((at((0.05f64 * 0.3).sqrt()) - 1.5).abs() < 1e-12);
    }

    #[test]
    fn a_quarter_of_the_history_is_judged_and_what_is_beyond_it_is_not() {
        assert!(unjudged(72, 288.0).abs() < 1e-12 && unjudged(1, 0.0) > 0.99);
        assert!((unjudged(144, 288.0) - 0.5).abs() < 1e-12);
        assert!((unjudged(900, 288.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn one_runaway_does_not_make_the_interval_and_a_wide_pair_does() {
        let largest = |mut d: [f64; 4], doubt| {
            rein_in(&mut d, doubt);
            d.iter().fold(0.0, |a: f64, v| a.max(v.abs()))
        };
        let check = |d, doubt, expected: f64| {
            assert!((largest(d, doubt) - expected).abs() < 1e-9, "{d:?} {doubt}");
        };
        check([-2.0, -3.0, -1e9, -1.0], 1.0, 12.0);
        check([2.0, 3.0, 99.0, 1.0], 0.5, 24.0);
        check([2.0, 3.0, 99.0, 1.0], 0.0, 99.0);
        check([2.0, 3.0, -1e9, 1.0], 0.0, 150.0);
        check([90.0, 1.0, 80.0, 2.0], 1.0, 90.0);
        check([0.0, 5.0, 0.0, 0.0], 1.0, 5.0);
    }

    #[test]
    fn a_member_with_half_the_width_counts_twice() {
        let w = weigh(&[1.0, 1.0], &[1.0, 2.0], 1.0);
        assert!((w[0] / w[1] - 2.0).abs() < 1e-12);
        let blind = weigh(&[1.0, 3.0], &[0.0, 0.0], 1.0);
        assert!((blind[1] - 0.75).abs() < 1e-12);
    }

    #[test]
    fn one_member_that_is_wrong_moves_the_next_hour_less_than_its_weight_and_tomorrow_by_it() {
        let of = |ahead| combine(&[10.0, 10.0, 90.0], &[0.25, 0.25, 0.5], &[true; 3], ahead);
        assert!((of(0.01) - 40.0).abs() < 1e-9 && (of(1.0) - 50.0).abs() < 1e-9);
        let unheard = combine(&[10.0, 90.0], &[0.5, 0.5], &[false, false], 0.01);
        assert!((unheard - 50.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn weights_add_up_to_one_and_follow_trust(
            trusts in prop::collection::vec(0.0f64..10.0, 1..6), widths in prop::collection::vec(0.0f64..1e9, 6),
            sharpness in 0.0f64..8.0,
        ) {
            let w = weigh(&trusts, &widths[..trusts.len()], sharpness);
            prop_assert!((w.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(w.iter().all(|w| (0.0..=1.0 + 1e-12).contains(w)));
        }

        #[test]
        fn a_smoothed_width_depends_on_no_later_step(
            widths in prop::collection::vec(0.0f64..1e3, 2..60), cut in 1usize..60,
        ) {
            let cut = cut.min(widths.len());
            prop_assert_eq!(&smooth(&widths)[..cut], &smooth(&widths[..cut])[..]);
        }
    }
}
