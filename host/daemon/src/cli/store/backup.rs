//! `tidegate store backup` and `restore`: everything that a store holds in one file, and back.
//!
//! A running daemon writes the file itself, beside its data, because nobody else may read while it writes; then
//! it is moved to where it was asked for. So both are on one machine. A caller does not name a path to the
//! daemon: it would let a credential write wherever the daemon may.

use super::{place, print, progress, size};
use crate::cli::connect::{Flags, Output, online};
use crate::cli::errors::{Told as _, usage};
use crate::cli::interrupt::Temporary;
use crate::cli::words::bytes;
use crate::copies;
use anyhow::{Context as _, Result, anyhow};
use serde_json::json;
use std::path::{Path, PathBuf};
use tidegate_client::v1;
use tidegate_store::{Manifest, Onto, Store};

/// Of what, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file to write; nothing may be there yet
    #[arg(value_name = "FILE")]
    to: PathBuf,
    /// Data directory of a stopped daemon; the running daemon's store when left out
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

/// Of what, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    from: PathBuf,
    /// Data directory for a daemon, which is not running
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Replace the store that is there; what it holds is gone then
    #[arg(long)]
    replace: bool,
}

/// Makes a backup.
pub(super) fn run(args: &Args, flags: &Flags) -> Result<()> {
    if args.to.exists() {
        return Err(usage(format!(
            "{}: there is something; name a new file",
            args.to.display()
        )));
    }
    let manifest = match &args.store {
        Some(dir) => {
            let dir = place(dir)?;
            let _partial = Temporary::new(partial(&args.to));
            Store::backup_of(&dir, &args.to, &mut progress("backing up", size(&dir)))
                .with_context(|| format!("cannot back up the store in {}", dir.display()))?;
            let checked = checked(&args.to)?;
            copies::note(&dir, &args.to);
            checked
        }
        None => live(&args.to, flags)?,
    };
    let told = format!(
        "{}: {} values of {}B; `tidegate store restore {} --store DIR` makes a store of it",
        args.to.display(),
        manifest.values,
        bytes(manifest.bytes as f64),
        args.to.display()
    );
    print(flags.output, &as_json(&args.to, &manifest), &told)
}

fn as_json(file: &Path, manifest: &Manifest) -> serde_json::Value {
    let kinds = manifest.kinds.iter();
    json!({
        "backup": file.display().to_string(), "layout": manifest.layout, "values": manifest.values,
        "bytes": manifest.bytes,
        "kinds": kinds
            .map(|(kind, (values, bytes))| json!({"kind": kind, "values": values, "bytes": bytes}))
            .collect::<Vec<_>>(),
    })
}

/// Lets the daemon write it, and moves it.
fn live(to: &Path, flags: &Flags) -> Result<Manifest> {
    let name = crate::copies::name();
    let mut path = None;
    online(flags, async |session| {
        let extent = v1::CopyExtent::Whole.into();
        let asked = v1::CopyStoreRequest { name, extent };
        path = Some(session.client.status().copy_store(asked).await.told()?.path);
        Ok(())
    })?;
    // Removed unless it was moved away.
    let theirs = Temporary::new(PathBuf::from(path.unwrap_or_default()));
    if !theirs.path().is_file() {
        return Err(anyhow!(
            "the daemon at {} wrote a backup to {}, which cannot be read here: it is on another machine, or of \
             another user; fetch it from there",
            flags.server,
            theirs.path().display()
        ));
    }
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    if std::fs::rename(theirs.path(), to).is_err() {
        copy(theirs.path(), to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    checked(to)
}

/// Read again from where it is now: what counts is what can be restored from there.
fn checked(to: &Path) -> Result<Manifest> {
    Store::check_backup(to, &mut progress("checking", size(to)))
        .with_context(|| format!("the backup was made, and is not whole in {}", to.display()))
}

/// The name of a file until it is whole.
fn partial(to: &Path) -> PathBuf {
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    PathBuf::from(partial)
}

/// To another file system: under another name until it is whole.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let partial = Temporary::new(partial(to));
    std::fs::copy(from, partial.path())?;
    std::fs::File::open(partial.path())?.sync_all()?;
    std::fs::rename(partial.path(), to)
}

/// Makes a store of one.
pub(super) fn restore(args: &RestoreArgs, output: Output) -> Result<()> {
    let is_bare = args.store.join("sled").is_dir();
    let dir = match is_bare {
        true => args.store.clone(),
        false => args.store.join("store"),
    };
    let onto = match args.replace {
        true => Onto::Store,
        false => Onto::Nothing,
    };
    if !args.replace && dir.join("sled").is_dir() {
        return Err(usage(format!(
            "--store {}: there is a store in it; name another directory, or --replace it (what it holds is gone then)",
            args.store.display()
        )));
    }
    let manifest = Store::restore(
        &args.from,
        &dir,
        onto,
        &mut progress("restoring", size(&args.from)),
    )
    .with_context(|| format!("nothing was restored into {}", args.store.display()))?;
    let told = format!(
        "{}: {} values of {}B are there again; `tidegate serve --data {}` goes on with them",
        dir.display(),
        manifest.values,
        bytes(manifest.bytes as f64),
        args.store.display()
    );
    print(output, &as_json(&args.from, &manifest), &told)
}
