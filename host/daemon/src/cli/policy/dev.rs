//! `tidegate policy dev`: at every change of a plugin's source it is built, pushed and bound.
//!
//! Files are looked at and not watched: a look at the few dozen that a plugin is made of costs nothing,
//! and every way of watching differs between machines and misses what editors do. A build that fails, or
//! a component that is refused, is told, and what served goes on serving.

use super::build::{self, Build};
use super::upload;
use crate::cli::connect::{Flags, Output, Session, online};
use crate::cli::errors::{Told as _, usage};
use crate::cli::{json, say, words};
use crate::clock::stopwatch;
use anyhow::{Context as _, Result, anyhow};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tidegate_client::v1;

/// What to develop.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory of the plugin's Cargo.toml
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// The binding that it shall serve, as `tidegate get bindings` lists it
    #[arg(long)]
    binding: String,
    /// Configuration under the module's schema; the binding's stays unless told
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
    /// The tenant that shall hold it; the only tenant of the credential unless told, everybody for an
    /// operator
    #[arg(long)]
    tenant: Option<String>,
    /// Build, push and bind once, and end
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    build: Build,
}

/// Between two looks at the files.
const LOOK: Duration = Duration::from_millis(300);

/// Runs until it is interrupted, or once.
pub(crate) fn run(args: &Args, flags: &Flags) -> Result<()> {
    if let Some(text) = &args.config {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(text);
        parsed.map_err(|e| usage(format!("--config is not JSON: {e}")))?;
    }
    if !args.directory.join("Cargo.toml").is_file() {
        return Err(usage(format!(
            "{} holds no Cargo.toml; `tidegate policy new KIND NAME` makes a plugin",
            args.directory.display()
        )));
    }
    if args.once {
        return round(args, flags).map(|_| ());
    }
    let mut inputs = BTreeSet::from([
        args.directory.join("src"),
        args.directory.join("Cargo.toml"),
    ]);
    loop {
        let before = seen(&inputs);
        match round(args, flags) {
            Ok(known) => inputs.extend(known),
            Err(error) => eprintln!("{}", words::printable(&format!("{error:#}"))),
        }
        eprintln!(
            "waiting for changes below {} (Ctrl-C ends)",
            args.directory.display()
        );
        while seen(&inputs) == before {
            std::thread::sleep(LOOK);
        }
    }
}

/// Builds, pushes and binds; gives the files that the component came from.
fn round(args: &Args, flags: &Flags) -> Result<BTreeSet<PathBuf>> {
    let clock = stopwatch();
    let mut built = build::built(&args.directory, &args.build)?;
    let (Some(one), true) = (built.pop(), built.is_empty()) else {
        return Err(usage(format!(
            "{} holds several plugins; give the directory of one",
            args.directory.display()
        )));
    };
    let bytes = std::fs::read(&one.component)
        .with_context(|| format!("cannot read {}", one.component.display()))?;
    let compiled = clock.elapsed();
    let tenant = args.tenant.clone().unwrap_or_default();
    let request = v1::BindRequest {
        binding: args.binding.clone(),
        module: tidegate_build::hex(&one.digest),
        config: args.config.clone(),
    };
    let is_json = flags.output == Output::Json;
    online(flags, async |session: Session| {
        upload(bytes, tenant, vec![], &session).await?;
        let answer = session.client.policies().bind(request).await.told()?;
        let slot = answer.slot.unwrap_or_default();
        let active = slot.active.as_ref().map(words::module_ref);
        let active = active.ok_or_else(|| anyhow!("nobody serves {}", slot.binding))?;
        let took = clock.elapsed();
        if is_json {
            let mut told = json::slot(&slot);
            told["seconds"] = took.as_secs_f64().into();
            return say(&told.to_string());
        }
        say(&format!(
            "{active} serves {} now (epoch {}); built in {:.1} s, pushed and bound in {:.1} s",
            slot.binding,
            slot.epoch,
            compiled.as_secs_f64(),
            (took - compiled).as_secs_f64()
        ))
    })?;
    Ok(one.inputs)
}

/// When every file was changed last.
fn seen(inputs: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Option<SystemTime>> {
    let mut all = BTreeMap::new();
    for input in inputs {
        look(input, &mut all);
    }
    all
}

fn look(path: &Path, all: &mut BTreeMap<PathBuf, Option<SystemTime>>) {
    match std::fs::read_dir(path) {
        Ok(entries) => {
            for entry in entries.flatten() {
                look(&entry.path(), all);
            }
        }
        Err(_) => {
            let changed = std::fs::metadata(path).and_then(|m| m.modified());
            all.insert(path.to_owned(), changed.ok());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_comes_or_goes_or_changes_is_seen() {
        let home = tempfile::tempdir().unwrap();
        let inputs = BTreeSet::from([home.path().to_owned()]);
        let nothing = seen(&inputs);
        let file = home.path().join("src/lib.rs");
        std::fs::create_dir(home.path().join("src")).unwrap();
        std::fs::write(&file, "one").unwrap();
        let first = seen(&inputs);
        assert_ne!(first, nothing);
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        std::fs::File::open(&file)
            .unwrap()
            .set_modified(later)
            .unwrap();
        let second = seen(&inputs);
        assert_ne!(second, first);
        std::fs::remove_file(&file).unwrap();
        assert_ne!(seen(&inputs), second);
    }
}
