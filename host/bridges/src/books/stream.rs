//! Streams: what a point adds to what was said before.

use super::account::Begins;
use super::classic::{self, Scrapes, Slice};
use super::feeds::Feeds;
use super::recent::Recent;
use super::why::{self, Why};
use super::{Books, Introduced, Key};
use crate::histogram::Histogram;

/// How a stream's points follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flow {
    /// Each counts from a start that rarely moves.
    Cumulative,
    /// Each counts from the one before.
    Delta,
    /// Each is what is there.
    Level,
}

/// A point's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// Buckets.
    Histogram(Box<Histogram>),
    /// One of the series of a classic histogram; in a box, so that numbers, which nearly all are, stay small.
    Slice(Box<Slice>),
}

const _: () = assert!(size_of::<Value>() <= 16);

/// A point.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Since when it counts, in milliseconds since the epoch; `None` where the sender does not know.
    pub start: Option<i64>,
    /// When it was read, in milliseconds since the epoch.
    pub time: i64,
    /// What it says; `None`: the stream has ended.
    pub value: Option<Value>,
}

/// What became of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It counts.
    Counted,
    /// It is where counting begins, as its start is not known.
    Baseline,
    /// It was there before.
    Duplicate,
    /// What it says is contained in a later point of its stream.
    Superseded,
    /// The silence before it was too long to say when its counts were; counting begins anew.
    Gap,
    /// Its stream has ended.
    Ended,
    /// It does not count.
    Refused(Why),
}

/// The last point of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Last {
    pub(crate) start: Option<i64>,
    pub(crate) time: i64,
    pub(crate) value: Value,
}

/// A metric of an instance: when it was last reported.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Family {
    pub(crate) key: Key,
    /// Newest instant, and the one before.
    pub(crate) latest: i64,
    pub(crate) before: i64,
    /// Whether streams of it may exist that are not known.
    pub(crate) tainted: bool,
    /// Streams of it that are known.
    pub(crate) streams: u32,
}

impl Family {
    pub(crate) fn new(key: Key) -> Self {
        Self {
            key,
            latest: i64::MIN,
            before: i64::MIN,
            tainted: false,
            streams: 0,
        }
    }

    fn hear(&mut self, time: i64) {
        if time > self.latest {
            self.before = self.latest;
            self.latest = time;
        }
    }

    /// When it was last reported before `time`, if that is known.
    fn previous(&self, time: i64) -> Option<i64> {
        let at = if time > self.latest {
            self.latest
        } else if time == self.latest {
            self.before
        } else {
            i64::MIN
        };
        (at != i64::MIN && !self.tainted).then_some(at)
    }
}

/// A stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    pub(crate) key: Key,
    pub(crate) family: u32,
    pub(crate) instance: Key,
    pub(crate) flow: Flow,
    pub(crate) factor: f64,
    pub(crate) feeds: Feeds,
    pub(crate) last: Option<Last>,
    /// Of a classic histogram: what is not weighed yet.
    pub(crate) scrapes: Option<Box<Scrapes>>,
    /// Of a delta stream: its last points.
    pub(crate) recent: Recent,
    /// When it was last heard, by the machine's clock.
    pub(crate) heard: i64,
    pub(crate) ended: bool,
}

impl Source {
    pub(crate) fn new(introduced: &Introduced, family: u32, feeds: Feeds, now: i64) -> Self {
        Self {
            key: introduced.key,
            family,
            instance: introduced.instance,
            flow: introduced.flow,
            factor: introduced.mapped.factor,
            feeds,
            last: None,
            scrapes: None,
            recent: Recent::default(),
            heard: now,
            ended: false,
        }
    }

    /// Up to when it has spoken.
    pub(crate) fn spoken(&self) -> i64 {
        self.last.as_ref().map_or(i64::MIN, |l| l.time)
    }
}

/// What is to be added: an amount over a stretch.
pub(super) struct Added<'a> {
    pub(super) amount: Amount<'a>,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// How much.
#[derive(Clone, Copy)]
pub(super) enum Amount<'a> {
    Number(f64),
    Histogram(&'a Histogram),
}

impl Amount<'_> {
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Amount::Number(n) => *n <= 0.0,
            Amount::Histogram(h) => h.count() == 0,
        }
    }
}

fn sound(value: &Value, flow: Flow) -> bool {
    match value {
        Value::Number(n) => n.is_finite() && *n >= 0.0,
        Value::Histogram(_) => flow != Flow::Level,
        Value::Slice(slice) => {
            let amount = match **slice {
                Slice::Until(bound, n) => !bound.is_nan() && n.is_finite() && n >= 0.0,
                Slice::Sum(sum) => sum.is_finite(),
            };
            flow == Flow::Cumulative && amount
        }
    }
}

impl Books {
    pub(super) fn weigh(&mut self, id: u32, observed: Observed, clock: i64, now: i64) -> Fate {
        let terms = self.terms;
        let Some(source) = self.sources.get_mut(id as usize).and_then(Option::as_mut) else {
            return Fate::Refused(Why::OtherKind);
        };
        if observed.time.saturating_sub(clock) > terms.ahead_ms {
            return Fate::Refused(Why::Ahead);
        }
        if observed.time <= 0 || clock.saturating_sub(observed.time) > why::FAR_MS {
            return Fate::Refused(Why::Unit);
        }
        let Some(value) = observed.value else {
            if observed.time > source.spoken() {
                source.heard = now;
                source.ended = true;
            }
            return Fate::Ended;
        };
        if !sound(&value, source.flow) {
            return Fate::Refused(Why::NoAmount);
        }
        if let Value::Slice(slice) = value {
            return self.slice(id, *slice, &(observed.time, observed.start), now);
        }
        let next = Last {
            // A count that begins where it is read is one whose start is not known; a change that takes no time is
            // one of which it is not told.
            start: observed.start.filter(|s| {
                let last = observed.time - i64::from(source.flow == Flow::Delta);
                *s > 0 && *s <= last
            }),
            time: observed.time,
            value,
        };
        self.weigh_sound(id, next, now)
    }

    /// Weighs a value that makes sense.
    #[inline]
    pub(super) fn weigh_sound(&mut self, id: u32, next: Last, now: i64) -> Fate {
        let Some(source) = &self.sources[id as usize] else {
            return Fate::Refused(Why::OtherKind);
        };
        let (flow, spoken) = (source.flow, source.spoken());
        let family = &mut self.families[source.family as usize];
        let previous = family.previous(next.time);
        match flow {
            Flow::Delta => {
                family.hear(next.time);
                self.delta(id, next, previous, now)
            }
            Flow::Level => {
                family.hear(next.time);
                self.level(id, next, now)
            }
            Flow::Cumulative => {
                if next.time == spoken {
                    return Fate::Duplicate;
                }
                if next.time < spoken {
                    return Fate::Superseded;
                }
                family.hear(next.time);
                self.cumulative(id, next, previous, now)
            }
        }
    }

    /// The stream, which the caller knows is there.
    fn speak(&mut self, id: u32, now: i64) -> Option<&mut Source> {
        let source = self.sources[id as usize].as_mut()?;
        source.heard = now;
        source.ended = false;
        Some(source)
    }

    fn cumulative(&mut self, id: u32, next: Last, previous: Option<i64>, now: i64) -> Fate {
        let gap = self.terms.gap_ms;
        let Some(source) = self.speak(id, now) else {
            return Fate::Refused(Why::OtherKind);
        };
        let classic = source.scrapes.is_some();
        let to = next.time;
        let last = source.last.take();
        let next = source.last.insert(next);
        let (from, amount) = match &last {
            // New: all of it came since its start, if that is told and not long ago, or else since
            // its instance was heard last.
            None => {
                let start = next.start.filter(|s| next.time - s <= gap);
                let from = match (start, previous) {
                    (Some(start), Some(previous)) => Some(start.max(previous)),
                    (start, previous) => start.or(previous),
                };
                match from {
                    Some(from) if from < to => (from, next.value.clone()),
                    _ => {
                        self.begin(id, to, now, Begins::Unknown);
                        return Fate::Baseline;
                    }
                }
            }
            Some(last) => {
                // Who does not know its start names the time of its first point, and goes on to do so.
                let start = next.start.filter(|s| *s < to);
                let moved = start
                    .is_some_and(|s| s > last.time || s == last.time && last.start != next.start);
                let grown = (!moved)
                    .then(|| grown(&last.value, &next.value, classic))
                    .flatten();
                match grown {
                    Some(grown) => (last.time, grown),
                    // It began anew, at its start or at some time since the last point.
                    None => {
                        let start = start.filter(|s| *s > last.time);
                        (start.unwrap_or(last.time), next.value.clone())
                    }
                }
            }
        };
        if to - from > gap {
            self.begin(id, to, now, Begins::Again);
            return Fate::Gap;
        }
        self.add(id, &amount, from, to, now)
    }

    fn delta(&mut self, id: u32, next: Last, previous: Option<i64>, now: i64) -> Fate {
        let gap = self.terms.gap_ms;
        let Some(source) = self.speak(id, now) else {
            return Fate::Refused(Why::OtherKind);
        };
        let spoken = source.spoken();
        let start = match next.start {
            Some(start) => start,
            None if spoken < next.time && next.time.saturating_sub(spoken) <= gap => spoken,
            None => next.time - 1,
        };
        // Without a start, the stretch of a retry is another than that of the first time.
        if source.recent.knows(next.start, next.time) {
            return Fate::Duplicate;
        }
        let amount = next.value.clone();
        let is_first = source.last.is_none();
        let (to, is_started) = (next.time, next.start.is_some());
        if to > spoken {
            source.last = Some(next);
        }
        // Of an instance that was heard before, what is new began when it says.
        let unheard = previous.is_none() || !is_started;
        if is_first && unheard && start.rem_euclid(self.terms.step.ms()) != 0 {
            self.begin(id, start, now, Begins::Unknown);
        }
        if to - start > gap {
            // Nothing counts of it, the next time neither.
            return Fate::Gap;
        }
        self.remember(id, (start, to));
        self.add(id, &amount, start, to, now)
    }

    fn level(&mut self, id: u32, next: Last, now: i64) -> Fate {
        let (gap, step) = (self.terms.gap_ms, self.terms.step.ms());
        let Some(source) = self.speak(id, now) else {
            return Fate::Refused(Why::OtherKind);
        };
        let Value::Number(value) = next.value else {
            return Fate::Refused(Why::OtherKind);
        };
        let value = value * source.factor;
        let spoken = source.spoken();
        if next.time == spoken {
            return Fate::Duplicate;
        }
        if next.time < spoken {
            return Fate::Superseded;
        }
        let to = next.time;
        let last = source.last.replace(next);
        let feeds = source.feeds.clone();
        if last.is_none() {
            self.begin(id, to, now, Begins::Unknown);
        }
        let here = to - to.rem_euclid(step);
        let mut late = false;
        for (account, _) in feeds.iter() {
            // Steps without a point of their own have what was there before.
            if let Some(last) = last.as_ref().filter(|l| to - l.time <= gap)
                && let Value::Number(before) = last.value
            {
                let factor = self.sources[id as usize].as_ref().map_or(1.0, |s| s.factor);
                let mut at = last.time - last.time.rem_euclid(step) + step;
                while at < here {
                    self.level_at(*account, id, at, before * factor, now);
                    at += step;
                }
            }
            late |= !self.level_at(*account, id, here, value, now);
        }
        if late {
            Fate::Refused(Why::Late)
        } else {
            Fate::Counted
        }
    }

    /// Adds an amount to everything that a stream feeds.
    fn add(&mut self, id: u32, amount: &Value, from: i64, to: i64, now: i64) -> Fate {
        let Some(source) = &self.sources[id as usize] else {
            return Fate::Refused(Why::OtherKind);
        };
        let (factor, feeds) = (source.factor, source.feeds.len());
        let amount = match amount {
            Value::Number(n) => Amount::Number(*n),
            Value::Histogram(h) => Amount::Histogram(h),
            Value::Slice(_) => return Fate::Refused(Why::OtherKind),
        };
        let mut late = false;
        for feed in 0..feeds {
            let source = self.sources[id as usize].as_ref();
            let Some((account, how)) = source.and_then(|s| s.feeds.get(feed)) else {
                continue;
            };
            let added = Added { amount, from, to };
            late |= !self.spread(account, how, factor, &added, now);
        }
        if late {
            Fate::Refused(Why::Late)
        } else {
            Fate::Counted
        }
    }
}

/// By how much a cumulative value has grown; `None` when it has not, but began anew. Of a classic
/// histogram some bounds may be missing in either.
fn grown(last: &Value, next: &Value, classic: bool) -> Option<Value> {
    match (last, next) {
        (Value::Number(last), Value::Number(next)) => {
            (next >= last).then(|| Value::Number(next - last))
        }
        (Value::Histogram(last), Value::Histogram(next)) => {
            let since = if classic {
                classic::since(next, last)
            } else {
                next.since(last)
            };
            since.map(|h| Value::Histogram(Box::new(h)))
        }
        _ => None,
    }
}
