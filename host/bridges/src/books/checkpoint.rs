//! The whole state, so that the journal need not be kept for ever.
//!
//! A checkpoint is a list of entries that are written as one: all of them are there after a crash,
//! or none. Reading its first entry begins from nothing. Numbers of streams and accounts are kept,
//! since later notes name them.

use super::Books;
use super::Slice;
use super::account::{Account, Open, Sum};
use super::codec::{
    Damaged, Reader, VERSION, how_number, put_distribution, put_float, put_histogram, put_int,
    put_number, put_series, put_text, put_uint,
};
use super::journal::{Log, NOTES, get_source, put_source};
use super::stream::{Family, Last, Observed, Source, Value};
use crate::mapping::How;
use std::collections::BTreeMap;
use tidegate_core::sample::{SeriesSamples, Values};
use tidegate_core::time::{Step, Timestamp};

/// Kinds of parts; [`NOTES`] is none of them.
const FIRST: u8 = NOTES + 1;
const MORE: u8 = NOTES + 2;

const FAMILY: u8 = 1;
const ACCOUNT: u8 = 2;
const STREAM: u8 = 3;
const NO_STREAM: u8 = 4;
const WAITS: u8 = 5;
const NO_ACCOUNT: u8 = 6;
const SUMS: u8 = 7;

/// Size at which an entry is closed.
const ENTRY: usize = 60_000;

impl Books {
    /// The state as entries, to be written as one.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<Vec<u8>> {
        self.checkpoint_with(&[])
    }

    /// Likewise with sums that were given out and have not reached the store yet; without them, the journal would
    /// have to be kept for as long as a tenant's sums wait.
    #[must_use]
    pub fn checkpoint_with(&self, unsent: &[SeriesSamples]) -> Vec<Vec<u8>> {
        let mut entries = vec![vec![VERSION, FIRST]];
        let mut part = |kind: u8, put: &mut dyn FnMut(&mut Vec<u8>)| {
            if entries.last().is_none_or(|e| e.len() >= ENTRY) {
                entries.push(vec![VERSION, MORE]);
            }
            if let Some(entry) = entries.last_mut() {
                entry.push(kind);
                put(entry);
            }
        };
        for family in &self.families {
            part(FAMILY, &mut |to| put_family(to, family));
        }
        for account in &self.accounts {
            if account.closed {
                part(NO_ACCOUNT, &mut |to| put_series(to, &account.key));
            } else {
                part(ACCOUNT, &mut |to| put_account(to, account));
            }
        }
        for source in &self.sources {
            match source {
                Some(source) => part(STREAM, &mut |to| put_stream(to, source)),
                None => part(NO_STREAM, &mut |_| {}),
            }
        }
        for account in self.waiting.values().flat_map(BTreeMap::values) {
            part(WAITS, &mut |to| put_uint(to, (*account).into()));
        }
        for sums in unsent {
            part(SUMS, &mut |to| put_sums(to, sums));
        }
        self.scrapes(&mut entries);
        entries
    }

    /// What waits to be weighed, as the points that it came by.
    fn scrapes(&self, entries: &mut Vec<Vec<u8>>) {
        let mut log = Log::default();
        for (id, source) in (0_u32..).zip(&self.sources) {
            let Some((source, scrapes)) =
                source.as_ref().and_then(|s| Some((s, s.scrapes.as_ref()?)))
            else {
                continue;
            };
            let mut note = |time: i64, start: Option<i64>, slice: Slice| {
                let value = Some(Value::Slice(Box::new(slice)));
                let observed = Observed { start, time, value };
                log.point((id, None), &observed, (time, source.heard));
            };
            // Slices of what is weighed already only say which there are.
            if let Some(last) = &source.last {
                let bounds = scrapes.bounds.iter();
                bounds.for_each(|b| note(last.time, None, Slice::Until(*b, 0.0)));
                if scrapes.has_sum {
                    note(last.time, None, Slice::Sum(0.0));
                }
            }
            for (time, scrape) in &scrapes.waiting {
                for (bound, n) in &scrape.until {
                    note(*time, scrape.start, Slice::Until(*bound, *n));
                }
                if let Some(sum) = scrape.sum {
                    note(*time, scrape.start, Slice::Sum(sum));
                }
            }
            if log.len() >= ENTRY {
                entries.push(log.drain());
            }
        }
        if log.len() > 0 {
            entries.push(log.drain());
        }
    }

    pub(super) fn restore_part(&mut self, r: &mut Reader<'_>) -> Result<(), Damaged> {
        while !r.is_empty() {
            match r.byte()? {
                FAMILY => {
                    let family = get_family(r)?;
                    let id = self.families.len() as u32;
                    if family.streams > 0 {
                        self.by_family.insert(family.key, id);
                    } else {
                        self.free_families.push(id);
                    }
                    self.families.push(family);
                }
                ACCOUNT => {
                    let account = get_account(r)?;
                    let id = self.accounts.len() as u32;
                    self.by_series.insert(account.key.clone(), id);
                    let open = account.open.iter().map(|(_, open)| open.weight());
                    self.open += open.sum::<usize>();
                    self.accounts.push(account);
                }
                NO_ACCOUNT => {
                    let mut account = Account::new(r.series()?, How::Count, i64::MIN);
                    account.closed = true;
                    self.free_accounts.insert(self.accounts.len() as u32);
                    self.accounts.push(account);
                }
                STREAM => {
                    let source = get_stream(r, self.accounts.len(), self.families.len())?;
                    let id = self.sources.len() as u32;
                    self.by_key.insert(source.key, id);
                    self.open += source.recent.weight();
                    for (account, _) in source.feeds.iter() {
                        self.accounts[*account as usize].sources.push(id);
                    }
                    self.sources.push(Some(source));
                    self.count_in(id);
                }
                NO_STREAM => {
                    self.free.insert(self.sources.len() as u32);
                    self.sources.push(None);
                }
                WAITS => {
                    let account = r.index()?;
                    if account as usize >= self.accounts.len() {
                        return Err(Damaged("it names an account that is not there"));
                    }
                    self.wait_for(account);
                }
                SUMS => {
                    let sums = get_sums(r)?;
                    self.again.push(sums);
                }
                _ => return Err(Damaged("a part of a checkpoint is unknown")),
            }
        }
        Ok(())
    }

    /// Begins from nothing where an entry is the first of a checkpoint.
    pub(super) fn restart_if_first(&mut self, kind: u8) -> Result<(), Damaged> {
        match kind {
            FIRST => *self = Self::new(self.terms),
            MORE => {}
            _ => return Err(Damaged("a kind of entry is unknown")),
        }
        Ok(())
    }
}

fn put_family(to: &mut Vec<u8>, family: &Family) {
    to.extend_from_slice(&family.key);
    put_int(to, family.latest);
    put_int(to, family.before);
    to.push(u8::from(family.tainted));
    put_uint(to, family.streams.into());
}

fn get_family(r: &mut Reader<'_>) -> Result<Family, Damaged> {
    Ok(Family {
        key: r.key()?,
        latest: r.int()?,
        before: r.int()?,
        tainted: r.byte()? != 0,
        streams: r.index()?,
    })
}

fn put_account(to: &mut Vec<u8>, account: &Account) {
    put_series(to, &account.key);
    put_uint(to, how_number(account.how));
    put_int(to, account.given);
    put_int(to, account.begun);
    put_int(to, account.partial_until);
    put_text(to, &account.group);
    put_uint(to, account.instances.len() as u64);
    for (instance, metric) in &account.instances {
        to.extend_from_slice(instance);
        put_text(to, metric);
    }
    put_uint(to, account.open.len() as u64);
    for (start, open) in account.open.iter() {
        put_int(to, start);
        put_int(to, open.arrived);
        match &open.sum {
            Sum::Amount(sum) => put_number(to, *sum),
            Sum::Levels(levels) => {
                put_uint(to, levels.len() as u64);
                for (id, (sum, n)) in &**levels {
                    put_uint(to, (*id).into());
                    put_float(to, *sum);
                    put_uint(to, (*n).into());
                }
            }
            Sum::Latency(d) => put_distribution(to, d),
        }
    }
}

fn get_account(r: &mut Reader<'_>) -> Result<Account, Damaged> {
    let mut account = Account::new(r.series()?, r.how()?, r.int()?);
    account.begun = r.int()?;
    account.partial_until = r.int()?;
    account.group = r.text()?.into();
    for _ in 0..r.count()? {
        account.instances.insert(r.key()?, r.text()?.into());
    }
    for _ in 0..r.count()? {
        let (start, arrived) = (r.int()?, r.int()?);
        let sum = match Account::nothing(account.how) {
            Sum::Amount(_) => Sum::Amount(r.number()?),
            Sum::Levels(_) => {
                let mut levels = BTreeMap::new();
                for _ in 0..r.count()? {
                    levels.insert(r.index()?, (r.float()?, r.index()?));
                }
                Sum::Levels(Box::new(levels))
            }
            Sum::Latency(_) => Sum::Latency(Box::new(r.distribution()?)),
        };
        account.open.at(start, || Open { arrived, sum });
    }
    Ok(account)
}

fn put_sums(to: &mut Vec<u8>, sums: &SeriesSamples) {
    put_series(to, &sums.key);
    put_uint(to, sums.step.secs().into());
    let numbers = match &sums.values {
        Values::Numbers(_) => 1,
        Values::Distributions(_) => 0,
    };
    put_uint(to, numbers);
    put_uint(to, sums.times.len() as u64);
    sums.times.iter().for_each(|t| put_int(to, t.0));
    match &sums.values {
        Values::Numbers(all) => all.iter().for_each(|n| put_number(to, *n)),
        Values::Distributions(all) => all.iter().for_each(|d| put_distribution(to, d)),
    }
}

fn get_sums(r: &mut Reader<'_>) -> Result<SeriesSamples, Damaged> {
    let key = r.series()?;
    let step = Step::from_secs(r.index()?).ok_or(Damaged("a step is none"))?;
    let numbers = r.uint()? == 1;
    let n = r.count()?;
    let times = (0..n).map(|_| Ok(Timestamp(r.int()?)));
    let times = times.collect::<Result<_, Damaged>>()?;
    let values = if numbers {
        Values::Numbers((0..n).map(|_| r.number()).collect::<Result<_, _>>()?)
    } else {
        let all = (0..n).map(|_| r.distribution());
        Values::Distributions(all.collect::<Result<_, _>>()?)
    };
    Ok(SeriesSamples {
        key,
        step,
        times,
        values,
    })
}

fn put_stream(to: &mut Vec<u8>, source: &Source) {
    put_source(to, source);
    put_uint(to, source.family.into());
    to.push(u8::from(source.ended));
    put_uint(to, source.recent.len() as u64);
    for (start, end) in source.recent.all() {
        put_int(to, start);
        put_int(to, end);
    }
    match &source.last {
        // The last one is never a slice.
        None
        | Some(Last {
            value: Value::Slice(_),
            ..
        }) => to.push(0),
        Some(last) => {
            to.push(match &last.value {
                Value::Number(_) => 1,
                Value::Histogram(_) | Value::Slice(_) => 2,
            });
            put_int(to, last.start.unwrap_or(i64::MIN));
            put_int(to, last.time);
            match &last.value {
                Value::Number(n) => put_number(to, *n),
                Value::Histogram(h) => put_histogram(to, h),
                Value::Slice(_) => {}
            }
        }
    }
}

fn get_stream(r: &mut Reader<'_>, accounts: usize, families: usize) -> Result<Source, Damaged> {
    let mut source = get_source(r, accounts)?;
    source.family = r.index()?;
    if source.family as usize >= families {
        return Err(Damaged("it names a metric that is not there"));
    }
    source.ended = r.byte()? != 0;
    let recent = (0..r.count()?).map(|_| Ok((r.int()?, r.int()?)));
    source.recent = recent.collect::<Result<_, Damaged>>()?;
    let form = r.byte()?;
    if form > 0 {
        source.last = Some(Last {
            start: Some(r.int()?).filter(|s| *s != i64::MIN),
            time: r.int()?,
            value: match form {
                1 => Value::Number(r.number()?),
                _ => Value::Histogram(Box::new(r.histogram()?)),
            },
        });
    }
    Ok(source)
}
