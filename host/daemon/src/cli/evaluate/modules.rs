//! Which forecasters are asked, and through what: the engine as in the daemon, or linked in.
//!
//! A component is admitted under the same limits as a pushed one, compiled once, and runs each call
//! on a fresh instance; so what is measured here is what serves. `--native` takes the same glue
//! without the sandbox. The engine's own rule (`last-value`) is native either way.

use super::{Args, input};
use crate::cli::component;
use crate::cli::errors::usage;
use crate::cli::words::hint;
use crate::shipped;
use anyhow::{Result, anyhow};
use std::sync::Arc;
use tidegate_backtest::evaluate::subject::Subject;
use tidegate_core::module::ModuleKind;
use tidegate_core::policy::Forecaster;
use tidegate_engine::{Engine, Limits, Loaded, Options, Policy};
use tidegate_flow::baseline::LastValue;

/// The engine's own rule.
pub(super) const LAST_VALUE: &str = "last-value";

/// Repeats what was measured a season before.
pub(super) const SEASONAL_NAIVE: &str = "seasonal-naive";

/// A forecaster and where it runs.
#[derive(Debug)]
pub(super) struct Module {
    /// How to ask it.
    pub(super) subject: Subject,
    /// `component 0123456789ab`, `native`, or `engine`.
    pub(super) way: String,
    loaded: Option<Loaded>,
}

impl Module {
    /// Most memory that a call took, where the engine can tell.
    pub(super) fn peak_memory(&self) -> Option<u64> {
        self.loaded.as_ref().map(Loaded::peak_memory)
    }
}

/// The module that is asked for, and those beside it.
pub(super) fn open(args: &Args) -> Result<Vec<Module>> {
    let default = shipped::default_of(ModuleKind::Forecaster);
    let main = args.module.as_deref().unwrap_or(default);
    let mut names = vec![(main, args.config.as_str())];
    names.extend(args.compare.iter().map(|name| (name.as_str(), "{}")));
    if !args.cold_start.is_empty() {
        for name in [SEASONAL_NAIVE, LAST_VALUE] {
            if !names.iter().any(|(n, _)| *n == name) {
                names.push((name, "{}"));
            }
        }
    }
    let mut opener = Opener { args, engine: None };
    names
        .into_iter()
        .map(|(name, config)| opener.open(name, config))
        .collect()
}

struct Opener<'a> {
    args: &'a Args,
    engine: Option<Engine>,
}

impl Opener<'_> {
    fn open(&mut self, name: &str, config: &str) -> Result<Module> {
        if name == LAST_VALUE {
            return self.module(name, Arc::new(LastValue), "engine".into(), None, config);
        }
        if self.args.native {
            return self.native(name, config);
        }
        let bytes = self.bytes(name)?;
        let engine = match &self.engine {
            Some(engine) => engine.clone(),
            None => {
                let engine = Engine::new(Options::default())?;
                self.engine.insert(engine).clone()
            }
        };
        let loaded = engine
            .admit(&bytes, &Limits::default())
            .map_err(|e| anyhow!("`{name}` is refused: {e}"))?;
        let Policy::Forecaster(forecaster) = loaded.policy().clone() else {
            return Err(usage(format!(
                "`{name}` is of kind {}; evaluate takes forecasters",
                loaded.manifest().kind
            )));
        };
        checked(name, &loaded.manifest().config_schema, config)?;
        let way = format!("component {}", loaded.digest().short());
        let name = loaded.manifest().name.clone();
        self.module(&name, forecaster, way, Some(loaded), config)
    }

    fn native(&self, name: &str, config: &str) -> Result<Module> {
        let Some(linked) = tidegate_native::forecaster(name) else {
            let all = tidegate_native::forecasters();
            let known: Vec<&str> = all.iter().map(|l| l.name.as_str()).collect();
            return Err(usage(format!(
                "no forecaster `{name}` is linked in{}; --native has {}, {LAST_VALUE} (leave --native out to run a component)",
                hint(name, &known),
                known.join(", ")
            )));
        };
        checked(name, &linked.config_schema, config)?;
        self.module(name, linked.forecaster, "native".into(), None, config)
    }

    fn module(
        &self,
        name: &str,
        forecaster: Arc<dyn Forecaster>,
        way: String,
        loaded: Option<Loaded>,
        config: &str,
    ) -> Result<Module> {
        Ok(Module {
            subject: Subject {
                name: name.to_owned(),
                forecaster,
                config: config.to_owned(),
                seed: self.args.seed,
                calendar: input::calendar(self.args)?,
            },
            way,
            loaded,
        })
    }

    /// The component that a text names.
    fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        component::bytes(name, || match &self.args.store {
            Some(dir) => input::store(dir),
            None => Err(usage(format!(
                "--module {name} is a stored module; say where with --store DIR"
            ))),
        })
    }
}

fn checked(name: &str, schema: &str, config: &str) -> Result<()> {
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(config);
    parsed.map_err(|e| usage(format!("--config is not JSON: {e}")))?;
    tidegate_engine::check_config(schema, config)
        .map_err(|e| usage(format!("--config does not fit `{name}`: {e}")))
}
