//! Interface 0.1, frozen in `wit/0.1`; also what `0.1.0-next` was, since it was frozen as it stood.
//!
//! The bindings come from one world that exports all four interfaces, though a component exports
//! one: so the four share their types, and each interface's part of the bindings is used alone.
//! Inputs are lent to wasmtime as slices (`Borrowing`); only what has another layout in `core`
//! (enums, instants) is copied, never the hot columns.
//!
//! The component model compares types by their shape and not by the name of their package. So what a
//! later version left as it was is called by the code here, under that version's names ([`Names`]);
//! its own file holds what it changed, and nothing else. Generating everything anew for each version
//! would say the same several times, and let the sayings drift apart.

pub(super) mod allocator;
pub(super) mod forecaster;
pub(super) mod judge;
pub(super) mod shared;
pub(super) mod tierer;

use super::{Adapter, Description, Names};
use crate::call::Prepared;
use crate::gate::Class;
use crate::guest::{Guest, Severity};
use crate::module::Policy;
use std::sync::Arc;
use tidegate_core::module::ModuleKind;
use tidegate_core::policy::{Blob, CallError};
use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre, Linker};
use wasmtime::{Store, StoreContextMut};

mod wit {
    wasmtime::component::bindgen!({
        path: "../../wit/0.1",
        inline: "
            package tidegate:engine;
            world all {
                import tidegate:policy/host@0.1.0;
                export tidegate:policy/forecasting@0.1.0;
                export tidegate:policy/tiering@0.1.0;
                export tidegate:policy/allocation@0.1.0;
                export tidegate:policy/judging@0.1.0;
            }
        ",
        world: "tidegate:engine/all",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

pub(super) use wit::exports::tidegate::policy::{allocation, forecasting, judging, tiering};
use wit::tidegate::policy::host;
pub(super) use wit::tidegate::policy::types;

/// The adapter, under the names that its components use.
#[derive(Debug)]
pub(crate) struct V0_1(pub(super) Names);

impl Adapter for V0_1 {
    fn names(&self) -> &Names {
        &self.0
    }

    fn describe(&self, kind: ModuleKind, module: &Arc<Prepared>) -> Result<Description, CallError> {
        let export = self.0.export(kind);
        describe(module, export, |store, instance| {
            let module = module.clone();
            match kind {
                ModuleKind::Forecaster => {
                    forecaster::Guest::new(module, export)?.check(store, instance)
                }
                _ => check(kind, module, export, store, instance),
            }
        })
    }

    fn policy(&self, kind: ModuleKind, module: Arc<Prepared>) -> wasmtime::Result<Policy> {
        let export = self.0.export(kind);
        match kind {
            ModuleKind::Forecaster => {
                let guest = forecaster::Guest::new(module, export)?;
                Ok(Policy::Forecaster(Arc::new(guest)))
            }
            _ => policy(kind, module, export),
        }
    }
}

/// Links a component, checking the types of its imports.
pub(super) fn link(
    names: &Names,
    engine: &wasmtime::Engine,
    component: &Component,
) -> wasmtime::Result<InstancePre<Guest>> {
    let mut linker: Linker<Guest> = Linker::new(engine);
    linker.instance(names.host())?.func_wrap(
        "log",
        |mut store: StoreContextMut<'_, Guest>, (severity, message): (host::Severity, String)| {
            let severity = match severity {
                host::Severity::Debug => Severity::Debug,
                host::Severity::Info => Severity::Info,
                host::Severity::Warn => Severity::Warn,
                host::Severity::Error => Severity::Error,
            };
            store.data_mut().log.write(severity, &message);
            Ok(())
        },
    )?;
    // Types alone, and so nothing to define.
    linker.instance(names.types())?;
    linker.instantiate_pre(component)
}

/// Instantiates once, checks what is given to check, and asks what the module is.
pub(super) fn describe(
    module: &Prepared,
    export: &str,
    check: impl Fn(&mut Store<Guest>, &Instance) -> wasmtime::Result<()>,
) -> Result<Description, CallError> {
    let (said,) = module.run(Class::Cycle, |store, instance| {
        check(&mut *store, instance)?;
        let describe = function(module, export, "describe")?;
        instance
            .get_typed_func::<(), (types::Description,)>(&mut *store, &describe)?
            .call(store, ())
    })?;
    Ok(Description {
        name: said.name,
        version: said.version,
        kind: shared::kind(said.kind),
        config_schema: said.config_schema,
        state_format: said.state_format,
    })
}

/// Whether all functions of a kind that keeps one state have the types of this version.
pub(super) fn check(
    kind: ModuleKind,
    module: Arc<Prepared>,
    export: &str,
    store: &mut Store<Guest>,
    instance: &Instance,
) -> wasmtime::Result<()> {
    match kind {
        ModuleKind::Tierer => tierer::Guest::new(module, export)?.check(store, instance),
        ModuleKind::Allocator => allocator::Guest::new(module, export)?.check(store, instance),
        ModuleKind::Judge => judge::Guest::new(module, export)?.check(store, instance),
        ModuleKind::Forecaster => Err(wasmtime::format_err!("a forecaster has another shape")),
    }
}

/// The policy of a kind that keeps one state.
pub(super) fn policy(
    kind: ModuleKind,
    module: Arc<Prepared>,
    export: &str,
) -> wasmtime::Result<Policy> {
    Ok(match kind {
        ModuleKind::Tierer => Policy::Tierer(Arc::new(tierer::Guest::new(module, export)?)),
        ModuleKind::Allocator => {
            Policy::Allocator(Arc::new(allocator::Guest::new(module, export)?))
        }
        ModuleKind::Judge => Policy::Judge(Arc::new(judge::Guest::new(module, export)?)),
        ModuleKind::Forecaster => wasmtime::bail!("a forecaster has another shape"),
    })
}

/// Where a function of the exported interface is. Looking one function up per call, instead of
/// loading the whole interface, halves the cost of a small call.
pub(super) fn function(
    module: &Prepared,
    export: &str,
    name: &str,
) -> wasmtime::Result<ComponentExportIndex> {
    let component = module.pre.component();
    component
        .get_export_index(None, export)
        .and_then(|interface| component.get_export_index(Some(&interface), name))
        .ok_or_else(|| wasmtime::format_err!("`{export}` has no function `{name}`"))
}

type MigrateInput<'a> = (types::BlobParam<'a>,);
type MigrateAnswer = (Result<types::BlobResult, types::PolicyError>,);

/// Whether `migrate` of a kind that keeps one state has its types.
fn check_migrate(
    migrate: &ComponentExportIndex,
    store: &mut Store<Guest>,
    instance: &Instance,
) -> wasmtime::Result<()> {
    instance
        .get_typed_func::<MigrateInput<'_>, MigrateAnswer>(store, migrate)
        .map(|_| ())
}

/// `migrate` of the three policies that keep one state: the same function in each interface.
fn migrate_blob(
    module: &Prepared,
    migrate: &ComponentExportIndex,
    state: &Blob,
) -> Result<Blob, CallError> {
    let (answer,) = module.run(Class::Cycle, |store, instance| {
        instance
            .get_typed_func::<MigrateInput<'_>, MigrateAnswer>(&mut *store, migrate)?
            .call(store, (shared::blob_in(state),))
    })?;
    shared::answer(answer).map(shared::blob_out)
}
