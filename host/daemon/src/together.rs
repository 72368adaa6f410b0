//! Work on several pools at a time: pools share no state, so that a machine's cores may share them.
//!
//! The threads end with the call, as those of a room's lanes do: a pool of threads that stays would be a
//! task with a fate of its own, for the tens of microseconds that starting one takes.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Works on so many at a time; returns when all are done.
pub(crate) fn side_by_side<T: Sync>(lanes: usize, all: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let lane = || {
        while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(one);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..lanes.min(all.len()) {
            scope.spawn(lane);
        }
        lane();
    });
}

/// The machine's cores, as far as they are this process'.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_turn_once_however_many_go_side_by_side() {
        for lanes in [1, 2, 9] {
            let turns: Vec<AtomicUsize> = (0..5).map(|_| AtomicUsize::new(0)).collect();
            side_by_side(lanes, &[0_usize, 1, 2, 3, 4], |&i| {
                turns[i].fetch_add(1, Ordering::Relaxed);
            });
            let counts = turns.into_iter().map(AtomicUsize::into_inner);
            assert_eq!(counts.collect::<Vec<_>>(), [1; 5]);
        }
        side_by_side(4, &[], |(): &()| {});
    }
}
