//! Files `timestamp,value`: seconds since 1970 and what was measured, averaged onto a grid.
//!
//! Rows may come in any order and at any distance; a step's value is the mean of its rows, and a
//! step without one is a gap. The grid begins at a multiple of the step, as the daemon's does, so
//! that a file at odd seconds falls into the same steps here and there.

use super::{ReadError, bare, number, quoted};
use crate::evaluate::trace::{Gaps, Trace, fill};
use std::collections::BTreeMap;
use tidegate_core::time::{Step, Timestamp};

/// Most steps that one file may span: at 10 s more than three years. One wrong timestamp would
/// else take all memory.
const MOST_STEPS: i64 = 10_000_000;

/// How a file is read.
#[derive(Debug, Clone, Copy)]
pub struct CsvOptions<'a> {
    /// Length of a step.
    pub step: Step,
    /// Rows at or after this second are left out.
    pub until: Option<i64>,
    /// What becomes of steps without a row.
    pub gaps: Gaps,
    /// The column to read; `None` where the file has exactly one beside `timestamp`.
    pub column: Option<&'a str>,
}

/// Reads the text of a file; `series` is the name that the trace gets.
///
/// # Errors
/// For rubbish, with file, line and remedy.
pub fn csv(
    file: &str,
    series: &str,
    text: &str,
    options: &CsvOptions<'_>,
) -> Result<Trace, ReadError> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let header = lines.next().map_or("", |(_, line)| line);
    let place = column(file, header, options.column)?;
    let step = i64::from(options.step.secs());
    let mut bins: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    let mut reference: Option<(i64, usize)> = None;
    let mut seconds = vec![];
    for (line, row) in lines.filter(|(_, row)| !row.trim().is_empty()) {
        let wrong = |what: String| ReadError::new(file, line, what);
        let cells: Vec<&str> = row.split(',').map(bare).collect();
        let (Some(stamp), Some(cell)) = (cells.first(), cells.get(place)) else {
            return Err(wrong(format!(
                "{} cell(s), {} are needed; each row is `timestamp,value`",
                cells.len(),
                place + 1
            )));
        };
        let second = second(stamp).map_err(wrong)?;
        let value = number(cell).ok_or_else(|| {
            wrong(format!(
                "the value is {}, not a finite number; leave the cell empty where nothing was measured",
                quoted(cell)
            ))
        })?;
        seconds.push(second);
        if value.is_nan() || options.until.is_some_and(|until| second >= until) {
            continue;
        }
        let bin = second.div_euclid(step);
        let (near, at) = *reference.get_or_insert((bin, line));
        if (bin - near).abs() > MOST_STEPS {
            return Err(wrong(format!(
                "timestamp {} lies more than {MOST_STEPS} steps of {step} s from that on line {at}; \
                 is one of them wrong, or the --step too short?",
                quoted(stamp)
            )));
        }
        let sum = bins.entry(bin).or_insert((0.0, 0.0));
        *sum = (sum.0 + value, sum.1 + 1.0);
    }
    let (Some(&first), Some(&last)) = (bins.keys().next(), bins.keys().next_back()) else {
        let what = match options.until {
            Some(until) => format!("no row has a value before {until} (--until)"),
            None => "no row has a value; each row is `timestamp,value`".into(),
        };
        return Err(ReadError::new(file, 0, what));
    };
    if let Some(apart) = apart(seconds).filter(|apart| *apart > step) {
        return Err(ReadError::new(
            file,
            0,
            format!(
                "its rows are at least {apart} s apart, so most steps of {step} s would be invented; \
                 give a --step of {apart} s or more"
            ),
        ));
    }
    let value = |bin| bins.get(&bin).map_or(f64::NAN, |(sum, n)| sum / n);
    let mut values: Vec<f64> = (first..=last).map(value).collect();
    let missing = values.len() - bins.len();
    if options.gaps == Gaps::Fill {
        let day = 86_400 / options.step.secs();
        fill(&mut values, day as usize);
    }
    Ok(Trace {
        name: series.to_owned(),
        start: Timestamp::from_secs(first * step),
        step: options.step,
        values,
        missing,
    })
}

/// The least distance between two rows, in seconds.
fn apart(mut seconds: Vec<i64>) -> Option<i64> {
    seconds.sort_unstable();
    seconds.dedup();
    seconds.windows(2).map(|pair| pair[1] - pair[0]).min()
}

/// Where the column of values stands.
fn column(file: &str, header: &str, wanted: Option<&str>) -> Result<usize, ReadError> {
    let names: Vec<&str> = header
        .trim_start_matches('\u{feff}')
        .split(',')
        .map(bare)
        .collect();
    let wrong = |what: String| Err(ReadError::new(file, 1, what));
    if names[0] != "timestamp" {
        return wrong(format!(
            "the header begins with {}, not with `timestamp`; the first line must be \
             `timestamp,value` (for M4 files use --m4)",
            quoted(names[0])
        ));
    }
    match wanted {
        Some(name) => match names.iter().skip(1).position(|n| *n == name) {
            Some(at) => Ok(at + 1),
            None => wrong(format!(
                "there is no column {}; it has {}",
                quoted(name),
                names[1..].join(", ")
            )),
        },
        None if names.len() == 2 => Ok(1),
        None if names.len() < 2 => {
            wrong("there is no column beside `timestamp`; the header is `timestamp,value`".into())
        }
        None => wrong(format!(
            "there are {} columns beside `timestamp` ({}); name one with --column",
            names.len() - 1,
            names[1..].join(", ")
        )),
    }
}

/// A timestamp in whole seconds since 1970; fractions are cut.
fn second(cell: &str) -> Result<i64, String> {
    let seconds: f64 = cell.parse().map_err(|_| {
        format!(
            "the timestamp is {}, not a number; write seconds since 1970-01-01 UTC",
            quoted(cell)
        )
    })?;
    if seconds.is_nan() || seconds.abs() >= 1e11 {
        return Err(format!(
            "timestamp {} is no second between the years 0 and 5000; write seconds since 1970, not \
             milliseconds",
            quoted(cell)
        ));
    }
    Ok(seconds.floor() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: CsvOptions<'_> = CsvOptions {
        step: Step::MINUTE,
        until: None,
        gaps: Gaps::Keep,
        column: None,
    };

    fn read(text: &str, options: &CsvOptions<'_>) -> Result<Trace, String> {
        csv("dir/a.csv", "a", text, options).map_err(|e| e.to_string())
    }

    #[track_caller]
    fn refused(text: &str, said: &str) {
        let error = read(text, &MINUTE).expect_err("it should be refused");
        assert!(error.contains(said), "{error}");
    }

    #[test]
    fn rows_are_averaged_into_steps_and_gaps_stay_gaps() {
        let text = "timestamp,value\n130,4\n65,1\n119.5,3\n250,7\n";
        let trace = read(text, &MINUTE).unwrap();
        assert_eq!(trace.start, Timestamp(60_000));
        assert_eq!(trace.values[..2], [2.0, 4.0]);
        assert!(trace.values[2].is_nan());
        assert_eq!((trace.values[3], trace.missing), (7.0, 1));
        let filled = CsvOptions {
            gaps: Gaps::Fill,
            ..MINUTE
        };
        assert_eq!(read(text, &filled).unwrap().values, [2.0, 4.0, 5.5, 7.0]);
    }

    #[test]
    fn a_step_finer_than_the_rows_is_refused_with_one_that_fits() {
        let text = "timestamp,value\n0,1\n300,2\n900,3\n";
        refused(text, "give a --step of 300 s or more");
        let fits = CsvOptions {
            step: Step::from_secs(300).unwrap(),
            ..MINUTE
        };
        assert_eq!(read(text, &fits).unwrap().values.len(), 4);
    }

    #[test]
    fn until_cuts_and_a_column_can_be_named() {
        let text = "timestamp,cpu,net\n0,1,5\n60,2,\n120,3,7\n";
        let cut = CsvOptions {
            until: Some(120),
            column: Some("cpu"),
            ..MINUTE
        };
        assert_eq!(read(text, &cut).unwrap().values, [1.0, 2.0]);
        let net = CsvOptions {
            column: Some("net"),
            ..MINUTE
        };
        assert_eq!(read(text, &net).unwrap().missing, 1);
        refused(
            text,
            "2 columns beside `timestamp` (cpu, net); name one with --column",
        );
    }

    #[test]
    fn rubbish_is_refused_with_its_line_and_a_remedy() {
        refused("", "a.csv:1: the header begins with ``");
        refused("H1,1,2\n", "the header begins with `H1`");
        refused("timestamp\n1\n", "no column beside");
        refused("timestamp,value\n", "a.csv: no row has a value");
        refused("timestamp,value\n1\n", "a.csv:2: 1 cell(s), 2 are needed");
        refused("timestamp,value\n1,x\n", "a.csv:2: the value is `x`");
        refused("timestamp,value\n1,inf\n", "not a finite number");
        refused(
            "timestamp,value\n2026-01-01,1\n",
            "write seconds since 1970",
        );
        refused("timestamp,value\n1700000000000,1\n", "not milliseconds");
        refused(
            "timestamp,value\n0,1\n1700000000,1\n",
            "a.csv:3: timestamp `1700000000` lies more than",
        );
    }
}
