//! What is known beside a series, on its rows: the calendar in the api's local time and declared
//! events.
//!
//! A model that can use them has, beside the plain functions, `fit_with`, `update_with` and
//! `predict_with`, which take them as the last argument; the plain ones are these with nothing
//! known. Columns are borrowed and found by name, so that a model never depends on their order.

/// The prefix of the names of declared events; what follows is the kind.
pub const EVENT: &str = "event:";

/// Named columns, one value per row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Covariates<'a> {
    columns: Vec<(&'a str, &'a [f64])>,
}

impl<'a> Covariates<'a> {
    /// Of named columns.
    #[must_use]
    pub fn new(columns: Vec<(&'a str, &'a [f64])>) -> Self {
        Self { columns }
    }

    /// The column of that name, if it is known.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [f64]> {
        self.iter().find(|(n, _)| *n == name).map(|(_, c)| c)
    }

    /// All names with their columns, in the caller's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [f64])> + '_ {
        self.columns.iter().copied()
    }

    /// Kinds of declared events with their columns: above 0 while one touches the series.
    pub fn events(&self) -> impl Iterator<Item = (&'a str, &'a [f64])> + '_ {
        self.iter()
            .filter_map(|(name, column)| Some((name.strip_prefix(EVENT)?, column)))
    }

    /// The same columns on some of the rows; rows that a column lacks are left out.
    #[must_use]
    pub fn rows(&self, rows: std::ops::Range<usize>) -> Self {
        let cut = |column: &'a [f64]| {
            let to = rows.end.min(column.len());
            &column[rows.start.min(to)..to]
        };
        Self::new(self.iter().map(|(n, c)| (n, cut(c))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_from_the_calendar_and_rows_are_cut() {
        let (minute, sale) = ([0.0, 60.0, 120.0], [0.0, 1.0, 1.0]);
        let known = Covariates::new(vec![("minute-of-day", &minute), ("event:sale", &sale)]);
        assert_eq!(known.get("minute-of-day"), Some(&minute[..]));
        assert_eq!(known.get("sale"), None);
        assert_eq!(known.events().collect::<Vec<_>>(), [("sale", &sale[..])]);
        let tail = known.rows(1..9);
        assert_eq!(tail.get("event:sale"), Some(&sale[1..]));
    }
}
