//! `--config`: what an operator runs or means to run, in one file.
//!
//! The part `daemon` is the daemon's own file, so that what is tried here is what is served later. The
//! rest names apis by their traces, and modules as a binding does.

use crate::cli::errors::usage;
use crate::config::{Config, mistake};
use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use tidegate_backtest::shape::tidegate::GateOptions;
use tidegate_core::tier::Tier;
use tidegate_flow::cycle::Settings;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Setup {
    /// As `tidegate serve --config` reads it.
    pub(super) daemon: Config,
    /// By the name of their trace (the file's, without its extension).
    pub(super) apis: BTreeMap<String, ApiSetup>,
    /// Who forecasts.
    pub(super) forecaster: Bound,
    /// Who chooses tiers.
    pub(super) tierer: Bound,
    /// Who divides the pool.
    pub(super) allocator: Bound,
}

impl Setup {
    /// How Tidegate is run.
    pub(super) fn options(&self, seed: u64) -> GateOptions {
        GateOptions {
            settings: Settings {
                seed,
                ..self.daemon.settings()
            },
            refit_ms: i64::from(self.daemon.refit.0) * 1000,
        }
    }
}

/// One api.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApiSetup {
    /// Its tier, instead of the one that is dealt out.
    pub(super) tier: Option<TierName>,
    /// What one replica serves at full use, in the trace's unit.
    pub(super) replica: Option<f64>,
}

/// A tier, as manifests write it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TierName {
    Gold,
    Silver,
    Bronze,
}

impl From<TierName> for Tier {
    fn from(name: TierName) -> Self {
        match name {
            TierName::Gold => Tier::Gold,
            TierName::Silver => Tier::Silver,
            TierName::Bronze => Tier::Bronze,
        }
    }
}

/// A module and its config.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Bound {
    /// A shipped module, or a component FILE.wasm.
    pub(super) module: Option<String>,
    /// Under the module's schema.
    config: Option<serde_json::Value>,
}

impl Bound {
    /// The config as JSON, checked against the module's schema.
    pub(super) fn config(&self, module: &str, schema: &str) -> Result<String> {
        let text = self
            .config
            .as_ref()
            .map_or("{}".to_owned(), ToString::to_string);
        tidegate_engine::check_config(schema, &text)
            .map_err(|e| usage(format!("--config: the config of `{module}`: {e}")))?;
        Ok(text)
    }
}

/// Reads the file; without one, the defaults.
pub(super) fn load(path: Option<&Path>) -> Result<Setup> {
    let Some(path) = path else {
        return Ok(Setup::default());
    };
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    if text.trim().is_empty() {
        return Ok(Setup::default());
    }
    let setup: Setup = mistake::read(&text, &shown, &shown)?;
    setup
        .daemon
        .check()
        .map_err(|problem| anyhow!("{shown}: daemon: {problem}"))?;
    for (name, api) in &setup.apis {
        if api.replica.is_some_and(|r| !(r.is_finite() && r > 0.0)) {
            return Err(anyhow!(
                "{shown}: apis.{name}.replica is no load; write what one replica serves, above 0"
            ));
        }
    }
    Ok(setup)
}
