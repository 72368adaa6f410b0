//! OTLP requests in few words: what a test says is the metric, its labels and its value, and everything that
//! the protocol wants around it is filled in here.

use opentelemetry_proto::tonic as ot;
use ot::collector::metrics::v1::ExportMetricsServiceRequest;
use ot::common::v1::{AnyValue, KeyValue, any_value};
use ot::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exponential_histogram_data_point::Buckets,
    metric::Data, number_data_point::Value,
};
use ot::resource::v1::Resource;
use prost::Message as _;

pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

#[derive(Debug, Default)]
pub(crate) struct Request(ExportMetricsServiceRequest);

fn attributes(labels: Labels<'_>) -> Vec<KeyValue> {
    let pair = |(key, value): &(&str, &str)| KeyValue {
        key: (*key).into(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue((*value).into())),
        }),
        ..Default::default()
    };
    labels.iter().map(pair).collect()
}

const NS: u64 = 1_000_000_000;

impl Request {
    fn metric(&mut self, resource: Labels<'_>, name: &str, unit: &str, data: Data) {
        let metric = Metric {
            name: name.into(),
            unit: unit.into(),
            data: Some(data),
            ..Default::default()
        };
        self.0.resource_metrics.push(ResourceMetrics {
            resource: Some(Resource {
                attributes: attributes(resource),
                ..Default::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![metric],
                ..Default::default()
            }],
            ..Default::default()
        });
    }

    /// A cumulative counter in seconds; `(start, time)` in seconds, a start of 0 is unknown.
    pub(crate) fn counter(
        &mut self,
        resource: Labels<'_>,
        name: &str,
        labels: Labels<'_>,
        (start, time): (u64, u64),
        value: f64,
    ) {
        self.counter_from(resource, name, labels, start * NS, time, value);
    }

    /// Likewise, with a start as it stands on the wire.
    pub(crate) fn counter_from(
        &mut self,
        resource: Labels<'_>,
        name: &str,
        labels: Labels<'_>,
        start: u64,
        time: u64,
        value: f64,
    ) {
        let point = NumberDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: start,
            time_unix_nano: time * NS,
            value: Some(Value::AsDouble(value)),
            ..Default::default()
        };
        let sum = Sum {
            data_points: vec![point],
            aggregation_temporality: 2,
            is_monotonic: true,
        };
        self.metric(resource, name, "s", Data::Sum(sum));
    }

    /// A cumulative histogram in seconds: `(upper bound, count)`, with nothing above the last.
    pub(crate) fn histogram(
        &mut self,
        resource: Labels<'_>,
        name: &str,
        labels: Labels<'_>,
        (start, time): (u64, u64),
        buckets: &[(f64, u64)],
    ) {
        let counts = buckets.iter().map(|(_, n)| *n).chain([0]);
        let point = HistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: start * NS,
            time_unix_nano: time * NS,
            count: buckets.iter().map(|(_, n)| n).sum(),
            sum: Some(buckets.iter().map(|(b, n)| b * *n as f64).sum()),
            explicit_bounds: buckets.iter().map(|(b, _)| *b).collect(),
            bucket_counts: counts.collect(),
            ..Default::default()
        };
        let histogram = Histogram {
            data_points: vec![point],
            aggregation_temporality: 2,
        };
        self.metric(resource, name, "s", Data::Histogram(histogram));
    }

    /// A cumulative exponential histogram in seconds, of `n` observations between 1 and 2 s.
    pub(crate) fn exponential(
        &mut self,
        resource: Labels<'_>,
        name: &str,
        labels: Labels<'_>,
        (start, time): (u64, u64),
        n: u64,
    ) {
        let point = ExponentialHistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: start * NS,
            time_unix_nano: time * NS,
            count: n,
            sum: Some(1.5 * n as f64),
            positive: Some(Buckets {
                offset: 0,
                bucket_counts: vec![n],
            }),
            ..Default::default()
        };
        let histogram = ExponentialHistogram {
            data_points: vec![point],
            aggregation_temporality: 2,
        };
        self.metric(resource, name, "s", Data::ExponentialHistogram(histogram));
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }

    /// In JSON, which another seed writes otherwise.
    pub(crate) fn json(&self, seed: u64) -> Vec<u8> {
        super::json::of(&self.0, seed).into_bytes()
    }
}
