//! `tidegate policy`: begin, test, build, push, remove, put in shadow, promote, bind, roll back.

mod build;
mod dev;
mod diff;
mod life;
mod new;
mod sign;
mod test;
mod wrap;

use super::connect::{Flags, Session, online};
use super::errors::{Told as _, usage};
use super::{json, words};
use crate::render::table::Table;
use anyhow::{Context, Result};
use clap::Subcommand;
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use tidegate_client::v1;
use tidegate_client::v1::push_module_request::Part;

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Begin a plugin of your own, with everything that it is compiled from
    New(new::Args),
    /// Run a plugin's own tests, then its component against what the host relies on
    Test(test::Args),
    /// Build, push and bind a plugin at every change of its source
    Dev(dev::Args),
    /// Compile a plugin crate into a component
    Build(build::Args),
    /// Make a policy of a component that another language's tools have made
    Wrap(wrap::Args),
    /// Make a key pair that signs modules
    Key(sign::KeyArgs),
    /// Sign a component, for daemons that take signed ones alone
    Sign(sign::SignArgs),
    /// Upload a component; it is admitted or refused with what to change
    Push {
        /// The component (.wasm)
        file: PathBuf,
        /// The tenant that shall hold it, and whose bindings alone may name it; the only tenant of
        /// the credential unless told, everybody for an operator
        #[arg(long)]
        tenant: Option<String>,
        /// Its signature, as `tidegate policy sign` makes it
        #[arg(long, value_name = "FILE")]
        signature: Option<PathBuf>,
    },
    /// Give up a module that no binding uses; what it decided stays explained. One that is shipped is
    /// there again, for everybody, when the daemon starts again
    Remove {
        /// A module's name where one version is held, its digest, or the beginning of one
        module: String,
        /// The tenant that holds it; the only tenant of the credential unless told, everybody for an
        /// operator
        #[arg(long)]
        tenant: Option<String>,
    },
    /// List the modules
    List,
    /// List who serves each binding
    Slots,
    /// Put a version in shadow of a binding: it gets live input, and its answers do not count until
    /// the binding's gate promotes it
    Shadow(life::ShadowArgs),
    /// Make the shadow of a binding its module; refused while the gate's evidence does not suffice
    Promote(life::PromoteArgs),
    /// Quarantine a module, at once also where it serves; or lift its quarantine
    Quarantine(life::QuarantineArgs),
    /// Tell the life of versions of a binding or a module: what, when, by whom, on which evidence
    History(life::HistoryArgs),
    /// Show what differs between two modules, and how they compare where one is in shadow of the other
    Diff(diff::DiffArgs),
    /// Make a module serve a binding at once, without a shadow and past its gate
    Bind {
        /// The binding, as `tidegate get bindings` lists it
        binding: String,
        /// A module's name (its newest version), its digest, or the beginning of one
        module: String,
        /// Configuration under the module's schema; the binding's stays unless told
        #[arg(long, value_name = "JSON")]
        config: Option<String>,
    },
    /// Back to the version that served before; the one that served is quarantined for the binding
    Rollback {
        /// The binding
        binding: String,
    },
}

/// Pieces of an upload.
const CHUNK: usize = 256 << 10;

/// Does it.
pub(crate) fn run(verb: Verb, flags: &Flags) -> Result<()> {
    match verb {
        Verb::New(args) => new::run(&args, flags.output),
        Verb::Test(args) => test::run(&args, flags.output),
        Verb::Dev(args) => dev::run(&args, flags),
        Verb::Build(args) => build::run(&args, flags.output),
        Verb::Wrap(args) => wrap::run(&args, flags.output),
        Verb::Key(args) => sign::key(&args, flags.output),
        Verb::Sign(args) => sign::sign(&args, flags.output),
        Verb::Push {
            file,
            tenant,
            signature,
        } => {
            // Read before the connection: a wrong path is told without a daemon.
            let bytes =
                std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            if !bytes.starts_with(b"\0asm") {
                let file = file.display();
                return Err(usage(format!(
                    "{file} is no WebAssembly file; `tidegate policy build DIR` makes one"
                )));
            }
            let signature = signature.as_deref().map(sign::read).transpose()?;
            let signature = signature.unwrap_or_default();
            let tenant = tenant.unwrap_or_default();
            online(flags, async |session| {
                push(bytes, tenant, signature, session).await
            })
        }
        Verb::Remove { module, tenant } => online(flags, async |session| {
            let request = v1::RemoveModuleRequest {
                module,
                tenant: tenant.unwrap_or_default(),
            };
            let answer = session.client.policies().remove(request).await.told()?;
            let module = answer.module.unwrap_or_default();
            let manifest = module.manifest.clone().unwrap_or_default();
            session.print(
                || json::module(&module),
                || {
                    format!(
                        "removed {} {} (digest {}); pushed again, it can be bound again",
                        manifest.name, manifest.version, module.digest
                    )
                },
            )
        }),
        Verb::Shadow(args) => life::shadow(args, flags),
        Verb::Promote(args) => life::promote(args, flags),
        Verb::Quarantine(args) => life::quarantine(args, flags),
        Verb::History(args) => life::history(&args, flags),
        Verb::Diff(args) => diff::run(args, flags),
        Verb::List => online(flags, list),
        Verb::Slots => online(flags, slots),
        Verb::Bind {
            binding,
            module,
            config,
        } => {
            is_json(config.as_deref())?;
            online(flags, async |session| {
                let request = v1::BindRequest {
                    binding,
                    module,
                    config,
                };
                let slot = session.client.policies().bind(request).await.told()?.slot;
                swapped(&slot.unwrap_or_default(), &session)
            })
        }
        Verb::Rollback { binding } => online(flags, async |session| {
            let request = v1::RollbackRequest { binding };
            let slot = session
                .client
                .policies()
                .rollback(request)
                .await
                .told()?
                .slot;
            swapped(&slot.unwrap_or_default(), &session)
        }),
    }
}

/// A config that is no JSON is told without a daemon.
fn is_json(config: Option<&str>) -> Result<()> {
    if let Some(text) = config {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(text);
        parsed.map_err(|e| usage(format!("--config is not JSON: {e}")))?;
    }
    Ok(())
}

/// Uploads a component.
async fn upload(
    bytes: Vec<u8>,
    tenant: String,
    signature: Vec<u8>,
    session: &Session,
) -> Result<v1::Module> {
    let digest: String = Sha256::digest(&bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let header = v1::PushModuleHeader {
        size: bytes.len() as u64,
        digest,
        tenant,
        signature,
    };
    let mut parts = vec![v1::PushModuleRequest {
        part: Some(Part::Header(header)),
    }];
    parts.extend(bytes.chunks(CHUNK).map(|c| v1::PushModuleRequest {
        part: Some(Part::Chunk(c.to_vec())),
    }));
    let answer = session
        .client
        .policies()
        .push(tokio_stream::iter(parts))
        .await
        .told()?;
    Ok(answer.module.unwrap_or_default())
}

async fn push(bytes: Vec<u8>, tenant: String, signature: Vec<u8>, session: Session) -> Result<()> {
    let module = upload(bytes, tenant, signature, &session).await?;
    let manifest = module.manifest.clone().unwrap_or_default();
    session.print(
        || json::module(&module),
        || {
            format!(
                "admitted {} {} ({}), {} bytes\ndigest {}\nnext: tidegate policy bind BINDING {}",
                manifest.name,
                manifest.version,
                words::module_kind(manifest.kind()),
                module.size,
                module.digest,
                module.digest.get(..12).unwrap_or(&manifest.name),
            )
        },
    )
}

async fn list(session: Session) -> Result<()> {
    let modules = session
        .client
        .policies()
        .list_modules(v1::ListModulesRequest {})
        .await
        .told()?
        .modules;
    session.print(
        || modules.iter().map(json::module).collect(),
        || {
            if modules.is_empty() {
                return "no module was admitted; `tidegate policy push FILE` uploads one".into();
            }
            let mut table = Table::new(&[
                "module",
                "version",
                "kind",
                "digest",
                "size",
                "admitted",
                "owner",
                "by",
                "signed by",
                "serves",
            ]);
            for module in &modules {
                let manifest = module.manifest.clone().unwrap_or_default();
                let failed = module.quarantined_for.iter();
                let failed = failed.map(|binding| format!("(quarantined for {binding})"));
                let serves = match module.quarantined {
                    true => "(quarantined)".into(),
                    false => {
                        let serves: Vec<String> =
                            module.serving.iter().cloned().chain(failed).collect();
                        serves.join(", ")
                    }
                };
                let owner = match module.owner.as_str() {
                    "" => "shared".into(),
                    tenant => tenant.to_owned(),
                };
                table.row(vec![
                    manifest.name.clone(),
                    manifest.version.clone(),
                    words::module_kind(manifest.kind()),
                    module.digest.get(..12).unwrap_or_default().to_owned(),
                    words::bytes(module.size as f64),
                    words::instant(module.admitted_at_ms),
                    owner,
                    module.pushed_by.clone(),
                    signer(module).unwrap_or_else(|| "-".into()),
                    serves,
                ]);
            }
            table.to_string()
        },
    )
}

async fn slots(session: Session) -> Result<()> {
    let slots = session
        .client
        .policies()
        .list_slots(v1::ListSlotsRequest {})
        .await
        .told()?
        .slots;
    session.print(
        || slots.iter().map(json::slot).collect(),
        || match slots.is_empty() {
            true => "no binding is declared; `tidegate apply -f FILE` declares some".into(),
            false => table(&slots).to_string(),
        },
    )
}

/// The key that had signed a module.
fn signer(module: &v1::Module) -> Option<String> {
    let key = module.signed_by.as_ref()?;
    Some(format!("{} ({})", key.name, key.id))
}

/// Who serves what, one line per binding.
pub(super) fn table(slots: &[v1::Slot]) -> Table {
    let mut table = Table::new(&[
        "binding",
        "kind",
        "active",
        "if it fails",
        "beside it",
        "epoch",
        "calls",
        "faults",
    ]);
    let name = |module: &Option<v1::ModuleRef>| module.as_ref().map(words::module_ref);
    for slot in slots {
        table.row(vec![
            slot.binding.clone(),
            words::module_kind(slot.kind()),
            name(&slot.active).unwrap_or_else(|| "-".into()),
            name(&slot.last_good).unwrap_or_else(|| "native baseline".into()),
            slot.trial.as_ref().map_or_else(|| "-".into(), life::beside),
            slot.epoch.to_string(),
            slot.calls.to_string(),
            slot.faults.to_string(),
        ]);
    }
    table
}

fn swapped(slot: &v1::Slot, session: &Session) -> Result<()> {
    let active = slot
        .active
        .as_ref()
        .map(words::module_ref)
        .unwrap_or_default();
    session.print(
        || json::slot(slot),
        || {
            format!(
                "{active} serves {} now (epoch {})",
                slot.binding, slot.epoch
            )
        },
    )
}
