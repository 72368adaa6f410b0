//! The part of the configuration that is about feeds of other protocols: where they come in, how
//! they are added up, and what does not follow the conventions.

use super::Seconds;
use serde::Deserialize;
use std::net::SocketAddr;
use tidegate_bridges::books::Terms;
use tidegate_bridges::feed::{Adoption, Clock, Options, PATIENCE};
use tidegate_bridges::mapping::rules::{self, Action};
use tidegate_bridges::mapping::{Granularity, Mapping, Matcher, Rule};
use tidegate_core::ids::{PoolId, TenantId};
use tidegate_core::time::Step;
use tidegate_core::units::Signal;

/// See the module.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FeedsConfig {
    /// Where OTLP comes in besides `listen`, which takes it too: for example 127.0.0.1:4317.
    pub(crate) listen: Vec<SocketAddr>,
    /// Length of the steps into which points are added up; 10 s, or the daemon's `step` where that
    /// is no multiple of it.
    pub(crate) step: Option<Seconds>,
    /// How long a step waits for instances that do not speak; longer than the longest interval at
    /// which anybody sends.
    pub(crate) hold: Seconds,
    /// Longest silence of an instance over which its counts are spread.
    pub(crate) gap: Seconds,
    /// Largest message, in MiB.
    pub(crate) message: usize,
    /// Requests that are read at the same time.
    pub(crate) concurrency: usize,
    /// Memory of steps that are not complete yet, in MiB: about 32,000 steps each.
    pub(crate) memory: usize,
    /// Streams (a metric with one set of labels) that are known at a time.
    pub(crate) max_streams: usize,
    /// Of them, of one tenant; any unless told.
    pub(crate) max_streams_per_tenant: Option<usize>,
    /// Points a second that one tenant may send; any unless told.
    pub(crate) max_points_per_s: Option<u64>,
    /// Whether apis that are not declared are declared, to be observed.
    pub(crate) adopt: bool,
    /// Pool of such apis.
    pub(crate) pool: Option<String>,
    /// Whose metrics are that name no tenant, where the credential holds several.
    pub(crate) tenant: String,
    /// `route` or `service`: what an api is by convention.
    pub(crate) apis: Apis,
    /// What does not follow the conventions; the first that matches decides.
    pub(crate) mapping: Vec<RuleConfig>,
}

impl Default for FeedsConfig {
    fn default() -> Self {
        Self {
            listen: vec![],
            step: None,
            hold: Seconds(90),
            gap: Seconds(300),
            message: 16,
            concurrency: 64,
            memory: 256,
            max_streams: 1_000_000,
            max_streams_per_tenant: None,
            max_points_per_s: None,
            adopt: true,
            pool: None,
            tenant: "default".into(),
            apis: Apis::Route,
            mapping: vec![],
        }
    }
}

/// What an api is by convention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Apis {
    /// A route of a service.
    Route,
    /// A service.
    Service,
}

/// A rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleConfig {
    /// Which metrics, as in PromQL: `http_requests_total{job="edge"}`.
    #[serde(rename = "match")]
    pub(crate) matcher: String,
    /// Pass them over.
    #[serde(default)]
    pub(crate) drop: bool,
    /// The api's name, `{label}` standing for a label's value.
    pub(crate) api: Option<String>,
    /// requests, errors, latency, cpu, memory, network or io.
    pub(crate) signal: Option<String>,
    /// Which of them are errors too: `{code=~"5.."}`.
    pub(crate) errors: Option<String>,
    /// What values are multiplied by to be in the signal's unit (s, cores, bytes); counts of requests
    /// are taken as they are.
    pub(crate) scale: Option<f64>,
}

impl RuleConfig {
    fn rule(&self) -> Result<Rule, String> {
        let text = |e: rules::RuleError| e.to_string();
        let matcher = Matcher::new(&self.matcher).map_err(|e| format!("match: {e}"))?;
        if self.drop {
            let more = [
                self.api.is_some(),
                self.signal.is_some(),
                self.errors.is_some(),
                self.scale.is_some(),
            ];
            if more.contains(&true) {
                return Err("drop: a rule that drops has nothing else beside `match`".into());
            }
            let action = Action::Drop;
            return Ok(Rule { matcher, action });
        }
        let (Some(api), Some(signal)) = (&self.api, &self.signal) else {
            return Err("it needs `api` and `signal`, or `drop: true`".into());
        };
        rules::check_template(api).map_err(|e| format!("api: {e}"))?;
        let signal = Signal::parse(signal).ok_or_else(|| {
            format!("signal: `{signal}` is none; write requests, errors, latency, cpu, memory, network or io")
        })?;
        if self.errors.is_some() && signal != Signal::Requests {
            return Err("errors: only of requests some can be errors; leave it out".into());
        }
        if let Some(scale) = self.scale.filter(|s| !(s.is_finite() && *s > 0.0)) {
            return Err(format!(
                "scale: {scale} is no factor; write a number above 0"
            ));
        }
        let errors = self.errors.as_deref().map(Matcher::new).transpose();
        let errors = errors.map_err(|e| format!("errors: {}", text(e)))?;
        Ok(Rule {
            matcher,
            action: Action::Feed {
                api: api.clone(),
                signal,
                errors,
                scale: self.scale,
            },
        })
    }
}

impl FeedsConfig {
    /// What feeds need of it; `step` is the daemon's.
    ///
    /// # Errors
    /// Names the key and the remedy.
    pub(crate) fn options(&self, step: u32, clock: Clock) -> Result<Options, String> {
        let own = match self.step {
            Some(own) => own.0,
            None if step.is_multiple_of(10) => 10,
            None => step,
        };
        let own_step = Step::from_secs(own).filter(|_| step.is_multiple_of(own));
        let Some(own_step) = own_step else {
            return Err(format!(
                "feeds.step: {own} s do not divide the step of {step} s; write for example {step}s"
            ));
        };
        for (key, span, least) in [("hold", self.hold, own), ("gap", self.gap, 1)] {
            if !(least..=86_400).contains(&span.0) {
                return Err(format!(
                    "feeds.{key}: {} s are not between {least} s and a day",
                    span.0
                ));
            }
        }
        if !(1..=1024).contains(&self.message) {
            return Err(format!(
                "feeds.message: {} MiB are not between 1 and 1024",
                self.message
            ));
        }
        if !(16..=65_536).contains(&self.memory) {
            return Err(format!(
                "feeds.memory: {} MiB are not between 16 and 65536",
                self.memory
            ));
        }
        if self.concurrency == 0 || self.max_streams == 0 {
            return Err("feeds: 0 for `concurrency` or `max_streams` would take nothing; leave it out for the default".into());
        }
        if self.max_streams_per_tenant == Some(0) || self.max_points_per_s == Some(0) {
            return Err("feeds: 0 for `max_streams_per_tenant` or `max_points_per_s` would take nothing; leave it out for no bound".into());
        }
        let tenant = self.tenant.parse::<TenantId>();
        let tenant = tenant.map_err(|e| format!("feeds.tenant: {e}"))?;
        let pool = self.pool.as_deref().map(str::parse::<PoolId>).transpose();
        let pool = pool.map_err(|e| format!("feeds.pool: {e}"))?;
        if pool.is_some() && !self.adopt {
            return Err("feeds.pool: without `adopt`, no api is put anywhere; leave it out".into());
        }
        let rules = self.mapping.iter().enumerate().map(|(i, rule)| {
            rule.rule()
                .map_err(|problem| format!("feeds.mapping[{i}]: {problem}"))
        });
        let ms = |s: Seconds| i64::from(s.0) * 1000;
        Ok(Options {
            mapping: Mapping {
                rules: rules.collect::<Result<_, _>>()?,
                granularity: match self.apis {
                    Apis::Route => Granularity::Route,
                    Apis::Service => Granularity::Service,
                },
                tenant: Some(tenant),
            },
            terms: Terms {
                step: own_step,
                hold_ms: ms(self.hold),
                gap_ms: ms(self.gap),
                max_open: self.memory << 20,
                max_streams: self.max_streams,
                max_streams_per_tenant: self.max_streams_per_tenant.unwrap_or(usize::MAX),
                ..Terms::default()
            },
            adoption: if self.adopt {
                Adoption::Observe(pool)
            } else {
                Adoption::Never
            },
            clock,
            max_points_per_s: self.max_points_per_s,
            patience: PATIENCE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_names_its_key_and_the_remedy() {
        let read = |yaml: &str| -> Result<Options, String> {
            let config: FeedsConfig = serde_saphyr::from_str(yaml).unwrap();
            config.options(60, Clock::Machine)
        };
        assert_eq!(read("{}").unwrap().terms.step.secs(), 10);
        for (yaml, parts) in [
            ("step: 7s", ["feeds.step", "60s"]),
            ("hold: 5s", ["feeds.hold", "between 10 s"]),
            ("message: 0", ["feeds.message", "between 1"]),
            ("memory: 1", ["feeds.memory", "between 16"]),
            ("max_streams: 0", ["max_streams", "leave it out"]),
            ("max_points_per_s: 0", ["max_points_per_s", "leave it out"]),
            ("tenant: a b", ["feeds.tenant", "only letters"]),
            ("{adopt: false, pool: edge}", ["feeds.pool", "leave it out"]),
            (
                "mapping: [{match: 'x{', drop: true}]",
                ["feeds.mapping[0]: match", "character"],
            ),
            (
                "mapping: [{match: x, drop: true}, {match: y}]",
                ["feeds.mapping[1]", "`api` and `signal`"],
            ),
            (
                "mapping: [{match: x, api: a, signal: speed}]",
                ["signal: `speed`", "latency"],
            ),
            (
                "mapping: [{match: x, api: 'a{', signal: cpu}]",
                ["api", "{label}"],
            ),
            (
                "mapping: [{match: x, api: a, signal: cpu, errors: y}]",
                ["errors", "requests"],
            ),
            (
                "mapping: [{match: x, api: a, signal: cpu, scale: 0}]",
                ["scale", "above 0"],
            ),
        ] {
            let problem = read(yaml).unwrap_err();
            assert!(
                parts.iter().all(|p| problem.contains(p)),
                "{yaml}: {problem}"
            );
        }
        let daemon_of_7 = FeedsConfig::default().options(7, Clock::Machine).unwrap();
        assert_eq!(daemon_of_7.terms.step.secs(), 7);
    }
}
