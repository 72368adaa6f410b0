//! Fits each member that is trusted anywhere, once, on the whole history.
//!
//! A member that cannot use the history (too short, too odd) stands aside: the others answer, with
//! the weights that are left. Only when none can does the fit fail.

use tidegate_model_kit::{Covariates, DAY_S, ModelError, Series};

use crate::config::Config;
use crate::floor::Floor;
use crate::member::{Kind, Member};
use crate::state::State;

/// The fewest observed points that any member is made of.
const NEED: usize = 3;

/// [`fit_with`] where nothing is known beside the series.
///
/// # Errors
/// As [`fit_with`].
pub fn fit(config: &Config, series: &Series<'_>) -> Result<State, ModelError> {
    fit_with(config, series, &Covariates::default())
}

/// Fits the members to a history, with the calendar and the events of `known` on its rows.
///
/// # Errors
/// [`ModelError::InsufficientData`] below three observed points; [`ModelError::InvalidInput`] for
/// a bad configuration, infinite values or a zero step; the first member's error if none can be
/// fitted.
pub fn fit_with(
    config: &Config,
    series: &Series<'_>,
    known: &Covariates<'_>,
) -> Result<State, ModelError> {
    config.validate()?;
    series.validate(NEED)?;
    let trusted = Kind::ALL.into_iter().filter(|kind| {
        let trust = config.trust(*kind);
        trust.near > 0.0 || trust.far > 0.0
    });
    let (mut members, mut failed) = (Vec::new(), None);
    for kind in trusted {
        match Member::fit(kind, series, known) {
            Ok(member) => members.push(member),
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    match failed {
        Some(error) if members.is_empty() => Err(error),
        _ => {
            let floor = Floor::of(series.values);
            let span = series.values.len();
            Ok(State::assemble(*config, day(series), span, floor, members))
        }
    }
}

/// Steps in a day; where seasons were given, the shortest stands for it.
fn day(series: &Series<'_>) -> f64 {
    let season = series.seasons().first().map(|s| *s as f64);
    match season {
        Some(season) if !series.periods.is_empty() => season,
        _ => f64::from(DAY_S) / f64::from(series.step_s.max(1)),
    }
}
