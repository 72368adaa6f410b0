//! Requests in JSON as senders write them: 64-bit integers as texts or as numbers, keys in any order,
//! fields that nobody knows here, what is default written or left out, and space anywhere.

use opentelemetry_proto::tonic as ot;
use ot::collector::metrics::v1::ExportMetricsServiceRequest as Request;
use ot::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use ot::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, SummaryDataPoint, exponential_histogram_data_point::Buckets, metric::Data,
    number_data_point::Value,
};

/// Draws how something is written.
struct Hand(u64);

type Fields = Vec<(&'static str, String)>;

/// A request in JSON; another seed writes the same otherwise.
pub(crate) fn of(request: &Request, seed: u64) -> String {
    let mut hand = Hand(seed);
    let all = hand.all(&request.resource_metrics, Hand::resource_metrics);
    hand.object(vec![("resourceMetrics", all)])
}

impl Hand {
    /// One of so many.
    fn draw(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn space(&mut self) -> &'static str {
        ["", "", "", " ", "\n\t", "\r\n"][self.draw(6) as usize]
    }

    fn object(&mut self, mut fields: Fields) -> String {
        const STRANGE: [&str; 4] = [
            r#"{"a":[1,"]}",null,{"b":true}]}"#,
            "[]",
            r#""\u00e9\"""#,
            "-1.5e+3",
        ];
        if self.draw(4) == 0 {
            let strange = STRANGE[self.draw(4) as usize];
            fields.push(("neverHeardOf", strange.into()));
        }
        for i in (1..fields.len()).rev() {
            let other = self.draw(i as u64 + 1) as usize;
            fields.swap(i, other);
        }
        let mut told = vec![];
        for (key, value) in fields {
            let (a, b) = (self.space(), self.space());
            told.push(format!("{a}\"{key}\"{b}:{value}"));
        }
        format!("{{{}{}}}", told.join(","), self.space())
    }

    fn all<T>(&mut self, of: &[T], mut each: impl FnMut(&mut Self, &T) -> String) -> String {
        let told: Vec<_> = of.iter().map(|one| each(self, one)).collect();
        format!("[{}{}]", self.space(), told.join(","))
    }

    fn whole(&mut self, n: impl std::fmt::Display) -> String {
        if self.draw(2) == 0 {
            format!("\"{n}\"")
        } else {
            n.to_string()
        }
    }

    fn double(&mut self, n: f64) -> String {
        if n.is_finite() {
            let told = if self.draw(2) == 0 {
                format!("{n:?}")
            } else {
                format!("{n:e}")
            };
            return if self.draw(4) == 0 {
                format!("\"{told}\"")
            } else {
                told
            };
        }
        let name = match (n.is_nan(), n > 0.0) {
            (true, _) => "NaN",
            (false, true) => "Infinity",
            (false, false) => "-Infinity",
        };
        format!("\"{name}\"")
    }

    fn text(&mut self, text: &str) -> String {
        let mut told = String::from("\"");
        for letter in text.chars() {
            if letter == '"' || letter == '\\' || letter < ' ' || self.draw(5) == 0 {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    told.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                told.push(letter);
            }
        }
        told + "\""
    }

    /// What is a default may be left out.
    fn unless_default(&mut self, to: &mut Fields, key: &'static str, is: bool, value: String) {
        if !is || self.draw(2) == 0 {
            to.push((key, value));
        } else if self.draw(2) == 0 {
            to.push((key, "null".into()));
        }
    }

    fn base64(&mut self, bytes: &[u8]) -> String {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let (plus, slash) = if self.draw(2) == 0 {
            ('+', '/')
        } else {
            ('-', '_')
        };
        let mut told = String::new();
        for three in bytes.chunks(3) {
            let mut padded = [0; 4];
            padded[1..=three.len()].copy_from_slice(three);
            let bits = u32::from_be_bytes(padded);
            for i in 0..=three.len() {
                told.push(match bits >> (18 - 6 * i) & 63 {
                    62 => plus,
                    63 => slash,
                    n => char::from(alphabet[n as usize]),
                });
            }
            if self.draw(2) == 0 && three.len() < 3 {
                told.push_str(&"==="[three.len()..]);
            }
        }
        format!("\"{told}\"")
    }

    fn any_value(&mut self, value: &AnyValue) -> String {
        use any_value::Value as Of;
        let field = match &value.value {
            None => None,
            Some(Of::StringValue(s)) => Some(("stringValue", self.text(s))),
            Some(Of::BoolValue(b)) => Some(("boolValue", b.to_string())),
            Some(Of::IntValue(i)) => Some(("intValue", self.whole(i))),
            Some(Of::DoubleValue(d)) => Some(("doubleValue", self.double(*d))),
            Some(Of::BytesValue(b)) => Some(("bytesValue", self.base64(b))),
            Some(Of::ArrayValue(a)) => {
                let all = self.all(&a.values, Self::any_value);
                let array = self.object(vec![("values", all)]);
                Some(("arrayValue", array))
            }
            Some(other) => panic!("{other:?} is not written here"),
        };
        self.object(field.into_iter().collect())
    }

    fn attribute(&mut self, pair: &KeyValue) -> String {
        let mut to = vec![];
        let key = self.text(&pair.key);
        self.unless_default(&mut to, "key", pair.key.is_empty(), key);
        if let Some(value) = &pair.value {
            let value = self.any_value(value);
            to.push(("value", value));
        }
        self.object(to)
    }

    fn attributes(&mut self, to: &mut Fields, of: &[KeyValue]) {
        let all = self.all(of, Self::attribute);
        self.unless_default(to, "attributes", of.is_empty(), all);
    }

    fn instants(&mut self, to: &mut Fields, (start, time, flags): (u64, u64, u32)) {
        let told = self.whole(start);
        self.unless_default(to, "startTimeUnixNano", start == 0, told);
        let told = self.whole(time);
        self.unless_default(to, "timeUnixNano", time == 0, told);
        self.unless_default(to, "flags", flags == 0, flags.to_string());
    }

    fn resource_metrics(&mut self, of: &ResourceMetrics) -> String {
        let mut to = vec![("schemaUrl", self.text(&of.schema_url))];
        if let Some(resource) = &of.resource {
            let mut inner = vec![];
            self.attributes(&mut inner, &resource.attributes);
            let resource = self.object(inner);
            to.push(("resource", resource));
        }
        let all = self.all(&of.scope_metrics, Self::scope_metrics);
        to.push(("scopeMetrics", all));
        self.object(to)
    }

    fn scope_metrics(&mut self, of: &ScopeMetrics) -> String {
        let mut to = vec![];
        if let Some(scope) = &of.scope {
            let scope = self.scope(scope);
            to.push(("scope", scope));
        }
        let all = self.all(&of.metrics, Self::metric);
        to.push(("metrics", all));
        self.object(to)
    }

    fn scope(&mut self, of: &InstrumentationScope) -> String {
        let mut to = vec![];
        let (name, version) = (self.text(&of.name), self.text(&of.version));
        self.unless_default(&mut to, "name", of.name.is_empty(), name);
        self.unless_default(&mut to, "version", of.version.is_empty(), version);
        self.attributes(&mut to, &of.attributes);
        let dropped = of.dropped_attributes_count;
        self.unless_default(
            &mut to,
            "droppedAttributesCount",
            dropped == 0,
            dropped.to_string(),
        );
        self.object(to)
    }

    fn metric(&mut self, of: &Metric) -> String {
        let mut to = vec![("description", self.text(&of.description))];
        let (name, unit) = (self.text(&of.name), self.text(&of.unit));
        self.unless_default(&mut to, "name", of.name.is_empty(), name);
        self.unless_default(&mut to, "unit", of.unit.is_empty(), unit);
        let mut inner = vec![];
        let temporality = |hand: &mut Self, t: i32, inner: &mut Fields| {
            hand.unless_default(inner, "aggregationTemporality", t == 0, t.to_string());
        };
        let (key, points) = match &of.data {
            None => return self.object(to),
            Some(Data::Gauge(g)) => ("gauge", self.all(&g.data_points, Self::number)),
            Some(Data::Sum(s)) => {
                temporality(self, s.aggregation_temporality, &mut inner);
                let told = s.is_monotonic.to_string();
                self.unless_default(&mut inner, "isMonotonic", !s.is_monotonic, told);
                ("sum", self.all(&s.data_points, Self::number))
            }
            Some(Data::Histogram(h)) => {
                temporality(self, h.aggregation_temporality, &mut inner);
                ("histogram", self.all(&h.data_points, Self::histogram))
            }
            Some(Data::ExponentialHistogram(h)) => {
                temporality(self, h.aggregation_temporality, &mut inner);
                let points = self.all(&h.data_points, Self::exponential);
                ("exponentialHistogram", points)
            }
            Some(Data::Summary(s)) => ("summary", self.all(&s.data_points, Self::summary)),
        };
        inner.push(("dataPoints", points));
        let data = self.object(inner);
        to.push((key, data));
        self.object(to)
    }

    fn number(&mut self, of: &NumberDataPoint) -> String {
        let mut to = vec![];
        self.attributes(&mut to, &of.attributes);
        self.instants(
            &mut to,
            (of.start_time_unix_nano, of.time_unix_nano, of.flags),
        );
        match of.value {
            None => {}
            Some(Value::AsDouble(d)) => to.push(("asDouble", self.double(d))),
            Some(Value::AsInt(i)) => to.push(("asInt", self.whole(i))),
        }
        if !of.exemplars.is_empty() {
            let exemplar = r#"[{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","asInt":"1"}]"#;
            to.push(("exemplars", exemplar.into()));
        }
        self.object(to)
    }

    fn histogram(&mut self, of: &HistogramDataPoint) -> String {
        let mut to = vec![];
        self.attributes(&mut to, &of.attributes);
        self.instants(
            &mut to,
            (of.start_time_unix_nano, of.time_unix_nano, of.flags),
        );
        let count = self.whole(of.count);
        self.unless_default(&mut to, "count", of.count == 0, count);
        for (key, value) in [("sum", of.sum), ("min", of.min)] {
            if let Some(value) = value {
                let value = self.double(value);
                to.push((key, value));
            }
        }
        let counts = self.all(&of.bucket_counts, |hand, n| hand.whole(n));
        let bounds = self.all(&of.explicit_bounds, |hand, b| hand.double(*b));
        self.unless_default(&mut to, "bucketCounts", of.bucket_counts.is_empty(), counts);
        self.unless_default(
            &mut to,
            "explicitBounds",
            of.explicit_bounds.is_empty(),
            bounds,
        );
        self.object(to)
    }

    fn buckets(&mut self, of: &Buckets) -> String {
        let counts = self.all(&of.bucket_counts, |hand, n| hand.whole(n));
        let mut to = vec![("bucketCounts", counts)];
        self.unless_default(&mut to, "offset", of.offset == 0, of.offset.to_string());
        self.object(to)
    }

    fn exponential(&mut self, of: &ExponentialHistogramDataPoint) -> String {
        let mut to = vec![];
        self.attributes(&mut to, &of.attributes);
        self.instants(
            &mut to,
            (of.start_time_unix_nano, of.time_unix_nano, of.flags),
        );
        let (count, zero) = (self.whole(of.count), self.whole(of.zero_count));
        self.unless_default(&mut to, "count", of.count == 0, count);
        self.unless_default(&mut to, "zeroCount", of.zero_count == 0, zero);
        self.unless_default(&mut to, "scale", of.scale == 0, of.scale.to_string());
        if let Some(sum) = of.sum {
            let sum = self.double(sum);
            to.push(("sum", sum));
        }
        for (key, buckets) in [("positive", &of.positive), ("negative", &of.negative)] {
            if let Some(buckets) = buckets {
                let buckets = self.buckets(buckets);
                to.push((key, buckets));
            }
        }
        self.object(to)
    }

    fn summary(&mut self, of: &SummaryDataPoint) -> String {
        let mut to = vec![(
            "quantileValues",
            r#"[{"quantile":0.5,"value":"NaN"}]"#.into(),
        )];
        self.attributes(&mut to, &of.attributes);
        self.instants(
            &mut to,
            (of.start_time_unix_nano, of.time_unix_nano, of.flags),
        );
        let (count, sum) = (self.whole(of.count), self.double(of.sum));
        self.unless_default(&mut to, "count", of.count == 0, count);
        self.unless_default(&mut to, "sum", of.sum.to_bits() == 0, sum);
        self.object(to)
    }
}
