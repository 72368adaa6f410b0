//! Compiles the protos in Rust (no `protoc` on the machine) and keeps their descriptors, comments
//! included, so that a reflecting client reads the units that the files document.

use prost::Message as _;
use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo tells a build script where to write in no other way"
    )]
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let folder = Path::new("tidegate/v1");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|e| e == "proto"));
    files.sort();

    let descriptors = protox::compile(&files, ["."])?;
    std::fs::write(out.join("tidegate.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
