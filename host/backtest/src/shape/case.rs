//! From traces to cases: which apis share which pool, from when on policies act and are scored.
//!
//! Loads are scaled: a replica serves a tenth of a trace's 95th percentile, whatever the trace counts.
//! In an elastic pool apis do not meet, since what one needs is bought and taken from nobody; so every
//! trace is a case of its own. In a scarce pool all share what there is, on one calendar: traces of
//! other years are moved by whole weeks, so that hours of the day and days of the week stay; and what the
//! calendar knew of a trace moves with it. Short traces that begin on different weekdays would have next
//! to nothing in common so; they are moved by whole days, which leaves each its own week.
//!
//! A trace that cannot be run (idle, too short, nothing in common with the others) is left out by name and
//! the rest goes on: whoever gives a folder wants an answer on it. Where nothing is left, that is an error.

use super::arrivals;
use super::service::RATE_PER_REPLICA;
use crate::evaluate::trace::Trace;
use tidegate_core::canonical;
use tidegate_core::event::Span;
use tidegate_core::ids::ApiId;
use tidegate_core::tier::Tier;
use tidegate_core::time::Timestamp;

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supply {
    /// As much as is asked for.
    Elastic,
    /// So many replicas for all.
    Scarce(u32),
}

/// One api and what comes to it.
#[derive(Debug, Clone)]
pub struct CaseApi {
    /// The trace's name.
    pub name: String,
    /// Its name in the catalog.
    pub id: ApiId,
    /// Its tier.
    pub tier: Tier,
    /// What the trace counts, per request/s that is simulated.
    pub unit: f64,
    /// Requests in each second.
    pub requests: Vec<f32>,
    /// Cost of a request in each minute, as a multiple of the nominal one.
    pub costs: Vec<f32>,
    /// Replicas before policies begin: enough for the highest load.
    pub first: u32,
    /// What the calendar knew of it, on the case's calendar.
    pub events: Vec<Known>,
}

/// An event of a calendar, which every policy may know before it comes.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Its kind, under which uplift is learned.
    pub kind: String,
    /// Load is at least this many times the ordinary while it lasts, if somebody said so.
    pub minimum_uplift: Option<f64>,
    /// When it happens, by start.
    pub spans: Vec<Span>,
}

/// Some apis, a pool, and when what begins.
#[derive(Debug, Clone)]
pub struct Case {
    /// The apis, ascending by id.
    pub apis: Vec<CaseApi>,
    /// The pool.
    pub supply: Supply,
    /// Second 0.
    pub start: Timestamp,
    /// The second in which policies begin to act: before it lies history.
    pub begin: usize,
    /// The second from which on they are scored.
    pub score: usize,
    /// The second after the last.
    pub end: usize,
    /// Seconds until new capacity serves.
    pub lead_s: usize,
}

impl Case {
    /// The instant of a second.
    #[must_use]
    pub fn at(&self, second: usize) -> Timestamp {
        self.start.plus_ms(
            i64::try_from(second)
                .unwrap_or(i64::MAX)
                .saturating_mul(1000),
        )
    }

    /// Minutes that are scored.
    #[must_use]
    pub fn minutes(&self) -> usize {
        (self.end - self.score) / 60
    }
}

/// A trace, and what its api is like.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// What came, in any unit.
    pub trace: Trace,
    /// The api's tier.
    pub tier: Tier,
    /// What one replica serves at full use, in the trace's unit; `None`: a tenth of the trace's 95th
    /// percentile.
    pub replica: Option<f64>,
    /// What the calendar knows of it, on the trace's own calendar.
    pub events: Vec<Known>,
}

/// How cases are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CasePlan {
    /// Seconds of history before the scored part; `None`: half of the trace, 2 to 14 days.
    pub train_s: Option<usize>,
    /// Seconds until new capacity serves.
    pub lead_s: usize,
    /// Root of all chance.
    pub seed: u64,
}

/// What is wrong with traces as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// Too short to learn from and to score.
    #[error(
        "{name}: {have} h of load are too few; a backtest needs {need} h (history and one scored day): give a longer trace or a shorter --train"
    )]
    Short {
        /// The trace.
        name: String,
        /// Hours that there are.
        have: usize,
        /// Hours that are needed.
        need: usize,
    },
    /// Too little in common with the traces that share its pool.
    #[error(
        "{name}: with it the traces of the pool have {have} h in common, of which a backtest needs {need}: run it in a pool of its own"
    )]
    Apart {
        /// The trace.
        name: String,
        /// Hours that there are.
        have: usize,
        /// Hours that are needed.
        need: usize,
    },
    /// Nothing came.
    #[error(
        "{name}: its 95th percentile is not above 0, so nothing says what a replica serves; leave the trace out or give its busy days"
    )]
    Idle {
        /// The trace.
        name: String,
    },
    /// No name can be made of the file's.
    #[error("a trace has no usable name")]
    Name(#[from] tidegate_core::ids::IdError),
}

/// Cases, and what is not in any.
#[derive(Debug, Clone)]
pub struct Cases {
    /// Pools with their apis; never empty.
    pub cases: Vec<Case>,
    /// Why each trace that is in none was left out, in the order of traces.
    pub left_out: Vec<CaseError>,
}

const DAY_S: usize = 86_400;
const DAY_MS: i64 = 86_400_000;

/// The calendar that traces are put on.
#[derive(Debug, Clone, Copy)]
struct Calendar {
    /// Its second 0.
    start: Timestamp,
    /// Traces are moved by whole multiples of so many milliseconds.
    turn_ms: i64,
}

/// One api of its own pool per trace, in the order of traces.
///
/// # Errors
/// When every trace is too short or idle: what is wrong with the first.
pub fn elastic(loads: &[Load], plan: &CasePlan) -> Result<Cases, CaseError> {
    let (mut cases, mut left_out) = (vec![], vec![]);
    for load in loads {
        let calendar = Calendar {
            start: load.trace.start,
            turn_ms: DAY_MS,
        };
        match pool(&[load], calendar, Supply::Elastic, plan) {
            Ok(case) => cases.push(case),
            Err(error) => left_out.push(error),
        }
    }
    found(cases, left_out)
}

/// All traces in one pool.
///
/// # Errors
/// When no trace can be run: what is wrong with the first.
pub fn shared(loads: &[Load], supply: Supply, plan: &CasePlan) -> Result<Cases, CaseError> {
    let mut left_out: Vec<(usize, CaseError)> = vec![];
    let mut kept: Vec<(usize, &Load)> = vec![];
    for (at, load) in loads.iter().enumerate() {
        let alone = parts(&load.trace.name, load.length(), plan);
        match alone.and_then(|_| replica(load, &load.trace.values)) {
            Ok(_) => kept.push((at, load)),
            Err(error) => left_out.push((at, error)),
        }
    }
    let mut cases = vec![];
    while cases.is_empty() && !kept.is_empty() {
        let of: Vec<&Load> = kept.iter().map(|(_, l)| *l).collect();
        let outcome = calendar(&of, plan).and_then(|c| pool(&of, c, supply, plan));
        match outcome {
            Ok(case) => cases.push(case),
            Err(error) => {
                let (at, load) = kept.remove(hindrance(&of, &error));
                let error = match error {
                    CaseError::Short { .. } if kept.is_empty() => error,
                    CaseError::Short { have, need, .. } => CaseError::Apart {
                        name: load.trace.name.clone(),
                        have,
                        need,
                    },
                    other => other,
                };
                left_out.push((at, error));
            }
        }
    }
    left_out.sort_by_key(|(at, _)| *at);
    found(cases, left_out.into_iter().map(|(_, e)| e).collect())
}

fn found(cases: Vec<Case>, left_out: Vec<CaseError>) -> Result<Cases, CaseError> {
    match (cases.is_empty(), left_out.first()) {
        (true, Some(first)) => Err(first.clone()),
        _ => Ok(Cases { cases, left_out }),
    }
}

/// Some traces on a calendar.
fn pool(
    loads: &[&Load],
    calendar: Calendar,
    supply: Supply,
    plan: &CasePlan,
) -> Result<Case, CaseError> {
    let (length, name) = common(loads, calendar);
    let (begin, score, end) = parts(name, length, plan)?;
    let apis = loads.iter().map(|load| api(load, calendar, end, plan));
    let mut apis = apis.collect::<Result<Vec<_>, _>>()?;
    apis.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(Case {
        apis,
        supply,
        start: calendar.start,
        begin,
        score,
        end,
        lead_s: plan.lead_s,
    })
}

/// The calendar of that trace whose hour and weekday leave most in common; where that is too little, whose
/// hour does.
fn calendar(loads: &[&Load], plan: &CasePlan) -> Result<Calendar, CaseError> {
    let by = |turn_ms: i64| {
        let of = |l: &&Load| Calendar {
            start: l.trace.start,
            turn_ms,
        };
        let all = loads.iter().map(of).map(|c| (common(loads, c).0, c));
        let best = all.min_by_key(|(length, _)| std::cmp::Reverse(*length));
        best.map_or_else(|| of(&loads[0]), |(_, c)| c)
    };
    let weeks = by(7 * DAY_MS);
    let (length, name) = common(loads, weeks);
    if parts(name, length, plan).is_ok() {
        return Ok(weeks);
    }
    let days = by(DAY_MS);
    let (length, name) = common(loads, days);
    parts(name, length, plan).map(|_| days)
}

/// The index of the trace to leave out: the one that an error names, but of traces that have too little in
/// common the one without which the others have most.
fn hindrance(loads: &[&Load], error: &CaseError) -> usize {
    if let CaseError::Idle { name } = error {
        return loads
            .iter()
            .position(|l| l.trace.name == *name)
            .unwrap_or(0);
    }
    let without = |at: usize| {
        let mut rest = loads.to_vec();
        rest.remove(at);
        let all = rest.iter().map(|l| Calendar {
            start: l.trace.start,
            turn_ms: DAY_MS,
        });
        all.map(|c| common(&rest, c).0).max().unwrap_or(0)
    };
    // Of equals the last: whoever stands first was asked for first.
    (0..loads.len()).max_by_key(|&at| without(at)).unwrap_or(0)
}

/// Seconds at the beginning of a trace that lie before a calendar's start, by whole turns.
fn offset(load: &Load, calendar: Calendar) -> usize {
    let late = calendar
        .start
        .since_ms(load.trace.start)
        .rem_euclid(calendar.turn_ms);
    usize::try_from(late / 1000).unwrap_or(0)
}

/// Seconds that all traces have on a calendar, and the trace that ends first.
fn common<'a>(loads: &[&'a Load], calendar: Calendar) -> (usize, &'a str) {
    let lengths = loads
        .iter()
        .map(|l| (l.length().saturating_sub(offset(l, calendar)), l));
    let shortest = lengths.min_by_key(|(length, _)| *length);
    shortest.map_or((0, ""), |(length, l)| (length, l.trace.name.as_str()))
}

impl Load {
    /// Seconds of the trace.
    fn length(&self) -> usize {
        self.trace.values.len() * self.trace.step.secs() as usize
    }
}

/// Where policies begin, where scoring begins, where it ends.
fn parts(name: &str, seconds: usize, plan: &CasePlan) -> Result<(usize, usize, usize), CaseError> {
    let hour = |s: usize| s - s % 3600;
    let half = hour(seconds / 2).clamp(2 * DAY_S, 14 * DAY_S);
    let score = hour(plan.train_s.unwrap_or(half));
    let end = seconds - seconds % 300;
    if end < score + DAY_S || score < DAY_S / 12 {
        return Err(CaseError::Short {
            name: name.to_owned(),
            have: seconds / 3600,
            need: (score + DAY_S).div_ceil(3600),
        });
    }
    // A day, or half of what there is, in which policies act and their forecasts are corrected.
    Ok((score - hour((score / 2).min(DAY_S)), score, end))
}

/// What one replica serves, in the trace's unit.
fn replica(load: &Load, part: &[f64]) -> Result<f64, CaseError> {
    let usual = || percentile(part, 0.95) / 10.0;
    let replica = load.replica.unwrap_or_else(usual);
    match replica > 0.0 && replica.is_finite() {
        true => Ok(replica),
        false => Err(CaseError::Idle {
            name: load.trace.name.clone(),
        }),
    }
}

fn api(load: &Load, calendar: Calendar, end: usize, plan: &CasePlan) -> Result<CaseApi, CaseError> {
    let (trace, step) = (&load.trace, load.trace.step.secs() as usize);
    let offset = offset(load, calendar);
    let from = (offset / step).min(trace.values.len());
    let to = (offset + end).div_ceil(step).min(trace.values.len());
    let part = &trace.values[from..to];
    let replica = replica(load, part)?;
    let unit = replica / RATE_PER_REPLICA;
    let rates: Vec<f64> = part.iter().map(|v| (v / unit).max(0.0)).collect();
    let most = rates.iter().copied().fold(0.0, f64::max);
    let requests = arrivals::requests(&rates, step, &trace.name, plan.seed);
    let costs = arrivals::costs(
        requests.len().div_ceil(arrivals::MINUTE),
        &trace.name,
        plan.seed,
    );
    Ok(CaseApi {
        id: id(&trace.name)?,
        name: trace.name.clone(),
        tier: load.tier,
        unit,
        requests,
        costs,
        first: (most / RATE_PER_REPLICA * 1.5).ceil().clamp(2.0, 1e6) as u32,
        events: load
            .events
            .iter()
            .map(|e| moved(e, load, calendar))
            .collect(),
    })
}

/// An event on a case's calendar, whose start is that second of the trace that [`offset`] says.
fn moved(event: &Known, load: &Load, calendar: Calendar) -> Known {
    let late = i64::try_from(offset(load, calendar)).unwrap_or(0) * 1000;
    let by = calendar.start.since_ms(load.trace.start.plus_ms(late));
    let span = |(from, to): &Span| (from.plus_ms(by), to.plus_ms(by));
    Known {
        spans: event.spans.iter().map(span).collect(),
        ..event.clone()
    }
}

/// Nearest rank.
fn percentile(values: &[f64], p: f64) -> f64 {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let rank = (p * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// A name of the catalog for the name of a file: what is not lawful in one becomes `-`, and a hash
/// tells apart what would then be the same.
fn id(name: &str) -> Result<ApiId, CaseError> {
    let is_lawful = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let text: String = name
        .chars()
        .map(|c| if is_lawful(c) { c } else { '-' })
        .take(70)
        .collect();
    let text = text.trim_start_matches(['.', '_', '-']);
    let whole = match !text.is_empty() && text == name {
        true => format!("backtest/{text}"),
        false => format!(
            "backtest/s{:016x}{text}",
            canonical::seed(0, "backtest", name, 0)
        ),
    };
    Ok(whole.parse()?)
}

#[cfg(test)]
mod tests;
