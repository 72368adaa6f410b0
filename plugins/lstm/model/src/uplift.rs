//! What declared events do to a load: one factor per kind of event.
//!
//! Events are divided out before anything else learns, so that a campaign pollutes neither the
//! season nor the network, and are multiplied in again where one is known to come. A factor is the
//! ratio of what was seen while the event ran to what the season of other days said, drawn towards
//! one while little was seen, and slowly forgetting. Rejected: events as one more input of the
//! network, which sees two campaigns in a fortnight and learns nothing from two.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::Covariates;

/// The most kinds of events of a series; later ones are not learned.
const MAX_KINDS: usize = 8;
/// The longest name that a state keeps.
const MAX_NAME: usize = 64;
/// Steps that weigh as much as the belief that an event does nothing.
const PRIOR: f32 = 2.0;
/// What is left of the weight of a step after each later one.
const KEEP: f32 = 0.998;

/// One kind of event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Uplift {
    kind: String,
    seen: f32,
    expected: f32,
    steps: f32,
}

/// The kinds of events that a series has met.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Uplifts(Vec<Uplift>);

impl Uplifts {
    /// The kinds that run on a row, as places in the list; unknown ones are added.
    pub(crate) fn meet(&mut self, known: &Covariates<'_>, row: usize) -> Vec<usize> {
        let mut kinds: Vec<&str> = running(known, row).collect();
        kinds.sort_unstable();
        for kind in kinds {
            if self.place(kind).is_none() && self.0.len() < MAX_KINDS && kind.len() <= MAX_NAME {
                self.0.push(Uplift {
                    kind: kind.to_owned(),
                    seen: 0.0,
                    expected: 0.0,
                    steps: 0.0,
                });
            }
        }
        self.running(known, row)
    }

    /// The known kinds that run on a row.
    pub(crate) fn running(&self, known: &Covariates<'_>, row: usize) -> Vec<usize> {
        let mut places: Vec<usize> = running(known, row).filter_map(|k| self.place(k)).collect();
        places.sort_unstable();
        places
    }

    /// By how much the kinds together multiply a load.
    pub(crate) fn factor(&self, running: &[usize]) -> f32 {
        let each = running.iter().filter_map(|k| self.0.get(*k)).map(|u| {
            let ratio = if u.expected > 0.0 {
                u.seen / u.expected
            } else {
                1.0
            };
            (ratio * u.steps + PRIOR) / (u.steps + PRIOR)
        });
        each.product::<f32>().clamp(0.05, 20.0)
    }

    /// Learns from a step on which the kinds ran.
    pub(crate) fn learn(&mut self, running: &[usize], seen: f32, expected: f32) {
        if expected <= 0.0 || seen < 0.0 {
            return;
        }
        for kind in running {
            if let Some(u) = self.0.get_mut(*kind) {
                u.seen = KEEP * u.seen + seen.min(100.0 * expected);
                u.expected = KEEP * u.expected + expected;
                u.steps = KEEP * u.steps + 1.0;
            }
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.0.len() <= MAX_KINDS
            && self.0.iter().all(|u| {
                let numbers = [u.seen, u.expected, u.steps];
                u.kind.len() <= MAX_NAME
                    && numbers.iter().all(|v| v.is_finite() && *v >= 0.0)
                    && u.steps < 1e6
            })
    }

    fn place(&self, kind: &str) -> Option<usize> {
        self.0.iter().position(|u| u.kind == kind)
    }
}

fn running<'a>(known: &Covariates<'a>, row: usize) -> impl Iterator<Item = &'a str> {
    let events: Vec<&'a str> = known
        .events()
        .filter(|(_, column)| column.get(row).is_some_and(|v| *v > 0.0))
        .map(|(kind, _)| kind)
        .collect();
    events.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_learned_from_the_steps_of_its_event_alone() {
        let (sale, batch) = ([0.0, 1.0, 1.0], [0.0, 0.0, 1.0]);
        let known = Covariates::new(vec![("event:sale", &sale), ("event:batch", &batch)]);
        let mut uplifts = Uplifts::default();
        assert!(uplifts.meet(&known, 0).is_empty());
        let running = uplifts.meet(&known, 1);
        for _ in 0..200 {
            uplifts.learn(&running, 3.0, 1.0);
        }
        assert!((uplifts.factor(&running) - 3.0).abs() < 0.1);
        let both = uplifts.meet(&known, 2);
        assert_eq!(both.len(), 2);
        assert!((uplifts.factor(&both) - uplifts.factor(&running)).abs() < 1e-6);
    }

    #[test]
    fn kinds_beyond_the_bound_are_not_kept() {
        let one = [1.0];
        let names: Vec<String> = (0..20).map(|k| format!("event:{k}")).collect();
        let known = Covariates::new(names.iter().map(|n| (n.as_str(), &one[..])).collect());
        let mut uplifts = Uplifts::default();
        assert_eq!(uplifts.meet(&known, 0).len(), MAX_KINDS);
        assert!(uplifts.is_sound());
    }
}
