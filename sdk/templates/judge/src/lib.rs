//! A judge: waits for a fixed number of the shadow's requests, then compares rates once.
//!
//! A fixed sample makes one look honest; who looks at every flush and stops when it suits rolls good
//! releases back. The shipped `sequential-judge` may look at any time; this one is where to begin.

use serde::{Deserialize, Serialize};
use tidegate_guest::judge::{Evidence, JudgeInput, Opinion, Verdict};
use tidegate_guest::{Error, JudgePolicy, Policy};

/// The policy.
#[derive(Debug)]
pub struct Judge;

/// What `--config` may hold; `{}` means the defaults.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Requests of the shadow, per metric, before anything is said; at least 1.
    pub requests: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { requests: 10_000 }
    }
}

/// Events and requests so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    shadow: (u64, u64),
    production: (u64, u64),
}

impl Policy for Judge {
    const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");
    const STATE_FORMAT: u32 = 1;
    type Config = Config;
    /// One per metric.
    type State = Vec<Tally>;

    fn validate(config: &Config) -> Result<(), Error> {
        if config.requests > 0 {
            return Ok(());
        }
        Err(Error::invalid("requests must be at least 1"))
    }
}

impl JudgePolicy for Judge {
    fn judge(
        config: &Config,
        tallies: &mut Vec<Tally>,
        input: JudgeInput,
    ) -> Result<Opinion, Error> {
        let metrics = input.metrics.len();
        tallies.resize(metrics, Tally::default());
        let counts = &input.counts;
        for cell in 0..input.flushes.len() * metrics {
            let tally = &mut tallies[cell % metrics];
            add(
                &mut tally.shadow,
                counts.shadow_events[cell],
                counts.shadow_requests[cell],
            );
            let (events, requests) = (
                counts.production_events[cell],
                counts.production_requests[cell],
            );
            add(&mut tally.production, events, requests);
        }
        let enough = metrics > 0 && tallies.iter().all(|t| t.shadow.1 >= config.requests);
        let over = input.remaining == 0;
        let worse = input.metrics.iter().zip(&*tallies).find(|(metric, tally)| {
            metric.critical && rate(tally.shadow) > metric.rho_rollback * rate(tally.production)
        });
        let (verdict, reason) = match worse {
            Some((metric, tally)) if enough => (
                Verdict::RollBack,
                format!(
                    "{}: {:.4} of the shadow's requests, {:.4} of production's",
                    metric.name,
                    rate(tally.shadow),
                    rate(tally.production)
                ),
            ),
            _ if enough => (Verdict::Promote, "no critical metric is worse".to_owned()),
            _ if over => (Verdict::Inconclusive, "the time is up".to_owned()),
            _ => (
                Verdict::Proceed,
                format!("fewer than {} requests yet", config.requests),
            ),
        };
        let evidence = input
            .metrics
            .iter()
            .zip(&*tallies)
            .map(|(metric, tally)| Evidence {
                metric: metric.name.clone(),
                // Not a sequential test: it has no e-values to give, and 1 is evidence for nothing.
                harm: 1.0,
                warning: 1.0,
                parity: 1.0,
                ratio_low: 0.0,
                ratio_high: f64::MAX,
                shadow_events: tally.shadow.0,
                shadow_requests: tally.shadow.1,
            });
        Ok(Opinion {
            verdict,
            reason,
            evidence: evidence.collect(),
        })
    }
}

fn add(to: &mut (u64, u64), events: u64, requests: u64) {
    *to = (to.0.saturating_add(events), to.1.saturating_add(requests));
}

fn rate((events, requests): (u64, u64)) -> f64 {
    events as f64 / requests.max(1) as f64
}

tidegate_guest::export_judge!(Judge);

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_guest::judge::{Counts, Metric};
    use tidegate_guest::wit::types::Blob;

    fn judged(shadow: (u64, u64), production: (u64, u64), remaining: u32) -> Verdict {
        let input = JudgeInput {
            now: 0,
            seed: 1,
            config: String::new(),
            state: Blob {
                format: 0,
                bytes: vec![],
            },
            metrics: vec![Metric {
                name: "errors".into(),
                group: "errors".into(),
                rho_warn: 1.1,
                rho_rollback: 1.5,
                rho_promote: 1.2,
                critical: true,
            }],
            flushes: vec![0],
            counts: Counts {
                shadow_events: vec![shadow.0],
                shadow_requests: vec![shadow.1],
                production_events: vec![production.0],
                production_requests: vec![production.1],
            },
            dispersion: vec![1.0],
            paired_losses: vec![],
            paired_horizon: 1,
            remaining,
        };
        let opinion = Judge::judge(&Config::default(), &mut Vec::new(), input);
        opinion.expect("it answers").verdict
    }

    #[test]
    fn twice_the_errors_roll_back_and_as_many_promote() {
        let production = (1000, 1_000_000);
        assert_eq!(judged((20, 10_000), production, 60), Verdict::RollBack);
        assert_eq!(judged((10, 10_000), production, 60), Verdict::Promote);
    }

    #[test]
    fn too_few_requests_say_nothing_until_the_time_is_up() {
        let production = (1000, 1_000_000);
        assert_eq!(judged((99, 100), production, 60), Verdict::Proceed);
        assert_eq!(judged((99, 100), production, 0), Verdict::Inconclusive);
    }
}
