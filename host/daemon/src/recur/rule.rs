//! The text of a recurrence rule: RFC 5545, section 3.3.10.
//!
//! The parts are looked at here before `rrule` reads them, so that a mistake is told by its part with
//! what to write instead. UNTIL is taken out: the RFC writes it in UTC, the rule counts on a local
//! clock, and only whoever knows the zone can compare the two. FREQ=SECONDLY and MINUTELY are
//! refused: an interval of minutes is what `every` is for, and it costs no table.

use crate::cli::words;
use chrono::{Datelike as _, TimeZone as _, Timelike as _};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use rrule::{RRule, Tz, Unvalidated};
use std::str::FromStr;

/// Parts that a rule may have.
const PARTS: [&str; 13] = [
    "FREQ",
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "BYDAY",
    "BYMONTHDAY",
    "BYMONTH",
    "BYHOUR",
    "BYMINUTE",
    "BYSETPOS",
    "BYYEARDAY",
    "BYWEEKNO",
    "WKST",
];
const FREQUENCIES: [&str; 5] = ["HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"];

/// Until when a rule makes dates, itself included.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Until {
    /// An instant.
    At(jiff::Timestamp),
    /// A local time.
    Local(DateTime),
}

/// A rule whose parts were read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    text: String,
    parts: RRule<Unvalidated>,
    until: Option<Until>,
}

impl Rule {
    /// Its text, in capitals and without `RRULE:`.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The local times that it makes from a start on, rising. The library bounds the walk to the
    /// next one, so that a rule that never fits (30 February) ends.
    pub(crate) fn dates(
        &self,
        start: DateTime,
        zone: &TimeZone,
    ) -> Result<impl Iterator<Item = DateTime> + use<>, String> {
        let from = theirs(start).ok_or("its start is no date that a rule can count from")?;
        let mut parts = self.parts.clone();
        if let Some(until) = self.until {
            let until = match until {
                Until::At(at) => zone.to_datetime(at),
                Until::Local(local) => local,
            };
            if until < start {
                return Err(format!(
                    "UNTIL lies before its start {start}; write a later one"
                ));
            }
            parts = parts.until(theirs(until).ok_or("UNTIL lies too far away")?);
        }
        let set = parts.build(from).map_err(|e| said(&e))?;
        Ok(set.limit().into_iter().map_while(|date| ours(&date)))
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.trim().to_ascii_uppercase();
        let text = upper.strip_prefix("RRULE:").unwrap_or(&upper).to_owned();
        let (mut rest, mut until, mut freq, mut seen) = (vec![], None, None, vec![]);
        for part in text.split(';').filter(|p| !p.is_empty()) {
            let Some((key, value)) = part.split_once('=') else {
                return Err(format!(
                    "`{part}` is no part of a rule; parts are written KEY=VALUE, for example FREQ=WEEKLY;BYDAY=MO"
                ));
            };
            if !PARTS.contains(&key) {
                let hint = words::hint(key, &PARTS);
                return Err(format!(
                    "`{key}` is no part of a rule{hint}; parts are {}",
                    PARTS.join(", ")
                ));
            }
            if seen.contains(&key) {
                return Err(format!("{key} stands there twice; remove one of them"));
            }
            seen.push(key);
            match key {
                "UNTIL" => until = Some(parse_until(value)?),
                "FREQ" => freq = Some(value),
                // The library takes 0 for a rule that never comes.
                "INTERVAL" | "COUNT" if !value.parse::<u32>().is_ok_and(|n| n > 0) => {
                    return Err(format!(
                        "{key}={value} is no number above 0; write for example {key}=2"
                    ));
                }
                _ => {}
            }
            if key != "UNTIL" {
                rest.push(part);
            }
        }
        match freq {
            None => {
                return Err(
                    "it does not say how often; add FREQ=DAILY, WEEKLY, MONTHLY or YEARLY".into(),
                );
            }
            Some("SECONDLY" | "MINUTELY") => {
                return Err("it comes more often than hourly; write a fixed interval as `every: 10m` in place of a rule".into());
            }
            Some(freq) if !FREQUENCIES.contains(&freq) => {
                let hint = words::hint(freq, &FREQUENCIES);
                return Err(format!(
                    "`{freq}` is no frequency{hint}; write one of {}",
                    FREQUENCIES.join(", ")
                ));
            }
            Some(_) => {}
        }
        if until.is_some() && seen.contains(&"COUNT") {
            return Err("it has both COUNT and UNTIL; remove one of them".into());
        }
        let parts = rest.join(";").parse().map_err(|e| said(&e))?;
        Ok(Self { text, parts, until })
    }
}

/// `20261231`, `20261231T235959` or `20261231T225959Z`. A day is meant with all its hours: so do the
/// calendars that write one for an event with a time of day.
fn parse_until(value: &str) -> Result<Until, String> {
    let bad = || {
        format!(
            "UNTIL={value} is no instant; write for example UNTIL=20261231T225959Z or UNTIL=20261231"
        )
    };
    if value.len() == 8 {
        let day = Date::strptime("%Y%m%d", value).map_err(|_| bad())?;
        return Ok(Until::Local(day.at(23, 59, 59, 0)));
    }
    let (local, is_utc) = match value.strip_suffix('Z') {
        Some(rest) => (rest, true),
        None => (value, false),
    };
    let local = DateTime::strptime("%Y%m%dT%H%M%S", local).map_err(|_| bad())?;
    if !is_utc {
        return Ok(Until::Local(local));
    }
    let at = TimeZone::UTC.to_timestamp(local).map_err(|_| bad())?;
    Ok(Until::At(at))
}

/// What the library says, as the rest of a sentence.
fn said(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let text = text.trim_start_matches("RRule parsing error: ");
    let text = text.trim_start_matches("RRule validation error: ");
    format!(
        "it is no rule of RFC 5545: {}; write for example FREQ=WEEKLY;BYDAY=MO",
        text.trim_end_matches('.').trim()
    )
}

fn theirs(civil: DateTime) -> Option<chrono::DateTime<Tz>> {
    let part = |n: i8| u32::try_from(n).ok();
    Tz::UTC
        .with_ymd_and_hms(
            civil.year().into(),
            part(civil.month())?,
            part(civil.day())?,
            part(civil.hour())?,
            part(civil.minute())?,
            part(civil.second())?,
        )
        .single()
}

fn ours(date: &chrono::DateTime<Tz>) -> Option<DateTime> {
    let part = |n: u32| i8::try_from(n).ok();
    DateTime::new(
        i16::try_from(date.year()).ok()?,
        part(date.month())?,
        part(date.day())?,
        part(date.hour())?,
        part(date.minute())?,
        part(date.second())?,
        0,
    )
    .ok()
}
