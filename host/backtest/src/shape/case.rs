//! From traces to cases: which apis share which pool, from when on policies act and are scored.
//!
//! Loads are scaled: a replica serves a tenth of a trace's 95th percentile, whatever the trace counts.
//! In an elastic pool apis do not meet, since what one needs is bought and taken from nobody; so every
//! trace is a case of its own. In a scarce pool all share what there is, on one calendar: traces of
//! other years are moved by whole weeks, so that hours of the day and days of the week stay; and what the
//! calendar knew of a trace moves with it.

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

const DAY_S: usize = 86_400;
const WEEK_MS: i64 = 7 * 86_400_000;

/// One api of its own pool per trace, in the order of traces.
///
/// # Errors
/// When a trace is too short or idle.
pub fn elastic(loads: &[Load], plan: &CasePlan) -> Result<Vec<Case>, CaseError> {
    loads
        .iter()
        .map(|load| {
            let (begin, score, end) = parts(&load.trace.name, load.length(), plan)?;
            Ok(Case {
                apis: vec![api(load, load.trace.start, end, plan)?],
                supply: Supply::Elastic,
                start: load.trace.start,
                begin,
                score,
                end,
                lead_s: plan.lead_s,
            })
        })
        .collect()
}

/// All traces in one pool.
///
/// # Errors
/// When what the traces have in common is too short, or one is idle.
pub fn shared(loads: &[Load], supply: Supply, plan: &CasePlan) -> Result<Case, CaseError> {
    // The calendar of that trace whose hour and weekday leave most in common.
    let best = loads.iter().map(|l| (common(loads, l.trace.start).0, l));
    let best = best.min_by_key(|(length, _)| std::cmp::Reverse(*length));
    let start = best.map_or(Timestamp::default(), |(_, l)| l.trace.start);
    let (length, name) = common(loads, start);
    let (begin, score, end) = parts(name, length, plan)?;
    let mut apis = loads
        .iter()
        .map(|load| api(load, start, end, plan))
        .collect::<Result<Vec<_>, _>>()?;
    apis.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(Case {
        apis,
        supply,
        start,
        begin,
        score,
        end,
        lead_s: plan.lead_s,
    })
}

/// Seconds at the beginning of a trace that lie before an instant, by whole weeks.
fn offset(load: &Load, start: Timestamp) -> usize {
    let late = start.since_ms(load.trace.start).rem_euclid(WEEK_MS);
    usize::try_from(late / 1000).unwrap_or(0)
}

/// Seconds that all traces have from an instant on, and the trace that ends first.
fn common(loads: &[Load], start: Timestamp) -> (usize, &str) {
    let lengths = loads
        .iter()
        .map(|l| (l.length().saturating_sub(offset(l, start)), l));
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

fn api(load: &Load, start: Timestamp, end: usize, plan: &CasePlan) -> Result<CaseApi, CaseError> {
    let (trace, step) = (&load.trace, load.trace.step.secs() as usize);
    let offset = offset(load, start);
    let from = (offset / step).min(trace.values.len());
    let to = (offset + end).div_ceil(step).min(trace.values.len());
    let part = &trace.values[from..to];
    let usual = || percentile(part, 0.95) / 10.0;
    let replica = load.replica.unwrap_or_else(usual);
    if !(replica > 0.0 && replica.is_finite()) {
        return Err(CaseError::Idle {
            name: trace.name.clone(),
        });
    }
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
        events: load.events.iter().map(|e| moved(e, load, start)).collect(),
    })
}

/// An event on the calendar of a case that begins at `start`, which is that second of the trace that
/// [`offset`] says.
fn moved(event: &Known, load: &Load, start: Timestamp) -> Known {
    let late = i64::try_from(offset(load, start)).unwrap_or(0) * 1000;
    let by = start.since_ms(load.trace.start.plus_ms(late));
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
