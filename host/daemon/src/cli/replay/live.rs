//! A copy of a running daemon's store, for as long as it is replayed.
//!
//! The daemon makes it, because nobody else can say what belongs together while it writes; this process reads it,
//! because a replay is to share nothing with what it checks. So both are on one machine.

use crate::cli::connect::{Flags, online};
use crate::cli::errors::Told as _;
use anyhow::{Result, anyhow};
use std::path::{Path, PathBuf};
use tidegate_client::v1;

/// See the module; dropping it removes it.
#[derive(Debug)]
pub(in crate::cli) struct Copy {
    dir: PathBuf,
}

impl Copy {
    /// Asks the daemon for one.
    pub(in crate::cli) fn take(flags: &Flags) -> Result<Self> {
        let name = format!("replay-{}", std::process::id());
        let mut path = None;
        online(flags, async |session| {
            let extent = v1::CopyExtent::Unspecified.into();
            let asked = v1::CopyStoreRequest { name, extent };
            let status = session.client.status().copy_store(asked).await;
            path = Some(status.told()?.path);
            Ok(())
        })?;
        let dir = PathBuf::from(path.unwrap_or_default());
        if !dir.is_dir() {
            return Err(anyhow!(
                "the daemon at {} made a copy in {}, which is not on this machine; use it there: \
                 --store {}",
                flags.server,
                dir.display(),
                dir.display()
            ));
        }
        Ok(Self { dir })
    }

    /// Its directory.
    pub(in crate::cli) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            eprintln!(
                "tidegate: the copy in {} could not be removed: {error}",
                self.dir.display()
            );
        }
    }
}
