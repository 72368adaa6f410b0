//! The files of the M4 competition: one line a series, `id,v1,v2,…`, what is known and what came.
//!
//! The published files have quotes, a header `V1,V2,…` and empty cells up to the longest series;
//! those that are passed around have none of it. Both are read. A series of one file that the other
//! lacks is a mistake: figures over half of the series would look like figures over all.

use super::{ReadError, bare, number, quoted};
use crate::evaluate::trace::Trace;
use std::collections::BTreeMap;
use tidegate_core::time::{Step, Timestamp};

/// A series and what followed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// What a forecaster may see.
    pub train: Trace,
    /// The steps after it.
    pub actual: Vec<f64>,
}

struct Row<'a> {
    line: usize,
    id: &'a str,
    values: Vec<f64>,
}

/// Reads a pair of files, each as its name and its text.
///
/// # Errors
/// For rubbish, and for series that stand in one file alone, with file, line and remedy.
pub fn m4(train: (&str, &str), test: (&str, &str), step: Step) -> Result<Vec<Pair>, ReadError> {
    let mut answers: BTreeMap<&str, Row<'_>> = BTreeMap::new();
    for row in rows(test)? {
        let (line, id) = (row.line, row.id);
        if answers.insert(id, row).is_some() {
            let what = format!("the series {} stands here twice; keep one", quoted(id));
            return Err(ReadError::new(test.0, line, what));
        }
    }
    let mut pairs: Vec<Pair> = vec![];
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows(train)? {
        if let Some(first) = seen.insert(row.id, row.line) {
            let what = format!(
                "{} stands on line {first} already; keep one",
                quoted(row.id)
            );
            return Err(ReadError::new(train.0, row.line, what));
        }
        let Some(answer) = answers.remove(row.id) else {
            let what = format!(
                "the series {} has no line in {}; give the two files of one set",
                quoted(row.id),
                test.0
            );
            return Err(ReadError::new(train.0, row.line, what));
        };
        let missing = row.values.iter().filter(|v| v.is_nan()).count();
        pairs.push(Pair {
            train: Trace {
                name: row.id.to_owned(),
                start: Timestamp(0),
                step,
                values: row.values,
                missing,
            },
            actual: answer.values,
        });
    }
    if let Some((id, row)) = answers.first_key_value() {
        let what = format!(
            "the series {} has no line in {}; give the two files of one set",
            quoted(id),
            train.0
        );
        return Err(ReadError::new(test.0, row.line, what));
    }
    Ok(pairs)
}

fn rows<'a>((file, text): (&str, &'a str)) -> Result<Vec<Row<'a>>, ReadError> {
    let mut rows = vec![];
    for (at, line) in text.lines().enumerate() {
        let line_number = at + 1;
        if line.trim().is_empty() {
            continue;
        }
        let mut cells = line.split(',').map(bare);
        let id = cells.next().unwrap_or_default();
        let mut cells: Vec<&str> = cells.collect();
        while cells.last().is_some_and(|c| c.is_empty()) {
            cells.pop();
        }
        let is_header = at == 0 && !cells.is_empty() && cells.iter().all(|c| number(c).is_none());
        if is_header {
            continue;
        }
        if id.is_empty() || cells.is_empty() {
            let what = "no series stands here; each line is `id,v1,v2,...`, as in the M4 files \
                        (for `timestamp,value` files use --csv)";
            return Err(ReadError::new(file, line_number, what));
        }
        let mut values = Vec::with_capacity(cells.len());
        for (n, cell) in cells.iter().enumerate() {
            values.push(number(cell).ok_or_else(|| {
                let what = format!(
                    "cell {} of series {} is {}, not a finite number; write numbers, and leave a \
                     cell empty where nothing was measured",
                    n + 2,
                    quoted(id),
                    quoted(cell)
                );
                ReadError::new(file, line_number, what)
            })?);
        }
        rows.push(Row {
            line: line_number,
            id,
            values,
        });
    }
    if rows.is_empty() {
        let what = "there is no series in it; each line is `id,v1,v2,...`";
        return Err(ReadError::new(file, 0, what));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(train: &str, test: &str) -> Result<Vec<Pair>, String> {
        let hour = Step::from_secs(3600).unwrap();
        m4(("train.csv", train), ("test.csv", test), hour).map_err(|e| e.to_string())
    }

    #[track_caller]
    fn refused(train: &str, test: &str, said: &str) {
        let error = read(train, test).expect_err("it should be refused");
        assert!(error.contains(said), "{error}");
    }

    #[test]
    fn the_published_form_and_the_bare_one_read_alike() {
        let bare = read("H1,1,2,3\nH2,4,5\n", "H2,6\nH1,7\n").unwrap();
        let published = read(
            "\"V1\",\"V2\",\"V3\",\"V4\"\n\"H1\",1,2,3\n\"H2\",4,5,\n",
            "\"V1\",\"V2\"\n\"H1\",7\n\"H2\",6\n",
        );
        assert_eq!(published.unwrap(), bare);
        assert_eq!(bare[1].train.values, [4.0, 5.0]);
        assert_eq!(bare[1].actual, [6.0]);
    }

    #[test]
    fn rubbish_is_refused_with_its_line() {
        refused(
            "H1,1,two,3\n",
            "H1,1\n",
            "train.csv:1: cell 3 of series `H1` is `two`",
        );
        refused(
            "H1,1\nH1,2\n",
            "H1,1\n",
            "train.csv:2: `H1` stands on line 1",
        );
        refused(
            "H1,1\n",
            "H2,1\n",
            "train.csv:1: the series `H1` has no line in test.csv",
        );
        refused(
            "H1,1\n",
            "H1,1\n\nH9,1\n",
            "test.csv:3: the series `H9` has no line",
        );
        refused("H1,1,inf\n", "H1,1\n", "not a finite number");
        refused("", "H1,1\n", "train.csv: there is no series in it");
        refused(
            "\u{1b}]0;x\n",
            "H1,1\n",
            "train.csv:1: no series stands here",
        );
    }
}
