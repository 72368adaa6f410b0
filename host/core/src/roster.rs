//! The order of retreat (DESIGN section 7), as one function that every room uses.
//!
//! A roster is pinned at the start of a cycle: active module, last good module, native baseline.
//! [`Roster::call`] asks them in that order, checks each answer, and says in the result who
//! answered and what went wrong before. Keeping the chain here, and not in each room, is what
//! makes provenance complete: no room can fall back without saying so.

use crate::ids::{BindingId, Digest};
use crate::invariant::Breach;
use crate::module::ModuleRef;
use crate::policy::{CallError, PolicyError};
use std::sync::Arc;

/// How far back an answer came from; later is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Retreat {
    /// The bound module answered.
    Active,
    /// The version before it answered.
    LastGood,
    /// The engine's own rule answered.
    Baseline,
    /// Nobody answered: the last plan stays in force.
    HeldPlan,
    /// The plan expired: the safe capacity is in force.
    SafeCapacity,
}

impl Retreat {
    /// The name in APIs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Retreat::Active => "active",
            Retreat::LastGood => "last-good",
            Retreat::Baseline => "baseline",
            Retreat::HeldPlan => "held-plan",
            Retreat::SafeCapacity => "safe-capacity",
        }
    }
}

/// Who answered, and from how far back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The module.
    pub module: ModuleRef,
    /// How far back.
    pub retreat: Retreat,
}

/// A call that gave no usable answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The module.
    pub module: ModuleRef,
    /// Through which binding it was asked; `None` where nothing is bound. A module may fail on one
    /// tenant's data and serve all others well, so what follows from a fault follows for this
    /// binding.
    pub binding: Option<BindingId>,
    /// What happened.
    pub error: CallError,
    /// What it was asked about: a series, a pool.
    pub subject: String,
}

/// One link of the chain.
#[derive(Debug)]
pub struct Member<P: ?Sized> {
    /// Identity.
    pub module: ModuleRef,
    /// The binding whose link it is; `None` where nothing is bound.
    pub binding: Option<BindingId>,
    /// How far back it stands.
    pub retreat: Retreat,
    /// JSON config.
    pub config: Arc<str>,
    /// The policy.
    pub policy: Arc<P>,
}

impl<P: ?Sized> Clone for Member<P> {
    fn clone(&self) -> Self {
        Self {
            module: self.module.clone(),
            binding: self.binding.clone(),
            retreat: self.retreat,
            config: self.config.clone(),
            policy: self.policy.clone(),
        }
    }
}

impl<P: ?Sized> Member<P> {
    /// What is noted when it gave no usable answer.
    #[must_use]
    pub fn fault(&self, error: CallError, subject: String) -> Fault {
        Fault {
            module: self.module.clone(),
            binding: self.binding.clone(),
            error,
            subject,
        }
    }
}

/// The pinned chain of one slot, best first. A copy shares the members: every series of a cycle has one.
#[derive(Debug)]
pub struct Roster<P: ?Sized> {
    /// Never empty in the daemon: the last member is the native baseline.
    pub members: Arc<[Member<P>]>,
    /// Who runs beside them: asked now and then, scored, and and without a say until a series has
    /// chosen one as its champion. In the order of the binding; only forecasters have any.
    pub challengers: Arc<[Member<P>]>,
}

impl<P: ?Sized> Roster<P> {
    /// A chain of retreat without challengers.
    #[must_use]
    pub fn of(members: Vec<Member<P>>) -> Self {
        Self {
            members: members.into(),
            challengers: Arc::default(),
        }
    }

    /// Who answers for a series: the challenger that was chosen for it, else the head of the chain.
    #[must_use]
    pub fn champion(&self, chosen: Option<Digest>) -> Option<&Member<P>> {
        let mut challengers = self.challengers.iter();
        let won = challengers.find(|m| Some(m.module.digest) == chosen);
        won.or(self.members.first())
    }
}

impl<P: ?Sized> Clone for Roster<P> {
    fn clone(&self) -> Self {
        Self {
            members: self.members.clone(),
            challengers: self.challengers.clone(),
        }
    }
}

/// An answer that passed its check.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<T> {
    /// The answer.
    pub value: T,
    /// Who gave it.
    pub served: Served,
}

impl<P: ?Sized> Roster<P> {
    /// Asks the members in order until one gives an answer that passes `check`. Every failure on
    /// the way is pushed to `faults`.
    ///
    /// `insufficient-data` is an honest answer and no fault, but the next member is asked.
    pub fn call<T>(
        &self,
        subject: &str,
        faults: &mut Vec<Fault>,
        mut ask: impl FnMut(&Member<P>) -> Result<T, CallError>,
        mut check: impl FnMut(&T) -> Result<(), Breach>,
    ) -> Option<Answer<T>> {
        for member in self.members.iter() {
            let outcome = ask(member)
                .and_then(|value| check(&value).map(|()| value).map_err(CallError::Refused));
            match outcome {
                Ok(value) => {
                    let served = Served {
                        module: member.module.clone(),
                        retreat: member.retreat,
                    };
                    return Some(Answer { value, served });
                }
                Err(CallError::Policy(PolicyError::InsufficientData { .. })) => {}
                Err(error) => {
                    faults.push(member.fault(error, subject.into()));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::Invariant;

    fn roster() -> Roster<u32> {
        let member = |name: &str, retreat, n| Member {
            module: ModuleRef::native(name),
            binding: Some("b".parse().unwrap()),
            retreat,
            config: "{}".into(),
            policy: Arc::new(n),
        };
        Roster::of(vec![
            member("a", Retreat::Active, 1),
            member("b", Retreat::Baseline, 2),
        ])
    }

    #[test]
    fn a_refused_answer_falls_back_and_leaves_its_fault() {
        let mut faults = vec![];
        let check = |n: &u32| {
            if *n == 2 {
                Ok(())
            } else {
                Err(Breach::new(Invariant::AL1, "too much"))
            }
        };
        let answer = roster()
            .call("pool", &mut faults, |m| Ok(*m.policy), check)
            .unwrap();
        assert_eq!(
            (answer.value, answer.served.retreat),
            (2, Retreat::Baseline)
        );
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].binding, Some("b".parse().unwrap()));
        assert!(matches!(&faults[0].error, CallError::Refused(b) if b.invariant == Invariant::AL1));
    }

    #[test]
    fn too_little_data_is_no_fault() {
        let mut faults = vec![];
        let ask = |m: &Member<u32>| match *m.policy {
            1 => Err(CallError::Policy(PolicyError::InsufficientData {
                have: 1,
                need: 9,
            })),
            n => Ok(n),
        };
        let answer = roster()
            .call("series", &mut faults, ask, |_| Ok(()))
            .unwrap();
        assert_eq!(answer.served.retreat, Retreat::Baseline);
        assert!(faults.is_empty());
    }
}
