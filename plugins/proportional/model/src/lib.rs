//! Proportional shares: twice the ordinary load, twice the ordinary share.
//!
//! The rule is one line, `share = base(tier) x predicted / expected`, and the point of this model
//! is that it stays one line: everything that makes a share lawful (capacity, quotas, Gold floors,
//! step bounds) is `tidegate_fit::fit_to_pool`, the same step that any author can use. It is the
//! baseline that every cleverer allocator has to beat, and the example that authors read first.
//!
//! `expected` is the ordinary load that the host gives (the trailing 7-day median unless
//! configured). `base` is either an amount per dimension and tier, or a part of the pool per tier,
//! split among the tier's apis by weight. A purely absolute base was rejected as the default: it
//! would need numbers from everybody before the first plan.
//!
//! What is absent: look-ahead, loans and hysteresis. See the waterfill model for those.

mod config;

pub use config::{BaseShare, CONFIG_SCHEMA, Config, Predicted};
pub use tidegate_fit::{Allocation, Dimension, Error, FitReport, PoolColumns, Tier};

/// The plan for one pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Lawful shares, `[api][step][dimension]`.
    pub allocation: Allocation,
    /// `[step][dimension]`: capacity that the pool should have, from the demand alone. (Not from
    /// the shares: those follow the capacity, and would chase their own tail.)
    pub wanted: Vec<f64>,
    /// One sentence per api, for people.
    pub reasons: Vec<String>,
    /// Where shares had to give way.
    pub report: FitReport,
}

/// Divides the pool in proportion to predicted over expected load.
///
/// A Gold api's whole share is guaranteed; of the others, the part up to their floor. Where an
/// api has no expected load yet, its ratio is 1.
///
/// # Errors
/// [`Error::InvalidInput`] for wrong columns or configuration; [`Error::Numeric`] where a share
/// leaves the finite numbers.
pub fn allocate(config: &Config, pool: &PoolColumns) -> Result<Output, Error> {
    config.validate()?;
    pool.validate()?;
    let (n, steps, d) = (pool.len(), pool.steps, pool.width());
    let mut weights = [0.0; 3];
    for (tier, weight) in pool.tiers.iter().zip(&pool.weights) {
        weights[*tier as usize] += weight;
    }
    let predicted = match config.predicted {
        Predicted::Median => &pool.median,
        Predicted::Quantile => &pool.demand,
    };

    let mut wish = Allocation::default();
    for api in 0..n {
        let tier = pool.tiers[api];
        let part = config.fraction.of(tier) * pool.weights[api] / weights[tier as usize];
        for step in 0..steps {
            for k in 0..d {
                let base = match config.base.get(pool.dimensions[k].name()) {
                    Some(amounts) => amounts.of(tier),
                    None => part * pool.capacity[step * d + k],
                };
                let share = base * ratio(pool, predicted, api, step, k);
                if !share.is_finite() {
                    return Err(Error::Numeric(format!(
                        "the share of api {api} at step {step}"
                    )));
                }
                let sure = if tier == Tier::Gold {
                    share
                } else {
                    pool.floor[api * d + k]
                };
                wish.limit.push(share);
                wish.guaranteed.push(sure.min(share));
            }
        }
    }
    let shares = wish.limit.clone();
    let report = tidegate_fit::fit_to_pool(pool, &mut wish)?;
    let reasons = (0..n)
        .map(|api| reason(pool, predicted, &shares, &wish, api))
        .collect();
    Ok(Output {
        wanted: pool.wanted(config.margin),
        allocation: wish,
        reasons,
        report,
    })
}

/// Predicted over expected load; 1 where nothing is expected yet.
fn ratio(pool: &PoolColumns, predicted: &[f64], api: usize, step: usize, k: usize) -> f64 {
    let expected = pool.expected[api * pool.width() + k];
    if expected > 0.0 {
        predicted[pool.cell(api, step, k)] / expected
    } else {
        1.0
    }
}

/// Names the dimension and step where the api's load stands highest above the ordinary.
fn reason(
    pool: &PoolColumns,
    predicted: &[f64],
    shares: &[f64],
    plan: &Allocation,
    api: usize,
) -> String {
    let (mut step, mut k, mut peak) = (0, 0, 0.0);
    for s in 0..pool.steps {
        for dimension in 0..pool.width() {
            let here = ratio(pool, predicted, api, s, dimension);
            if here > peak {
                (step, k, peak) = (s, dimension, here);
            }
        }
    }
    let at = pool.cell(api, step, k);
    let (share, limit) = (shares[at], plan.limit[at]);
    let name = pool.dimensions[k].name();
    let tier = pool.tiers[api].name();
    let end = if limit < share * (1.0 - 1e-9) {
        format!("cut to {limit:.4} by the pool's rules")
    } else if limit > share * (1.0 + 1e-9) {
        format!("raised to {limit:.4} by its floor or step bounds")
    } else {
        "granted in full".to_owned()
    };
    format!(
        "{tier}: {name} load peaks at {peak:.2} times the expected at step {step}, \
         a share of {share:.4}, {end}"
    )
}
