//! Traces out of a stopped daemon's store: the requests of every api that it knows.

use crate::cli::evaluate::input::store;
use anyhow::{Context, Result, anyhow};
use std::path::Path;
use std::str::FromStr;
use tidegate_backtest::evaluate::trace::{Trace, fill};
use tidegate_backtest::shape::case::Load;
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

#[cfg(test)]
mod tests {
    use super::*;

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
