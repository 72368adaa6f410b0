//! The same work on many things, over a few threads, with answers in the order of the things.
//!
//! Which thread does what cannot be seen in the result: `--jobs` changes how long it takes and
//! nothing else. Scoped threads and a counter are all that is needed; a pool library would add a
//! scheduler whose order would have to be argued away.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Stack of a worker: a component's call may use its own megabyte and the engine's frames.
const STACK: usize = 8 << 20;

/// Called with how many are done and how many there are.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// `work` on every item, on up to `jobs` threads.
pub fn each<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    progress: Progress<'_>,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let answers: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    let worker = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let answer = work(item);
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.push((at, answer));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, items.len());
        }
    };
    std::thread::scope(|scope| {
        let more = jobs.min(items.len()).saturating_sub(1);
        for n in 0..more {
            let builder = std::thread::Builder::new()
                .name(format!("evaluate-{n}"))
                .stack_size(STACK);
            // One thread less is slower and no more: this one works too.
            if builder.spawn_scoped(scope, worker).is_err() {
                break;
            }
        }
        worker();
    });
    let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    answers.sort_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_stand_in_the_order_of_the_things_on_any_number_of_threads() {
        let items: Vec<usize> = (0..100).collect();
        let told = AtomicUsize::new(0);
        let count = |done: usize, all: usize| {
            assert!(done <= all);
            told.fetch_add(1, Ordering::Relaxed);
        };
        for jobs in [0, 1, 4, 1000] {
            let squares = each(&items, jobs, &count, |i| i * i);
            assert_eq!(squares, items.iter().map(|i| i * i).collect::<Vec<_>>());
        }
        assert_eq!(told.load(Ordering::Relaxed), 400);
    }
}
