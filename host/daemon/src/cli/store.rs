//! `tidegate store`: what an operator does with the store itself. What is in it, whether it is whole, copies of
//! it, room that it gives back, and its series as a table for other programs.
//!
//! A verb that only reads can be asked of a running daemon; one that moves files works on a data directory that
//! no daemon has open, and says so where one has. Nothing here knows what a value means: that is the store's.

mod backup;
mod compact;
mod export;
mod salvage;
mod stat;
mod verify;

use super::connect::{Flags, Output};
use super::errors::usage;
use super::evaluate::progress::Bar;
use super::say;
use super::words::printable;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// What to do with the store.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Show what it holds: series, samples, blocks, records, and where the room goes
    Stat(stat::Args),
    /// Check every value of a stopped daemon's store, or a backup
    Verify(verify::Args),
    /// Copy what can be read of a damaged store into a new one, and name what is lost; exit code 3 if anything is
    Salvage(salvage::Args),
    /// Write a stopped daemon's store once more, without the room of what is gone
    Compact(compact::Args),
    /// Write everything that it holds at this instant to one file; a daemon goes on meanwhile
    Backup(backup::Args),
    /// Make a store of a backup
    Restore(backup::RestoreArgs),
    /// Write a series as CSV
    Export(export::Args),
    /// Bring a stopped daemon's store to the layout of this version, as its next start would
    Migrate(compact::MigrateArgs),
}

/// Does it.
pub(crate) fn run(verb: Verb, flags: &Flags) -> Result<()> {
    match verb {
        Verb::Stat(args) => stat::run(&args, flags),
        Verb::Verify(args) => verify::run(&args, flags.output),
        Verb::Salvage(args) => salvage::run(&args, flags.output),
        Verb::Compact(args) => compact::run(&args, flags.output),
        Verb::Backup(args) => backup::run(&args, flags),
        Verb::Restore(args) => backup::restore(&args, flags.output),
        Verb::Export(args) => export::run(&args, flags),
        Verb::Migrate(args) => compact::migrate(&args, flags.output),
    }
}

/// The store in a data directory; the directory of the store itself is understood as well.
fn place(dir: &Path) -> Result<PathBuf> {
    let inner = dir.join("store");
    if inner.is_dir() {
        return Ok(inner);
    }
    match ["sled", "sled.incoming", "sled.outgoing"]
        .iter()
        .any(|name| dir.join(name).is_dir())
    {
        true => Ok(dir.to_owned()),
        false => Err(usage(format!(
            "{}: there is no store in it; give the data directory of a daemon (its --data)",
            dir.display()
        ))),
    }
}

/// Bytes of the files under a path, for a bar; what cannot be looked at counts nothing.
fn size(path: &Path) -> u64 {
    let Ok(entries) = path.read_dir() else {
        return path.metadata().map_or(0, |about| about.len());
    };
    entries.flatten().map(|entry| size(&entry.path())).sum()
}

/// A bar over so many bytes, and what is to be called with how many are done.
fn progress(name: &str, all: u64) -> impl FnMut(u64) {
    let bar = Bar::new(name);
    let count = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX / 100);
    // Files hold room that nobody reads: of a churned store the bar ends early.
    move |done| bar.tell(count(done.min(all)), count(all))
}

/// Prints a value as JSON, or a sentence.
fn print(output: Output, value: &serde_json::Value, human: &str) -> Result<()> {
    match output {
        Output::Json => say(&serde_json::to_string_pretty(value)?),
        Output::Human => say(&printable(human)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_and_a_stores_own_directory_are_both_understood() {
        let home = tempfile::tempdir().unwrap();
        let told = place(home.path()).unwrap_err().to_string();
        assert!(told.contains("--data"), "{told}");
        let store = home.path().join("store");
        std::fs::create_dir_all(store.join("sled")).unwrap();
        assert_eq!(place(home.path()).unwrap(), store);
        assert_eq!(place(&store).unwrap(), store);
    }
}
