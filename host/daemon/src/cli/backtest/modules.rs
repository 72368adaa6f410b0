//! Who decides in Tidegate's runs: the shipped defaults, as the daemon would bind them.
//!
//! Components run in the engine as they serve; `--native` takes the forecaster without its sandbox,
//! which is where the time goes. Tierer and allocator answer in microseconds and stay components.

use super::Args;
use super::config::{Bound, Setup};
use crate::cli::component;
use crate::cli::errors::usage;
use crate::shipped;
use anyhow::{Result, anyhow};
use std::sync::Arc;
use tidegate_backtest::shape::tidegate::Policies;
use tidegate_core::ids::Digest;
use tidegate_core::module::{ModuleKind, ModuleRef};
use tidegate_core::policy::Forecaster;
use tidegate_core::roster::{Member, Retreat};
use tidegate_engine::{Engine, Limits, Loaded, Options, Policy};

/// The policies, ready to be asked.
pub(super) fn open(args: &Args, setup: &Setup) -> Result<Policies> {
    let engine = Engine::new(Options::default())?;
    let (loaded, config) = component(&engine, ModuleKind::Tierer, &setup.tierer)?;
    let Policy::Tierer(policy) = loaded.policy().clone() else {
        return Err(wrong_kind(&loaded, ModuleKind::Tierer));
    };
    let tierer = member(loaded.module_ref(), &config, policy);
    let (loaded, config) = component(&engine, ModuleKind::Allocator, &setup.allocator)?;
    let Policy::Allocator(policy) = loaded.policy().clone() else {
        return Err(wrong_kind(&loaded, ModuleKind::Allocator));
    };
    let allocator = member(loaded.module_ref(), &config, policy);
    Ok(Policies::new(
        forecaster(args, setup, &engine)?,
        tierer,
        allocator,
    ))
}

/// The component of a binding, with its config checked.
fn component(engine: &Engine, kind: ModuleKind, bound: &Bound) -> Result<(Loaded, String)> {
    let name = bound.module.as_deref().unwrap_or(shipped::default_of(kind));
    let loaded = admit(engine, name)?;
    let config = bound.config(name, &loaded.manifest().config_schema)?;
    Ok((loaded, config))
}

fn wrong_kind(loaded: &Loaded, wanted: ModuleKind) -> anyhow::Error {
    let manifest = loaded.manifest();
    usage(format!(
        "`{}` is of kind {}; as {wanted} one of that kind is needed",
        manifest.name, manifest.kind
    ))
}

fn forecaster(args: &Args, setup: &Setup, engine: &Engine) -> Result<Member<dyn Forecaster>> {
    let bound = &setup.forecaster;
    let default = shipped::default_of(ModuleKind::Forecaster);
    let name = bound.module.as_deref().unwrap_or(default);
    if args.native {
        let linked = tidegate_native::forecaster(name).ok_or_else(|| {
            let all = tidegate_native::forecasters();
            component::unknown(
                name,
                &all.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(),
            )
        })?;
        let config = bound.config(name, &linked.config_schema)?;
        let module = ModuleRef {
            version: linked.version,
            // What tells its states from those of the engine's own rule.
            digest: Digest::of(linked.name.as_bytes()),
            name: linked.name,
        };
        return Ok(member(module, &config, linked.forecaster));
    }
    let (loaded, config) = component(engine, ModuleKind::Forecaster, bound)?;
    match loaded.policy().clone() {
        Policy::Forecaster(policy) => Ok(member(loaded.module_ref(), &config, policy)),
        _ => Err(wrong_kind(&loaded, ModuleKind::Forecaster)),
    }
}

fn member<P: ?Sized>(module: ModuleRef, config: &str, policy: Arc<P>) -> Member<P> {
    Member {
        module,
        binding: None,
        retreat: Retreat::Active,
        config: config.into(),
        policy,
    }
}

/// A shipped module by name, or a component FILE.wasm.
fn admit(engine: &Engine, name: &str) -> Result<Loaded> {
    let bytes = component::bytes(name, || {
        Err(usage(format!(
            "`{name}` is a stored module, and a backtest takes shipped ones and FILE.wasm"
        )))
    })?;
    engine
        .admit(&bytes, &Limits::default())
        .map_err(|e| anyhow!("`{name}` is refused: {e}"))
}
