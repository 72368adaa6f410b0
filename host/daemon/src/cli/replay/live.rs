//! A copy of a running daemon's store, for as long as it is replayed.
//!
//! The daemon makes it, because nobody else can say what belongs together while it writes; this process reads it,
//! because a replay is to share nothing with what it checks. So both are on one machine.

use crate::cli::connect::{Flags, online};
use crate::cli::errors::Told as _;
use crate::cli::interrupt::Temporary;
use anyhow::{Result, anyhow};
use std::path::{Path, PathBuf};
use tidegate_client::v1;

/// See the module; dropping it removes it, and so does an interrupt.
#[derive(Debug)]
pub(in crate::cli) struct Copy(Temporary);

impl Copy {
    /// Asks the daemon for one.
    pub(in crate::cli) fn take(flags: &Flags) -> Result<Self> {
        let name = crate::copies::name();
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
        Ok(Self(Temporary::new(dir)))
    }

    /// Its directory.
    pub(in crate::cli) fn dir(&self) -> &Path {
        self.0.path()
    }
}
