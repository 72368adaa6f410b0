//! When events that come back by a rule come back: RFC 5545 on the clock of a time zone.
//!
//! A rule counts on the clock on the wall. So it is expanded in civil time, by `rrule`, which is told
//! that its clock is UTC; which instant a civil time is, is then asked of `jiff`, the one database of
//! zones in this daemon. (`rrule` brings a database of its own, `chrono-tz`; two that were updated at
//! different times would put an event and the calendar around it an hour apart.) A local time that
//! daylight saving leaves out is read with the offset before, of one that comes twice the first is
//! meant: section 3.3.5 of the RFC. What begins at midnight and lasts whole days ends at midnight,
//! on a day of 23 hours as well.
//!
//! A rule is text from a stranger, and a few bytes can mean occurrences without end. So nothing is
//! expanded but a window of [`BACK_DAYS`] and [`AHEAD_DAYS`] around the present, which moves by
//! [`PACE_DAYS`]; an event that comes more than [`MOST_SPANS`] times in it, or needs more than
//! [`MOST_CANDIDATES`] dates to get there, is refused when it is declared. Occurrences are not
//! stored: they follow from the event and the window, and are the same after a restart.

mod rule;

pub(crate) use rule::Rule;

use crate::world::{World, lock};
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_core::catalog::Catalog;
use tidegate_core::event::{Event, Occurrences, Span};
use tidegate_core::ids::TenantId;
use tidegate_core::ports::serve::ServeError;
use tidegate_core::time::Timestamp;

/// Days before the present that are expanded: what a fit reads, and last year's campaign.
pub(crate) const BACK_DAYS: i64 = 400;
/// Days after the present that are expanded: no horizon reaches further.
pub(crate) const AHEAD_DAYS: i64 = 400;
/// The window moves when the present has moved by so many days.
const PACE_DAYS: i64 = 30;
/// Most occurrences of one event in the window; ten a day fit.
pub(crate) const MOST_SPANS: usize = 8_000;
/// Most occurrences in the window of all events of a tenant that come back by a rule.
const MOST_OF_TENANT: usize = 200_000;
/// Most dates that are made from an event's start on: a century of hours.
const MOST_CANDIDATES: usize = 900_000;

const DAY_MS: i64 = 86_400_000;

/// A problem of an event, by its field.
pub(crate) type Problem = (&'static str, String);

/// The window that is expanded at an instant.
pub(crate) fn window(now: Timestamp) -> Span {
    let pace = PACE_DAYS * DAY_MS;
    let begun = now.0.div_euclid(pace).saturating_mul(pace);
    (
        Timestamp(begun.saturating_sub(BACK_DAYS * DAY_MS)),
        Timestamp(begun.saturating_add((AHEAD_DAYS + PACE_DAYS) * DAY_MS)),
    )
}

/// The occurrences of a catalog's events at an instant. What `before` holds of an event that has not
/// changed is taken over: most changes of a catalog touch no rule.
pub(crate) fn occurrences(catalog: &Catalog, before: &Catalog, now: Timestamp) -> Occurrences {
    let window = window(now);
    let same_window = before.recurring.window() == Some(window);
    let mut spans = BTreeMap::new();
    for event in catalog.events.values().map(|e| &e.value) {
        if event.recurrence.is_none() {
            continue;
        }
        let old = before.events.get(&event.id).map(|e| &e.value);
        let found = if same_window && old == Some(event) {
            before.recurring.of(&event.id, window.0, window.1).collect()
        } else {
            expand(event, window).unwrap_or_else(|(field, problem)| {
                // It was in order when it was declared; a zone may have gone with a new database.
                tracing::error!(event = %event.id, field, "the event does not come back: {problem}");
                vec![]
            })
        };
        spans.insert(event.id.clone(), found);
    }
    Occurrences::new(window, spans)
}

/// Moves the window of a world's table to where an instant wants it.
pub(crate) fn follow(world: &World, now: Timestamp) {
    let wanted = Some(window(now));
    if world.catalog.load().recurring.window() == wanted {
        return;
    }
    let _writer = lock(&world.catalog_writer);
    let catalog = world.catalog.load_full();
    let mut next = Catalog::clone(&catalog);
    next.recurring = occurrences(&catalog, &catalog, now);
    world.catalog.store(Arc::new(next));
}

/// Refuses an event whose rule cannot be read or comes too often. One that lies ahead is looked at
/// where it begins.
pub(crate) fn check(event: &Event, now: Timestamp) -> Result<(), ServeError> {
    let found = expand(event, window(now.max(event.start)));
    found.map(drop).map_err(|(field, problem)| {
        ServeError::field(format!("event {}", event.id), field, problem)
    })
}

/// Refuses a catalog in which a tenant's events come back too often, taken together. Only for
/// tenants of `touched`: what stands already does not stand in the way of others.
pub(crate) fn check_total(
    occurrences: &Occurrences,
    catalog: &Catalog,
    touched: &BTreeSet<TenantId>,
) -> Result<(), ServeError> {
    let Some((from, to)) = occurrences.window() else {
        return Ok(());
    };
    for tenant in touched {
        let mine = catalog.events.keys().filter(|id| id.tenant == *tenant);
        let count: usize = mine.map(|id| occurrences.of(id, from, to).count()).sum();
        if count > MOST_OF_TENANT {
            let text = format!(
                "the events of `{tenant}` come back {count} times in {} days, more than {MOST_OF_TENANT}; let some come less often, or write a fixed interval as `every: 1h`",
                to.since_ms(from) / DAY_MS
            );
            return Err(ServeError::field(
                format!("tenant {tenant}"),
                "events",
                text,
            ));
        }
    }
    Ok(())
}

/// The occurrences of an event that overlap a window, by their start.
///
/// # Errors
/// When the zone is not known, the rule cannot be read, or it comes too often.
pub(crate) fn expand(event: &Event, window: Span) -> Result<Vec<Span>, Problem> {
    let Some(recurrence) = &event.recurrence else {
        return Ok(vec![]);
    };
    let zone = zone(&recurrence.time_zone).map_err(|problem| ("time_zone", problem))?;
    let start = civil(event.start, &zone).ok_or_else(|| {
        let text = "it lies too far from the present; write an instant between 1970 and 2200";
        ("start", text.to_owned())
    })?;
    let lasts = Length::new(event.duration_s);
    let mut starts: BTreeSet<Timestamp> = recurrence.extra.iter().copied().collect();
    if recurrence.rule.is_empty() {
        starts.insert(event.start);
    } else {
        let rule: Rule = recurrence
            .rule
            .parse()
            .map_err(|problem| ("rrule", problem))?;
        let ruled = by_rule(&rule, start, &zone, window, lasts);
        starts.extend(ruled.map_err(|problem| ("rrule", problem))?);
    }
    for except in &recurrence.except {
        starts.remove(except);
    }
    let spans = starts
        .into_iter()
        .filter(|start| event.until.is_none_or(|until| *start < until))
        .map(|start| (start, lasts.end(start, &zone)))
        .filter(|(start, end)| *start < window.1 && *end > window.0);
    Ok(spans.collect())
}

/// The starts that a rule makes, up to the end of a window.
fn by_rule(
    rule: &Rule,
    start: DateTime,
    zone: &TimeZone,
    window: Span,
    lasts: Length,
) -> Result<Vec<Timestamp>, String> {
    let dates = rule.dates(start, zone)?;
    let mut starts = vec![];
    for (n, date) in dates.enumerate() {
        if n >= MOST_CANDIDATES {
            return Err(format!(
                "it has come {n} times since its start, and the present is not reached; write a later start"
            ));
        }
        let Some(at) = instant(date, zone) else {
            break;
        };
        if at >= window.1 {
            break;
        }
        if lasts.end(at, zone) > window.0 {
            starts.push(at);
        }
        if starts.len() > MOST_SPANS {
            return Err(format!(
                "it comes more than {MOST_SPANS} times in {} days; let it come less often, or write a fixed interval as `every: 1h` in place of a rule",
                window.1.since_ms(window.0) / DAY_MS
            ));
        }
    }
    Ok(starts)
}

/// How long an occurrence lasts.
#[derive(Debug, Clone, Copy)]
struct Length {
    ms: i64,
    /// Where it lasts whole days: how many.
    days: Option<i64>,
}

impl Length {
    fn new(seconds: u32) -> Self {
        let ms = i64::from(seconds) * 1000;
        let days = (ms % DAY_MS == 0).then_some(ms / DAY_MS);
        Self { ms, days }
    }

    fn end(self, start: Timestamp, zone: &TimeZone) -> Timestamp {
        let midnight = || {
            let begun = civil(start, zone)?;
            let days = self.days.filter(|_| begun.time() == Time::midnight())?;
            let over = begun.checked_add(jiff::Span::new().try_days(days).ok()?);
            instant(over.ok()?, zone)
        };
        midnight().unwrap_or_else(|| start.plus_ms(self.ms))
    }
}

/// A zone by its name; UTC where it is empty.
pub(crate) fn zone(name: &str) -> Result<TimeZone, String> {
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name)
        .map_err(|_| format!("`{name}` is no IANA time zone; write for example Europe/Berlin"))
}

/// The local time at an instant, in whole seconds; `None` outside 1970 to 2200, where no rule is
/// worth the walk.
fn civil(at: Timestamp, zone: &TimeZone) -> Option<DateTime> {
    let at = jiff::Timestamp::from_second(at.0.div_euclid(1000)).ok()?;
    let civil = zone.to_datetime(at);
    (1969..=2200).contains(&civil.year()).then_some(civil)
}

/// The instant of a local time: RFC 5545, section 3.3.5.
pub(crate) fn instant(civil: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let at = zone.to_ambiguous_timestamp(civil).compatible().ok()?;
    Some(Timestamp(at.as_millisecond()))
}

#[cfg(test)]
mod tests;
