//! Interface 0.2 (`wit/0.2`): a forecaster that is moved on and asked in one call.
//!
//! Everything else of 0.2 has the shape that it had in 0.1, so it is called by 0.1's code under 0.2's
//! names; see [`super::v0_1`].

mod forecaster;

use super::{Adapter, Description, Names, v0_1};
use crate::call::Prepared;
use crate::module::Policy;
use std::sync::Arc;
use tidegate_core::module::ModuleKind;
use tidegate_core::policy::CallError;

/// The adapter.
#[derive(Debug)]
pub(crate) struct V0_2(pub(super) Names);

impl Adapter for V0_2 {
    fn names(&self) -> &Names {
        &self.0
    }

    fn describe(&self, kind: ModuleKind, module: &Arc<Prepared>) -> Result<Description, CallError> {
        let export = self.0.export(kind);
        v0_1::describe(module, export, |store, instance| {
            let module = module.clone();
            match kind {
                ModuleKind::Forecaster => {
                    forecaster::Guest::new(module, export)?.check(store, instance)
                }
                _ => v0_1::check(kind, module, export, store, instance),
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
            _ => v0_1::policy(kind, module, export),
        }
    }
}
