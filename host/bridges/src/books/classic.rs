//! Classic histograms, put together from the series that Prometheus cuts them into.
//!
//! A scrape tells one histogram by a dozen series, `…_bucket{le="0.1"}` and `…_sum`. Each is a counter,
//! but only together they say where observations lie, and only together they are started anew. They
//! arrive in any order, and in several requests where a sender has several queues. So the series of a
//! histogram are *slices* of one stream: those of one instant are kept until all that are known are
//! there, and then they are a histogram like any other, which is weighed as a whole.
//!
//! Two ways were weighed. Each slice as a counter of its own, put together when a step is given out,
//! would need no waiting; but a restart would be seen slice by slice, and evenly spread integers of
//! two slices need not be in order, so that buckets would come out below zero.
//!
//! **What is missing costs detail, never a count.** Slices are cumulative by bound, so two scrapes can
//! be compared by the bounds that both have ([`since`]); a scrape that is never completed is skipped,
//! and the next one holds what was in it. When a scrape is weighed is decided at the end of a request
//! ([`Books::settle`]), which is noted in the journal.
//!
//! Source: prometheus.io, "Histograms and summaries"; "Prometheus exposition formats".

use super::Books;
use super::stream::{Fate, Last, Value};
use super::why::Why;
use crate::histogram::{Histogram, Layout};
use std::collections::BTreeMap;

/// A series of a classic histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slice {
    /// Observations up to and including a bound, which may be infinite.
    Until(f64, f64),
    /// Sum of the observations.
    Sum(f64),
}

/// Slices of one histogram that are read.
pub(crate) const MAX_SLICES: usize = 512;

/// Scrapes that wait for slices; when there are more, the oldest waits in vain.
pub(super) const MAX_WAITING: usize = 3;

/// What was read at one instant.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Scrape {
    /// By bound, rising.
    pub(crate) until: Vec<(f64, f64)>,
    pub(crate) sum: Option<f64>,
    pub(crate) start: Option<i64>,
}

/// The scrapes of one histogram that are not weighed yet.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Scrapes {
    pub(crate) waiting: BTreeMap<i64, Scrape>,
    /// Bounds that a whole scrape has, rising.
    pub(crate) bounds: Vec<f64>,
    pub(crate) has_sum: bool,
}

fn put<T>(to: &mut Vec<(f64, T)>, bound: f64, value: T) -> bool {
    match to.binary_search_by(|(b, _)| b.total_cmp(&bound)) {
        Ok(_) => false,
        Err(at) => {
            to.insert(at, (bound, value));
            true
        }
    }
}

impl Scrapes {
    /// Whether a whole scrape has this slice; it has from now on. False where there are too many.
    fn learn(&mut self, slice: Slice) -> Result<bool, ()> {
        match slice {
            Slice::Sum(_) => Ok(std::mem::replace(&mut self.has_sum, true)),
            Slice::Until(bound, _) => match self.bounds.binary_search_by(|b| b.total_cmp(&bound)) {
                Ok(_) => Ok(true),
                Err(_) if self.bounds.len() >= MAX_SLICES => Err(()),
                Err(at) => {
                    self.bounds.insert(at, bound);
                    Ok(false)
                }
            },
        }
    }

    /// Takes a slice. `spoken` is the instant of the last scrape that was weighed.
    pub(super) fn take(
        &mut self,
        time: i64,
        start: Option<i64>,
        slice: Slice,
        spoken: i64,
    ) -> Option<Fate> {
        let known = self.learn(slice).ok()?;
        if time <= spoken {
            // That it exists is news all the same: the next scrape waits for it.
            return Some(match known {
                true if time == spoken => Fate::Duplicate,
                true => Fate::Superseded,
                false => Fate::Baseline,
            });
        }
        let scrape = self.waiting.entry(time).or_default();
        let is_new = match slice {
            Slice::Sum(_) if scrape.sum.is_some() => false,
            Slice::Sum(sum) => {
                scrape.sum = Some(sum);
                true
            }
            Slice::Until(bound, n) => put(&mut scrape.until, bound, n),
        };
        if !is_new {
            return Some(Fate::Duplicate);
        }
        scrape.start = scrape.start.or(start);
        Some(Fate::Counted)
    }

    fn is_whole(&self, scrape: &Scrape) -> bool {
        scrape.until.len() == self.bounds.len()
            && scrape.has_end()
            && (scrape.sum.is_some() || !self.has_sum)
    }

    /// The scrapes that can be weighed, in their order; those between them are gone, and no more wait than may. Each
    /// is looked at a few times, however many there are: a backfill has hundreds of one histogram in a request, series
    /// by series, so what is incomplete before the end of a request says nothing.
    pub(super) fn due(&mut self) -> Vec<(i64, Scrape)> {
        let mut due = vec![];
        self.take_whole(&mut due);
        if self.waiting.len() > MAX_WAITING {
            // A series went away. What those that wait have is what there is.
            self.learn_anew();
            let first = self.waiting.iter().find(|(_, s)| s.has_end());
            if let Some(time) = first.map(|(time, _)| *time) {
                self.waiting = self.waiting.split_off(&time);
                due.extend(self.waiting.pop_first());
                self.take_whole(&mut due);
            }
        }
        while self.waiting.len() > MAX_WAITING {
            due.extend(self.waiting.pop_first().filter(|(_, s)| s.has_end()));
        }
        due
    }

    /// Takes those that are whole, and all that are older.
    fn take_whole(&mut self, due: &mut Vec<(i64, Scrape)>) {
        let last = self.waiting.iter().rev().find(|(_, s)| self.is_whole(s));
        let Some(last) = last.map(|(time, _)| *time) else {
            return;
        };
        let later = self.waiting.split_off(&last.saturating_add(1));
        let until = std::mem::replace(&mut self.waiting, later);
        due.extend(until.into_iter().filter(|(_, s)| self.is_whole(s)));
    }

    /// From now on a whole scrape has what any has that waits.
    fn learn_anew(&mut self) {
        let waiting = self.waiting.values();
        let bounds = waiting.flat_map(|s| s.until.iter().map(|(b, _)| *b));
        let mut bounds: Vec<f64> = bounds.collect();
        bounds.sort_unstable_by(f64::total_cmp);
        bounds.dedup_by(|a, b| a.total_cmp(b).is_eq());
        bounds.shrink_to_fit();
        self.bounds = bounds;
        self.has_sum = self.waiting.values().any(|s| s.sum.is_some());
    }
}

impl Scrape {
    fn has_end(&self) -> bool {
        self.until.last().is_some_and(|(b, _)| *b == f64::INFINITY)
    }

    /// As a point.
    fn point(&self, time: i64) -> Last {
        Last {
            start: self.start.filter(|s| *s > 0 && *s < time),
            time,
            value: Value::Histogram(Box::new(self.histogram())),
        }
    }

    /// As a histogram. A scrape is not always read at one moment, so that a slice may be behind the
    /// one below it; it is raised to that, which keeps all of them rising in time too.
    fn histogram(&self) -> Histogram {
        let total = self.until.last().map_or(0.0, |(_, n)| *n) as u64;
        let (mut bounds, mut counts, mut below) = (vec![], vec![], 0);
        for (bound, n) in &self.until {
            let here = (*n as u64).clamp(below, total.max(below));
            counts.push(here - below);
            below = here;
            if bound.is_finite() {
                bounds.push(*bound);
            }
        }
        Histogram {
            layout: Layout::Explicit(bounds.into()),
            counts,
            sum: self.sum,
        }
    }
}

impl Books {
    /// Weighs what the slices of a request have made whole; to be called when its points are taken.
    pub fn settle(&mut self, clock: i64, now: i64) {
        if !self.touched.is_empty() {
            self.log.settle(clock, now);
            self.weigh_scrapes(now);
        }
    }

    /// Keeps a slice until its scrape is whole.
    pub(super) fn slice(
        &mut self,
        id: u32,
        slice: Slice,
        when: &(i64, Option<i64>),
        now: i64,
    ) -> Fate {
        let Some(source) = self.sources[id as usize].as_mut() else {
            return Fate::Refused(Why::OtherKind);
        };
        let spoken = source.spoken();
        let scrapes = source.scrapes.get_or_insert_default();
        let Some(fate) = scrapes.take(when.0, when.1, slice, spoken) else {
            return Fate::Refused(Why::TooFine);
        };
        if matches!(fate, Fate::Counted | Fate::Baseline) {
            (source.heard, source.ended) = (now, false);
            if self.touched.last() != Some(&id) {
                self.touched.push(id);
            }
        }
        fate
    }

    /// Weighs the scrapes that have become whole.
    pub(super) fn weigh_scrapes(&mut self, now: i64) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for id in touched {
            let source = self.sources.get_mut(id as usize).and_then(Option::as_mut);
            let scrapes = source.and_then(|s| s.scrapes.as_mut());
            for (time, scrape) in scrapes.map(|s| s.due()).unwrap_or_default() {
                self.weigh_sound(id, scrape.point(time), now);
            }
        }
    }
}

/// What came between two scrapes, by the bounds that both have; `None` when counting began anew: then
/// some slice has fallen.
pub(super) fn since(now: &Histogram, then: &Histogram) -> Option<Histogram> {
    let (Layout::Explicit(at), Layout::Explicit(was)) = (&now.layout, &then.layout) else {
        return None;
    };
    let (after, before) = (cumulative(now), cumulative(then));
    let (mut bounds, mut counts, mut below) = (vec![], vec![], 0);
    let total = after.last()?.checked_sub(*before.last()?)?;
    let mut old = 0;
    for (bound, n) in at.iter().zip(&after) {
        while was.get(old).is_some_and(|b| b < bound) {
            old += 1;
        }
        if was.get(old).is_some_and(|b| b.total_cmp(bound).is_eq()) {
            let here = n
                .checked_sub(*before.get(old)?)?
                .clamp(below, total.max(below));
            bounds.push(*bound);
            counts.push(here - below);
            below = here;
        }
    }
    counts.push(total - below.min(total));
    let sum = now.sum.zip(then.sum).map(|(now, then)| now - then);
    Some(Histogram {
        layout: Layout::Explicit(bounds.into()),
        counts,
        sum,
    })
}

fn cumulative(of: &Histogram) -> Vec<u64> {
    let mut sum = 0_u64;
    let add = |n: &u64| {
        sum = sum.saturating_add(*n);
        sum
    };
    of.counts.iter().map(add).collect()
}
