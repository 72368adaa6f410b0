//! Weighted max-min with bounds: one vessel of water, many cups.
//!
//! Every cup holds at least `low` and at most `high`; between them it holds `level x weight`. The
//! level at which the cups hold exactly the budget is found by sweeping the sorted points where a
//! cup starts or stops to rise: O(n log n), exact, and without the tolerance of a bisection.

use tidegate_fit::Tier;

/// The largest `level` at which the sum over cups of `clamp(level * weight, low, high)` is at most
/// `budget`: infinite where all cups can be full, 0 where not even the `low`s fit.
///
/// `cups` are `(low, high, weight)` with `0 <= low <= high` and `weight > 0`, all finite.
#[must_use]
pub fn water_level(cups: &[(f64, f64, f64)], budget: f64) -> f64 {
    let mut total: f64 = cups.iter().map(|c| c.0).sum();
    // (level at which the slope changes, by how much)
    let mut bends: Vec<(f64, f64)> = Vec::with_capacity(2 * cups.len());
    for &(low, high, weight) in cups.iter().filter(|c| c.1 > c.0) {
        bends.push((low / weight, weight));
        bends.push((high / weight, -weight));
    }
    bends.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let (mut level, mut slope) = (0.0, 0.0);
    for (next, change) in bends {
        let rise = slope * (next - level);
        if total + rise > budget {
            let part = if slope > 0.0 {
                (budget - total).max(0.0) / slope
            } else {
                0.0
            };
            return (level + part).min(next);
        }
        (total, level, slope) = (total + rise, next, slope + change);
    }
    f64::INFINITY
}

/// Pours `budget` over all cups, tier by tier: everybody's `low` first, then Gold up to `high` by
/// weighted max-min, then Silver, then Bronze. Answers what each cup holds and what is left.
/// Where the `low`s alone exceed the budget, they are the answer and nothing is left.
pub(crate) fn pour(
    cups: &[(f64, f64, f64)],
    tiers: &[Tier],
    members: &[usize],
    budget: f64,
) -> (Vec<f64>, f64) {
    let mut held: Vec<f64> = members.iter().map(|&i| cups[i].0).collect();
    let mut left = budget - held.iter().sum::<f64>();
    for tier in Tier::SERVED {
        if left <= 0.0 {
            return (held, 0.0);
        }
        let own: Vec<usize> = (0..members.len())
            .filter(|&m| tiers[members[m]] == tier)
            .collect();
        let theirs: Vec<_> = own.iter().map(|&m| cups[members[m]]).collect();
        let lows: f64 = theirs.iter().map(|c| c.0).sum();
        let level = water_level(&theirs, lows + left);
        for (&m, &(low, high, weight)) in own.iter().zip(&theirs) {
            held[m] = (level * weight).clamp(low, high);
        }
        let full = level.is_infinite();
        let used: f64 = own
            .iter()
            .zip(&theirs)
            .map(|(&m, cup)| held[m] - cup.0)
            .sum();
        left = if full { (left - used).max(0.0) } else { 0.0 };
    }
    (held, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poured(cups: &[(f64, f64, f64)], budget: f64) -> Vec<f64> {
        let level = water_level(cups, budget);
        cups.iter()
            .map(|&(low, high, weight)| (level * weight).clamp(low, high))
            .collect()
    }

    #[test]
    fn the_small_are_satisfied_and_the_large_share_the_rest() {
        // Bertsekas & Gallager's kind of example: demands 2, 2.6, 4, 5 of a link of 10.
        let cups = [
            (0.0, 2.0, 1.0),
            (0.0, 2.6, 1.0),
            (0.0, 4.0, 1.0),
            (0.0, 5.0, 1.0),
        ];
        for (got, want) in poured(&cups, 10.0).iter().zip([2.0, 2.6, 2.7, 2.7]) {
            assert!((got - want).abs() < 1e-12, "{got} for {want}");
        }
    }

    #[test]
    fn weights_are_ratios_of_levels_and_lows_are_kept() {
        let cups = [(0.0, 100.0, 3.0), (0.0, 100.0, 1.0), (6.0, 100.0, 1.0)];
        for (got, want) in poured(&cups, 18.0).iter().zip([9.0, 3.0, 6.0]) {
            assert!((got - want).abs() < 1e-12, "{got} for {want}");
        }
    }

    #[test]
    fn a_budget_for_all_fills_all() {
        assert_eq!(poured(&[(0.0, 2.0, 1.0), (1.0, 1.0, 5.0)], 3.0), [2.0, 1.0]);
    }

    #[test]
    fn gold_is_full_before_silver_rises_above_its_low() {
        let cups = [(0.0, 6.0, 1.0), (1.0, 5.0, 1.0)];
        let (held, left) = pour(&cups, &[Tier::Gold, Tier::Silver], &[0, 1], 6.0);
        assert_eq!((held, left), (vec![5.0, 1.0], 0.0));
    }
}
