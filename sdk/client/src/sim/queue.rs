//! The waiting line: a first-come first-served fluid of cohorts, one cohort per second.
//!
//! A cohort is what arrived in one slot: a whole number of requests that share their work evenly.
//! Per-request entries were rejected, because a backlog of a busy api has 10^5 of them; cohorts
//! keep the counts exact (conservation is a test) and the delays continuous.

use std::collections::VecDeque;

/// Requests that arrived in one slot and are not done yet.
#[derive(Clone, Debug)]
struct Cohort {
    slot: u64,
    arrived: u64,
    waiting: u64,
    work: f64,
}

/// Requests of one cohort that finish in one slot, as two straight lines: a request at position
/// `p` in 0..1 arrives at `arrival.0 + p * (arrival.1 - arrival.0)`, and the fluid reaches it at
/// the same point of `departure`. Both in seconds from the start of the slot; arrivals of earlier
/// slots are negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Served {
    pub(super) count: u64,
    arrival: (f64, f64),
    departure: (f64, f64),
}

impl Served {
    /// Delay behind earlier work, seconds, of the request at position `p`. A fluid that overtakes
    /// its own arrivals means an idle server, hence no delay.
    pub(super) fn delay(&self, p: f64) -> f64 {
        let arrival = self.arrival.0 + p * (self.arrival.1 - self.arrival.0);
        let departure = self.departure.0 + p * (self.departure.1 - self.departure.0);
        (departure - arrival).max(0.0)
    }
}

/// The waiting line of one service.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    cohorts: VecDeque<Cohort>,
}

impl Queue {
    /// Requests that wait.
    pub(super) fn waiting(&self) -> u64 {
        self.cohorts.iter().map(|c| c.waiting).sum()
    }

    /// CPU seconds that wait.
    pub(super) fn work(&self) -> f64 {
        self.cohorts.iter().map(|c| c.work).sum()
    }

    /// `count` requests with `work` CPU seconds in all arrive, spread over the slot.
    pub(super) fn arrive(&mut self, slot: u64, count: u64, work: f64) {
        if count > 0 {
            self.cohorts.push_back(Cohort {
                slot,
                arrived: count,
                waiting: count,
                work,
            });
        }
    }

    /// Gives up every cohort whose mean age at the start of `slot` has reached `timeout_s`;
    /// answers how many requests that were.
    pub(super) fn expire(&mut self, slot: u64, timeout_s: f64) -> u64 {
        let mut expired = 0;
        while let Some(oldest) = self.cohorts.front() {
            if (slot - oldest.slot) as f64 - 0.5 < timeout_s {
                break;
            }
            expired += oldest.waiting;
            self.cohorts.pop_front();
        }
        expired
    }

    /// Works for one second on `cores`, oldest first; `done` gets what finishes. Answers the CPU
    /// seconds used.
    pub(super) fn serve(&mut self, slot: u64, cores: f64, mut done: impl FnMut(Served)) -> f64 {
        let mut used = 0.0;
        while used < cores {
            let Some(head) = self.cohorts.front_mut() else {
                break;
            };
            let share = head.work.min(cores - used);
            let finished = if share >= head.work {
                head.waiting
            } else {
                let part = (head.waiting as f64 * (share / head.work)) as u64;
                part.min(head.waiting - 1)
            };
            let reached = |waiting: u64| {
                let part = (head.arrived - waiting) as f64 / head.arrived as f64;
                part - (slot - head.slot) as f64
            };
            if finished > 0 {
                done(Served {
                    count: finished,
                    arrival: (reached(head.waiting), reached(head.waiting - finished)),
                    departure: (used / cores, (used + share) / cores),
                });
            }
            used += share;
            head.waiting -= finished;
            head.work -= share;
            if head.waiting == 0 {
                self.cohorts.pop_front();
            }
        }
        used
    }

    /// Refuses the newest arrivals until no more than `limit` wait; answers how many.
    pub(super) fn truncate(&mut self, limit: u64) -> u64 {
        let surplus = self.waiting().saturating_sub(limit);
        let mut left = surplus;
        while left > 0 {
            let Some(newest) = self.cohorts.back_mut() else {
                break;
            };
            let refused = left.min(newest.waiting);
            newest.work *= (newest.waiting - refused) as f64 / newest.waiting as f64;
            newest.waiting -= refused;
            left -= refused;
            if newest.waiting == 0 {
                self.cohorts.pop_back();
            }
        }
        surplus
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(queue: &mut Queue, slot: u64, cores: f64) -> Vec<Served> {
        let mut all = Vec::new();
        queue.serve(slot, cores, |s| all.push(s));
        all
    }

    #[test]
    fn an_idle_service_delays_nobody() {
        let mut queue = Queue::default();
        queue.arrive(0, 100, 1.0);
        let done = served(&mut queue, 0, 2.0);
        assert_eq!(done.iter().map(|s| s.count).sum::<u64>(), 100);
        assert!([0.1, 0.5, 1.0].iter().all(|&p| done[0].delay(p) <= 0.0));
    }

    #[test]
    fn a_backlog_of_two_seconds_delays_the_next_arrival_by_two_seconds() {
        let mut queue = Queue::default();
        queue.arrive(0, 400, 4.0);
        queue.arrive(0, 100, 1.0);
        let mut delays = Vec::new();
        for slot in 0..3 {
            for s in served(&mut queue, slot, 2.0) {
                delays.push(s.delay(1.0));
            }
        }
        // 5 CPU seconds at 2 cores are done after 2.5 s; the last one arrived at 1 s.
        assert!((delays.last().unwrap() - 1.5).abs() < 1e-9, "{delays:?}");
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn the_oldest_expire_and_the_newest_are_refused() {
        let mut queue = Queue::default();
        queue.arrive(0, 10, 10.0);
        queue.arrive(1, 10, 10.0);
        queue.arrive(2, 10, 10.0);
        assert_eq!(queue.expire(3, 2.5), 10);
        assert_eq!(queue.truncate(15), 5);
        assert_eq!(queue.waiting(), 15);
        assert!((queue.work() - 15.0).abs() < 1e-9);
    }

    #[test]
    fn no_cores_serve_nothing() {
        let mut queue = Queue::default();
        queue.arrive(0, 10, 1.0);
        assert!(served(&mut queue, 0, 0.0).is_empty());
        assert_eq!(queue.waiting(), 10);
    }
}
