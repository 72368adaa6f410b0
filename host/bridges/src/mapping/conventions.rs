//! OpenTelemetry's semantic conventions, and their names in Prometheus.
//!
//! What a server measures of its requests feeds three signals at once: how many, how many failed,
//! how long. An api is a service's route, `SERVICE/METHOD/ROUTE` (or `SERVICE/RPC-SERVICE/METHOD`);
//! where there is no route it is the service. What is measured of a process or container is the
//! service's, since nobody measures the CPU of a route. With [`Granularity::Service`] requests are
//! added up per service too, so that demand learns what one of them costs.
//!
//! What failed is the *server's* fault: HTTP 5xx, or gRPC's codes that the convention calls errors of
//! a server; a 404 is an answer. Where no status is told, `error.type` says it.
//!
//! Of clients' metrics (`http.client.…`) nothing is taken: the same request is in its server's.
//!
//! Source: opentelemetry.io, "Semantic conventions for HTTP metrics", "… RPC metrics", "… system,
//! process, container and Kubernetes metrics".

use super::{Basis, Draft, How, Shape, Stream, Verdict, how, name_of};
use tidegate_core::units::Signal;

/// What an api is where nobody says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Granularity {
    /// A route of a service.
    #[default]
    Route,
    /// A service.
    Service,
}

/// What a metric tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Http,
    Rpc,
    Use(Signal),
}

/// A metric of the conventions.
struct Known {
    name: &'static str,
    /// Its name in Prometheus, without `_count` and the like.
    prometheus: &'static str,
    about: About,
    /// Metrics of the same group tell of the same thing, and none is a part of another.
    group: &'static str,
    /// What it is in where its sender does not say.
    unit: &'static str,
}

const fn known(
    name: &'static str,
    prometheus: &'static str,
    about: About,
    group: &'static str,
    unit: &'static str,
) -> Known {
    Known {
        name,
        prometheus,
        about,
        group,
        unit,
    }
}

#[rustfmt::skip] // a table is read by column
const KNOWN: [Known; 25] = [
    known("http.server.request.duration", "http_server_request_duration_seconds", About::Http, "http", "s"),
    known("http.server.duration", "http_server_duration_milliseconds", About::Http, "http", "ms"),
    known("rpc.server.call.duration", "rpc_server_call_duration_seconds", About::Rpc, "rpc", "s"),
    known("rpc.server.duration", "rpc_server_duration_milliseconds", About::Rpc, "rpc", "ms"),
    known("process.cpu.time", "process_cpu_time_seconds_total", About::Use(Signal::Cpu), "process", "s"),
    known("", "process_cpu_seconds_total", About::Use(Signal::Cpu), "process", "s"),
    known("container.cpu.time", "container_cpu_time_seconds_total", About::Use(Signal::Cpu), "container", "s"),
    known("container.cpu.usage", "container_cpu_usage", About::Use(Signal::Cpu), "container", "{cpu}"),
    known("k8s.pod.cpu.time", "k8s_pod_cpu_time_seconds_total", About::Use(Signal::Cpu), "pod", "s"),
    known("k8s.pod.cpu.usage", "k8s_pod_cpu_usage", About::Use(Signal::Cpu), "pod", "{cpu}"),
    known("process.memory.usage", "process_memory_usage_bytes", About::Use(Signal::Memory), "process", "By"),
    known("", "process_resident_memory_bytes", About::Use(Signal::Memory), "process", "By"),
    known("container.memory.working_set", "", About::Use(Signal::Memory), "container", "By"),
    known("container.memory.usage", "", About::Use(Signal::Memory), "container", "By"),
    known("container.memory.usage.total", "", About::Use(Signal::Memory), "container", "By"),
    known("k8s.pod.memory.working_set", "k8s_pod_memory_working_set_bytes", About::Use(Signal::Memory), "pod", "By"),
    known("k8s.pod.memory.usage", "k8s_pod_memory_usage_bytes", About::Use(Signal::Memory), "pod", "By"),
    known("process.network.io", "process_network_io_bytes_total", About::Use(Signal::Network), "process", "By"),
    known("container.network.io", "container_network_io_bytes_total", About::Use(Signal::Network), "container", "By"),
    known("k8s.pod.network.io", "k8s_pod_network_io_bytes_total", About::Use(Signal::Network), "pod", "By"),
    known("process.network.io", "process_network_receive_bytes_total", About::Use(Signal::Network), "process", "By"),
    known("process.network.io", "process_network_transmit_bytes_total", About::Use(Signal::Network), "process", "By"),
    known("process.disk.operations", "process_disk_operations_total", About::Use(Signal::Io), "process", "{operation}"),
    known("container.disk.operations", "container_disk_operations_total", About::Use(Signal::Io), "container", "{operation}"),
    known("container.blockio.io_serviced_recursive", "container_blockio_io_serviced_recursive_total", About::Use(Signal::Io), "container", "{operation}"),
];

fn find(name: &str) -> Option<&'static Known> {
    if name.is_empty() {
        return None;
    }
    let bare = ["_count", "_sum", "_bucket"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .filter(|bare| !bare.is_empty());
    KNOWN
        .iter()
        .find(|k| k.name == name || k.prometheus == name || bare.is_some_and(|b| k.prometheus == b))
}

/// Whether a metric is one of the conventions.
#[must_use]
pub fn knows(name: &str) -> bool {
    find(name).is_some()
}

/// What a unit is in the signal's own; `None` where it is not of that kind.
#[must_use]
pub fn factor(unit: &str) -> Option<f64> {
    // An annotation in braces says what is counted and has no size.
    if unit.starts_with('{') && unit.ends_with('}') {
        return Some(1.0);
    }
    Some(match unit {
        "" | "1" | "s" | "By" | "seconds" | "bytes" => 1.0,
        "ms" | "milliseconds" => 1e-3,
        "us" | "microseconds" => 1e-6,
        "ns" | "nanoseconds" => 1e-9,
        "min" => 60.0,
        "h" => 3600.0,
        "kBy" => 1e3,
        "MBy" => 1e6,
        "GBy" => 1e9,
        "KiBy" => 1024.0,
        "MiBy" => 1_048_576.0,
        "GiBy" => 1_073_741_824.0,
        _ => return None,
    })
}

/// What a server's status says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Fine(String),
    Failed(String),
}

const HTTP_STATUS: [&str; 2] = ["http.response.status_code", "http.status_code"];
const RPC_STATUS: [&str; 2] = ["rpc.response.status_code", "rpc.grpc.status_code"];
/// gRPC's codes that are a server's errors, by number and by name.
const RPC_FAILED: [(&str, &str); 6] = [
    ("2", "UNKNOWN"),
    ("4", "DEADLINE_EXCEEDED"),
    ("12", "UNIMPLEMENTED"),
    ("13", "INTERNAL"),
    ("14", "UNAVAILABLE"),
    ("15", "DATA_LOSS"),
];

fn outcome(stream: &Stream<'_>, about: About) -> Outcome {
    let labels = stream.labels;
    let status = match about {
        About::Http => labels.first(&HTTP_STATUS),
        About::Rpc => labels.first(&RPC_STATUS),
        About::Use(_) => None,
    };
    if let Some((label, code)) = status {
        let failed = if about == About::Http {
            code.len() == 3 && code.starts_with('5')
        } else {
            RPC_FAILED
                .iter()
                .any(|(number, name)| code == *number || code.eq_ignore_ascii_case(name))
        };
        return if failed {
            Outcome::Failed(format!("`{label}` is {code}, so they count as errors too"))
        } else {
            Outcome::Fine(format!(
                "`{label}` is {code}, which is no error of the server"
            ))
        };
    }
    match labels.get("error.type") {
        Some(kind) => Outcome::Failed(format!(
            "`error.type` is {kind}, so they count as errors too"
        )),
        None => Outcome::Fine("no status is told, so none of them is an error".into()),
    }
}

pub(super) fn draft(granularity: Granularity, stream: &Stream<'_>) -> Result<Draft, Verdict> {
    let Some(known) = find(stream.name) else {
        return Err(Verdict::PassedOver(format!(
            "no rule matches it, and `{}` is no metric of the semantic conventions that tells of requests or resources",
            stream.name
        )));
    };
    let labels = stream.labels;
    let mut why = vec![];
    let Some((by, service)) = labels.first(&["service.name", "job"]) else {
        let problem = format!(
            "`{}` has neither `service.name` nor `job`, so it is not known whose it is; set `service.name`, or write a rule with `api:`",
            stream.name
        );
        // A node's collector reports every process and pod that it sees; that is no mistake.
        return Err(match known.about {
            About::Use(_) => Verdict::PassedOver(problem),
            About::Http | About::Rpc => Verdict::Refused(problem),
        });
    };
    why.push(format!("the service `{service}` stands in `{by}`"));
    let unit = if stream.unit.is_empty() {
        known.unit
    } else {
        stream.unit
    };
    let Some(factor) = factor(unit) else {
        return Err(Verdict::Refused(format!(
            "its unit `{unit}` is not known here; write a rule with `scale:`"
        )));
    };
    if (factor - 1.0).abs() > 1e-12 {
        why.push(format!(
            "its unit is `{unit}`, so values are multiplied by {factor}"
        ));
    }
    let (feeds, api) = match known.about {
        About::Use(signal) => {
            let way = how(stream.shape, signal).map_err(Verdict::Refused)?;
            why.push(format!("`{}` tells of {}", stream.name, signal.name()));
            (vec![(signal, way)], name_of([service].into_iter()))
        }
        about => (
            requests(stream, known, about, &mut why)?,
            api(granularity, stream, about, service, &mut why),
        ),
    };
    Ok(Draft {
        api,
        feeds,
        factor,
        basis: Basis {
            group: known.group.into(),
            metric: basis(known, stream),
        },
        why,
    })
}

/// What of one instance counts by itself: a service that is scraped with native histograms often has
/// the classic ones too.
fn basis(known: &Known, stream: &Stream<'_>) -> std::sync::Arc<str> {
    if stream.shape == Shape::Histogram && stream.name == known.prometheus {
        return format!("{} as a native histogram", known.prometheus).into();
    }
    if known.name.is_empty() {
        known.prometheus.into()
    } else {
        known.name.into()
    }
}

/// What a server's durations feed.
fn requests(
    stream: &Stream<'_>,
    known: &Known,
    about: About,
    why: &mut Vec<String>,
) -> Result<Vec<(Signal, How)>, Verdict> {
    let mut feeds = vec![];
    match stream.shape {
        Shape::Histogram => {
            feeds.push((Signal::Requests, How::Count));
            feeds.push((Signal::Latency, How::Latency));
            why.push(format!(
                "`{}` is a histogram: its observations are requests, its buckets their latency",
                stream.name
            ));
        }
        Shape::Buckets => {
            feeds.push((Signal::Latency, How::Latency));
            why.push(format!(
                "`{}` has the buckets of a histogram: they are the latency of requests, which its `_count` counts",
                stream.name
            ));
            return Ok(feeds);
        }
        Shape::Counter if stream.name.ends_with("_count") => {
            feeds.push((Signal::Requests, How::Count));
            why.push(format!("`{}` counts requests", stream.name));
        }
        Shape::Counter | Shape::Level => {
            let of = if known.prometheus.is_empty() {
                known.name
            } else {
                known.prometheus
            };
            return Err(Verdict::PassedOver(format!(
                "requests are counted by `{of}_count`, and latency is read from `{of}_bucket`"
            )));
        }
    }
    match outcome(stream, about) {
        Outcome::Failed(reason) => {
            feeds.push((Signal::Errors, How::Count));
            why.push(reason);
        }
        Outcome::Fine(reason) => why.push(reason),
    }
    Ok(feeds)
}

fn api(
    granularity: Granularity,
    stream: &Stream<'_>,
    about: About,
    service: &str,
    why: &mut Vec<String>,
) -> String {
    let labels = stream.labels;
    let whole = || name_of([service].into_iter());
    if granularity == Granularity::Service {
        why.push("apis are services (`feeds.apis: service`)".into());
        return whole();
    }
    let parts = if about == About::Http {
        let method = labels.first(&["http.request.method", "http.method"]);
        labels.get("http.route").map(|route| {
            why.push("the api is the service's route (`http.route`)".into());
            vec![service, method.map_or("ANY", |(_, m)| m), route]
        })
    } else {
        labels.get("rpc.method").map(|method| {
            why.push("the api is the service's method (`rpc.method`)".into());
            match labels.get("rpc.service") {
                Some(of) => vec![service, of, method],
                None => vec![service, method],
            }
        })
    };
    match parts {
        Some(parts) => name_of(parts.into_iter()),
        None => {
            why.push("no route is told, so the api is the service".into());
            whole()
        }
    }
}
