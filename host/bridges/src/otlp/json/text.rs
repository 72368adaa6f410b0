//! JSON, value by value, with offsets.
//!
//! Written by hand for two reasons. `serde_json` reads a number of seventeen digits one bit off unless
//! a feature is on, and features are the workspace's: it would be compiled into every plugin. And its
//! errors name lines, while a refusal here names a byte, as everywhere in this crate.
//!
//! What arrives is hostile: nothing is set aside for a length, and what is nested is bounded.
//!
//! Source: RFC 8259.

use super::Problem;
use crate::wire::Malformed;
use std::borrow::Cow;

/// Values inside each other; a request has some twenty.
const MAX_DEPTH: u32 = 100;

/// What a value is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Object,
    Array,
    Text,
    Number,
    Truth,
    Null,
}

/// Where it has come to.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            depth: 0,
        }
    }

    /// Its offset.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn wrong(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at, what }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// What the next value is.
    pub(super) fn shape(&mut self) -> Result<Shape, Malformed> {
        self.space();
        Ok(match self.peek() {
            Some(b'{') => Shape::Object,
            Some(b'[') => Shape::Array,
            Some(b'"') => Shape::Text,
            Some(b'-' | b'0'..=b'9') => Shape::Number,
            Some(b't' | b'f') => Shape::Truth,
            Some(b'n') => Shape::Null,
            Some(_) => return Err(self.wrong("no value begins so")),
            None => return Err(self.wrong("it ends before its value")),
        })
    }

    fn expect(&mut self, shape: Shape, what: &'static str) -> Result<(), Malformed> {
        if self.shape()? == shape {
            Ok(())
        } else {
            Err(self.wrong(what))
        }
    }

    /// Nothing but space may follow.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        self.space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.wrong("something stands behind the request")),
        }
    }

    fn deeper(&mut self) -> Result<(), Malformed> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong("it is nested too deep"));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Whether `close` is next, or else a comma, after a value; steps over it.
    fn closes(&mut self, close: u8) -> Result<bool, Malformed> {
        self.space();
        let closed = match self.peek() {
            Some(b) if b == close => true,
            Some(b',') => false,
            Some(_) => return Err(self.wrong("a `,` or the end was expected here")),
            None => return Err(self.wrong("it ends before its end")),
        };
        self.at += 1;
        Ok(closed)
    }

    /// An object: `each` is called before each value, with its key, and has to read the value.
    pub(super) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, &str) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.expect(Shape::Object, "an object was expected here")?;
        self.deeper()?;
        let mut closed = self.peek() == Some(b'}');
        if closed {
            self.at += 1;
        }
        while !closed {
            self.expect_key()?;
            let key = self.text()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.wrong("a `:` was expected here").into());
            }
            self.at += 1;
            self.space();
            each(self, &key)?;
            closed = self.closes(b'}')?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn expect_key(&mut self) -> Result<(), Malformed> {
        self.space();
        match self.peek() {
            Some(b'"') => Ok(()),
            Some(_) => Err(self.wrong("a key was expected here")),
            None => Err(self.wrong("it ends before a key")),
        }
    }

    /// An array: `each` has to read a value.
    pub(super) fn array(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.expect(Shape::Array, "an array was expected here")?;
        self.deeper()?;
        let mut closed = self.peek() == Some(b']');
        if closed {
            self.at += 1;
        }
        while !closed {
            each(self)?;
            closed = self.closes(b']')?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Steps over a value, whatever it is.
    pub(super) fn skip(&mut self) -> Result<(), Malformed> {
        let skipped = match self.shape()? {
            Shape::Object => self.object(|reader, _| Ok(reader.skip()?)),
            Shape::Array => self.array(|reader| Ok(reader.skip()?)),
            Shape::Text => return self.text().map(drop),
            Shape::Number => return self.digits().map(drop),
            Shape::Truth => return self.truth().map(drop),
            Shape::Null => return self.word("null"),
        };
        skipped.map_err(|problem| match problem {
            Problem::Malformed(malformed) => malformed,
            Problem::TooLarge(_) => self.wrong("it is too large"),
        })
    }

    fn word(&mut self, word: &str) -> Result<(), Malformed> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.wrong("no value begins so"));
        }
        self.at += word.len();
        Ok(())
    }

    /// `true` or `false`.
    pub(super) fn truth(&mut self) -> Result<bool, Malformed> {
        self.expect(Shape::Truth, "`true` or `false` was expected here")?;
        let truth = self.peek() == Some(b't');
        self.word(if truth { "true" } else { "false" })?;
        Ok(truth)
    }

    /// A number as it stands.
    fn digits(&mut self) -> Result<&'a str, Malformed> {
        let from = self.at;
        let some = |reader: &mut Self| {
            let first = reader.at;
            while matches!(reader.peek(), Some(b'0'..=b'9')) {
                reader.at += 1;
            }
            if reader.at == first {
                return Err(reader.wrong("a digit was expected here"));
            }
            Ok(())
        };
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            some(self)?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            some(self)?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            some(self)?;
        }
        let digits = &self.bytes[from..self.at];
        Ok(std::str::from_utf8(digits).unwrap_or("0"))
    }

    /// A number, or what stands in a text in its place.
    fn numeral(&mut self, what: &'static str) -> Result<(usize, Cow<'a, str>), Malformed> {
        let shape = self.shape()?;
        let at = self.at;
        match shape {
            Shape::Number => Ok((at, self.digits()?.into())),
            Shape::Text => Ok((at, self.text()?)),
            Shape::Object | Shape::Array | Shape::Truth | Shape::Null => Err(self.wrong(what)),
        }
    }

    /// A whole number, as a number or a text.
    pub(super) fn whole<T: TryFrom<i128>>(&mut self, what: &'static str) -> Result<T, Malformed> {
        let (at, text) = self.numeral(what)?;
        let number = whole(&text).and_then(|n| T::try_from(n).ok());
        number.ok_or(Malformed { at, what })
    }

    /// A number, as a number or a text.
    pub(super) fn double(&mut self) -> Result<f64, Malformed> {
        let (at, text) = self.numeral("a number was expected here")?;
        let number = match &*text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => is_number(text).then(|| text.parse().ok()).flatten(),
        };
        number.ok_or(Malformed {
            at,
            what: "a number, or `NaN`, `Infinity` or `-Infinity`, was expected here",
        })
    }

    /// A text.
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.expect(Shape::Text, "a text was expected here")?;
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let part = self.plain()?;
            if text.is_empty() {
                text = Cow::Borrowed(part);
            } else {
                text.to_mut().push_str(part);
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    let letter = self.escaped()?;
                    text.to_mut().push(letter);
                }
                Some(_) => return Err(self.wrong("a control character stands in a text")),
                None => return Err(self.wrong("it ends within a text")),
            }
        }
    }

    /// What stands in a text up to its end or an escape.
    fn plain(&mut self) -> Result<&'a str, Malformed> {
        let rest = &self.bytes[self.at..];
        let end = rest
            .iter()
            .position(|b| matches!(b, b'"' | b'\\' | 0..0x20));
        let part = &rest[..end.unwrap_or(rest.len())];
        let text = std::str::from_utf8(part).map_err(|e| Malformed {
            at: self.at + e.valid_up_to(),
            what: "this text is not UTF-8",
        })?;
        self.at += part.len();
        Ok(text)
    }

    fn escaped(&mut self) -> Result<char, Malformed> {
        let at = self.at;
        self.at += 2;
        Ok(match self.bytes.get(at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let what = "half of a surrogate pair stands alone";
                let mut unit = self.four()?;
                if (0xd800..0xdc00).contains(&unit) {
                    if !self.bytes[self.at..].starts_with(b"\\u") {
                        return Err(Malformed { at, what });
                    }
                    self.at += 2;
                    let low = self.four()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err(Malformed { at, what });
                    }
                    unit = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                }
                char::from_u32(unit).ok_or(Malformed { at, what })?
            }
            _ => {
                let what = "this escape does not exist";
                return Err(Malformed { at, what });
            }
        })
    }

    /// Four hexadecimal digits.
    fn four(&mut self) -> Result<u32, Malformed> {
        let digits = self.bytes.get(self.at..self.at + 4);
        let value = |all: &[u8]| {
            let digit = |b: &u8| char::from(*b).to_digit(16);
            all.iter().try_fold(0, |n, b| Some(n * 16 + digit(b)?))
        };
        let unit = digits.and_then(value);
        let unit = unit.ok_or_else(|| self.wrong("four hexadecimal digits were expected here"))?;
        self.at += 4;
        Ok(unit)
    }

    /// Bytes in base64, in either alphabet, with or without its padding.
    pub(super) fn base64(&mut self, to: &mut Vec<u8>) -> Result<(), Malformed> {
        self.shape()?;
        let at = self.at;
        let wrong = Malformed {
            at,
            what: "this text is not base64",
        };
        let text = self.text()?;
        let letters = text.trim_end_matches('=').as_bytes();
        if letters.len() % 4 == 1 || text.len() - letters.len() > 2 {
            return Err(wrong);
        }
        for four in letters.chunks(4) {
            let mut bits = 0_u32;
            for i in 0..4 {
                let six = match four.get(i) {
                    None => 0,
                    Some(b @ b'A'..=b'Z') => b - b'A',
                    Some(b @ b'a'..=b'z') => b - b'a' + 26,
                    Some(b @ b'0'..=b'9') => b - b'0' + 52,
                    Some(b'+' | b'-') => 62,
                    Some(b'/' | b'_') => 63,
                    Some(_) => return Err(wrong),
                };
                bits = bits << 6 | u32::from(six);
            }
            to.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
        }
        Ok(())
    }
}

fn is_number(text: &str) -> bool {
    let mut reader = Reader::new(text.as_bytes());
    matches!(text.as_bytes().first(), Some(b'-' | b'0'..=b'9'))
        && reader.digits().is_ok()
        && reader.at == text.len()
}

/// A whole number, which may be written with a fraction of zeros or an exponent.
fn whole(text: &str) -> Option<i128> {
    if !is_number(text) {
        return None;
    }
    if !text.contains(['.', 'e', 'E']) {
        return text.parse().ok();
    }
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = text.parse::<f64>().ok()? + 0.0;
    let is_whole = number.abs() <= EXACT && libm::trunc(number).to_bits() == number.to_bits();
    is_whole.then_some(number as i128)
}
