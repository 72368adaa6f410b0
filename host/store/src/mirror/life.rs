//! The life of versions: the steps of the journal.

use super::{Mirror, mirror_enum, mirror_struct};
use crate::codec::Malformed;
use tidegate_core::ids::{BindingId, TenantId};
use tidegate_core::life::{Actor, Event, Ground, Step, Version};
use tidegate_core::module::ModuleRef;
use tidegate_core::ports::storage::StoreError;
use tidegate_core::time::Timestamp;

mirror_struct!(Version as StoredVersion { module: ModuleRef, config: String });
mirror_enum!(Event {
    0 => Uploaded, 1 => Admitted, 2 => Shadowed, 3 => ShadowEnded, 4 => Promoted, 5 => Bound,
    6 => RolledBack, 7 => Quarantined, 8 => Lifted, 9 => Retired, 10 => Removed,
});
mirror_enum!(Ground { 0 => Ordinary, 1 => Forced });

/// By number, with a name where it is somebody.
impl Mirror for Actor {
    type Stored = (u8, String);

    fn store(&self) -> (u8, String) {
        match self {
            Actor::Caller(name) => (0, name.clone()),
            Actor::Gate => (1, String::new()),
            Actor::Faults => (2, String::new()),
            Actor::Daemon => (3, String::new()),
        }
    }

    fn restore((number, name): (u8, String)) -> Result<Self, Malformed> {
        match number {
            0 => Ok(Actor::Caller(name)),
            1 => Ok(Actor::Gate),
            2 => Ok(Actor::Faults),
            3 => Ok(Actor::Daemon),
            _ => Err(Malformed("it names nobody who acts")),
        }
    }
}

mirror_struct!(Step as StoredStep {
    sequence: u64,
    at: Timestamp,
    event: Event,
    binding: Option<BindingId>,
    party: Option<TenantId>,
    from: Option<Version>,
    to: Option<Version>,
    by: Actor,
    ground: Ground,
    reason: String,
});

/// Format of a step of the journal.
const STEP_FORMAT: u8 = 1;

/// The bytes of a step.
pub(crate) fn encode_step(step: &Step) -> Result<Vec<u8>, StoreError> {
    super::pack_as(STEP_FORMAT, &step.store())
}

/// The step that bytes say.
pub(crate) fn step_of(bytes: &[u8]) -> Result<Step, Malformed> {
    super::unpack_as(STEP_FORMAT, bytes).and_then(Step::restore)
}
