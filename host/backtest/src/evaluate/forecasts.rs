//! Every forecast as text, so that a scorer written by someone else can be run on it.
//!
//! `series,origin,step,mean,lo80,hi80,lo95,hi95,seconds`: `origin` is the number of steps of the
//! series' grid before the first forecast step, `step` counts from 1, `seconds` is the CPU time of
//! one fit and prediction. Numbers are the shortest that read back to the same bits. Files of M4
//! have one origin a series and no such column.

use super::rolling::{Cut, Made};
use super::scores::quantile;
use std::fmt::Write as _;
use tidegate_core::policy::CallError;

/// Whether the file has a column of origins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origins {
    /// As for `timestamp,value` files.
    Named,
    /// As for M4 files.
    LeftOut,
}

/// The file. Forecasts that failed are absent.
#[must_use]
pub fn forecasts(cuts: &[Cut<'_>], made: &[Result<Made, CallError>], origins: Origins) -> String {
    let mut text = String::from(match origins {
        Origins::Named => "series,origin,step,mean,lo80,hi80,lo95,hi95,seconds\n",
        Origins::LeftOut => "series,step,mean,lo80,hi80,lo95,hi95,seconds\n",
    });
    for (cut, made) in cuts.iter().zip(made) {
        let Ok(made) = made else { continue };
        let name = escaped(cut.window.name);
        for (t, mean) in made.grid.mean.iter().enumerate() {
            let row = made.grid.row(t);
            let at = |level| quantile(row, level);
            let origin = match origins {
                Origins::Named => format!(",{}", cut.origin),
                Origins::LeftOut => String::new(),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{name}{origin},{},{mean},{},{},{},{},{:.6}",
                t + 1,
                at(1000),
                at(9000),
                at(250),
                at(9750),
                made.fit_s + made.predict_s
            );
        }
    }
    text
}

/// A name as a cell: quoted where a comma or quote would break the row.
fn escaped(name: &str) -> String {
    if name.contains([',', '"', '\n']) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}
