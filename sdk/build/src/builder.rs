//! The one way from a plugin's directory to its component, used by the daemon's build script, by
//! `tidegate policy build` and by tests.
//!
//! Cargo decides whether the core module is compiled again; a component is encoded again only if
//! the core module, the manifest or the encoder changed (a stamp of hashes beside it tells).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::cargo::{self, Compile, Metadata};
use crate::component;
use crate::error::{BuildError, io};
use crate::inputs;
use crate::manifest::Manifest;
use crate::package::{self, Package};
use crate::progress::{Callback, Progress};
use crate::stamp::{Stamp, write_atomically};
use crate::toolchain::{Search, Toolchain};

/// How guests are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// What is shipped: small, fast, a panic is a trap (`[profile.guest]` of the workspace; where
    /// it has none, the settings of Tidegate's own).
    #[default]
    Guest,
    /// Cargo's `dev`: quick to compile, with debug information.
    Debug,
}

impl Profile {
    /// The `guest` profile of a workspace that does not define it.
    pub(crate) const GUEST_SETTINGS: [&'static str; 5] = [
        "inherits=\"release\"",
        "panic=\"abort\"",
        "codegen-units=1",
        "lto=true",
        "debug=false",
    ];

    pub(crate) fn cargo_name(self) -> &'static str {
        match self {
            Profile::Guest => "guest",
            Profile::Debug => "dev",
        }
    }
}

/// Whether a build may change the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InstallTarget {
    /// It may not: a missing target is worked around or is an error.
    #[default]
    Never,
    /// `rustup target add` may be run once.
    Allowed,
}

/// A component that was built.
#[derive(Debug, Clone)]
pub struct Built {
    /// The crate.
    pub package: Package,
    /// The component's file.
    pub component: PathBuf,
    /// SHA-256 of the component.
    pub digest: [u8; 32],
    /// Its manifest, as it stands in the component.
    pub manifest: Manifest,
    /// Bytes of the component.
    pub size: u64,
    /// Whether the component was as it is already.
    pub fresh: bool,
    /// Files and directories that the component came from: a build script prints each as
    /// `cargo::rerun-if-changed=PATH`.
    pub inputs: BTreeSet<PathBuf>,
}

/// Builds plugins of one workspace or crate.
pub struct Builder {
    directory: PathBuf,
    target_dir: Option<PathBuf>,
    cargo: Option<PathBuf>,
    profile: Profile,
    offline: bool,
    install: InstallTarget,
    progress: Box<Callback>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("directory", &self.directory)
            .field("target_dir", &self.target_dir)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// A builder for the workspace, or the one crate, at `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            target_dir: None,
            cargo: None,
            profile: Profile::default(),
            offline: false,
            install: InstallTarget::default(),
            progress: Box::new(|_| {}),
        }
    }

    /// Where to compile and to leave `components/NAME.wasm`; otherwise `guests` in the
    /// workspace's own target directory. It must not be the directory of a cargo that waits for
    /// this build.
    #[must_use]
    pub fn target_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.target_dir = Some(directory.into());
        self
    }

    /// How to compile.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Whether cargo is kept from the network.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Whether a missing target may be installed.
    #[must_use]
    pub fn install_target(mut self, install: InstallTarget) -> Self {
        self.install = install;
        self
    }

    /// A certain cargo, and the rustc beside it; otherwise that of the outer build (`$CARGO`), or
    /// of the path.
    #[must_use]
    pub fn cargo(mut self, cargo: impl Into<PathBuf>) -> Self {
        self.cargo = Some(cargo.into());
        self
    }

    /// Who hears what happens.
    #[must_use]
    pub fn progress(mut self, callback: impl Fn(Progress<'_>) + Send + Sync + 'static) -> Self {
        self.progress = Box::new(callback);
        self
    }

    /// The plugins of the directory, by module name: the crate itself if it is one, else every
    /// plugin of the workspace below it.
    ///
    /// # Errors
    /// No workspace there, no plugin in it, a declaration that is wrong, or two of one name.
    pub fn packages(&self) -> Result<Vec<Package>, BuildError> {
        let metadata = self.metadata()?;
        let directory = absolute(&self.directory)?;
        let own = directory.join("Cargo.toml");
        let within = |package: &&serde_json::Value| {
            let path = Path::new(package["manifest_path"].as_str().unwrap_or_default());
            path.starts_with(&directory) && package::is_plugin(package)
        };
        let mut candidates: Vec<_> = metadata.packages.iter().filter(within).collect();
        if let Some(index) = candidates
            .iter()
            .position(|package| package["manifest_path"].as_str().map(Path::new) == Some(&own))
        {
            candidates = vec![candidates[index]];
        }
        let mut packages = Vec::new();
        for candidate in candidates {
            packages.push(package::read(candidate)?);
        }
        if packages.is_empty() {
            return Err(BuildError::NoPlugins(directory));
        }
        packages.sort_by(|a, b| a.name().cmp(b.name()));
        for pair in packages.windows(2) {
            if let [first, second] = pair
                && first.name() == second.name()
            {
                return Err(BuildError::SameName {
                    name: first.name().to_owned(),
                    first: first.manifest_path.clone(),
                    second: second.manifest_path.clone(),
                });
            }
        }
        Ok(packages)
    }

    /// Builds plugins that [`Builder::packages`] found, with one call of cargo.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(&self, packages: &[Package]) -> Result<Vec<Built>, BuildError> {
        if packages.is_empty() {
            return Ok(Vec::new());
        }
        let metadata = self.metadata()?;
        let target_dir = self.guests(&metadata)?;
        let toolchain = self.toolchain_for(packages, &target_dir)?;
        let directory = absolute(&self.directory)?;
        let compile = Compile {
            toolchain: &toolchain,
            metadata: &metadata,
            directory: &directory,
            target_dir: &target_dir,
            profile: self.profile,
            offline: self.offline,
        };
        let modules = compile.run(packages, &self.progress)?;
        let mut components = target_dir.join("components");
        if self.profile == Profile::Debug {
            components.push("debug");
        }
        std::fs::create_dir_all(&components).map_err(io("create", &components))?;
        let built = packages.iter().map(|package| {
            let module = modules
                .get(&package.manifest_path)
                .ok_or_else(|| BuildError::NoModule(package.crate_name.clone()))?;
            let inputs = inputs::of(package, module, &metadata.workspace_root);
            self.finish(package, module, &components, &inputs)
        });
        built.collect()
    }

    /// What would build these packages.
    ///
    /// # Errors
    /// [`BuildError::Toolchain`] where nothing would.
    pub fn toolchain(&self, packages: &[Package]) -> Result<Toolchain, BuildError> {
        let target_dir = self.guests(&self.metadata()?)?;
        self.toolchain_for(packages, &target_dir)
    }

    fn toolchain_for(&self, packages: &[Package], scratch: &Path) -> Result<Toolchain, BuildError> {
        let needs = packages
            .iter()
            .filter_map(|package| package.rust_version.as_deref())
            .reduce(|a, b| if crate::toolchain::older(a, b) { b } else { a });
        let directory = absolute(&self.directory)?;
        let search = Search {
            directory: &directory,
            scratch,
            cargo: self.cargo.as_deref(),
            install_target: self.install,
            needs,
        };
        Ok(search.run(&self.progress)?)
    }

    fn metadata(&self) -> Result<Metadata, BuildError> {
        let directory = absolute(&self.directory)?;
        let search = Search {
            directory: &directory,
            scratch: &directory,
            cargo: self.cargo.as_deref(),
            install_target: InstallTarget::Never,
            needs: None,
        };
        cargo::metadata(&search.preferred().0, &directory)
    }

    fn guests(&self, metadata: &Metadata) -> Result<PathBuf, BuildError> {
        match &self.target_dir {
            Some(directory) => {
                std::path::absolute(directory).map_err(io("find the path of", directory))
            }
            None => Ok(metadata.target_directory.join("guests")),
        }
    }

    /// From core module to component, unless it is there already.
    fn finish(
        &self,
        package: &Package,
        module: &Path,
        components: &Path,
        inputs: &BTreeSet<PathBuf>,
    ) -> Result<Built, BuildError> {
        let name = package.name();
        let encode_error = |source| BuildError::Encode {
            module: name.to_owned(),
            manifest_path: package.manifest_path.clone(),
            source: Box::new(source),
        };
        let core = std::fs::read(module).map_err(io("read", module))?;
        let world = component::world(&core);
        let mut manifest = package.draft.clone();
        manifest.interface = match &world {
            Ok(world) => world.interface.clone(),
            // Encoding fails too, and tells of imports before it tells of the world.
            Err(_) => "0.0.0".to_owned(),
        };
        let json = manifest.to_json().map_err(|e| encode_error(e.into()))?;
        let built = |bytes: &[u8], component: PathBuf, fresh: bool| Built {
            package: package.clone(),
            component,
            digest: Sha256::digest(bytes).into(),
            manifest: manifest.clone(),
            size: bytes.len() as u64,
            fresh,
            inputs: inputs.clone(),
        };
        let file = components.join(format!("{name}.wasm"));
        let stamp_file = components.join(format!("{name}.stamp"));
        let stamp = |bytes: &[u8]| Stamp::of(&core, &json, bytes);
        if let (Some(old), Ok(bytes)) = (Stamp::read(&stamp_file), std::fs::read(&file))
            && old == stamp(&bytes)
        {
            (self.progress)(Progress::Fresh { module: name });
            return Ok(built(&bytes, file, true));
        }
        (self.progress)(Progress::Encoding { module: name });
        let bytes = component::encode(&core, &manifest).map_err(encode_error)?;
        write_atomically(&file, &bytes)?;
        stamp(&bytes).write(&stamp_file)?;
        Ok(built(&bytes, file, false))
    }
}

fn absolute(directory: &Path) -> Result<PathBuf, BuildError> {
    directory
        .canonicalize()
        .map_err(io("find the directory", directory))
}
