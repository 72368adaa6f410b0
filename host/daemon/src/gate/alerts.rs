//! Alerts that the caller may see. One about a pool names apis of all its tenants, so only who may
//! see them all reads it.

use super::Gate;
use tidegate_core::access::{Principal, Role};
use tidegate_core::alert::Alert;
use tidegate_core::ports::serve::AlertsPort;

impl AlertsPort for Gate {
    fn alerts(&self, caller: &Principal) -> Vec<Alert> {
        // An alert about a pool names apis of all its tenants: only who sees them all may read it.
        let mine = |alert: &Alert| match &alert.api {
            Some(api) => caller.sees(&api.tenant),
            None => caller.tenants.is_none() || caller.role >= Role::Operator,
        };
        self.world.alerts().into_iter().filter(mine).collect()
    }
}
