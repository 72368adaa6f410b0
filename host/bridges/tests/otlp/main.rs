//! The walk holds against the generated types: same messages, same points; no bytes upset it.

mod any;
mod json;

use any::requests;
use opentelemetry_proto::tonic as ot;
use ot::collector::metrics::v1::ExportMetricsServiceRequest as Request;
use ot::common::v1::{AnyValue, KeyValue, any_value};
use ot::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
    metric::Data, number_data_point::Value,
};
use proptest::prelude::*;
use prost::Message;
use tidegate_bridges::otlp::{self, Kind, Point, Reading, Sink, Temporality, Wanted};
use tidegate_bridges::wire::Part;

/// What a listener hears, in owned form.
#[derive(Debug, Default, PartialEq)]
struct Heard(Vec<String>);

impl Sink for Heard {
    fn resource(&mut self, resource: Part<'_>) {
        let attributes = otlp::resource_attributes(resource).expect("a resource");
        let told = attributes.iter().map(|(k, v)| format!("{k}={v}"));
        self.0
            .push(format!("resource {:?}", told.collect::<Vec<_>>()));
    }

    fn scope(&mut self, scope: Part<'_>) {
        self.0.push(format!("scope {:?}", scope.bytes));
    }

    fn metric(&mut self, metric: &otlp::Metric<'_>) -> Wanted {
        self.0.push(format!("metric {metric:?}"));
        if metric.name.starts_with('-') {
            Wanted::Nothing
        } else {
            Wanted::Points
        }
    }

    fn point(&mut self, point: &Point<'_>) {
        let told = point.attributes.iter().map(|part| {
            let (key, value) = otlp::key_value(*part).expect("an attribute");
            format!("{key}={value}")
        });
        let told: Vec<_> = told.collect();
        self.0.push(format!(
            "point {told:?} {} {} {:?}",
            point.start, point.time, point.reading
        ));
    }

    fn passed_over(&mut self, points: u64) {
        self.0.push(format!("passed over {points}"));
    }
}

/// The same, told from the generated types.
fn expected(request: &Request) -> Heard {
    let mut heard = vec![];
    for rm in &request.resource_metrics {
        let attributes = rm.resource.as_ref().map(|r| r.attributes.clone());
        heard.push(format!(
            "resource {:?}",
            show(&attributes.unwrap_or_default())
        ));
        for sm in &rm.scope_metrics {
            let scope = sm.scope.as_ref().map(Message::encode_to_vec);
            heard.push(format!("scope {:?}", scope.unwrap_or_default()));
            for metric in &sm.metrics {
                tell(metric, &mut heard);
            }
        }
    }
    Heard(heard)
}

fn show(attributes: &[KeyValue]) -> Vec<String> {
    let value = |v: &Option<AnyValue>| match v.as_ref().and_then(|v| v.value.as_ref()) {
        Some(any_value::Value::StringValue(s)) => s.clone(),
        Some(any_value::Value::BoolValue(b)) => b.to_string(),
        Some(any_value::Value::IntValue(i)) => i.to_string(),
        Some(any_value::Value::DoubleValue(d)) => d.to_string(),
        _ => {
            let bytes = v.as_ref().map(Message::encode_to_vec).unwrap_or_default();
            bytes.iter().map(|b| format!("{b:02x}")).collect()
        }
    };
    let all = attributes
        .iter()
        .map(|a| format!("{}={}", a.key, value(&a.value)));
    all.collect()
}

fn temporality(number: i32) -> Temporality {
    match number {
        1 => Temporality::Delta,
        2 => Temporality::Cumulative,
        _ => Temporality::Unspecified,
    }
}

fn tell(metric: &Metric, heard: &mut Vec<String>) {
    let Some(data) = &metric.data else { return };
    let mut points = vec![];
    let mut point =
        |attributes: &[KeyValue], start: u64, time: u64, flags: u32, reading: Reading<'_>| {
            let reading = if flags & 1 == 1 {
                Reading::Ended
            } else {
                reading
            };
            points.push(format!(
                "point {:?} {start} {time} {reading:?}",
                show(attributes)
            ));
        };
    let number = |p: &NumberDataPoint| match p.value {
        Some(Value::AsDouble(v)) => Reading::Number(v),
        Some(Value::AsInt(v)) => Reading::Number(v as f64),
        None => Reading::Unusable("it has no value"),
    };
    let kind = match data {
        Data::Gauge(gauge) => {
            for p in &gauge.data_points {
                point(
                    &p.attributes,
                    p.start_time_unix_nano,
                    p.time_unix_nano,
                    p.flags,
                    number(p),
                );
            }
            Kind::Gauge
        }
        Data::Sum(sum) => {
            for p in &sum.data_points {
                point(
                    &p.attributes,
                    p.start_time_unix_nano,
                    p.time_unix_nano,
                    p.flags,
                    number(p),
                );
            }
            let counted = temporality(sum.aggregation_temporality);
            if sum.is_monotonic {
                Kind::Counter(counted)
            } else {
                Kind::UpDown(counted)
            }
        }
        Data::Histogram(histogram) => {
            for p in &histogram.data_points {
                let reading = Reading::Explicit {
                    count: p.count,
                    sum: p.sum,
                    bounds: &p.explicit_bounds,
                    counts: &p.bucket_counts,
                };
                point(
                    &p.attributes,
                    p.start_time_unix_nano,
                    p.time_unix_nano,
                    p.flags,
                    reading,
                );
            }
            Kind::Histogram(temporality(histogram.aggregation_temporality))
        }
        Data::ExponentialHistogram(histogram) => {
            for p in &histogram.data_points {
                let buckets = p.positive.clone().unwrap_or_default();
                let reading = Reading::Exponential {
                    count: p.count,
                    sum: p.sum,
                    scale: p.scale,
                    zero: p.zero_count,
                    offset: buckets.offset,
                    counts: &buckets.bucket_counts,
                };
                point(
                    &p.attributes,
                    p.start_time_unix_nano,
                    p.time_unix_nano,
                    p.flags,
                    reading,
                );
            }
            Kind::Exponential(temporality(histogram.aggregation_temporality))
        }
        Data::Summary(summary) => {
            for p in &summary.data_points {
                let reading = Reading::Summary {
                    count: p.count,
                    sum: p.sum,
                };
                point(
                    &p.attributes,
                    p.start_time_unix_nano,
                    p.time_unix_nano,
                    p.flags,
                    reading,
                );
            }
            Kind::Summary
        }
    };
    let told = otlp::Metric {
        name: &metric.name,
        unit: &metric.unit,
        kind,
    };
    heard.push(format!("metric {told:?}"));
    if !metric.name.starts_with('-') {
        heard.append(&mut points);
    } else if !points.is_empty() {
        heard.push(format!("passed over {}", points.len()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_request_is_heard_as_it_was_meant(request in requests()) {
        let mut heard = Heard::default();
        otlp::walk(&request.encode_to_vec(), &mut heard).unwrap();
        prop_assert_eq!(heard, expected(&request));
    }

    #[test]
    fn a_request_in_json_is_the_one_in_protobuf(request in requests(), seed: u64) {
        let text = json::of(&request, seed);
        let body = otlp::json::protobuf(text.as_bytes(), 1 << 20).unwrap();
        let mut heard = Heard::default();
        otlp::walk(&body, &mut heard).unwrap();
        prop_assert_eq!(heard, expected(&request), "{}", text);
    }

    #[test]
    fn damaged_json_is_refused_or_heard_and_never_a_panic(
        request in requests(), seed: u64, at in any::<prop::sample::Index>(), with: u8, cut in any::<prop::sample::Index>(),
    ) {
        let mut text = json::of(&request, seed).into_bytes();
        let cut = cut.index(text.len());
        prop_assert!(otlp::json::protobuf(&text[..cut], 1 << 20).is_err());
        let at = at.index(text.len());
        text[at] = with;
        match otlp::json::protobuf(&text, 1 << 20) {
            Ok(body) => { let _ = otlp::walk(&body, &mut Heard::default()); }
            Err(otlp::json::Problem::Malformed(error)) => prop_assert!(error.at <= text.len()),
            Err(otlp::json::Problem::TooLarge(_)) => prop_assert!(false, "it is small"),
        }
    }

    #[test]
    fn a_damaged_request_is_refused_or_heard_and_never_a_panic(
        request in requests(), at in any::<prop::sample::Index>(), with: u8, cut in any::<prop::sample::Index>(),
    ) {
        struct Deaf;
        impl Sink for Deaf {
            fn resource(&mut self, resource: Part<'_>) { let _ = otlp::resource_attributes(resource); }
            fn scope(&mut self, _: Part<'_>) {}
            fn metric(&mut self, _: &otlp::Metric<'_>) -> Wanted { Wanted::Points }
            fn point(&mut self, point: &Point<'_>) {
                assert!(point.attributes.iter().filter(|a| otlp::key_value(**a).is_ok()).count() < 1 << 20);
            }
            fn passed_over(&mut self, _: u64) {}
        }
        let mut bytes = request.encode_to_vec();
        if bytes.is_empty() { return Ok(()); }
        let at = at.index(bytes.len());
        bytes[at] = with;
        if let Err(error) = otlp::walk(&bytes, &mut Deaf) {
            prop_assert!(error.at <= bytes.len());
        }
        let _ = otlp::walk(&bytes[..cut.index(bytes.len())], &mut Deaf);
    }
}

fn one(metric: Metric) -> Vec<u8> {
    let scope_metrics = vec![ScopeMetrics {
        metrics: vec![metric],
        ..Default::default()
    }];
    Request {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics,
            ..Default::default()
        }],
    }
    .encode_to_vec()
}

#[test]
fn a_point_that_does_not_hold_together_is_told_and_its_neighbours_are_read() {
    let good = HistogramDataPoint {
        count: 3,
        explicit_bounds: vec![1.0],
        bucket_counts: vec![1, 2],
        ..Default::default()
    };
    let bad = |change: fn(&mut HistogramDataPoint)| {
        let mut point = good.clone();
        change(&mut point);
        point
    };
    let data_points = vec![
        bad(|p| p.count = 4),
        bad(|p| p.explicit_bounds = vec![f64::NAN]),
        bad(|p| p.explicit_bounds = vec![2.0, 1.0]),
        bad(|p| p.bucket_counts = vec![3]),
        bad(|p| p.bucket_counts = vec![0; 5000]),
        good.clone(),
    ];
    let histogram = Histogram {
        data_points,
        aggregation_temporality: 2,
    };
    let mut heard = Heard::default();
    let body = one(Metric {
        data: Some(Data::Histogram(histogram)),
        ..Default::default()
    });
    otlp::walk(&body, &mut heard).unwrap();
    let points: Vec<_> = heard.0.iter().filter(|h| h.starts_with("point")).collect();
    for (point, part) in
        points
            .iter()
            .zip(["add up", "rising", "rising", "one bucket more", "4096"])
    {
        assert!(
            point.contains("Unusable") && point.contains(part),
            "{point}"
        );
    }
    assert!(points.len() == 6 && points[5].contains("counts: [1, 2]"));
}

#[test]
fn bytes_that_are_no_request_are_refused_with_their_offset() {
    let mut heard = Heard::default();
    let mut body = one(Metric {
        name: "x".into(),
        data: Some(Data::Gauge(Gauge::default())),
        ..Default::default()
    });
    let name = body.iter().position(|b| *b == b'x').unwrap();
    body[name] = 0xff;
    let error = otlp::walk(&body, &mut heard).unwrap_err();
    assert_eq!((error.at, error.what), (name, "this text is not UTF-8"));
    let error = otlp::walk(&[0x0a, 9, 1], &mut heard).unwrap_err();
    assert_eq!(
        error.to_string(),
        "byte 2: a length reaches beyond the end of its message"
    );
}
