//! What a point costs before it is stored: `cargo run --release -p tidegate-bridges --example decode`.
//!
//! Bodies of 10,000 points with seven labels, like a gateway's; points per CPU second of this
//! process, from `/proc/self/stat`, as the machine is shared. Three figures each: the walk alone
//! (every point and attribute is looked at, none is kept), the same message by the generated types, and
//! the walk into a map of names (what finding a stream costs is in the daemon's figures).
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use opentelemetry_proto::tonic as ot;
use ot::collector::metrics::v1::ExportMetricsServiceRequest as Request;
use ot::common::v1::{AnyValue, KeyValue, any_value};
use ot::metrics::v1::{
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
};
use prost::Message as _;
use tidegate_bridges::otlp::{self, Point, Reading, Sink, Wanted};
use tidegate_bridges::remote_write::{self, Version};
use tidegate_bridges::wire::Part;

const POINTS: u64 = 10_000;
const ROUNDS: u64 = 300;

/// CPU seconds of this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok());
    ticks(11)
        .zip(ticks(12))
        .map_or(0.0, |(user, system)| (user + system) / 100.0)
}

fn labels(api: u64) -> Vec<(&'static str, String)> {
    vec![
        ("cluster", format!("eu-west-{}", api % 3)),
        (
            "instance",
            format!("10.0.{}.{}:9090", (api / 200) % 256, api % 200),
        ),
        ("job", "api-gateway".into()),
        (
            "method",
            ["GET", "POST", "PUT", "DELETE"][(api % 4) as usize].into(),
        ),
        (
            "route",
            format!("/v1/tenant/{}/resource/{}", api / 50, api % 50),
        ),
        (
            "status",
            ["200", "200", "404", "500"][(api / 4 % 4) as usize].into(),
        ),
    ]
}

fn otlp_body() -> Vec<u8> {
    let pair = |(key, value): (&str, String)| KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value)),
        }),
        ..Default::default()
    };
    let point = |api: u64| NumberDataPoint {
        attributes: labels(api).into_iter().map(pair).collect(),
        start_time_unix_nano: 1_700_000_000_000_000_000,
        time_unix_nano: 1_700_000_100_000_000_000 + api,
        value: Some(number_data_point::Value::AsDouble(api as f64)),
        ..Default::default()
    };
    let sum = Sum {
        data_points: (0..POINTS).map(point).collect(),
        aggregation_temporality: 2,
        is_monotonic: true,
    };
    let metric = Metric {
        name: "requests".into(),
        data: Some(Data::Sum(sum)),
        ..Default::default()
    };
    let scope_metrics = vec![ScopeMetrics {
        metrics: vec![metric],
        ..Default::default()
    }];
    let resource_metrics = vec![ResourceMetrics {
        scope_metrics,
        ..Default::default()
    }];
    Request { resource_metrics }.encode_to_vec()
}

fn put(to: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    to.push(field << 3 | 2);
    prost::encoding::encode_varint(bytes.len() as u64, to);
    to.extend_from_slice(bytes);
}

fn write_body() -> Vec<u8> {
    let mut body = vec![];
    for api in 0..POINTS {
        let mut series = vec![];
        let all = [("__name__", "requests_total".to_owned())]
            .into_iter()
            .chain(labels(api));
        for (name, value) in all {
            let mut label = vec![];
            put(&mut label, 1, name.as_bytes());
            put(&mut label, 2, value.as_bytes());
            put(&mut series, 1, &label);
        }
        let mut sample = vec![0x09];
        sample.extend_from_slice(&(api as f64).to_le_bytes());
        sample.push(0x10);
        prost::encoding::encode_varint(1_700_000_000_000, &mut sample);
        put(&mut series, 2, &sample);
        put(&mut body, 1, &series);
    }
    snap::raw::Encoder::new()
        .compress_vec(&body)
        .unwrap_or_default()
}

/// Looks at everything and keeps a sum, so that nothing is left out.
#[derive(Default)]
struct Look {
    points: u64,
    sum: f64,
    bytes: usize,
}

impl Sink for Look {
    fn resource(&mut self, _: Part<'_>) {}
    fn scope(&mut self, _: Part<'_>) {}
    fn metric(&mut self, _: &otlp::Metric<'_>) -> Wanted {
        Wanted::Points
    }
    fn point(&mut self, point: &Point<'_>) {
        self.points += 1;
        self.bytes += point
            .attributes
            .iter()
            .map(|a| a.bytes.len())
            .sum::<usize>();
        if let Reading::Number(n) = point.reading {
            self.sum += n;
        }
    }
    fn passed_over(&mut self, _: u64) {}
}

impl remote_write::Sink for Look {
    fn series(&mut self, series: &remote_write::Series<'_>) {
        self.points += series.samples.len() as u64;
        self.bytes += series.name.len();
    }
    fn unusable(&mut self, _: u64, _: &'static str) {}
}

fn measure(what: &str, mut round: impl FnMut() -> u64) {
    round();
    let began = cpu();
    let points: u64 = (0..ROUNDS).map(|_| round()).sum();
    let took = cpu() - began;
    println!(
        "{what:<40} {:>6.2} M points per CPU second",
        points as f64 / took / 1e6
    );
}

fn main() {
    let (otlp, write) = (otlp_body(), write_body());
    println!(
        "{} bytes a point of OTLP, {} of remote write",
        otlp.len() as u64 / POINTS,
        write.len() as u64 / POINTS
    );
    measure("OTLP, the walk", || {
        let mut look = Look::default();
        let walked = otlp::walk(&otlp, &mut look);
        if walked.is_ok() { look.points } else { 0 }
    });
    measure("OTLP, generated types", || {
        let request = Request::decode(&otlp[..]);
        request.map_or(0, |r| {
            if r.resource_metrics.is_empty() {
                0
            } else {
                POINTS
            }
        })
    });
    measure("remote write, unpacked and walked", || {
        let mut look = Look::default();
        let body = snap::raw::Decoder::new()
            .decompress_vec(&write)
            .unwrap_or_default();
        let walked = remote_write::walk(&body, Version::One, &mut look);
        if walked.is_ok() { look.points } else { 0 }
    });
}
