//! Remote write's messages as a sender has them, apart from the reader under test: declared from the
//! specification, so that what is encoded here is what strangers send.

use prost::Message;

/// `prometheus.WriteRequest`, as far as it is sent here.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct One {
    #[prost(message, repeated, tag = "1")]
    pub(crate) timeseries: Vec<OneSeries>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OneSeries {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) exemplars: Vec<Exemplar>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) histograms: Vec<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Label {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sample {
    #[prost(double, tag = "1")]
    pub(crate) value: f64,
    #[prost(int64, tag = "2")]
    pub(crate) timestamp: i64,
    /// Of 2.0 alone.
    #[prost(int64, tag = "3")]
    pub(crate) start: i64,
}

/// With no more in it than that it is there.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Exemplar {
    #[prost(double, tag = "2")]
    pub(crate) value: f64,
}

/// `io.prometheus.write.v2.Request`, likewise.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Two {
    #[prost(string, repeated, tag = "4")]
    pub(crate) symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) timeseries: Vec<TwoSeries>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TwoSeries {
    #[prost(uint32, repeated, tag = "1")]
    pub(crate) labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) histograms: Vec<Histogram>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) exemplars: Vec<Exemplar>,
    #[prost(message, optional, tag = "5")]
    pub(crate) metadata: Option<Metadata>,
    /// Of early forms.
    #[prost(int64, tag = "6")]
    pub(crate) created: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metadata {
    #[prost(int32, tag = "1")]
    pub(crate) kind: i32,
    #[prost(uint32, tag = "3")]
    pub(crate) help_ref: u32,
}

/// The same in both forms.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    pub(crate) count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    pub(crate) count_float: Option<f64>,
    #[prost(double, tag = "3")]
    pub(crate) sum: f64,
    #[prost(sint32, tag = "4")]
    pub(crate) schema: i32,
    #[prost(uint64, optional, tag = "6")]
    pub(crate) zero: Option<u64>,
    #[prost(double, optional, tag = "7")]
    pub(crate) zero_float: Option<f64>,
    #[prost(message, repeated, tag = "8")]
    pub(crate) negative_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "9")]
    pub(crate) negative_deltas: Vec<i64>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "12")]
    pub(crate) deltas: Vec<i64>,
    #[prost(double, repeated, tag = "13")]
    pub(crate) floats: Vec<f64>,
    #[prost(int32, tag = "14")]
    pub(crate) hint: i32,
    #[prost(int64, tag = "15")]
    pub(crate) timestamp: i64,
    #[prost(double, repeated, tag = "16")]
    pub(crate) custom: Vec<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Span {
    #[prost(sint32, tag = "1")]
    pub(crate) offset: i32,
    #[prost(uint32, tag = "2")]
    pub(crate) length: u32,
}
