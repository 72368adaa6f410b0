//! The stamp beside a component: what it was made from, and what it was then.
//!
//! Times of modification were rejected: a checkout, a copy or a clock step moves them, and they
//! do not notice a component that was torn or edited.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{BuildError, io};

/// Raised whenever the same core module and manifest are to give another component.
const ENCODER: &str = concat!("1 ", env!("CARGO_PKG_VERSION"));

/// What a component was made from, and what it was then.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    key: String,
    component: String,
}

impl Stamp {
    /// The stamp of a component made from a core module and a manifest.
    pub(crate) fn of(core: &[u8], manifest_json: &[u8], component: &[u8]) -> Self {
        let key = Sha256::new()
            .chain_update(ENCODER)
            .chain_update(Sha256::digest(core))
            .chain_update(manifest_json)
            .finalize();
        Self {
            key: hex(&key),
            component: hex(&Sha256::digest(component)),
        }
    }

    /// A stamp that cannot be read is as good as none.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Writes it beside the component.
    pub(crate) fn write(&self, path: &Path) -> Result<(), BuildError> {
        write_atomically(path, &serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Lower-case hexadecimal, as digests are shown.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes aside and renames: a reader sees the old file or the new one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}.new", std::process::id()));
    let aside = PathBuf::from(aside);
    std::fs::write(&aside, bytes).map_err(io("write", &aside))?;
    std::fs::rename(&aside, path).map_err(io("replace", path))
}
