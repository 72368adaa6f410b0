//! A walk over protobuf's wire format that borrows everything and builds nothing.
//!
//! Generated types allocate a string for every label of every point, and that is what bounds a
//! receiver: decoding costs several times what storing does. Nearly all labels were seen a moment
//! ago, so it is enough to *find* them. This walk gives out fields as slices of the body, and who
//! reads it decides what to look at.
//!
//! What arrives is hostile until proven otherwise. Every length is checked against the enclosing
//! message and never used to allocate; a varint has at most ten bytes and fits its type; field
//! number 0 and unknown wire types are refused; groups, which nobody sends any more, are stepped
//! over without recursion and to a bounded depth. Text is checked for UTF-8 where it is read as text
//! ([`Part::text`]), not where it is stepped over. Each refusal names the offset in the body.
//!
//! Source: protobuf.dev, "Encoding".

/// What is wrong with a body, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {what}")]
pub struct Malformed {
    /// Offset in the body.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// Groups inside each other that are stepped over; prost and protoc stop at 100.
const MAX_GROUPS: u32 = 100;

/// A stretch of the body: a message, a text, or packed numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Where it begins in the body.
    pub at: usize,
}

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Part(Part<'a>),
    /// Wire type 5.
    Fixed32(u32),
}

/// A field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its number.
    pub number: u32,
    /// Its value.
    pub value: Value<'a>,
    /// Where it begins in the body.
    pub at: usize,
}

impl<'a> Field<'a> {
    /// A message, text, bytes or packed numbers.
    ///
    /// # Errors
    /// When it has another wire type.
    pub fn part(&self) -> Result<Part<'a>, Malformed> {
        match self.value {
            Value::Part(part) => Ok(part),
            Value::Varint(_) | Value::Fixed64(_) | Value::Fixed32(_) => {
                Err(self.wrong("a message or a text was expected here"))
            }
        }
    }

    /// A double, fixed64 or sfixed64, as bits.
    ///
    /// # Errors
    /// When it has another wire type.
    pub fn fixed64(&self) -> Result<u64, Malformed> {
        match self.value {
            Value::Fixed64(bits) => Ok(bits),
            Value::Varint(_) | Value::Part(_) | Value::Fixed32(_) => {
                Err(self.wrong("a number of eight bytes was expected here"))
            }
        }
    }

    /// An integer, enumeration or bool.
    ///
    /// # Errors
    /// When it has another wire type.
    pub fn varint(&self) -> Result<u64, Malformed> {
        match self.value {
            Value::Varint(number) => Ok(number),
            Value::Fixed64(_) | Value::Part(_) | Value::Fixed32(_) => {
                Err(self.wrong("a varint was expected here"))
            }
        }
    }

    /// An sint32: zigzag, cut to 32 bits as protobuf's readers do.
    ///
    /// # Errors
    /// When it has another wire type.
    pub fn sint32(&self) -> Result<i32, Malformed> {
        let raw = self.varint()? as u32;
        Ok(((raw >> 1) as i32) ^ -((raw & 1) as i32))
    }

    fn wrong(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at, what }
    }
}

impl<'a> Part<'a> {
    /// A whole body.
    #[must_use]
    pub fn body(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Its fields.
    #[must_use]
    pub fn walk(self) -> Walk<'a> {
        Walk { part: self, at: 0 }
    }

    /// It as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes).map_err(|e| Malformed {
            at: self.at + e.valid_up_to(),
            what: "this text is not UTF-8",
        })
    }

    /// Packed doubles or fixed64, as bits.
    ///
    /// # Errors
    /// When it is not a whole number of them.
    pub fn packed64(self) -> Result<impl Iterator<Item = u64> + 'a, Malformed> {
        if !self.bytes.len().is_multiple_of(8) {
            return Err(Malformed {
                at: self.at,
                what: "packed numbers of eight bytes do not end with a whole one",
            });
        }
        let eight = |chunk: &[u8]| chunk.try_into().map_or(0, u64::from_le_bytes);
        Ok(self.bytes.chunks_exact(8).map(eight))
    }

    /// Packed varints.
    pub fn packed_varints(self) -> impl Iterator<Item = Result<u64, Malformed>> + 'a {
        let mut walk = self.walk();
        std::iter::from_fn(move || {
            let number = (walk.at < walk.part.bytes.len()).then(|| walk.number())?;
            if number.is_err() {
                // It is told once: what is behind it means nothing.
                walk.at = walk.part.bytes.len();
            }
            Some(number)
        })
    }
}

/// Goes through the fields of a message.
#[derive(Debug, Clone, Copy)]
pub struct Walk<'a> {
    part: Part<'a>,
    at: usize,
}

impl<'a> Walk<'a> {
    /// The next field; `None` at the end.
    ///
    /// # Errors
    /// When the bytes are no field.
    #[inline]
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator of results would have to be asked again after an error"
    )]
    pub fn next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        loop {
            if self.at >= self.part.bytes.len() {
                return Ok(None);
            }
            let at = self.part.at + self.at;
            let (number, kind) = self.key()?;
            let value = match kind {
                0 => Value::Varint(self.number()?),
                1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
                2 => Value::Part(self.part()?),
                5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
                3 => {
                    self.step_over_group(number, at)?;
                    continue;
                }
                4 => {
                    let what = "a group ends that never began";
                    return Err(Malformed { at, what });
                }
                _ => {
                    let what = "this wire type does not exist";
                    return Err(Malformed { at, what });
                }
            };
            return Ok(Some(Field { number, value, at }));
        }
    }

    /// How far it has come, in bytes of its message.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.at
    }

    #[inline]
    fn key(&mut self) -> Result<(u32, u8), Malformed> {
        let at = self.part.at + self.at;
        let key = self.number()?;
        let Ok(key) = u32::try_from(key) else {
            let what = "a field's key does not fit 32 bits";
            return Err(Malformed { at, what });
        };
        if key >> 3 == 0 {
            let what = "field number 0 does not exist";
            return Err(Malformed { at, what });
        }
        Ok((key >> 3, (key & 7) as u8))
    }

    /// A varint of 64 bits.
    #[inline]
    fn number(&mut self) -> Result<u64, Malformed> {
        let rest = &self.part.bytes[self.at..];
        if let Some(&first) = rest.first()
            && first < 0x80
        {
            self.at += 1;
            return Ok(u64::from(first));
        }
        let mut number = 0_u64;
        for (i, &byte) in rest.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                if i == 9 && byte > 1 {
                    return Err(self.wrong("a varint is larger than 64 bits"));
                }
                self.at += i + 1;
                return Ok(number);
            }
        }
        Err(self.wrong(if rest.len() < 10 {
            "the message ends within a varint"
        } else {
            "a varint has more than ten bytes"
        }))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.part.bytes.get(self.at..self.at + N);
        let Some(bytes) = bytes.and_then(|b| b.try_into().ok()) else {
            return Err(self.wrong("the message ends within a number"));
        };
        self.at += N;
        Ok(bytes)
    }

    #[inline]
    fn part(&mut self) -> Result<Part<'a>, Malformed> {
        let length = self.number()?;
        let rest = &self.part.bytes[self.at..];
        let bytes = usize::try_from(length).ok().and_then(|n| rest.get(..n));
        let Some(bytes) = bytes else {
            return Err(self.wrong("a length reaches beyond the end of its message"));
        };
        let at = self.part.at + self.at;
        self.at += bytes.len();
        Ok(Part { bytes, at })
    }

    /// Steps over a group whose beginning was read; what is open is a stack of at most
    /// [`MAX_GROUPS`], not the program's.
    fn step_over_group(&mut self, number: u32, at: usize) -> Result<(), Malformed> {
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            if self.at >= self.part.bytes.len() {
                let what = "the message ends within a group";
                return Err(Malformed { at, what });
            }
            let (number, kind) = self.key()?;
            match kind {
                0 => drop(self.number()?),
                1 => drop(self.array::<8>()?),
                2 => drop(self.part()?),
                5 => drop(self.array::<4>()?),
                3 if open.len() as u32 >= MAX_GROUPS => {
                    return Err(self.wrong("groups are nested too deep"));
                }
                3 => open.push(number),
                4 if number == innermost => drop(open.pop()),
                4 => return Err(self.wrong("a group ends that did not begin last")),
                _ => return Err(self.wrong("this wire type does not exist")),
            }
        }
        Ok(())
    }

    fn wrong(&self, what: &'static str) -> Malformed {
        Malformed {
            at: self.part.at + self.at,
            what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Result<Vec<Field<'_>>, Malformed> {
        let mut walk = Part::body(bytes).walk();
        let mut fields = vec![];
        while let Some(field) = walk.next()? {
            fields.push(field);
        }
        Ok(fields)
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_offset() {
        for (bytes, at, part) in [
            (&[0x0a, 5, 1][..], 2, "beyond the end"),
            (&[0x08, 0x80], 1, "within a varint"),
            (
                &[
                    0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,
                ],
                1,
                "64 bits",
            ),
            (
                &[
                    0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81,
                ],
                1,
                "ten bytes",
            ),
            (&[0x09, 1, 2, 3], 1, "within a number"),
            (&[0x02, 0], 0, "number 0"),
            (&[0x08, 1, 0x0e], 2, "wire type"),
            (&[0x0c], 0, "never began"),
            (&[0x0b, 0x14], 2, "did not begin last"),
            (&[0x0b, 0x08, 1], 0, "within a group"),
            (
                &[
                    0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
                ],
                11,
                "beyond the end",
            ),
            (&[0xf8, 0xff, 0xff, 0xff, 0xff, 0x0f, 1], 0, "32 bits"),
        ] {
            let error = all(bytes).unwrap_err();
            assert!(
                error.at == at && error.what.contains(part),
                "{bytes:?}: {error}"
            );
        }
        assert!(all(&[0x0b; 400]).unwrap_err().what.contains("too deep"));
        let text = Part {
            bytes: b"ab\xff",
            at: 7,
        };
        assert_eq!(text.text().unwrap_err().at, 9);
    }

    #[test]
    fn groups_are_stepped_over_with_what_is_in_them() {
        // Field 1 = 7, group 2 { 3: "x", group 4 {} }, field 5 = 9.
        let bytes = [0x08, 7, 0x13, 0x1a, 1, b'x', 0x23, 0x24, 0x14, 0x28, 9];
        let fields = all(&bytes).unwrap();
        let numbers: Vec<_> = fields
            .iter()
            .map(|f| (f.number, f.varint().unwrap()))
            .collect();
        assert_eq!(numbers, [(1, 7), (5, 9)]);
    }

    #[test]
    fn regression_packed_varints_end_with_the_first_that_is_none() {
        let part = Part::body(&[1, 0x80, 0x80]);
        let numbers: Vec<_> = part.packed_varints().collect();
        assert!(numbers[0] == Ok(1) && numbers[1].is_err() && numbers.len() == 2);
    }

    #[test]
    fn a_field_of_another_type_than_expected_is_refused() {
        let fields = all(&[0x08, 7, 0x12, 1, 9]).unwrap();
        assert!(fields[0].part().is_err() && fields[0].fixed64().is_err());
        assert!(fields[1].varint().is_err());
        assert_eq!(fields[0].sint32().unwrap(), -4);
        assert!(fields[1].part().unwrap().packed64().is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_a_panic(bytes: Vec<u8>) {
            if let Ok(fields) = all(&bytes) {
                for field in fields {
                    let Ok(part) = field.part() else { continue };
                    prop_assert_eq!(part.bytes, &bytes[part.at..part.at + part.bytes.len()]);
                    let _ = (all(part.bytes), part.text(), part.packed64().map(Iterator::count));
                    let _ = part.packed_varints().count();
                }
            }
        }

        #[test]
        fn a_varint_comes_back(number: u64, more: Vec<u8>) {
            let mut bytes = vec![0x08];
            prost::encoding::encode_varint(number, &mut bytes);
            let fields = all(&bytes).unwrap();
            prop_assert_eq!(fields[0].value, Value::Varint(number));
            bytes.extend(more);
            let mut walk = Part::body(&bytes).walk();
            prop_assert_eq!(walk.next().unwrap().unwrap().value, Value::Varint(number));
        }
    }
}
