//! `tidegate policy wrap`: a component that another language's tools have made, as a policy.
//!
//! Of a Rust crate the manifest comes out of Cargo.toml; of all others it is a JSON file beside the
//! source. The interface's version is read from the component, never from the file.

use crate::cli::connect::Output;
use crate::cli::errors::usage;
use crate::cli::say;
use anyhow::{Context as _, Result, anyhow};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tidegate_build::component;
use tidegate_build::manifest::{Kind, Limits, Manifest};

const EXAMPLES: &str = "\
The declaration is JSON:
  {\"name\": \"hourly\", \"version\": \"0.1.0\", \"kind\": \"forecaster\",
   \"config-schema\": {\"type\": \"object\", \"additionalProperties\": false},   or the name of a file beside it
   \"limits\": {\"memory-bytes\": 134217728, \"deadline-ms\": 2000, \"fit-deadline-ms\": 60000},
   \"license\": \"MIT\", \"description\": \"one line\"}
Name, version and kind must be what the component's `describe` says. Limits, license and description may be
left out.

Example, for Python:
  componentize-py -d wit/0.2 -w forecaster componentize --stub-wasi app -o app.wasm
  tidegate policy wrap app.wasm --declare module.json --out hourly.wasm";

/// What to wrap.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The component (.wasm)
    component: PathBuf,
    /// What it is, as JSON; see below
    #[arg(long, value_name = "FILE")]
    declare: PathBuf,
    /// Where to put the policy
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Declared {
    name: String,
    version: String,
    kind: Kind,
    #[serde(default)]
    config_schema: Option<serde_json::Value>,
    #[serde(default)]
    limits: DeclaredLimits,
    #[serde(default)]
    warm: bool,
    #[serde(default)]
    license: String,
    #[serde(default)]
    description: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct DeclaredLimits {
    memory_bytes: Option<u64>,
    deadline_ms: Option<u64>,
    fit_deadline_ms: Option<u64>,
}

/// Wraps.
pub(crate) fn run(args: &Args, output: Output) -> Result<()> {
    let bytes = std::fs::read(&args.component)
        .with_context(|| format!("cannot read {}", args.component.display()))?;
    let wrapped = component::wrap(&bytes, &manifest(&args.declare)?)
        .map_err(|e| anyhow!("{}: {e}", args.component.display()))?;
    std::fs::write(&args.out, &wrapped)
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    let shown = args.out.display().to_string();
    match output {
        Output::Json => say(&serde_json::json!({"component": shown}).to_string()),
        Output::Human => {
            say(&shown)?;
            eprintln!("next: tidegate policy test {shown}");
            Ok(())
        }
    }
}

fn manifest(file: &Path) -> Result<Manifest> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let declared: Declared = serde_json::from_str(&text)
        .map_err(|e| usage(format!("{shown}: {e}; see `tidegate policy wrap --help`")))?;
    let config_schema = match declared.config_schema {
        None => serde_json::json!({"type": "object", "additionalProperties": false}),
        Some(serde_json::Value::String(name)) => {
            let path = file.with_file_name(&name);
            let text = std::fs::read_to_string(&path).with_context(|| {
                format!("{shown}: config-schema: cannot read {}", path.display())
            })?;
            serde_json::from_str(&text)
                .map_err(|e| usage(format!("{}: not JSON: {e}", path.display())))?
        }
        Some(schema) => schema,
    };
    Ok(Manifest {
        name: declared.name,
        version: declared.version,
        kind: declared.kind,
        interface: String::new(),
        config_schema,
        limits: Limits {
            memory_bytes: declared.limits.memory_bytes,
            deadline_ms: declared.limits.deadline_ms,
            fit_deadline_ms: declared.limits.fit_deadline_ms,
        },
        warm: declared.warm,
        license: declared.license,
        description: declared.description,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_is_read_with_its_schema_beside_it_and_a_wrong_key_is_named() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("module.json");
        std::fs::write(home.path().join("schema.json"), r#"{"type": "object"}"#).unwrap();
        let base = r#"{"name": "mine", "version": "0.1.0", "kind": "tierer""#;
        std::fs::write(
            &file,
            format!(r#"{base}, "config-schema": "schema.json"}}"#),
        )
        .unwrap();
        let read = manifest(&file).unwrap();
        assert_eq!((read.name.as_str(), read.kind), ("mine", Kind::Tierer));
        assert_eq!(read.config_schema, serde_json::json!({"type": "object"}));
        std::fs::write(&file, format!(r#"{base}, "limit": {{}}}}"#)).unwrap();
        let told = manifest(&file).unwrap_err().to_string();
        assert!(
            told.contains("limit") && told.contains("module.json"),
            "{told}"
        );
    }
}
