//! Compiled code kept between starts.
//!
//! A cached artefact is native code: whoever can write one can run anything in the daemon. So each
//! file carries an HMAC-SHA256 (RFC 2104) under a random key that only the daemon's user can read,
//! over the module's digest, the engine's compatibility hash and the code; a file that does not
//! authenticate is compiled anew and overwritten, never loaded. The key lies beside the files,
//! which protects from a shared, copied or restored directory and from torn writes, not from
//! somebody who already is the daemon's user.
//!
//! A file is `tag (32 bytes) | code`, named after the SHA-256 of what the code depends on, so that
//! a new wasmtime or another configuration misses instead of failing.

use sha2::{Digest as _, Sha256};
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use tidegate_core::ids::Digest;
use wasmtime::component::Component;

const TAG: usize = 32;
const KEY_FILE: &str = "cache.key";

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory or key cannot be read or made.
    #[error("cannot use {path}: make it a directory that the daemon's user owns and can write")]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others can read the key, so it proves nothing.
    #[error("{path} can be read by others: delete it and its directory, a new one will be made")]
    OpenKey {
        /// The key file.
        path: PathBuf,
    },
    /// The key has a wrong length.
    #[error("{path} is not a key of 32 bytes: delete it, a new one will be made")]
    BadKey {
        /// The key file.
        path: PathBuf,
    },
}

/// The directory.
pub(crate) struct Cache {
    directory: PathBuf,
    key: [u8; 32],
    /// Hash of wasmtime's version and configuration, and of the rewriting before it.
    compatibility: [u8; 32],
}

impl Cache {
    /// Opens or makes the directory and its key.
    pub(crate) fn open(directory: &Path, engine: &wasmtime::Engine) -> Result<Self, CacheError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| CacheError::Io { path, source }
        };
        fs::create_dir_all(directory).map_err(io(directory))?;
        let path = directory.join(KEY_FILE);
        match new_private(&path) {
            Ok(mut file) => {
                let mut key = [0; 32];
                getrandom::fill(&mut key)
                    .map_err(|e| io(&path)(io::Error::other(e.to_string())))?;
                file.write_all(&key)
                    .and_then(|()| file.sync_all())
                    .map_err(io(&path))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io(&path)(error)),
        }
        if readable_by_others(&path).map_err(io(&path))? {
            return Err(CacheError::OpenKey { path });
        }
        let bytes = fs::read(&path).map_err(io(&path))?;
        let Ok(key) = <[u8; 32]>::try_from(bytes) else {
            return Err(CacheError::BadKey { path });
        };
        let mut hasher = Sha(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        // wasmtime does not know what was rewritten before it compiled.
        crate::nan::VERSION.hash(&mut hasher);
        // What is kept was admitted, under the questions of its time.
        crate::trial::VERSION.hash(&mut hasher);
        Ok(Self {
            directory: directory.to_owned(),
            key,
            compatibility: hasher.0.finalize().into(),
        })
    }

    fn path(&self, module: &Digest) -> PathBuf {
        let id = Digest::of(&[self.compatibility, module.0].concat());
        self.directory.join(format!("{id}.cwasm"))
    }

    fn tag(&self, module: &Digest, code: &[u8]) -> [u8; TAG] {
        hmac(&self.key, &[&self.compatibility, &module.0, code])
    }

    /// The compiled module, if it is there and authentic.
    pub(crate) fn load(&self, engine: &wasmtime::Engine, module: &Digest) -> Option<Component> {
        let bytes = fs::read(self.path(module)).ok()?;
        let (tag, code) = bytes.split_at_checked(TAG)?;
        if !same(tag, &self.tag(module, code)) {
            tracing::warn!(module = %module.short(), "a cached module is not authentic; compiling");
            return None;
        }
        match deserialise(engine, code) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(module = %module.short(), "a cached module is stale: {error:#}");
                None
            }
        }
    }

    /// Keeps a compiled module. A failure costs the next start a compilation and nothing else, so
    /// it is logged and not returned.
    pub(crate) fn store(&self, module: &Digest, component: &Component) {
        let path = self.path(module);
        let partial = path.with_extension(format!("{}.partial", std::process::id()));
        let written = component
            .serialize()
            .map_err(|error| io::Error::other(format!("{error:#}")))
            .and_then(|code| {
                let _ = fs::remove_file(&partial);
                let mut file = new_private(&partial)?;
                file.write_all(&self.tag(module, &code))?;
                file.write_all(&code)?;
                file.sync_all()?;
                fs::rename(&partial, &path)
            });
        if let Err(error) = written {
            tracing::warn!(module = %module.short(), "a compiled module was not kept: {error}");
        }
    }
}

#[expect(
    unsafe_code,
    reason = "wasmtime cannot know where code comes from; the tag proves it"
)]
fn deserialise(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` asks that the bytes were made by `Component::serialize` of a
    // compatible wasmtime and not changed since. The only caller has just checked an HMAC over
    // these very bytes (in memory, so nobody can swap them in between) under a key that only
    // `Cache::store` uses, on what `serialize` returned, together with the compatibility hash of
    // this engine.
    unsafe { Component::deserialize(engine, code) }
}

/// HMAC-SHA256 of the parts, joined.
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; TAG] {
    const BLOCK: usize = 64;
    let pad = |byte: u8| {
        let mut block = [byte; BLOCK];
        block.iter_mut().zip(key).for_each(|(b, k)| *b ^= k);
        block
    };
    let mut inner = Sha256::new();
    inner.update(pad(0x36));
    parts.iter().for_each(|part| inner.update(part));
    let mut outer = Sha256::new();
    outer.update(pad(0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// Comparison whose time does not tell where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}

/// A new file that only this user can read.
fn new_private(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn readable_by_others(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn readable_by_others(_path: &Path) -> io::Result<bool> {
    Ok(false)
}

/// SHA-256 as a [`Hasher`], since a compatibility hash of 64 bits could be met by chance.
struct Sha(Sha256);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        digest.iter().take(8).fold(0, |n, &b| n << 8 | u64::from(b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_hmac_sha256() {
        // The key of 20 times 0x0b of RFC 4231 case 1, which HMAC pads with zeros.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let tag = Digest(hmac(&key, &[b"Hi ", b"There"])).to_string();
        assert_eq!(
            tag,
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert!(same(b"ab", b"ab") && !same(b"ab", b"ac") && !same(b"a", b"ab"));
    }

    #[test]
    #[cfg(unix)]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let engine = wasmtime::Engine::default();
        let first = Cache::open(directory.path(), &engine).unwrap();
        let again = Cache::open(directory.path(), &engine).unwrap();
        assert_eq!(first.key, again.key);
        let key = directory.path().join(KEY_FILE);
        assert_eq!(
            fs::metadata(&key).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            Cache::open(directory.path(), &engine),
            Err(CacheError::OpenKey { .. })
        ));
        fs::remove_file(&key).unwrap();
        fs::write(&key, b"short").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(
            Cache::open(directory.path(), &engine),
            Err(CacheError::BadKey { .. })
        ));
    }
}
