//! Traces out of a stopped daemon's store: the requests of every api that it knows, with what its calendar
//! says of them. The calendar is taken as it stands: that an event was declared after it had happened is
//! not known, and a rule is expanded over the range that is read, however long ago that was.

use crate::cli::evaluate::input::store;
use crate::recur;
use anyhow::{Context, Result, anyhow};
use std::path::Path;
use std::str::FromStr;
use tidegate_backtest::evaluate::trace::{Trace, fill};
use tidegate_backtest::shape::case::{Known, Load};
use tidegate_core::catalog::Catalog;
use tidegate_core::event::Span;
use tidegate_core::ids::ApiId;
use tidegate_core::ports::storage::{CatalogStore, History as _};
use tidegate_core::tier::Tier;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Signal;

/// What part of the past: the last so many seconds, or from one instant to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli::backtest) enum Range {
    Last(i64),
    Between(Timestamp, Timestamp),
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no range; write for example 14d, 4w, or 2026-11-01T00:00:00Z..2026-11-15T00:00:00Z"
            )
        };
        let instant = |text: &str| {
            let at: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
            Ok::<_, String>(Timestamp(at.as_millisecond()))
        };
        if let Some((from, to)) = text.split_once("..") {
            let (from, to) = (instant(from)?, instant(to)?);
            return if from < to {
                Ok(Self::Between(from, to))
            } else {
                Err(wrong())
            };
        }
        let (number, factor) = text
            .strip_suffix('d')
            .map(|number| (number, 1))
            .or_else(|| text.strip_suffix('w').map(|number| (number, 7)))
            .ok_or_else(wrong)?;
        let days = factor * i64::from(number.parse::<u16>().map_err(|_| wrong())?);
        if days > 0 {
            Ok(Self::Last(days * 86_400))
        } else {
            Err(wrong())
        }
    }
}

/// Reads requests of all apis; their tiers are those of the catalog.
pub(super) fn read(dir: &Path, range: Range) -> Result<Vec<Load>> {
    let store = store(dir)?;
    let catalog = CatalogStore::load(&*store).context("cannot read the stored catalog")?;
    let mut loads = vec![];
    for key in store
        .series()
        .into_iter()
        .filter(|k| k.signal == Signal::Requests)
    {
        let Some(newest) = store.newest(&key) else {
            continue;
        };
        let (from, to) = match range {
            Range::Last(seconds) => (newest.plus_ms(-seconds * 1000), newest),
            Range::Between(from, to) => (from, to.min(newest)),
        };
        let (from, to) = (from.floor(Step::MINUTE), to.floor(Step::MINUTE));
        let count = usize::try_from(to.since_ms(from) / Step::MINUTE.ms()).unwrap_or(0);
        let grid = Grid {
            start: from,
            step: Step::MINUTE,
            count,
        };
        let column = store
            .column(&key, grid)
            .with_context(|| format!("cannot read the requests of {}", key.api))?
            .trimmed();
        let mut values = column.values;
        let missing = values.iter().filter(|v| v.is_nan()).count();
        if missing == values.len() {
            continue;
        }
        fill(&mut values, 1440);
        let events = known(&catalog, &key.api, (from, to))?;
        loads.push(Load {
            trace: Trace {
                name: key.api.to_string(),
                start: column.start,
                step: Step::MINUTE,
                values,
                missing,
            },
            tier: catalog
                .apis
                .get(&key.api)
                .map_or(Tier::Bronze, |a| a.value.base_tier),
            replica: None,
            events,
        });
    }
    if loads.is_empty() {
        return Err(anyhow!(
            "the store in {} holds no requests in that range; `tidegate status` tells what a daemon was fed",
            dir.display()
        ));
    }
    Ok(loads)
}

/// The events that touch an api and happen in a part of the past.
fn known(catalog: &Catalog, api: &ApiId, (from, to): Span) -> Result<Vec<Known>> {
    let events = catalog.events.values().map(|e| &e.value);
    let mut all = vec![];
    for event in events.filter(|e| e.touches(api)) {
        let spans: Vec<Span> = match event.recurrence {
            None => catalog.occurrences(event, from, to).collect(),
            Some(_) => recur::expand(event, (from, to)).map_err(|(field, problem)| {
                anyhow!(
                    "event {}: {field}: {problem}; change it, or read a shorter --from-store",
                    event.id
                )
            })?,
        };
        if !spans.is_empty() {
            all.push(Known {
                kind: event.kind.clone(),
                minimum_uplift: event.minimum_uplift,
                spans,
            });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_of_the_calendar_is_expanded_over_the_past_that_is_read() {
        use tidegate_core::event::{Event, Recurrence};
        let instant = |text: &str| {
            let at: jiff::Timestamp = text.parse().unwrap();
            Timestamp(at.as_millisecond())
        };
        let monday = Event {
            apis: vec!["shop/pay".parse().unwrap()],
            minimum_uplift: Some(3.0),
            recurrence: Some(Recurrence {
                rule: "FREQ=WEEKLY;BYDAY=MO".into(),
                time_zone: "Europe/Berlin".into(),
                ..Recurrence::default()
            }),
            ..Event::once(
                "shop/batch".parse().unwrap(),
                "batch",
                instant("2020-01-06T08:00:00Z"),
                3600,
            )
        };
        let mut catalog = Catalog::default();
        let object = tidegate_core::catalog::Object::Event(monday);
        catalog.insert(object, tidegate_core::ids::Generation(1));
        // Around the change to summer time: nine o'clock in Berlin moves by an hour in UTC.
        let range = (
            instant("2021-03-20T00:00:00Z"),
            instant("2021-04-03T00:00:00Z"),
        );
        let of = |api: &str| known(&catalog, &api.parse().unwrap(), range).unwrap();
        let found = of("shop/pay");
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].kind.as_str(), found[0].minimum_uplift),
            ("batch", Some(3.0))
        );
        assert_eq!(
            found[0].spans,
            [
                (
                    instant("2021-03-22T08:00:00Z"),
                    instant("2021-03-22T09:00:00Z")
                ),
                (
                    instant("2021-03-29T07:00:00Z"),
                    instant("2021-03-29T08:00:00Z")
                ),
            ]
        );
        assert!(of("shop/other").is_empty() && of("bank/pay").is_empty());
    }

    #[test]
    fn a_range_is_a_number_of_days_or_two_instants() {
        assert_eq!("2w".parse(), Ok(Range::Last(14 * 86_400)));
        assert_eq!(
            "1970-01-01T00:00:00Z..1970-01-02T00:00:00Z".parse(),
            Ok(Range::Between(Timestamp(0), Timestamp(86_400_000)))
        );
        for wrong in [
            "",
            "d",
            "0d",
            "2h",
            "soon",
            "1970-01-02T00:00:00Z..1970-01-01T00:00:00Z",
            "é",
        ] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }
}
