//! Envoy's metrics service: the messages of a stream, and what is remembered between them.
//!
//! An Envoy names itself once and then sends at each flush everything that was ever used. So what
//! appears in a later message, and was in none before, has grown since the message before: its start
//! is known although it is not told, and its first requests count. What an Envoy sent in its *first*
//! message may be of any age. Histograms hold what came since the flush before; of one that is new,
//! a point that says that nothing came until then is put before it, so that the step in which it
//! begins counts as heard.
//!
//! A counter has no start on the wire, so two Envoys of one name would look like one that is started
//! anew all the time. Of those that stream at the same time, the second is refused ([`Live`]).

use super::{Error, Feed, Gather, Id, Took, identity};
use crate::books::{Flow, Introduced, Key, Observed, Value, key_of};
use crate::envoy::{self, Family, Kind, Reading, Sink};
use crate::feed::lock;
use crate::feed::names::{Metric, Slot};
use crate::histogram::{Histogram, Layout};
use crate::mapping::{Labels, Shape, Stream, TENANT, envoy::NODE};
use crate::otlp::Wanted;
use crate::wire::Part;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex};
use tidegate_core::access::Principal;
use tidegate_core::time::Timestamp;

/// What the counters of an Envoy are counted from; the messages do not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counters {
    /// From when it was started, as it does by itself.
    #[default]
    Cumulative,
    /// From the message before (`report_counters_as_deltas`).
    Delta,
}

/// Metrics that are remembered of one Envoy to know what is new.
const MAX_SEEN: usize = 1 << 20;

/// How long an Envoy that streams keeps its name to itself after its last message, in milliseconds:
/// a connection that broke unseen must not keep the Envoy out for good.
const QUIET_MS: i64 = 15_000;

/// The Envoys that stream, by who they are: number of their stream, and when it was heard last.
pub(in crate::feed) type Live = Mutex<BTreeMap<Key, (u64, i64)>>;

/// The stream of an Envoy. It is named in the first message.
#[derive(Debug)]
pub struct Peer {
    number: u64,
    counters: Counters,
    named: Option<Named>,
    /// What was in a message, by hash of name and labels.
    seen: BTreeSet<u64>,
    state: RandomState,
    /// When what was in the last message was read.
    previous: Option<i64>,
}

/// Who it is.
#[derive(Debug, Clone)]
struct Named {
    key: Key,
    labels: Arc<[(String, String)]>,
}

impl Peer {
    fn name(&mut self, caller: &Principal, identifier: Part<'_>) -> Result<(), Error> {
        let node = envoy::node(identifier)?;
        let text = format!("{}\0envoy\0{}\0{}", caller.name, node.id, node.cluster);
        let mut labels = vec![
            (NODE.to_owned(), node.id),
            ("envoy.node.cluster".to_owned(), node.cluster),
        ];
        let tenant = |(key, _): &(String, String)| TENANT.contains(&key.as_str());
        labels.extend(node.metadata.into_iter().filter(tenant));
        self.named = Some(Named {
            key: key_of(text.as_bytes()),
            labels: labels.into(),
        });
        Ok(())
    }
}

impl Feed {
    /// An Envoy's stream begins.
    pub fn meet(&self, counters: Counters) -> Peer {
        let mut next = lock(&self.streams);
        *next += 1;
        Peer {
            number: *next,
            counters,
            named: None,
            seen: BTreeSet::new(),
            state: RandomState::default(),
            previous: None,
        }
    }

    /// An Envoy's stream has ended; another of its name may begin.
    pub fn part(&self, peer: &Peer) {
        let Some(named) = &peer.named else { return };
        let mut live = lock(&self.live);
        if live.get(&named.key).is_some_and(|(n, _)| *n == peer.number) {
            live.remove(&named.key);
        }
    }

    /// Takes a message of an Envoy; blocks until what was taken is on disk. `now` is the machine's
    /// clock.
    ///
    /// # Errors
    /// When the body is damaged, the caller may not feed, another Envoy streams under the same name,
    /// or nothing can be taken now; then nothing of it counts, and it may be given again.
    pub fn envoy(
        &self,
        caller: &Principal,
        peer: &mut Peer,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Took, Error> {
        if peer.named.is_none() {
            let mut first = First::default();
            envoy::walk(body, &mut first)?;
            let begin = first.0.unwrap_or((0, 0));
            let bytes = &body[begin.0..begin.0 + begin.1];
            let identifier = Part { bytes, at: begin.0 };
            peer.name(caller, identifier)?;
        }
        let Some(named) = peer.named.clone() else {
            return Ok(Took::default());
        };
        self.claim(&named, peer.number, now)?;
        let mut inner = self.begin(caller)?;
        let mut listener = Listener {
            gather: Gather::new(self, caller, &mut inner, now),
            peer,
            named: &named,
            name: vec![],
            metric: None,
            family: (String::new(), Kind::Other),
            bounds: [].into(),
            newest: None,
            fresh: vec![],
            made: 0,
        };
        envoy::walk(body, &mut listener)?;
        let (newest, fresh, made) = (listener.newest, listener.fresh, listener.made);
        let mut took = listener.gather.finish(now)?;
        took.accepted = took.accepted.saturating_sub(made);
        self.end(inner)?;
        let room = MAX_SEEN.saturating_sub(peer.seen.len());
        peer.seen.extend(fresh.into_iter().take(room));
        peer.previous = newest.max(peer.previous);
        Ok(took)
    }

    /// Whether no other Envoy of this name streams.
    fn claim(&self, named: &Named, number: u64, now: Timestamp) -> Result<(), Error> {
        let mut live = lock(&self.live);
        let other = live.get(&named.key);
        if other.is_some_and(|(n, heard)| *n != number && now.0 - heard < QUIET_MS) {
            let id = named.labels.first().map_or("", |(_, id)| id.as_str());
            return Err(Error::Taken(format!(
                "another Envoy streams as node `{id}`, and their counters could not be told apart; give each its own `node.id`"
            )));
        }
        live.insert(named.key, (number, now.0));
        Ok(())
    }
}

/// Where the identifier lies in a message.
#[derive(Default)]
struct First(Option<(usize, usize)>);

impl Sink for First {
    fn node(&mut self, identifier: Part<'_>) {
        self.0 = self.0.or(Some((identifier.at, identifier.bytes.len())));
    }
    fn family(&mut self, _: &Family<'_>) -> Wanted {
        Wanted::Nothing
    }
    fn metric(&mut self, _: &envoy::Metric<'_>) {}
    fn passed_over(&mut self, _: u64, _: i64) {}
}

/// What a walk has come by.
struct Listener<'f> {
    gather: Gather<'f>,
    peer: &'f Peer,
    named: &'f Named,
    name: Vec<u8>,
    metric: Option<Arc<Metric>>,
    family: (String, Kind),
    /// Those of the last histogram: nearly all have the same.
    bounds: Arc<[f64]>,
    newest: Option<i64>,
    /// What was in no message before, by hash.
    fresh: Vec<u64>,
    /// Points that say that nothing came.
    made: u64,
}

fn shape_of(kind: Kind, counters: Counters) -> Option<(Shape, Flow)> {
    Some(match (kind, counters) {
        (Kind::Counter, Counters::Cumulative) => (Shape::Counter, Flow::Cumulative),
        (Kind::Counter, Counters::Delta) => (Shape::Counter, Flow::Delta),
        (Kind::Gauge, _) => (Shape::Level, Flow::Level),
        (Kind::Histogram, _) => (Shape::Histogram, Flow::Delta),
        (Kind::Other, _) => return None,
    })
}

/// A stream, of which only the bytes are known.
fn introduce(
    gather: &Gather<'_>,
    parts: &[Part<'_>],
    metric: &Metric,
    named: &Named,
    name: &str,
    (shape, flow): (Shape, Flow),
) -> Result<Introduced, Slot> {
    let mut pairs = Vec::with_capacity(parts.len() + named.labels.len());
    for part in parts {
        match envoy::label(*part) {
            Ok((key, value)) => pairs.push((key.to_owned(), value.to_owned())),
            Err(e) => return Err(gather.refusal(format!("a label: {e}"))),
        }
    }
    // What the node says of itself stands, whatever a tag is called.
    let mut all = named.labels.to_vec();
    all.extend(pairs);
    let labels = Labels::new(all);
    let mapped = gather.decide(&Stream {
        name,
        unit: "",
        shape,
        labels: &labels,
    })?;
    Ok(Introduced {
        key: identity(&mapped, name, &labels, b"envoy"),
        family: metric.family,
        instance: named.key,
        flow,
        mapped,
    })
}

impl Listener<'_> {
    fn hash(&self, labels: &[Part<'_>]) -> u64 {
        let mut hasher = self.peer.state.build_hasher();
        self.family.0.hash(&mut hasher);
        labels.iter().for_each(|part| part.bytes.hash(&mut hasher));
        hasher.finish()
    }

    /// Whether it was in no message before, which it is from now on.
    fn is_fresh(&mut self, labels: &[Part<'_>]) -> bool {
        let hash = self.hash(labels);
        if self.peer.seen.contains(&hash) {
            return false;
        }
        self.fresh.push(hash);
        self.peer.seen.len() < MAX_SEEN
    }

    /// Says that nothing came from the beginning of the step until `until`.
    fn nothing_until(&mut self, until: i64, id: Id, value: &Value) {
        let step = self.gather.feed.options.terms.step.ms();
        let edge = until - until.rem_euclid(step);
        if edge == until {
            return;
        }
        let mut nothing = value.clone();
        match &mut nothing {
            Value::Number(n) => *n = 0.0,
            Value::Histogram(h) => {
                h.counts.fill(0);
                h.sum = Some(0.0);
            }
            Value::Slice(_) => return,
        }
        let observed = Observed {
            start: Some(edge),
            time: until,
            value: Some(nothing),
        };
        self.gather.points.push((id, observed));
        self.made += 1;
    }
}

impl Sink for Listener<'_> {
    fn node(&mut self, _: Part<'_>) {}

    fn family(&mut self, family: &Family<'_>) -> Wanted {
        let text = format!(
            "{}\0\u{1}envoy\0{:?}\0",
            self.gather.caller.name, family.kind
        );
        self.name.clear();
        self.name.extend_from_slice(text.as_bytes());
        self.name.extend_from_slice(&self.named.key);
        self.name.extend_from_slice(family.name.as_bytes());
        self.family = (family.name.to_owned(), family.kind);
        let names = &mut self.gather.inner.names;
        let known = match names.metric(&self.name) {
            Some(known) => known,
            None => {
                let wanted = family.kind != Kind::Other
                    && self.gather.feed.options.mapping.wants(family.name);
                let known = Arc::new(Metric {
                    id: names.number(),
                    family: key_of(&self.name),
                    wanted,
                });
                names.keep_metric(&self.name, known.clone());
                known
            }
        };
        let wanted = if known.wanted {
            Wanted::Points
        } else {
            Wanted::Nothing
        };
        self.metric = Some(known);
        wanted
    }

    fn metric(&mut self, metric: &envoy::Metric<'_>) {
        let (Some(known), Some((shape, flow))) = (
            self.metric.clone(),
            shape_of(self.family.1, self.peer.counters),
        ) else {
            return;
        };
        let time = if metric.time > 0 {
            metric.time
        } else {
            self.gather.now
        };
        self.newest = self.newest.max(Some(time));
        let is_fresh = flow != Flow::Level && self.is_fresh(metric.labels);
        let previous = self.peer.previous.filter(|p| *p < time);
        let start = match flow {
            Flow::Level => None,
            Flow::Delta => previous,
            Flow::Cumulative => previous.filter(|_| is_fresh),
        };
        self.name.clear();
        self.name.extend_from_slice(&known.id.to_le_bytes());
        for part in metric.labels {
            let length = part.bytes.len() as u32;
            self.name.extend_from_slice(&length.to_le_bytes());
            self.name.extend_from_slice(part.bytes);
        }
        let (named, family) = (self.named, &self.family.0);
        let id = self.gather.find(self.name[..].into(), 1, |gather| {
            introduce(gather, metric.labels, &known, named, family, (shape, flow))
        });
        let Some(id) = id else { return };
        let value = match metric.reading {
            Reading::Unusable(why) => return self.gather.reject(1, "value", why),
            Reading::Number(n) => Value::Number(n),
            Reading::Histogram {
                sum,
                bounds,
                counts,
            } => {
                if *self.bounds != *bounds {
                    self.bounds = bounds.into();
                }
                Value::Histogram(Box::new(Histogram {
                    layout: Layout::Explicit(Arc::clone(&self.bounds)),
                    counts: counts.to_vec(),
                    sum: Some(sum),
                }))
            }
        };
        if let (true, Flow::Delta, Some(until)) = (is_fresh, flow, start) {
            self.nothing_until(until, id, &value);
        }
        let observed = Observed {
            start,
            time,
            value: Some(value),
        };
        self.gather.points.push((id, observed));
    }

    fn passed_over(&mut self, metrics: u64, time: i64) {
        // It was heard, though it told nothing of use.
        self.newest = self.newest.max(Some(time).filter(|t| *t > 0));
        self.gather.took.passed_over += metrics;
    }
}
