//! `tidegate policy test`: an author's own tests, then the component against what the host relies on.

use super::build::{self, Build};
use crate::cli::connect::Output;
use crate::cli::errors::usage;
use crate::cli::say;
use anyhow::{Context as _, Result, anyhow};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use tidegate_conformance::{Outcome, Report};

/// What to test.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory of a plugin crate, or a component (.wasm)
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// The config under which it is asked
    #[arg(long, value_name = "JSON", default_value = "{}")]
    config: String,
    /// Leave the crate's own tests out
    #[arg(long)]
    no_native: bool,
    #[command(flatten)]
    build: Build,
}

/// Tests.
pub(crate) fn run(args: &Args, output: Output) -> Result<()> {
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(&args.config);
    parsed.map_err(|e| usage(format!("--config is not JSON: {e}")))?;
    let mut components = vec![];
    if args.plugin.is_dir() {
        if !args.no_native {
            native(&args.plugin, args.build.offline)?;
        }
        for built in build::built(&args.plugin, &args.build)? {
            components.push(built.component);
        }
    } else {
        components.push(args.plugin.clone());
    }
    let mut failed = 0;
    let mut told = vec![];
    for file in &components {
        let bytes =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let report = tidegate_conformance::check_with(&bytes, &args.config)
            .map_err(|e| anyhow!("{}: {}", file.display(), chain(&e)))?;
        failed += usize::from(!report.passed());
        match output {
            Output::Human => say(&format!("{}\n{report}", file.display()))?,
            Output::Json => told.push(as_json(file, &report)),
        }
    }
    if output == Output::Json {
        say(&serde_json::to_string_pretty(&told)?)?;
    }
    if failed > 0 {
        return Err(anyhow!(
            "{failed} of {} components break a promise of the interface; the cases above say which",
            components.len()
        ));
    }
    Ok(())
}

/// The crate's tests, by its own cargo, on this machine.
fn native(directory: &Path, offline: bool) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.arg("test").current_dir(directory);
    if offline {
        cargo.arg("--offline");
    }
    // What they print is the author's; this verb's answer is the report.
    cargo.stdout(std::io::stderr());
    let status = cargo.status().context(
        "cannot run `cargo test`; install Rust (https://rustup.rs), or leave it out with --no-native",
    )?;
    if status.success() {
        return Ok(());
    }
    Err(anyhow!("the crate's own tests fail"))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

fn as_json(file: &Path, report: &Report) -> serde_json::Value {
    let cases = report.cases.iter().map(|case| {
        let (outcome, why) = match &case.outcome {
            Outcome::Passed => ("passed", None),
            Outcome::Skipped(why) => ("skipped", Some(why)),
            Outcome::Failed(why) => ("failed", Some(why)),
        };
        json!({"case": case.name, "outcome": outcome, "why": why})
    });
    json!({
        "component": file.display().to_string(),
        "passed": report.passed(),
        "cases": cases.collect::<Vec<_>>(),
    })
}
