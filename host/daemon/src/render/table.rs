//! Tables: columns as wide as they must be, numbers to the right.

use std::fmt;

/// Rows under a head.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|h| (*h).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells beyond the head are left out, missing ones stay empty.
    pub(crate) fn row(&mut self, mut cells: Vec<String>) {
        cells.resize(self.head.len(), String::new());
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = |text: &str| text.chars().count();
        let columns = 0..self.head.len();
        let widths: Vec<usize> = columns
            .clone()
            .map(|c| {
                self.rows
                    .iter()
                    .map(|r| wide(&r[c]))
                    .chain([wide(&self.head[c])])
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let numeric: Vec<bool> = columns
            .map(|c| !self.rows.is_empty() && self.rows.iter().all(|r| is_amount(&r[c])))
            .collect();
        for row in std::iter::once(&self.head).chain(&self.rows) {
            let mut line = String::new();
            for (c, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[c] - wide(cell));
                if numeric[c] {
                    line += &pad;
                    line += cell;
                } else {
                    line += cell;
                    line += &pad;
                }
                line += "  ";
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A number with at most a short unit, or a dash.
fn is_amount(cell: &str) -> bool {
    let digits = cell.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '/');
    cell == "-" || (!digits.is_empty() && digits.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_numbers_right() {
        let mut table = Table::new(&["api", "limit", "tier"]);
        table.row(vec!["shop/pay".into(), "120/s".into(), "gold".into()]);
        table.row(vec!["shop/x".into(), "-".into(), "bronze".into()]);
        assert_eq!(
            table.to_string(),
            "api       limit  tier\nshop/pay  120/s  gold\nshop/x        -  bronze\n"
        );
    }
}
