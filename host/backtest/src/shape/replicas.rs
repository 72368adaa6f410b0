//! An api's replicas: whole ones, which serve only a while after they were asked for.
//!
//! The delay is the same for every policy: it is that of a machine or a container that starts. A
//! replica is paid for from the second in which it is asked for, and is gone in the second in which it
//! is given up; those that have not yet begun to serve are given up first.

use std::collections::VecDeque;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Replicas {
    ready: u32,
    /// Second from which on so many more serve, rising.
    starting: VecDeque<(usize, u32)>,
}

impl Replicas {
    /// So many that serve.
    #[must_use]
    pub fn ready(count: u32) -> Self {
        Self {
            ready: count,
            starting: VecDeque::new(),
        }
    }

    /// How many serve.
    #[must_use]
    pub fn serving(&self) -> u32 {
        self.ready
    }

    /// How many are paid for.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.ready + self.starting.iter().map(|(_, n)| n).sum::<u32>()
    }

    /// Lets those serve whose time has come.
    pub fn settle(&mut self, second: usize) {
        while let Some((_, count)) = self.starting.pop_front_if(|(at, _)| *at <= second) {
            self.ready += count;
        }
    }

    /// Asks for so many in all; how many come or go.
    pub fn set(&mut self, target: u32, second: usize, lead_s: usize) -> u32 {
        let held = self.held();
        if target >= held {
            if target > held {
                self.starting.push_back((second + lead_s, target - held));
            }
            return target - held;
        }
        let mut surplus = held - target;
        while surplus > 0
            && let Some((at, count)) = self.starting.pop_back()
        {
            let gone = surplus.min(count);
            surplus -= gone;
            if gone < count {
                self.starting.push_back((at, count - gone));
            }
        }
        self.ready -= surplus;
        held - target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_serve_after_the_lead_time_and_less_at_once() {
        let mut replicas = Replicas::ready(3);
        assert_eq!(replicas.set(5, 100, 60), 2);
        replicas.settle(159);
        assert_eq!((replicas.serving(), replicas.held()), (3, 5));
        replicas.settle(160);
        assert_eq!(replicas.serving(), 5);
        assert_eq!(replicas.set(2, 161, 60), 3);
        assert_eq!((replicas.serving(), replicas.held()), (2, 2));
    }

    #[test]
    fn those_that_have_not_begun_are_given_up_first() {
        let mut replicas = Replicas::ready(3);
        replicas.set(5, 0, 60);
        replicas.set(9, 15, 60);
        replicas.set(4, 30, 60);
        assert_eq!((replicas.serving(), replicas.held()), (3, 4));
        replicas.settle(60);
        assert_eq!(replicas.serving(), 4);
    }
}
