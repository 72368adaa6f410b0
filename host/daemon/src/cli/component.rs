//! The component that a text names: a shipped one by its name, a file, or one out of a store by its digest.

use super::errors::usage;
use super::words::hint;
use crate::shipped::SHIPPED;
use anyhow::{Context as _, Result, anyhow};
use tidegate_core::ports::storage::Modules as _;
use tidegate_store::Store;

/// Its bytes. `@DIGEST` looks into the store that `store` opens, which is asked for only then.
pub(super) fn bytes(
    name: &str,
    store: impl FnOnce() -> Result<std::sync::Arc<Store>>,
) -> Result<Vec<u8>> {
    if let Some(digest) = name.strip_prefix('@') {
        return stored(&*store()?, digest);
    }
    if name.ends_with(".wasm") || name.contains(std::path::MAIN_SEPARATOR) {
        return std::fs::read(name).with_context(|| format!("cannot read {name}"));
    }
    let shipped = SHIPPED.iter().find(|s| s.name == name);
    shipped.map(|s| s.bytes.to_vec()).ok_or_else(|| {
        let known: Vec<&str> = SHIPPED.iter().map(|s| s.name).collect();
        unknown(name, &known)
    })
}

/// Nothing shipped has that name.
pub(super) fn unknown(name: &str, known: &[&str]) -> anyhow::Error {
    usage(format!(
        "no shipped module is called `{name}`{}; there are {}; a component of yours is FILE.wasm, a stored one @DIGEST",
        hint(name, known),
        known.join(", ")
    ))
}

fn stored(store: &Store, prefix: &str) -> Result<Vec<u8>> {
    let all = store.list().context("cannot list the stored modules")?;
    let fits = |digest: &str| prefix.len() >= 6 && digest.starts_with(prefix);
    let found: Vec<_> = all.iter().filter(|m| fits(&m.digest.to_string())).collect();
    match found.as_slice() {
        [one] => store
            .bytes(&one.digest)
            .context("cannot read the stored module")?
            .ok_or_else(|| {
                anyhow!(
                    "the stored module {} has no bytes; push it again",
                    one.digest
                )
            }),
        [] => Err(usage(format!(
            "no stored module has a digest that begins with `{prefix}`; `tidegate policy list` shows them (give at least six digits)"
        ))),
        many => Err(usage(format!(
            "`{prefix}` begins {} digests; write more of it",
            many.len()
        ))),
    }
}
