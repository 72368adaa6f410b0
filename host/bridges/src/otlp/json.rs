//! OTLP in JSON, written again as the protobuf that it stands for.
//!
//! There is one walk over requests, and it reads protobuf; so what comes in JSON becomes the same
//! bytes that an encoder of protobuf writes, fields in the order of their numbers and defaults left
//! out, and is taken as those. A stream then is the same in both forms, whatever the order of keys.
//! Reading JSON into a second walk was rejected: two readers of one protocol tell two stories.
//!
//! Nothing is built on the way but that message, which may not be larger than one that comes in
//! protobuf. What nobody here asks for (exemplars, quantiles, descriptions) is stepped over as
//! unknown names are, as the specification wants; `null` is as good as nothing. Integers are
//! numbers or texts of digits, enumerations numbers alone, `NaN` and `Infinity` texts. Offsets in
//! refusals are those of the JSON.
//!
//! Sources: opentelemetry.io, "JSON Protobuf Encoding"; protobuf.dev, "ProtoJSON Format".

mod message;
mod text;

use crate::wire::Malformed;
use message::{Field, Form, Kind, Message, REQUEST};
use text::{Reader, Shape};

/// Why a request in JSON cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is no such message.
    #[error("the body is no such message: {0}")]
    Malformed(#[from] Malformed),
    /// In protobuf it would have more bytes than may be.
    #[error("the body has more than {0} bytes in protobuf")]
    TooLarge(usize),
}

/// The `ExportMetricsServiceRequest` in protobuf that a request in JSON stands for, of at most
/// `limit` bytes.
///
/// # Errors
/// When it is none, or larger.
pub fn protobuf(body: &[u8], limit: usize) -> Result<Vec<u8>, Problem> {
    let mut reader = Reader::new(body);
    let mut to = Writer { limit };
    let mut request = vec![];
    if reader.shape()? != Shape::Object {
        return Err(reader.wrong("a request is an object").into());
    }
    to.message(&REQUEST, &mut reader, &mut request)?;
    reader.end()?;
    Ok(request)
}

fn varint(to: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        to.push(n as u8 | 0x80);
        n >>= 7;
    }
    to.push(n as u8);
}

/// Wire types.
const VARINT: u64 = 0;
const EIGHT: u64 = 1;
const LENGTH: u64 = 2;

/// Writes messages.
struct Writer {
    limit: usize,
}

impl Writer {
    fn message(
        &mut self,
        of: &'static Message,
        reader: &mut Reader<'_>,
        to: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        // By field, since keys come in any order.
        let mut slots: Vec<Vec<u8>> = vec![vec![]; of.fields.len()];
        let (mut seen, mut taken) = (0_u32, false);
        reader.object(|reader, key| {
            let at = reader.at();
            let Some(i) = of.fields.iter().position(|f| f.name == key) else {
                return Ok(reader.skip()?);
            };
            let field = &of.fields[i];
            if seen & 1 << i != 0 {
                return Err(Malformed {
                    at,
                    what: "this key stands here twice",
                }
                .into());
            }
            seen |= 1 << i;
            if reader.shape()? == Shape::Null {
                return Ok(reader.skip()?);
            }
            if field.form == Form::OneOf && std::mem::replace(&mut taken, true) {
                let what = "of this key and one before it, one alone may stand here";
                return Err(Malformed { at, what }.into());
            }
            self.field(field, reader, &mut slots[i])
        })?;
        for slot in slots {
            to.extend_from_slice(&slot);
        }
        self.check(to)
    }

    fn check(&self, written: &[u8]) -> Result<(), Problem> {
        if written.len() > self.limit {
            return Err(Problem::TooLarge(self.limit));
        }
        Ok(())
    }

    fn field(
        &mut self,
        field: &'static Field,
        reader: &mut Reader<'_>,
        to: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let key = |wire: u64| u64::from(field.number) << 3 | wire;
        match (field.form, field.kind) {
            (Form::Many, Kind::Message(of)) => reader.array(|reader| {
                self.nested(key(LENGTH), of, reader, to)?;
                self.check(to)
            }),
            (Form::Many, kind) => {
                let mut packed = vec![];
                reader.array(|reader| {
                    kind.put(reader, &mut packed)?;
                    self.check(&packed)
                })?;
                if !packed.is_empty() {
                    varint(to, key(LENGTH));
                    varint(to, packed.len() as u64);
                    to.append(&mut packed);
                }
                Ok(())
            }
            (_, Kind::Message(of)) => self.nested(key(LENGTH), of, reader, to),
            (form, kind) => {
                let mut value = vec![];
                kind.put(reader, &mut value)?;
                let is_long = kind.wire() == LENGTH;
                let is_default = value.iter().all(|b| *b == 0) && (!is_long || value.is_empty());
                // Of what is not told apart from its default, the default is not written.
                if form != Form::Plain || !is_default {
                    varint(to, key(kind.wire()));
                    if is_long {
                        varint(to, value.len() as u64);
                    }
                    to.append(&mut value);
                }
                Ok(())
            }
        }
    }

    fn nested(
        &mut self,
        key: u64,
        of: &'static Message,
        reader: &mut Reader<'_>,
        to: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        if reader.shape()? != Shape::Object {
            return Err(reader.wrong("an object was expected here").into());
        }
        let mut inner = vec![];
        self.message(of, reader, &mut inner)?;
        varint(to, key);
        varint(to, inner.len() as u64);
        to.append(&mut inner);
        Ok(())
    }
}

impl Kind {
    fn wire(self) -> u64 {
        match self {
            Kind::Text | Kind::Bytes | Kind::Message(_) => LENGTH,
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => EIGHT,
            Kind::Bool | Kind::Enum | Kind::Uint32 | Kind::Sint32 | Kind::Int64 | Kind::Uint64 => {
                VARINT
            }
        }
    }

    /// Writes a value without its key and length.
    fn put(self, reader: &mut Reader<'_>, to: &mut Vec<u8>) -> Result<(), Malformed> {
        match self {
            Kind::Text => to.extend_from_slice(reader.text()?.as_bytes()),
            Kind::Bytes => reader.base64(to)?,
            Kind::Bool => to.push(u8::from(reader.truth()?)),
            Kind::Double => to.extend_from_slice(&reader.double()?.to_bits().to_le_bytes()),
            Kind::Fixed64 => {
                let n: u64 = reader.whole("a whole number of 0 or more was expected here")?;
                to.extend_from_slice(&n.to_le_bytes());
            }
            Kind::Sfixed64 => {
                let n: i64 = reader.whole("a whole number of 64 bits was expected here")?;
                to.extend_from_slice(&n.to_le_bytes());
            }
            Kind::Uint64 => {
                varint(
                    to,
                    reader.whole("a whole number of 0 or more was expected here")?,
                );
            }
            Kind::Int64 => {
                let n: i64 = reader.whole("a whole number of 64 bits was expected here")?;
                varint(to, n as u64);
            }
            Kind::Uint32 => {
                let n: u32 = reader.whole("a whole number of 32 bits was expected here")?;
                varint(to, n.into());
            }
            Kind::Sint32 => {
                let n: i32 = reader.whole("a whole number of 32 bits was expected here")?;
                varint(to, u64::from(((n << 1) ^ (n >> 31)) as u32));
            }
            Kind::Enum => {
                if reader.shape()? != Shape::Number {
                    let what = "an enumeration is a number in OTLP's JSON, not a name";
                    return Err(reader.wrong(what));
                }
                let n: i32 = reader.whole("an enumeration is a whole number of 32 bits")?;
                varint(to, i64::from(n) as u64);
            }
            Kind::Message(_) => return Err(reader.wrong("a message does not stand here")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> Malformed {
        match protobuf(body.as_bytes(), 1 << 20) {
            Err(Problem::Malformed(malformed)) => malformed,
            other => panic!("{body}: {other:?}"),
        }
    }

    fn point(value: &str) -> String {
        let point = format!(r#"{{"dataPoints":[{{{value}}}]}}"#);
        format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"gauge":{point}}}]}}]}}]}}"#
        )
    }

    #[test]
    fn a_message_is_written_in_the_order_of_its_numbers_without_its_defaults() {
        let told = protobuf(
            point(r#" "flags" : 0, "asInt":"-2","timeUnixNano": 1.0e1, "startTimeUnixNano":null,"zzz":[{"a":[]}]"#).as_bytes(),
            1 << 20,
        );
        let inner = [
            0x19, 10, 0, 0, 0, 0, 0, 0, 0, 0x31, 254, 255, 255, 255, 255, 255, 255, 255,
        ];
        let mut expected = inner.to_vec();
        for key in [0x0a, 0x2a, 0x12, 0x12, 0x0a] {
            let mut outer = vec![key, expected.len() as u8];
            outer.append(&mut expected);
            expected = outer;
        }
        assert_eq!(told, Ok(expected));
        assert_eq!(protobuf(b" {} \n", 0), Ok(vec![]));
        assert_eq!(protobuf(br#"{"resourceMetrics":[]}"#, 0), Ok(vec![]));
    }

    #[test]
    fn numbers_that_are_none_are_read_from_their_names() {
        for (text, number) in [
            (r#""NaN""#, f64::NAN),
            (r#""Infinity""#, f64::INFINITY),
            (r#""-Infinity""#, f64::NEG_INFINITY),
            (r#""0.3""#, 0.3),
            ("-1.7976931348623157e308", f64::MIN),
            ("5e-324", 5e-324),
            ("0.30000000000000004", 0.1 + 0.2),
            ("-0", -0.0),
        ] {
            let told = protobuf(point(&format!(r#""asDouble":{text}"#)).as_bytes(), 99).unwrap();
            let bits = &told[told.len() - 8..];
            assert_eq!(bits, number.to_bits().to_le_bytes(), "{text}");
        }
    }

    #[test]
    fn what_is_no_such_message_is_refused_with_its_offset() {
        for (body, what) in [
            ("", "ends"),
            ("[]", "is an object"),
            ("{} {}", "behind"),
            (r#"{"resourceMetrics":{}}"#, "an array"),
            (r#"{"resourceMetrics":[1]}"#, "an object"),
            (r#"{"resourceMetrics":[null]}"#, "an object"),
            (r#"{"resourceMetrics":[],"resourceMetrics":[]}"#, "twice"),
            (r#"{"a":1,}"#, "key"),
            (r#"{"a":01}"#, "`,`"),
            (r#"{"a":1e}"#, "digit"),
            (r#"{"a":nul}"#, "no value"),
            ("{\"a\":\"\u{1}\"}", "control"),
            (r#"{"a":"\x"}"#, "escape"),
            (r#"{"a":"\ud800x"}"#, "surrogate"),
            (r#"{"a":"#, "ends"),
            (r#"{"a":"b"#, "ends"),
            (&point(r#""asInt":1,"asDouble":2"#), "one alone"),
            (&point(r#""asInt":1.5"#), "whole number"),
            (&point(r#""asInt":"9223372036854775808""#), "whole number"),
            (&point(r#""asInt":" 1""#), "whole number"),
            (&point(r#""timeUnixNano":-1"#), "0 or more"),
            (&point(r#""flags":4294967296"#), "32 bits"),
            (&point(r#""asDouble":"nan""#), "`NaN`"),
            (&point(r#""asDouble":true"#), "number"),
            (&point(r#""attributes":[{"key":1}]"#), "text"),
            (
                &point(r#""attributes":[{"value":{"bytesValue":"a"}}]"#),
                "base64",
            ),
        ] {
            let told = refused(body);
            assert!(
                told.what.contains(what) && told.at <= body.len(),
                "{body}: {told}"
            );
        }
        let named = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA"}}]}]}]}"#;
        let told = refused(named);
        assert!(told.what.contains("not a name") && named[told.at..].starts_with("\"AGG"));
        let not_utf8 = protobuf(b"{\"\xff\":1}", 9);
        assert!(
            matches!(not_utf8, Err(Problem::Malformed(m)) if m.at == 2),
            "{not_utf8:?}"
        );
        assert!(refused(&"[".repeat(100_000)).what.contains("object"));
        assert!(
            refused(&format!(r#"{{"a":{}"#, "[".repeat(100_000)))
                .what
                .contains("deep")
        );
        let nested = format!(
            r#""attributes":[{{"value":{}"#,
            r#"{"arrayValue":{"values":["#.repeat(999)
        );
        assert!(refused(&point(&nested)).what.contains("deep"));
    }

    #[test]
    fn what_would_be_larger_in_protobuf_than_may_be_is_refused() {
        let zeros = vec!["0"; 5_000].join(",");
        let histogram = format!(r#"{{"dataPoints":[{{"bucketCounts":[{zeros}]}}]}}"#);
        let body = format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{histogram}}}]}}]}}]}}"#
        );
        assert!(body.len() < 20_000);
        assert_eq!(
            protobuf(body.as_bytes(), 20_000),
            Err(Problem::TooLarge(20_000))
        );
        let whole = protobuf(body.as_bytes(), 50_000).unwrap();
        assert!((40_000..40_030).contains(&whole.len()));
    }
}
