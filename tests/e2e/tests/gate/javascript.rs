//! Node with the package that makes components of JavaScript, in a directory under the target directory
//! that is made once and kept.
//!
//! It may be missing: no node, no npm, no registry. The test then says so past the runner's capture and
//! passes, as with Python ([`crate::python`]).

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tidegate_e2e::{bounded, say};

/// What is installed; another version makes a new environment.
const PACKAGE: &str = "@bytecodealliance/componentize-js@0.23";
/// A slow registry is still a registry, and it brings 400 MB along.
const BOUND: Duration = Duration::from_secs(300);

/// An environment with [`PACKAGE`].
pub(crate) struct JavaScript {
    root: PathBuf,
}

impl JavaScript {
    /// The environment, made if it is new; `None`, said loudly, where it cannot be had.
    pub(crate) fn environment(test: &str) -> Option<Self> {
        match Self::make() {
            Ok(javascript) => Some(javascript),
            Err(why) => {
                say(&format!(
                    "SKIPPED {test}: no Node environment could be made here: {why:#}"
                ));
                None
            }
        }
    }

    fn make() -> Result<Self> {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("javascript");
        let done = root.join("package.txt");
        if std::fs::read_to_string(&done).is_ok_and(|have| have == PACKAGE) {
            return Ok(Self { root });
        }
        std::fs::remove_dir_all(&root).ok();
        std::fs::create_dir_all(&root)?;
        // Or npm would install into a directory above that has one.
        std::fs::write(root.join("package.json"), "{\"private\": true}")?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", PACKAGE]);
        let outcome = bounded(npm.current_dir(&root), BOUND).context("npm does not run")?;
        anyhow::ensure!(
            outcome.ok(),
            "npm install failed: {}",
            outcome.stderr.lines().last().unwrap_or("it says nothing")
        );
        std::fs::write(done, PACKAGE)?;
        Ok(Self { root })
    }

    /// The component of a policy, by the script that authors have.
    pub(crate) fn component(&self, sdk: &Path, policy: &str, out: &Path) -> Result<()> {
        // Node looks for packages beside the script.
        let script = self.root.join("build.mjs");
        std::fs::copy(sdk.join("javascript/build.mjs"), &script)?;
        let mut node = Command::new("node");
        node.arg(&script)
            .arg(sdk.join("javascript").join(policy).join("app.js"))
            .arg(sdk.join("../wit/0.2"))
            .arg("forecaster")
            .arg(out);
        let outcome = bounded(&mut node, BOUND).context("node does not run")?;
        anyhow::ensure!(outcome.ok(), "{outcome:?}");
        Ok(())
    }
}
