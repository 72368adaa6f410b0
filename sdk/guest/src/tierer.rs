//! Tierers: columns over apis in, a tier and a sentence per api out.
//!
//! The columns are passed as they came, checked for shape: a policy that weighs an api against its
//! neighbours needs all of them, so there is no cut into one call per api.

use std::marker::PhantomData;

use crate::log::hook_panics;
use crate::policy::{Exported, config, describe};
use crate::series::length;
use crate::state;
pub use crate::wit::tierer::exports::tidegate::policy::tiering::TierInput;
use crate::wit::tierer::exports::tidegate::policy::tiering::{Guest, TierOutput};
pub use crate::wit::types::Tier;
use crate::wit::types::{Blob, Description, ModuleKind, PolicyError};
use crate::{Error, Policy};

/// Chooses tiers.
pub trait TiererPolicy: Policy<State: Default> {
    /// Which tier each api should be in. The state is what the last call left, the default at
    /// first; `input.state` and `input.config` are empty, since they were read already.
    ///
    /// # Errors
    /// Any: then the host asks another.
    fn decide(
        config: &Self::Config,
        state: &mut Self::State,
        input: TierInput,
    ) -> Result<Tiers, Error>;
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiers {
    /// One per api.
    pub wanted: Vec<Tier>,
    /// One sentence per api, for people.
    pub reasons: Vec<String>,
}

/// A policy as the host sees it.
#[derive(Debug)]
pub struct Component<P>(PhantomData<P>);

impl<P: TiererPolicy + Exported> Component<P> {
    /// Compiles where the policy lacks nothing.
    #[doc(hidden)]
    pub fn is_complete() {}
}

impl<P: TiererPolicy + Exported> Guest for Component<P> {
    fn describe() -> Description {
        describe::<P>(ModuleKind::Tierer)
    }

    fn decide(mut input: TierInput) -> Result<TierOutput, PolicyError> {
        hook_panics();
        let config = config::<P>(&std::mem::take(&mut input.config))?;
        let mut state = state::of_call::<P>(&input.state)?;
        input.state.bytes.clear();
        check(&input)?;
        let n = input.apis.len();
        let tiers = P::decide(&config, &mut state, input)?;
        if tiers.wanted.len() != n || tiers.reasons.len() != n {
            return Err(PolicyError::Internal(format!(
                "{} tiers and {} reasons for {n} apis",
                tiers.wanted.len(),
                tiers.reasons.len()
            )));
        }
        Ok(TierOutput {
            wanted: tiers.wanted,
            reasons: tiers.reasons,
            state: state::to_blob::<P>(&state)?,
        })
    }

    fn migrate(state: Blob) -> Result<Blob, PolicyError> {
        hook_panics();
        state::migrate_call::<P>(&state)
    }
}

fn check(input: &TierInput) -> Result<(), PolicyError> {
    let n = input.apis.len();
    length("current", input.current.len(), n)?;
    length("base", input.base.len(), n)?;
    length("lowest", input.lowest.len(), n)?;
    length("highest", input.highest.len(), n)?;
    length("dwell", input.dwell.len(), n)?;
    length("expected", input.expected.len(), n)?;
    length("utilisation", input.utilisation.len(), n)?;
    length("budget-left", input.budget_left.len(), n)?;
    length(
        "peak",
        input.peak.len(),
        n.saturating_mul(input.levels.len()),
    )?;
    length(
        "burn",
        input.burn.len(),
        n.saturating_mul(input.burn_windows.len()),
    )
}
