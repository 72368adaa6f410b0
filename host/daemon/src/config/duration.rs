//! Durations as people write them: `90`, `90s`, `15m`, `6h`, `14d`, `2y` (of 365 days).

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::fmt;
use std::str::FromStr;

/// Whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seconds(pub(crate) u32);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a duration; write for example 90s, 15m, 6h or 14d");
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u32 = number.parse().map_err(|_| bad())?;
        let factor = match unit.trim() {
            "" | "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            "d" => 86_400,
            "y" => 31_536_000,
            _ => return Err(bad()),
        };
        number
            .checked_mul(factor)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is longer than 136 years"))
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            s if s > 0 && s.is_multiple_of(86_400) => write!(f, "{}d", s / 86_400),
            s if s > 0 && s.is_multiple_of(3600) => write!(f, "{}h", s / 3600),
            s if s > 0 && s.is_multiple_of(60) => write!(f, "{}m", s / 60),
            s => write!(f, "{s}s"),
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Seconds;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 90s, 15m, 6h or 14d")
            }
            fn visit_u64<E: Error>(self, seconds: u64) -> Result<Seconds, E> {
                u32::try_from(seconds)
                    .map(Seconds)
                    .map_err(|_| E::custom(format!("{seconds} s is too long")))
            }
            fn visit_i64<E: Error>(self, seconds: i64) -> Result<Seconds, E> {
                u32::try_from(seconds)
                    .map(Seconds)
                    .map_err(|_| E::custom(format!("{seconds} s is not a duration")))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Seconds, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(V)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_reads_as_it_is_written() {
        for (text, seconds) in [
            ("90", 90),
            ("90s", 90),
            ("15m", 900),
            ("6h", 21_600),
            ("14d", 1_209_600),
            ("2y", 63_072_000),
        ] {
            let parsed: Seconds = text.parse().unwrap();
            assert_eq!(parsed, Seconds(seconds));
            assert_eq!(parsed.to_string().parse::<Seconds>().unwrap(), parsed);
        }
        for bad in ["", "h", "1w", "-5s", "99999999999", "1.5h"] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad}");
        }
    }
}
