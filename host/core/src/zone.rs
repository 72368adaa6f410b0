//! Time zones as tables of offsets, so that pure code can tell an api's local time.
//!
//! Core may read no time-zone database (it is files), and a formula for daylight saving would be
//! wrong somewhere every year. So whoever can read the database writes down what it says of each
//! zone in use: from which instant on which offset holds. Looking a step up is then a binary search.
//! The alternative, a port that is asked for each step, would put a foreign call into every row of
//! every frame.

use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// The offsets of one zone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Zone {
    /// From when on, and seconds east of UTC; rising in time.
    changes: Vec<(Timestamp, i32)>,
}

/// A civil time: what people's habits follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// Whole days since 1970-01-01, in local time.
    pub day: i64,
    /// Milliseconds since local midnight as clocks show it, 0 to 86,399,999.
    pub ms_of_day: i64,
}

impl Local {
    /// Minutes since local midnight, 0 to below 1440; whole at steps of whole minutes.
    #[must_use]
    pub fn minute_of_day(self) -> f64 {
        self.ms_of_day as f64 / 60_000.0
    }

    /// 0 is Monday, 6 is Sunday.
    #[must_use]
    pub fn day_of_week(self) -> u8 {
        // 1970-01-01 was a Thursday; the remainder fits.
        u8::try_from((self.day + 3).rem_euclid(7)).unwrap_or(0)
    }
}

impl Zone {
    /// A zone whose offset is always zero.
    pub const UTC: Zone = Zone {
        changes: Vec::new(),
    };

    /// A zone from its offsets: from which instant on how many seconds east of UTC. Before the first
    /// the first holds; without any, UTC. Order does not matter.
    #[must_use]
    pub fn new(mut changes: Vec<(Timestamp, i32)>) -> Self {
        changes.sort_by_key(|(from, _)| *from);
        Self { changes }
    }

    /// From which instant on how many seconds east of UTC, rising in time.
    #[must_use]
    pub fn changes(&self) -> &[(Timestamp, i32)] {
        &self.changes
    }

    /// Seconds east of UTC at an instant.
    #[must_use]
    pub fn offset_s(&self, at: Timestamp) -> i32 {
        let after = self.changes.partition_point(|(from, _)| *from <= at);
        let holds = self.changes.get(after.saturating_sub(1));
        holds.map_or(0, |(_, offset)| *offset)
    }

    /// The civil time of an instant.
    #[must_use]
    pub fn local(&self, at: Timestamp) -> Local {
        let shifted = at.plus_ms(i64::from(self.offset_s(at)) * 1000).0;
        Local {
            day: shifted.div_euclid(DAY_MS),
            ms_of_day: shifted.rem_euclid(DAY_MS),
        }
    }
}

/// The zones in use, by IANA name. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Zones(Arc<BTreeMap<String, Zone>>);

impl Zones {
    /// From a table.
    #[must_use]
    pub fn new(zones: BTreeMap<String, Zone>) -> Self {
        Self(Arc::new(zones))
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Zone)> {
        self.0.iter()
    }

    /// The zone of that name; UTC where it is not in the table.
    #[must_use]
    pub fn named(&self, name: &str) -> &Zone {
        static UTC: Zone = Zone::UTC;
        self.0.get(name).unwrap_or(&UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text_secs: i64) -> Timestamp {
        Timestamp::from_secs(text_secs)
    }

    #[test]
    fn an_offset_holds_from_its_change_on() {
        let zone = Zone::new(vec![(at(1000), 7200), (at(0), 3600)]);
        let offsets = [-5, 0, 999, 1000, 9999].map(|s| zone.offset_s(at(s)));
        assert_eq!(offsets, [3600, 3600, 3600, 7200, 7200]);
        assert_eq!(Zone::UTC.offset_s(at(5)), 0);
    }

    #[test]
    fn the_day_begins_at_local_midnight() {
        let zone = Zone::new(vec![(at(0), 3600)]);
        // 1970-01-01T23:00Z is Friday the 2nd, midnight, one hour east.
        let local = zone.local(at(23 * 3600));
        assert_eq!((local.day, local.ms_of_day, local.day_of_week()), (1, 0, 4));
        let before = zone.local(at(23 * 3600 - 60));
        assert_eq!((before.day_of_week(), before.minute_of_day()), (3, 1439.0));
    }

    #[test]
    fn an_unknown_zone_is_utc() {
        let zones = Zones::new(BTreeMap::from([("X".into(), Zone::new(vec![(at(0), 60)]))]));
        assert_eq!(zones.named("X").offset_s(at(1)), 60);
        assert_eq!(zones.named("Y"), &Zone::UTC);
    }
}
