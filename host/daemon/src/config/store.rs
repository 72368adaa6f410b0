//! The part of the configuration that is about samples: how long they are kept, at which resolution.
//!
//! Three ages, because what a fit looks at is the last weeks step by step, what a person looks at the last months
//! in outline. Whichever of age and size is reached first decides; neither takes what records that are kept may
//! still be replayed from. What is not written follows from `history` and `ledger.keep`, so that a longer history
//! is never cut by a default.

use super::{Config, Seconds, Size};
use serde::Deserialize;
use std::time::Duration;
use tidegate_store::Retention;

/// See the module.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StoreConfig {
    /// How long samples are kept.
    pub(crate) retention: RetentionConfig,
    /// What sealed samples may take; the oldest of the finest resolution go first. No bound where absent.
    pub(crate) size: Option<Size>,
}

/// Ages by resolution.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetentionConfig {
    /// As they came; 30 days where absent, or longer where `history` and `ledger.keep` need it.
    pub(crate) raw: Option<Seconds>,
    /// Rolled up to five minutes; 180 days where absent.
    #[serde(rename = "5m")]
    pub(crate) five_minutes: Option<Seconds>,
    /// Rolled up to an hour; two years where absent.
    #[serde(rename = "1h")]
    pub(crate) hour: Option<Seconds>,
}

const DAY_S: u32 = 86_400;
const RAW_S: u32 = 30 * DAY_S;
const FIVE_MINUTES_S: u32 = 180 * DAY_S;
const HOUR_S: u32 = 730 * DAY_S;
/// The shortest time for raw samples: a day that they may come late, and a day to be sealed.
const LEAST_S: u32 = 2 * DAY_S;
/// What a cycle looks back over whatever `history` says: a week, and the week before it.
const CYCLE_S: u32 = 14 * DAY_S;
/// The least size, in bytes.
const LEAST_BYTES: u64 = 64 << 20;

impl StoreConfig {
    /// Checks what the types cannot.
    pub(crate) fn check(&self, config: &Config) -> Result<(), String> {
        let [raw, five_minutes, hour] = self.ages(config);
        if raw.0 < LEAST_S {
            return Err(format!(
                "store.retention.raw: samples may come a day late, and {raw} would drop what they are compared with; write at least 2d"
            ));
        }
        if config.step.0 < 300 && raw < config.history {
            return Err(format!(
                "store.retention.raw: fits look back over {} (`history`) in steps of {}, which five minutes cannot answer; write at least {0}, or shorten `history`",
                config.history, config.step
            ));
        }
        if five_minutes < raw {
            return Err(format!(
                "store.retention.5m: {five_minutes} is shorter than raw samples are kept ({raw}); write at least {raw}, or shorten `raw`"
            ));
        }
        if hour < five_minutes {
            return Err(format!(
                "store.retention.1h: {hour} is shorter than five minutes are kept ({five_minutes}); write at least {five_minutes}, or shorten `5m`"
            ));
        }
        match self.size {
            Some(size) if size.0 < LEAST_BYTES => Err(format!(
                "store.size: {size} hold too few samples to learn from; write at least 64MiB"
            )),
            _ => Ok(()),
        }
    }

    /// Ages of raw samples, five minutes and hours.
    fn ages(&self, config: &Config) -> [Seconds; 3] {
        let of = &self.retention;
        let replayed = Self::reach(config).saturating_add(config.ledger.keep.0);
        let raw = of.raw.unwrap_or(Seconds(replayed.max(RAW_S)));
        let five_minutes = of.five_minutes.unwrap_or(Seconds(FIVE_MINUTES_S).max(raw));
        let hour = of.hour.unwrap_or(Seconds(HOUR_S).max(five_minutes));
        [raw, five_minutes, hour]
    }

    /// How far before a record its replay may look.
    fn reach(config: &Config) -> u32 {
        config.history.0.max(CYCLE_S).saturating_add(DAY_S)
    }

    /// What the store is asked to keep.
    pub(crate) fn retention(&self, config: &Config) -> Retention {
        let span = |of: Seconds| Duration::from_secs(u64::from(of.0));
        let [raw, five_minutes, hour] = self.ages(config).map(span);
        Retention {
            raw,
            five_minutes,
            hour,
            size: self.size.map(|size| size.0),
            records: span(config.ledger.keep),
            reach: span(Seconds(Self::reach(config))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_history_is_kept_without_being_told() {
        let days = |n: u64| Duration::from_secs(n * 86_400);
        let mut config = Config::default();
        let keep = |config: &Config| config.store.retention(config);
        assert_eq!(keep(&config).five_minutes, days(180));
        assert_eq!(keep(&config).hour, days(730));
        assert!(keep(&config).raw >= days(30) && keep(&config).size.is_none());
        config.history = Seconds(400 * 86_400);
        assert_eq!(keep(&config).raw, keep(&config).reach + days(14));
        assert_eq!(keep(&config).five_minutes, keep(&config).raw);
        assert_eq!(keep(&config).hour, days(730));
        config.store.check(&config).unwrap();
    }
}
