//! What is in shadow of a binding: one candidate, pinned and checked as the module is.
//!
//! It needs no slot, for the reason that a challenger needs none: nothing that it answers counts. So it
//! cannot fall back, and RB1 is kept where it comes in: what is quarantined for a binding is not put in
//! shadow of it, since from there the gate could promote it.

use super::{Policies, Whose, pinned_name};
use tidegate_core::module::{Binding, ShadowModule};
use tidegate_core::ports::serve::ServeError;
use tidegate_engine::Loaded;

/// A shadow's problem, by its field.
fn refuse(binding: &Binding, field: &str, text: String) -> ServeError {
    let object = format!("binding {}", binding.id);
    ServeError::field(object, format!("shadow.{field}"), text)
}

impl Policies {
    /// The shadow of a binding, pinned to a version.
    pub(super) fn pinned_shadow(
        &self,
        binding: &Binding,
    ) -> Result<Option<ShadowModule>, ServeError> {
        let Some(shadow) = &binding.shadow else {
            return Ok(None);
        };
        let loaded = self.in_shadow(binding, shadow)?;
        Ok(Some(ShadowModule {
            module: pinned_name(&loaded),
            config: shadow.config.clone(),
        }))
    }

    /// The module in shadow of a binding; that it is not there is a problem of its field.
    pub(crate) fn in_shadow(
        &self,
        binding: &Binding,
        shadow: &ShadowModule,
    ) -> Result<Loaded, ServeError> {
        let found = self.find(&shadow.module, Whose::of(binding));
        found.map_err(|error| refuse(binding, "module", error.to_string()))
    }

    /// Refuses a shadow whose kind or config does not fit, and one that was not there before and is
    /// quarantined (RB1).
    pub(super) fn check_shadow(
        &self,
        binding: &Binding,
        before: Option<&Binding>,
    ) -> Result<(), ServeError> {
        let Some(shadow) = &binding.shadow else {
            return Ok(());
        };
        let loaded = self.in_shadow(binding, shadow)?;
        let manifest = loaded.manifest();
        if manifest.kind != binding.kind {
            let text = format!(
                "`{}` is of kind {}, the binding of kind {}",
                manifest.name, manifest.kind, binding.kind
            );
            return Err(refuse(binding, "module", text));
        }
        tidegate_engine::check_config(&manifest.config_schema, &shadow.config)
            .map_err(|error| refuse(binding, "config", error.to_string()))?;
        let stood = before
            .and_then(|b| b.shadow.as_ref())
            .is_some_and(|s| s.module == shadow.module);
        if !stood && !self.admits(&binding.id, loaded.digest()) {
            let text = format!(
                "`{}` was rolled back and is quarantined (RB1); push a fixed version, or lift it by `tidegate policy quarantine {} --lift`",
                shadow.module,
                loaded.digest().short()
            );
            return Err(refuse(binding, "module", text));
        }
        Ok(())
    }
}
