//! From the text of a file to series, or to a sentence that says which line is wrong and what to do.
//!
//! Reading is strict where a mistake would silently change the figures (a misspelt column, text
//! where a number belongs, milliseconds taken for seconds), and lenient where formats differ
//! harmlessly (quotes, a header, empty cells at a line's end). The files themselves are opened by
//! the caller: this crate sees text.

mod csv;
mod m4;

pub use csv::{CsvOptions, csv};
pub use m4::{Pair, m4};

use std::fmt;

/// What is wrong with a file, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// The file, as the caller named it.
    pub file: String,
    /// Counted from 1; 0 where the whole file is meant.
    pub line: usize,
    /// What is wrong; and, after a semicolon, what to do.
    pub what: String,
}

impl ReadError {
    fn new(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what),
            line => write!(f, "{}:{line}: {}", self.file, self.what),
        }
    }
}

impl std::error::Error for ReadError {}

/// A cell without the quotes and spaces around it.
fn bare(cell: &str) -> &str {
    cell.trim().trim_matches('"').trim()
}

/// At most 40 characters of a cell, for a message.
fn quoted(cell: &str) -> String {
    let short: String = cell.chars().take(40).flat_map(char::escape_debug).collect();
    format!("`{short}`")
}

/// A number, NaN where nothing was measured, or `None` for anything else.
fn number(cell: &str) -> Option<f64> {
    if cell.is_empty() || ["na", "nan", "null"].contains(&cell.to_ascii_lowercase().as_str()) {
        return Some(f64::NAN);
    }
    cell.parse().ok().filter(|v: &f64| v.is_finite())
}
