//! `tidegate policy build`: from a plugin crate to a component.

use crate::cli::connect::Output;
use crate::cli::say;
use anyhow::Result;
use std::path::PathBuf;
use tidegate_build::{Builder, InstallTarget, Profile, Progress};

/// What to build.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory of the plugin's Cargo.toml, or of a workspace of plugins
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// Compile quickly, with debug information
    #[arg(long)]
    debug: bool,
    /// Use no network
    #[arg(long)]
    offline: bool,
    /// Run `rustup target add` when the target is missing
    #[arg(long)]
    install_target: bool,
}

/// Builds.
pub(crate) fn run(args: &Args, output: Output) -> Result<()> {
    let builder = Builder::new(&args.directory)
        .profile(if args.debug { Profile::Debug } else { Profile::Guest })
        .offline(args.offline)
        .install_target(if args.install_target { InstallTarget::Allowed } else { InstallTarget::Never })
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
    let built = builder.build(&packages)?;
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
