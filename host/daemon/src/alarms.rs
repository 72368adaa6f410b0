//! What stands of alerts, pool by pool and of the store, and how many there are of each kind.
//!
//! The numbers are kept and not counted: every pool tells its alerts in every turn, and to count those of
//! all pools each time would make a turn cost as much as there are pools times alerts.

use crate::world::{World, lock};
use std::collections::BTreeMap;
use std::sync::MutexGuard;
use tidegate_core::alert::{Alert, AlertKind};
use tidegate_core::ids::PoolId;
use tidegate_core::time::Timestamp;
use tidegate_flow::observe::{Standing, Turns};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    pools: BTreeMap<PoolId, Standing>,
    /// About the store, which belongs to no pool.
    store: Standing,
    active: BTreeMap<AlertKind, u64>,
}

impl Alarms {
    /// Takes in all that a cycle has seen of a pool.
    pub(crate) fn look(&mut self, pool: &PoolId, now: Timestamp, seen: &[Alert]) -> Turns {
        let turns = self.of(pool).look(now, seen);
        self.count(&turns);
        turns
    }

    /// Takes in all that a look at the store has seen.
    pub(crate) fn look_at_store(&mut self, now: Timestamp, seen: &[Alert]) -> Turns {
        let turns = self.store.look(now, seen);
        self.count(&turns);
        turns
    }

    /// Takes in one alert of a pool beside what stands.
    pub(crate) fn note(&mut self, pool: &PoolId, now: Timestamp, alert: Alert) -> Turns {
        let turns = Turns {
            new: self.of(pool).note(now, alert).into_iter().collect(),
            over: vec![],
        };
        self.count(&turns);
        turns
    }

    fn of(&mut self, pool: &PoolId) -> &mut Standing {
        self.pools.entry(pool.clone()).or_default()
    }

    fn count(&mut self, turns: &Turns) {
        for alert in &turns.new {
            *self.active.entry(alert.kind).or_default() += 1;
        }
        for alert in &turns.over {
            let active = self.active.entry(alert.kind).or_default();
            *active = active.saturating_sub(1);
        }
    }

    /// How many stand of each kind of which any ever stood.
    pub(crate) fn active(&self) -> impl Iterator<Item = (AlertKind, u64)> {
        self.active.iter().map(|(kind, n)| (*kind, *n))
    }

    /// Lets go of what stands of pools for which `keep` does not hold.
    pub(crate) fn retain(&mut self, keep: impl Fn(&PoolId) -> bool) {
        self.pools.retain(|pool, _| keep(pool));
        self.active.values_mut().for_each(|n| *n = 0);
        let kinds: Vec<AlertKind> = self.standing().flat_map(Standing::kinds).collect();
        for kind in kinds {
            *self.active.entry(kind).or_default() += 1;
        }
    }

    fn standing(&self) -> impl Iterator<Item = &Standing> {
        self.pools.values().chain([&self.store])
    }

    /// All that stands, by pool, of the store last.
    pub(crate) fn all(&self) -> Vec<Alert> {
        self.standing().flat_map(Standing::alerts).collect()
    }
}

impl World {
    /// Takes in what a cycle has seen of a pool; logs what is new and what is over.
    pub(crate) fn raise(&self, pool: &PoolId, now: Timestamp, seen: &[Alert]) {
        let mut alarms = lock(&self.alerts);
        let turns = alarms.look(pool, now, seen);
        self.tell(Some(pool), &turns, alarms);
    }

    /// Takes in all that a look at the store has seen; likewise.
    pub(crate) fn raise_store(&self, now: Timestamp, seen: &[Alert]) {
        let mut alarms = lock(&self.alerts);
        let turns = alarms.look_at_store(now, seen);
        if !(turns.new.is_empty() && turns.over.is_empty()) {
            self.wake();
        }
        self.tell(None, &turns, alarms);
    }

    /// Takes in one alert of a pool beside what stands.
    pub(crate) fn raise_one(&self, pool: &PoolId, now: Timestamp, alert: Alert) {
        let mut alarms = lock(&self.alerts);
        let turns = alarms.note(pool, now, alert);
        self.tell(Some(pool), &turns, alarms);
    }

    fn tell(&self, pool: Option<&PoolId>, turns: &Turns, alarms: MutexGuard<'_, Alarms>) {
        let pool = pool.map(PoolId::as_str);
        for alert in &turns.new {
            tracing::warn!(kind = alert.kind.name(), pool, subject = %alert.subject, "alert: {}", alert.message);
        }
        for alert in &turns.over {
            tracing::info!(kind = alert.kind.name(), pool, subject = %alert.subject, "alert is over");
        }
        let active: Vec<_> = alarms.active().collect();
        drop(alarms);
        for (kind, active) in active {
            self.metrics.alerts(kind.name(), active);
        }
    }

    /// What stands now, worst first.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        let mut all = lock(&self.alerts).all();
        all.sort_by(|a, b| {
            (b.severity, a.kind, &a.pool, &a.api).cmp(&(a.severity, b.kind, &b.pool, &b.api))
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::alert::Severity;
    use tidegate_flow::observe::CLEAR_AFTER_MS;

    fn alert(kind: AlertKind, subject: &str) -> Alert {
        Alert {
            kind,
            severity: Severity::Warning,
            pool: None,
            api: None,
            subject: subject.into(),
            at: Timestamp(0),
            message: "cut".into(),
        }
    }

    #[test]
    fn the_numbers_kept_are_those_that_counting_gives() {
        use AlertKind::{Contention, StaleFeed, StoreRoom};
        let mut alarms = Alarms::default();
        let (edge, yard) = ("edge".parse().unwrap(), "yard".parse().unwrap());
        let check = |alarms: &Alarms, expected: &[(AlertKind, u64)]| {
            let mut counted: BTreeMap<AlertKind, u64> =
                alarms.active().map(|(k, _)| (k, 0)).collect();
            for alert in alarms.all() {
                *counted.entry(alert.kind).or_default() += 1;
            }
            assert_eq!(alarms.active().collect::<BTreeMap<_, _>>(), counted);
            assert_eq!(counted.into_iter().collect::<Vec<_>>(), expected);
        };
        alarms.look(
            &edge,
            Timestamp(0),
            &[alert(Contention, "cpu"), alert(StaleFeed, "a")],
        );
        alarms.look(&yard, Timestamp(0), &[alert(Contention, "cpu")]);
        check(&alarms, &[(Contention, 2), (StaleFeed, 1)]);
        alarms.note(&yard, Timestamp(1), alert(Contention, "cpu"));
        alarms.note(&yard, Timestamp(1), alert(Contention, "memory"));
        check(&alarms, &[(Contention, 3), (StaleFeed, 1)]);
        let later = Timestamp(CLEAR_AFTER_MS + 1);
        let turns = alarms.look(&edge, later, &[alert(Contention, "cpu")]);
        assert_eq!(turns.over.len(), 1);
        check(&alarms, &[(Contention, 3), (StaleFeed, 0)]);
        alarms.look_at_store(later, &[alert(StoreRoom, "size")]);
        alarms.retain(|pool| *pool == edge);
        check(&alarms, &[(Contention, 1), (StaleFeed, 0), (StoreRoom, 1)]);
    }
}
