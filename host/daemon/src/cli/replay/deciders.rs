//! The modules that the ledger names, by digest, out of the store; or one that is held against them.

use crate::cli::component;
use crate::cli::errors::usage;
use anyhow::{Result, anyhow};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_backtest::replay::Deciders;
use tidegate_core::ids::Digest;
use tidegate_core::module::ModuleRef;
use tidegate_core::policy::{Allocator, Forecaster, Tierer};
use tidegate_core::ports::storage::Modules as _;
use tidegate_engine::{Engine, Limits, Loaded, Options, Policy};
use tidegate_flow::baseline::{BaseTier, FloorsFirst, LastValue};
use tidegate_store::Store;

/// Answers of the store's modules, each compiled once, when it is first asked.
pub(super) struct Stored<'a> {
    store: &'a Arc<Store>,
    engine: Engine,
    loaded: RefCell<BTreeMap<Digest, Result<Loaded, String>>>,
    instead: Option<(ModuleRef, Arc<dyn Allocator>)>,
    config: Option<&'a str>,
}

impl<'a> Stored<'a> {
    /// Of a store; `instead` of the allocators, another one.
    pub(super) fn new(
        store: &'a Arc<Store>,
        instead: Option<&str>,
        config: Option<&'a str>,
    ) -> Result<Self> {
        let engine = Engine::new(Options::default())?;
        let instead = match instead {
            None => None,
            Some(name) => Some(foreign(store, &engine, name, config)?),
        };
        Ok(Self {
            store,
            engine,
            loaded: RefCell::default(),
            instead,
            config,
        })
    }

    fn policy(&self, module: &ModuleRef) -> Result<Policy, String> {
        let mut loaded = self.loaded.borrow_mut();
        let found = loaded
            .entry(module.digest)
            .or_insert_with(|| self.load(module));
        match found {
            Ok(loaded) => Ok(loaded.policy().clone()),
            Err(why) => Err(why.clone()),
        }
    }

    fn load(&self, module: &ModuleRef) -> Result<Loaded, String> {
        let bytes = match self.store.bytes(&module.digest) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(format!("the store holds no bytes of {module}")),
            Err(error) => return Err(format!("{module} cannot be read: {error}")),
        };
        self.engine
            .admit(&bytes, &limits())
            .map_err(|error| format!("{module} is not admitted any more: {error}"))
    }
}

impl Deciders for Stored<'_> {
    fn allocator(&self, module: &ModuleRef) -> Result<(ModuleRef, Arc<dyn Allocator>), String> {
        if let Some(instead) = &self.instead {
            return Ok(instead.clone());
        }
        if *module == ModuleRef::native("floors-first") {
            return Ok((module.clone(), Arc::new(FloorsFirst)));
        }
        match self.policy(module)? {
            Policy::Allocator(allocator) => Ok((module.clone(), allocator)),
            _ => Err(format!("{module} is no allocator")),
        }
    }

    fn tierer(&self, module: &ModuleRef) -> Result<(ModuleRef, Arc<dyn Tierer>), String> {
        if *module == ModuleRef::native("base-tier") {
            return Ok((module.clone(), Arc::new(BaseTier)));
        }
        match self.policy(module)? {
            Policy::Tierer(tierer) => Ok((module.clone(), tierer)),
            _ => Err(format!("{module} is no tierer")),
        }
    }

    fn forecaster(&self, module: &ModuleRef) -> Result<Arc<dyn Forecaster>, String> {
        if *module == ModuleRef::native("last-value") {
            return Ok(Arc::new(LastValue));
        }
        match self.policy(module)? {
            Policy::Forecaster(forecaster) => Ok(forecaster),
            _ => Err(format!("{module} is no forecaster")),
        }
    }

    fn config(&self) -> Option<&str> {
        self.config
    }
}

/// Wider than any daemon's: what a module may use was decided when it was admitted, and a replay on a busy machine
/// is not to take a slow answer for another one.
fn limits() -> Limits {
    Limits {
        component_bytes: 256 << 20,
        memory_max: 4 << 30,
        deadline_ms_default: 600_000,
        deadline_ms_max: 600_000,
        ..Limits::default()
    }
}

/// The allocator that a text names.
fn foreign(
    store: &Arc<Store>,
    engine: &Engine,
    name: &str,
    config: Option<&str>,
) -> Result<(ModuleRef, Arc<dyn Allocator>)> {
    let bytes = component::bytes(name, || Ok(store.clone()))?;
    let loaded = engine
        .admit(&bytes, &Limits::default())
        .map_err(|error| anyhow!("`{name}` is refused: {error}"))?;
    if let Some(config) = config {
        tidegate_engine::check_config(&loaded.manifest().config_schema, config)
            .map_err(|e| usage(format!("--config does not fit `{name}`: {e}")))?;
    }
    match loaded.policy().clone() {
        Policy::Allocator(allocator) => Ok((loaded.module_ref(), allocator)),
        _ => Err(usage(format!(
            "`{name}` is of kind {}; --allocator takes an allocator",
            loaded.manifest().kind
        ))),
    }
}
