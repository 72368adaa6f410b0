//! Alerts from when they are first seen until they have been gone for a while.
//!
//! A condition at its limit comes and goes from cycle to cycle: a pool whose demand is its capacity is
//! contended in every other plan. Told each time, it wakes somebody each time, and nobody reads the third.
//! So an alert stands from the moment that it is seen, since a delay there costs what the alert is for,
//! and is over when it was not seen for [`CLEAR_AFTER_MS`]; what comes back before that is the same alert.
//! The other way round, to raise only what lasts, was rejected: a burst may be over by then.
//!
//! Time is that of the cycles, so a replay tells the same story. Of an alert that waits to be over its
//! message says so.

use std::collections::BTreeMap;
use tidegate_core::alert::{Alert, AlertKind};
use tidegate_core::ids::ApiId;
use tidegate_core::time::Timestamp;

/// How long an alert must not be seen until it is over, in milliseconds: thrice the shortest window
/// over which burn is measured, so that each of three plans at the coarsest usual step may miss it.
pub const CLEAR_AFTER_MS: i64 = 900_000;

/// What makes two alerts of a pool the same.
type Identity = (AlertKind, Option<ApiId>, String);

/// What stands for one pool; see the module.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    alerts: BTreeMap<Identity, Alert>,
    /// When was looked last.
    looked: Timestamp,
}

/// What changed in what stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Turns {
    /// Seen, and did not stand before.
    pub new: Vec<Alert>,
    /// Stood, and are over.
    pub over: Vec<Alert>,
}

fn identity(alert: &Alert) -> Identity {
    (alert.kind, alert.api.clone(), alert.subject.clone())
}

impl Standing {
    /// Takes in what a look has seen: all of it, so that what is not among it was not there.
    pub fn look(&mut self, now: Timestamp, seen: &[Alert]) -> Turns {
        self.looked = now;
        let mut turns = Turns::default();
        for alert in seen {
            turns.new.extend(self.note(now, alert.clone()));
        }
        // A clock that stepped back must not keep an alert until it has caught up.
        let waits = |alert: &Alert| (0..CLEAR_AFTER_MS).contains(&now.since_ms(alert.at));
        self.alerts.retain(|_, alert| {
            let stays = waits(alert);
            if !stays {
                turns.over.push(alert.clone());
            }
            stays
        });
        turns
    }

    /// Takes in one alert beside what stands, without a look at the rest; it, if it is new.
    pub fn note(&mut self, now: Timestamp, alert: Alert) -> Option<Alert> {
        let alert = Alert { at: now, ..alert };
        let before = self.alerts.insert(identity(&alert), alert.clone());
        before.is_none().then_some(alert)
    }

    /// The kind of each alert that stands.
    pub fn kinds(&self) -> impl Iterator<Item = AlertKind> {
        self.alerts.values().map(|alert| alert.kind)
    }

    /// What stands, by kind, api and subject.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        let told = |alert: &Alert| {
            let mut alert = alert.clone();
            if alert.at < self.looked {
                alert.message += &format!(
                    " (not seen since {}; over at {}, unless it comes back)",
                    alert.at,
                    alert.at.plus_ms(CLEAR_AFTER_MS)
                );
            }
            alert
        };
        self.alerts.values().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tidegate_core::alert::Severity;

    fn alert(subject: &str) -> Alert {
        Alert {
            kind: AlertKind::Contention,
            severity: Severity::Warning,
            pool: Some("edge".parse().unwrap()),
            api: None,
            subject: subject.into(),
            at: Timestamp(0),
            message: "cut".into(),
        }
    }

    fn minute(m: i64) -> Timestamp {
        Timestamp(m * 60_000)
    }

    #[test]
    fn an_alert_that_flaps_is_told_once_and_is_over_once() {
        let mut standing = Standing::default();
        let (mut new, mut over) = (0, vec![]);
        for m in 0..60 {
            let seen = match m < 30 && m % 10 == 0 {
                true => vec![alert("cpu")],
                false => vec![],
            };
            let turns = standing.look(minute(m), &seen);
            new += turns.new.len();
            over.extend(turns.over.iter().map(|_| m));
        }
        assert_eq!((new, over), (1, vec![35]));
    }

    #[test]
    fn an_alert_that_waits_to_be_over_says_so() {
        let mut standing = Standing::default();
        standing.look(minute(0), &[alert("cpu")]);
        assert_eq!(standing.alerts()[0].message, "cut");
        standing.look(minute(5), &[]);
        let message = standing.alerts()[0].message.clone();
        assert!(message.starts_with("cut (not seen since 1970-01-01T00:00:00Z; over at"));
        standing.look(minute(6), &[alert("cpu")]);
        assert_eq!(standing.alerts()[0].message, "cut");
    }

    #[test]
    fn a_clock_that_steps_back_keeps_no_alert() {
        let mut standing = Standing::default();
        standing.look(minute(600), &[alert("cpu")]);
        assert_eq!(standing.look(minute(10), &[]).over.len(), 1);
    }

    #[test]
    fn what_is_noted_beside_a_look_leaves_the_rest_as_it_is() {
        let mut standing = Standing::default();
        standing.look(minute(0), &[alert("cpu")]);
        assert!(standing.note(minute(1), alert("memory")).is_some());
        assert!(standing.note(minute(2), alert("memory")).is_none());
        assert_eq!(standing.alerts().len(), 2);
        assert!(standing.alerts().iter().all(|a| a.message == "cut"));
    }

    proptest! {
        #[test]
        fn news_and_ends_alternate_and_nothing_seen_lately_is_over(
            looks in prop::collection::vec((1..20_i64, prop::collection::btree_set("[ab]", 0..3)), 1..40),
        ) {
            let mut standing = Standing::default();
            let (mut at, mut stands) = (0, std::collections::BTreeSet::new());
            let mut last = BTreeMap::new();
            for (wait, subjects) in looks {
                at += wait;
                let seen: Vec<Alert> = subjects.iter().map(|s| alert(s)).collect();
                let turns = standing.look(minute(at), &seen);
                for subject in &subjects {
                    last.insert(subject.clone(), at);
                }
                for new in turns.new {
                    prop_assert!(stands.insert(new.subject));
                }
                for over in turns.over {
                    prop_assert!(stands.remove(&over.subject));
                    prop_assert!(minute(at - last[&over.subject]).0 >= CLEAR_AFTER_MS);
                }
                for subject in &stands {
                    prop_assert!(minute(at - last[subject]).0 < CLEAR_AFTER_MS);
                }
            }
        }
    }
}
