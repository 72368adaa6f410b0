//! Which headroom an api buys: exponential weights over what each would have cost.
//!
//! The weighted mean of [`HEADROOMS`] is the exponentially weighted average forecaster (Cesa-Bianchi
//! & Lugosi, Prediction, Learning, and Games, 2006, chapter 2), with discounted losses (section 2.11)
//! because loads drift: whatever comes, its cost stays close to that of the best fixed headroom of
//! the last days, and what `waterfill` buys is among them. No chance is drawn.
//!
//! An api's own evidence is added to what its tier has learned in the same regime, which counts as
//! `prior_steps` steps of its own (a conjugate prior with a common mean, as in empirical Bayes), and
//! to a pull towards [`UNTAUGHT`]. Learning per dimension was rejected: it asks for as much evidence
//! and as many bytes again, and an api is short when *one* dimension is.

use tidegate_fit::Tier;

use crate::config::Config;
use crate::evidence::{Evidence, Prices};
use crate::headroom::HEADROOMS;

/// What is bought before anything is known: the tier's quantile and about what `waterfill` adds to
/// it as a margin.
pub(crate) const UNTAUGHT: f64 = 1.3;

/// Weight of the pull towards it, in the exponent per squared headroom; below the median it is that of the
/// median.
const PULL: f64 = 8.0;

/// The headroom for an api of `tier` that has seen `own` where its tier has seen `shared`.
pub(crate) fn headroom(config: &Config, tier: Tier, own: &Evidence, shared: &Evidence) -> f64 {
    let prices = Prices {
        shortage: config.shortage_cost.of(tier),
        slack: config.slack_cost,
    };
    // Per step of the tier, as many steps of the api's own; fewer while the tier knows little.
    let steps = shared.steps() + config.prior_steps;
    let part = if steps > 0.0 {
        config.prior_steps / steps
    } else {
        0.0
    };
    let (own, shared) = (own.costs(prices), shared.costs(prices));
    let scores: [f64; HEADROOMS.len()] = std::array::from_fn(|k| {
        let away = HEADROOMS[k].max(0.0) - UNTAUGHT;
        let pull = PULL * away * away;
        pull + config.learning_rate * (own[k] + part * shared[k])
    });
    let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let (mut weights, mut sum) = (0.0, 0.0);
    for (score, headroom) in scores.iter().zip(HEADROOMS) {
        let weight = libm::exp(least - score);
        weights += weight;
        sum += weight * headroom;
    }
    sum / weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Lesson;
    use crate::headroom::ARMS;

    /// So many steps in which headrooms below one were short so often.
    fn seen(steps: usize, short_below: f64, risk: f64) -> Evidence {
        let mut evidence = Evidence::default();
        let lesson = Lesson {
            short: HEADROOMS.map(|h| if h < short_below { risk } else { 0.0 }),
            used: 0.7,
            bought: [1.0, 0.3, 0.3],
        };
        (0..steps).for_each(|_| evidence.learn(&lesson, 0.9999));
        evidence
    }

    fn chosen(tier: Tier, own: &Evidence, shared: &Evidence) -> f64 {
        headroom(&Config::default(), tier, own, shared)
    }

    #[test]
    fn who_knows_nothing_buys_about_what_waterfill_buys() {
        let nothing = Evidence::default();
        for tier in Tier::SERVED {
            let headroom = chosen(tier, &nothing, &nothing);
            assert!((headroom - UNTAUGHT).abs() < 1e-3, "{headroom}");
        }
        assert_eq!(HEADROOMS.len(), ARMS);
    }

    #[test]
    fn slack_lowers_it_shortage_raises_it_and_gold_most() {
        let nothing = Evidence::default();
        let low = chosen(Tier::Gold, &seen(2000, 0.0, 0.0), &nothing);
        assert!(low < 0.1, "{low}");
        let risky = seen(2000, 1.1, 0.05);
        let [gold, silver, bronze] = Tier::SERVED.map(|tier| chosen(tier, &risky, &nothing));
        assert!(
            gold > 1.25 && gold > silver && silver > bronze,
            "{gold} {silver} {bronze}"
        );
    }

    #[test]
    fn a_new_api_begins_where_its_tier_is_and_then_follows_its_own() {
        let (nothing, shared) = (Evidence::default(), seen(4000, 1.4, 0.1));
        let first = chosen(Tier::Gold, &nothing, &shared);
        assert!(first > 1.4, "{first}");
        let later = chosen(Tier::Gold, &seen(4000, 0.0, 0.0), &shared);
        assert!(later < 0.8, "{later}");
    }
}
