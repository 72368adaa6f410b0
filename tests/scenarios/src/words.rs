//! The words of a command: positions, `key=value` options, instants and spans of time.
//!
//! Every word must be used: an option that a command does not know is an error, since a script
//! with a misspelt option would tell another story than its prose.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use tidegate_core::time::Timestamp;
use tidegate_harness::{DAY_ZERO, day, minutes};

/// See the module.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    positions: std::collections::VecDeque<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    pub(crate) fn of(command: &'a str) -> Self {
        let (options, positions): (Vec<&str>, Vec<&str>) = command
            .split_whitespace()
            .partition(|word| word.contains('='));
        Self {
            positions: positions.into(),
            options: options.iter().filter_map(|o| o.split_once('=')).collect(),
        }
    }

    /// The next word.
    pub(crate) fn next(&mut self, what: &str) -> Result<&'a str, String> {
        self.positions
            .pop_front()
            .ok_or_else(|| format!("{what} is missing"))
    }

    /// The next word as a value.
    pub(crate) fn value<T: FromStr>(&mut self, what: &str) -> Result<T, String>
    where
        T::Err: Display,
    {
        parse(self.next(what)?, what)
    }

    /// The next word, which must be this one.
    pub(crate) fn expect(&mut self, word: &str) -> Result<(), String> {
        match self.next(&format!("`{word}`"))? {
            found if found == word => Ok(()),
            found => Err(format!("`{word}` is due where `{found}` stands")),
        }
    }

    /// Whether the next word is this one; it is taken then.
    pub(crate) fn take(&mut self, word: &str) -> bool {
        let there = self.positions.front() == Some(&word);
        if there {
            self.positions.pop_front();
        }
        there
    }

    /// The next two words as an instant: `d2 09:30`.
    pub(crate) fn instant(&mut self) -> Result<Timestamp, String> {
        let (date, time) = (
            self.next("a day, as `d2`")?,
            self.next("a time, as `09:30`")?,
        );
        let number = date.strip_prefix('d').and_then(|n| n.parse::<i64>().ok());
        let number = number.ok_or_else(|| format!("`{date}` is no day; write it as `d2`"))?;
        Ok(day(number, 0, 0).plus_ms(time_of_day(time)? * 1000))
    }

    /// `from INSTANT until INSTANT`.
    pub(crate) fn span(&mut self) -> Result<(Timestamp, Timestamp), String> {
        self.expect("from")?;
        let from = self.instant()?;
        self.expect("until")?;
        Ok((from, self.instant()?))
    }

    /// An option's text.
    pub(crate) fn text(&mut self, name: &str) -> Option<&'a str> {
        self.options.remove(name)
    }

    /// An option's value.
    pub(crate) fn option<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String>
    where
        T::Err: Display,
    {
        self.text(name).map(|text| parse(text, name)).transpose()
    }

    /// The options whose name begins so, without that beginning.
    pub(crate) fn prefixed(&mut self, prefix: &str) -> Vec<(&'a str, &'a str)> {
        let mine = |name: &&&str| name.starts_with(prefix);
        let names: Vec<&str> = self.options.keys().filter(mine).copied().collect();
        names
            .into_iter()
            .filter_map(|name| Some((name.strip_prefix(prefix)?, self.options.remove(name)?)))
            .collect()
    }

    /// Nothing may be left.
    pub(crate) fn done(self) -> Result<(), String> {
        match (self.positions.front(), self.options.keys().next()) {
            (None, None) => Ok(()),
            (Some(word), _) | (None, Some(word)) => {
                Err(format!("`{word}` means nothing to this command"))
            }
        }
    }
}

pub(crate) fn parse<T: FromStr>(text: &str, what: &str) -> Result<T, String>
where
    T::Err: Display,
{
    text.parse().map_err(|e| format!("{what} `{text}`: {e}"))
}

/// Seconds after midnight of `09:30`.
pub(crate) fn time_of_day(text: &str) -> Result<i64, String> {
    let parsed = text
        .split_once(':')
        .and_then(|(h, m)| Some(h.parse::<i64>().ok()? * 3600 + m.parse::<i64>().ok()? * 60));
    parsed.ok_or_else(|| format!("`{text}` is no time of day; write it as `09:30`"))
}

/// Seconds of `30m`, `2h`, `7d`.
pub(crate) fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is no length of time; write it as `30m`, `2h` or `7d`");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    Ok(number * unit)
}

/// `d2 09:30`.
pub(crate) fn told(t: Timestamp) -> String {
    let minute = t.since_ms(DAY_ZERO).div_euclid(minutes(1));
    let (days, rest) = (minute.div_euclid(1440), minute.rem_euclid(1440));
    format!("d{days} {:02}:{:02}", rest / 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_told_as_it_was_read() {
        let mut words = Words::of("from d2 09:30 until d3 00:05");
        let (from, until) = words.span().unwrap();
        assert_eq!(
            (told(from), told(until)),
            ("d2 09:30".into(), "d3 00:05".into())
        );
        assert!(words.done().is_ok());
    }

    #[test]
    fn a_word_that_nobody_used_is_an_error() {
        let mut words = Words::of("edge 12 spees=3");
        assert_eq!((words.next("a"), words.value("b")), (Ok("edge"), Ok(12.0)));
        assert_eq!(
            words.done(),
            Err("`spees` means nothing to this command".into())
        );
    }
}
