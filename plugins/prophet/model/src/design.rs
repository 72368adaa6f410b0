//! The regression behind the model: bins of the history as rows; trend, seasons and events as
//! columns.
//!
//! Trend and seasons are slow beside a step, so that rows are means over bins of a hundredth of
//! the shortest season: a fit costs the same at one minute and at fifteen. The harmonics are
//! damped as the mean damps them, which keeps the coefficients those of single steps.
//!
//! The trend is written from its end: its value and slope at the last row, and changes backwards.
//! It is the paper's trend in other coordinates, with the two numbers that a forecast needs
//! standing alone.

use std::ops::Range;

use tidegate_model_kit::{Covariates, Series, smaller};

use crate::calendar::Calendar;
use crate::seasons::{self, Season};

/// Bins within the shortest season.
const FINE: usize = 96;
/// Fewer bins than this are not worth making.
const FEWEST: usize = 1000;
/// More bins than this do not fit into a guest's memory.
const MOST: usize = 20_000;
/// Changes of slope lie in this first part of the history.
pub(crate) const CHANGE_RANGE: f64 = 0.8;

/// Rows and columns.
#[derive(Debug)]
pub(crate) struct Design {
    /// Steps of history.
    pub(crate) steps: usize,
    /// Steps of a bin, and the steps before the first whole one, which are left out.
    pub(crate) bin: usize,
    pub(crate) lead: usize,
    /// Mean and observed share of each bin; the mean of an empty one is 0.
    pub(crate) y: Vec<f64>,
    pub(crate) w: Vec<f64>,
    /// `[bin][column]`.
    pub(crate) x: Vec<f64>,
    /// Columns in all.
    pub(crate) width: usize,
    /// Changepoints, in histories before the last row (below 0, ascending).
    pub(crate) changepoints: Vec<f64>,
    /// The columns of each season: the slow ones, then the others.
    pub(crate) groups: Vec<Range<usize>>,
    /// The columns of the events.
    pub(crate) events: Range<usize>,
}

/// What the rows are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Material<'a> {
    pub(crate) z: &'a [f64],
    pub(crate) calendar: &'a Calendar<'a>,
    pub(crate) seasons: &'a [Season],
    /// A column of the history per event.
    pub(crate) events: &'a [&'a [f64]],
}

impl Design {
    /// Builds rows of `material`, with a trend that may bend `bends` times.
    pub(crate) fn new(material: &Material<'_>, bends: usize) -> Self {
        let Material {
            z, seasons, events, ..
        } = *material;
        let steps = z.len();
        let fine = seasons
            .first()
            .map_or(usize::MAX, |s| (s.period as usize / FINE).max(1));
        let bin = (steps / FEWEST).clamp(1, fine).max(steps.div_ceil(MOST));
        let lead = steps % bin;
        let bins = steps / bin;
        let changepoints: Vec<f64> = (1..=bends)
            .map(|j| j as f64 / (bends + 1) as f64 * CHANGE_RANGE - 1.0)
            .collect();
        let mut groups = Vec::new();
        let mut at = 2 + bends;
        for s in seasons {
            groups.push(at..at + s.slow());
            groups.push(at + s.slow()..at + s.width());
            at += s.width();
        }
        let mut design = Self {
            steps,
            bin,
            lead,
            y: Vec::with_capacity(bins),
            w: Vec::with_capacity(bins),
            x: Vec::with_capacity(bins * (at + events.len())),
            width: at + events.len(),
            changepoints,
            groups,
            events: at..at + events.len(),
        };
        design.fill(material, bins);
        design
    }

    fn fill(&mut self, material: &Material<'_>, bins: usize) {
        let damping: Vec<f64> = material
            .seasons
            .iter()
            .flat_map(|s| s.damping(self.bin))
            .collect();
        let half = (self.bin - 1) as f64 / 2.0;
        let mut columns = Vec::new();
        for i in 0..bins {
            let from = self.lead + i * self.bin;
            let rows = from..from + self.bin;
            let (average, observed) = mean(&material.z[rows.clone()]);
            self.y.push(average);
            self.w.push(observed);
            let t = self.time(from as f64 + half);
            self.x.push(1.0);
            self.x.push(t);
            self.x
                .extend(self.changepoints.iter().map(|s| smaller(t - s, 0.0)));
            seasons::columns(
                material.seasons,
                material.calendar,
                from,
                half,
                &mut columns,
            );
            self.x
                .extend(columns.iter().zip(&damping).map(|(c, d)| c * d));
            for event in material.events {
                let (share, seen) = mean(event.get(rows.clone()).unwrap_or(&[]));
                self.x.push(share.clamp(0.0, 1.0) * seen);
            }
        }
    }

    /// A row's time in histories, 0 at the last one.
    pub(crate) fn time(&self, row: f64) -> f64 {
        (row + 1.0) / self.steps as f64 - 1.0
    }

    /// The number of bins.
    pub(crate) fn bins(&self) -> usize {
        self.y.len()
    }

    /// The columns of one bin.
    pub(crate) fn row(&self, i: usize) -> &[f64] {
        &self.x[i * self.width..(i + 1) * self.width]
    }

    /// All columns of the seasons.
    pub(crate) fn season_columns(&self) -> Range<usize> {
        2 + self.changepoints.len()..self.events.start
    }

    /// Multiplies some columns by a factor per bin.
    pub(crate) fn modulate(&mut self, columns: Range<usize>, factors: &[f64]) {
        for (row, f) in self.x.chunks_exact_mut(self.width).zip(factors) {
            for v in &mut row[columns.clone()] {
                *v *= f;
            }
        }
    }
}

fn mean(values: &[f64]) -> (f64, f64) {
    let (mut sum, mut n) = (0.0, 0.0);
    for v in values.iter().filter(|v| v.is_finite()) {
        sum += v;
        n += 1.0;
    }
    (sum / f64::max(n, 1.0), n / (values.len() as f64).max(1.0))
}

/// The events of a history that ran in it at least once: kinds and columns, ascending by kind.
pub(crate) fn seen_events<'a>(
    series: &Series<'_>,
    known: &Covariates<'a>,
) -> Vec<(&'a str, &'a [f64])> {
    let n = series.values.len();
    let mut seen: Vec<_> = known
        .events()
        .filter(|(_, c)| {
            let ran = |(c, v): (&f64, &f64)| *c > 0.0 && !v.is_nan();
            c.len() == n && c.iter().zip(series.values).any(ran)
        })
        .collect();
    seen.sort_unstable_by_key(|(kind, _)| *kind);
    seen.dedup_by_key(|(kind, _)| *kind);
    seen
}
