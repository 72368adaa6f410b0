//! The policies that come with the binary, and what they serve where nothing else is bound.
//!
//! They go the same way as anybody's modules: admitted by the engine, kept by digest, bound by
//! catalog objects that an operator can see, change and delete.

use crate::world::{World, lock};
use anyhow::{Context, Result};
use std::sync::Arc;
use tidegate_core::catalog::{Change, Object};
use tidegate_core::ids::Generation;
use tidegate_core::life::{Gate, Promotion};
use tidegate_core::module::{Binding, ModuleKind, Selector, ShadowModule};
use tidegate_core::ports::storage::CatalogStore;
use tidegate_core::time::Timestamp;

/// Who pushed them, as the list of modules tells.
pub(crate) const PUSHED_BY: &str = "tidegate";

/// One embedded component.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shipped {
    /// Its name.
    pub(crate) name: &'static str,
    /// The component.
    pub(crate) bytes: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// What serves where nothing else is bound.
const DEFAULTS: [(ModuleKind, &str); 4] = [
    (ModuleKind::Forecaster, "ensemble"),
    (ModuleKind::Tierer, "slo-tiers"),
    (ModuleKind::Allocator, "waterfill"),
    (ModuleKind::Judge, "sequential-judge"),
];

/// What is in shadow of a default: an allocator that learns how much headroom each api needs, beside the
/// one that does not.
fn beside(kind: ModuleKind) -> Option<ShadowModule> {
    (kind == ModuleKind::Allocator).then(|| ShadowModule {
        module: "learned".into(),
        config: "{}".into(),
    })
}

/// Nobody who installs the daemon has asked for another allocator: it is shown, and promoted by a person
/// alone, who may take a season to look at it.
fn gate(kind: ModuleKind) -> Gate {
    match beside(kind) {
        Some(_) => Gate {
            promote: Promotion::Manual,
            max_duration_s: Gate::LONGEST_S,
            ..Gate::default()
        },
        None => Gate::default(),
    }
}

/// The module of a kind that serves where nothing else is bound.
pub(crate) fn default_of(kind: ModuleKind) -> &'static str {
    let found = DEFAULTS.iter().find(|(of, _)| *of == kind);
    found.map_or("", |(_, name)| name)
}

/// Admits the shipped modules and, in a fresh data directory, binds the defaults.
pub(crate) fn install(world: &World, now: Timestamp) -> Result<()> {
    tracing::info!(
        policies = SHIPPED.len(),
        "looking at the shipped policies; what is new here is compiled, which takes half a minute, and then the port opens"
    );
    for shipped in SHIPPED {
        world
            .policies
            .push(shipped.bytes, PUSHED_BY, None, None, now, &Vec::new)
            .map_err(|e| anyhow::anyhow!("{e}"))
            .with_context(|| format!("the shipped policy `{}` was refused", shipped.name))?;
    }
    let _writer = lock(&world.catalog_writer);
    let catalog = world.catalog.load_full();
    // Only a fresh directory: a default that an operator deleted stays deleted.
    if catalog.generation != Generation(0) {
        return Ok(());
    }
    let mut changes = vec![];
    for (kind, module) in DEFAULTS {
        let id = format!("default-{}", kind.name())
            .parse()
            .context("a default binding's name")?;
        let binding = Binding {
            id,
            kind,
            selector: Selector::default(),
            module: module.into(),
            config: "{}".into(),
            challengers: vec![],
            shadow: beside(kind),
            gate: gate(kind),
        };
        let binding = world
            .policies
            .pinned(&binding)
            .map_err(|e| anyhow::anyhow!("{e}"))?;
        changes.push(Change::Put {
            object: Box::new(Object::Binding(binding)),
            expect: None,
        });
    }
    let (next, _) = catalog
        .apply(&changes)
        .map_err(|p| anyhow::anyhow!("{p:?}"))?;
    CatalogStore::save(&*world.store, &next)?;
    world.catalog.store(Arc::new(next));
    Ok(())
}
