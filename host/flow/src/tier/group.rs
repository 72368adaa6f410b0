//! Budgets of groups: the events of all apis that an SLO is judged over together.
//!
//! The burn of a sum is not a mean of burns: an endpoint with a hundredth of the traffic weighs a
//! hundredth. So the events are added per window, and the rate is taken of the sums; every api of the
//! group is then told the same. A group is a tenant's apis in one pool ([`Judged::Together`]).

use super::burn::Seen;
use std::collections::BTreeMap;
use tidegate_core::ids::{Name, TemplateId, TenantId};
use tidegate_core::slo::{BURN_RULES, BURN_WINDOWS, Burn, Events, Judged, Slo};

/// A group and one of its SLOs.
type Key<'a> = (&'a TenantId, &'a TemplateId, &'a Name);

/// What is spent of an error budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spent {
    /// Per window of [`BURN_WINDOWS`].
    pub burn: Burn,
    /// Part that is left.
    pub left: f64,
}

/// What an api spends of budgets of its own, told apart from what its groups spend.
#[derive(Debug, Clone, PartialEq)]
pub struct Apart {
    /// The worst of what is judged over its own events, per window.
    pub own: Spent,
    /// Of what is judged over a group's events, by template and SLO: that by which an alert is raised.
    pub groups: Vec<(TemplateId, Name, Spent)>,
    /// Whether anything is judged over a group.
    grouped: bool,
}

impl Default for Apart {
    fn default() -> Self {
        Self {
            own: Spent {
                burn: Burn::default(),
                left: 1.0,
            },
            groups: vec![],
            grouped: false,
        }
    }
}

impl Apart {
    /// Adds what [`Groups::judge`] said of one of the api's SLOs.
    pub fn add(&mut self, slo: &Slo, burn: &Burn, left: f64) {
        match key(slo) {
            None => {
                for (worst, new) in self.own.burn.iter_mut().zip(burn) {
                    *worst = f64::max(*worst, *new);
                }
                self.own.left = self.own.left.min(left);
            }
            Some((_, template, name)) => {
                self.grouped = true;
                if BURN_RULES.iter().any(|rule| rule.fires(burn)) {
                    let spent = Spent { burn: *burn, left };
                    self.groups.push((template.clone(), name.clone(), spent));
                }
            }
        }
    }

    /// It, where anything is judged over a group: else all that is spent is the api's own.
    #[must_use]
    pub fn told(self) -> Option<Box<Apart>> {
        self.grouped.then(|| Box::new(self))
    }
}

/// Sums of a pool's groups; see the module.
#[derive(Debug, Clone, Default)]
pub struct Groups<'a>(BTreeMap<Key<'a>, Sum>);

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    windows: [Events; BURN_WINDOWS.len()],
    budget: Events,
}

/// The group of an SLO; `None` for one that is judged over its api's own events.
fn key(slo: &Slo) -> Option<Key<'_>> {
    let from = slo.template.as_ref()?;
    (from.judged == Judged::Together).then_some((&slo.api.tenant, &from.id, &from.name))
}

impl<'a> Groups<'a> {
    /// Adds what is seen of an SLO of an api; nothing for one without a group.
    pub fn add(&mut self, slo: &'a Slo, seen: Seen<'_>) {
        let Some(key) = key(slo) else {
            return;
        };
        let sum = self.0.entry(key).or_default();
        for (of_group, window) in sum.windows.iter_mut().zip(BURN_WINDOWS) {
            of_group.add(seen.within(window));
        }
        sum.budget.add(seen.within(slo.window_s));
    }

    /// Burn per window of [`BURN_WINDOWS`] and the part of the budget that is left: the group's where
    /// the SLO has one, else the api's own.
    #[must_use]
    pub fn judge(&self, slo: &Slo, seen: Seen<'_>) -> (Burn, f64) {
        match key(slo).and_then(|key| self.0.get(&key)) {
            Some(sum) => (
                sum.windows.map(|events| slo.burn(events)),
                slo.budget_left(sum.budget),
            ),
            None => (seen.burn(slo), seen.budget_left(slo)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Rates;
    use crate::tier::Tracker;
    use tidegate_core::slo::{FromTemplate, Indicator};
    use tidegate_core::time::{Step, Timestamp};
    use tidegate_core::units::Signal;

    const HOUR: i64 = 60;

    fn slo(api: &str, judged: Judged) -> Slo {
        Slo {
            id: format!("{api}/up").parse().unwrap(),
            api: api.parse().unwrap(),
            indicator: Indicator::Availability,
            objective: 0.9,
            window_s: 86_400,
            template: Some(FromTemplate {
                id: "critical".parse().unwrap(),
                name: "up".parse().unwrap(),
                judged,
            }),
        }
    }

    /// Burn over an hour of `shop/a` (99 requests/s, none bad), `shop/b` (1/s, all bad) and `bank/c`
    /// (100/s, all bad).
    fn burns(judged: Judged) -> Vec<f64> {
        let slos = ["shop/a", "shop/b", "bank/c"].map(|api| slo(api, judged));
        let fed = [(99.0, 0.0), (1.0, 1.0), (100.0, 100.0)];
        let mut groups = Groups::default();
        let mut trackers = Vec::new();
        for (slo, (requests, errors)) in slos.iter().zip(fed) {
            let mut rates = Rates::default();
            rates.feed(Signal::Requests, 0..HOUR, requests);
            rates.feed(Signal::Errors, 0..HOUR, errors);
            let mut tracker = Tracker::default();
            let now = Timestamp(HOUR * 60_000);
            let found = tracker.look(&rates, slo, Step::MINUTE, now).unwrap();
            groups.add(slo, Seen::of(&tracker, found.as_ref()));
            tracker.take(found.unwrap());
            trackers.push(tracker);
        }
        let seen = trackers.iter().map(|t| Seen::of(t, None));
        let judged = slos.iter().zip(seen).map(|(s, t)| groups.judge(s, t));
        judged.map(|(burn, _)| burn[2]).collect()
    }

    #[test]
    fn a_group_burns_by_the_sum_of_its_events_and_ends_where_its_tenant_does() {
        let near = |all: Vec<f64>, want: [f64; 3]| {
            assert!(
                all.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-9),
                "{all:?}"
            );
        };
        near(burns(Judged::Each), [0.0, 10.0, 10.0]);
        near(burns(Judged::Together), [0.1, 0.1, 10.0]);
    }
}
