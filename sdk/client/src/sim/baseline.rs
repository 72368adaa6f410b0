//! The rivals: how cores are divided without Tidegate, and how a know-all would divide them.
//!
//! A comparison is only worth as much as its baseline, so these are what a careful operator runs:
//! a static split by historical means that leaves no core idle, and an autoscaler's control law
//! with every api's wish fitted to the pool. All functions keep the sum of the grants within the
//! capacity.

use super::scoreboard::Tier;

/// The same share for each of `apis`, cores.
pub fn equal_split(capacity: f64, apis: usize) -> Vec<f64> {
    vec![capacity / apis.max(1) as f64; apis]
}

/// All of `capacity` in proportion to `expected` (cores; an api's historical mean), or equally
/// when nothing is expected. With the true demand of a step in place of the mean, it is the
/// oracle that knows no tiers.
pub fn static_split(capacity: f64, expected: &[f64]) -> Vec<f64> {
    let total: f64 = expected.iter().map(|e| e.max(0.0)).sum();
    if total > 0.0 && total.is_finite() {
        expected
            .iter()
            .map(|e| capacity * e.max(0.0) / total)
            .collect()
    } else {
        equal_split(capacity, expected.len())
    }
}

/// What `wanted` (cores) gets when tiers are served strictly in order: a tier that does not fit
/// shares what is left in proportion, lower tiers get nothing, and a surplus is spread in
/// proportion. With the true demand and headroom it is the oracle that knows tiers.
pub fn priority_split(capacity: f64, wanted: &[f64], tiers: &[Tier]) -> Vec<f64> {
    let mut grants = vec![0.0; wanted.len()];
    let mut left = capacity;
    for tier in [Tier::Gold, Tier::Silver, Tier::Bronze] {
        let of_tier = || (0..wanted.len()).filter(|&i| tiers.get(i) == Some(&tier));
        let sum: f64 = of_tier().map(|i| wanted[i].max(0.0)).sum();
        let factor = if sum > left { left / sum } else { 1.0 };
        for i in of_tier() {
            grants[i] = wanted[i].max(0.0) * factor;
        }
        left = (left - sum).max(0.0);
    }
    if left > 0.0 {
        static_split(capacity, &grants)
    } else {
        grants
    }
}

/// What happens to capacity that nobody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surplus {
    /// It stays idle, as an autoscaler leaves it.
    Idle,
    /// It is spread over all in proportion to their wishes.
    Spread,
}

/// An autoscaler's control law on a shared pool: the next grant is the last step's use over the
/// target utilisation (Kubernetes' HorizontalPodAutoscaler: `desired = current * use / target`),
/// cut in proportion where the pool is too small.
#[derive(Clone, Debug, PartialEq)]
pub struct Reactive {
    /// Cores of the pool.
    pub capacity: f64,
    /// Wanted use over grant, in 0..=1; HPA's usual setting is 0.5 to 0.8.
    pub target_utilisation: f64,
    /// Cores that an api keeps when it is idle (HPA's minimum of replicas).
    pub floor: f64,
    /// What becomes of the rest.
    pub surplus: Surplus,
}

impl Reactive {
    /// Grants for the next step from the cores that each api `used` in the last one.
    pub fn next(&self, used: &[f64]) -> Vec<f64> {
        let target = self.target_utilisation.clamp(0.01, 1.0);
        let wishes: Vec<f64> = used.iter().map(|u| (u / target).max(self.floor)).collect();
        let too_much = wishes.iter().sum::<f64>() > self.capacity;
        if too_much || self.surplus == Surplus::Spread {
            static_split(self.capacity, &wishes)
        } else {
            wishes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: &[f64], wanted: &[f64]) -> bool {
        got.len() == wanted.len() && got.iter().zip(wanted).all(|(g, w)| (g - w).abs() < 1e-9)
    }

    #[test]
    fn a_static_split_follows_the_means_and_is_equal_without_them() {
        assert!(close(
            &static_split(12.0, &[1.0, 2.0, 3.0]),
            &[2.0, 4.0, 6.0]
        ));
        assert!(close(&static_split(12.0, &[0.0, 0.0]), &[6.0, 6.0]));
        assert!(static_split(12.0, &[]).is_empty());
    }

    #[test]
    fn priority_serves_gold_first_cuts_within_a_tier_and_starves_the_last() {
        let tiers = [Tier::Bronze, Tier::Gold, Tier::Silver, Tier::Silver];
        let grants = priority_split(10.0, &[5.0, 6.0, 4.0, 4.0], &tiers);
        assert!(close(&grants, &[0.0, 6.0, 2.0, 2.0]), "{grants:?}");
        let roomy = priority_split(38.0, &[5.0, 6.0, 4.0, 4.0], &tiers);
        assert!(close(&roomy, &[10.0, 12.0, 8.0, 8.0]), "{roomy:?}");
    }

    #[test]
    fn the_reactive_rule_doubles_at_half_the_target_and_never_leaves_the_pool() {
        let mut rule = Reactive {
            capacity: 10.0,
            target_utilisation: 0.5,
            floor: 0.1,
            surplus: Surplus::Idle,
        };
        assert!(close(&rule.next(&[1.0, 2.0, 0.0]), &[2.0, 4.0, 0.1]));
        assert!(close(&rule.next(&[4.0, 4.0]), &[5.0, 5.0]));
        rule.surplus = Surplus::Spread;
        assert!((rule.next(&[1.0, 2.0, 0.0]).iter().sum::<f64>() - 10.0).abs() < 1e-9);
    }
}
