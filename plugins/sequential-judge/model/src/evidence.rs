//! The evidence so far: what is carried from call to call, and how a flush is added to it.
//!
//! Per metric one test per question, per group the running maxima that the rules look at. A state
//! belongs to its thresholds: if an operator changes a rho in mid-release, the old evidence
//! answers another question, and the release has to start anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{decode, encode};

use crate::betting::BettingTest;
use crate::bounds::RatioBounds;
use crate::config::Config;
use crate::input::{Input, Metric};
use crate::ratio::{Flush, RatioTest, log_mean_exp};
use crate::{Error, STATE_FORMAT};

/// Evidence of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MetricState {
    pub(crate) harm: RatioTest,
    /// Harm against the severe ratio, which decides while the dispersion is unknown.
    pub(crate) severe: RatioTest,
    pub(crate) warning: RatioTest,
    pub(crate) parity: RatioTest,
    pub(crate) bounds: RatioBounds,
    /// Running maximum of `ln` evidence of parity, deflated by the dispersion.
    pub(crate) best_parity: f64,
    pub(crate) events: u64,
    pub(crate) requests: u64,
}

/// Running maxima of a group's `ln` evidence, deflated by the dispersion.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupState {
    pub(crate) harm: f64,
    pub(crate) warning: f64,
}

/// Evidence from paired losses, with running maxima.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PairedState {
    pub(crate) test: BettingTest,
    pub(crate) harm: f64,
    pub(crate) parity: f64,
}

/// All evidence of one release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Milliseconds: when the first call was made.
    pub(crate) started: i64,
    /// Milliseconds: start of the last flush that was counted.
    pub(crate) last_flush: Option<i64>,
    pub(crate) metrics: BTreeMap<String, MetricState>,
    pub(crate) groups: BTreeMap<String, GroupState>,
    pub(crate) paired: Option<PairedState>,
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
    decode::<State>(STATE_FORMAT, state).map(|_| state.to_vec())
}

impl State {
    /// Reads a state; an empty one begins a release.
    ///
    /// # Errors
    /// As [`migrate`].
    pub(crate) fn open(bytes: &[u8], input: &Input) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Ok(Self {
                started: input.now,
                last_flush: None,
                metrics: BTreeMap::new(),
                groups: BTreeMap::new(),
                paired: None,
            });
        }
        decode(STATE_FORMAT, bytes)
    }

    /// The state as bytes.
    ///
    /// # Errors
    /// [`Error::Internal`] if it cannot be encoded.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, Error> {
        encode(STATE_FORMAT, self)
    }

    /// Adds what happened since the last call.
    pub(crate) fn absorb(&mut self, config: &Config, input: &Input) -> Result<(), Error> {
        if let (Some(last), Some(&first)) = (self.last_flush, input.flushes.first())
            && first <= last
        {
            return Err(Error::InvalidInput(format!(
                "flush {first} was counted before: the last one was {last}"
            )));
        }
        for metric in &input.metrics {
            let known = self.metrics.entry(metric.name.clone());
            let state = known.or_insert_with(|| MetricState::new(config, metric));
            state.check(config, metric)?;
        }
        for flush in 0..input.flushes.len() {
            self.add_flush(config, input, flush);
        }
        self.last_flush = input.flushes.last().copied().or(self.last_flush);
        self.add_losses(config, input)
    }

    fn add_flush(&mut self, config: &Config, input: &Input, flush: usize) {
        let (m, c) = (input.metrics.len(), &input.counts);
        // Per group: ln evidence of harm and warning of its metrics.
        let mut groups: BTreeMap<&str, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
        for (i, metric) in input.metrics.iter().enumerate() {
            let Some(state) = self.metrics.get_mut(&metric.name) else {
                continue;
            };
            let at = flush * m + i;
            let shadow = (c.shadow_events[at], c.shadow_requests[at]);
            let counts = Flush::new(shadow, (c.production_events[at], c.production_requests[at]));
            let dispersion = input.dispersion[i];
            let divisor = dispersion.max(1.0);
            state.add(&counts, divisor, config.alpha);
            state.events = state.events.saturating_add(shadow.0);
            state.requests = state.requests.saturating_add(shadow.1);
            let (harm, warning) = groups.entry(&metric.group).or_default();
            harm.push(state.log_harm(dispersion) / divisor);
            warning.push(state.warning.log_e() / divisor);
        }
        for (name, (harm, warning)) in groups {
            let group = self.groups.entry(name.to_owned()).or_default();
            group.harm = group.harm.max(log_mean_exp(&harm));
            group.warning = group.warning.max(log_mean_exp(&warning));
        }
    }

    fn add_losses(&mut self, config: &Config, input: &Input) -> Result<(), Error> {
        if !input.paired() {
            return Ok(());
        }
        let fresh = || PairedState {
            test: BettingTest::new(
                config.loss_harmless,
                config.loss_margin,
                input.paired_horizon,
            ),
            harm: 0.0,
            parity: 0.0,
        };
        let paired = self.paired.get_or_insert_with(fresh);
        if paired.test.shape() != fresh().test.shape() {
            return Err(Error::InvalidInput(
                "paired-horizon, loss_harmless or loss_margin changed in mid-release: begin with \
                 an empty state"
                    .into(),
            ));
        }
        for &loss in &input.paired_losses {
            paired.test.update(loss);
            paired.harm = paired.harm.max(paired.test.log_harm());
            paired.parity = paired.parity.max(paired.test.log_parity());
        }
        Ok(())
    }
}

impl MetricState {
    fn new(config: &Config, metric: &Metric) -> Self {
        Self {
            harm: RatioTest::above(metric.rho_rollback),
            severe: RatioTest::above(metric.rho_rollback.max(config.severe_rho)),
            warning: RatioTest::above(metric.rho_warn),
            parity: RatioTest::below(metric.rho_promote),
            bounds: RatioBounds::new(),
            best_parity: 0.0,
            events: 0,
            requests: 0,
        }
    }

    fn check(&self, config: &Config, metric: &Metric) -> Result<(), Error> {
        let rhos =
            |s: &Self| [&s.harm, &s.severe, &s.warning, &s.parity].map(|test| test.rho().to_bits());
        let wanted = Self::new(config, metric);
        if rhos(self) != rhos(&wanted) || !self.bounds.is_whole() {
            return Err(Error::InvalidInput(format!(
                "metric {}: a rho changed in mid-release, so the evidence so far answers another \
                 question: begin with an empty state",
                metric.name
            )));
        }
        Ok(())
    }

    fn add(&mut self, flush: &Flush, dispersion: f64, alpha: f64) {
        for test in [
            &mut self.harm,
            &mut self.severe,
            &mut self.warning,
            &mut self.parity,
        ] {
            test.add(flush);
        }
        self.bounds.add(flush, dispersion, alpha / 2.0);
        self.best_parity = self.best_parity.max(self.parity.log_e() / dispersion);
    }

    /// `ln` evidence of the harm that may roll back at this dispersion (0: unknown).
    pub(crate) fn log_harm(&self, dispersion: f64) -> f64 {
        if dispersion >= 1.0 {
            self.harm.log_e()
        } else {
            self.severe.log_e()
        }
    }
}
