//! Properties of the choice: no flapping, bounded delay, no dependence on order.

use super::*;
use tidegate_core::forecast::Choice;

const HOUR_MS: i64 = 3_600_000;

fn module(n: u8) -> Digest {
    Digest([n; 32])
}

fn merit(n: u8, losses: &[(Band, f64, u32)]) -> Merit {
    Merit {
        module: module(n),
        bands: losses.iter().map(|&(b, l, k)| (b, (l, k))).collect(),
    }
}

fn one(n: u8, loss: f64) -> Merit {
    merit(n, &[(Band::Hour, loss, 1000)])
}

/// A deterministic draw in [0, 1): splitmix64.
fn draw(seed: u64) -> f64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Champions over the hours, where the bound module is 1.
fn walk(hours: i64, merits: impl Fn(i64) -> Vec<Merit>) -> Vec<Choice> {
    let mut choice = None;
    (0..hours)
        .map(|hour| {
            let now = Timestamp(hour * HOUR_MS);
            let next = select(
                choice.as_ref(),
                module(1),
                &merits(hour),
                Ground::Series,
                now,
            );
            choice = Some(next);
            next
        })
        .collect()
}

fn changes(choices: &[Choice]) -> usize {
    let moved = |w: &&[Choice]| w[0].champion != w[1].champion;
    choices.windows(2).filter(moved).count()
}

#[test]
fn a_clearly_better_challenger_wins_after_the_hold_and_not_before() {
    let choices = walk(24, |_| vec![one(1, 1.0), one(2, 0.8)]);
    let hold = usize::try_from(HOLD_MS / HOUR_MS).unwrap();
    assert!(choices[..hold].iter().all(|c| c.champion == module(1)));
    assert!(choices[hold..].iter().all(|c| c.champion == module(2)));
    assert_eq!(choices[hold].ground, Ground::Series);
}

#[test]
fn ties_and_near_ties_stay() {
    let choices = walk(100, |_| vec![one(1, 1.0), one(2, 1.0), one(3, 0.98)]);
    assert_eq!(changes(&choices), 0);
    assert!(choices.iter().all(|c| c.rival.is_none()));
}

#[test]
fn noise_around_a_tie_changes_nothing_and_around_the_margin_at_most_once_a_hold() {
    for seed in 0..50_u64 {
        let noisy = |mean: f64, wide: f64| {
            move |hour: i64| {
                let at = seed * 1_000_003 + hour as u64 * 2;
                let own = 1.0 + wide * (draw(at) - 0.5);
                vec![one(1, own), one(2, mean + wide * (draw(at + 1) - 0.5))]
            }
        };
        assert_eq!(changes(&walk(1000, noisy(1.0, 0.02))), 0, "seed {seed}");
        let wandering = walk(1000, noisy(0.97, 0.3));
        let most = 1000 / usize::try_from(HOLD_MS / HOUR_MS).unwrap();
        assert!(changes(&wandering) <= most, "seed {seed}");
    }
}

#[test]
fn two_good_challengers_that_take_turns_do_not_keep_each_other_from_winning() {
    let choices = walk(24, |hour| {
        let (a, b) = if hour % 2 == 0 {
            (0.7, 0.8)
        } else {
            (0.8, 0.7)
        };
        vec![one(1, 1.0), one(2, a), one(3, b)]
    });
    assert_eq!(choices[23].champion, module(2));
    assert_eq!(changes(&choices), 1);
}

#[test]
fn an_interrupted_lead_begins_anew() {
    let choices = walk(20, |hour| {
        vec![one(1, 1.0), one(2, if hour == 10 { 1.0 } else { 0.8 })]
    });
    assert!(choices.iter().all(|c| c.champion == module(1)));
}

#[test]
fn few_outcomes_say_nothing() {
    let few = |n| merit(n, &[(Band::Hour, 1.0 / f64::from(n), ENOUGH - 1)]);
    assert_eq!(changes(&walk(100, |_| vec![few(1), few(2)])), 0);
}

#[test]
fn candidates_are_compared_where_both_were_scored() {
    let old = merit(1, &[(Band::Hour, 0.5, 500), (Band::Day, 1.5, 500)]);
    let new = merit(2, &[(Band::Hour, 0.6, 500)]);
    let choices = walk(40, |_| vec![old.clone(), new.clone()]);
    assert_eq!(changes(&choices), 0, "an unscored band must not win");
}

#[test]
fn a_champion_that_is_no_candidate_gives_way_at_once() {
    let choices = walk(40, |hour| {
        let mut merits = vec![one(1, 1.0)];
        if hour < 30 {
            merits.push(one(2, 0.5));
        }
        merits
    });
    assert_eq!(choices[29].champion, module(2));
    assert_eq!(
        (choices[30].champion, choices[30].ground),
        (module(1), Ground::Bound)
    );
}

#[test]
fn the_order_of_candidates_does_not_matter() {
    let merits = vec![one(1, 1.0), one(2, 0.8), one(3, 0.8), one(4, 0.9)];
    let mut turned = merits.clone();
    turned.reverse();
    let (a, b) = (walk(30, |_| merits.clone()), walk(30, |_| turned.clone()));
    assert_eq!(a, b);
}
