//! The messages of an `ExportMetricsServiceRequest`, as far as the walk reads them: names in JSON,
//! numbers and types in protobuf.
//!
//! Of an instrumentation scope everything stands here, since its bytes are a part of who a stream is.
//!
//! Sources: `opentelemetry/proto/collector/metrics/v1/metrics_service.proto`, `metrics/v1/metrics.proto`,
//! `common/v1/common.proto`, `resource/v1/resource.proto`.

/// What a field's values are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Bytes,
    Bool,
    Enum,
    Uint32,
    Sint32,
    Int64,
    Uint64,
    Fixed64,
    Sfixed64,
    Double,
    Message(&'static Message),
}

/// How often it stands, and when it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Once; the default is not written.
    Plain,
    /// Once; the default is told apart from nothing.
    Told,
    /// Once, and nothing else of the message's one `oneof`.
    OneOf,
    /// Any number of times.
    Many,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) form: Form,
}

/// A message: its fields in the order of their numbers, at most 32.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) fields: &'static [Field],
}

const fn field(name: &'static str, number: u32, kind: Kind, form: Form) -> Field {
    Field {
        name,
        number,
        kind,
        form,
    }
}

use Form::{Many, OneOf, Plain, Told};
use Kind::{
    Bool, Bytes, Double, Enum, Fixed64, Int64, Message as Of, Sfixed64, Sint32, Text, Uint32,
    Uint64,
};

pub(super) static REQUEST: Message = Message {
    fields: &[field("resourceMetrics", 1, Of(&RESOURCE_METRICS), Many)],
};

static RESOURCE_METRICS: Message = Message {
    fields: &[
        field("resource", 1, Of(&RESOURCE), Told),
        field("scopeMetrics", 2, Of(&SCOPE_METRICS), Many),
    ],
};

static RESOURCE: Message = Message {
    fields: &[field("attributes", 1, Of(&KEY_VALUE), Many)],
};

static SCOPE_METRICS: Message = Message {
    fields: &[
        field("scope", 1, Of(&SCOPE), Told),
        field("metrics", 2, Of(&METRIC), Many),
    ],
};

static SCOPE: Message = Message {
    fields: &[
        field("name", 1, Text, Plain),
        field("version", 2, Text, Plain),
        field("attributes", 3, Of(&KEY_VALUE), Many),
        field("droppedAttributesCount", 4, Uint32, Plain),
    ],
};

static KEY_VALUE: Message = Message {
    fields: &[
        field("key", 1, Text, Plain),
        field("value", 2, Of(&ANY_VALUE), Told),
    ],
};

static ANY_VALUE: Message = Message {
    fields: &[
        field("stringValue", 1, Text, OneOf),
        field("boolValue", 2, Bool, OneOf),
        field("intValue", 3, Int64, OneOf),
        field("doubleValue", 4, Double, OneOf),
        field("arrayValue", 5, Of(&ARRAY_VALUE), OneOf),
        field("kvlistValue", 6, Of(&KEY_VALUE_LIST), OneOf),
        field("bytesValue", 7, Bytes, OneOf),
    ],
};

static ARRAY_VALUE: Message = Message {
    fields: &[field("values", 1, Of(&ANY_VALUE), Many)],
};

static KEY_VALUE_LIST: Message = Message {
    fields: &[field("values", 1, Of(&KEY_VALUE), Many)],
};

static METRIC: Message = Message {
    fields: &[
        field("name", 1, Text, Plain),
        field("unit", 3, Text, Plain),
        field("gauge", 5, Of(&GAUGE), OneOf),
        field("sum", 7, Of(&SUM), OneOf),
        field("histogram", 9, Of(&HISTOGRAM), OneOf),
        field("exponentialHistogram", 10, Of(&EXPONENTIAL), OneOf),
        field("summary", 11, Of(&SUMMARY), OneOf),
    ],
};

static GAUGE: Message = Message {
    fields: &[field("dataPoints", 1, Of(&NUMBER_POINT), Many)],
};

static SUM: Message = Message {
    fields: &[
        field("dataPoints", 1, Of(&NUMBER_POINT), Many),
        field("aggregationTemporality", 2, Enum, Plain),
        field("isMonotonic", 3, Bool, Plain),
    ],
};

static HISTOGRAM: Message = Message {
    fields: &[
        field("dataPoints", 1, Of(&HISTOGRAM_POINT), Many),
        field("aggregationTemporality", 2, Enum, Plain),
    ],
};

static EXPONENTIAL: Message = Message {
    fields: &[
        field("dataPoints", 1, Of(&EXPONENTIAL_POINT), Many),
        field("aggregationTemporality", 2, Enum, Plain),
    ],
};

static SUMMARY: Message = Message {
    fields: &[field("dataPoints", 1, Of(&SUMMARY_POINT), Many)],
};

static NUMBER_POINT: Message = Message {
    fields: &[
        field("startTimeUnixNano", 2, Fixed64, Plain),
        field("timeUnixNano", 3, Fixed64, Plain),
        field("asDouble", 4, Double, OneOf),
        field("asInt", 6, Sfixed64, OneOf),
        field("attributes", 7, Of(&KEY_VALUE), Many),
        field("flags", 8, Uint32, Plain),
    ],
};

static HISTOGRAM_POINT: Message = Message {
    fields: &[
        field("startTimeUnixNano", 2, Fixed64, Plain),
        field("timeUnixNano", 3, Fixed64, Plain),
        field("count", 4, Fixed64, Plain),
        field("sum", 5, Double, Told),
        field("bucketCounts", 6, Fixed64, Many),
        field("explicitBounds", 7, Double, Many),
        field("attributes", 9, Of(&KEY_VALUE), Many),
        field("flags", 10, Uint32, Plain),
    ],
};

static EXPONENTIAL_POINT: Message = Message {
    fields: &[
        field("attributes", 1, Of(&KEY_VALUE), Many),
        field("startTimeUnixNano", 2, Fixed64, Plain),
        field("timeUnixNano", 3, Fixed64, Plain),
        field("count", 4, Fixed64, Plain),
        field("sum", 5, Double, Told),
        field("scale", 6, Sint32, Plain),
        field("zeroCount", 7, Fixed64, Plain),
        field("positive", 8, Of(&BUCKETS), Told),
        field("negative", 9, Of(&BUCKETS), Told),
        field("flags", 10, Uint32, Plain),
    ],
};

static BUCKETS: Message = Message {
    fields: &[
        field("offset", 1, Sint32, Plain),
        field("bucketCounts", 2, Uint64, Many),
    ],
};

static SUMMARY_POINT: Message = Message {
    fields: &[
        field("startTimeUnixNano", 2, Fixed64, Plain),
        field("timeUnixNano", 3, Fixed64, Plain),
        field("count", 4, Fixed64, Plain),
        field("sum", 5, Double, Plain),
        field("attributes", 7, Of(&KEY_VALUE), Many),
        field("flags", 8, Uint32, Plain),
    ],
};
