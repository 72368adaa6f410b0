//! A tierer: one level up while an api's error budget burns, back to its base tier when it idles.
//!
//! It says what it wants; the host applies pins, the bounds of each api and the dwell time of its tier,
//! so a rule need not count minutes.

use serde::Deserialize;
use tidegate_guest::tierer::{Tier, TierInput, Tiers};
use tidegate_guest::{Error, Policy, TiererPolicy};

/// The policy.
#[derive(Debug)]
pub struct Tierer;

/// What `--config` may hold; `{}` means the defaults.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Burn rate from which an api is promoted, 1 to 1000.
    pub promote_burn: f64,
    /// Part of its grant below which an api idles, 0 to 1.
    pub idle_utilisation: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            promote_burn: 6.0,
            idle_utilisation: 0.3,
        }
    }
}

impl Policy for Tierer {
    const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");
    const STATE_FORMAT: u32 = 1;
    type Config = Config;
    type State = ();

    fn validate(config: &Config) -> Result<(), Error> {
        if !(1.0..=1000.0).contains(&config.promote_burn) {
            return Err(Error::invalid("promote_burn must be within 1 and 1000"));
        }
        if !(0.0..=1.0).contains(&config.idle_utilisation) {
            return Err(Error::invalid("idle_utilisation must be within 0 and 1"));
        }
        Ok(())
    }
}

impl TiererPolicy for Tierer {
    fn decide(config: &Config, (): &mut (), input: TierInput) -> Result<Tiers, Error> {
        let windows = input.burn_windows.len();
        let (mut wanted, mut reasons) = (Vec::new(), Vec::new());
        for api in 0..input.apis.len() {
            let burns = &input.burn[api * windows..(api + 1) * windows];
            // A fire is one that the shortest and the next window see: one alone is a blip or is over.
            let fire = burns.iter().take(2).copied().fold(f64::INFINITY, f64::min);
            let idle = input.utilisation[api] < config.idle_utilisation;
            let (current, base) = (input.current[api], input.base[api]);
            if windows > 0 && fire >= config.promote_burn {
                wanted.push(above(current));
                reasons.push(format!("its error budget burns {fire:.1} times too fast"));
            } else if idle && current != base {
                wanted.push(base);
                reasons.push("it is quiet: back to its base tier".to_owned());
            } else {
                wanted.push(current);
                reasons.push("nothing speaks for a change".to_owned());
            }
        }
        Ok(Tiers { wanted, reasons })
    }
}

fn above(tier: Tier) -> Tier {
    match tier {
        Tier::Bronze => Tier::Silver,
        Tier::Silver | Tier::Gold => Tier::Gold,
    }
}

tidegate_guest::export_tierer!(Tierer);

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_guest::wit::types::Blob;

    fn decided(current: Tier, burn: [f64; 2], utilisation: f64) -> Tier {
        let input = TierInput {
            now: 0,
            seed: 1,
            config: String::new(),
            state: Blob {
                format: 0,
                bytes: vec![],
            },
            apis: vec![7],
            current: vec![current],
            base: vec![Tier::Bronze],
            lowest: vec![Tier::Bronze],
            highest: vec![Tier::Gold],
            dwell: vec![3600],
            expected: vec![100.0],
            levels: vec![5000],
            peak: vec![120.0],
            utilisation: vec![utilisation],
            burn_windows: vec![300, 3600],
            burn: burn.to_vec(),
            budget_left: vec![0.5],
        };
        let tiers = Tierer::decide(&Config::default(), &mut (), input).expect("it answers");
        tiers.wanted[0]
    }

    #[test]
    fn a_fire_in_both_windows_promotes_one_level() {
        assert_eq!(decided(Tier::Bronze, [20.0, 9.0], 0.9), Tier::Silver);
        assert_eq!(decided(Tier::Bronze, [20.0, 1.0], 0.9), Tier::Bronze);
    }

    #[test]
    fn an_idle_api_goes_back_to_its_base() {
        assert_eq!(decided(Tier::Gold, [0.0, 0.0], 0.1), Tier::Bronze);
        assert_eq!(decided(Tier::Gold, [0.0, 0.0], 0.9), Tier::Gold);
    }
}
