//! The calendar: known happenings that change load.
//!
//! An event happens once, comes back at a fixed interval, or comes back by a rule of RFC 5545
//! ("every Monday at nine, in Berlin"). The first two are arithmetic and are done here. A rule needs
//! a database of time zones and a library, which `core` must not have: whoever knows both writes the
//! occurrences of a bounded window into the catalog ([`Occurrences`]), as it does with the offsets of
//! zones, and everybody asks [`Catalog::occurrences`], which knows all three. The
//! rule itself stays with the event: what was declared is what is shown and stored, and an
//! occurrence is never an object of its own that somebody would have to clean up.

use crate::catalog::{Catalog, Filed};
use crate::ids::{ApiId, ScopedId, TenantId};
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// From when to when something lasts: `start <= t < end`.
pub type Span = (Timestamp, Timestamp);

/// A campaign, batch job or holiday that happens once or comes back.
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
    /// What a person calls it; free text, may be empty.
    pub title: String,
    /// By which rule it comes back. Then `every_s` is `None`.
    pub recurrence: Option<Recurrence>,
    /// The calendar that it was read from.
    pub origin: Option<Origin>,
}

/// By which rule an event comes back: RFC 5545, section 3.8.5.
///
/// Its occurrences are those of the rule from the event's start on, and those of `extra`, without
/// those of `except`. A start that its rule leaves out is none (the RFC calls that undefined);
/// without a rule, the start is one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recurrence {
    /// An RRULE, for example `FREQ=WEEKLY;BYDAY=MO`; empty where there is only `extra`.
    pub rule: String,
    /// The IANA time zone on whose clock the rule counts; UTC where empty.
    pub time_zone: String,
    /// Starts that do not happen (EXDATE).
    pub except: Vec<Timestamp>,
    /// Further starts (RDATE).
    pub extra: Vec<Timestamp>,
}

impl Recurrence {
    /// Most `except` and `extra` of one event, together.
    pub const MOST_DATES: usize = 2_000;
}

/// Where an event came from, so that a calendar that is read again changes what it made before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The calendar's name.
    pub calendar: String,
    /// The UID of its component; of an occurrence that was moved, followed by `#` and the start that
    /// it had.
    pub uid: String,
}

/// The occurrences of events that come back by a rule, within a window of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Occurrences {
    window: Option<Span>,
    spans: Arc<BTreeMap<ScopedId, Vec<Span>>>,
}

impl Occurrences {
    /// Those of `window`, per event; sorted here.
    #[must_use]
    pub fn new(window: Span, mut spans: BTreeMap<ScopedId, Vec<Span>>) -> Self {
        spans.values_mut().for_each(|s| s.sort());
        Self {
            window: Some(window),
            spans: Arc::new(spans),
        }
    }

    /// The window that they are of; `None` when nobody has written any.
    #[must_use]
    pub fn window(&self) -> Option<Span> {
        self.window
    }

    /// All, by event.
    pub fn iter(&self) -> impl Iterator<Item = (&ScopedId, &Vec<Span>)> {
        self.spans.iter()
    }

    /// Those of an event that overlap `from <= t < to`, by their start.
    pub fn of(
        &self,
        event: &ScopedId,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = Span> + '_ {
        let all = self.spans.get(event).map_or(&[][..], Vec::as_slice);
        // Sorted by start: what begins at `to` or later is cut off; ends need not be in order.
        let before = all.partition_point(|(start, _)| *start < to);
        all[..before]
            .iter()
            .filter(move |(_, end)| *end > from)
            .copied()
    }
}

impl Event {
    /// An event that happens once and touches all apis of its tenant.
    #[must_use]
    pub fn once(id: ScopedId, kind: &str, start: Timestamp, duration_s: u32) -> Self {
        Self {
            id,
            apis: vec![],
            kind: kind.to_owned(),
            start,
            duration_s,
            every_s: None,
            until: None,
            minimum_uplift: None,
            title: String::new(),
            recurrence: None,
            origin: None,
        }
    }

    /// Whether an occurrence covers `t`; not for an event that comes back by a rule.
    #[cfg(test)]
    fn covers(&self, t: Timestamp) -> bool {
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

    /// The occurrences that overlap `from <= t < to`, in order, of an event that happens once or at a
    /// fixed interval. What comes back by a rule needs the catalog's table.
    pub(crate) fn regular(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = Span> + use<> {
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

/// Whom an event touches: an api that it names, or all of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touched {
    /// An api.
    Api(ApiId),
    /// All apis of a tenant.
    Tenant(TenantId),
}

impl Filed for Event {
    type Under = Touched;

    fn under(&self) -> Vec<Touched> {
        if self.apis.is_empty() {
            return vec![Touched::Tenant(self.id.tenant.clone())];
        }
        let touched = self.apis.iter().filter(|api| self.touches(api));
        let mut all: Vec<Touched> = touched.cloned().map(Touched::Api).collect();
        all.sort();
        all.dedup();
        all
    }
}

impl Catalog {
    /// The occurrences of an event that overlap `from <= t < to`, by their start.
    pub fn occurrences(
        &self,
        event: &Event,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = Span> {
        let (regular, ruled) = match event.recurrence {
            None => (Some(event.regular(from, to)), None),
            Some(_) => (None, Some(self.recurring.of(&event.id, from, to))),
        };
        let ruled = ruled.into_iter().flatten();
        regular.into_iter().flatten().chain(ruled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weekly() -> Event {
        let id = "shop/sale".parse().unwrap();
        Event {
            every_s: Some(604_800),
            until: Some(Timestamp::from_secs(1000 + 2 * 604_800)),
            ..Event::once(id, "campaign", Timestamp::from_secs(1000), 100)
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
            let all = event.regular(at(from), at(to));
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
    fn occurrences_by_rule_are_those_that_overlap_what_is_asked() {
        let at = Timestamp::from_secs;
        let id: ScopedId = "shop/sale".parse().unwrap();
        // The first outlasts the second.
        let spans = vec![(at(500), at(510)), (at(100), at(300)), (at(200), at(210))];
        let table = Occurrences::new((at(0), at(1000)), BTreeMap::from([(id.clone(), spans)]));
        let of = |from, to| -> Vec<i64> {
            let found = table.of(&id, at(from), at(to));
            found.map(|(start, _)| start.secs()).collect()
        };
        assert_eq!(of(0, 1000), [100, 200, 500]);
        assert_eq!(of(210, 500), [100]);
        assert_eq!(of(300, 501), [500]);
        assert_eq!(of(510, 1000), [0_i64; 0]);
        assert_eq!(
            table
                .of(&"shop/other".parse().unwrap(), at(0), at(1000))
                .count(),
            0
        );
    }

    #[test]
    fn an_event_touches_its_own_tenant_alone() {
        assert!(weekly().touches(&"shop/orders".parse().unwrap()));
        assert!(!weekly().touches(&"bank/orders".parse().unwrap()));
    }
}
