//! What Envoy counts of the requests that it passes on, by whatever protocol it tells.
//!
//! The same statistic has three spellings: with its tags as labels (`cluster.upstream_rq_xx`, by OTLP
//! and by the metrics service with `emit_tags_as_labels`), with its tags in its name
//! (`cluster.pay.upstream_rq_2xx`), and as Prometheus scrapes it (`envoy_cluster_upstream_rq_xx`).
//!
//! An api is a cluster, `CLUSTER`; and where a route has a `stat_prefix`, or a virtual host virtual
//! clusters, these are apis too, `VIRTUAL-HOST/ROUTE`. Both count the same requests from different
//! sides, so a plan takes the one or the other. Requests are counted by class of their response
//! (`upstream_rq_xx`), 5xx are errors, which holds also what Envoy answered for an upstream that it
//! could not reach; latency is `upstream_rq_time`. `cluster.external.…` and `cluster.internal.…` are
//! parts of the whole, `upstream_rq_total` counts tries before they have ended: they are passed over.
//!
//! An Envoy may tell the same by two sinks at once, and nothing in either names the other, so each way
//! is a group of its own: who tells first counts, and the other is refused.
//!
//! Source: envoyproxy.io, "Cluster manager statistics", "Router: Statistics"; names and labels as Envoy
//! 1.40 sends them.

use super::{Basis, Draft, Granularity, How, Shape, Stream, Verdict, name_of};
use std::borrow::Cow;
use tidegate_core::units::Signal;

/// Whose requests they are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Of {
    Cluster,
    Route,
    VirtualCluster,
}

/// What is told of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// How many, by class; of a name that holds the class: which.
    Class(Option<u8>),
    /// How long they took.
    Time,
}

/// A name, read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stat<'a> {
    of: Of,
    told: Told,
    /// The cluster, or the virtual host and what is within it, where the name holds them.
    named: Option<(&'a str, &'a str)>,
    prometheus: bool,
}

/// What a tail of a name tells.
fn told(tail: &str) -> Option<Told> {
    match tail {
        "xx" => Some(Told::Class(None)),
        "time" => Some(Told::Time),
        _ => {
            let class = tail.strip_suffix("xx")?.as_bytes();
            let [class @ b'1'..=b'5'] = class else {
                return None;
            };
            Some(Told::Class(Some(*class)))
        }
    }
}

/// Parts of a cluster's statistics that are counted in the whole too.
const WITHIN: [&str; 4] = ["internal", "external", "canary", "retry"];

fn read(name: &str) -> Option<Stat<'_>> {
    if let Some(rest) = name.strip_prefix("envoy_") {
        let bare = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|end| rest.strip_suffix(end));
        let (head, tail) = bare.unwrap_or(rest).split_once("_upstream_rq_")?;
        let told = told(tail).filter(|t| bare.is_none() || *t == Told::Time)?;
        let of = match head {
            "cluster" => Of::Cluster,
            "vhost_route" => Of::Route,
            "vhost_vcluster" => Of::VirtualCluster,
            _ => return None,
        };
        return Some(Stat {
            of,
            told,
            named: None,
            prometheus: true,
        });
    }
    let (head, tail) = name.rsplit_once(".upstream_rq_")?;
    let (of, named) = match head {
        "cluster" => (Of::Cluster, None),
        "vhost.route" => (Of::Route, None),
        "vhost.vcluster" => (Of::VirtualCluster, None),
        _ => {
            if let Some(cluster) = head.strip_prefix("cluster.") {
                let last = cluster.rsplit('.').next().unwrap_or(cluster);
                let zone = cluster.starts_with("zone.") || cluster.contains(".zone.");
                if WITHIN.contains(&last) || zone {
                    return None;
                }
                (Of::Cluster, Some((cluster, "")))
            } else {
                let rest = head.strip_prefix("vhost.")?;
                let of = |within: &str| rest.split_once(within);
                match (of(".route."), of(".vcluster.")) {
                    (Some(named), _) => (Of::Route, Some(named)),
                    (None, Some(named)) => (Of::VirtualCluster, Some(named)),
                    (None, None) => return None,
                }
            }
        }
    };
    Some(Stat {
        of,
        told: told(tail)?,
        named,
        prometheus: false,
    })
}

/// Whether it is one of Envoy's statistics that are of use.
pub(super) fn knows(name: &str) -> bool {
    read(name).is_some()
}

/// Whether a metric of this name counts, though by Prometheus' rules its name does not say so.
#[must_use]
pub(crate) fn counts(name: &str) -> bool {
    read(name).is_some_and(|stat| stat.prometheus && matches!(stat.told, Told::Class(_)))
}

/// The label that only the metrics service's streams have; see `feed`.
pub(crate) const NODE: &str = "envoy.node.id";

/// What one of Envoy's statistics is; `None` where it is none.
pub(super) fn draft(
    granularity: Granularity,
    stream: &Stream<'_>,
) -> Option<Result<Draft, Verdict>> {
    let stat = read(stream.name)?;
    Some(of_stat(&stat, granularity, stream))
}

fn of_stat(
    stat: &Stat<'_>,
    granularity: Granularity,
    stream: &Stream<'_>,
) -> Result<Draft, Verdict> {
    let labels = stream.labels;
    if granularity == Granularity::Service && stat.of != Of::Cluster {
        return Err(Verdict::PassedOver(
            "apis are services (`feeds.apis: service`), which to Envoy are clusters; this is a part of one".into(),
        ));
    }
    let label = |name: &str| {
        labels.get(name).ok_or_else(|| {
            Verdict::PassedOver(format!(
                "`{}` has no label `{name}`, so it is not known whose it is",
                stream.name
            ))
        })
    };
    let (outer, inner) = match (stat.named, &stat.of) {
        (Some(named), _) => named,
        (None, Of::Cluster) => (label("envoy.cluster_name")?, ""),
        (None, Of::Route) => (label("envoy.virtual_host")?, label("envoy.route")?),
        (None, Of::VirtualCluster) => (
            label("envoy.virtual_host")?,
            label("envoy.virtual_cluster")?,
        ),
    };
    let mut why = vec![match stat.of {
        Of::Cluster => format!("it is told by an Envoy of its cluster `{outer}`"),
        Of::Route => format!("it is told by an Envoy of the route `{inner}` of `{outer}`"),
        Of::VirtualCluster => {
            format!("it is told by an Envoy of the virtual cluster `{inner}` of `{outer}`")
        }
    }];
    let (feeds, factor, metric) = match (stat.told, stream.shape) {
        (Told::Class(_), Shape::Counter) => {
            let class = match stat.told {
                Told::Class(Some(class)) => Cow::Owned(char::from(class).to_string()),
                _ => Cow::Borrowed(label("envoy.response_code_class")?),
            };
            let mut feeds = vec![(Signal::Requests, How::Count)];
            if class == "5" {
                feeds.push((Signal::Errors, How::Count));
                why.push("their responses are 5xx, so they count as errors too".into());
            } else {
                why.push(format!("their responses are {class}xx, which is no error"));
            }
            (feeds, 1.0, "upstream_rq_xx")
        }
        (Told::Time, Shape::Histogram | Shape::Buckets) => {
            let unit = if stream.unit.is_empty() {
                "ms"
            } else {
                stream.unit
            };
            let factor = super::conventions::factor(unit).ok_or_else(|| {
                Verdict::Refused(format!(
                    "its unit `{unit}` is not known here; write a rule with `scale:`"
                ))
            })?;
            why.push("it is a histogram of how long they took, in milliseconds".into());
            (
                vec![(Signal::Latency, How::Latency)],
                factor,
                "upstream_rq_time",
            )
        }
        _ => {
            return Err(Verdict::PassedOver(
                "requests are counted by `upstream_rq_xx`, and latency is read from the histogram `upstream_rq_time`".into(),
            ));
        }
    };
    let way = if stat.prometheus {
        "envoy by Prometheus"
    } else if labels.get(NODE).is_some() {
        "envoy by its metrics service"
    } else {
        "envoy by OTLP"
    };
    let part = match stat.of {
        Of::Cluster => "clusters",
        Of::Route => "routes",
        Of::VirtualCluster => "virtual clusters",
    };
    Ok(Draft {
        api: name_of([outer, inner].into_iter()),
        feeds,
        factor,
        basis: Basis {
            group: format!("{way}, {part}").into(),
            metric: metric.into(),
        },
        why,
    })
}
