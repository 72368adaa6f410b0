//! Alerts that the caller may see. One about a pool names apis of all its tenants, so only who may
//! see them all reads it.

use super::Gate;
use tidegate_core::access::Principal;
use tidegate_core::alert::Alert;
use tidegate_core::ports::serve::AlertsPort;

impl AlertsPort for Gate {
    fn alerts(&self, caller: &Principal) -> Vec<Alert> {
        // An alert about a pool names apis of all its tenants: only who sees them all may read it.
        let mine = |alert: &Alert| match &alert.api {
            Some(api) => caller.sees(&api.tenant),
            None => caller.tenants.is_none(),
        };
        self.world.alerts().into_iter().filter(mine).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{api, gate, of, pool, tenant};
    use tidegate_core::access::Role;
    use tidegate_core::alert::{AlertKind, Severity};
    use tidegate_core::time::Timestamp;

    #[test]
    fn an_operator_of_one_tenant_reads_no_alert_that_names_anothers_apis() {
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(dir.path());
        gate.put(vec![tenant("shop"), tenant("bank"), pool("edge")]);
        gate.put(vec![api("bank/cards", "edge")]);
        let contention = Alert {
            kind: AlertKind::Contention,
            severity: Severity::Warning,
            pool: Some("edge".parse().unwrap()),
            api: None,
            subject: "cpu".into(),
            at: Timestamp(0),
            message: "Cut: bank/cards (bronze, 0 %)".into(),
        };
        gate.world.raise(&"edge".parse().unwrap(), &[contention]);
        assert!(gate.alerts(&of(Role::Operator, &["shop"])).is_empty());
        assert_eq!(gate.alerts(&Principal::local()).len(), 1);
    }
}
