//! Damages bodies at random and has every decoder read them: `cargo run --release -p tidegate-bridges
//! --features fuzzing --example fuzz [CPU-SECONDS] [SEED]`.
//!
//! What reads them, and what a finding is, are those of the fuzz targets (`tidegate_bridges::fuzzing`).
//! Not guided by coverage, and so it runs on the stable toolchain, anywhere; what it lacks in guidance it
//! has in mutations that know the wire: lengths, keys and varints are changed as such, and pieces of
//! one body are put into another. A panic ends it with the seed that leads there. Bodies that are
//! whole must be read as they were, so that a decoder that refuses everything is noticed.
#![expect(clippy::print_stdout, reason = "it says what it has done")]

use opentelemetry_proto::tonic as ot;
use ot::collector::metrics::v1::ExportMetricsServiceRequest as Request;
use ot::common::v1::{AnyValue, KeyValue, any_value};
use ot::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point::Value,
};
use prost::Message as _;
use tidegate_bridges::fuzzing::FORMS;
use tidegate_bridges::remote_write::Version;

/// xorshift64*: the same seed, the same damage.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

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

fn attributes() -> Vec<KeyValue> {
    let value = |v| Some(AnyValue { value: Some(v) });
    let pair = |key: &str, v| KeyValue {
        key: key.into(),
        value: value(v),
        ..Default::default()
    };
    vec![
        pair(
            "http.route",
            any_value::Value::StringValue("/cards/{id}".into()),
        ),
        pair("http.response.status_code", any_value::Value::IntValue(503)),
        pair("x", any_value::Value::BytesValue(vec![1, 2, 3])),
    ]
}

/// One request with a metric of each kind.
fn otlp_body() -> Vec<u8> {
    let number = NumberDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        value: Some(Value::AsDouble(4.0)),
        ..Default::default()
    };
    let explicit = HistogramDataPoint {
        attributes: attributes(),
        count: 6,
        sum: Some(3.0),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.1, 0.5],
        ..Default::default()
    };
    let exponential = ExponentialHistogramDataPoint {
        attributes: attributes(),
        count: 4,
        scale: 3,
        zero_count: 1,
        positive: Some(Buckets {
            offset: -9,
            bucket_counts: vec![1, 0, 2],
        }),
        ..Default::default()
    };
    let all = [
        Data::Gauge(Gauge {
            data_points: vec![number.clone()],
        }),
        Data::Sum(Sum {
            data_points: vec![number],
            aggregation_temporality: 2,
            is_monotonic: true,
        }),
        Data::Histogram(Histogram {
            data_points: vec![explicit],
            aggregation_temporality: 1,
        }),
        Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![exponential],
            aggregation_temporality: 2,
        }),
    ];
    let metrics = all.into_iter().map(|data| Metric {
        name: "m".into(),
        unit: "s".into(),
        data: Some(data),
        ..Default::default()
    });
    let scope_metrics = vec![ScopeMetrics {
        metrics: metrics.collect(),
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

/// A remote write of either form: two labels, two samples.
fn write_body(version: Version) -> Vec<u8> {
    let sample = [0x12, 11, 0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 5];
    let (labels, table): (&[u8], &[u8]) = match version {
        Version::One => (
            &[
                0x0a, 6, 0x0a, 1, b'a', 0x12, 1, b'b', 0x0a, 6, 0x0a, 1, b'c', 0x12, 1, b'd',
            ],
            &[],
        ),
        Version::Two => (
            &[0x0a, 4, 1, 2, 3, 4],
            &[
                0x22, 0, 0x22, 1, b'a', 0x22, 1, b'b', 0x22, 1, b'c', 0x22, 1, b'd',
            ],
        ),
    };
    let series = [labels, &sample, &sample].concat();
    let key = match version {
        Version::One => 0x0a,
        Version::Two => 0x2a,
    };
    [table, &[key, series.len() as u8], &series].concat()
}

/// A message of an Envoy: who it is, a counter, a gauge and a histogram of two buckets.
fn envoy_body() -> Vec<u8> {
    let part = |key: u8, bytes: &[u8]| [&[key, bytes.len() as u8], bytes].concat();
    let one = [&[0x09][..], &1.0_f64.to_le_bytes()].concat();
    let pair = [part(0x0a, b"envoy.cluster_name"), part(0x12, b"pay")].concat();
    let labels = [part(0x0a, &pair), vec![0x30, 5]].concat();
    let metric = |value: Vec<u8>| part(0x22, &[&labels[..], &value[..]].concat());
    let bucket = |n: u8, bound: f64| {
        let bytes = [&[0x08, n, 0x11][..], &bound.to_le_bytes()].concat();
        part(0x1a, &bytes)
    };
    let histogram = [vec![0x08, 3], bucket(1, 5.0), bucket(2, 25.0)].concat();
    let family = |name: &[u8], kind: u8, value: Vec<u8>| {
        let bytes = [part(0x0a, name), vec![0x18, kind], metric(value)].concat();
        part(0x12, &bytes)
    };
    let text = part(0x1a, b"shop");
    let entry = [part(0x0a, b"tidegate.tenant"), part(0x12, &text)].concat();
    let metadata = part(0x1a, &part(0x0a, &entry));
    let node = [part(0x0a, b"a"), part(0x12, b"edge"), metadata].concat();
    [
        part(0x0a, &part(0x0a, &node)),
        family(b"cluster.upstream_rq_xx", 0, part(0x1a, &one)),
        family(b"cluster.membership_total", 1, part(0x12, &one)),
        family(b"cluster.upstream_rq_time", 4, part(0x3a, &histogram)),
    ]
    .concat()
}

/// Changes a body somewhere.
fn damage(body: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    for _ in 0..=chance.below(4) {
        let at = chance.below(body.len());
        match chance.below(8) {
            0 if !body.is_empty() => body[at] ^= 1 << chance.below(8),
            1 if !body.is_empty() => body[at] = chance.next() as u8,
            2 => body.truncate(at),
            3 if !body.is_empty() => {
                body[at] = [0, 1, 0x7f, 0x80, 0xff, 0x0b, 0x0c][chance.below(7)]
            }
            4 => body.splice(at..at, [0xff; 9]).for_each(drop),
            5 if !body.is_empty() => drop(body.remove(at)),
            6 => {
                let from = chance.below(other.len());
                let to = from + chance.below(other.len() - from);
                body.splice(at..at, other[from..to].iter().copied())
                    .for_each(drop);
            }
            _ => {
                let from = chance.below(body.len());
                let piece = body[from..(from + chance.below(32)).min(body.len())].to_vec();
                body.splice(at..at, piece).for_each(drop);
            }
        }
    }
}

/// A remote write of one native histogram: base 2, two spans, three buckets.
fn native_body(version: Version) -> Vec<u8> {
    let mut body = write_body(version);
    let histogram = [
        0x08, 7, 0x20, 0, 0x30, 1, 0x5a, 4, 0x08, 7, 0x10, 1, 0x5a, 4, 0x08, 2, 0x10, 2, 0x62, 3,
        2, 2, 2, 0x78, 5,
    ];
    let key = match version {
        Version::One => 0x22,
        Version::Two => 0x1a,
    };
    // The series is the last part of the body, and its length the byte after its key.
    let length = body.len();
    let sample = 13;
    let labels = match version {
        Version::One => 16,
        Version::Two => 6,
    };
    let at = length - labels - 2 * sample - 1;
    body[at] += histogram.len() as u8 + 2;
    body.extend([key, histogram.len() as u8]);
    body.extend(histogram);
    body
}

/// A request in JSON with a point of each form of number.
fn json_body() -> Vec<u8> {
    let points = r#"[{"timeUnixNano":"5","asInt":"-7"},{"timeUnixNano":5e0,"asDouble":"NaN"},
        {"flags":1,"asDouble":1.5,"attributes":[{"key":"a\u00e9","value":{"bytesValue":"AQI="}}]}]"#;
    format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","gauge":{{"dataPoints":{points}}}}}]}}],"x":null}}]}}"#
    )
    .into_bytes()
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().ok());
    let seconds = arguments.next().flatten().unwrap_or(10) as f64;
    let seed = arguments.next().flatten().unwrap_or(1);
    let bodies = [
        ("otlp", 4, otlp_body()),
        ("remote-write-1", 2, write_body(Version::One)),
        ("remote-write-2", 2, write_body(Version::Two)),
        ("remote-write-1", 3, native_body(Version::One)),
        ("remote-write-2", 3, native_body(Version::Two)),
        ("envoy", 3, envoy_body()),
        ("otlp-json", 3, json_body()),
    ];
    for (form, points, body) in &bodies {
        let read = FORMS.iter().find(|(name, _)| name == form);
        let told = read.and_then(|(_, read)| read(body));
        assert_eq!(told, Some(*points), "{form}");
    }
    // Every form reads everything: what is whole in one is noise in the others.
    let read = |body: &[u8]| FORMS.map(|(_, read)| read(body).is_some()).contains(&true);
    let (mut rounds, mut accepted) = (0_u64, 0_u64);
    while cpu() < seconds {
        for _ in 0..10_000 {
            let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (rounds + 1));
            chance.next();
            let mut body = bodies[chance.below(bodies.len())].2.clone();
            let other = &bodies[chance.below(bodies.len())].2;
            damage(&mut body, other, &mut chance);
            accepted += u64::from(read(&body));
            rounds += 1;
        }
    }
    println!("{rounds} damaged bodies, {accepted} of them still readable, no panic (seed {seed})");
}
