//! What a VEVENT says: RFC 5545, section 3.6.1, as an event of Tidegate.
//!
//! One component becomes one event, whatever its rule: a rule stays a rule. An occurrence that was
//! moved (RECURRENCE-ID) becomes an exception of the series and an event of its own, because a moved
//! campaign may last longer, or touch other apis. One that was cancelled is an exception alone.

use super::ics::{Calendar, Content, Line};
use crate::recur::{self, Rule};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use std::collections::BTreeMap;
use tidegate_client::v1;

/// A day, in seconds.
const DAY_S: i64 = 86_400;

/// What holds for all components of a calendar.
#[derive(Debug)]
pub(super) struct Rules {
    /// Zone of times and days that name none.
    pub(super) floating: String,
    /// What names of zones mean, beyond IANA's.
    pub(super) zones: BTreeMap<String, String>,
    /// Kind of what has no CATEGORIES.
    pub(super) kind: Option<String>,
    /// Length of what has none, in seconds.
    pub(super) lasts: Option<u32>,
}

/// An event as a component says it; its name and its apis are still to be decided.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft {
    /// Line of its component.
    pub(super) line: usize,
    /// UID; of a moved occurrence with `#` and the start that it had.
    pub(super) uid: String,
    /// What X-TIDEGATE-APIS names; `None` where it is absent.
    pub(super) apis: Option<Vec<String>>,
    /// What X-TIDEGATE-AT-LEAST says.
    pub(super) at_least: Option<f64>,
    /// The rest.
    pub(super) event: v1::Event,
}

/// What a file says: events that shall be, and UIDs that were called off.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Drafts {
    /// In the order of the file.
    pub(super) events: Vec<Draft>,
    /// UIDs of cancelled components.
    pub(super) cancelled: Vec<String>,
}

/// A mistake, with its line.
pub(super) type Mistake = (usize, String);

/// Reads all components; every mistake at once.
pub(super) fn drafts(calendar: &Calendar, rules: &Rules) -> Result<Drafts, Vec<Mistake>> {
    let mut found = Drafts::default();
    let mut mistakes = vec![];
    // Exceptions of a series, which its overrides make: (UID, start).
    let mut moved: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    for content in &calendar.events {
        let read = match component(content, rules) {
            Ok(read) => read,
            Err(mistake) => {
                mistakes.push(mistake);
                continue;
            }
        };
        if let Some(line) = first.insert(read.draft.uid.clone(), content.line) {
            let text = format!(
                "its UID `{}` stands at line {line} already; give it another",
                read.draft.uid
            );
            mistakes.push((content.line, text));
            continue;
        }
        if let Some((series, start)) = read.moves {
            moved.entry(series).or_default().push(start);
        }
        match read.cancelled {
            true => found.cancelled.push(read.draft.uid),
            false => found.events.push(read.draft),
        }
    }
    for draft in &mut found.events {
        let Some(starts) = moved.get(&draft.uid) else {
            continue;
        };
        match &mut draft.event.recurrence {
            Some(recurrence) => {
                recurrence.exdate_ms.extend(starts);
                recurrence.exdate_ms.sort_unstable();
                recurrence.exdate_ms.dedup();
            }
            None => mistakes.push((
                draft.line,
                "an occurrence of it was moved (RECURRENCE-ID), but it has no RRULE; remove one of the two".into(),
            )),
        }
    }
    match mistakes.is_empty() {
        true => Ok(found),
        false => Err(mistakes),
    }
}

struct Read {
    draft: Draft,
    cancelled: bool,
    /// The series and the start of the occurrence that it replaces.
    moves: Option<(String, i64)>,
}

fn component(content: &Content, rules: &Rules) -> Result<Read, Mistake> {
    let here = |text: &str| (content.line, text.to_owned());
    let uid = content
        .one("UID")
        .map(|l| l.value.clone())
        .filter(|u| !u.is_empty());
    let uid =
        uid.ok_or_else(|| here("it has no UID, by which it would be known again; add one"))?;
    let start_line = content.one("DTSTART");
    let start_line = start_line.ok_or_else(|| here("it has no DTSTART; add one"))?;
    let start = When::read(start_line, &start_line.value, rules)?;
    let duration_s = length(content, start_line, &start, rules)?;
    let recurrence = recurrence(content, &start, rules)?;
    let (mut id, mut moves) = (uid.clone(), None);
    if let Some(line) = content.one("RECURRENCE-ID") {
        if line.param("RANGE").is_some() {
            let text = "RECURRENCE-ID with RANGE moves all that follow; end the series with UNTIL and begin another";
            return Err((line.number, text.into()));
        }
        let was = When::read(line, &line.value, rules)?.ms(line)?;
        let stamp = Timestamp::from_millisecond(was).map_err(|e| (line.number, e.to_string()))?;
        id = format!("{uid}#{}", stamp.strftime("%Y%m%dT%H%M%SZ"));
        moves = Some((uid, was));
    }
    let status = content.one("STATUS").map(|l| l.value.to_ascii_uppercase());
    let kind = kind(content).or_else(|| rules.kind.clone());
    let cancelled = status.as_deref() == Some("CANCELLED");
    let kind = match kind {
        Some(kind) => kind,
        None if cancelled => String::new(),
        None => {
            return Err(here(
                "it has no CATEGORIES, under which uplift is learned; give --kind, for example --kind campaign",
            ));
        }
    };
    let title = content
        .one("SUMMARY")
        .map(|l| l.value.clone())
        .unwrap_or_default();
    let draft = Draft {
        line: content.line,
        uid: id,
        apis: content.one("X-TIDEGATE-APIS").map(|l| list(&l.value)),
        at_least: content
            .one("X-TIDEGATE-AT-LEAST")
            .map(|l| {
                at_least(&l.value).map_err(|e| (l.number, format!("X-TIDEGATE-AT-LEAST: {e}")))
            })
            .transpose()?,
        event: v1::Event {
            kind,
            start_ms: start.ms(start_line)?,
            duration_s,
            title,
            recurrence: if moves.is_some() { None } else { recurrence },
            ..v1::Event::default()
        },
    };
    Ok(Read {
        draft,
        cancelled,
        moves,
    })
}

/// `3x` or `3`: at least so many times the ordinary load.
pub(super) fn at_least(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches(['x', 'X']).trim();
    match number.parse::<f64>() {
        Ok(n) if n.is_finite() && n > 0.0 => Ok(n),
        _ => Err(format!(
            "`{text}` is no multiple of ordinary load; write for example 3x"
        )),
    }
}

/// The first category, as kinds are written: small, with dashes.
fn kind(content: &Content) -> Option<String> {
    let categories = content.every("CATEGORIES");
    let first = categories.flat_map(|l| list(&l.value)).next()?;
    Some(slug(&first)).filter(|k| !k.is_empty())
}

fn list(value: &str) -> Vec<String> {
    let parts = value
        .split(',')
        .map(|p| p.trim().trim_end_matches('\\').to_owned());
    parts.filter(|p| !p.is_empty()).collect()
}

/// Letters and digits of a text in small, what is between them as one dash.
pub(super) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            c if c.is_ascii_alphanumeric() => slug.push(c),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.truncate(60);
    slug.trim_end_matches('-').to_owned()
}

/// A DATE or a DATE-TIME, and the zone that it is told in.
#[derive(Debug, Clone)]
struct When {
    civil: DateTime,
    is_day: bool,
    zone: TimeZone,
    zone_name: String,
}

impl When {
    fn read(line: &Line, value: &str, rules: &Rules) -> Result<Self, Mistake> {
        let bad = || {
            let text = format!(
                "{}: `{value}` is no time; it should read 20261127T090000Z, 20261127T090000 or 20261127",
                line.name
            );
            (line.number, text)
        };
        let (zone_name, local) = match (value.strip_suffix('Z'), line.param("TZID")) {
            (Some(local), _) => (String::new(), local),
            (None, Some(zone)) => (rules.zone(zone), value),
            (None, None) => (rules.floating.clone(), value),
        };
        let is_day = local.len() == 8;
        let civil = if is_day {
            let day = Date::strptime("%Y%m%d", local).map_err(|_| bad())?;
            day.to_datetime(jiff::civil::Time::midnight())
        } else {
            DateTime::strptime("%Y%m%dT%H%M%S", local).map_err(|_| bad())?
        };
        let zone = recur::zone(&zone_name).map_err(|_| {
            let text = format!(
                "{}: `{zone_name}` is no IANA time zone; say which it is: --zone '{zone_name}=Europe/Berlin'",
                line.name
            );
            (line.number, text)
        })?;
        Ok(Self {
            civil,
            is_day,
            zone,
            zone_name,
        })
    }

    fn ms(&self, line: &Line) -> Result<i64, Mistake> {
        let at = recur::instant(self.civil, &self.zone);
        let at = at.ok_or_else(|| (line.number, format!("{}: it lies too far away", line.name)))?;
        Ok(at.0)
    }
}

impl Rules {
    /// What a TZID means: what was given, what the file's own VTIMEZONE says, or an IANA name, also
    /// behind a prefix (`/vendor/Europe/Berlin`).
    fn zone(&self, tzid: &str) -> String {
        if let Some(known) = self.zones.get(tzid) {
            return known.clone();
        }
        let parts: Vec<&str> = tzid.trim_matches('/').split('/').collect();
        let tails = (0..parts.len()).map(|i| parts[i..].join("/"));
        tails
            .into_iter()
            .find(|tail| TimeZone::get(tail).is_ok())
            .unwrap_or_else(|| tzid.to_owned())
    }
}

/// Seconds from DTSTART to DTEND or by DURATION; a day of DATE without either lasts that day.
fn length(
    content: &Content,
    start_line: &Line,
    start: &When,
    rules: &Rules,
) -> Result<u32, Mistake> {
    let begun = start.ms(start_line)?;
    let repeats = content.one("RRULE").is_some() || content.one("RDATE").is_some();
    // Whole days are told as such where they come back: the day of the first may have 23 hours.
    let between = |end: &When, line: &Line| -> Result<i64, Mistake> {
        if start.is_day && repeats {
            let days = end.civil.date().duration_since(start.civil.date());
            return Ok(days.as_secs());
        }
        Ok((end.ms(line)? - begun) / 1000)
    };
    let (seconds, line) = if let Some(line) = content.one("DTEND") {
        (between(&When::read(line, &line.value, rules)?, line)?, line)
    } else if let Some(line) = content.one("DURATION") {
        let bad = |_| {
            (
                line.number,
                format!(
                    "DURATION: `{}` is no duration; it should read PT2H or P1D",
                    line.value
                ),
            )
        };
        let span: Span = line.value.parse().map_err(bad)?;
        let civil = start.civil.checked_add(span).map_err(bad)?;
        let end = When {
            civil,
            ..start.clone()
        };
        // Hours are exact, days follow the clock: where there are only hours, the clock is no matter.
        let exact = SignedDuration::try_from(span).ok();
        (
            exact.map_or_else(|| between(&end, line), |d| Ok(d.as_secs()))?,
            line,
        )
    } else if start.is_day {
        let civil = start.civil.checked_add(Span::new().days(1));
        let civil = civil.map_err(|e| (start_line.number, e.to_string()))?;
        let end = When {
            civil,
            ..start.clone()
        };
        (between(&end, start_line)?, start_line)
    } else {
        (0, start_line)
    };
    if seconds == 0 {
        let none =
            "it has no length; add DTEND or DURATION, or give --lasts, for example --lasts 1h";
        return rules.lasts.ok_or_else(|| (content.line, none.to_owned()));
    }
    let wrong = |_| {
        (
            line.number,
            format!(
                "{}: it ends before it begins, or lasts longer than {} years",
                line.name,
                u32::MAX / 366 / DAY_S as u32
            ),
        )
    };
    u32::try_from(seconds).map_err(wrong)
}

fn recurrence(
    content: &Content,
    start: &When,
    rules: &Rules,
) -> Result<Option<v1::Recurrence>, Mistake> {
    let mut rule = String::new();
    for line in content.every("RRULE") {
        if !rule.is_empty() {
            return Err((
                line.number,
                "a second RRULE; write the other as an event of its own".into(),
            ));
        }
        let read: Rule = line
            .value
            .parse()
            .map_err(|e| (line.number, format!("RRULE: {e}")))?;
        rule = read.text().to_owned();
    }
    let dates = |name: &'static str| -> Result<Vec<i64>, Mistake> {
        let mut all = vec![];
        for line in content.every(name) {
            for value in line
                .value
                .split(',')
                .map(str::trim)
                .filter(|v| !v.is_empty())
            {
                if value.contains('/') {
                    let text = format!(
                        "{name}: a period has a length of its own; write it as an event of its own"
                    );
                    return Err((line.number, text));
                }
                let mut when = When::read(line, value, rules)?;
                // A day among times of day means the occurrence of that day.
                if when.is_day && !start.is_day {
                    when.civil = when.civil.date().to_datetime(start.civil.time());
                    when.zone = start.zone.clone();
                }
                all.push(when.ms(line)?);
            }
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    };
    let (exdate_ms, rdate_ms) = (dates("EXDATE")?, dates("RDATE")?);
    if rule.is_empty() && rdate_ms.is_empty() {
        return Ok(None);
    }
    Ok(Some(v1::Recurrence {
        rrule: rule,
        time_zone: start.zone_name.clone(),
        exdate_ms,
        rdate_ms,
    }))
}

#[cfg(test)]
mod tests;
