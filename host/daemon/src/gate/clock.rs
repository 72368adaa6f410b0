//! The data's clock: read by all, moved by operators where it is a driven one.

use super::{Gate, require};
use crate::clock::Clock;
use tidegate_core::access::{Principal, Role};
use tidegate_core::ports::serve::{ClockPort, ServeError};
use tidegate_core::time::Timestamp;

impl ClockPort for Gate {
    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    fn advance(&self, caller: &Principal, now: Timestamp) -> Result<Timestamp, ServeError> {
        require(caller, Role::Operator, "moving the clock")?;
        if caller.tenants.is_some() {
            return Err(ServeError::Denied(format!(
                "the clock is everybody's; credential `{}` is bound to tenants",
                caller.name
            )));
        }
        if matches!(self.world.clock, Clock::System) {
            return Err(ServeError::Precondition(
                "this daemon follows the machine's clock; start it with `clock: driven` to replay a feed".into(),
            ));
        }
        let before = self.world.clock.now();
        if now < before {
            return Err(ServeError::Precondition(format!(
                "the clock stands at {before} and cannot go back to {now}"
            )));
        }
        crate::driver::advance(&self.world, now);
        Ok(self.world.clock.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{gate, of};

    #[test]
    fn a_credential_of_one_tenant_does_not_move_everybodys_clock() {
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(dir.path());
        let refused = gate.advance(&of(Role::Operator, &["shop"]), Timestamp(1));
        assert!(matches!(refused, Err(ServeError::Denied(_))));
        assert_eq!(
            gate.advance(&Principal::local(), Timestamp(1)),
            Ok(Timestamp(1))
        );
    }
}
