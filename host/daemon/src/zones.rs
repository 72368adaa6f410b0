//! Looks up the offsets of the time zones in use, once per change of the catalog.
//!
//! The rooms are pure and know no database of zones; they get each zone as a table of offsets, from
//! the epoch to the end of the century. `jiff` carries the IANA database within, so the answer does
//! not depend on what the machine has installed.

use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::catalog::Catalog;
use tidegate_core::time::Timestamp;
use tidegate_core::zone::{Zone, Zones};

/// The last second that a table covers: 2100-01-01. Behind it the last offset holds.
const END_S: i64 = 4_102_444_800;

/// Whether there is a zone of that name.
pub(crate) fn is_known(name: &str) -> bool {
    TimeZone::get(name).is_ok()
}

/// The zones that a catalog's apis name. A name that nobody knows is left out, and so is UTC.
pub(crate) fn zones(catalog: &Catalog) -> Zones {
    let names: BTreeSet<&str> = catalog
        .apis
        .values()
        .map(|a| a.value.time_zone.as_str())
        .collect();
    let tables: BTreeMap<String, Zone> = names
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), table(&TimeZone::get(name).ok()?))))
        .collect();
    Zones::new(tables)
}

fn table(zone: &TimeZone) -> Zone {
    let start = jiff::Timestamp::UNIX_EPOCH;
    let first = (Timestamp(0), zone.to_offset(start).seconds());
    let later = zone
        .following(start)
        .map(|change| (change.timestamp().as_second(), change.offset().seconds()))
        .take_while(|(second, _)| *second < END_S)
        .map(|(second, offset)| (Timestamp::from_secs(second), offset));
    Zone::new(std::iter::once(first).chain(later).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_at_every_quarter_of_an_hour_is_what_the_database_says() {
        for name in [
            "Europe/Berlin",
            "America/New_York",
            "Asia/Kolkata",
            "Australia/Lord_Howe",
            "America/Sao_Paulo",
            "Africa/Casablanca",
            "UTC",
        ] {
            let zone = TimeZone::get(name).unwrap();
            let ours = table(&zone);
            // Two years around now, where daylight saving begins and ends.
            for quarter in 0..2 * 366 * 96_i64 {
                let second = 1_735_689_600 + quarter * 900;
                let civil = zone.to_datetime(jiff::Timestamp::from_second(second).unwrap());
                let local = ours.local(Timestamp::from_secs(second));
                let minute = f64::from(civil.hour()) * 60.0 + f64::from(civil.minute());
                assert!(
                    (local.minute_of_day() - minute).abs() < 1e-9,
                    "{name} {civil}"
                );
                let day = civil.weekday().to_monday_zero_offset();
                assert_eq!(
                    i16::from(local.day_of_week()),
                    i16::from(day),
                    "{name} {civil}"
                );
            }
        }
    }
}
