//! The regime of an api's load: quiet, or busy.
//!
//! Forecasts err otherwise on the way up and at the top than in the small hours, and there an idle
//! core costs more of the pool. Two regimes and not more: each has to learn for itself, and
//! shortages are rare. Width and tier need none: headroom is counted in widths, and tiers learn
//! apart.

use tidegate_fit::PoolColumns;

/// A rise within the plan by this factor is a climb.
const CLIMB: f64 = 1.1;

/// 1 for an api that climbs or is above its ordinary load, in any dimension; 0 else.
pub(crate) fn of(pool: &PoolColumns, api: usize) -> usize {
    let is_busy = |k: usize| {
        let median = |step: usize| pool.median[pool.cell(api, step, k)];
        let peak = (0..pool.steps).map(median).fold(0.0, f64::max);
        let ordinary = pool.expected[api * pool.width() + k];
        peak > CLIMB * median(0) || median(0) > ordinary
    };
    usize::from((0..pool.width()).any(is_busy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_fit::{Dimension, Tier};

    #[test]
    fn climbing_or_above_ordinary_is_busy() {
        let regime = |median: [f64; 2]| {
            let mut pool = PoolColumns::new(vec![Dimension::Cpu], vec![9.0; 2]);
            pool.push(Tier::Gold, &[]);
            (pool.expected, pool.median) = (vec![4.0], median.to_vec());
            of(&pool, 0)
        };
        assert_eq!([[1.0, 1.0], [1.0, 2.0], [5.0, 2.0]].map(regime), [0, 1, 1]);
    }
}
