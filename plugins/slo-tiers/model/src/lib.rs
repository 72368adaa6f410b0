//! Tiers that follow the error budget: up while a budget burns, down again when it is quiet.
//!
//! An api has a base tier, where its owner wants it in quiet times. Something may push it up:
//! 1. its SLO burns: multi-window, multi-burn-rate rules (Google, The Site Reliability Workbook,
//!    2018, chapter 5: 14.4x over 1 h, 6x over 6 h, 1x over 3 d, each confirmed by a window of one
//!    twelfth, so that a rule lets go soon after the burning stops);
//! 2. little of its budget is left;
//! 3. its grant has been saturated for a while;
//! 4. a surge is predicted, and the interval is narrow enough to act on.
//!
//! An api that nothing pushes returns to its base one level at a time, and goes one level below it
//! when it has been idle for long. Every push down waits (`calm_seconds`, `idle_seconds`), no push
//! up does: a tier too high costs others their headroom, a tier too low costs an SLO.
//!
//! Pure: since when an api is saturated, calm or idle is in the state that comes in and goes out.
//! Dwell times and pins are the host's, and are not repeated here. What an api gets does not
//! depend on which others are in the call. Rejected: a score that weighs all signals into one
//! number, because nobody could say why it crossed its threshold.

mod config;
mod input;
mod pressure;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{decode, encode};

pub use config::{BurnRule, CONFIG_SCHEMA, Config, Raise};
pub use input::{Input, Tier};
pub use tidegate_model_kit::ModelError as Error;

/// Format number of the state that this version writes.
pub const STATE_FORMAT: u32 = 1;

/// What each api should be in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// One per api, within its bounds.
    pub wanted: Vec<Tier>,
    /// One sentence per api, for people.
    pub reasons: Vec<String>,
    /// For the next call, under [`STATE_FORMAT`].
    pub state: Vec<u8>,
}

/// Since when conditions hold without a break, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Since {
    pub(crate) saturated: Option<i64>,
    pub(crate) calm: Option<i64>,
    pub(crate) idle: Option<i64>,
    /// Whether little budget counts as a push; ends only at a higher mark.
    pub(crate) poor: bool,
}

/// Says which tier each api should be in.
///
/// # Errors
/// [`Error::InvalidInput`] for wrong columns, configuration or a damaged state, or where none of
/// the burn rules' windows is measured; [`Error::Unsupported`] for a state of another format.
pub fn decide(config: &Config, input: &Input) -> Result<Output, Error> {
    config.validate()?;
    input.validate()?;
    let rules = pressure::measured(config, input)?;
    let before: BTreeMap<u64, Since> = if input.state.is_empty() {
        BTreeMap::new()
    } else {
        decode(STATE_FORMAT, &input.state)?
    };
    let mut after = BTreeMap::new();
    let (mut wanted, mut reasons) = (Vec::new(), Vec::new());
    for (api, &key) in input.apis.iter().enumerate() {
        let mut since = before.get(&key).copied().unwrap_or_default();
        let (tier, reason) = pressure::weigh(config, input, &rules, api, &mut since);
        let (lowest, highest) = (input.lowest[api], input.highest[api]);
        let bounded = tier.clamp(lowest, highest.max(lowest));
        wanted.push(bounded);
        reasons.push(match bounded == tier {
            true => format!("{}: {reason}", bounded.name()),
            false => format!(
                "{} (bounds forbid {}): {reason}",
                bounded.name(),
                tier.name()
            ),
        });
        after.insert(key, since);
    }
    Ok(Output {
        wanted,
        reasons,
        state: encode(STATE_FORMAT, &after)?,
    })
}

/// Translates a state of an earlier version: there is none yet, so a state of this version comes
/// back as it is.
///
/// # Errors
/// [`Error::Unsupported`] for another format, [`Error::InvalidInput`] for damaged bytes.
pub fn migrate(state: &[u8]) -> Result<Vec<u8>, Error> {
    if state.is_empty() {
        return Ok(Vec::new());
    }
    decode::<BTreeMap<u64, Since>>(STATE_FORMAT, state).map(|_| state.to_vec())
}
