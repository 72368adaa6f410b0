//! `tidegate policy build`: from a plugin crate to a component.

use crate::cli::connect::Output;
use crate::cli::say;
use anyhow::Result;
use std::path::{Path, PathBuf};
use tidegate_build::{Builder, Built, InstallTarget, Profile, Progress};

/// How to compile: the same for every verb that does.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Build {
    /// Compile quickly, with debug information
    #[arg(long)]
    debug: bool,
    /// Use no network
    #[arg(long)]
    pub(super) offline: bool,
    /// Run `rustup target add` when the target is missing
    #[arg(long)]
    install_target: bool,
}

/// What to build.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory of the plugin's Cargo.toml, or of a workspace of plugins
    #[arg(default_value = ".")]
    directory: PathBuf,
    #[command(flatten)]
    build: Build,
}

/// Builds what a directory holds, and tells on stderr what it does.
pub(super) fn built(directory: &Path, how: &Build) -> Result<Vec<Built>> {
    let profile = if how.debug {
        Profile::Debug
    } else {
        Profile::Guest
    };
    let install = if how.install_target {
        InstallTarget::Allowed
    } else {
        InstallTarget::Never
    };
    let builder = Builder::new(directory)
        .profile(profile)
        .offline(how.offline)
        .install_target(install)
        .progress(|progress| match progress {
            Progress::Installing { command } => eprintln!("running {command}"),
            Progress::LibraryFromSource { rustc } => {
                eprintln!("{} has no library for the guest target: building it from source, about a minute", rustc.display());
            }
            Progress::Cargo(line) => eprintln!("{line}"),
            Progress::Encoding { module } => eprintln!("encoding {module}"),
            Progress::Fresh { module } => eprintln!("{module} is as it was"),
            _ => {}
        });
    let packages = builder.packages()?;
    Ok(builder.build(&packages)?)
}

/// Builds.
pub(crate) fn run(args: &Args, output: Output) -> Result<()> {
    let built = built(&args.directory, &args.build)?;
    match output {
        Output::Json => {
            let files: Vec<serde_json::Value> = built
                .iter()
                .map(|b| serde_json::json!({"component": b.component.display().to_string()}))
                .collect();
            say(&serde_json::to_string_pretty(&files)?)?;
        }
        Output::Human => {
            for built in &built {
                say(&built.component.display().to_string())?;
            }
            if let Some(first) = built.first() {
                eprintln!("next: tidegate policy push {}", first.component.display());
            }
        }
    }
    Ok(())
}
