//! What moved the books, in order: enough to make them again.
//!
//! A note is a point that was taken, a stream or an account that was opened, a step that was given
//! out. Replaying notes calls the same functions with the same times, so the books come out as they
//! were; that a step was given out is a note too, since what arrived after it went elsewhere. Points
//! that changed nothing (retries) are not noted.
//!
//! Notes are drained into *entries*, which are written before what is in them is acknowledged; an
//! entry can be read without the one before it, but means something only after it. From time to time
//! the whole state is written ([`super::checkpoint`]) and older entries are dropped.

use super::codec::{
    Damaged, Reader, VERSION, how_number, put_histogram, put_int, put_number, put_series,
    put_slice, put_text, put_uint,
};
use super::recent::Recent;
use super::stream::{Family, Flow, Observed, Source, Value};
use super::{Basis, Books, Key};
use crate::mapping::How;
use tidegate_core::sample::{SeriesKey, SeriesSamples};
use tidegate_core::time::Timestamp;

const TIMES: u8 = 1;
const ACCOUNT: u8 = 2;
const STREAM: u8 = 3;
const POINT: u8 = 4;
const GIVEN: u8 = 5;
const FORGET: u8 = 6;
const TAINT: u8 = 7;
const SETTLE: u8 = 8;
const WAITS: u8 = 9;
const WAITS_NO_MORE: u8 = 10;
const CLOSE: u8 = 11;
const WOKE: u8 = 12;

/// A point, with what is told of it in the low bits; [`POINT`] is the same in the form of version 1.
const BRIEF: u8 = 0x40;
/// Its value: two bits, of which 0 is none.
const GROWN: u8 = 1;
const NUMBER: u8 = 2;
const HISTOGRAM: u8 = 3;
/// Its start: that of the point before, or one that follows.
const START_AS_BEFORE: u8 = 1 << 2;
const START: u8 = 2 << 2;
/// Its stream is the one behind that of the point before.
const NEXT_STREAM: u8 = 1 << 4;
/// Its time is that of the point before.
const SAME_TIME: u8 = 1 << 5;
/// Its value is a slice of a classic histogram, which stands in place of what the two bits say.
const SLICE: u8 = 1 << 7;

/// By how much a whole number has grown since the last one, where adding it gives just this number.
fn growth(last: Option<&Value>, value: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let Some(Value::Number(last)) = last else {
        return None;
    };
    let whole = |x: f64| x.abs() < EXACT && (x as i64 as f64).to_bits() == x.to_bits();
    (whole(*last) && whole(value)).then(|| value as i64 - *last as i64)
}

/// First byte after the version: notes, or a part of a checkpoint.
pub(super) const NOTES: u8 = 0;

/// What was noted and not yet drained.
#[derive(Debug, Default)]
pub(super) struct Log {
    bytes: Vec<u8>,
    previous: Previous,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Previous {
    clock: i64,
    now: i64,
    id: i64,
    time: i64,
    start: i64,
}

/// A place in the log.
#[derive(Clone, Copy)]
pub(super) struct Mark(usize, Previous);

impl Log {
    pub(super) fn mark(&self) -> Mark {
        Mark(self.bytes.len(), self.previous)
    }

    pub(super) fn back_to(&mut self, mark: Mark) {
        self.bytes.truncate(mark.0);
        self.previous = mark.1;
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn drain(&mut self) -> Vec<u8> {
        self.previous = Previous::default();
        std::mem::take(&mut self.bytes)
    }

    fn note(&mut self, kind: u8) -> &mut Vec<u8> {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&[VERSION, NOTES]);
        }
        self.bytes.push(kind);
        &mut self.bytes
    }

    pub(super) fn account(&mut self, key: &SeriesKey, how: How, given: i64) {
        let to = self.note(ACCOUNT);
        put_series(to, key);
        put_uint(to, how_number(how));
        put_int(to, given);
    }

    pub(super) fn stream(&mut self, id: u32, source: &Source, family: &Family, basis: &Basis) {
        let to = self.note(STREAM);
        put_uint(to, id.into());
        put_source(to, source);
        to.extend_from_slice(&family.key);
        put_text(to, &basis.group);
        put_text(to, &basis.metric);
    }

    pub(super) fn given(&mut self, account: u32, end: i64) {
        let to = self.note(GIVEN);
        put_uint(to, account.into());
        put_int(to, end);
    }

    pub(super) fn forget(&mut self, id: u32) {
        put_uint(self.note(FORGET), id.into());
    }

    pub(super) fn close(&mut self, account: u32) {
        put_uint(self.note(CLOSE), account.into());
    }

    pub(super) fn woke(&mut self, down: i64, now: i64) {
        let to = self.note(WOKE);
        put_int(to, down);
        put_int(to, now);
    }

    pub(super) fn taint(&mut self, family: &Key) {
        self.note(TAINT).extend_from_slice(family);
    }

    pub(super) fn waits(&mut self, account: u32) {
        put_uint(self.note(WAITS), account.into());
    }

    pub(super) fn waits_no_more(&mut self, account: u32) {
        put_uint(self.note(WAITS_NO_MORE), account.into());
    }

    fn times(&mut self, clock: i64, now: i64) {
        if (self.previous.clock, self.previous.now) != (clock, now) {
            let to = self.note(TIMES);
            put_int(to, clock);
            put_int(to, now);
            (self.previous.clock, self.previous.now) = (clock, now);
        }
    }

    pub(super) fn settle(&mut self, clock: i64, now: i64) {
        self.times(clock, now);
        self.note(SETTLE);
    }

    /// A point of a stream, of which `last` is the last value: what is noted of a counter is by how much it
    /// has grown.
    #[inline]
    pub(super) fn point(
        &mut self,
        (id, last): (u32, Option<&Value>),
        observed: &Observed,
        (clock, now): (i64, i64),
    ) {
        self.times(clock, now);
        let mut previous = self.previous;
        let moved = i64::from(id) - previous.id;
        let later = observed.time.wrapping_sub(previous.time);
        let grown = match &observed.value {
            Some(Value::Number(n)) => growth(last, *n),
            _ => None,
        };
        let mut head = BRIEF;
        head |= match (&observed.value, grown) {
            (None, _) => 0,
            (Some(Value::Number(_)), Some(_)) => GROWN,
            (Some(Value::Number(_)), None) => NUMBER,
            (Some(Value::Histogram(_)), _) => HISTOGRAM,
            (Some(Value::Slice(_)), _) => SLICE,
        };
        head |= match observed.start {
            None => 0,
            Some(start) if start == previous.start => START_AS_BEFORE,
            Some(_) => START,
        };
        head |= if moved == 1 { NEXT_STREAM } else { 0 };
        head |= if later == 0 { SAME_TIME } else { 0 };
        let to = self.note(head);
        if moved != 1 {
            put_int(to, moved);
        }
        if later != 0 {
            put_int(to, later);
        }
        if let Some(start) = observed.start.filter(|s| *s != previous.start) {
            put_int(to, start);
            previous.start = start;
        }
        match (&observed.value, grown) {
            (None, _) => {}
            (Some(_), Some(grown)) => put_int(to, grown),
            (Some(Value::Number(n)), None) => put_number(to, *n),
            (Some(Value::Histogram(h)), None) => put_histogram(to, h),
            (Some(Value::Slice(slice)), None) => put_slice(to, **slice),
        }
        (previous.id, previous.time) = (id.into(), observed.time);
        self.previous = previous;
    }
}

/// A stream without its points.
pub(super) fn put_source(to: &mut Vec<u8>, source: &Source) {
    to.extend_from_slice(&source.key);
    to.extend_from_slice(&source.instance);
    to.push(match source.flow {
        Flow::Cumulative => 0,
        Flow::Delta => 1,
        Flow::Level => 2,
    });
    put_number(to, source.factor);
    put_int(to, source.heard);
    put_uint(to, source.feeds.len() as u64);
    for (account, how) in source.feeds.iter() {
        put_uint(to, (*account).into());
        put_uint(to, how_number(*how));
    }
}

pub(super) fn get_source(r: &mut Reader<'_>, accounts: usize) -> Result<Source, Damaged> {
    let (key, instance) = (r.key()?, r.key()?);
    let flow = match r.byte()? {
        0 => Flow::Cumulative,
        1 => Flow::Delta,
        2 => Flow::Level,
        _ => return Err(Damaged("a kind of stream is unknown")),
    };
    let (factor, heard) = (r.number()?, r.int()?);
    let mut feeds = vec![];
    for _ in 0..r.count()? {
        let account = r.index()?;
        if account as usize >= accounts {
            return Err(Damaged("it names an account that is not there"));
        }
        feeds.push((account, r.how()?));
    }
    Ok(Source {
        key,
        instance,
        family: 0,
        flow,
        factor,
        feeds: feeds.into_iter().collect(),
        last: None,
        scrapes: None,
        recent: Recent::default(),
        heard,
        ended: false,
    })
}

impl Books {
    /// Does again what an entry notes.
    ///
    /// # Errors
    /// When it is damaged, or does not follow from what was read before.
    pub fn replay(&mut self, entry: &[u8]) -> Result<(), Damaged> {
        let r = &mut Reader(entry);
        if !(1..=VERSION).contains(&r.byte()?) {
            return Err(Damaged("it is of a later version"));
        }
        let kind = r.byte()?;
        if kind != NOTES {
            self.restart_if_first(kind)?;
            return self.restore_part(r);
        }
        let mut previous = Previous::default();
        while !r.is_empty() {
            self.replay_note(r, &mut previous)?;
        }
        // What was done again is in the journal already.
        self.log.drain();
        Ok(())
    }

    fn replay_note(&mut self, r: &mut Reader<'_>, previous: &mut Previous) -> Result<(), Damaged> {
        match r.byte()? {
            head if head & BRIEF != 0 => self.replay_point(head, r, previous)?,
            TIMES => (previous.clock, previous.now) = (r.int()?, r.int()?),
            ACCOUNT => {
                let (key, how, given) = (r.series()?, r.how()?, r.int()?);
                if self.by_series.contains_key(&key) {
                    return Err(Damaged("it opens an account twice"));
                }
                self.open_account(key, how, given);
            }
            STREAM => {
                let id = r.index()?;
                let mut source = get_source(r, self.accounts.len())?;
                source.family = self.family(r.key()?);
                let (group, metric) = (r.text()?.into(), r.text()?.into());
                if self.by_key.contains_key(&source.key) {
                    return Err(Damaged("it introduces a stream twice"));
                }
                if !self.free.remove(&id) && id as usize != self.sources.len() {
                    return Err(Damaged("it gives a stream a number that is not free"));
                }
                self.enlist(id, source, &Basis { group, metric });
            }
            POINT => {
                let head = r.byte()?;
                let id = previous.id.wrapping_add(r.int()?);
                let time = previous.time.wrapping_add(r.int()?);
                let start = match head >> 2 {
                    0 => None,
                    1 => Some(previous.start),
                    _ => Some(r.int()?),
                };
                previous.start = start.unwrap_or(previous.start);
                (previous.id, previous.time) = (id, time);
                let value = match head & 3 {
                    0 => None,
                    1 => Some(Value::Number(r.number()?)),
                    _ => Some(Value::Histogram(Box::new(r.histogram()?))),
                };
                let id = u32::try_from(id).map_err(|_| Damaged("it names no stream"))?;
                let observed = Observed { start, time, value };
                self.weigh(id, observed, previous.clock, previous.now);
            }
            GIVEN => {
                let (account, end) = (r.index()?, r.int()?);
                if account as usize >= self.accounts.len() {
                    return Err(Damaged("it names an account that is not there"));
                }
                let samples = self.give(account, end);
                self.again.extend(samples);
            }
            FORGET => {
                // All that were forgotten at once.
                let mut all = vec![r.index()?];
                while r.next_is(FORGET) {
                    all.push(r.index()?);
                }
                if all.iter().any(|id| *id as usize >= self.sources.len()) {
                    return Err(Damaged("it names no stream"));
                }
                self.drop_streams(&all);
            }
            CLOSE => {
                let id = r.index()?;
                if !self.may_close(id) {
                    return Err(Damaged("it closes an account that is fed, or none"));
                }
                self.drop_account(id);
            }
            TAINT => {
                let key = r.key()?;
                if let Some(&id) = self.by_family.get(&key) {
                    self.families[id as usize].tainted = true;
                }
            }
            SETTLE => self.weigh_scrapes(previous.now),
            WAITS => {
                let account = r.index()?;
                if account as usize >= self.accounts.len() {
                    return Err(Damaged("it names an account that is not there"));
                }
                self.wait_for(account);
            }
            WOKE => {
                let (down, now) = (r.int()?, r.int()?);
                self.put_off(down, now);
            }
            WAITS_NO_MORE => self.wait_no_more_by(r.index()?),
            _ => return Err(Damaged("a kind of note is unknown")),
        }
        Ok(())
    }

    fn replay_point(
        &mut self,
        head: u8,
        r: &mut Reader<'_>,
        previous: &mut Previous,
    ) -> Result<(), Damaged> {
        if head & NEXT_STREAM == 0 {
            previous.id = previous.id.wrapping_add(r.int()?);
        } else {
            previous.id = previous.id.wrapping_add(1);
        }
        if head & SAME_TIME == 0 {
            previous.time = previous.time.wrapping_add(r.int()?);
        }
        let start = match head & (START | START_AS_BEFORE) {
            0 => None,
            START_AS_BEFORE => Some(previous.start),
            _ => Some(r.int()?),
        };
        previous.start = start.unwrap_or(previous.start);
        let id = u32::try_from(previous.id).map_err(|_| Damaged("it names no stream"))?;
        let source = self.sources.get(id as usize).and_then(Option::as_ref);
        let value = match head & (SLICE | 3) {
            0 => None,
            GROWN => {
                let last = source.and_then(|s| s.last.as_ref()).map(|l| &l.value);
                let Some(Value::Number(last)) = last else {
                    return Err(Damaged(
                        "it tells how a stream has grown that has no number",
                    ));
                };
                Some(Value::Number((*last as i64).wrapping_add(r.int()?) as f64))
            }
            NUMBER => Some(Value::Number(r.number()?)),
            SLICE => Some(Value::Slice(Box::new(r.slice()?))),
            HISTOGRAM => Some(Value::Histogram(Box::new(r.histogram()?))),
            _ => return Err(Damaged("a kind of value is unknown")),
        };
        let time = previous.time;
        let observed = Observed { start, time, value };
        self.weigh(id, observed, previous.clock, previous.now);
        Ok(())
    }

    /// After everything was replayed: where the store is further, though the note of it was lost,
    /// follows it. Returns what was given out since the last checkpoint, of which some may not have
    /// reached the store; what it has already, it knows. `newest` tells up to where a series is stored.
    pub fn recovered(
        &mut self,
        newest: &dyn Fn(&SeriesKey) -> Option<Timestamp>,
        now: i64,
    ) -> Vec<SeriesSamples> {
        for id in 0..self.accounts.len() as u32 {
            let account = &self.accounts[id as usize];
            if account.closed {
                continue;
            }
            let stored = newest(&account.key);
            if let Some(end) = stored.filter(|t| t.0 > account.given) {
                self.log.given(id, end.0);
                let samples = self.give(id, end.0);
                self.again.extend(samples);
            }
        }
        self.wake(now);
        // Whoever died has told of those.
        self.left_out.clear();
        self.epoch += 1;
        std::mem::take(&mut self.again)
    }
}
