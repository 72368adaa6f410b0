//! Who is asked when a world's decisions are made again: the modules that its records name.

use std::sync::Arc;
use tidegate_backtest::replay::Deciders;
use tidegate_core::module::ModuleRef;
use tidegate_core::policy::{Allocator, Forecaster, Tierer};

/// The modules that a world's records name.
pub(crate) struct Recorded<'a>(pub(crate) &'a tidegate_harness::World);

impl Deciders for Recorded<'_> {
    fn allocator(&self, module: &ModuleRef) -> Result<(ModuleRef, Arc<dyn Allocator>), String> {
        let found = self.0.allocator(module);
        let found = found.ok_or_else(|| format!("{module} is not known"))?;
        Ok((module.clone(), found))
    }

    fn tierer(&self, module: &ModuleRef) -> Result<(ModuleRef, Arc<dyn Tierer>), String> {
        let found = self.0.tierer(module);
        let found = found.ok_or_else(|| format!("{module} is not known"))?;
        Ok((module.clone(), found))
    }

    fn forecaster(&self, module: &ModuleRef) -> Result<Arc<dyn Forecaster>, String> {
        let found = self.0.forecaster(module);
        found.ok_or_else(|| format!("{module} is not known"))
    }
}
