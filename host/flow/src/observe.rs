//! Writes down what was decided and why, and raises what an operator must know.

mod burn;
mod declared;
mod explain;
mod standing;

pub use declared::declared;
pub use explain::{ExplainInput, explain};
pub use standing::{CLEAR_AFTER_MS, Standing, Turns};

use crate::allocate;
use crate::forecast::series_name;
use crate::tier::Facts;
use std::collections::BTreeMap;
use tidegate_core::alert::{Alert, AlertKind, Severity};
use tidegate_core::catalog::Api;
use tidegate_core::forecast::Forecast;
use tidegate_core::ids::{ApiId, PoolId};
use tidegate_core::plan::Plan;
use tidegate_core::ports::storage::Watermark;
use tidegate_core::record::{
    Basis, DemandRecord, FaultRecord, FloorRecord, ForecastRecord, Origin, Record, TierHold,
    TierRecord,
};
use tidegate_core::roster::Fault;
use tidegate_core::sample::SeriesKey;
use tidegate_core::tier::Tier;
use tidegate_core::time::{Step, Timestamp};

/// What the room needs.
#[derive(Debug)]
pub struct Input<'a> {
    /// The cycle's time.
    pub now: Timestamp,
    /// Resolution.
    pub step: Step,
    /// The pool.
    pub pool: &'a PoolId,
    /// The pool's apis, ascending.
    pub apis: &'a [&'a Api],
    /// One per api.
    pub facts: &'a [Facts],
    /// What was visible.
    pub watermark: Watermark,
    /// What was predicted.
    pub forecasts: &'a BTreeMap<SeriesKey, Forecast>,
    /// Series without usable data.
    pub silent: &'a [SeriesKey],
    /// Series whose feed has fallen behind, and since when.
    pub lagging: &'a [(SeriesKey, Timestamp)],
    /// The tierer calls.
    pub tiers: Vec<TierRecord>,
    /// What held each api's tier.
    pub holds: BTreeMap<ApiId, TierHold>,
    /// What demand rests on, one per api.
    pub needs: Vec<DemandRecord>,
    /// Measured needs that the plan keeps to.
    pub floors: Vec<FloorRecord>,
    /// What each forecast was made from, in their order.
    pub origins: Vec<Origin>,
    /// What forecasts and demand follow from.
    pub basis: Basis,
    /// What was allocated, or why nothing was.
    pub allocation: Result<allocate::Output, allocate::Error>,
    /// Who failed on the way.
    pub faults: &'a [Fault],
}

/// What is to be kept and raised.
#[derive(Debug, Clone)]
pub struct Output {
    /// For the ledger; `None` when no plan was made.
    pub record: Option<Record>,
    /// What stands now.
    pub alerts: Vec<Alert>,
}

/// There is no way to fail.
pub type Error = std::convert::Infallible;

/// Records and alerts.
///
/// # Errors
/// Never.
pub fn run(input: Input<'_>) -> Result<Output, Error> {
    let mut alerts = vec![];
    burn::alerts(&input, &mut alerts);
    let requests = |key: &SeriesKey| key.signal == tidegate_core::units::Signal::Requests;
    for key in input.silent.iter().filter(|k| requests(k)) {
        alerts.push(Alert {
            kind: AlertKind::StaleFeed,
            severity: Severity::Warning,
            pool: Some(input.pool.clone()),
            api: Some(key.api.clone()),
            subject: key.signal.name().into(),
            at: input.now,
            message: format!(
                "no usable data of {}: what was last measured stands in, else its safe capacity, floor or an equal share. Check the feed",
                series_name(key)
            ),
        });
    }
    for (key, since) in input.lagging.iter().filter(|(k, _)| requests(k)) {
        alerts.push(Alert {
            kind: AlertKind::StaleFeed,
            severity: Severity::Warning,
            pool: Some(input.pool.clone()),
            api: Some(key.api.clone()),
            subject: key.signal.name().into(),
            at: input.now,
            message: format!(
                "no data of {} since {since}: it is forecast from what was known then. Check the feed",
                series_name(key)
            ),
        });
    }
    let mut by_module: BTreeMap<String, (usize, &Fault)> = BTreeMap::new();
    for fault in input.faults {
        by_module
            .entry(fault.module.to_string())
            .or_insert((0, fault))
            .0 += 1;
    }
    for (module, (count, fault)) in by_module {
        alerts.push(Alert {
            kind: AlertKind::ModuleFault,
            severity: Severity::Warning,
            pool: Some(input.pool.clone()),
            api: None,
            // By version: that the one before it fails too is news.
            subject: format!("{} {}", fault.module.name, fault.module.version),
            at: input.now,
            message: format!(
                "{module} failed {count} times in this cycle, first on {}: {}. The next in line was asked; \
                 `tidegate policy list` shows who serves",
                fault.subject, fault.error
            ),
        });
    }
    let allocated = match input.allocation {
        Ok(allocated) => allocated,
        Err(error) => {
            if matches!(error, allocate::Error::NoAnswer(_)) {
                alerts.push(Alert {
                    kind: AlertKind::PlanHeld,
                    severity: Severity::Critical,
                    pool: Some(input.pool.clone()),
                    api: None,
                    subject: String::new(),
                    at: input.now,
                    message: error.to_string(),
                });
            }
            return Ok(Output {
                record: None,
                alerts,
            });
        }
    };
    contention(&allocated.plan, input.now, &mut alerts);
    gold_floors(&allocated, input.now, &mut alerts);
    let mine = |f: &Forecast| {
        let found = input.apis.binary_search_by(|a| a.id.cmp(&f.key.api));
        found.is_ok()
    };
    let record = Record {
        at: input.now,
        pool: input.pool.clone(),
        as_of: input.watermark.sequence,
        newest: input.watermark.newest,
        allocation: allocated.question,
        allocator_config: allocated.config,
        allocator_state: allocated.state,
        tiers: input.tiers,
        holds: input.holds.into_values().collect(),
        forecasts: input
            .forecasts
            .values()
            .zip(input.origins)
            .filter(|(f, _)| mine(f))
            .map(|(forecast, origin)| ForecastRecord {
                origin: Some(origin),
                ..ForecastRecord::of(forecast)
            })
            .collect(),
        needs: input.needs,
        faults: input
            .faults
            .iter()
            .map(|f| FaultRecord {
                module: f.module.clone(),
                subject: f.subject.clone(),
                error: f.error.to_string(),
            })
            .collect(),
        alerts: alerts.clone(),
        floors: input.floors,
        amends: None,
        basis: Some(input.basis),
        plan: allocated.plan,
    };
    Ok(Output {
        record: Some(record),
        alerts,
    })
}

/// Demand that tiers have bought and the pool cannot give, at the worst step of the plan.
fn contention(plan: &Plan, now: Timestamp, alerts: &mut Vec<Alert>) {
    let d = plan.dimensions.len();
    for (i, dimension) in plan.dimensions.iter().enumerate() {
        let demand = |step: usize| {
            plan.apis
                .iter()
                .map(|a| a.demand[step * d + i])
                .sum::<f64>()
        };
        let missing = |step: usize| demand(step) - plan.capacity[step * d + i];
        let Some(worst) =
            (0..plan.grid.count).max_by(|&a, &b| missing(a).total_cmp(&missing(b)).then(b.cmp(&a)))
        else {
            continue;
        };
        if missing(worst) <= 1e-9 * plan.capacity[worst * d + i] {
            continue;
        }
        let short: Vec<String> = plan
            .apis
            .iter()
            .filter(|a| a.limit[worst * d + i] < a.demand[worst * d + i] * (1.0 - 1e-9))
            .map(|a| {
                format!(
                    "{} ({}, {:.0} %)",
                    a.api,
                    a.tier.name(),
                    100.0 * a.limit[worst * d + i] / a.demand[worst * d + i]
                )
            })
            .collect();
        let minutes = plan.grid.at(worst).since_ms(now).max(0) / 60_000;
        alerts.push(Alert {
            kind: AlertKind::Contention,
            severity: Severity::Warning,
            pool: Some(plan.pool.clone()),
            api: None,
            subject: dimension.name().into(),
            at: now,
            message: format!(
                "in {minutes} min pool {} needs {:.1} {unit} and has {:.1}. Cut: {}. Add {:.1} {unit} or shed load",
                plan.pool,
                demand(worst),
                plan.capacity[worst * d + i],
                if short.is_empty() { "nobody below its demand".to_owned() } else { short.join(", ") },
                missing(worst),
                unit = dimension.unit(),
            ),
        });
    }
}

fn gold_floors(allocated: &allocate::Output, now: Timestamp, alerts: &mut Vec<Alert>) {
    let question = &allocated.question;
    let (n, _, d) = question.shape();
    for (i, dimension) in question.dimensions.iter().enumerate() {
        let floors: f64 = (0..n)
            .filter(|&a| question.tiers[a] == Tier::Gold)
            .map(|a| question.floor[a * d + i])
            .sum();
        if floors > question.capacity[i] {
            alerts.push(Alert {
                kind: AlertKind::GoldFloorsCut,
                severity: Severity::Critical,
                pool: Some(allocated.plan.pool.clone()),
                api: None,
                subject: dimension.name().into(),
                at: now,
                message: format!(
                    "gold floors need {floors:.1} {unit}, pool {} has {:.1}: all are cut in proportion. \
                     Lower the floors or enlarge the pool",
                    allocated.plan.pool,
                    question.capacity[i],
                    unit = dimension.unit(),
                ),
            });
        }
    }
}
