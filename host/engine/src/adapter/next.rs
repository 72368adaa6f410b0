//! The interface as it stands in `wit/next`.
//!
//! The bindings come from one world that exports all four interfaces, though a component exports
//! one: so the four share their types, and each interface's part of the bindings is used alone.
//! Inputs are lent to wasmtime as slices (`Borrowing`); only what has another layout in `core`
//! (enums, instants) is copied, never the hot columns.

mod allocator;
mod forecaster;
mod judge;
mod shared;
mod tierer;

use super::{Adapter, Description};
use crate::call::Prepared;
use crate::gate::Class;
use crate::guest::{Guest, Severity};
use crate::module::Policy;
use std::sync::Arc;
use tidegate_core::module::ModuleKind;
use tidegate_core::policy::{Blob, CallError};
use wasmtime::component::{Component, ComponentExportIndex, HasSelf, InstancePre, Linker};

mod wit {
    wasmtime::component::bindgen!({
        path: "../../wit/next",
        inline: "
            package tidegate:engine;
            world all {
                import tidegate:policy/host@0.1.0-next;
                export tidegate:policy/forecasting@0.1.0-next;
                export tidegate:policy/tiering@0.1.0-next;
                export tidegate:policy/allocation@0.1.0-next;
                export tidegate:policy/judging@0.1.0-next;
            }
        ",
        world: "tidegate:engine/all",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

use wit::exports::tidegate::policy::{allocation, forecasting, judging, tiering};
use wit::tidegate::policy::{host, types};

/// The adapter.
#[derive(Debug)]
pub(crate) struct Next;

impl Adapter for Next {
    fn version(&self) -> &'static str {
        "0.1.0-next"
    }

    fn imports(&self) -> &'static [&'static str] {
        &[
            "tidegate:policy/host@0.1.0-next",
            "tidegate:policy/types@0.1.0-next",
        ]
    }

    fn export(&self, kind: ModuleKind) -> &'static str {
        match kind {
            ModuleKind::Forecaster => "tidegate:policy/forecasting@0.1.0-next",
            ModuleKind::Tierer => "tidegate:policy/tiering@0.1.0-next",
            ModuleKind::Allocator => "tidegate:policy/allocation@0.1.0-next",
            ModuleKind::Judge => "tidegate:policy/judging@0.1.0-next",
        }
    }

    fn link(
        &self,
        engine: &wasmtime::Engine,
        component: &Component,
    ) -> wasmtime::Result<InstancePre<Guest>> {
        let mut linker: Linker<Guest> = Linker::new(engine);
        host::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        types::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        linker.instantiate_pre(component)
    }

    fn describe(&self, kind: ModuleKind, module: &Prepared) -> Result<Description, CallError> {
        let said = module.run(Class::Cycle, |store, instance| {
            let pre = &module.pre;
            match kind {
                ModuleKind::Forecaster => forecasting::GuestIndices::new(pre)?
                    .load(&mut *store, instance)?
                    .call_describe(store),
                ModuleKind::Tierer => tiering::GuestIndices::new(pre)?
                    .load(&mut *store, instance)?
                    .call_describe(store),
                ModuleKind::Allocator => allocation::GuestIndices::new(pre)?
                    .load(&mut *store, instance)?
                    .call_describe(store),
                ModuleKind::Judge => judging::GuestIndices::new(pre)?
                    .load(&mut *store, instance)?
                    .call_describe(store),
            }
        })?;
        Ok(Description {
            name: said.name,
            version: said.version,
            kind: shared::kind(said.kind),
            config_schema: said.config_schema,
            state_format: said.state_format,
        })
    }

    fn policy(&self, kind: ModuleKind, module: Arc<Prepared>) -> wasmtime::Result<Policy> {
        let export = self.export(kind);
        Ok(match kind {
            ModuleKind::Forecaster => {
                Policy::Forecaster(Arc::new(forecaster::Guest::new(module, export)?))
            }
            ModuleKind::Tierer => Policy::Tierer(Arc::new(tierer::Guest::new(module, export)?)),
            ModuleKind::Allocator => {
                Policy::Allocator(Arc::new(allocator::Guest::new(module, export)?))
            }
            ModuleKind::Judge => Policy::Judge(Arc::new(judge::Guest::new(module, export)?)),
        })
    }
}

/// Where a function of the exported interface is. Looking one function up per call, instead of
/// loading the whole interface, halves the cost of a small call.
fn function(module: &Prepared, export: &str, name: &str) -> wasmtime::Result<ComponentExportIndex> {
    let component = module.pre.component();
    component
        .get_export_index(None, export)
        .and_then(|interface| component.get_export_index(Some(&interface), name))
        .ok_or_else(|| wasmtime::format_err!("`{export}` has no function `{name}`"))
}

/// `migrate` of the three policies that keep one state: the same function in each interface.
fn migrate_blob(
    module: &Prepared,
    migrate: &ComponentExportIndex,
    state: &Blob,
) -> Result<Blob, CallError> {
    type Answer = (Result<types::BlobResult, types::PolicyError>,);
    let (answer,) = module.run(Class::Cycle, |store, instance| {
        instance
            .get_typed_func::<(types::BlobParam<'_>,), Answer>(&mut *store, migrate)?
            .call(store, (shared::blob_in(state),))
    })?;
    shared::answer(answer).map(shared::blob_out)
}

impl host::Host for Guest {
    fn log(&mut self, severity: host::Severity, message: String) {
        let severity = match severity {
            host::Severity::Debug => Severity::Debug,
            host::Severity::Info => Severity::Info,
            host::Severity::Warn => Severity::Warn,
            host::Severity::Error => Severity::Error,
        };
        self.log.write(severity, &message);
    }
}

impl types::Host for Guest {}
