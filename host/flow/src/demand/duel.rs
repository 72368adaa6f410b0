//! Which foretells a resource better: its own forecast, or that of requests times their cost.
//!
//! Both are asked what they say of one step to come, at the median and at 90 %; when the step has been
//! measured, the pinball loss of each is added up (Koenker & Bassett 1978), forgetting slowly. One that
//! was better by a twentieth over some 25 steps answers alone, and where they are alike their mean does,
//! which errs less than either (Bates & Granger 1969). Until then the higher of the two answers, since
//! too little costs more than too much. A step that filled its grant decides nothing: what it would
//! have used is not known.

use super::codec::{Reader, Writer};
use tidegate_core::time::Timestamp;

/// Part of the losses that is kept from outcome to outcome.
const KEEP: f64 = 0.985;
/// Outcomes that are needed to decide.
const ENOUGH: f64 = 20.0;
/// A loss must be below this part of the other's.
const BETTER: f64 = 0.95;

/// What both said of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Promise {
    /// Start of the step.
    pub(super) target: Timestamp,
    /// Median and 90 % by requests, in the resource's unit.
    pub(super) by_requests: [f64; 2],
    /// Median and 90 % by itself.
    pub(super) by_itself: [f64; 2],
}

/// Who answers for a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Requests times their cost.
    Requests,
    /// The resource's own forecast.
    Itself,
    /// The mean of the two: they are alike.
    Mean,
    /// The higher of the two: they have not been compared enough.
    Higher,
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Duel {
    pending: Option<Promise>,
    /// Losses by requests and by itself, in the resource's unit.
    losses: [f64; 2],
    outcomes: f64,
}

impl Duel {
    /// Takes what both say of a step, unless one is waited for.
    pub(super) fn promise(&mut self, promise: Promise) {
        self.pending.get_or_insert(promise);
    }

    /// The step that is waited for.
    pub(super) fn target(&self) -> Option<Timestamp> {
        self.pending.map(|p| p.target)
    }

    /// The step has come; `None`: it was not measured, or was capped by its grant.
    pub(super) fn outcome(&mut self, used: Option<f64>) {
        let (Some(promise), Some(used)) = (self.pending.take(), used) else {
            return;
        };
        for (sum, said) in self
            .losses
            .iter_mut()
            .zip([promise.by_requests, promise.by_itself])
        {
            *sum = KEEP * *sum + pinball(used, said[0], 0.5) + pinball(used, said[1], 0.9);
        }
        self.outcomes = KEEP * self.outcomes + 1.0;
    }

    /// Who answers.
    #[must_use]
    pub fn source(&self) -> Source {
        let [requests, itself] = self.losses;
        if self.outcomes < ENOUGH {
            Source::Higher
        } else if requests < BETTER * itself {
            Source::Requests
        } else if itself < BETTER * requests {
            Source::Itself
        } else {
            Source::Mean
        }
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.float(self.losses[0]);
        to.float(self.losses[1]);
        to.float(self.outcomes);
        to.count(usize::from(self.pending.is_some()));
        if let Some(p) = self.pending {
            to.int(p.target.0);
            p.by_requests
                .iter()
                .chain(&p.by_itself)
                .for_each(|x| to.float(*x));
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let [requests, itself, outcomes] = from.array()?;
        let pending = match from.count(40)? {
            0 => None,
            _ => Some(Promise {
                target: Timestamp(from.int()?),
                by_requests: from.array()?,
                by_itself: from.array()?,
            }),
        };
        Some(Self {
            pending,
            losses: [requests, itself],
            outcomes,
        })
    }
}

fn pinball(actual: f64, said: f64, level: f64) -> f64 {
    let over = actual - said;
    (level * over).max((level - 1.0) * over)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fought(by_requests: f64, by_itself: f64, rounds: i64) -> Duel {
        let mut duel = Duel::default();
        for i in 0..rounds {
            duel.promise(Promise {
                target: Timestamp(i),
                by_requests: [by_requests; 2],
                by_itself: [by_itself; 2],
            });
            assert_eq!(duel.target(), Some(Timestamp(i)));
            duel.outcome(Some(10.0));
        }
        duel
    }

    #[test]
    fn the_better_one_answers_when_it_was_seen_and_the_higher_one_before() {
        assert_eq!(fought(10.0, 14.0, 19).source(), Source::Higher);
        assert_eq!(fought(10.0, 14.0, 40).source(), Source::Requests);
        assert_eq!(fought(6.0, 10.5, 40).source(), Source::Itself);
        assert_eq!(fought(9.0, 9.0, 40).source(), Source::Mean);
    }

    #[test]
    fn a_step_that_was_capped_decides_nothing() {
        let mut duel = fought(10.0, 14.0, 40);
        let before = duel.losses;
        duel.promise(Promise {
            target: Timestamp(99),
            by_requests: [99.0; 2],
            by_itself: [1.0; 2],
        });
        duel.outcome(None);
        assert_eq!((duel.losses, duel.target()), (before, None));
    }
}
