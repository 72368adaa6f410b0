//! A binding: who serves, who stands beside it, what is in shadow, and its gate.

use super::catalog::StoredSelector;
use super::{Mirror, mirror_enum, mirror_struct};
use crate::codec::Malformed;
use serde::{Deserialize, Serialize};
use tidegate_core::catalog::Object;
use tidegate_core::life::{Backtest, Gate, Promotion};
use tidegate_core::module::{Binding, Challenger, ShadowModule};
use tidegate_core::units::Level;

mirror_struct!(ShadowModule as StoredShadowModule { module: String, config: String });
mirror_enum!(Promotion { 0 => Automatic, 1 => Manual });
mirror_struct!(Backtest as StoredBacktest { window_s: u32, worse_by: f64 });
mirror_struct!(Gate as StoredGate {
    promote: Promotion,
    alpha: Level,
    margin: f64,
    min_duration_s: u32,
    max_duration_s: u32,
    watch_s: u32,
    backtest: Option<Backtest>,
});

mirror_struct!(Challenger as StoredChallenger { module: String, config: String });

/// The part of a binding that every version has written.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredBinding {
    id: String,
    kind: u8,
    selector: StoredSelector,
    module: String,
    config: String,
}

pub(super) fn binding(b: &Binding) -> StoredBinding {
    StoredBinding {
        id: b.id.store(),
        kind: b.kind.store(),
        selector: b.selector.store(),
        module: b.module.clone(),
        config: b.config.clone(),
    }
}

/// Without a gate: with the default one, and nothing in shadow, as before there was either.
pub(super) fn restored(
    b: StoredBinding,
    challengers: Vec<StoredChallenger>,
    gated: Option<(Option<StoredShadowModule>, StoredGate)>,
) -> Result<Object, Malformed> {
    let (shadow, gate) = match gated {
        None => (None, Gate::default()),
        Some((shadow, gate)) => (Mirror::restore(shadow)?, Mirror::restore(gate)?),
    };
    Ok(Object::Binding(Binding {
        id: Mirror::restore(b.id)?,
        kind: Mirror::restore(b.kind)?,
        selector: Mirror::restore(b.selector)?,
        module: b.module,
        config: b.config,
        challengers: Mirror::restore(challengers)?,
        shadow,
        gate,
    }))
}
