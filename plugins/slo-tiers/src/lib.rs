//! Tiers that follow the error budget, as a component: glue over [`tidegate_model_slo_tiers`].
//!
//! The model writes and checks its own state bytes, so they pass through as they are.

use tidegate_guest::tierer::{Tier, TierInput, Tiers};
use tidegate_guest::{Error, Policy, TiererPolicy};
use tidegate_model_slo_tiers::{self as model, CONFIG_SCHEMA, Config, Input, STATE_FORMAT};

/// The policy.
#[derive(Debug)]
pub struct SloTiers;

impl Policy for SloTiers {
    const CONFIG_SCHEMA: &str = CONFIG_SCHEMA;
    const STATE_FORMAT: u32 = STATE_FORMAT;
    type Config = Config;
    type State = Vec<u8>;

    fn validate(config: &Config) -> Result<(), Error> {
        config.validate()
    }

    fn encode(state: &Vec<u8>) -> Result<Vec<u8>, Error> {
        Ok(state.clone())
    }

    fn decode(bytes: &[u8]) -> Result<Vec<u8>, Error> {
        model::migrate(bytes)
    }
}

/// The tiers of both sides, in the same order.
const TIERS: [(Tier, model::Tier); 3] = [
    (Tier::Bronze, model::Tier::Bronze),
    (Tier::Silver, model::Tier::Silver),
    (Tier::Gold, model::Tier::Gold),
];

impl TiererPolicy for SloTiers {
    #[rustfmt::skip]
    fn decide(config: &Config, state: &mut Vec<u8>, input: TierInput) -> Result<Tiers, Error> {
        let tiers = |column: Vec<Tier>| column.into_iter().map(|t| TIERS[t as usize].1).collect();
        let TierInput { now, apis, expected, levels, peak, utilisation, .. } = input;
        let TierInput { burn_windows, burn, budget_left, current, base, lowest, highest, .. } = input;
        let (current, base) = (tiers(current), tiers(base));
        let (lowest, highest) = (tiers(lowest), tiers(highest));
        let state_before = std::mem::take(state);
        let output = model::decide(config, &Input {
            now, state: state_before, apis, current, base, lowest, highest, expected, levels, peak,
            utilisation, burn_windows, burn, budget_left,
        })?;
        *state = output.state;
        let wanted = output.wanted.into_iter().map(|t| TIERS[t as usize].0).collect();
        Ok(Tiers { wanted, reasons: output.reasons })
    }
}

tidegate_guest::export_tierer!(SloTiers);
