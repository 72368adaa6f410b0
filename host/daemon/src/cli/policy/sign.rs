//! `tidegate policy key` and `sign`: a key pair of one's own, and a module's signature.
//!
//! The files are those of other tools: the private key is PKCS#8 in PEM (RFC 8410), the signature 64
//! raw bytes over the component as it is. Who has `openssl` or a hardware token needs neither verb.

use crate::cli::connect::Output;
use crate::cli::errors::usage;
use crate::policies::signature::{KEY, SIGNATURE, SPKI, from_pem, to_pem};
use anyhow::{Context, Result, anyhow};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What stands before the seed in DER (RFC 8410: PrivateKeyInfo of id-Ed25519).
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// What `key` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// Where the private key goes; it must not exist yet
    file: PathBuf,
    /// The key's name in the daemon's configuration
    #[arg(long, default_value = "release")]
    name: String,
}

/// What `sign` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct SignArgs {
    /// The component (.wasm)
    file: PathBuf,
    /// The private key (PEM), as `tidegate policy key` writes it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the signature goes; beside the component, with `.sig` behind its name, unless told
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Makes a key pair; the private half goes into a file that its owner alone can read.
pub(crate) fn key(args: &KeyArgs, output: Output) -> Result<()> {
    let mut seed = [0_u8; KEY];
    getrandom::fill(&mut seed).context("the operating system gives no random bytes")?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
        .map_err(|_| anyhow!("the random bytes make no key; try again"))?;
    let private = to_pem(&[&PKCS8[..], &seed].concat(), "PRIVATE KEY");
    let file = args.file.display();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(&args.file)
        .and_then(|mut to| to.write_all(private.as_bytes()))
        .with_context(|| format!("cannot write a new key to {file}"))?;
    let public = pair.public_key().as_ref();
    if output == Output::Json {
        let pem = to_pem(&[&SPKI[..], public].concat(), "PUBLIC KEY");
        let said = serde_json::json!({
            "private_key": args.file, "public_key": hex(public), "public_key_pem": pem,
        });
        return crate::cli::say(&said.to_string());
    }
    // A name in JSON is a name in YAML, whatever it holds.
    let name = serde_json::Value::from(args.name.clone());
    crate::cli::say(&format!(
        "the private key is in {file}; keep it from everybody\nfor the daemon's configuration:\n\n\
         policies:\n  trusted_keys:\n    - name: {name}\n      key: \"{}\"",
        hex(public)
    ))
}

/// Signs a component.
pub(crate) fn sign(args: &SignArgs, output: Output) -> Result<()> {
    let component = std::fs::read(&args.file)
        .with_context(|| format!("cannot read {}", args.file.display()))?;
    let key = args.key.display();
    let text =
        std::fs::read_to_string(&args.key).with_context(|| format!("cannot read the key {key}"))?;
    let pair = from_pem(&text, "PRIVATE KEY")
        .and_then(|der| Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).ok());
    let pair = pair.ok_or_else(|| {
        usage(format!(
            "{key} holds no Ed25519 private key (PKCS#8 in PEM); `tidegate policy key FILE` makes one"
        ))
    })?;
    let out = args.out.clone().unwrap_or_else(|| beside(&args.file));
    std::fs::write(&out, pair.sign(&component))
        .with_context(|| format!("cannot write {}", out.display()))?;
    let public = hex(pair.public_key().as_ref());
    if output == Output::Json {
        let said = serde_json::json!({ "signature": out, "public_key": public });
        return crate::cli::say(&said.to_string());
    }
    crate::cli::say(&format!(
        "signed by {public}\nnext: tidegate policy push {} --signature {}",
        args.file.display(),
        out.display()
    ))
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// Reads a signature for a push.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    if bytes.len() != SIGNATURE {
        return Err(usage(format!(
            "{} holds {} bytes, an Ed25519 signature has {SIGNATURE}; `tidegate policy sign` makes one",
            file.display(),
            bytes.len()
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::signature::{Key, Keys};

    #[test]
    fn what_is_signed_by_a_key_of_ours_is_trusted_by_its_public_half() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let made = KeyArgs {
            file: at("key.pem"),
            name: "release".into(),
        };
        key(&made, Output::Json).unwrap();
        let again = key(&made, Output::Json).unwrap_err().to_string();
        assert!(again.contains("cannot write a new key"), "{again}");
        std::fs::write(at("policy.wasm"), b"\0asm").unwrap();
        let args = SignArgs {
            file: at("policy.wasm"),
            key: at("key.pem"),
            out: None,
        };
        sign(&args, Output::Json).unwrap();
        let signature = read(&at("policy.wasm.sig")).unwrap();
        let private = std::fs::read_to_string(at("key.pem")).unwrap();
        let der = from_pem(&private, "PRIVATE KEY").unwrap();
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).unwrap();
        let public = hex(pair.public_key().as_ref());
        let keys = Keys::of(vec![Key::parse("release", &public, None).unwrap()]);
        let by = keys.verify(b"\0asm", &signature, None).unwrap();
        assert_eq!(by.map(|key| key.name), Some("release".into()));
    }

    #[test]
    fn a_file_that_is_no_key_or_no_signature_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("policy.wasm");
        std::fs::write(&file, b"\0asm").unwrap();
        let args = SignArgs {
            file: file.clone(),
            key: file.clone(),
            out: None,
        };
        let told = sign(&args, Output::Human).unwrap_err().to_string();
        assert!(told.contains("policy key"), "{told}");
        let told = read(&file).unwrap_err().to_string();
        assert!(told.contains("holds 4 bytes"), "{told}");
    }
}
