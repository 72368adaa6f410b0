//! What a declared event does to the load, and how sure that is.
//!
//! An event's column is one coefficient of the fit, so that trend and seasons are fitted to what
//! is left beside it. How much the next one may differ is told by how much earlier ones did: a
//! normal random effect per occurrence, whose variance starts from a quarter of the effect with
//! the weight of one occurrence. The least-squares variance of the coefficient was rejected for
//! it: an hour of one campaign is a dozen rows, but one campaign.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::Covariates;

use crate::design::Design;
use tidegate_model_kit::dot;

/// The prior deviation between occurrences, in effects.
const PRIOR: f64 = 0.25;
/// The deviation of an event that was never seen, in typical loads.
pub(crate) const UNSEEN: f64 = 0.25;
/// Bins without the event that end an occurrence.
const APART: usize = 2;
/// Bounds of the ordinary load's ratio to its typical size, where effects follow it.
const RATIO: (f64, f64) = (0.0, 20.0);
/// Effects in proportion must leave this part of the scatter that constant ones leave.
const CLEARLY: f64 = 0.97;

/// A kind of event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) kind: String,
    /// What it adds where the load has its typical size.
    pub(crate) effect: f64,
    /// The standard deviation of the next one's effect.
    pub(crate) sd: f64,
    /// Whether it adds in proportion to the ordinary load.
    pub(crate) proportional: bool,
}

impl Event {
    /// Whether decoded numbers can be read.
    pub(crate) fn is_sound(&self) -> bool {
        self.effect.abs() < 1e15 && (0.0..1e15).contains(&self.sd)
    }
}

/// The factor of an effect at an ordinary load.
pub(crate) fn strength(load: f64, typical: f64, proportional: bool) -> f64 {
    if proportional && typical > 0.0 {
        (load / typical).clamp(RATIO.0, RATIO.1)
    } else {
        1.0
    }
}

/// What events add to a row, and its standard deviation, by their columns there.
pub(crate) fn effects(
    events: &[Event],
    known: &Covariates<'_>,
    row: usize,
    load: f64,
    typical: f64,
) -> (f64, f64) {
    let (mut sum, mut variance) = (0.0, 0.0);
    for (kind, column) in known.events() {
        let share = column.get(row).copied().unwrap_or(0.0);
        if !(share > 0.0 && share.is_finite()) {
            continue;
        }
        let share = share.min(1.0);
        let at = events.binary_search_by(|e| e.kind.as_str().cmp(kind));
        let (effect, sd) = match at.ok().and_then(|i| events.get(i)) {
            Some(e) => {
                let factor = share * strength(load, typical, e.proportional);
                (factor * e.effect, factor * e.sd)
            }
            None => (0.0, share * UNSEEN * typical.max(load)),
        };
        sum += effect;
        variance += sd * sd;
    }
    (sum, variance.sqrt())
}

/// Whether an event that a kind of is declared at a row was never seen.
pub(crate) fn is_news(events: &[Event], known: &Covariates<'_>, row: usize) -> bool {
    known.events().any(|(kind, column)| {
        column.get(row).is_some_and(|s| *s > 0.0)
            && events
                .binary_search_by(|e| e.kind.as_str().cmp(kind))
                .is_err()
    })
}

/// The ordinary load of each bin: a fit without its events.
pub(crate) fn ordinary(design: &Design, beta: &[f64]) -> Vec<f64> {
    let plain = design.events.start;
    (0..design.bins())
        .map(|i| dot(&design.row(i)[..plain], &beta[..plain]))
        .collect()
}

/// Which events' effects follow the ordinary load, by the scatter that is left where they run.
pub(crate) fn proportional(
    design: &Design,
    beta: &[f64],
    ordinary: &[f64],
    typical: f64,
) -> Vec<bool> {
    let column = |j: usize| {
        (0..design.bins())
            .map(move |i| (i, design.row(i)[j]))
            .filter(|(i, share)| *share > 0.0 && design.w[*i] > 0.0)
    };
    let decide = |j: usize| {
        // What is left when all other events are taken away.
        let rest = |i: usize| {
            let row = design.row(i);
            let all = dot(&row[design.events.clone()], &beta[design.events.clone()]);
            design.y[i] - ordinary[i] - all + row[j] * beta[j]
        };
        let scatter = |proportional: bool| {
            let x = |i: usize, share: f64| share * strength(ordinary[i], typical, proportional);
            let (mut cross, mut squares) = (0.0, 0.0);
            for (i, share) in column(j) {
                let x = x(i, share);
                cross += x * rest(i);
                squares += x * x;
            }
            let effect = if squares > 0.0 { cross / squares } else { 0.0 };
            column(j)
                .map(|(i, share)| (rest(i) - effect * x(i, share)).abs())
                .sum::<f64>()
        };
        scatter(true) < CLEARLY * scatter(false)
    };
    design.events.clone().map(decide).collect()
}

/// Effects with their deviations, from a fit whose event columns have their strengths.
pub(crate) fn learn(
    design: &Design,
    beta: &[f64],
    kinds: &[&str],
    proportional: &[bool],
) -> Vec<Event> {
    let ordinary = ordinary(design, beta);
    let events = design.events.clone();
    let columns = kinds.iter().zip(proportional).zip(events.clone());
    columns
        .map(|((kind, proportional), j)| {
            let rest = |i: usize| {
                let row = design.row(i);
                let all = dot(&row[events.clone()], &beta[events.clone()]);
                design.y[i] - ordinary[i] - all + row[j] * beta[j]
            };
            let effect = beta[j];
            let seen = occurrences(design, j, rest);
            let squares: f64 = seen.iter().map(|u| (u - effect) * (u - effect)).sum();
            let m = (seen.len() as f64).max(1.0);
            let between = (PRIOR * effect * PRIOR * effect + squares) / m;
            Event {
                kind: (*kind).to_owned(),
                effect,
                sd: (between * (1.0 + 1.0 / m)).sqrt(),
                proportional: *proportional,
            }
        })
        .collect()
}

/// The effect of each occurrence by itself.
fn occurrences(design: &Design, j: usize, rest: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut found = Vec::new();
    let (mut cross, mut squares, mut idle) = (0.0, 0.0, 0);
    for i in 0..design.bins() {
        let x = design.row(i)[j];
        if x > 0.0 {
            cross += design.w[i] * x * rest(i);
            squares += design.w[i] * x * x;
            idle = 0;
        } else {
            idle += 1;
        }
        if (idle == APART || i + 1 == design.bins()) && squares > 0.0 {
            found.push(cross / squares);
            (cross, squares) = (0.0, 0.0);
        }
    }
    found
}
