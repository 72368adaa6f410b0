//! Reads YAML so that a mistake names its line and what was probably meant.

use super::{Config, mistake};
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Reads a configuration file; without one, the defaults.
pub(crate) fn load(path: Option<&Path>) -> Result<Config> {
    let config = match path {
        None => Config::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the configuration {}", path.display()))?;
            if text.trim().is_empty() {
                Config::default()
            } else {
                {
                    let name = path.display().to_string();
                    mistake::read(&text, &name, &name)?
                }
            }
        }
    };
    if let Err(problem) = config.check() {
        match path {
            Some(path) => bail!("{}: {problem}", path.display()),
            None => bail!("{problem}"),
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str, parts: &[&str]) {
        let error = match mistake::read::<Config>(yaml, "tidegate.yaml", "tidegate.yaml") {
            Err(error) => error.to_string(),
            Ok(config) => config.check().unwrap_err(),
        };
        for part in parts {
            assert!(error.contains(part), "{yaml}: {error}");
        }
    }

    #[test]
    fn a_mistake_names_its_line_and_what_was_meant() {
        check(
            "step: 60s\nhorizn: 1h\n",
            &["tidegate.yaml", "2", "horizn", "did you mean `horizon`"],
        );
        check("step: soon\n", &["not a duration", "15m"]);
        check("clock: lunar\n", &["lunar", "system"]);
        check(
            "step: 60s\nhorizon: 90s\n",
            &["horizon", "multiple of the step"],
        );
        check(
            "target_utilisation: 1.5\n",
            &["target_utilisation", "above 0"],
        );
        check("ahead: 30s\n", &["ahead", "multiple of the step"]);
        check("cycle: 1h\n", &["cycle", "expire"]);
        check(
            "step: 1s\nhorizon: 5m\nplan: 1m\nhistory: 90d\n",
            &["history", "2000000"],
        );
        check("refit: 0s\n", &["refit", "at least 1s"]);
        check(
            "forecasts_per_step: 0\n",
            &["forecasts_per_step", "at least 1"],
        );
        check("forecast_life: 90s\n", &["forecast_life", "multiple"]);
        check("forecast_life: 0s\n", &["forecast_life", "multiple"]);
        check(
            "forecast_life: 34h\n",
            &["forecast_life", "2040 steps", "shorten it"],
        );
        check("fit_budget: 2h\n", &["fit_budget", "1h"]);
        check("fit_deadline: 0s\n", &["fit_deadline", "at least 1s"]);
        check("ledger: { keep: 10m }\n", &["ledger.keep", "at least 1h"]);
        check("ledger: { size: 1 }\n", &["ledger.size", "64"]);
        check("ledger: { sise: 100 }\n", &["sise", "size"]);
        check(
            "store: { retention: { raw: 1d } }\n",
            &["store.retention.raw", "at least 2d"],
        );
        check(
            "store: { retention: { raw: 3d } }\n",
            &["store.retention.raw", "`history`", "shorten"],
        );
        check(
            "store: { retention: { 5m: 1d } }\n",
            &["store.retention.5m", "shorten `raw`"],
        );
        check(
            "store: { retention: { 1h: 60d } }\n",
            &["store.retention.1h", "at least 180d"],
        );
        check("store: { size: 1MB }\n", &["store.size", "64MiB"]);
        check("store: { size: 50 }\n", &["size", "50GB"]);
        check("store: { retention: { 10m: 1d } }\n", &["10m", "5m"]);
        check("listen: [1, 2]\n", &["1"]);
        check(
            "policies: { trial: { memory: 1 } }\n",
            &["trial.memory", "128"],
        );
        check(
            "policies: { tenants: { shop: { memory: 0 } } }\n",
            &["shop.memory", "leave it out"],
        );
        check("policies: { limits: { memry: 1 } }\n", &["memry", "memory"]);
    }
}
