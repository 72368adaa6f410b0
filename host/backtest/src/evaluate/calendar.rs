//! What a module is told beside the values of a file: the calendar in UTC, and events from a list.
//!
//! The daemon always tells the calendar, in the api's own time zone; a file has no zone, so its
//! stamps are taken as they stand. Column names and numbering are the interface's: `minute-of-day`,
//! `day-of-week` with Monday 0, `event:KIND` as the part of the step during which such an event
//! runs.

use std::collections::BTreeSet;
use tidegate_core::policy::Covariates;
use tidegate_core::time::{Step, Timestamp};

/// A happening that was known beforehand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// Its kind: uplift is learned per kind.
    pub kind: String,
    /// Its first instant.
    pub from: Timestamp,
    /// The first instant after it.
    pub to: Timestamp,
}

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Calendar {
    /// Nothing: the stamps of the file mean nothing (M4).
    #[default]
    Unknown,
    /// Time of day and week, and these events.
    Utc(Vec<Event>),
}

impl Calendar {
    /// The columns over the rows of these spans, one after another.
    #[must_use]
    pub fn over(&self, step: Step, spans: &[(Timestamp, usize)]) -> Covariates {
        let Calendar::Utc(events) = self else {
            return Covariates::default();
        };
        let rows: Vec<Timestamp> = spans
            .iter()
            .flat_map(|(start, count)| {
                (0..*count).map(|i| start.plus_steps(step, i64::try_from(i).unwrap_or(i64::MAX)))
            })
            .collect();
        let mut names = vec!["minute-of-day".to_owned(), "day-of-week".to_owned()];
        let mut values: Vec<f64> = rows
            .iter()
            .map(|t| t.secs().rem_euclid(86_400) as f64 / 60.0)
            .collect();
        // 1970-01-01 was a Thursday.
        let day = |t: &Timestamp| (t.secs().div_euclid(86_400) + 3).rem_euclid(7) as f64;
        values.extend(rows.iter().map(day));
        let kinds: BTreeSet<&str> = events.iter().map(|e| e.kind.as_str()).collect();
        for kind in kinds {
            names.push(format!("event:{kind}"));
            let mine: Vec<&Event> = events.iter().filter(|e| e.kind == kind).collect();
            values.extend(rows.iter().map(|t| part(*t, step, &mine)));
        }
        Covariates { names, values }
    }
}

/// The part of the step at `start` that the events cover; overlaps count once.
fn part(start: Timestamp, step: Step, events: &[&Event]) -> f64 {
    let end = start.plus_steps(step, 1);
    let mut spans: Vec<(Timestamp, Timestamp)> = events
        .iter()
        .map(|e| (e.from.max(start), e.to.min(end)))
        .filter(|(from, to)| from < to)
        .collect();
    spans.sort();
    let (mut covered, mut done) = (0, start);
    for (from, to) in spans {
        covered += to.since_ms(from.max(done)).max(0);
        done = done.max(to);
    }
    covered as f64 / step.ms() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_know_their_minute_their_weekday_and_what_runs() {
        let hour = Step::from_secs(3600).unwrap();
        let at = |h: i64| Timestamp::from_secs(h * 3600);
        let sale = |from, to| Event {
            kind: "sale".into(),
            from,
            to,
        };
        let half = Timestamp::from_secs(3600 * 24 + 1800);
        let calendar = Calendar::Utc(vec![sale(at(23), half), sale(at(24), half)]);
        let known = calendar.over(hour, &[(at(22), 3), (at(0), 1)]);
        assert_eq!(known.names, ["minute-of-day", "day-of-week", "event:sale"]);
        assert_eq!(
            known.values,
            [
                1320.0, 1380.0, 0.0, 0.0, // minutes
                3.0, 3.0, 4.0, 3.0, // Thursday, Friday, Thursday
                0.0, 1.0, 0.5, 0.0, // the sale
            ]
        );
        assert_eq!(
            Calendar::Unknown.over(hour, &[(at(0), 9)]),
            Covariates::default()
        );
    }
}
