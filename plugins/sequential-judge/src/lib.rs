//! The sequential judge as a component: glue over [`tidegate_model_sequential_judge`].
//!
//! The model writes and checks its own state bytes, so they pass through as they are.

use tidegate_guest::judge::{Evidence, JudgeInput, Opinion, Verdict};
use tidegate_guest::{Error, JudgePolicy, Policy};
use tidegate_model_sequential_judge::{self as model, CONFIG_SCHEMA, Config, STATE_FORMAT};

/// The policy.
#[derive(Debug)]
pub struct SequentialJudge;

#[rustfmt::skip]
impl Policy for SequentialJudge {
    const CONFIG_SCHEMA: &str = CONFIG_SCHEMA;
    const STATE_FORMAT: u32 = STATE_FORMAT;
    type Config = Config;
    type State = Vec<u8>;

    fn validate(config: &Config) -> Result<(), Error> { config.validate() }
    fn encode(state: &Vec<u8>) -> Result<Vec<u8>, Error> { Ok(state.clone()) }
    fn decode(bytes: &[u8]) -> Result<Vec<u8>, Error> { model::migrate(bytes) }
}

#[rustfmt::skip]
impl JudgePolicy for SequentialJudge {
    fn judge(config: &Config, state: &mut Vec<u8>, input: JudgeInput) -> Result<Opinion, Error> {
        let metrics = input.metrics.into_iter().map(|m| model::Metric {
            name: m.name, group: m.group, rho_warn: m.rho_warn, rho_rollback: m.rho_rollback,
            rho_promote: m.rho_promote, critical: m.critical,
        });
        let counts = model::Counts {
            shadow_events: input.counts.shadow_events,
            shadow_requests: input.counts.shadow_requests,
            production_events: input.counts.production_events,
            production_requests: input.counts.production_requests,
        };
        let judgement = model::judge(config, &model::Input {
            now: input.now, state: std::mem::take(state), metrics: metrics.collect(),
            flushes: input.flushes, counts, dispersion: input.dispersion,
            paired_losses: input.paired_losses, paired_horizon: input.paired_horizon,
            remaining: input.remaining,
        })?;
        *state = judgement.state;
        let verdict = match judgement.verdict {
            model::Verdict::Continue => Verdict::Proceed,
            model::Verdict::Promote => Verdict::Promote,
            model::Verdict::RollBack => Verdict::RollBack,
            model::Verdict::Starved => Verdict::Starved,
            model::Verdict::Inconclusive => Verdict::Inconclusive,
        };
        let evidence = judgement.evidence.into_iter().map(|e| Evidence {
            metric: e.metric, harm: e.harm, warning: e.warning, parity: e.parity, ratio_low: e.ratio_low,
            ratio_high: e.ratio_high, shadow_events: e.shadow_events, shadow_requests: e.shadow_requests,
        });
        Ok(Opinion { verdict, reason: judgement.reason, evidence: evidence.collect() })
    }
}

tidegate_guest::export_judge!(SequentialJudge);
