//! Several calls at once: cohorts are independent, so that all cores of the machine may predict.
//!
//! Threads live within one call of the room and hand their results back by the place of the cohort, so
//! nothing that is seen outside depends on which ended first, nor on how many there are: that is told,
//! since who calls the room knows the machine, and what else it has to do at the same time.
//! Rejected: a pool of threads that stays. It would be a task with a fate of its own, for the tens of
//! microseconds that starting a thread takes in a cycle of a second.

use super::batch::Cohort;
use super::{Error, Input, serve};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use tidegate_core::forecast::Forecast;
use tidegate_core::ports::storage::SeriesState;
use tidegate_core::roster::Fault;
use tidegate_core::time::Grid;

type Answers = Vec<(SeriesState, Forecast)>;
type Served = Result<(Answers, Vec<Fault>), Error>;

/// Serves every cohort; answers in the order of cohorts, faults likewise.
pub(super) fn serve_all(
    input: &Input<'_>,
    grid: Grid,
    cohorts: &[Cohort<'_>],
    faults: &mut Vec<Fault>,
) -> Result<Vec<Answers>, Error> {
    let one = |cohort: &Cohort<'_>| -> Served {
        let mut faults = vec![];
        let answers = serve(input, grid, cohort, &mut faults)?;
        Ok((answers, faults))
    };
    let lanes = input.lanes.min(cohorts.len());
    let served: Vec<Served> = if lanes < 2 {
        cohorts.iter().map(one).collect()
    } else {
        let next = AtomicUsize::new(0);
        let places: Vec<Mutex<Option<Served>>> = cohorts.iter().map(|_| Mutex::default()).collect();
        let lane = || {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let (Some(cohort), Some(slot)) = (cohorts.get(place), places.get(place)) else {
                    return;
                };
                let served = one(cohort);
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(served);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..lanes {
                scope.spawn(lane);
            }
            lane();
        });
        let taken = places.into_iter();
        taken
            .filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner))
            .collect()
    };
    let mut all = Vec::with_capacity(served.len());
    for outcome in served {
        let (answers, failed) = outcome?;
        all.push(answers);
        faults.extend(failed);
    }
    Ok(all)
}
