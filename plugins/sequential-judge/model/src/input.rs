//! What the judge is asked: counts per flush and metric, in the columns of the interface.

use std::collections::BTreeSet;

use crate::Error;
use crate::verdict::PAIRED;

/// How a metric is counted and when it matters. An event is always a bad one.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Unique.
    pub name: String,
    /// Metrics of one group (the edges of one latency distribution) share evidence of harm.
    pub group: String,
    /// Event rates above `rho_warn` times production's warn.
    pub rho_warn: f64,
    /// Event rates above `rho_rollback` times production's are harm.
    pub rho_rollback: f64,
    /// Event rates below `rho_promote` times production's are good enough; above 1.
    pub rho_promote: f64,
    /// Whether it can roll back, and must pass before a promotion.
    pub critical: bool,
}

/// Events out of requests, each column `[flush][metric]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bad events of the shadow.
    pub shadow_events: Vec<u64>,
    /// Requests of the shadow.
    pub shadow_requests: Vec<u64>,
    /// Bad events of production.
    pub production_events: Vec<u64>,
    /// Requests of production.
    pub production_requests: Vec<u64>,
}

/// One call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Input {
    /// Milliseconds since the epoch.
    pub now: i64,
    /// What the last call returned; empty at the start of a release.
    pub state: Vec<u8>,
    /// May be empty for policy modules.
    pub metrics: Vec<Metric>,
    /// Start of each flush since the last call, in milliseconds, rising.
    pub flushes: Vec<i64>,
    /// What happened in them.
    pub counts: Counts,
    /// `[metric]`: over-dispersion measured by an A/A run, at least 1; 0 where none was run.
    pub dispersion: Vec<f64>,
    /// Loss of the candidate less loss of the incumbent per paired decision since the last call,
    /// -1 to 1.
    pub paired_losses: Vec<f64>,
    /// Steps over which one loss overlaps the next; 0 where losses are not used.
    pub paired_horizon: u32,
    /// Seconds that the release may still run.
    pub remaining: u32,
}

impl Input {
    /// Whether paired losses are part of this release's evidence.
    #[must_use]
    pub fn paired(&self) -> bool {
        self.paired_horizon > 0
    }

    /// Checks shapes and ranges.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] naming the column and the place.
    pub fn validate(&self) -> Result<(), Error> {
        let (m, cells) = (self.metrics.len(), self.flushes.len() * self.metrics.len());
        let refuse = |what: String| Err(Error::InvalidInput(what));
        let columns = [
            ("shadow-events", &self.counts.shadow_events),
            ("shadow-requests", &self.counts.shadow_requests),
            ("production-events", &self.counts.production_events),
            ("production-requests", &self.counts.production_requests),
        ];
        for (name, column) in columns {
            if column.len() != cells {
                let got = column.len();
                return refuse(format!(
                    "{name} has {got} counts, not {cells} (flushes x metrics)"
                ));
            }
        }
        for at in 0..cells {
            let c = &self.counts;
            if c.shadow_events[at] > c.shadow_requests[at]
                || c.production_events[at] > c.production_requests[at]
            {
                let (flush, metric) = (at / m, &self.metrics[at % m].name);
                return refuse(format!(
                    "flush {flush} of metric {metric} has more events than requests: count every \
                     event's request too"
                ));
            }
        }
        if let Some(at) = self.flushes.windows(2).position(|w| w[0] >= w[1]) {
            return refuse(format!(
                "flushes[{}] does not come after the one before",
                at + 1
            ));
        }
        if self.dispersion.len() != m {
            return refuse(format!(
                "dispersion has {} values, not {m}",
                self.dispersion.len()
            ));
        }
        let lawful = |v: f64| v == 0.0 || (1.0..1e6).contains(&v);
        if let Some(at) = self.dispersion.iter().position(|&v| !lawful(v)) {
            let value = self.dispersion[at];
            return refuse(format!(
                "dispersion[{at}] is {value}, not 0 (unknown) or >= 1"
            ));
        }
        let mut names = BTreeSet::new();
        for metric in &self.metrics {
            metric.validate()?;
            if [&metric.name, &metric.group]
                .iter()
                .any(|name| *name == PAIRED)
            {
                return refuse(format!(
                    "{PAIRED} is the name of the paired losses' evidence"
                ));
            }
            if !names.insert(&metric.name) {
                return refuse(format!("metric {} occurs twice", metric.name));
            }
        }
        if !self.paired() && !self.metrics.iter().any(|metric| metric.critical) {
            return refuse(
                "no metric is critical and no losses are paired: nothing can decide".into(),
            );
        }
        if !self.paired() && !self.paired_losses.is_empty() {
            return refuse("paired-losses need a paired-horizon of at least 1".into());
        }
        if self.paired_horizon > 4096 {
            return refuse(format!(
                "paired-horizon is {}, above 4096",
                self.paired_horizon
            ));
        }
        if let Some(at) = self.paired_losses.iter().position(|d| d.is_nan()) {
            return refuse(format!("paired-losses[{at}] is NaN"));
        }
        Ok(())
    }
}

impl Metric {
    fn validate(&self) -> Result<(), Error> {
        let Self {
            name,
            rho_warn,
            rho_rollback,
            rho_promote,
            ..
        } = self;
        let range = 0.01..=100.0;
        let rhos = [rho_warn, rho_rollback, rho_promote];
        if rhos.iter().any(|rho| !range.contains(*rho)) {
            return Err(Error::InvalidInput(format!(
                "metric {name}: rho-warn {rho_warn}, rho-rollback {rho_rollback} and rho-promote \
                 {rho_promote} must be ratios within 0.01 and 100"
            )));
        }
        if rho_warn > rho_rollback {
            return Err(Error::InvalidInput(format!(
                "metric {name}: rho-warn {rho_warn} is above rho-rollback {rho_rollback}"
            )));
        }
        Ok(())
    }
}
