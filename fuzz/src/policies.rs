//! What the targets that run components share.

use tidegate_core::module::ModuleKind;
use tidegate_engine::Limits;
use tidegate_hostile::Guest;

/// A good guest of each kind, as a component.
///
/// # Panics
/// When the hostile suite's own guests do not build.
#[must_use]
pub fn good() -> Vec<Vec<u8>> {
    ModuleKind::ALL
        .into_iter()
        .map(|kind| {
            Guest::new(kind, "good")
                .build()
                .expect("a good guest builds")
        })
        .collect()
}

/// Limits under which a bad input is over soon.
#[must_use]
pub fn limits() -> Limits {
    Limits {
        component_bytes: 1 << 20,
        memory_default: 4 << 20,
        memory_max: 4 << 20,
        deadline_ms_default: 50,
        deadline_ms_max: 50,
        fit_deadline_ms_default: 50,
        fit_deadline_ms_max: 50,
        returned_bytes: 1 << 20,
        log_bytes: 256,
        ..Limits::default()
    }
}
