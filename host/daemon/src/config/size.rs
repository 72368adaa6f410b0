//! Sizes as people write them: `500MB`, `50GB`, `64MiB`.

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::fmt;
use std::str::FromStr;

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a size; write for example 500MB, 50GB or 64MiB");
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let unit = UNITS.iter().find(|(name, _)| *name == unit.trim());
        let (_, factor) = unit.ok_or_else(bad)?;
        let bytes = number.checked_mul(*factor);
        bytes
            .map(Self)
            .ok_or_else(|| format!("`{text}` is more than any disk holds"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, factor): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*factor);
        match UNITS.iter().filter(whole).max_by_key(|(_, factor)| *factor) {
            Some((name, factor)) => write!(f, "{}{name}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size with its unit, such as 500MB, 50GB or 64MiB")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
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
    fn a_size_reads_as_it_is_written() {
        for (text, bytes) in [
            ("50GB", 50_000_000_000),
            ("64MiB", 67_108_864),
            ("7 KB", 7_000),
            ("12B", 12),
        ] {
            let parsed: Size = text.parse().unwrap();
            assert_eq!(parsed, Size(bytes));
            assert_eq!(parsed.to_string().parse::<Size>().unwrap(), parsed);
        }
        for bad in ["", "GB", "50", "5gb", "-1GB", "1.5GB", "99999999999TB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
