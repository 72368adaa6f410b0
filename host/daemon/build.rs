//! Builds the shipped policies as components and embeds them, so that the one binary is enough.
//!
//! The nested cargo has a target directory of its own (`guests` beside the outer one), because the
//! outer cargo holds its lock while it waits for this script. Unchanged plugins cost a freshness
//! check.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script hears from cargo by environment and answers on stdout"
)]

#[path = "build/sdk.rs"]
mod sdk;

use std::path::{Path, PathBuf};
use std::{env, fs};
use tidegate_build::{Builder, Progress};

/// The shipped policies, in the order in which they are listed to a user.
const SHIPPED: [&str; 12] = [
    "seasonal-naive",
    "ets",
    "theta",
    "arima",
    "prophet",
    "lstm",
    "ensemble",
    "slo-tiers",
    "proportional",
    "waterfill",
    "learned",
    "sequential-judge",
];

fn main() {
    // Returned as an error it would be told by its fields; what it says is what to do.
    if let Err(error) = build() {
        println!("cargo::error=the shipped policies cannot be built");
        for line in error.to_string().lines() {
            println!("cargo::error={line}");
        }
    }
}

fn build() -> Result<(), Box<dyn std::error::Error>> {
    let variable = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .ok_or(format!("cargo did not set {name}"))
    };
    let manifest_dir = variable("CARGO_MANIFEST_DIR")?;
    let out = variable("OUT_DIR")?.join("shipped.rs");
    let workspace = manifest_dir
        .ancestors()
        .nth(2)
        .ok_or("the daemon must stand in host/daemon")?;
    let builder = Builder::new(workspace.join("plugins")).progress(|progress| {
        if let Progress::LibraryFromSource { rustc } = progress {
            println!(
                "cargo::warning=building the library for the guest target with {}",
                rustc.display()
            );
        }
    });
    let mut packages = builder.packages()?;
    packages.retain(|package| SHIPPED.contains(&package.name()));
    let built = builder.build(&packages)?;
    let mut list = format!(
        "pub(crate) const SHIPPED: [Shipped; {}] = [\n",
        SHIPPED.len()
    );
    for name in SHIPPED {
        let component = built
            .iter()
            .find(|b| b.package.name() == name)
            .ok_or_else(|| format!("plugins/{name} is missing or declares another name"))?;
        let path: &Path = &component.component;
        list += &format!("    Shipped {{ name: {name:?}, bytes: include_bytes!({path:?}) }},\n");
        for input in &component.inputs {
            println!("cargo::rerun-if-changed={}", input.display());
        }
        println!("cargo::rerun-if-changed={}", path.display());
    }
    list += "];\n";
    if fs::read_to_string(&out).ok().as_deref() != Some(&list) {
        fs::write(&out, list)?;
    }
    sdk::embed(workspace, &out.with_file_name("sdk.rs"))?;
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    Ok(())
}
