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

/// An event on a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Event {
    /// Place in the list of kinds.
    kind: usize,
    /// For which part of the step it runs, within (0, 1].
    part: f32,
}

/// The kinds of events that a series has met.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Uplifts(Vec<Uplift>);

impl Uplifts {
    /// The kinds that run on a row; unknown ones are added.
    pub(crate) fn meet(&mut self, known: &Covariates<'_>, row: usize) -> Vec<Event> {
        let mut kinds: Vec<&str> = running(known, row).map(|(kind, _)| kind).collect();
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
    pub(crate) fn running(&self, known: &Covariates<'_>, row: usize) -> Vec<Event> {
        let event = |(kind, part)| {
            let kind = self.place(kind)?;
            Some(Event { kind, part })
        };
        let mut events: Vec<Event> = running(known, row).filter_map(event).collect();
        events.sort_unstable_by_key(|e| e.kind);
        events
    }

    /// By how much the events together multiply a load.
    pub(crate) fn factor(&self, running: &[Event]) -> f32 {
        let each = running.iter().filter_map(|e| {
            let u = self.0.get(e.kind)?;
            let ratio = if u.expected > 0.0 {
                u.seen / u.expected
            } else {
                1.0
            };
            let drawn = (ratio * u.steps + PRIOR) / (u.steps + PRIOR);
            Some(1.0 + e.part * (drawn - 1.0))
        });
        each.product::<f32>().clamp(0.05, 20.0)
    }

    /// Learns from a step on which the events ran: what was seen, for what is usual.
    pub(crate) fn learn(&mut self, running: &[Event], seen: f32, usual: f32) {
        if usual <= 0.0 || seen < 0.0 {
            return;
        }
        for Event { kind, part } in running {
            if let Some(u) = self.0.get_mut(*kind) {
                // What the event did, it did in its part of the step.
                let whole = part * usual + seen.min(100.0 * usual) - usual;
                u.seen = (KEEP * u.seen + whole).max(0.0);
                u.expected = KEEP * u.expected + part * usual;
                u.steps = KEEP * u.steps + part;
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

fn running<'a>(known: &Covariates<'a>, row: usize) -> impl Iterator<Item = (&'a str, f32)> {
    let events: Vec<(&'a str, f32)> = known
        .events()
        .filter_map(|(kind, column)| {
            let part = column.get(row).map_or(0.0, |v| v.clamp(0.0, 1.0) as f32);
            (part > 0.0).then_some((kind, part))
        })
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
        let half = [0.5];
        let part = uplifts.running(&Covariates::new(vec![("event:sale", &half)]), 0);
        assert!(
            (uplifts.factor(&part) - 2.0).abs() < 0.1,
            "half of the step"
        );
        let both = uplifts.meet(&known, 2);
        assert_eq!(both.len(), 2);
        assert!((uplifts.factor(&both) - uplifts.factor(&running)).abs() < 1e-6);
    }

    #[test]
    fn an_event_shorter_than_a_step_is_learned_from_its_part() {
        let half = [0.5];
        let known = Covariates::new(vec![("event:batch", &half)]);
        let mut uplifts = Uplifts::default();
        let running = uplifts.meet(&known, 0);
        for _ in 0..200 {
            uplifts.learn(&running, 2.0, 1.0);
        }
        assert!((uplifts.factor(&running) - 2.0).abs() < 0.1);
        let whole = [1.0];
        let running = uplifts.running(&Covariates::new(vec![("event:batch", &whole)]), 0);
        assert!((uplifts.factor(&running) - 3.0).abs() < 0.1);
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
