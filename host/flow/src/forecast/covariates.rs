//! What is known beside a series: the calendar and declared events, on the rows of a frame.
//!
//! Habits follow the clock on the wall, so the calendar is told in the api's own time zone: where
//! daylight saving begins, `minute-of-day` jumps with it, and a model that learns from it keeps its
//! morning peak. Events stand in one column per kind, since an uplift is learned per kind: the part
//! of the step during which at least one event of the kind runs. Two that overlap count once: two
//! entries of a calendar mostly say the same happening twice, and what really adds up is declared as
//! two kinds. The part of a step, and not a look at its start, because a quarter of an hour at 10:30
//! would never be seen by hourly steps. All of it is known for the future as well as for the past.

use tidegate_core::catalog::Catalog;
use tidegate_core::event::{Event, Span};
use tidegate_core::ids::ApiId;
use tidegate_core::policy::Covariates;
use tidegate_core::time::Grid;
use tidegate_core::zone::Zone;

/// Minutes since local midnight at the start of the step, 0 to below 1440.
pub(super) const MINUTE_OF_DAY: &str = "minute-of-day";

/// 0 Monday to 6 Sunday, local, at the start of the step.
pub(super) const DAY_OF_WEEK: &str = "day-of-week";

/// How the name of a kind's column begins.
pub(super) const EVENT: &str = "event:";

/// The columns for the rows of `grids`, one grid per api: calendar first, then kinds of events in
/// order of name.
pub(super) fn covariates(catalog: &Catalog, apis: &[&ApiId], grids: &[Grid]) -> Covariates {
    let mut covariates = Covariates::default();
    let rows: usize = grids.iter().map(|g| g.count).sum();
    let events: Vec<Vec<&Event>> = apis.iter().map(|api| catalog.events_of(api)).collect();
    let kinds = events.iter().flatten().map(|e| e.kind.as_str());
    let kinds: std::collections::BTreeSet<&str> = kinds.collect();
    covariates.names = vec![MINUTE_OF_DAY.into(), DAY_OF_WEEK.into()];
    covariates.values.reserve(rows * (2 + kinds.len()));
    let mut weekdays = Vec::with_capacity(rows);
    for (api, grid) in apis.iter().zip(grids) {
        let zone = zone_of(catalog, api);
        for i in 0..grid.count {
            let local = zone.local(grid.at(i));
            covariates.values.push(local.minute_of_day());
            weekdays.push(f64::from(local.day_of_week()));
        }
    }
    covariates.values.append(&mut weekdays);
    for kind in kinds {
        covariates.names.push(format!("{EVENT}{kind}"));
        for (events, grid) in events.iter().zip(grids) {
            let mine = events.iter().filter(|e| e.kind == kind);
            let mut running: Vec<Span> = mine
                .flat_map(|e| catalog.occurrences(e, grid.start, grid.end()))
                .collect();
            running.sort();
            covariates.values.extend(parts(*grid, &running));
        }
    }
    covariates
}

/// The zone in which an api's users live.
pub(super) fn zone_of<'a>(catalog: &'a Catalog, api: &ApiId) -> &'a Zone {
    let name = catalog.apis.get(api).map_or("", |a| &a.value.time_zone);
    catalog.zones.named(name)
}

/// Per step, the part that the union of the spans covers; spans sorted by their start.
fn parts(grid: Grid, spans: &[Span]) -> Vec<f64> {
    let mut covered = vec![0_i64; grid.count];
    let mut done = grid.start;
    for &(from, to) in spans {
        let (mut from, to) = (from.max(done), to.min(grid.end()));
        done = done.max(to);
        while from < to {
            let Some(i) = grid.index_of(from) else { break };
            let end = grid.at(i + 1).min(to);
            covered[i] += end.since_ms(from);
            from = end;
        }
    }
    let step = grid.step.ms() as f64;
    covered.into_iter().map(|ms| ms as f64 / step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;
    use std::collections::BTreeMap;
    use tidegate_core::catalog::Versioned;
    use tidegate_core::ids::Generation;
    use tidegate_core::time::{Step, Timestamp};
    use tidegate_core::zone::Zones;

    fn catalog(events: &[(&str, &str, i64, u32)]) -> Catalog {
        let mut catalog = Catalog::default();
        let wrap = |value| Versioned {
            generation: Generation(1),
            value,
        };
        let mut api = fake::api("shop/orders");
        api.time_zone = "East".into();
        catalog.apis.insert(
            api.id.clone(),
            Versioned {
                generation: Generation(1),
                value: api,
            },
        );
        // One hour east, two from 1970-01-02T01:00Z on.
        let changes = vec![
            (Timestamp(0), 3600),
            (Timestamp::from_secs(25 * 3600), 7200),
        ];
        catalog.zones = Zones::new(BTreeMap::from([("East".into(), Zone::new(changes))]));
        for (id, kind, start_minute, minutes) in events {
            let start = Timestamp(start_minute * 60_000);
            let event = Event::once(id.parse().unwrap(), kind, start, minutes * 60);
            catalog.events.insert(event.id.clone(), wrap(event));
        }
        catalog
    }

    fn columns(catalog: &Catalog, step: u32, count: usize) -> BTreeMap<String, Vec<f64>> {
        let grid = Grid {
            start: Timestamp(0),
            step: Step::from_secs(step).unwrap(),
            count,
        };
        let all = covariates(catalog, &[&"shop/orders".parse().unwrap()], &[grid]);
        let values = all.values.chunks(count).map(<[f64]>::to_vec);
        all.names.into_iter().zip(values).collect()
    }

    #[test]
    fn the_calendar_is_the_apis_own_and_jumps_with_its_clock() {
        let hours = columns(&catalog(&[]), 3600, 26);
        let minutes = &hours[MINUTE_OF_DAY];
        assert_eq!(minutes[..2], [60.0, 120.0]);
        // At 01:00Z the clock is put from 02:00 to 03:00.
        assert_eq!(minutes[23..], [0.0, 60.0, 180.0]);
        assert_eq!(hours[DAY_OF_WEEK][22..24], [3.0, 4.0]);
    }

    #[test]
    fn overlapping_events_of_a_kind_count_once_and_kinds_stand_apart() {
        let catalog = catalog(&[
            ("shop/a", "sale", 60, 90),
            ("shop/b", "sale", 90, 120),
            ("shop/c", "batch", 120, 15),
            ("bank/d", "holiday", 0, 999),
        ]);
        let hours = columns(&catalog, 3600, 5);
        assert_eq!(hours["event:sale"], [0.0, 1.0, 1.0, 0.5, 0.0]);
        assert_eq!(hours["event:batch"], [0.0, 0.0, 0.25, 0.0, 0.0]);
        assert_eq!(hours.len(), 4, "another tenant's events are none of ours");
    }

    #[test]
    fn at_any_step_a_column_is_the_mean_of_the_minutes_in_it() {
        let catalog = catalog(&[
            ("shop/a", "sale", 7, 100),
            ("shop/b", "sale", 50, 20),
            ("shop/c", "sale", 107, 3),
            ("shop/d", "sale", 300, 61),
        ]);
        let minutes = columns(&catalog, 60, 600)["event:sale"].clone();
        assert!(minutes.iter().all(|m| m.fract() == 0.0));
        for step in [5, 15, 60, 300] {
            let coarse = columns(&catalog, step * 60, 600 / step as usize);
            for (i, part) in coarse["event:sale"].iter().enumerate() {
                let of = &minutes[i * step as usize..(i + 1) * step as usize];
                let mean = of.iter().sum::<f64>() / f64::from(step);
                assert!((part - mean).abs() < 1e-12, "step {step}, row {i}");
            }
        }
    }
}
