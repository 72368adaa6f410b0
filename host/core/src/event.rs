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
    fn an_event_touches_its_own_tenant_alone() {
        assert!(weekly().touches(&"shop/orders".parse().unwrap()));
        assert!(!weekly().touches(&"bank/orders".parse().unwrap()));
    }
}
