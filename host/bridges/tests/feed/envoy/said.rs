//! An Envoy's messages in few words, declared apart from what reads them.

use prost::Message;

/// `envoy.service.metrics.v3.StreamMetricsMessage`, as far as it is sent here.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Said {
    #[prost(message, optional, tag = "1")]
    pub(crate) identifier: Option<Identifier>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) families: Vec<Family>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Identifier {
    #[prost(message, optional, tag = "1")]
    pub(crate) node: Option<Node>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Node {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) cluster: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) metadata: Option<Struct>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Struct {
    #[prost(message, repeated, tag = "1")]
    pub(crate) fields: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Entry {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) value: Option<Text>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Text {
    #[prost(string, tag = "3")]
    pub(crate) text: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Family {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(int32, tag = "3")]
    pub(crate) kind: i32,
    #[prost(message, repeated, tag = "4")]
    pub(crate) metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metric {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<Label>,
    #[prost(message, optional, tag = "2")]
    pub(crate) gauge: Option<Number>,
    #[prost(message, optional, tag = "3")]
    pub(crate) counter: Option<Number>,
    #[prost(int64, tag = "6")]
    pub(crate) time: i64,
    #[prost(message, optional, tag = "7")]
    pub(crate) histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Label {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Number {
    #[prost(double, tag = "1")]
    pub(crate) value: f64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Histogram {
    #[prost(uint64, tag = "1")]
    pub(crate) count: u64,
    #[prost(double, tag = "2")]
    pub(crate) sum: f64,
    #[prost(message, repeated, tag = "3")]
    pub(crate) buckets: Vec<Bucket>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Bucket {
    #[prost(uint64, tag = "1")]
    pub(crate) until: u64,
    #[prost(double, tag = "2")]
    pub(crate) bound: f64,
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    let label = |(name, value): &(&str, &str)| Label {
        name: (*name).into(),
        value: (*value).into(),
    };
    pairs.iter().map(label).collect()
}

impl Said {
    /// The first message of an Envoy.
    pub(crate) fn by(id: &str) -> Self {
        let tenant = Entry {
            key: "tidegate.tenant".into(),
            value: Some(Text {
                text: "shop".into(),
            }),
        };
        let node = Node {
            id: id.into(),
            cluster: "edge".into(),
            metadata: Some(Struct {
                fields: vec![tenant],
            }),
        };
        Self {
            identifier: Some(Identifier { node: Some(node) }),
            families: vec![],
        }
    }

    pub(crate) fn counter(
        mut self,
        name: &str,
        pairs: &[(&str, &str)],
        seconds: i64,
        value: f64,
    ) -> Self {
        let metric = Metric {
            labels: labels(pairs),
            counter: Some(Number { value }),
            time: seconds * 1000,
            ..Metric::default()
        };
        self.families.push(Family {
            name: name.into(),
            kind: 0,
            metrics: vec![metric],
        });
        self
    }

    /// Responses of a class, counted since the Envoy began.
    pub(crate) fn class(self, cluster: &str, class: &str, seconds: i64, value: f64) -> Self {
        let pairs = [
            ("envoy.response_code_class", class),
            ("envoy.cluster_name", cluster),
        ];
        self.counter("cluster.upstream_rq_xx", &pairs, seconds, value)
    }

    /// So many of 0 to 5 ms and of 5 to 25 ms.
    pub(crate) fn times(mut self, cluster: &str, seconds: i64, (quick, slow): (u64, u64)) -> Self {
        let histogram = Histogram {
            count: quick + slow,
            sum: 3.0 * quick as f64 + 15.0 * slow as f64,
            buckets: [(quick, 5.0), (quick + slow, 25.0)]
                .map(|(until, bound)| Bucket { until, bound })
                .to_vec(),
        };
        let metric = Metric {
            labels: labels(&[("envoy.cluster_name", cluster)]),
            time: seconds * 1000,
            histogram: Some(histogram),
            ..Metric::default()
        };
        self.families.push(Family {
            name: "cluster.upstream_rq_time".into(),
            kind: 4,
            metrics: vec![metric],
        });
        self
    }

    /// What an Envoy always has.
    pub(crate) fn idle(self, seconds: i64) -> Self {
        self.counter("server.total_connections", &[], seconds, 1.0)
            .counter("cluster_manager.cds.update_success", &[], seconds, 1.0)
    }
}
