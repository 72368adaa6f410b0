//! Any request that a sender could build: every kind of metric, with and without what may be left out, and
//! with texts and numbers from the whole of their ranges. Buckets agree with their counts, as they must.

use opentelemetry_proto::tonic as ot;
use ot::collector::metrics::v1::ExportMetricsServiceRequest as Request;
use ot::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use ot::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, exponential_histogram_data_point::Buckets, metric::Data,
    number_data_point::Value,
};
use ot::resource::v1::Resource;
use proptest::prelude::*;

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let value = prop_oneof![
        4 => ".{0,12}".prop_map(any_value::Value::StringValue),
        1 => any::<bool>().prop_map(any_value::Value::BoolValue),
        1 => any::<i64>().prop_map(any_value::Value::IntValue),
        1 => any::<f64>().prop_map(any_value::Value::DoubleValue),
        1 => prop::collection::vec(any::<u8>(), 0..5).prop_map(any_value::Value::BytesValue),
    ];
    let pair = (".{0,8}", prop::option::of(value)).prop_map(|(key, value)| KeyValue {
        key,
        value: value.map(|value| AnyValue { value: Some(value) }),
        ..Default::default()
    });
    prop::collection::vec(pair, 0..4)
}

fn instants() -> impl Strategy<Value = (u64, u64, u32)> {
    (
        any::<u64>(),
        any::<u64>(),
        prop_oneof![5 => Just(0_u32), 1 => any::<u32>()],
    )
}

fn numbers() -> impl Strategy<Value = Vec<NumberDataPoint>> {
    let value = prop_oneof![
        any::<f64>().prop_map(Value::AsDouble),
        any::<i64>().prop_map(Value::AsInt),
    ];
    let point = (
        attributes(),
        instants(),
        prop::option::of(value),
        any::<bool>(),
    )
        .prop_map(
            |(attributes, (start, time, flags), value, exemplar)| NumberDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                flags,
                value,
                exemplars: vec![Exemplar::default(); usize::from(exemplar)],
            },
        );
    prop::collection::vec(point, 0..4)
}

fn histograms() -> impl Strategy<Value = Vec<HistogramDataPoint>> {
    let buckets = prop::collection::vec(0_u64..1 << 40, 1..20);
    let point = (
        attributes(),
        instants(),
        prop::option::of(any::<f64>()),
        buckets,
    )
        .prop_map(
            |(attributes, (start, time, flags), sum, counts)| HistogramDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                flags,
                count: counts.iter().sum(),
                sum,
                explicit_bounds: (1..counts.len()).map(|i| i as f64 / 7.0).collect(),
                bucket_counts: counts,
                min: sum,
                ..Default::default()
            },
        );
    prop::collection::vec(point, 0..4)
}

fn exponentials() -> impl Strategy<Value = Vec<ExponentialHistogramDataPoint>> {
    let buckets = prop::collection::vec(0_u64..1 << 40, 0..20);
    let shape = (
        -20_i32..=40,
        any::<i32>(),
        0_u64..9,
        prop::option::of(any::<f64>()),
    );
    let point = (attributes(), instants(), shape, buckets).prop_map(
        |(attributes, (start, time, flags), (scale, offset, zero_count, sum), counts)| {
            ExponentialHistogramDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                flags,
                count: counts.iter().sum::<u64>() + zero_count,
                sum,
                scale,
                zero_count,
                positive: Some(Buckets {
                    offset,
                    bucket_counts: counts,
                }),
                negative: Some(Buckets {
                    offset: 3,
                    bucket_counts: vec![0, 0],
                }),
                ..Default::default()
            }
        },
    );
    prop::collection::vec(point, 0..4)
}

fn summaries() -> impl Strategy<Value = Vec<SummaryDataPoint>> {
    let point = (
        attributes(),
        instants(),
        any::<u64>(),
        any::<f64>().prop_map(|sum| sum + 0.0),
    )
        .prop_map(
            |(attributes, (start, time, flags), count, sum)| SummaryDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                flags,
                count,
                sum,
                ..Default::default()
            },
        );
    prop::collection::vec(point, 0..3)
}

fn metrics() -> impl Strategy<Value = Metric> {
    let data = prop_oneof![
        numbers().prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        (numbers(), 0..4_i32, any::<bool>()).prop_map(|(data_points, t, is_monotonic)| {
            Data::Sum(Sum {
                data_points,
                aggregation_temporality: t,
                is_monotonic,
            })
        }),
        (histograms(), 0..3_i32).prop_map(|(data_points, t)| {
            Data::Histogram(Histogram {
                data_points,
                aggregation_temporality: t,
            })
        }),
        (exponentials(), 0..3_i32).prop_map(|(data_points, t)| {
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points,
                aggregation_temporality: t,
            })
        }),
        summaries().prop_map(|data_points| Data::Summary(Summary { data_points })),
    ];
    ("-?[a-z.]{0,12}", ".{0,9}", ".{0,3}", prop::option::of(data)).prop_map(
        |(name, description, unit, data)| Metric {
            name,
            description,
            unit,
            data,
            ..Default::default()
        },
    )
}

pub(crate) fn requests() -> impl Strategy<Value = Request> {
    let scope = ("[a-z]{0,6}", attributes()).prop_map(|(name, attributes)| InstrumentationScope {
        name,
        attributes,
        ..Default::default()
    });
    let scoped = (
        prop::option::of(scope),
        prop::collection::vec(metrics(), 0..4),
    )
        .prop_map(|(scope, metrics)| ScopeMetrics {
            scope,
            metrics,
            schema_url: "u".into(),
        });
    let resource = attributes().prop_map(|attributes| Resource {
        attributes,
        ..Default::default()
    });
    let all = (
        prop::option::of(resource),
        prop::collection::vec(scoped, 0..3),
    )
        .prop_map(|(resource, scope_metrics)| ResourceMetrics {
            resource,
            scope_metrics,
            schema_url: "v".into(),
        });
    let all = prop::collection::vec(all, 0..3);
    all.prop_map(|resource_metrics| Request { resource_metrics })
}
