//! OTLP: a resource, its scopes and metrics, and their points.
//!
//! Senders whose resource names no instance ([`INSTANCE`]), as that of most SDKs by itself and of Envoy, are told
//! apart by the starts of what they count (`names::starts`). Levels have none: those of two such senders are one
//! stream, which is as high as either of them.
//!
//! One thing is said of Envoy's sender alone, seen of version 1.40: it writes the start of a cumulative point in
//! microseconds, where the protocol wants nanoseconds.

use super::{Error, Feed, Gather, Took, identity};
use crate::books::{Flow, Introduced, Key, Observed, Value, key_of};
use crate::feed::names::{MOVES, Metric, Name, Resource, Slot, Worth};
use crate::mapping::{Labels, Shape, Stream};
use crate::otlp::{self, Kind, Point, Reading, Sink, Temporality, Wanted};
use crate::wire::Part;
use std::sync::Arc;
use tidegate_core::access::Principal;
use tidegate_core::time::Timestamp;

impl Feed {
    /// Takes an OTLP request; blocks until what was taken is on disk. `now` is the machine's clock.
    ///
    /// # Errors
    /// When the body is damaged or the caller may not feed; then nothing of it counts. When nothing more can be
    /// taken now; what was taken by then does not count twice when it is sent again.
    pub fn otlp(&self, caller: &Principal, body: &[u8], now: Timestamp) -> Result<Took, Error> {
        let mut inner = self.begin(caller)?;
        let mut listener = Listener {
            gather: Gather::new(self, caller, &mut inner, now),
            name: vec![],
            resource: None,
            scope: vec![],
            metric: None,
            described: (String::new(), String::new(), Kind::Gauge),
            bounds: [].into(),
        };
        otlp::walk(body, &mut listener)?;
        let took = listener.gather.finish(now)?;
        self.end(inner)?;
        Ok(took)
    }
}

/// What a walk has come by.
struct Listener<'f> {
    gather: Gather<'f>,
    name: Vec<u8>,
    resource: Option<Arc<Resource>>,
    scope: Vec<u8>,
    metric: Option<Arc<Metric>>,
    /// The metric's name, unit and kind.
    described: (String, String, Kind),
    /// Those of the last histogram: nearly all have the same.
    bounds: Arc<[f64]>,
}

/// A stream, of which only the bytes are known.
fn introduce(
    gather: &Gather<'_>,
    point: &Point<'_>,
    metric: &Metric,
    resource: Option<&Resource>,
    (name, unit, kind): (&str, &str, Kind),
    scope: &[u8],
) -> Result<Introduced, Slot> {
    let mut pairs = Vec::with_capacity(point.attributes.len() + 8);
    for part in point.attributes {
        match otlp::key_value(*part) {
            Ok((key, value)) => pairs.push((key.to_owned(), value.to_string())),
            Err(e) => return Err(gather.refusal(format!("an attribute: {e}"))),
        }
    }
    pairs.extend(resource.iter().flat_map(|r| r.labels.iter().cloned()));
    let labels = Labels::new(pairs);
    let (shape, flow) =
        shape_of(kind).map_err(|problem| gather.refusal(format!("`{name}`: {problem}")))?;
    let mapped = gather.decide(&Stream {
        name,
        unit,
        shape,
        labels: &labels,
    })?;
    Ok(Introduced {
        key: identity(&mapped, name, &labels, scope),
        family: metric.family,
        instance: resource.map_or([0; 16], |r| r.key),
        flow,
        mapped,
    })
}

/// The stream of one of several senders that share its name. Whatever appears of the same start has been heard
/// when the others of that start were. The instance stays as it is named: which of two metrics counts is decided
/// for all of them, as their starts differ by metric.
fn apart(introduced: Introduced, start: u64) -> Introduced {
    let with_start = |key: Key| key_of(&[&key[..], &start.to_le_bytes()].concat());
    Introduced {
        key: with_start(introduced.key),
        family: with_start(introduced.family),
        ..introduced
    }
}

/// A start in nanoseconds. None is of the year 1970, and what looks so is in microseconds.
fn start_of(point: &Point<'_>) -> u64 {
    const YEAR_2001: u64 = 1_000_000_000_000_000_000;
    let micro =
        point.time >= YEAR_2001 && (YEAR_2001 / 1000..YEAR_2001 / 10).contains(&point.start);
    if micro {
        point.start.saturating_mul(1000)
    } else {
        point.start
    }
}

/// Attributes of which each tells the instances of a service apart. A host does not: several processes may run there;
/// nor does the number of a process, which is 1 in every container. Its name and that together do.
const INSTANCE: [&str; 8] = [
    "service.instance.id",
    "k8s.pod.uid",
    "k8s.pod.name",
    "container.id",
    "faas.instance",
    "aws.ecs.task.id",
    "aws.ecs.task.arn",
    "device.id",
];

/// Whether a resource does not say which of its service it is.
fn is_nameless(labels: &Labels) -> bool {
    let process = ["host.name", "process.pid"];
    let is_process = process.iter().all(|name| labels.get(name).is_some());
    labels.first(&INSTANCE).is_none() && !is_process
}

fn is_cumulative(kind: Kind) -> bool {
    match kind {
        Kind::Counter(t) | Kind::Histogram(t) | Kind::Exponential(t) => {
            t == Temporality::Cumulative
        }
        Kind::Gauge | Kind::UpDown(_) | Kind::Summary => false,
    }
}

/// What a reading says. `last` are the bounds of the last histogram.
fn value(reading: &Reading<'_>, last: &mut Arc<[f64]>) -> Result<Option<Value>, &'static str> {
    match *reading {
        Reading::Ended => Ok(None),
        Reading::Unusable(why) => Err(why),
        Reading::Number(n) => Ok(Some(Value::Number(n))),
        Reading::Explicit { .. } | Reading::Exponential { .. } => {
            let histogram = reading.histogram(last);
            Ok(histogram.map(|h| Value::Histogram(Box::new(h))))
        }
        Reading::Summary { .. } => Err("summaries cannot be added up over instances"),
    }
}

/// What a kind's values are, and how they follow each other.
fn shape_of(kind: Kind) -> Result<(Shape, Flow), &'static str> {
    let flow = |t: Temporality| match t {
        Temporality::Cumulative => Ok(Flow::Cumulative),
        Temporality::Delta => Ok(Flow::Delta),
        Temporality::Unspecified => Err("its temporality is not told, so it cannot be added up"),
    };
    Ok(match kind {
        Kind::Gauge | Kind::UpDown(Temporality::Cumulative | Temporality::Unspecified) => {
            (Shape::Level, Flow::Level)
        }
        Kind::UpDown(Temporality::Delta) => {
            return Err("changes of a level do not tell the level; export it cumulatively");
        }
        Kind::Counter(t) => (Shape::Counter, flow(t)?),
        Kind::Histogram(t) | Kind::Exponential(t) => (Shape::Histogram, flow(t)?),
        Kind::Summary => return Err("summaries cannot be added up over instances"),
    })
}

impl Sink for Listener<'_> {
    fn resource(&mut self, resource: Part<'_>) {
        self.name.clear();
        self.name
            .extend_from_slice(self.gather.caller.name.as_bytes());
        self.name.push(0);
        self.name.extend_from_slice(resource.bytes);
        if let Some(known) = self.gather.inner.names.resource(&self.name) {
            self.resource = Some(known);
            return;
        }
        // What is not text is no label; whoever is named by it is named by nothing.
        let pairs = otlp::resource_attributes(resource).unwrap_or_default();
        let labels = pairs
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_string()));
        let labels = Labels::new(labels.collect());
        let text = format!("{}\0{labels}", self.gather.caller.name);
        let known = Arc::new(Resource {
            id: self.gather.inner.names.number(),
            labels: labels
                .iter()
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
            key: key_of(text.as_bytes()),
            nameless: is_nameless(&labels),
        });
        self.gather
            .inner
            .names
            .keep_resource(&self.name, known.clone());
        self.resource = Some(known);
    }

    fn scope(&mut self, scope: Part<'_>) {
        self.scope.clear();
        self.scope.extend_from_slice(scope.bytes);
    }

    fn metric(&mut self, metric: &otlp::Metric<'_>) -> Wanted {
        let (resource, key): (u32, Key) = self
            .resource
            .as_ref()
            .map_or((0, [0; 16]), |r| (r.id, r.key));
        self.name.clear();
        self.name.extend_from_slice(&resource.to_le_bytes());
        self.name
            .extend_from_slice(&(self.scope.len() as u32).to_le_bytes());
        self.name.extend_from_slice(&self.scope);
        self.name
            .extend_from_slice(format!("{:?}", metric.kind).as_bytes());
        self.name.push(0);
        self.name.extend_from_slice(metric.unit.as_bytes());
        self.name.push(0);
        self.name.extend_from_slice(metric.name.as_bytes());
        self.described = (metric.name.to_owned(), metric.unit.to_owned(), metric.kind);
        let known = match self.gather.inner.names.metric(&self.name) {
            Some(known) => known,
            None => {
                let mut text = key.to_vec();
                text.extend_from_slice(&self.name[4..]);
                let known = Arc::new(Metric {
                    id: self.gather.inner.names.number(),
                    family: key_of(&text),
                    wanted: self.gather.feed.options.mapping.wants(metric.name)
                        && metric.kind != Kind::Summary,
                });
                self.gather
                    .inner
                    .names
                    .keep_metric(&self.name, known.clone());
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

    fn point(&mut self, point: &Point<'_>) {
        let Some(metric) = self.metric.as_deref() else {
            return;
        };
        let (name, unit, kind) = (&self.described.0, &self.described.1, self.described.2);
        let (resource, scope) = (self.resource.as_deref(), &self.scope);
        let started = start_of(point);
        let metric_id = metric.id.to_le_bytes();
        let shared = Name {
            head: &metric_id,
            tail: point.named,
        };
        let is_shared = is_cumulative(kind) && resource.is_none_or(|r| r.nameless);
        let names = &mut self.gather.inner.names;
        let sender = if is_shared {
            names.sender(shared, started, point.time)
        } else {
            None
        };
        self.name.clear();
        self.name.extend_from_slice(&metric_id);
        if is_shared {
            let start = sender.unwrap_or(0);
            self.name.extend_from_slice(&start.to_le_bytes());
        }
        let (head, tail) = (&self.name[..], point.named);
        let mut worth = None;
        let id = self.gather.find(Name { head, tail }, 1, |gather| {
            let described = (&name[..], &unit[..], kind);
            let all = introduce(gather, point, metric, resource, described, scope)?;
            let Some(start) = sender else {
                return Ok(all);
            };
            let moving = apart(all.clone(), MOVES);
            if start == MOVES {
                return Ok(moving);
            }
            let inner = &gather.inner;
            let is_known = |of: &Introduced| inner.books.find(of).is_some();
            let own = apart(all, start);
            if is_known(&own) {
                // It goes on, whatever others of its name do.
                worth = Some(Worth::Untold);
                return Ok(own);
            }
            let when = (start, point.time);
            let first = inner.names.worth(shared, when, || is_known(&moving));
            worth = Some(first);
            Ok(if first == Worth::Moves { moving } else { own })
        });
        if let Some(worth) = worth {
            let names = &mut self.gather.inner.names;
            names.note_start(shared, started, point.time, worth);
        }
        // Where it is a part of who the stream is, it cannot move, and is news just once.
        let is_told = match sender {
            Some(_) => worth == Some(Worth::Told),
            None => true,
        };
        let Some(id) = id else {
            return;
        };
        match value(&point.reading, &mut self.bounds) {
            Ok(value) => {
                let ms = |ns: u64| (ns / 1_000_000) as i64;
                let observed = Observed {
                    start: (is_told && started > 0 && started <= point.time).then(|| ms(started)),
                    time: ms(point.time),
                    value,
                };
                self.gather.points.push((id, observed));
            }
            Err(why) => self.gather.reject(1, "value", why),
        }
    }

    fn passed_over(&mut self, points: u64) {
        self.gather.took.passed_over += points;
    }
}
