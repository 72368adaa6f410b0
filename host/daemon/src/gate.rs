//! What the servers see of the world: one file per service of `tidegate.v1`.
//!
//! Authorisation stands at the top of every method. What is not the caller's is answered exactly
//! as what does not exist.

mod alerts;
mod catalog;
mod clock;
mod events;
mod forecasts;
mod ingest;
mod plans;
mod policies;
mod status;
mod usage;

pub(crate) use status::holds;

use crate::world::World;
use std::sync::Arc;
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::Api;
use tidegate_core::ids::ApiId;
use tidegate_core::ports::serve::ServeError;
use tidegate_core::ports::storage::StoreError;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    pub(crate) world: Arc<World>,
}

impl Gate {
    /// An api that the caller may see.
    fn api(&self, caller: &Principal, api: &ApiId) -> Result<Api, ServeError> {
        let catalog = self.world.catalog.load();
        match catalog.apis.get(api) {
            Some(found) if caller.sees(&api.tenant) => Ok(found.value.clone()),
            _ => Err(not_found(
                format!("api `{api}`"),
                "`tidegate get api` lists what there is",
            )),
        }
    }
}

fn not_found(what: impl Into<String>, remedy: impl Into<String>) -> ServeError {
    ServeError::NotFound {
        what: what.into(),
        remedy: remedy.into(),
    }
}

/// Refuses a caller whose role is too low for something of the operator's.
fn require(caller: &Principal, role: Role, what: &str) -> Result<(), ServeError> {
    if caller.role >= role {
        return Ok(());
    }
    Err(ServeError::Denied(format!(
        "credential `{}` has role {}; {what} needs role {}",
        caller.name,
        caller.role.name(),
        role.name()
    )))
}

/// A store error in a caller's terms: whether a retry may help is told apart, as senders that keep what may pass
/// later would keep what never does, and all behind it.
pub(crate) fn stored(error: StoreError) -> ServeError {
    match error {
        StoreError::Busy { retry_ms, .. } => ServeError::Exhausted {
            what: error.to_string(),
            retry_ms,
        },
        StoreError::Refused { .. } | StoreError::Damaged { .. } => {
            ServeError::Precondition(error.to_string())
        }
        other => ServeError::Unavailable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_retry_cannot_help_is_no_failure_that_passes() {
        let text = || "x".to_owned();
        let (free, wanted) = (1, 2);
        let full = stored(StoreError::Full { free, wanted });
        assert!(matches!(full, ServeError::Unavailable(_)), "{full:?}");
        let (key, cause) = (text(), text());
        let damaged = stored(StoreError::Damaged { key, cause });
        let (what, why) = (text(), text());
        let refused = stored(StoreError::Refused { what, why });
        for error in [damaged, refused] {
            assert!(matches!(error, ServeError::Precondition(_)), "{error:?}");
        }
    }
}
