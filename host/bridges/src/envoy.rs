//! Envoy's metrics service: `StreamMetricsMessage` as a succession of metrics, nothing copied.
//!
//! Envoy opens one stream, names itself in its first message and from then on sends, at each flush,
//! everything that was ever used: families of Prometheus' client model. What the numbers mean is not
//! in the message: counters are cumulative unless Envoy is told `report_counters_as_deltas`, and
//! histograms are always those of the flush alone. Buckets are cumulative by bound, and the one
//! without end is left out; they are taken apart here, so that a histogram looks as it does in OTLP.
//!
//! What is wrong with the bytes refuses the message, with an offset; what is wrong with a metric
//! concerns it alone ([`Reading::Unusable`]).
//!
//! Sources: `envoy/service/metrics/v3/metrics_service.proto`, `envoy/config/core/v3/base.proto`,
//! `io/prometheus/client/metrics.proto`; what Envoy 1.40 sends was looked at on the wire.

use crate::otlp::Wanted;
use crate::wire::{Malformed, Part, Value};

/// Buckets of one histogram that are read.
const MAX_BUCKETS: usize = 4096;

/// What kind of metric a family holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It is what it is.
    Gauge,
    /// Observations by bucket.
    Histogram,
    /// Quantiles, or what is not known here; of no use.
    Other,
}

impl Kind {
    fn of(number: u64) -> Self {
        match number {
            0 => Kind::Counter,
            1 => Kind::Gauge,
            4 => Kind::Histogram,
            _ => Kind::Other,
        }
    }
}

/// A family: metrics of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family<'a> {
    /// Its name: `cluster.upstream_rq_xx` where Envoy sends tags as labels, `cluster.pay.upstream_rq_2xx`
    /// where it does not.
    pub name: &'a str,
    /// What kind it is.
    pub kind: Kind,
}

/// What a metric says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading<'a> {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Histogram {
        /// Sum of the observations.
        sum: f64,
        /// Upper, inclusive bounds of all buckets but the last, rising.
        bounds: &'a [f64],
        /// Observations by bucket, one more than there are bounds.
        counts: &'a [u64],
    },
    /// Nothing that could be used, and why.
    Unusable(&'static str),
}

/// A metric of a family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric<'a> {
    /// Its labels, each an encoded `LabelPair`.
    pub labels: &'a [Part<'a>],
    /// When it was read, in milliseconds since the epoch; 0 where it is not told.
    pub time: i64,
    /// What it says.
    pub reading: Reading<'a>,
}

/// Who an Envoy says that it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// `node.id`.
    pub id: String,
    /// `node.cluster`.
    pub cluster: String,
    /// Text in `node.metadata`, by key; at the top level only.
    pub metadata: Vec<(String, String)>,
}

/// Who listens to a walk.
pub trait Sink {
    /// Who sends: a `StreamMetricsMessage.Identifier`, in the first message of a stream.
    fn node(&mut self, identifier: Part<'_>);

    /// A family begins.
    fn family(&mut self, family: &Family<'_>) -> Wanted;

    /// A metric of the family.
    fn metric(&mut self, metric: &Metric<'_>);

    /// So many metrics of a family that was not wanted, and when they were read: in milliseconds
    /// since the epoch, 0 where it is not told.
    fn passed_over(&mut self, metrics: u64, time: i64);
}

/// Buffers of a walk.
#[derive(Debug, Default)]
struct Scratch<'a> {
    labels: Vec<Part<'a>>,
    bounds: Vec<f64>,
    counts: Vec<u64>,
}

/// Goes through a message.
///
/// # Errors
/// When the body is no such message; the sink may have heard a part of it then.
pub fn walk(body: &[u8], sink: &mut impl Sink) -> Result<(), Malformed> {
    let mut scratch = Scratch::default();
    let mut fields = Part::body(body).walk();
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            sink.node(field.part()?);
        }
    }
    let mut fields = Part::body(body).walk();
    while let Some(field) = fields.next()? {
        if field.number == 2 {
            family(field.part()?, sink, &mut scratch)?;
        }
    }
    Ok(())
}

/// `MetricFamily`: name = 1, type = 3, metric = 4.
fn family<'a>(
    part: Part<'a>,
    sink: &mut impl Sink,
    scratch: &mut Scratch<'a>,
) -> Result<(), Malformed> {
    let (mut name, mut kind) = ("", Kind::Counter);
    let mut fields = part.walk();
    while let Some(field) = fields.next()? {
        match field.number {
            1 => name = field.part()?.text()?,
            3 => kind = Kind::of(field.varint()?),
            _ => {}
        }
    }
    let wanted = sink.family(&Family { name, kind });
    let (mut passed_over, mut last) = (0, None);
    let mut fields = part.walk();
    while let Some(field) = fields.next()? {
        if field.number != 4 {
            continue;
        }
        let metric = field.part()?;
        match wanted {
            Wanted::Points => sink.metric(&scratch.metric(kind, metric)?),
            Wanted::Nothing => {
                passed_over += 1;
                last = Some(metric);
            }
        }
    }
    if let Some(metric) = last {
        sink.passed_over(passed_over, time(metric)?);
    }
    Ok(())
}

/// When a metric was read.
fn time(metric: Part<'_>) -> Result<i64, Malformed> {
    let mut time = 0;
    let mut fields = metric.walk();
    while let Some(field) = fields.next()? {
        if field.number == 6 {
            time = field.varint()? as i64;
        }
    }
    Ok(time)
}

impl<'a> Scratch<'a> {
    /// `Metric`: label = 1, gauge = 2, counter = 3, timestamp_ms = 6, histogram = 7.
    fn metric(&mut self, kind: Kind, part: Part<'a>) -> Result<Metric<'_>, Malformed> {
        self.labels.clear();
        let (mut time, mut value) = (0, None);
        let mut fields = part.walk();
        while let Some(field) = fields.next()? {
            match (field.number, kind) {
                (1, _) => self.labels.push(field.part()?),
                (6, _) => time = field.varint()? as i64,
                (2, Kind::Gauge) | (3, Kind::Counter) | (7, Kind::Histogram) => {
                    value = Some(field.part()?);
                }
                _ => {}
            }
        }
        let reading = match (value, kind) {
            (None, _) | (_, Kind::Other) => {
                Reading::Unusable("it has no value of its family's type")
            }
            (Some(value), Kind::Histogram) => buckets(value, &mut self.bounds, &mut self.counts)?,
            (Some(value), Kind::Counter | Kind::Gauge) => Reading::Number(number(value)?),
        };
        Ok(Metric {
            labels: &self.labels,
            time,
            reading,
        })
    }
}

/// `Histogram`: sample_count = 1, sample_sum = 2, bucket = 3.
fn buckets<'s>(
    part: Part<'_>,
    bounds: &'s mut Vec<f64>,
    counts: &'s mut Vec<u64>,
) -> Result<Reading<'s>, Malformed> {
    bounds.clear();
    counts.clear();
    let (mut count, mut sum, mut too_many) = (0, 0.0, false);
    let mut fields = part.walk();
    while let Some(field) = fields.next()? {
        match field.number {
            1 => count = field.varint()?,
            2 => sum = f64::from_bits(field.fixed64()?),
            3 if bounds.len() == MAX_BUCKETS => too_many = true,
            3 => {
                let (until, bound) = bucket(field.part()?)?;
                counts.push(until);
                bounds.push(bound);
            }
            _ => {}
        }
    }
    if too_many {
        return Ok(Reading::Unusable(
            "it has more than 4096 buckets; send fewer",
        ));
    }
    if bounds.last() == Some(&f64::INFINITY) {
        bounds.pop();
        counts.pop();
    }
    let rising = bounds.windows(2).all(|w| w[0] < w[1]);
    if !rising || bounds.iter().any(|b| !b.is_finite()) {
        return Ok(Reading::Unusable("its bounds are not finite and rising"));
    }
    counts.push(count);
    let mut before = 0;
    for n in counts.iter_mut() {
        let Some(here) = n.checked_sub(before) else {
            return Ok(Reading::Unusable("its buckets are not cumulative"));
        };
        before = std::mem::replace(n, here);
    }
    Ok(Reading::Histogram {
        sum,
        bounds,
        counts,
    })
}

/// `Counter` or `Gauge`: value = 1.
fn number(part: Part<'_>) -> Result<f64, Malformed> {
    let mut number = 0.0;
    let mut fields = part.walk();
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            number = f64::from_bits(field.fixed64()?);
        }
    }
    Ok(number)
}

/// `Bucket`: cumulative_count = 1, upper_bound = 2.
fn bucket(part: Part<'_>) -> Result<(u64, f64), Malformed> {
    let (mut until, mut bound) = (0, 0.0);
    let mut fields = part.walk();
    while let Some(field) = fields.next()? {
        match field.number {
            1 => until = field.varint()?,
            2 => bound = f64::from_bits(field.fixed64()?),
            _ => {}
        }
    }
    Ok((until, bound))
}

/// A `LabelPair`: name = 1, value = 2.
///
/// # Errors
/// When it is none, or its text is not UTF-8.
pub fn label(part: Part<'_>) -> Result<(&str, &str), Malformed> {
    let (mut name, mut value) = ("", "");
    let mut fields = part.walk();
    while let Some(field) = fields.next()? {
        match field.number {
            1 => name = field.part()?.text()?,
            2 => value = field.part()?.text()?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// Who sends: `Identifier.node` = 1, of which id = 1, cluster = 2, metadata = 3.
///
/// # Errors
/// When it is no identifier, or a text in it is not UTF-8.
pub fn node(identifier: Part<'_>) -> Result<Node, Malformed> {
    let mut node = Node::default();
    let mut outer = identifier.walk();
    while let Some(field) = outer.next()? {
        if field.number != 1 {
            continue;
        }
        let mut fields = field.part()?.walk();
        while let Some(field) = fields.next()? {
            match field.number {
                1 => field.part()?.text()?.clone_into(&mut node.id),
                2 => field.part()?.text()?.clone_into(&mut node.cluster),
                3 => metadata(field.part()?, &mut node.metadata)?,
                _ => {}
            }
        }
    }
    Ok(node)
}

/// `google.protobuf.Struct`: a map = 1 of key = 1 and value = 2, whose text is 3.
fn metadata(part: Part<'_>, to: &mut Vec<(String, String)>) -> Result<(), Malformed> {
    let mut entries = part.walk();
    while let Some(entry) = entries.next()? {
        if entry.number != 1 {
            continue;
        }
        let (mut key, mut text) = ("", None);
        let mut fields = entry.part()?.walk();
        while let Some(field) = fields.next()? {
            match field.number {
                1 => key = field.part()?.text()?,
                2 => {
                    let mut value = field.part()?.walk();
                    while let Some(field) = value.next()? {
                        if let (3, Value::Part(part)) = (field.number, field.value) {
                            text = Some(part.text()?);
                        }
                    }
                }
                _ => {}
            }
        }
        to.extend(text.map(|text| (key.to_owned(), text.to_owned())));
    }
    Ok(())
}
