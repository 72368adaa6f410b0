//! Which seasons a history has, and of what kind.
//!
//! Additive or multiplicative is decided by the scatter that each decomposition leaves (a Laplace
//! likelihood with its Jacobian), which a few spikes do not decide.

use tidegate_model_kit::{Decomposition, Series, decompose, decompose_factors};

use crate::config::{Config, SeasonChoice};
use crate::recursion::SeasonKind;

/// The decomposition that the configuration allows and the data prefers.
#[derive(Debug)]
pub(crate) struct Seasons {
    /// Of the whole history, on the scale of the values.
    pub(crate) parts: Decomposition,
    pub(crate) kind: SeasonKind,
    pub(crate) clock: u64,
    periods: Vec<usize>,
}

impl Seasons {
    /// Decomposes `z`, the scaled values of `series`.
    pub(crate) fn find(config: &Config, series: &Series<'_>, z: &[f64], positive: bool) -> Self {
        let clock = series.clock();
        let (periods, kinds): (_, &[SeasonKind]) = match config.season {
            SeasonChoice::None => (Vec::new(), &[SeasonKind::Additive]),
            SeasonChoice::Auto if positive => (
                series.seasons(),
                &[SeasonKind::Additive, SeasonKind::Multiplicative],
            ),
            SeasonChoice::Multiplicative => (series.seasons(), &[SeasonKind::Multiplicative]),
            SeasonChoice::Auto | SeasonChoice::Additive => {
                (series.seasons(), &[SeasonKind::Additive])
            }
        };
        let mut parts = take_apart(z, clock, &periods, kinds[0]);
        let mut kind = kinds[0];
        for other in &kinds[1..] {
            let d = take_apart(z, clock, &periods, *other);
            if d.scatter < parts.scatter && !d.tables.is_empty() {
                (parts, kind) = (d, *other);
            }
        }
        if parts.tables.is_empty() && kind == SeasonKind::Additive {
            kind = SeasonKind::None;
        }
        Self {
            parts,
            kind,
            clock,
            periods,
        }
    }

    /// The same decomposition of the beginning of the history, if it holds the same shortest
    /// season.
    pub(crate) fn of_head(&self, head: &[f64]) -> Option<Decomposition> {
        let mut d = take_apart(head, self.clock, &self.periods, self.kind);
        d.tables
            .retain(|t| self.parts.tables.iter().any(|own| own.period == t.period));
        let first = |d: &Decomposition| d.tables.first().map(|t| t.period);
        (first(&d) == first(&self.parts)).then_some(d)
    }
}

/// Decomposes on the scale of `kind`; profiles and trend come back on the scale of the values.
fn take_apart(z: &[f64], clock: u64, periods: &[usize], kind: SeasonKind) -> Decomposition {
    if kind == SeasonKind::Multiplicative {
        return decompose_factors(z, clock, periods);
    }
    decompose(z, clock, periods)
}
