//! The bytes in which what demand has learned is kept in a record, and in which a trial outlives the
//! daemon: little endian, length-prefixed.
//!
//! A room's own and not a stored type of `core`, as a policy's state is its own: nobody else reads
//! it. What is damaged is no state, and learning begins anew.

/// Appends values.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn count(&mut self, n: usize) {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&n.to_le_bytes());
    }

    pub(crate) fn int(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn float(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.count(value.len());
        self.0.extend_from_slice(value);
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }
}

/// Takes values off the front; `None` where there are none, or where they cannot have been written.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(front)
    }

    /// A count of things that take `each` bytes at least: no more than the bytes can hold.
    pub(crate) fn count(&mut self, each: usize) -> Option<usize> {
        let n = u32::from_le_bytes(self.take(4)?.try_into().ok()?) as usize;
        (n.checked_mul(each)? <= self.0.len()).then_some(n)
    }

    pub(crate) fn int(&mut self) -> Option<i64> {
        Some(i64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    pub(crate) fn float(&mut self) -> Option<f64> {
        Some(f64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// A float that is finite and >= 0.
    pub(crate) fn sound(&mut self) -> Option<f64> {
        self.float().filter(|x| x.is_finite() && *x >= 0.0)
    }

    /// As [`Self::sound`], several.
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[f64; N]> {
        let mut all = [0.0; N];
        for slot in &mut all {
            *slot = self.sound()?;
        }
        Some(all)
    }

    /// A count of which nothing follows.
    pub(crate) fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let n = self.count(1)?;
        self.take(n)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}
