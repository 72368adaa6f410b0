//! OTLP metrics: `ExportMetricsServiceRequest` as a succession of points, nothing copied.
//!
//! The walk tells a [`Sink`] where a resource, a scope and a metric begin and then each point, so
//! that whoever listens looks a resource up once and not once per point. Fields of a message may
//! come in any order on the wire (a sum's temporality usually comes *after* its points), so each
//! level is looked through twice: once for what its children need to know, once for the children.
//! Stepping over a child costs one length; the second look is a few percent.
//!
//! What is wrong with the *bytes* refuses the whole request, with an offset: nothing behind it can
//! be trusted. What is wrong with a *point* (no value, buckets that do not fit their bounds) is
//! told with the point ([`Reading::Unusable`]) and concerns it alone.
//!
//! What comes in JSON is written as protobuf first ([`json`]).
//!
//! Source: `opentelemetry/proto/metrics/v1/metrics.proto`, whose names are used here.

pub mod json;
mod point;

pub use point::{Point, Reading};

use crate::wire::{Field, Malformed, Part, Value};
use point::Scratch;

/// What a stream's values are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Temporality {
    /// The sender does not say.
    Unspecified,
    /// From the point before.
    Delta,
    /// From a start that rarely moves.
    Cumulative,
}

impl Temporality {
    fn of(number: u64) -> Self {
        match number {
            1 => Temporality::Delta,
            2 => Temporality::Cumulative,
            _ => Temporality::Unspecified,
        }
    }
}

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A level.
    Gauge,
    /// A sum that only grows: a counter.
    Counter(Temporality),
    /// A sum that may fall: a level that is told by its changes.
    UpDown(Temporality),
    /// Buckets between bounds that the sender chose.
    Histogram(Temporality),
    /// Buckets whose bounds grow by a factor.
    Exponential(Temporality),
    /// Quantiles, which cannot be added up.
    Summary,
}

/// A metric of a resource and scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric<'a> {
    /// Its name, `http.server.request.duration`.
    pub name: &'a str,
    /// Its unit in UCUM, `s`.
    pub unit: &'a str,
    /// What kind it is.
    pub kind: Kind,
}

/// Whether a metric's points are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Read them.
    Points,
    /// Only count them.
    Nothing,
}

/// Who listens to a walk.
pub trait Sink {
    /// A resource begins: an `opentelemetry.proto.resource.v1.Resource`, empty where none was sent.
    fn resource(&mut self, resource: Part<'_>);

    /// A scope begins: an `InstrumentationScope`, empty where none was sent.
    fn scope(&mut self, scope: Part<'_>);

    /// A metric begins.
    fn metric(&mut self, metric: &Metric<'_>) -> Wanted;

    /// A point of the metric.
    fn point(&mut self, point: &Point<'_>);

    /// So many points of a metric that was not wanted.
    fn passed_over(&mut self, points: u64);
}

/// Goes through a request.
///
/// # Errors
/// When the body is no such message; the sink may have heard a part of it then.
pub fn walk(body: &[u8], sink: &mut impl Sink) -> Result<(), Malformed> {
    let mut scratch = Scratch::default();
    let mut request = Part::body(body).walk();
    while let Some(field) = request.next()? {
        if field.number == 1 {
            resource_metrics(field.part()?, sink, &mut scratch)?;
        }
    }
    Ok(())
}

fn resource_metrics<'a>(
    part: Part<'a>,
    sink: &mut impl Sink,
    scratch: &mut Scratch<'a>,
) -> Result<(), Malformed> {
    let mut resource = None;
    let mut fields = part.walk();
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            once(&mut resource, &field)?;
        }
    }
    sink.resource(resource.unwrap_or(empty(part)));
    let mut fields = part.walk();
    while let Some(field) = fields.next()? {
        if field.number == 2 {
            scope_metrics(field.part()?, sink, scratch)?;
        }
    }
    Ok(())
}

fn scope_metrics<'a>(
    part: Part<'a>,
    sink: &mut impl Sink,
    scratch: &mut Scratch<'a>,
) -> Result<(), Malformed> {
    let mut scope = None;
    let mut fields = part.walk();
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            once(&mut scope, &field)?;
        }
    }
    sink.scope(scope.unwrap_or(empty(part)));
    let mut fields = part.walk();
    while let Some(field) = fields.next()? {
        if field.number == 2 {
            metric(field.part()?, sink, scratch)?;
        }
    }
    Ok(())
}

fn metric<'a>(
    part: Part<'a>,
    sink: &mut impl Sink,
    scratch: &mut Scratch<'a>,
) -> Result<(), Malformed> {
    let (mut name, mut unit) = (empty(part), empty(part));
    let mut data: Option<(u32, Part<'a>)> = None;
    let mut fields = part.walk();
    while let Some(field) = fields.next()? {
        match field.number {
            1 => name = field.part()?,
            3 => unit = field.part()?,
            // One of them, so the last one stands; senders write one.
            5 | 7 | 9 | 10 | 11 => {
                if data.is_some() {
                    return Err(twice(&field));
                }
                data = Some((field.number, field.part()?));
            }
            _ => {}
        }
    }
    let Some((number, data)) = data else {
        return Ok(());
    };
    let (mut temporality, mut monotonic) = (Temporality::Unspecified, false);
    if matches!(number, 7 | 9 | 10) {
        let mut fields = data.walk();
        while let Some(field) = fields.next()? {
            match field.number {
                2 => temporality = Temporality::of(field.varint()?),
                3 if number == 7 => monotonic = field.varint()? != 0,
                _ => {}
            }
        }
    }
    let kind = match number {
        5 => Kind::Gauge,
        7 if monotonic => Kind::Counter(temporality),
        7 => Kind::UpDown(temporality),
        9 => Kind::Histogram(temporality),
        10 => Kind::Exponential(temporality),
        _ => Kind::Summary,
    };
    let metric = Metric {
        name: name.text()?,
        unit: unit.text()?,
        kind,
    };
    let wanted = sink.metric(&metric);
    let mut passed_over = 0;
    let mut points = data.walk();
    while let Some(field) = points.next()? {
        if field.number != 1 {
            continue;
        }
        let part = field.part()?;
        match wanted {
            Wanted::Points => sink.point(&scratch.read(kind, part)?),
            Wanted::Nothing => passed_over += 1,
        }
    }
    if passed_over > 0 {
        sink.passed_over(passed_over);
    }
    Ok(())
}

/// Keeps a message that may come once. Protobuf would merge a second one; no encoder writes one.
fn once<'a>(slot: &mut Option<Part<'a>>, field: &Field<'a>) -> Result<(), Malformed> {
    if slot.is_some() {
        return Err(twice(field));
    }
    *slot = Some(field.part()?);
    Ok(())
}

fn twice(field: &Field<'_>) -> Malformed {
    Malformed {
        at: field.at,
        what: "this message may stand here once only",
    }
}

fn empty<'a>(within: Part<'a>) -> Part<'a> {
    Part {
        bytes: &[],
        at: within.at,
    }
}

/// An attribute's value, as far as anybody asks for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Any<'a> {
    /// Text.
    Text(&'a str),
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number.
    Double(f64),
    /// A list, a map, bytes or nothing: its encoded form.
    Other(Part<'a>),
}

impl std::fmt::Display for Any<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Any::Text(text) => f.write_str(text),
            Any::Bool(truth) => write!(f, "{truth}"),
            Any::Int(number) => write!(f, "{number}"),
            Any::Double(number) => write!(f, "{number}"),
            Any::Other(part) => part.bytes.iter().try_for_each(|b| write!(f, "{b:02x}")),
        }
    }
}

/// A `KeyValue`.
///
/// # Errors
/// When it is none, or its text is not UTF-8.
pub fn key_value(part: Part<'_>) -> Result<(&str, Any<'_>), Malformed> {
    let (mut key, mut value) = (empty(part), None);
    let mut fields = part.walk();
    while let Some(field) = fields.next()? {
        match field.number {
            1 => key = field.part()?,
            2 => once(&mut value, &field)?,
            _ => {}
        }
    }
    let value = value.unwrap_or(empty(part));
    let mut any = Any::Other(value);
    let mut fields = value.walk();
    while let Some(field) = fields.next()? {
        any = match (field.number, field.value) {
            (1, _) => Any::Text(field.part()?.text()?),
            (2, _) => Any::Bool(field.varint()? != 0),
            (3, _) => Any::Int(field.varint()? as i64),
            (4, _) => Any::Double(f64::from_bits(field.fixed64()?)),
            (5..=7, Value::Part(_)) => Any::Other(value),
            _ => any,
        };
    }
    Ok((key.text()?, any))
}

/// The attributes of a resource (`Resource.attributes`).
///
/// # Errors
/// When it is no resource.
pub fn resource_attributes(resource: Part<'_>) -> Result<Vec<(&str, Any<'_>)>, Malformed> {
    let mut attributes = vec![];
    let mut fields = resource.walk();
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            attributes.push(key_value(field.part()?)?);
        }
    }
    Ok(attributes)
}
