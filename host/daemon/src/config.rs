//! What an operator may configure, with the defaults of one who configures nothing.
//!
//! One YAML file, read once. Unknown keys are errors, because a misspelt key that is silently
//! ignored is a setting that silently does not apply. Flags of `tidegate serve` replace what the
//! file says.

mod duration;
mod feeds;
mod ledger;
pub(crate) mod mistake;
mod policies;
mod read;
mod size;
mod store;

pub(crate) use duration::Seconds;
pub(crate) use feeds::FeedsConfig;
pub(crate) use ledger::LedgerConfig;
pub(crate) use policies::PoliciesConfig;
pub(crate) use read::load;
pub(crate) use size::Size;
pub(crate) use store::StoreConfig;

use crate::driver::Fits;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tidegate_core::time::Step;
use tidegate_flow::cycle::Settings;
use tidegate_flow::demand;
use tidegate_flow::forecast::Refresh;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where the gRPC API listens.
    pub(crate) listen: SocketAddr,
    /// Where everything is kept.
    pub(crate) data: PathBuf,
    /// Whose time counts.
    pub(crate) clock: ClockKind,
    /// Resolution of forecasts and plans.
    pub(crate) step: Seconds,
    /// How far forecasts reach.
    pub(crate) horizon: Seconds,
    /// How far plans reach; at most the horizon.
    pub(crate) plan: Seconds,
    /// How long a plan is valid when no newer one comes.
    pub(crate) validity: Seconds,
    /// How far ahead of demand a grant moves, besides a pool's lead time and what the allocator adds
    /// (`waterfill` looks one step ahead by itself).
    pub(crate) ahead: Seconds,
    /// How often the world is looked at.
    pub(crate) cycle: Seconds,
    /// How much history a fit sees at most.
    pub(crate) history: Seconds,
    /// How often a series is fitted anew.
    pub(crate) refit: Seconds,
    /// Series that may be forecast anew in one step. Where there are more, each has its turn every few
    /// steps, and its last forecast serves in between, unless what comes leaves it.
    pub(crate) forecasts_per_step: u32,
    /// How long a forecast may serve until it is made anew, however many series there are; 30 steps
    /// where absent.
    pub(crate) forecast_life: Option<Seconds>,
    /// CPU time of fitting per hour, shared fairly over tenants.
    pub(crate) fit_budget: Seconds,
    /// How long one batch of fits may take.
    pub(crate) fit_deadline: Seconds,
    /// Part of a grant that is meant to be used, 0 to 1.
    pub(crate) target_utilisation: f64,
    /// Root of all seeds.
    pub(crate) seed: u64,
    /// How long a drain may take.
    pub(crate) drain: Seconds,
    /// Who may call.
    pub(crate) auth: Auth,
    /// How the listener is secured.
    pub(crate) tls: Option<Tls>,
    /// Listen beyond loopback without tokens or without TLS.
    pub(crate) allow_insecure: bool,
    /// Feeds of other protocols: where they come in, what they are, how they are added up.
    pub(crate) feeds: FeedsConfig,
    /// How modules are tried, what they may use, and who must have signed them.
    pub(crate) policies: PoliciesConfig,
    /// How long decisions can be explained and made again.
    pub(crate) ledger: LedgerConfig,
    /// How long samples are kept, and at which resolution.
    pub(crate) store: StoreConfig,
    /// Logs and export.
    pub(crate) telemetry: TelemetryConfig,
}

/// Whose time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClockKind {
    /// The machine's.
    System,
    /// Whoever calls `Clock.Advance`: for feeds that replay the past.
    Driven,
}

/// Credentials.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Auth {
    /// Bearer tokens, by hash. Empty: every caller is the local administrator.
    pub(crate) tokens: Vec<Token>,
}

/// One credential.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    /// For logs and records.
    pub(crate) name: String,
    /// SHA-256 of the token, 64 hexadecimal digits; `tidegate token` makes both.
    pub(crate) sha256: String,
    /// reader, writer, operator or admin.
    pub(crate) role: String,
    /// Its tenants; absent means all.
    pub(crate) tenants: Option<Vec<String>>,
}

/// Files of the listener's identity.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// PEM chain.
    pub(crate) certificate: PathBuf,
    /// PEM key.
    pub(crate) key: PathBuf,
    /// PEM of the authority that client certificates must come from; absent asks for none.
    pub(crate) client_ca: Option<PathBuf>,
}

/// Logs and export.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TelemetryConfig {
    /// `text` or `json`.
    pub(crate) format: LogKind,
    /// `info`, or per module: `info,tidegate_engine=debug`.
    pub(crate) filter: String,
    /// OTLP/gRPC endpoint for traces and metrics, for example `http://127.0.0.1:4317`.
    pub(crate) otlp: Option<String>,
    /// `service.instance.id` of what is exported; the machine's name and the port where absent.
    pub(crate) instance: Option<String>,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogKind {
    /// For a person.
    Text,
    /// For a machine.
    Json,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            format: LogKind::Text,
            filter: "info".into(),
            otlp: None,
            instance: None,
        }
    }
}

/// Most steps of history that a fit may see: a fit holds a batch of such series in memory.
const MAX_FIT_STEPS: u32 = 2_000_000;

/// Where a daemon listens and a client looks, unless told otherwise.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:7400";

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7400)),
            data: PathBuf::from("tidegate-data"),
            clock: ClockKind::System,
            step: Seconds(60),
            horizon: Seconds(3600),
            plan: Seconds(900),
            validity: Seconds(900),
            ahead: Seconds(0),
            cycle: Seconds(10),
            history: Seconds(14 * 86_400),
            refit: Seconds(6 * 3600),
            forecasts_per_step: 1000,
            forecast_life: None,
            fit_budget: Seconds(900),
            fit_deadline: Seconds(60),
            target_utilisation: demand::Settings::default().target_utilisation,
            seed: 0,
            drain: Seconds(10),
            auth: Auth::default(),
            tls: None,
            allow_insecure: false,
            feeds: FeedsConfig::default(),
            policies: PoliciesConfig::default(),
            ledger: LedgerConfig::default(),
            store: StoreConfig::default(),
            telemetry: TelemetryConfig::default(),
        }
    }
}

impl Config {
    /// Checks what the types cannot.
    pub(crate) fn check(&self) -> Result<(), String> {
        let step = Step::from_secs(self.step.0)
            .ok_or_else(|| format!("step: {} s is not between 1 s and 1 day", self.step.0))?;
        let whole = |name: &str, span: Seconds| {
            if span.0 == 0 || !span.0.is_multiple_of(step.secs()) {
                return Err(format!(
                    "{name}: {} s is not a multiple of the step ({step})",
                    span.0
                ));
            }
            Ok(span.0 / step.secs())
        };
        let horizon = whole("horizon", self.horizon)?;
        let plan = whole("plan", self.plan)?;
        if plan > horizon {
            return Err(
                "plan: it reaches further than the horizon; shorten it or lengthen `horizon`"
                    .into(),
            );
        }
        if horizon > 2016 {
            return Err(format!(
                "horizon: {horizon} steps are more than 2016; use a longer step"
            ));
        }
        if self.validity.0 < step.secs() {
            return Err(format!(
                "validity: a plan must be valid for at least one step ({step})"
            ));
        }
        if self.cycle.0 == 0 {
            return Err("cycle: write at least 1s".into());
        }
        if self.cycle.0 > self.validity.0 {
            return Err(format!(
                "cycle: at one look every {} s, plans (validity: {} s) would expire in between",
                self.cycle.0, self.validity.0
            ));
        }
        if !self.ahead.0.is_multiple_of(step.secs()) {
            return Err(format!(
                "ahead: {} s is not a multiple of the step ({step})",
                self.ahead.0
            ));
        }
        let fitted = self.history.0 / step.secs();
        if fitted < 3 {
            return Err("history: a fit needs at least 3 steps".into());
        }
        if fitted > MAX_FIT_STEPS {
            return Err(format!(
                "history: {fitted} steps of every series are more than {MAX_FIT_STEPS}; shorten it or use a longer step"
            ));
        }
        if self.refit.0 == 0 {
            return Err("refit: write at least 1s; 0 would fit every series in every cycle".into());
        }
        if self.forecasts_per_step == 0 {
            return Err(
                "forecasts_per_step: 0 would never make one; write at least 1, or leave it out for 1000"
                    .into(),
            );
        }
        if let Some(life) = self.forecast_life {
            let steps = whole("forecast_life", life)?;
            // A forecast reaches that much further than the horizon.
            if horizon.saturating_add(steps) > 2016 {
                return Err(format!(
                    "forecast_life: {steps} steps beside the horizon's {horizon} are more than 2016; shorten it"
                ));
            }
        }
        if !(1..=3600).contains(&self.fit_budget.0) {
            return Err(format!(
                "fit_budget: {} s of CPU time per hour are not between 1s and 1h; fits run on one core",
                self.fit_budget.0
            ));
        }
        if self.fit_deadline.0 == 0 {
            return Err("fit_deadline: write at least 1s; 0 would end every fit".into());
        }
        if !(self.target_utilisation > 0.0 && self.target_utilisation <= 1.0) {
            return Err(format!(
                "target_utilisation: {} is not a part of a grant; write a number above 0 and up to 1",
                self.target_utilisation
            ));
        }
        self.feeds
            .options(self.step.0, tidegate_bridges::feed::Clock::Machine)?;
        self.ledger.check()?;
        self.store.check(self)?;
        self.policies.check()
    }

    /// What fits may take.
    pub(crate) fn fits(&self) -> Fits {
        let deadline = Duration::from_secs(u64::from(self.fit_deadline.0));
        Fits::new(self.fit_budget.0, deadline)
    }

    /// What the flow needs of it.
    pub(crate) fn settings(&self) -> Settings {
        let step = Step::from_secs(self.step.0).unwrap_or(Step::MINUTE);
        let steps = |span: Seconds| span.0 / step.secs();
        Settings {
            step,
            horizon: steps(self.horizon).max(1),
            plan_steps: steps(self.plan).max(1),
            validity_ms: i64::from(self.validity.0) * 1000,
            ahead: steps(self.ahead),
            fit_window: steps(self.history).max(3) as usize,
            seed: self.seed,
            refresh: Refresh {
                series_per_step: self.forecasts_per_step as usize,
                longest: self.forecast_life.map_or(Refresh::default().longest, steps),
            },
            demand: demand::Settings {
                target_utilisation: self.target_utilisation,
                ..demand::Settings::default()
            },
            ..Settings::default()
        }
    }
}
