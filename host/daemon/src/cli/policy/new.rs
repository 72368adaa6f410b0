//! `tidegate policy new`: a plugin that builds, tests and serves, to be changed from there.
//!
//! The SDK comes out of this binary and is put beside the plugin, so that nothing has to be downloaded,
//! and what is compiled is the interface of the daemon at hand. `--sdk` takes a checkout's instead.

use crate::cli::connect::Output;
use crate::cli::errors::usage;
use crate::cli::say;
use crate::sdk;
use crate::shipped::SHIPPED;
use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use tidegate_build::manifest::check_name;

/// What to begin.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What it decides
    kind: KindArg,
    /// The module's name: lower-case letters, digits and single dashes
    name: String,
    /// Where to put it (./NAME)
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Link the SDK of a checkout of Tidegate instead of a copy beside the plugin
    #[arg(long, value_name = "CHECKOUT")]
    sdk: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindArg {
    /// What is to come
    Forecaster,
    /// Which tier an api should be in
    Tierer,
    /// Who gets how much of a pool
    Allocator,
    /// What becomes of a shadow
    Judge,
}

impl KindArg {
    fn name(self) -> &'static str {
        match self {
            Self::Forecaster => "forecaster",
            Self::Tierer => "tierer",
            Self::Allocator => "allocator",
            Self::Judge => "judge",
        }
    }
}

/// Where the copy of the SDK lies in a plugin's directory.
const COPY: &str = "tidegate-sdk";

/// Writes it.
pub(crate) fn run(args: &Args, output: Output) -> Result<()> {
    check_name(&args.name).map_err(usage)?;
    if SHIPPED.iter().any(|s| s.name == args.name) {
        return Err(usage(format!(
            "`{}` is the name of a shipped module; give yours another one",
            args.name
        )));
    }
    let directory = match &args.directory {
        Some(directory) => directory.clone(),
        None => PathBuf::from(&args.name),
    };
    let taken = std::fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_some());
    if taken || directory.is_file() {
        return Err(usage(format!(
            "{} is there already; choose another --directory, or remove it",
            directory.display()
        )));
    }
    let sdk = match &args.sdk {
        None => COPY.to_owned(),
        Some(checkout) => {
            let found = std::path::absolute(checkout)?;
            if !found.join("sdk/guest/Cargo.toml").is_file() {
                return Err(usage(format!(
                    "--sdk {}: there is no sdk/guest in it; give the root of a checkout",
                    checkout.display()
                )));
            }
            found.display().to_string()
        }
    };
    let files = plugin(args, &sdk)?;
    for (name, bytes) in &files {
        write(&directory.join(name), bytes)?;
    }
    if args.sdk.is_none() {
        for (name, bytes) in sdk::FILES {
            write(&directory.join(COPY).join(name), bytes)?;
        }
        // The versions that this binary was built with; cargo leaves out what the plugin does not use.
        write(&directory.join("Cargo.lock"), sdk::LOCK)?;
    }
    let shown = directory.display().to_string();
    match output {
        Output::Json => say(&serde_json::json!({"directory": shown}).to_string()),
        Output::Human => say(&format!(
            "{shown} holds a {} that works; change src/lib.rs\n\
             next: tidegate policy test {shown}\n\
             then: tidegate policy dev {shown} --binding default-{}",
            args.kind.name(),
            args.kind.name()
        )),
    }
}

/// The files of the plugin itself.
fn plugin(args: &Args, sdk: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let kind = args.kind.name();
    let mut files = vec![];
    for (name, bytes) in sdk::TEMPLATES {
        let Some(inner) = name.strip_prefix(kind).and_then(|n| n.strip_prefix('/')) else {
            continue;
        };
        let bytes = match inner {
            "Cargo.toml" => {
                manifest(&args.name, &String::from_utf8_lossy(bytes), sdk)?.into_bytes()
            }
            _ => bytes.to_vec(),
        };
        files.push((inner.to_owned(), bytes));
    }
    files.push((".gitignore".into(), b"/target\n".to_vec()));
    files.push(("README.md".into(), readme(&args.name, kind).into_bytes()));
    Ok(files)
}

/// The template's manifest, on its own feet: what the workspace gave it is written out.
fn manifest(name: &str, template: &str, sdk: &str) -> Result<String> {
    let declared = template
        .split("\n\n")
        .find(|part| part.starts_with("[package.metadata.tidegate]"))
        .ok_or_else(|| anyhow!("the template declares no module"))?;
    let guest = format!("{sdk}/sdk/guest");
    Ok(format!(
        "[package]\n\
         name = {name:?}\n\
         version = \"0.1.0\"\n\
         edition = \"2024\"\n\
         publish = false\n\
         \n\
         {declared}\n\
         \n\
         [dependencies]\n\
         tidegate-guest = {{ path = {guest:?} }}\n\
         serde = {{ version = \"1\", features = [\"derive\"] }}\n\
         \n\
         [lib]\n\
         crate-type = [\"cdylib\", \"rlib\"]\n\
         \n\
         # A workspace of its own, wherever it lies.\n\
         [workspace]\n\
         exclude = [{COPY:?}]\n\
         \n\
         # What `tidegate policy build` compiles with: small, fast, and a panic is a trap.\n\
         [profile.guest]\n\
         inherits = \"release\"\n\
         panic = \"abort\"\n\
         codegen-units = 1\n\
         lto = true\n\
         debug = false\n"
    ))
}

fn readme(name: &str, kind: &str) -> String {
    format!(
        "# {name}\n\n\
         A {kind} for Tidegate. The thinking is in `src/lib.rs`, what `--config` may hold in `config.schema.json`,\n\
         name, version and limits in `Cargo.toml`.\n\n\
         ```sh\n\
         cargo test                                            # natively, no WebAssembly needed\n\
         tidegate policy test .                                # the same, then the component against the host's checks\n\
         tidegate policy dev . --binding default-{kind}    # build, push and bind at every change\n\
         tidegate policy build .                               # target/guests/components/{name}.wasm\n\
         tidegate policy push target/guests/components/{name}.wasm\n\
         tidegate policy bind BINDING {name}\n\
         ```\n\n\
         Raise `STATE_FORMAT` whenever the type `State` changes, and `version` in `Cargo.toml` with every release.\n"
    )
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
    }
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(kind: KindArg, name: &str, directory: &Path) -> Args {
        Args {
            kind,
            name: name.to_owned(),
            directory: Some(directory.to_owned()),
            sdk: None,
        }
    }

    #[test]
    fn every_kind_is_a_crate_with_the_sdk_beside_it() {
        for kind in KindArg::value_variants() {
            let home = tempfile::tempdir().unwrap();
            let directory = home.path().join("mine");
            run(&args(*kind, "mine", &directory), Output::Json).unwrap();
            let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
            let manifest = read("Cargo.toml");
            assert!(
                manifest.contains(&format!("kind = \"{}\"", kind.name())),
                "{manifest}"
            );
            assert!(!manifest.contains("workspace = true"), "{manifest}");
            assert!(read("src/lib.rs").contains("tidegate_guest::export_"));
            assert!(read("tidegate-sdk/sdk/guest/Cargo.toml").contains("tidegate-guest"));
            let wit = directory.join("tidegate-sdk/wit");
            assert!(wit.join("0.2/types.wit").is_file());
            assert!(!wit.join("0.1").exists(), "the newest alone");
            let inherited = read("tidegate-sdk/Cargo.toml");
            assert!(inherited.contains("wit-bindgen"), "{inherited}");
            assert!(!inherited.contains("host/core"), "{inherited}");
        }
    }

    #[test]
    fn a_bad_name_a_shipped_one_and_a_full_directory_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("mine");
        for (name, says) in [("Not_A_Name", "lower-case"), ("ets", "shipped")] {
            let told = run(&args(KindArg::Forecaster, name, &directory), Output::Json);
            let told = told.unwrap_err().to_string();
            assert!(told.contains(says), "{told}");
            assert!(!directory.exists());
        }
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("mine.txt"), "keep me").unwrap();
        let told = run(&args(KindArg::Judge, "mine", &directory), Output::Json);
        assert!(told.unwrap_err().to_string().contains("there already"));
        assert!(directory.join("mine.txt").is_file());
    }
}
