//! Keeps score of every candidate on every series, against the host's own seasonal-naive.
//!
//! A promise and its outcome give a pinball loss per level (Koenker & Bassett 1978), a hit or a miss
//! per level, and the losses that seasonal-naive would have had: the value a day and a week before,
//! with a Laplace spread of its own mean absolute error. That yardstick costs two reads of one step
//! and four floats a series, so it can run beside 100,000 series; the better of day and week counts,
//! because beating the worse one is no merit. Sums forget with a time constant of a week: long
//! enough to hold every hour of the week, short enough that a redesign is forgiven. Losses of a young
//! score are forgotten faster, in proportion to its age: with a week's memory alone, the two or three
//! days in which a new series was learned would outweigh all that came after them for days. They
//! count by the power `YOUNG` of how late in the score's life they came (polynomial-decay averaging,
//! Shamir and Zhang, ICML 2013), which needs no more state than the count of outcomes that is kept
//! anyhow, and fades by itself where the week takes over.
//!
//! Losses are compared as ratios of sums, never as means of ratios: one step at which seasonal-naive
//! happened to be right must not outweigh a week.

use std::cmp::Ordering;
use tidegate_core::forecast::{
    BandTrack, Candidate, Champion, Choice, Coverage, Pending, SCORED, Score, Standing, Standings,
    Track, Verdict,
};
use tidegate_core::module::ModuleRef;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;
use tidegate_core::units::Level;

/// Seasons of the yardstick: a day and a week.
pub(super) const SEASONS_MS: [i64; 2] = [86_400_000, 7 * 86_400_000];

/// Time constant of forgetting.
const MEMORY_MS: f64 = 7.0 * 86_400_000.0;

/// Power of polynomial-decay averaging: of two equally long halves of a life the later one counts
/// seven eighths.
const YOUNG: f64 = 2.0;

/// Gain of the yardstick's mean absolute error.
const GAIN: f64 = 0.02;

/// Outcomes of a band below which its loss says nothing.
pub(super) const FEW: u32 = 24;

/// A ratio above this is no different in meaning, and keeps means readable.
const WORST: f64 = 10.0;

/// Start of the step whole seasons before `target` that is known at `start`: the nearest one.
pub(super) fn known_before(target: Timestamp, season_ms: i64, start: Timestamp) -> Timestamp {
    let ahead = target.since_ms(start).max(0);
    target.plus_ms(-season_ms.saturating_mul(ahead / season_ms + 1))
}

/// Mean pinball loss over the tracked levels.
fn pinball(outcome: f64, quantile: impl Fn(usize) -> f64) -> f64 {
    let loss = |(i, level): (usize, &Level)| {
        let over = outcome - quantile(i);
        let p = level.probability();
        (p * over).max((p - 1.0) * over)
    };
    Level::STANDARD.iter().enumerate().map(loss).sum::<f64>() / SCORED as f64
}

/// Adds one outcome. `promised` is what went out at each tracked level.
pub(super) fn add(
    score: &mut Score,
    naive_error: &mut [f32; 2],
    promise: &Pending,
    promised: &[f64; SCORED],
    outcome: f64,
) {
    age(score, promise.target);
    let known = f64::from(score.outcomes);
    // Coverage is a count and needs all outcomes that it can get; losses alone are forgiven.
    let keep = ((known + 1.0) / (known + 1.0 + YOUNG)) as f32;
    score.loss *= keep;
    score.naive.iter_mut().for_each(|sum| *sum *= keep);
    score.outcomes = score.outcomes.saturating_add(1);
    score.weight += 1.0;
    for (below, quantile) in score.below.iter_mut().zip(promised) {
        *below += f32::from(u8::from(outcome <= *quantile));
    }
    let above = outcome - promised[SCORED - 1];
    if above > 0.0 {
        score.excess += (above / f64::from(promise.spread)).min(1e6) as f32;
    }
    let mut losses = [None; 2];
    for (i, loss) in losses.iter_mut().enumerate() {
        let value = f64::from(promise.naive[i]);
        if !value.is_finite() {
            continue;
        }
        let error = f64::from(naive_error[i]);
        if error.is_finite() {
            *loss = Some(pinball(outcome, |l| {
                (value + error * laplace(Level::STANDARD[l].probability())).max(0.0)
            }));
        }
        let newest = (outcome - value).abs();
        let next = if error.is_finite() {
            error + GAIN * (newest - error)
        } else {
            newest
        };
        naive_error[i] = if next < f64::from(f32::MAX) {
            next as f32
        } else {
            f32::NAN
        };
    }
    // In the first week there is no week before: the day stands in, so that both sums keep to the
    // same outcomes.
    let [day, week] = losses;
    if let (Some(day), Some(week)) = (day.or(week), week.or(day)) {
        // A trace on both, so that on a constant series both are equally right, and not unknown.
        score.loss += pinball(outcome, |l| promised[l]) as f32 + f32::MIN_POSITIVE;
        score.naive[0] += day as f32 + f32::MIN_POSITIVE;
        score.naive[1] += week as f32 + f32::MIN_POSITIVE;
    }
}

/// Quantile of the Laplace distribution with mean 0 and mean absolute deviation 1.
fn laplace(p: f64) -> f64 {
    if p < 0.5 {
        libm::log(2.0 * p)
    } else {
        -libm::log(2.0 * (1.0 - p))
    }
}

/// Forgets by the time that has passed since the newest outcome.
fn age(score: &mut Score, to: Timestamp) {
    if score.outcomes == 0 {
        score.newest = to;
        return;
    }
    let passed = to.since_ms(score.newest);
    if passed <= 0 {
        return;
    }
    let keep = libm::exp(-(passed as f64) / MEMORY_MS) as f32;
    score.newest = to;
    let sums = [&mut score.weight, &mut score.loss, &mut score.excess];
    let sums = sums.into_iter().chain(&mut score.naive);
    sums.chain(&mut score.below).for_each(|sum| *sum *= keep);
}

/// Mean loss over that of seasonal-naive on the same outcomes; `None` without a yardstick.
#[must_use]
pub fn relative_loss(score: &Score) -> Option<f64> {
    let (loss, naive) = (
        f64::from(score.loss),
        f64::from(score.naive[0].min(score.naive[1])),
    );
    let told = naive > 0.0 && loss.is_finite() && naive.is_finite();
    told.then(|| (loss / naive).min(WORST))
}

/// One cell of the table.
#[must_use]
pub fn standing(band: &BandTrack) -> Standing {
    let score = &band.score;
    let weight = f64::from(score.weight);
    let share = |sum: f32| {
        if weight > 0.0 {
            (f64::from(sum) / weight).clamp(0.0, 1.0)
        } else {
            0.0
        }
    };
    let coverage: Vec<Coverage> = Level::STANDARD
        .iter()
        .zip(&score.below)
        .map(|(&level, &sum)| Coverage {
            level,
            below: share(sum),
        })
        .collect();
    let above = (weight - f64::from(score.below[SCORED - 1])).max(0.0);
    let promised = 1.0 - Level::STANDARD[SCORED - 1].probability();
    Standing {
        band: band.band,
        outcomes: score.outcomes,
        weight,
        loss: relative_loss(score),
        coverage,
        top_bias: if weight > 0.0 {
            above / weight - promised
        } else {
            0.0
        },
        top_excess: if above > 1e-3 {
            f64::from(score.excess) / above
        } else {
            0.0
        },
    }
}

/// Mean over the bands that say something of the loss relative to seasonal-naive's, and the outcomes
/// that it rests on.
fn overall(track: &Track) -> Option<(f64, u32)> {
    let told: Vec<_> = track
        .bands
        .iter()
        .filter(|b| b.score.outcomes >= FEW)
        .filter_map(|b| Some((relative_loss(&b.score)?, b.score.outcomes)))
        .collect();
    let sum: f64 = told.iter().map(|(loss, _)| loss).sum();
    (!told.is_empty()).then(|| {
        (
            sum / told.len() as f64,
            told.iter().map(|(_, n)| *n).sum::<u32>(),
        )
    })
}

/// The verdict on a loss relative to seasonal-naive's.
fn verdict(loss: Option<f64>) -> Verdict {
    match loss {
        None => Verdict::TooEarly,
        Some(loss) if loss < 1.0 => Verdict::Better,
        Some(_) => Verdict::NotBetter,
    }
}

/// Who answers for a series, by the track of its promises.
#[must_use]
pub fn champion(module: &ModuleRef, track: &Track) -> Champion {
    let loss = overall(track).map(|(loss, _)| loss);
    Champion {
        key: track.key.clone(),
        module: module.clone(),
        loss,
        verdict: verdict(loss),
        outcomes: track.outcomes(),
    }
}

/// The table of a series: one row per candidate that has a track. `champion` is who answers now.
#[must_use]
pub fn standings<'a>(
    key: &SeriesKey,
    candidates: impl IntoIterator<Item = (&'a ModuleRef, &'a Track)>,
    champion: &ModuleRef,
    choice: Option<Choice>,
) -> Standings {
    let mut rows: Vec<Candidate> = candidates
        .into_iter()
        .map(|(module, track)| {
            let loss = overall(track).map(|(loss, _)| loss);
            Candidate {
                module: module.clone(),
                config: track.config,
                champion: module == champion,
                loss,
                verdict: verdict(loss),
                bands: track.bands.iter().map(standing).collect(),
            }
        })
        .collect();
    let order = |a: &Candidate, b: &Candidate| -> Ordering {
        let loss = |c: &Candidate| c.loss.unwrap_or(f64::INFINITY);
        b.champion
            .cmp(&a.champion)
            .then(loss(a).total_cmp(&loss(b)))
            .then(a.module.cmp(&b.module))
    };
    rows.sort_by(order);
    Standings {
        key: key.clone(),
        candidates: rows,
        choice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(target: i64, naive: [f32; 2]) -> Pending {
        Pending {
            target: Timestamp(target),
            lead: 1,
            centre: 10.0,
            spread: 1.0,
            issued: [0; SCORED],
            naive,
        }
    }

    fn scored(naive: [f32; 2], promised: f64, outcomes: &[f64]) -> Score {
        let (mut score, mut error) = (Score::default(), [f32::NAN; 2]);
        for (i, outcome) in outcomes.iter().enumerate() {
            let promise = promise(i as i64 * 300_000, naive);
            add(
                &mut score,
                &mut error,
                &promise,
                &[promised; SCORED],
                *outcome,
            );
        }
        score
    }

    #[test]
    fn who_is_right_beats_a_day_before_that_was_wrong() {
        let score = scored([20.0, f32::NAN], 10.0, &[10.0; 9]);
        assert!(relative_loss(&score).is_some_and(|loss| loss < 1e-9));
        let score = scored([10.5, f32::NAN], 30.0, &[10.0; 9]);
        assert!(relative_loss(&score).is_some_and(|loss| loss > 1.0));
    }

    #[test]
    fn the_better_of_day_and_week_is_the_yardstick() {
        let outcomes: Vec<f64> = (0..40).map(|i| 10.0 + f64::from(i % 2)).collect();
        let week = scored([90.0, 10.0], 10.0, &outcomes);
        let alone = scored([f32::NAN, 10.0], 10.0, &outcomes);
        assert_eq!(relative_loss(&week), relative_loss(&alone));
    }

    #[test]
    fn a_constant_series_is_no_better_than_itself() {
        let score = scored([10.0, 10.0], 10.0, &[10.0; 30]);
        assert_eq!(relative_loss(&score), Some(1.0));
        assert_eq!(verdict(relative_loss(&score)), Verdict::NotBetter);
    }

    #[test]
    fn without_a_yesterday_there_is_no_verdict() {
        let score = scored([f32::NAN; 2], 10.0, &[10.0; 30]);
        assert_eq!(verdict(relative_loss(&score)), Verdict::TooEarly);
    }

    #[test]
    fn a_week_without_outcomes_leaves_a_third_of_the_weight() {
        let mut score = scored([10.0; 2], 10.0, &[10.0; 30]);
        let before = score.weight;
        let later = score.newest.plus_ms(SEASONS_MS[1]);
        age(&mut score, later);
        assert!((score.weight / before - 0.3679).abs() < 1e-3);
    }

    #[test]
    fn days_of_learning_are_forgiven_after_as_many_good_ones() {
        // Twelve outcomes an hour; yesterday is off by half, the forecast by 1 and then right.
        let (mut score, mut error) = (Score::default(), [f32::NAN; 2]);
        let mut live = |days: std::ops::Range<i64>, off: f64, score: &mut Score| {
            for i in days.start * 288..days.end * 288 {
                let outcome = 10.0 + (i % 2) as f64;
                let promise = promise(i * 300_000, [10.5, 10.5]);
                add(
                    score,
                    &mut error,
                    &promise,
                    &[outcome + off; SCORED],
                    outcome,
                );
            }
        };
        live(0..2, 1.0, &mut score);
        assert_eq!(verdict(relative_loss(&score)), Verdict::NotBetter);
        live(2..3, 0.0, &mut score);
        let before = relative_loss(&score);
        live(3..4, 0.0, &mut score);
        let after = relative_loss(&score);
        assert_eq!(verdict(after), Verdict::Better, "{before:?}, {after:?}");
        // Nor is it forgotten at once: the bad days are still seen after as many good ones.
        assert!(after.is_some_and(|loss| loss > 0.1), "{after:?}");
    }

    #[test]
    fn the_value_before_is_one_that_is_known() {
        let day = SEASONS_MS[0];
        let check = |target: i64, expected: i64| {
            let known = known_before(Timestamp(target), day, Timestamp(0));
            assert_eq!(known, Timestamp(expected));
        };
        check(0, -day);
        check(day - 60_000, -60_000);
        check(day, -day);
        check(day + 60_000, 60_000 - day);
    }

    #[test]
    fn how_often_and_how_far_the_top_was_passed_is_told_apart() {
        let outcomes: Vec<f64> = (0..100)
            .map(|i| if i % 10 == 0 { 13.0 } else { 9.0 })
            .collect();
        let band = BandTrack {
            band: tidegate_core::forecast::Band::Hour,
            offsets: [0.0; SCORED],
            error: 0.0,
            score: scored([10.0; 2], 10.0, &outcomes),
        };
        let standing = standing(&band);
        assert!((standing.top_bias - 0.09).abs() < 2e-3, "{standing:?}");
        assert!((standing.top_excess - 3.0).abs() < 1e-3);
    }
}
