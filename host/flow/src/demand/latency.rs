//! How often a step misses a latency objective, by planned utilisation; learned per SLO and resource,
//! so that an objective becomes a target utilisation.
//!
//! **Model.** In heavy traffic the wait in a G/G/c queue is exponential (Kingman 1961; for c servers
//! Köllerström 1974; the mean is Allen-Cunneen's, Allen 1990, section 5.3): `P(wait > t) = P(wait) x
//! exp(-2 c (1 - u) t / (s (ca^2 + cs^2)))` at utilisation `u`. With the threshold fixed, all that is
//! unknown of an api (servers, service time, variability of arrivals *within* a step and of service)
//! is one number, `k`: the miss rate is `own + (1 - own) x u x exp(-k (1 - u))`, where `own` is what is
//! missed whatever the utilisation. A bursty api has a small `k`, and so has one that is hard to
//! foresee: `u` is the use that was *foreseen* when the capacity was decided, over that capacity less what
//! insures against a wrong forecast. So what the insurance does not cover, bursts and errors beyond the
//! quantile, is learned as one, at the figure that demand is divided by. (Over the whole capacity, steps
//! lay far below the aim that they were granted with; errors were insured, and headroom learned for them
//! again: an eighth of all that was bought.)
//!
//! **Learning.** A posterior over a grid of `(own, k)`, updated by each step's miss: the share of slow
//! requests over the share that is allowed, at most 1, cubed, so that a step at half of the allowance
//! counts an eighth. Steps far from the aim count less, because no model is right so far away: below it,
//! a miss is an outage elsewhere more often than a lack of capacity; above it, the api was given less than
//! it asked for. (That counted in full once. An api that was last in line missed where it was short, which
//! the exponential carried down to the lowest aim there is; then it asked for thrice its need, and so did
//! all of its tier, until max-min gave as much to the small as to the large.) And no step is believed
//! beyond a likelihood of 1 in 10,000. It forgets with a half-life of a day, towards the prior:
//! the `k` that makes the configured target right, within a factor of two.
//!
//! **Aim.** The highest utilisation at which the miss rate, less `own`, is within the tolerance, its mean
//! taken over the posterior: not knowing costs headroom. It never lies more than a twentieth above what
//! has been seen, nor outside 30 to 95 %; and where most steps are missed at any utilisation, more
//! capacity is no remedy and the configured target stands.
//!
//! Rejected: the mean share of slow requests (a rare step in which half are slow is missed, and hardly
//! moves a mean); isotonic regression over bins of utilisation (monotone too, but knows nothing above
//! what it saw, and needs every bin visited).

use super::codec::{Reader, Writer};
use super::forget;
use tidegate_core::slo::Events;

/// Candidates for `k`: from 2, each half as much again as the one before.
const KS: usize = 14;
/// Candidates for `own`, and the logarithms of their priors. Near the aim, where most steps lie, a rate
/// that does not depend on utilisation looks like one that does; and to take what capacity could mend
/// for what it could not is the dearer mistake. So `own` has to be shown, at low utilisation.
const OWN: [(f64, f64); 3] = [(0.0, 0.0), (0.001, -4.0), (0.8, -10.0)];
/// Standard deviation of the prior of `ln k`.
const PRIOR_SD: f64 = 0.7;
/// Likelihood below which a step is taken to be about something else. Far below what is tolerated: a
/// miss rate of 1 in 1000 cannot be learned from misses that are not believed.
const ELSEWHERE: f64 = 1e-4;
/// How far below the aim a step still says something, and how far above.
const BELOW: f64 = 0.15;
const ABOVE: f64 = 0.05;
/// Seconds after which a step counts half.
const HALF_LIFE_S: f64 = 86_400.0;
/// The aim stays within these.
const LEAST: f64 = 0.3;
const MOST: f64 = 0.95;
/// How far above what was seen it may lie.
const BEYOND: f64 = 0.05;
/// Steps that count as much as what is configured.
const CONFIGURED_WORTH: f64 = 30.0;
/// A miss rate above this is not for more capacity to mend.
const HOPELESS: f64 = 0.5;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Share of slow requests that the objective allows, above 0 and below 1.
    pub allowed: f64,
    /// Threshold, in seconds.
    pub threshold: f64,
    /// Configured target, which is what the prior says.
    configured: f64,
    /// Miss rate that is tolerated.
    tolerance: f64,
    /// `[own][k]`: logarithm of the posterior, its greatest 0.
    log: Vec<f64>,
    /// Steps near the aim or above it, after forgetting.
    evidence: f64,
    /// A high utilisation that was seen: their 90th percentile, by stochastic approximation.
    seen: f64,
    /// See [`Self::aim`].
    aim: f64,
}

/// The posterior, summed over `own`: the expected share is `floor + sum over k of part x u x
/// exp(-k (1 - u))`.
#[derive(Debug)]
struct Mixture {
    floor: f64,
    parts: [f64; KS],
}

impl Mixture {
    fn at(&self, u: f64) -> f64 {
        let queued = self.parts.iter().enumerate();
        let queued = queued.map(|(i, part)| part * libm::exp(-steepness(i) * (1.0 - u)));
        self.floor + u * queued.sum::<f64>()
    }
}

impl Curve {
    /// Nothing known: the prior.
    #[must_use]
    pub fn new(allowed: f64, threshold: f64, configured: f64, tolerance: f64) -> Self {
        let configured = configured.clamp(LEAST, MOST);
        let tolerance = tolerable(tolerance);
        Self {
            allowed,
            threshold,
            configured,
            tolerance,
            log: prior(configured, tolerance),
            evidence: 0.0,
            seen: configured,
            aim: configured,
        }
    }

    /// Aims at another miss rate from now on, as when its api moves to another tier: what was learned of
    /// the service stays.
    pub(super) fn tolerate(&mut self, tolerance: f64) {
        let tolerance = tolerable(tolerance);
        if tolerance.to_bits() != self.tolerance.to_bits() {
            self.tolerance = tolerance;
            self.aim = self.aim_for(tolerance);
        }
    }

    /// Learns from one step of `step_s` seconds, planned at a utilisation.
    pub(super) fn learn(&mut self, events: Events, utilisation: f64, step_s: f64) {
        if !(events.total > 0.0 && utilisation.is_finite() && utilisation >= 0.0) {
            return;
        }
        let u = utilisation.min(1.0);
        let keep = forget(step_s, HALF_LIFE_S);
        let away = if u < self.aim {
            (self.aim - u) / BELOW
        } else {
            (u - self.aim) / ABOVE
        };
        let near = libm::exp(-away * away);
        let part = (events.bad / events.total / self.allowed).clamp(0.0, 1.0);
        let miss = part * part * part;
        let queued: [f64; KS] = std::array::from_fn(|i| u * libm::exp(-steepness(i) * (1.0 - u)));
        let prior = prior(self.configured, self.tolerance);
        for (i, (log, prior)) in self.log.iter_mut().zip(prior).enumerate() {
            let (own, _) = OWN[i / KS];
            let rate = own + (1.0 - own) * queued[i % KS];
            let fit = libm::exp(-near * divergence(miss, rate));
            let likelihood = libm::log(ELSEWHERE + (1.0 - ELSEWHERE) * fit);
            *log = keep * *log + (1.0 - keep) * prior + likelihood;
        }
        let greatest = self.log.iter().copied().fold(f64::MIN, f64::max);
        self.log.iter_mut().for_each(|log| *log -= greatest);
        self.evidence = keep * self.evidence + near;
        self.seen += 0.02 * if u > self.seen { 0.9 } else { -0.1 } * near;
        self.seen = self.seen.clamp(LEAST, 1.0);
        self.aim = self.aim_for(self.tolerance);
    }

    fn mixture(&self) -> Mixture {
        let mut mixture = Mixture {
            floor: 0.0,
            parts: [0.0; KS],
        };
        let mut total = 0.0;
        for (i, log) in self.log.iter().enumerate() {
            let (weight, own) = (libm::exp(*log), OWN[i / KS].0);
            mixture.floor += weight * own;
            mixture.parts[i % KS] += weight * (1.0 - own);
            total += weight;
        }
        mixture.floor /= total;
        mixture.parts.iter_mut().for_each(|p| *p /= total);
        mixture
    }

    /// Miss rate that is expected at a planned utilisation, 0 to 1.
    #[must_use]
    pub fn expected(&self, u: f64) -> f64 {
        self.mixture().at(u)
    }

    /// The target utilisation, 0.3 to 0.95: the use that is foreseen, over what is granted for it.
    #[must_use]
    pub fn aim(&self) -> f64 {
        self.aim
    }

    /// The utilisation at which a part `tolerance` of the steps misses the objective.
    fn aim_for(&self, tolerance: f64) -> f64 {
        let mixture = self.mixture();
        if mixture.floor >= HOPELESS {
            return self.configured;
        }
        // What is missed whatever the utilisation cannot be bought off.
        let safe = mixture.floor + tolerance;
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..16 {
            let middle = f64::midpoint(low, high);
            if mixture.at(middle) <= safe {
                low = middle;
            } else {
                high = middle;
            }
        }
        let learned = low.min(self.seen.max(self.configured) + BEYOND);
        let weight = self.evidence / (self.evidence + CONFIGURED_WORTH);
        (self.configured + weight * (learned - self.configured)).clamp(LEAST, MOST)
    }

    /// Whether enough was seen near the aim to say anything.
    #[must_use]
    pub fn is_informed(&self) -> bool {
        self.evidence >= CONFIGURED_WORTH / 3.0
    }

    /// Whether more capacity is a remedy at all.
    #[must_use]
    pub fn is_curable(&self) -> bool {
        self.mixture().floor < HOPELESS
    }

    /// Whether it is about this objective still.
    pub(super) fn is_of(&self, fresh: &Self) -> bool {
        let all = |c: &Self| [c.allowed, c.threshold, c.configured].map(f64::to_bits);
        all(self) == all(fresh)
    }

    pub(super) fn write(&self, to: &mut Writer) {
        let numbers = [
            self.allowed,
            self.threshold,
            self.configured,
            self.tolerance,
            self.evidence,
            self.seen,
            self.aim,
        ];
        numbers.into_iter().for_each(|x| to.float(x));
        self.log.iter().for_each(|log| to.float(-log));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let [
            allowed,
            threshold,
            configured,
            tolerance,
            evidence,
            seen,
            aim,
        ] = from.array()?;
        let minus: [f64; KS * OWN.len()] = from.array()?;
        let log = minus.iter().map(|x| 0.0 - x).collect();
        (allowed > 0.0 && allowed < 1.0).then_some(Self {
            allowed,
            threshold,
            configured,
            tolerance,
            log,
            evidence,
            seen,
            aim,
        })
    }
}

/// Miss rates that can be told from others.
fn tolerable(rate: f64) -> f64 {
    rate.clamp(1e-4, 0.3)
}

fn steepness(i: usize) -> f64 {
    2.0 * libm::pow(1.5, i as f64)
}

/// The `k` at which the configured target is the aim, within a factor of two; see
/// [`OWN`].
fn prior(configured: f64, tolerance: f64) -> Vec<f64> {
    let centre = libm::log(configured / tolerance) / (1.0 - configured);
    let centre = libm::log(centre.clamp(2.0, 300.0));
    let log = |i: usize| {
        let z = (libm::log(steepness(i % KS)) - centre) / PRIOR_SD;
        OWN[i / KS].1 - 0.5 * z * z
    };
    let all: Vec<f64> = (0..KS * OWN.len()).map(log).collect();
    let greatest = all.iter().copied().fold(f64::MIN, f64::max);
    all.into_iter().map(|x| x - greatest).collect()
}

/// Kullback-Leibler divergence of a miss from an expected rate: half the deviance of one step.
fn divergence(share: f64, expected: f64) -> f64 {
    let p = expected.clamp(1e-6, 1.0 - 1e-6);
    let part = |x: f64, p: f64| if x > 0.0 { x * libm::log(x / p) } else { 0.0 };
    (part(share, p) + part(1.0 - share, 1.0 - p)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fresh(configured: f64) -> Curve {
        Curve::new(0.05, 0.2, configured, 0.003)
    }

    fn step(share: f64) -> Events {
        Events {
            bad: 6000.0 * share,
            total: 6000.0,
        }
    }

    /// `steps` at utilisations around the aim, as grants would make them; each is missed in full, as
    /// often as the truth says: chance is a golden-ratio sequence, which is even in every stretch.
    fn run(curve: &mut Curve, steps: u32, truth: impl Fn(f64) -> f64) {
        for i in 0..steps {
            let wobble = 0.06 * libm::sin(f64::from(i) * 12.9898);
            let u = (curve.aim() - 0.03 + wobble).clamp(0.05, 1.0);
            let chance = (f64::from(i) * 0.618_033_988_75).fract();
            let share = if chance < truth(u) { 0.3 } else { 0.001 };
            curve.learn(step(share), u, 60.0);
        }
    }

    fn kingman(k: f64) -> impl Fn(f64) -> f64 {
        move |u| u * libm::exp(-k * (1.0 - u))
    }

    #[test]
    fn nothing_seen_is_what_is_configured() {
        let curve = fresh(0.85);
        assert!((curve.aim() - 0.85).abs() < 1e-12);
        assert!(!curve.is_informed() && curve.is_curable());
    }

    #[test]
    fn a_bursty_api_gets_more_headroom_and_a_smooth_one_less() {
        let aim = |k: f64| {
            let mut curve = fresh(0.85);
            run(&mut curve, 3000, kingman(k));
            curve.aim()
        };
        let (bursty, ordinary, smooth) = (aim(12.0), aim(37.0), aim(200.0));
        assert!(bursty < 0.7, "{bursty}");
        assert!((0.8..0.9).contains(&ordinary), "{ordinary}");
        assert!(smooth > 0.9, "{smooth}");
    }

    #[test]
    fn who_moves_to_another_tier_aims_otherwise_at_once_and_keeps_what_it_has_learned() {
        let mut curve = fresh(0.85);
        run(&mut curve, 3000, kingman(12.0));
        let (care, known) = (curve.aim(), curve.log.clone());
        curve.tolerate(0.25);
        assert!(curve.aim() > care + 0.1, "{care} {}", curve.aim());
        assert_eq!(curve.log, known);
        curve.tolerate(0.003);
        assert_eq!(curve.aim().to_bits(), care.to_bits());
    }

    #[test]
    fn who_is_met_up_to_the_median_does_not_claim_errors_of_the_forecast_as_headroom() {
        // Errors of a quarter, of which nothing is insured.
        let truth = |u: f64| 0.5 * libm::erfc((1.0 / u - 1.0) / 0.25 / std::f64::consts::SQRT_2);
        let ask = |tolerance: f64| {
            let mut curve = Curve::new(0.05, 0.2, 0.85, tolerance);
            run(&mut curve, 6000, truth);
            1.0 / curve.aim()
        };
        let (bronze, before) = (ask(0.25), ask(0.001));
        assert!(bronze < 1.25 && before > 1.6, "{bronze} {before}");
    }

    #[test]
    fn a_queue_of_another_kind_is_held_at_its_objective() {
        // A cliff, as normal errors of a forecast make it, and not the model's exponential.
        let truth = |u: f64| 0.5 * libm::erfc((0.97 - u) / 0.05 / std::f64::consts::SQRT_2);
        let mut curve = fresh(0.85);
        run(&mut curve, 6000, truth);
        let aim = curve.aim();
        assert!(truth(aim) < 0.02 && aim > 0.75, "{aim}");
    }

    #[test]
    fn an_outage_elsewhere_hardly_moves_the_aim() {
        let mut curve = fresh(0.85);
        run(&mut curve, 1500, kingman(37.0));
        let before = curve.aim();
        for _ in 0..3 {
            curve.learn(step(1.0), 0.4, 60.0);
        }
        let after = curve.aim();
        assert!((after - before).abs() < 0.03, "{before} {after}");
    }

    #[test]
    fn an_api_that_is_starved_for_hours_does_not_learn_to_ask_for_more_ever_after() {
        let mut curve = fresh(0.85);
        run(&mut curve, 1500, kingman(37.0));
        let before = curve.aim();
        for i in 0..300 {
            curve.learn(step(if i % 5 < 2 { 0.3 } else { 0.001 }), 0.98, 60.0);
        }
        assert!(curve.aim() > before - 0.12, "{before} {}", curve.aim());
    }

    #[test]
    fn what_is_slow_by_itself_cannot_be_bought_off() {
        let mut curve = fresh(0.85);
        run(&mut curve, 1500, |_| 1.0);
        assert!(!curve.is_curable());
        assert!((curve.aim() - 0.85).abs() < 1e-12);
    }

    #[test]
    fn the_aim_rises_no_further_than_what_was_seen_allows() {
        let mut curve = fresh(0.6);
        for _ in 0..2000 {
            curve.learn(step(0.0), 0.55, 60.0);
        }
        assert!(curve.aim() <= 0.6 + BEYOND + 1e-9);
    }

    proptest! {
        #[test]
        fn the_curve_is_monotone_and_the_aim_bounded(
            steps in proptest::collection::vec((0.0..1.5_f64, 0.0..1.0_f64, 0.0..1e6_f64), 0..80),
            allowed in 0.0001..0.5_f64,
            configured in 0.05..1.0_f64,
        ) {
            let mut curve = Curve::new(allowed, 0.2, configured, 0.003);
            for (u, share, total) in steps {
                curve.learn(Events { bad: share * total, total }, u, 60.0);
            }
            prop_assert!((LEAST..=MOST).contains(&curve.aim()), "{}", curve.aim());
            let rates: Vec<f64> = (0..=20).map(|i| curve.expected(f64::from(i) / 20.0)).collect();
            prop_assert!(rates.windows(2).all(|w| w[0] <= w[1] + 1e-12), "{:?}", rates);
            prop_assert!(curve.aim_for(0.001) <= curve.aim_for(0.003) + 1e-9, "more care is more headroom");
            let mut writer = Writer::default();
            curve.write(&mut writer);
            prop_assert_eq!(Curve::read(&mut Reader(&writer.0)), Some(curve));
        }
    }
}
