//! `tidegate store compact` and `migrate`: a store written anew in its own place, by nobody but its owner.

use super::{place, print, progress, size};
use crate::cli::connect::Output;
use crate::cli::words::bytes;
use anyhow::{Context as _, Result};
use serde_json::json;
use std::path::PathBuf;
use tidegate_store::{Options, Store};

/// Which store.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Data directory of a stopped daemon
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Which store.
#[derive(Debug, clap::Args)]
pub(crate) struct MigrateArgs {
    /// Data directory of a stopped daemon
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Compacts it.
pub(super) fn run(args: &Args, output: Output) -> Result<()> {
    let dir = place(&args.dir)?;
    let done = Store::compact(&dir, &mut progress("compacting", size(&dir))).with_context(|| {
        format!(
            "cannot compact the store in {}, which is as it was (it takes the room of what lives once more)",
            dir.display()
        )
    })?;
    let value = json!({
        "store": dir.display().to_string(), "values": done.values, "live_bytes": done.bytes,
        "before_bytes": done.before, "after_bytes": done.after,
    });
    let size = |n: u64| format!("{}B", bytes(n as f64));
    let after = match done.after < done.before {
        true => format!("{} now", size(done.after)),
        false => "a fresh copy takes no less, so it is as it was".into(),
    };
    let text = format!(
        "{}: {} before, {after}, for {} values of {}",
        dir.display(),
        size(done.before),
        done.values,
        size(done.bytes)
    );
    print(output, &value, &text)
}

/// Opens it, which is what migrates it.
pub(super) fn migrate(args: &MigrateArgs, output: Output) -> Result<()> {
    let dir = place(&args.dir)?;
    let (before, now) = Store::migrate(&dir, &mut progress("writing anew", size(&dir)))
        .with_context(|| {
            format!(
                "cannot migrate the store in {}, which is as it was",
                dir.display()
            )
        })?;
    let value = json!({"store": dir.display().to_string(), "before": before, "layout": now});
    let text = match before == now {
        true => format!(
            "{}: it has layout {now}, that of this version",
            dir.display()
        ),
        false => format!(
            "{}: it had layout {before} and has layout {now}",
            dir.display()
        ),
    };
    print(output, &value, &text)?;
    // That it opens as a whole is part of having it migrated.
    Store::open(&dir, Options::default()).map(|store| store.close())?;
    Ok(())
}
