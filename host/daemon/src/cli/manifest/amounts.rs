//! Amounts as people write them: `32Gi`, `500m`, `200ms`, `99.9%`, `2026-11-27T09:00:00Z`.

use crate::cli::words::{epoch_ms, parse_instant};
use jiff::civil::{Date, DateTime};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::fmt;
use std::str::FromStr;

/// A plain number with an optional suffix, >= 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quantity(pub(crate) f64);
/// Seconds, of a latency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Latency(pub(crate) f64);
/// A part, above 0 and below 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Objective(pub(crate) f64);
/// A part of a whole, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share(pub(crate) f64);
/// When: an instant, or a time on the clock of a zone that is told elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instant {
    /// Milliseconds since the epoch.
    At(i64),
    /// A local time.
    Local(DateTime),
    /// A day.
    Day(Date),
}

/// Number and suffix.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    Some((number, text[digits..].trim()))
}

impl FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not an amount; write for example 16, 500m, 2.5k or 32Gi");
        let (number, suffix) = split(text).ok_or_else(bad)?;
        let factor = match suffix {
            "" => 1.0,
            "m" => 0.001,
            "k" | "K" => 1e3,
            "M" => 1e6,
            "G" => 1e9,
            "T" => 1e12,
            "Ki" => 1024.0,
            "Mi" => 1024.0 * 1024.0,
            "Gi" => 1024.0 * 1024.0 * 1024.0,
            "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
            _ => return Err(bad()),
        };
        Ok(Self(number * factor))
    }
}

impl FromStr for Latency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a latency; write for example 200ms or 1.5s");
        let (number, unit) = split(text).ok_or_else(bad)?;
        let per_second = match unit {
            "us" | "µs" => 1e6,
            "ms" => 1e3,
            "s" | "" => 1.0,
            _ => return Err(bad()),
        };
        // A division gives 0.2 for 200 ms; a multiplication by 0.001 would not quite.
        Ok(Self(number / per_second))
    }
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not an objective; write for example 0.999 or 99.9%");
        match split(text).ok_or_else(bad)? {
            (number, "") => Ok(Self(number)),
            (number, "%") => Ok(Self(number / 100.0)),
            _ => Err(bad()),
        }
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a part; write for example 0.3 or 30%");
        match split(text).ok_or_else(bad)? {
            (number, "") => Self::of_number(number),
            (number, "%") if number <= 100.0 => Ok(Self(number / 100.0)),
            _ => Err(bad()),
        }
    }
}

impl FromStr for Instant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(day) = Date::strptime("%Y-%m-%d", text) {
            return Ok(Self::Day(day));
        }
        match parse_instant(text) {
            Ok(ms) => Ok(Self::At(ms)),
            Err(problem) => text.parse().map(Self::Local).map_err(|_| problem),
        }
    }
}

/// From a number or from a text, and nothing else.
trait Scalar: FromStr<Err = String> {
    const EXPECTED: &'static str;
    fn of_number(number: f64) -> Result<Self, String>;
}

fn not_negative(number: f64) -> Result<f64, String> {
    if number >= 0.0 && number.is_finite() {
        Ok(number)
    } else {
        Err(format!("{number} is below 0 or no number"))
    }
}

impl Scalar for Quantity {
    const EXPECTED: &'static str = "an amount such as 16, 500m, 2.5k or 32Gi";
    fn of_number(number: f64) -> Result<Self, String> {
        not_negative(number).map(Self)
    }
}

impl Scalar for Latency {
    const EXPECTED: &'static str = "a latency such as 200ms or 1.5s";
    fn of_number(number: f64) -> Result<Self, String> {
        not_negative(number).map(Self)
    }
}

impl Scalar for Objective {
    const EXPECTED: &'static str = "an objective such as 0.999 or 99.9%";
    fn of_number(number: f64) -> Result<Self, String> {
        match number {
            n if n > 0.0 && n < 1.0 => Ok(Self(n)),
            n if n > 1.0 && n < 100.0 => Err(format!(
                "{n} is not a part; write {n}% or {}",
                (n * 1e6).round() / 1e8
            )),
            n => Err(format!(
                "{n} is not above 0 and below 1; write for example 0.999 or 99.9%"
            )),
        }
    }
}

impl Scalar for Share {
    const EXPECTED: &'static str = "a part such as 0.3 or 30%";
    fn of_number(number: f64) -> Result<Self, String> {
        match number {
            n if (0.0..=1.0).contains(&n) => Ok(Self(n)),
            n if n > 1.0 && n <= 100.0 => {
                Err(format!("{n} is not a part; write {n}% or {}", n / 100.0))
            }
            n => Err(format!(
                "{n} is not a part from 0 to 1; write for example 0.3 or 30%"
            )),
        }
    }
}

impl Scalar for Instant {
    const EXPECTED: &'static str =
        "an instant such as 2026-11-27T09:00:00Z, or seconds since the epoch";
    fn of_number(number: f64) -> Result<Self, String> {
        Ok(Self::At(epoch_ms(number as i64)))
    }
}

struct ScalarVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Scalar> Visitor<'de> for ScalarVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::of_number(number as f64).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        T::of_number(number as f64).map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        T::of_number(number).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    /// `latency: {threshold: 200ms}`, the protocol's own form.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut value = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "threshold" {
                return Err(A::Error::unknown_field(&key, &["threshold"]));
            }
            let text: ScalarText = map.next_value()?;
            value = Some(text.0.parse().map_err(A::Error::custom)?);
        }
        value.ok_or_else(|| A::Error::missing_field("threshold"))
    }
}

/// A scalar as text, whatever YAML takes it for.
struct ScalarText(String);

impl<'de> Deserialize<'de> for ScalarText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

macro_rules! scalar {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(ScalarVisitor(std::marker::PhantomData))
            }
        }
    )*};
}
scalar!(Quantity, Latency, Objective, Share, Instant);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_reads_as_it_is_written() {
        let read = |text: &str| text.parse::<Quantity>().map(|q| q.0);
        assert_eq!(read("32Gi"), Ok(34_359_738_368.0));
        assert_eq!(read("500m"), Ok(0.5));
        assert_eq!(read("2.5k"), Ok(2500.0));
        assert_eq!(read("16"), Ok(16.0));
        for bad in ["", "Gi", "16 cores", "-1", "1.2.3", "inf"] {
            assert!(read(bad).unwrap_err().contains("32Gi"), "{bad}");
        }
    }

    #[test]
    fn a_time_is_an_instant_a_day_or_on_the_wall() {
        let read = |text: &str| text.parse::<Instant>();
        assert_eq!(
            read("2026-11-27T09:00:00+01:00"),
            Ok(Instant::At(1_795_766_400_000))
        );
        assert_eq!(read("1795766400"), Ok(Instant::At(1_795_766_400_000)));
        let day = jiff::civil::date(2026, 11, 27);
        assert_eq!(
            read("2026-11-27T09:00"),
            Ok(Instant::Local(day.at(9, 0, 0, 0)))
        );
        assert_eq!(
            read("2026-11-27 09:00:30"),
            Ok(Instant::Local(day.at(9, 0, 30, 0)))
        );
        assert_eq!(read("2026-11-27"), Ok(Instant::Day(day)));
        for bad in ["", "tomorrow", "2026-02-30", "2026-11-27T25:00"] {
            assert!(
                read(bad).unwrap_err().contains("2026-11-27T09:00:00Z"),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_part_is_a_number_up_to_one_or_a_percentage() {
        let read = |text: &str| text.parse::<Share>().map(|s| s.0);
        assert_eq!(
            (read("0.3"), read("30%"), read("0")),
            (Ok(0.3), Ok(0.3), Ok(0.0))
        );
        for (bad, remedy) in [
            ("30", "write 30% or 0.3"),
            ("130%", "30%"),
            ("a third", "30%"),
        ] {
            assert!(read(bad).unwrap_err().contains(remedy), "{bad}");
        }
    }

    #[test]
    fn a_latency_and_an_objective_read_as_they_are_written() {
        let latency = |text: &str| text.parse::<Latency>().map(|q| q.0);
        assert_eq!(latency("200ms"), Ok(0.2));
        assert_eq!(latency("1.5s"), Ok(1.5));
        assert!(latency("2h").is_err());
        let objective = |text: &str| text.parse::<Objective>().map(|q| q.0);
        assert_eq!(objective("99.5%"), Ok(0.995));
        assert!(objective("three nines").is_err());
    }
}
