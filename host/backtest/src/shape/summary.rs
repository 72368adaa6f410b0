//! From runs to an answer: each policy's totals, and Tidegate beside its rivals.

use super::frontier::{Frontier, Point};
use super::runs::{Done, Policy, World};
use super::score::Score;
use super::tidegate::Tally;
use std::collections::BTreeMap;

/// One policy.
#[derive(Debug)]
pub struct Row<'a> {
    /// Which.
    pub policy: Policy,
    /// Over all apis.
    pub total: Score,
    /// By trace.
    pub traces: BTreeMap<&'a str, Score>,
    /// One per case, of Tidegate's.
    pub tallies: Vec<&'a Tally>,
}

/// Tidegate beside its rivals.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Versus {
    /// Violations over those of HPA's frontier at the same cost.
    pub violations_vs_hpa: Option<f64>,
    /// Cost over that of HPA's frontier at the same violations.
    pub cost_vs_hpa: Option<f64>,
    /// Cost over the oracle's.
    pub cost_vs_oracle: Option<f64>,
}

/// See the module.
#[derive(Debug)]
pub struct Summary<'a> {
    /// In the order of the world's policies.
    pub rows: Vec<Row<'a>>,
    /// HPA at its best, over all apis.
    pub hpa: Frontier,
    /// Of the totals.
    pub versus: Versus,
    /// By trace.
    pub per_trace: BTreeMap<&'a str, Versus>,
}

impl<'a> Summary<'a> {
    /// Of all runs.
    #[must_use]
    pub fn of(world: &'a World, done: &'a [Done]) -> Self {
        let row = |(at, policy): (usize, &Policy)| {
            let mut row = Row {
                policy: *policy,
                total: Score::default(),
                traces: BTreeMap::new(),
                tallies: vec![],
            };
            for run in done.iter().filter(|d| d.policy == at) {
                let case = &world.cases[run.case];
                row.total.add(&Score::total(case, &run.trails));
                for (api, trail) in case.apis.iter().zip(&run.trails) {
                    row.traces.insert(&api.name, Score::of(api.tier, trail));
                }
                row.tallies.extend(&run.tally);
            }
            row
        };
        let rows: Vec<Row<'_>> = world.policies.iter().enumerate().map(row).collect();
        let names: Vec<&str> = rows
            .first()
            .map_or(vec![], |r| r.traces.keys().copied().collect());
        Self {
            hpa: frontier(&rows, |r| Some(&r.total)),
            versus: versus(&rows, |r| Some(&r.total)),
            per_trace: names
                .into_iter()
                .map(|name| (name, versus(&rows, |r| r.traces.get(name))))
                .collect(),
            rows,
        }
    }

    /// The row of Tidegate that counts.
    #[must_use]
    pub fn tidegate(&self) -> Option<&Row<'a>> {
        self.rows
            .iter()
            .find(|r| matches!(r.policy, Policy::Tidegate(_)))
    }
}

fn frontier<'r>(rows: &'r [Row<'_>], score: impl Fn(&'r Row<'_>) -> Option<&'r Score>) -> Frontier {
    let of_hpa = rows.iter().filter(|r| matches!(r.policy, Policy::Hpa(_)));
    let points: Vec<Point> = of_hpa
        .filter_map(score)
        .map(|s| Point {
            cost: s.resource_hours,
            violations: s.violations as f64,
        })
        .collect();
    Frontier::of(&points)
}

fn versus<'r>(
    rows: &'r [Row<'_>],
    score: impl Fn(&'r Row<'_>) -> Option<&'r Score> + Copy,
) -> Versus {
    let first = |is: fn(Policy) -> bool| rows.iter().find(|r| is(r.policy)).and_then(score);
    let Some(own) = first(|p| matches!(p, Policy::Tidegate(_))) else {
        return Versus::default();
    };
    let ratio = |a: f64, b: f64| match b > 0.0 {
        true => Some(a / b),
        false => (a <= 0.0).then_some(1.0),
    };
    let hpa = frontier(rows, score);
    let (cost, violations) = (own.resource_hours, own.violations as f64);
    let oracle = first(|p| p == Policy::Oracle);
    Versus {
        violations_vs_hpa: hpa.violations_at(cost).and_then(|v| ratio(violations, v)),
        cost_vs_hpa: hpa.cost_at(violations).and_then(|c| ratio(cost, c)),
        cost_vs_oracle: oracle.and_then(|o| ratio(cost, o.resource_hours)),
    }
}
