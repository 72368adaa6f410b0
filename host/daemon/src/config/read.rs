//! Reads YAML so that a mistake names its line and what was probably meant.

use super::Config;
use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
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
                from_yaml(&text, &path.display().to_string())?
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

/// Deserialises YAML; an error says `FILE:LINE: what is wrong (did you mean …?)`.
pub(crate) fn from_yaml<T: DeserializeOwned>(text: &str, name: &str) -> Result<T> {
    serde_saphyr::from_str(text).map_err(|error| anyhow::anyhow!("{name}: {}", explain(&error.to_string())))
}

/// Adds the nearest known key to serde's list of all of them.
fn explain(message: &str) -> String {
    let first = message.lines().next().unwrap_or(message);
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let Some((wrong, known)) = quoted.split_first() else { return message.trim_end().to_owned() };
    let unknown = message.contains("unknown field") || message.contains("unknown variant");
    let near = known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(wrong, k), *k))
        .min()
        .filter(|(distance, k)| unknown && *distance <= 2.max(k.len() / 3));
    match near {
        Some((_, k)) => format!("{first}\n  did you mean `{k}`?"),
        None => message.trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str, parts: &[&str]) {
        let error = match from_yaml::<Config>(yaml, "tidegate.yaml") {
            Err(error) => error.to_string(),
            Ok(config) => config.check().unwrap_err(),
        };
        for part in parts {
            assert!(error.contains(part), "{yaml}: {error}");
        }
    }

    #[test]
    fn a_mistake_names_its_line_and_what_was_meant() {
        check("step: 60s\nhorizn: 1h\n", &["tidegate.yaml", "2", "horizn", "did you mean `horizon`"]);
        check("step: soon\n", &["not a duration", "15m"]);
        check("clock: lunar\n", &["lunar", "system"]);
        check("step: 60s\nhorizon: 90s\n", &["horizon", "multiple of the step"]);
        check("target_utilisation: 1.5\n", &["target_utilisation", "above 0"]);
        check("listen: [1, 2]\n", &["1"]);
    }
}
