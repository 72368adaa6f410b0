//! Documents that declare events, and what they are on the wire.
//!
//! A person writes times as on the wall: `start: 2026-11-30T09:00` with `time_zone: Europe/Berlin`.
//! A document without a zone means UTC, one with an offset (`…Z`, `…+01:00`) says it itself. A day
//! alone is its midnight; among the exceptions of a rule it is the occurrence of that day.

use super::amounts::Instant;
use super::objects::Kind;
use crate::config::Seconds;
use crate::recur::{self, Rule};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use tidegate_client::v1;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event {
    #[serde(rename = "kind")]
    _kind: Kind,
    name: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    apis: Vec<String>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(alias = "start_ms")]
    start: Instant,
    #[serde(alias = "duration_s")]
    duration: Seconds,
    #[serde(alias = "every_s")]
    every: Option<Seconds>,
    #[serde(alias = "until_ms")]
    until: Option<Instant>,
    minimum_uplift: Option<f64>,
    rrule: Option<RuleText>,
    #[serde(alias = "timezone")]
    time_zone: Option<Zone>,
    #[serde(default)]
    exdate: Vec<Instant>,
    #[serde(default)]
    rdate: Vec<Instant>,
    origin: Option<Origin>,
}

/// Written by an import and kept by whoever writes back what `get` shows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    calendar: String,
    uid: String,
}

/// A rule that can be read, so that one that cannot is told at its line.
#[derive(Debug)]
struct RuleText(String);

impl<'de> Deserialize<'de> for RuleText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let rule: Rule = text
            .parse()
            .map_err(|e| D::Error::custom(format!("rrule: {e}")))?;
        Ok(Self(rule.text().to_owned()))
    }
}

/// A zone that is known.
#[derive(Debug)]
struct Zone {
    name: String,
    zone: TimeZone,
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        let zone = recur::zone(&name).map_err(D::Error::custom)?;
        Ok(Self { name, zone })
    }
}

impl Event {
    /// The event, its local times as instants.
    ///
    /// # Errors
    /// When keys contradict each other, or a time lies beyond the calendar.
    pub(super) fn timed(self) -> Result<v1::Event, String> {
        let by_rule = self.rrule.is_some() || !self.rdate.is_empty();
        if by_rule && self.every.is_some() {
            return Err("it has both `every` and `rrule` or `rdate`; a fixed interval needs no rule, so remove one".into());
        }
        if !by_rule && !self.exdate.is_empty() {
            return Err("`exdate` takes occurrences out of a rule, and there is none; add `rrule` or remove it".into());
        }
        let (zone_name, zone) = match self.time_zone {
            Some(zone) => (zone.name, zone.zone),
            None => (String::new(), TimeZone::UTC),
        };
        let at = |key: &str, civil: DateTime| {
            let at = recur::instant(civil, &zone);
            at.map(|t| t.0)
                .ok_or_else(|| format!("`{key}`: {civil} lies beyond the calendar"))
        };
        let plain = |key: &str, given: Instant| match given {
            Instant::At(ms) => Ok(ms),
            Instant::Local(civil) => at(key, civil),
            Instant::Day(day) => at(key, day.at(0, 0, 0, 0)),
        };
        let start_ms = plain("start", self.start)?;
        let begun =
            jiff::Timestamp::from_millisecond(start_ms).map_err(|e| format!("`start`: {e}"))?;
        let clock = zone.to_datetime(begun).time();
        let dates = |key: &str, given: Vec<Instant>| -> Result<Vec<i64>, String> {
            let each = given.into_iter().map(|given| match given {
                Instant::Day(day) => at(key, day.to_datetime(clock)),
                other => plain(key, other),
            });
            each.collect()
        };
        let recurrence = match by_rule {
            false => None,
            true => Some(v1::Recurrence {
                rrule: self.rrule.map(|r| r.0).unwrap_or_default(),
                time_zone: zone_name,
                exdate_ms: dates("exdate", self.exdate)?,
                rdate_ms: dates("rdate", self.rdate)?,
            }),
        };
        Ok(v1::Event {
            name: self.name,
            apis: self.apis,
            kind: self.kind,
            start_ms,
            duration_s: self.duration.0,
            every_s: self.every.map(|s| s.0),
            until_ms: self.until.map(|i| plain("until", i)).transpose()?,
            minimum_uplift: self.minimum_uplift,
            title: self.title,
            recurrence,
            origin: self.origin.map(|o| v1::EventOrigin {
                calendar: o.calendar,
                uid: o.uid,
            }),
        })
    }
}
