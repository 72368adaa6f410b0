//! Kubernetes' Horizontal Pod Autoscaler, as its documentation describes it.
//!
//! "Horizontal Pod Autoscaling" and `autoscaling/v2` in the Kubernetes documentation: every 15 s the
//! wish is `ceil(replicas x use / target)`, unless the quotient is within 10 % of one. Pods that do not
//! yet report count as using nothing when scaling up and as using their target when scaling down, and
//! if that turns the direction nothing is done. Scaling up is limited to the greater of 4 pods and
//! 100 % per 15 s; scaling down follows the highest wish of the last 300 s. Utilisation is of the last
//! but one scrape: the metrics server answers what it collected before.
//!
//! One target for every api; a sweep over targets makes its frontier, so that it is compared at its
//! best and not at a target that somebody happened to choose.

use super::scaler::{Failure, Observed, SYNC_S, Scaler};
use std::collections::VecDeque;

/// Part of one within which the quotient is taken as one.
const TOLERANCE: f64 = 0.1;
/// Seconds of wishes that scaling down looks back to.
const STABILISATION_S: usize = 300;
/// Pods that may always be added per 15 s.
const PODS: u32 = 4;

/// See the module.
#[derive(Debug, Clone)]
pub struct Hpa {
    /// Part of a replica that is meant to be used.
    target: f64,
    /// Per api: wishes of the last 300 s.
    wished: Vec<VecDeque<(usize, u32)>>,
}

impl Hpa {
    /// With so high a utilisation as target, 0 to 1.
    #[must_use]
    pub fn new(target: f64, apis: usize) -> Self {
        Self {
            target,
            wished: vec![VecDeque::new(); apis],
        }
    }
}

impl Scaler for Hpa {
    fn sync(
        &mut self,
        second: usize,
        seen: &[Observed],
        wishes: &mut [u32],
    ) -> Result<(), Failure> {
        for ((wish, seen), wished) in wishes.iter_mut().zip(seen).zip(&mut self.wished) {
            let current = (*wish).max(1);
            let desired = desired(current, seen, self.target);
            let keep = second.saturating_sub(STABILISATION_S);
            while wished.pop_front_if(|(at, _)| *at < keep).is_some() {}
            if wished.is_empty() && desired < current {
                // What ran when it began is a wish as well.
                wished.push_back((second, current));
            }
            wished.push_back((second, desired));
            let stable = wished.iter().map(|(_, n)| *n).max().unwrap_or(desired);
            let most = current.saturating_add(PODS).max(current.saturating_mul(2));
            *wish = match desired >= current {
                true => desired.min(most),
                false => stable.min(current),
            };
        }
        debug_assert_eq!(SYNC_S, 15, "the limits above are per sync period");
        Ok(())
    }
}

/// The wish before stabilisation and limits. `current` replicas are declared, of which `measured` tell
/// their use.
#[must_use]
pub fn desired(current: u32, seen: &Observed, target: f64) -> u32 {
    let measured = seen.measured.min(current);
    if measured == 0 {
        return current;
    }
    let ratio = seen.used_each / target;
    let silent = current - measured;
    let known = f64::from(measured);
    if silent == 0 {
        return match (ratio - 1.0).abs() <= TOLERANCE {
            true => current,
            false => ceil(ratio * known),
        };
    }
    // Silent pods are assumed to use nothing, or when scaling down what they should.
    let assumed = match ratio > 1.0 {
        true => 0.0,
        false => 1.0,
    };
    let all = f64::from(current);
    let with = (ratio * known + assumed * f64::from(silent)) / all;
    let turned = (ratio > 1.0 && with < 1.0) || (ratio < 1.0 && with > 1.0);
    if (with - 1.0).abs() <= TOLERANCE || turned {
        return current;
    }
    let next = ceil(with * all);
    let moves_back = (with < 1.0 && next > current) || (with > 1.0 && next < current);
    if moves_back { current } else { next }
}

fn ceil(replicas: f64) -> u32 {
    // What division leaves behind the point is no pod.
    (replicas - 1e-9).ceil().clamp(1.0, 1e6) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(measured: u32, used_each: f64) -> Observed {
        Observed {
            serving: measured,
            held: measured,
            measured,
            used_each,
        }
    }

    #[test]
    fn the_examples_of_the_documentation_hold() {
        // "if the current metric value is 200m, and the desired value is 100m, the number of replicas
        // will be doubled ... if the current value is instead 50m, [it] will be halved".
        assert_eq!(desired(2, &seen(2, 0.2), 0.1), 4);
        assert_eq!(desired(2, &seen(2, 0.05), 0.1), 1);
        // The walkthrough: one pod at 305 % of a target of 50 % becomes seven.
        assert_eq!(desired(1, &seen(1, 3.05), 0.5), 7);
    }

    #[test]
    fn within_a_tenth_of_the_target_nothing_is_done() {
        assert_eq!(desired(10, &seen(10, 0.54), 0.5), 10);
        assert_eq!(desired(10, &seen(10, 0.56), 0.5), 12);
        assert_eq!(desired(10, &seen(10, 0.46), 0.5), 10);
        assert_eq!(desired(10, &seen(10, 0.44), 0.5), 9);
    }

    #[test]
    fn pods_that_do_not_report_dampen_both_directions() {
        // 6 of 10 use twice their target: 12 for 10, not 20.
        assert_eq!(desired(10, &seen(6, 1.0), 0.5), 12);
        // 6 of 10 use a third too much: with four idle ones that is no reason to grow.
        assert_eq!(desired(10, &seen(6, 0.66), 0.5), 10);
        // 6 of 10 use half: the others are taken to use their target.
        assert_eq!(desired(10, &seen(6, 0.25), 0.5), 7);
        assert_eq!(desired(3, &seen(0, 0.0), 0.5), 3);
    }

    #[test]
    fn growth_is_limited_per_period_and_shrinking_waits_five_minutes() {
        let mut hpa = Hpa::new(0.5, 1);
        let mut wishes = [3];
        let mut at = |second: usize, measured: u32, used: f64| {
            hpa.sync(second, &[seen(measured, used)], &mut wishes)
                .unwrap();
            wishes[0]
        };
        assert_eq!(at(0, 3, 5.0), 7);
        assert_eq!(at(15, 7, 5.0), 14);
        assert_eq!(at(30, 14, 0.5), 14);
        for second in (45..345).step_by(15) {
            assert_eq!(at(second, 14, 0.05), 14, "{second}");
        }
        assert_eq!(at(345, 14, 0.05), 2);
    }
}
