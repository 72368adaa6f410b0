//! What a cycle asks the room `demand`, and what it writes down so that a replay can ask the same.
//!
//! The question stands here once, because it is put twice: by a cycle, and by [`super::again`] of what the
//! record of a cycle says.

use super::carry::Waiting;
use super::{Input, PoolState, Settings, gather};
use crate::allocate;
use crate::demand::{self, Learned};
use crate::forecast::{self, Earlier};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::catalog::{Api, Pool};
use tidegate_core::forecast::Forecast;
use tidegate_core::ports::storage::Anchor;
use tidegate_core::record::{Basis, Origin};
use tidegate_core::sample::SeriesKey;
use tidegate_core::tier::Tier;
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::Dimension;

/// What is the same for every api of a pool.
pub(super) struct Ask<'a> {
    pub(super) pool: &'a Pool,
    /// Number of the pool's apis.
    pub(super) apis: usize,
    pub(super) dimensions: &'a [Dimension],
    pub(super) grid: Grid,
    pub(super) forecasts: &'a BTreeMap<SeriesKey, Forecast>,
}

/// What an api needs.
pub(super) fn demand(
    input: &Input<'_>,
    ask: &Ask<'_>,
    api: &Api,
    tier: Tier,
    expected: f64,
    learned: &Learned,
) -> demand::Output {
    let settings = input.settings;
    let spec = input.catalog.tier(tier);
    let lead = allocate::lead_steps(ask.pool, settings.step);
    let Ok(needed) = demand::run(&demand::Input {
        now: input.now,
        api: &api.id,
        dimensions: ask.dimensions,
        forecasts: ask.forecasts,
        learned,
        level: spec.demand_level,
        buy_level: spec.buy_level,
        insured: if allocate::is_moved(ask.pool) {
            spec.buy_level
        } else {
            spec.demand_level
        },
        grid: ask.grid,
        ahead: settings.ahead.saturating_add(lead) as usize,
        expected: (expected > 0.0).then_some(expected),
        promised: &gather::promised(input, api, expected),
        unknown: &gather::unknown(ask.pool, api, ask.dimensions, ask.apis),
        settings: settings.demand,
    });
    needed
}

/// What each forecast was made from, in the order of series.
pub(super) fn origins(
    input: &Input<'_>,
    state: &PoolState,
    (fits, configs): (&[forecast::FitOf], &[Arc<str>]),
    made: &[Earlier],
) -> Vec<Origin> {
    let made: BTreeMap<&SeriesKey, bool> =
        made.iter().map(|of| (of.key(), of.is_anchored())).collect();
    let kept = |key: &SeriesKey| state.held.get(key).is_some_and(Earlier::is_anchored);
    let mut fits: Vec<_> = fits.iter().zip(configs).collect();
    fits.sort_unstable_by(|((a, ..), _), ((b, ..), _)| a.cmp(b));
    let origin = |((key, _, fitted_at), config): (&forecast::FitOf, &Arc<str>)| Origin {
        config: config.clone(),
        fitted_at: *fitted_at,
        newest: input.history.newest(key).unwrap_or_default(),
        is_anchored: made.get(key).copied().unwrap_or_else(|| kept(key)),
    };
    fits.into_iter().map(origin).collect()
}

/// Anchors of one cycle at most, some 20 MB: a world whose every series is made anew at once writes down what it
/// can bear, and the rest when they are made next.
const ANCHORS: usize = 4_000;

/// What has to be written down so that forecasts that were made anew can be made again.
pub(super) fn anchors(now: Timestamp, state: &PoolState, made: &mut [Earlier]) -> Vec<Anchor> {
    let mut anchors = vec![];
    for of in made {
        let (module, config) = of.maker();
        let before = state.bank.get(of.key(), module, config);
        if of.follow(state.held.get(of.key()), before, now) {
            continue;
        }
        if anchors.len() == ANCHORS {
            of.lose();
            continue;
        }
        anchors.push(Anchor {
            key: of.key().clone(),
            module,
            config,
            state: before.cloned(),
            track: state.tracks.get(of.key(), module, config).cloned(),
        });
    }
    anchors
}

/// What forecasts and demand follow from.
pub(super) fn basis(
    settings: &Settings,
    cadence: u32,
    apis: &[&Api],
    waiting: &Waiting<'_>,
) -> Basis {
    let carried = (0..)
        .zip(apis)
        .filter(|(_, api)| waiting.told(&api.id).is_some());
    Basis {
        catalog: None,
        seed: settings.seed,
        horizon: settings.horizon,
        cadence,
        ahead: settings.ahead,
        target_utilisation: settings.demand.target_utilisation,
        step_tolerance: settings.demand.step_tolerance,
        fixed_tolerance: settings.demand.fixed_tolerance,
        hold_ms: settings.adjust.hold_ms,
        carried: carried.map(|(row, _)| row).collect(),
    }
}
