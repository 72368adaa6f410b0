//! Turns forecasts into the resources that they need.
//!
//! `need = requests x cost per request`, per dimension and quantile, or the direct forecast of the
//! resource where that is higher; `demand = median need / target utilisation + (need at the tier's
//! quantile - median need)`. The first part absorbs bursts within a step, which scale with the load
//! that is there; the second insures against a wrong forecast. Scaling the quantile itself would pay
//! for both at once although they seldom come together, and starve the lower tiers for it. Cost per request is learned from
//! what was measured: a high quantile of use / requests over recent steps, so that a step in which
//! a starved service could not work does not make requests look cheap. The quotient is used
//! because resource use is proportional to load plus a small base, and at the quantiles that tiers
//! buy, load is far from zero.

use std::collections::BTreeMap;
use tidegate_core::forecast::Forecast;
use tidegate_core::frame::{Column, Frame};
use tidegate_core::ids::ApiId;
use tidegate_core::sample::SeriesKey;
use tidegate_core::units::{Dimension, Level, Signal};

/// How demand is derived.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Part of a grant that is meant to be used; the rest absorbs bursts within a step. 0 to 1.
    pub target_utilisation: f64,
    /// Quantile of recent use / requests that is taken as the cost.
    pub cost_quantile: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            target_utilisation: 0.85,
            cost_quantile: 0.75,
        }
    }
}

/// What the room needs, for one api.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Whose.
    pub api: &'a ApiId,
    /// The pool's dimensions.
    pub dimensions: &'a [Dimension],
    /// Forecasts of this cycle.
    pub forecasts: &'a BTreeMap<SeriesKey, Forecast>,
    /// Recent requests and resource use, for the cost.
    pub recent: &'a Frame,
    /// The quantile that the api's tier buys.
    pub level: Level,
    /// Steps of the plan.
    pub steps: usize,
    /// Steps by which demand is met ahead of time.
    pub ahead: usize,
    /// Ordinary requests/s, when known.
    pub expected: Option<f64>,
    /// `[dimension]`: what is asked for where nothing is known. Not knowing is not zero: a grant of
    /// nothing would throttle an api that nobody has measured yet.
    pub unknown: &'a [f64],
    /// `[step]`: requests/s that declared events promise at least, 0 where they promise nothing;
    /// steps beyond its end have no promise.
    pub promised: &'a [f64],
    /// How.
    pub settings: Settings,
}

/// What an api needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// `[step][dimension]` at the asked level.
    pub demand: Vec<f64>,
    /// `[step][dimension]`, median.
    pub median: Vec<f64>,
    /// `[dimension]`: ordinary load.
    pub expected: Vec<f64>,
    /// `[dimension]`: measured in the newest step.
    pub usage: Vec<f64>,
    /// `[dimension]`: learned use per request, `None` where nothing was measured.
    pub cost: Vec<Option<f64>>,
}

/// There is no way to fail: without a forecast what is used now is what is needed, and without any
/// measure what the caller says.
pub type Error = std::convert::Infallible;

/// More than any pool holds, in any unit. A larger need says no more, and sums of such needs would
/// reach infinity: then one api's absurd sample leaves every api of its pool without a plan.
const MOST: f64 = 1e18;

/// Derives demand.
///
/// # Errors
/// Never.
pub fn run(input: &Input<'_>) -> Result<Output, Error> {
    let dims = input.dimensions.len();
    let requests = input.forecasts.get(&key(input.api, Signal::Requests));
    let mut output = Output {
        demand: vec![0.0; input.steps * dims],
        median: vec![0.0; input.steps * dims],
        expected: vec![0.0; dims],
        usage: vec![0.0; dims],
        cost: vec![None; dims],
    };
    for (d, &dimension) in input.dimensions.iter().enumerate() {
        let used = input.recent.column(dimension.signal());
        output.usage[d] = used.and_then(Column::last).unwrap_or(0.0).min(MOST);
        let cost = if dimension == Dimension::Requests {
            Some(1.0)
        } else {
            cost(
                input.recent,
                dimension.signal(),
                input.settings.cost_quantile,
            )
        };
        output.cost[d] = cost;
        // A granted request rate is a limit, not a resource that saturates: no headroom on top.
        let headroom = if dimension == Dimension::Requests {
            1.0
        } else {
            input.settings.target_utilisation
        };
        let direct = (dimension != Dimension::Requests)
            .then(|| input.forecasts.get(&key(input.api, dimension.signal())))
            .flatten();
        let measured = used.is_some_and(|column| column.present() > 0);
        let foretold = direct.is_some() || (requests.is_some() && cost.is_some());
        if !measured && !foretold {
            let declared = input.expected.filter(|_| dimension == Dimension::Requests);
            let fallback = input.unknown.get(d).copied().unwrap_or(0.0);
            let assumed = fallback.max(declared.unwrap_or(0.0)).min(MOST);
            for step in 0..input.steps {
                output.demand[step * dims + d] = assumed;
                output.median[step * dims + d] = assumed;
            }
            output.expected[d] = assumed;
            continue;
        }
        let quantile = |step: usize, level: Level| {
            // What an owner has promised is known, whatever the past may look like.
            let promised = input.promised.get(step).copied().filter(|p| *p > 0.0);
            let load = match (requests.map(|f| f.quantile(step, level)), promised) {
                (Some(foreseen), Some(promised)) => Some(foreseen.max(promised)),
                (foreseen, promised) => foreseen.or(promised),
            };
            let by_requests = load.zip(cost).map(|(load, cost)| load * cost);
            let by_itself = direct.map(|f| f.quantile(step, level));
            let need = match (by_requests, by_itself) {
                (Some(a), Some(b)) => a.max(b),
                (Some(a), None) | (None, Some(a)) => a,
                (None, None) => output.usage[d],
            };
            need.min(MOST)
        };
        let at = |step: usize, level: Level| {
            let median = quantile(step, Level::P50);
            median / headroom + (quantile(step, level) - median)
        };
        // The look ahead ends with the forecast, not with the plan: a lead time may be longer than a
        // plan, and what it must prepare for then lies beyond the plan's last step.
        let foreseen = requests.or(direct).map_or(0, |f| f.grid.count);
        let foreseen = foreseen.max(input.promised.len());
        let last = foreseen.max(input.steps).saturating_sub(1);
        for step in 0..input.steps {
            let window = step..=(step + input.ahead).min(last);
            output.demand[step * dims + d] = window.map(|s| at(s, input.level)).fold(0.0, f64::max);
            output.median[step * dims + d] = at(step, Level::P50);
        }
        let ordinary = input.expected.zip(cost).map(|(e, c)| e * c / headroom);
        output.expected[d] = ordinary.unwrap_or(output.usage[d] / headroom).min(MOST);
    }
    Ok(output)
}

fn key(api: &ApiId, signal: Signal) -> SeriesKey {
    SeriesKey {
        api: api.clone(),
        signal,
    }
}

/// Quantile of use / requests over the steps where both were measured and load was not trivial.
fn cost(recent: &Frame, signal: Signal, quantile: f64) -> Option<f64> {
    let (used, requests) = (recent.column(signal)?, recent.column(Signal::Requests)?);
    let floor = requests.median()? * 0.05;
    let mut costs: Vec<f64> = used
        .values
        .iter()
        .zip(&requests.values)
        .filter(|(u, r)| u.is_finite() && r.is_finite() && **r > floor && **r > 0.0)
        .map(|(u, r)| u / r)
        .filter(|cost| cost.is_finite())
        .collect();
    if costs.is_empty() {
        return None;
    }
    costs.sort_by(f64::total_cmp);
    let rank = (quantile.clamp(0.0, 1.0) * (costs.len() - 1) as f64).round() as usize;
    costs.get(rank).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::time::{Grid, Step, Timestamp};

    fn frame(requests: &[f64], cpu: &[f64]) -> Frame {
        let grid = Grid {
            start: Timestamp(0),
            step: Step::MINUTE,
            count: requests.len(),
        };
        let column = |signal, values: &[f64]| Column {
            signal,
            start: grid.start,
            step: grid.step,
            values: values.to_vec(),
        };
        Frame {
            grid,
            columns: vec![column(Signal::Requests, requests), column(Signal::Cpu, cpu)],
        }
    }

    #[test]
    fn a_starved_step_does_not_make_requests_cheap() {
        let f = frame(
            &[100.0, 100.0, 100.0, 300.0, f64::NAN],
            &[1.0, 1.0, 1.0, 1.0, 9.0],
        );
        assert_eq!(cost(&f, Signal::Cpu, 0.75), Some(0.01));
    }

    #[test]
    fn without_forecasts_what_is_used_is_what_is_needed() {
        let api: ApiId = "shop/orders".parse().unwrap();
        let recent = frame(&[10.0, 10.0], &[1.5, 3.0]);
        let output = run(&Input {
            api: &api,
            dimensions: &[Dimension::Cpu],
            forecasts: &BTreeMap::new(),
            recent: &recent,
            level: Level::P90,
            steps: 2,
            ahead: 1,
            expected: None,
            promised: &[],
            unknown: &[9.0],
            settings: Settings {
                target_utilisation: 0.75,
                ..Settings::default()
            },
        })
        .unwrap();
        assert_eq!(
            (output.demand.as_slice(), output.usage.as_slice()),
            (&[4.0, 4.0][..], &[3.0][..])
        );
    }

    fn forecast(api: &ApiId, signal: Signal, values: &[f64]) -> Forecast {
        use tidegate_core::ids::Digest;
        use tidegate_core::module::ModuleRef;
        use tidegate_core::roster::{Retreat, Served};
        Forecast {
            key: key(api, signal),
            grid: Grid {
                start: Timestamp(0),
                step: Step::MINUTE,
                count: values.len(),
            },
            levels: vec![Level::P50],
            mean: values.to_vec(),
            quantiles: values.to_vec(),
            served: Served {
                module: ModuleRef::native("test"),
                retreat: Retreat::Active,
            },
            state: Digest::of(b""),
            calibration: None,
        }
    }

    fn needs(api: &ApiId, forecast: Forecast, steps: usize, ahead: usize) -> Output {
        run(&Input {
            api,
            dimensions: &[Dimension::Cpu],
            forecasts: &[(forecast.key.clone(), forecast)].into(),
            recent: &frame(&[10.0], &[1.0]),
            level: Level::P50,
            steps,
            ahead,
            expected: None,
            promised: &[],
            unknown: &[9.0],
            settings: Settings {
                target_utilisation: 1.0,
                ..Settings::default()
            },
        })
        .unwrap()
    }

    #[test]
    fn a_lead_time_longer_than_the_plan_still_meets_the_peak() {
        let api: ApiId = "shop/orders".parse().unwrap();
        let foreseen = forecast(&api, Signal::Cpu, &[1.0, 1.0, 1.0, 1.0, 1.0, 8.0]);
        let output = needs(&api, foreseen, 2, 5);
        assert_eq!(output.demand, [8.0, 8.0]);
        assert_eq!(output.median, [1.0, 1.0]);
    }

    #[test]
    fn an_absurd_sample_does_not_make_the_sum_of_needs_infinite() {
        let api: ApiId = "shop/orders".parse().unwrap();
        let output = needs(&api, forecast(&api, Signal::Cpu, &[f64::MAX; 2]), 2, 0);
        let all = [&output.demand, &output.median, &output.expected].map(|v| v[0]);
        assert!(all.iter().all(|v| (*v * 1e6).is_finite()), "{all:?}");
    }

    #[test]
    fn what_nobody_has_measured_is_not_zero() {
        let api: ApiId = "shop/orders".parse().unwrap();
        let recent = frame(&[10.0, 10.0], &[f64::NAN, f64::NAN]);
        let output = run(&Input {
            api: &api,
            dimensions: &[Dimension::Cpu, Dimension::Memory],
            forecasts: &BTreeMap::new(),
            recent: &recent,
            level: Level::P90,
            steps: 1,
            ahead: 0,
            expected: Some(10.0),
            promised: &[],
            unknown: &[2.0, 3.0],
            settings: Settings::default(),
        })
        .unwrap();
        assert_eq!(output.demand, [2.0, 3.0]);
        assert_eq!(output.usage, [0.0, 0.0]);
    }

    #[test]
    fn a_declared_uplift_is_met_although_no_forecast_knows_of_it() {
        let api: ApiId = "shop/orders".parse().unwrap();
        let recent = frame(&[100.0, 100.0], &[1.0, 1.0]);
        let output = run(&Input {
            api: &api,
            dimensions: &[Dimension::Cpu],
            forecasts: &BTreeMap::new(),
            recent: &recent,
            level: Level::P90,
            steps: 4,
            ahead: 1,
            expected: Some(100.0),
            promised: &[0.0, 0.0, 300.0, 0.0],
            unknown: &[0.0],
            settings: Settings {
                target_utilisation: 1.0,
                ..Settings::default()
            },
        })
        .unwrap();
        // Three cores for 300 requests/s, one step ahead of the event.
        assert_eq!(output.demand, [1.0, 3.0, 3.0, 1.0]);
    }
}
