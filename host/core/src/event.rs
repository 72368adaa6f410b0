//! The calendar: known happenings that change load.

use crate::ids::{ApiId, ScopedId};
use crate::time::Timestamp;

/// A campaign, batch job or holiday that happens once or comes back at a fixed interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `tenant/name`.
    pub id: ScopedId,
    /// The apis of the tenant that it touches; empty means all of them.
    pub apis: Vec<ApiId>,
    /// Its kind, under which uplift is learned: `campaign`, `batch`, `holiday`, …
    pub kind: String,
    /// Start of the first occurrence.
    pub start: Timestamp,
    /// Length of an occurrence, in seconds.
    pub duration_s: u32,
    /// Seconds from one start to the next; `None` happens once.
    pub every_s: Option<u32>,
    /// No occurrence starts at or after this.
    pub until: Option<Timestamp>,
    /// Load is expected to be at least this many times the ordinary, while it lasts.
    pub minimum_uplift: Option<f64>,
}

impl Event {
    /// Whether an occurrence covers `t`.
    #[must_use]
    pub fn covers(&self, t: Timestamp) -> bool {
        let offset = t.since_ms(self.start);
        if offset < 0 {
            return false;
        }
        let (started, into) = match self.every_s {
            None => (self.start, offset),
            Some(every) => {
                let period = i64::from(every.max(1)) * 1000;
                (t.plus_ms(-(offset % period)), offset % period)
            }
        };
        into < i64::from(self.duration_s) * 1000 && self.until.is_none_or(|until| started < until)
    }

    /// The occurrences that overlap `from <= t < to`, each as its start and its end, in order.
    pub fn occurrences(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, Timestamp)> + use<> {
        let (start, until) = (self.start, self.until);
        let length = i64::from(self.duration_s) * 1000;
        let period = self.every_s.map(|every| i64::from(every.max(1)) * 1000);
        // The first that has not ended at `from`.
        let first = period.map_or(0, |period| {
            let ended = from.since_ms(start.plus_ms(length)).div_euclid(period) + 1;
            ended.max(0)
        });
        let count = if period.is_some() { usize::MAX } else { 1 };
        (first..)
            .take(count)
            .map(move |n| start.plus_ms(period.unwrap_or(0).saturating_mul(n)))
            .take_while(move |begun| *begun < to && until.is_none_or(|until| *begun < until))
            .map(move |begun| (begun, begun.plus_ms(length)))
            .filter(move |(_, end)| *end > from)
    }

    /// Whether it touches an api.
    #[must_use]
    pub fn touches(&self, api: &ApiId) -> bool {
        self.id.tenant == api.tenant && (self.apis.is_empty() || self.apis.contains(api))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weekly() -> Event {
        Event {
            id: "shop/sale".parse().unwrap(),
            apis: vec![],
            kind: "campaign".into(),
            start: Timestamp::from_secs(1000),
            duration_s: 100,
            every_s: Some(604_800),
            until: Some(Timestamp::from_secs(1000 + 2 * 604_800)),
            minimum_uplift: None,
        }
    }

    #[test]
    fn an_event_comes_back_until_it_ends() {
        let event = weekly();
        let at = |s: i64| event.covers(Timestamp::from_secs(s));
        assert!(!at(999) && at(1000) && at(1099) && !at(1100));
        assert!(at(1050 + 604_800) && !at(1050 + 2 * 604_800));
    }

    #[test]
    fn occurrences_are_what_covers_says() {
        let at = Timestamp::from_secs;
        let once = Event {
            every_s: None,
            until: None,
            ..weekly()
        };
        let of = |event: &Event, from, to| -> Vec<i64> {
            let all = event.occurrences(at(from), at(to));
            all.map(|(start, end)| {
                assert!(event.covers(start) && event.covers(end.plus_ms(-1)));
                start.secs()
            })
            .collect()
        };
        let week = 604_800;
        assert_eq!(of(&weekly(), 0, 9 * week), [1000, 1000 + week]);
        assert_eq!(of(&weekly(), 1099, 1000 + week), [1000]);
        assert_eq!(of(&weekly(), 1100, 1001 + week), [1000 + week]);
        assert_eq!(of(&once, 1099, 9 * week), [1000]);
        assert_eq!(of(&once, 1100, 9 * week), [0_i64; 0]);
        assert_eq!(of(&once, 0, 1000), [0_i64; 0]);
    }

    #[test]
    fn an_event_touches_its_own_tenant_alone() {
        assert!(weekly().touches(&"shop/orders".parse().unwrap()));
        assert!(!weekly().touches(&"bank/orders".parse().unwrap()));
    }
}
