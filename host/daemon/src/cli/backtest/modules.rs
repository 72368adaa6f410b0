//! Who decides in Tidegate's runs: the shipped defaults, as the daemon would bind them.
//!
//! Components run in the engine as they serve; `--native` takes the forecaster without its sandbox,
//! which is where the time goes. Tierer and allocator answer in microseconds and stay components.

use super::Args;
use crate::cli::errors::usage;
use crate::cli::words::hint;
use crate::shipped::{self, SHIPPED};
use anyhow::{Result, anyhow};
use std::sync::Arc;
use tidegate_backtest::shape::tidegate::Policies;
use tidegate_core::ids::Digest;
use tidegate_core::module::{ModuleKind, ModuleRef};
use tidegate_core::policy::Forecaster;
use tidegate_core::roster::{Member, Retreat};
use tidegate_engine::{Engine, Limits, Loaded, Options, Policy};

/// The policies, ready to be asked.
pub(super) fn open(args: &Args) -> Result<Policies> {
    let engine = Engine::new(Options::default())?;
    let tierer = admit(&engine, shipped::default_of(ModuleKind::Tierer))?;
    let Policy::Tierer(policy) = tierer.policy().clone() else {
        return Err(anyhow!("the shipped tierer is none"));
    };
    let tierer = member(tierer.module_ref(), "{}", policy);
    let loaded = admit(&engine, shipped::default_of(ModuleKind::Allocator))?;
    tidegate_engine::check_config(&loaded.manifest().config_schema, &args.allocator_config)
        .map_err(|e| usage(format!("--allocator-config: {e}")))?;
    let Policy::Allocator(policy) = loaded.policy().clone() else {
        return Err(anyhow!("the shipped allocator is none"));
    };
    let allocator = member(loaded.module_ref(), &args.allocator_config, policy);
    Ok(Policies::new(forecaster(args, &engine)?, tierer, allocator))
}

fn forecaster(args: &Args, engine: &Engine) -> Result<Member<dyn Forecaster>> {
    let default = shipped::default_of(ModuleKind::Forecaster);
    let name = args.forecaster.as_deref().unwrap_or(default);
    if args.native {
        let linked = tidegate_native::forecaster(name).ok_or_else(|| {
            let all = tidegate_native::forecasters();
            unknown(
                name,
                &all.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(),
            )
        })?;
        let module = ModuleRef {
            version: linked.version,
            // What tells its states from those of the engine's own rule.
            digest: Digest::of(linked.name.as_bytes()),
            name: linked.name,
        };
        return Ok(member(module, "{}", linked.forecaster));
    }
    let loaded = admit(engine, name)?;
    match loaded.policy().clone() {
        Policy::Forecaster(policy) => Ok(member(loaded.module_ref(), "{}", policy)),
        _ => Err(usage(format!(
            "`{name}` is of kind {}; --forecaster takes forecasters",
            loaded.manifest().kind
        ))),
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

fn admit(engine: &Engine, name: &str) -> Result<Loaded> {
    let Some(shipped) = SHIPPED.iter().find(|s| s.name == name) else {
        return Err(unknown(
            name,
            &SHIPPED.iter().map(|s| s.name).collect::<Vec<_>>(),
        ));
    };
    engine
        .admit(shipped.bytes, &Limits::default())
        .map_err(|e| anyhow!("the shipped policy `{name}` is refused: {e}"))
}

fn unknown(name: &str, known: &[&str]) -> anyhow::Error {
    usage(format!(
        "no shipped module is called `{name}`{}; there are {}",
        hint(name, known),
        known.join(", ")
    ))
}
