//! Prometheus remote write, 1.0 and 2.0: series with their samples, nothing copied.
//!
//! Both are read into the same thing: the bytes that name a series, and its samples. In 1.0 labels
//! are texts in the message, and their fields as they stand there are the name: nearly all were seen a
//! moment ago, so they are compared, and read ([`Series::labels`]) only where they are new. In 2.0 they are
//! numbers in a table of texts that comes with each request, so the name is put together from what they
//! stand for, and a sender that numbers its table otherwise next time still names the same series. Native
//! histograms are the same message in both ([`Native`]).
//!
//! What is wrong with the bytes refuses the request; a series whose labels are damaged or break the rules
//! (a label twice, no metric name, a number beyond the table) is told and refused alone.
//!
//! Sources: prometheus.io, "Remote-Write 1.0" and "2.0"; `prometheus/prompb/remote.proto`,
//! `io/prometheus/write/v2/types.proto`.

mod native;

pub use native::{Native, Told};

use crate::wire::{Field, Malformed, Part, Value};
use std::borrow::Cow;

/// The value by which Prometheus says that a series has ended.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// A sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When it was read, in milliseconds since the epoch.
    pub time: i64,
    /// Since when it counts; `None` where the sender does not say.
    pub start: Option<i64>,
    /// Its value, as bits: a stale marker is a NaN of its own.
    pub bits: u64,
}

/// Which form a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    One,
    /// `io.prometheus.write.v2.Request`.
    Two,
}

/// What a sender says that a series is, in 2.0 alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Nothing that its name would not say better: unknown, or a part of a histogram or summary.
    #[default]
    Unknown,
    /// It only grows.
    Counter,
    /// It may fall.
    Level,
}

/// A series of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Series<'a> {
    /// Names it: the same bytes, from the same sender in the same form, are the same series.
    pub name: &'a [u8],
    /// How `name` is to be read.
    pub form: Version,
    /// What it is.
    pub kind: Kind,
    /// Its samples.
    pub samples: &'a [Sample],
    /// Its native histograms.
    pub histograms: &'a [Native],
    /// Exemplars that came with it, which are not kept.
    pub exemplars: u64,
}

/// Who listens to a walk.
pub trait Sink {
    /// A series.
    fn series(&mut self, series: &Series<'_>);

    /// A series whose labels cannot be used: so many samples and histograms, and why.
    fn unusable(&mut self, samples: u64, why: &'static str);
}

impl<'a> Series<'a> {
    /// Its labels, by name. Both specifications want them sent so, but vmagent puts its own behind those
    /// of the metric, and Fluent Bit and Netdata do not sort at all; what they mean is plain all the same,
    /// unless a name stands twice.
    ///
    /// # Errors
    /// When they break the rules; text for the sender.
    pub fn labels(&self) -> Result<Vec<(&'a str, &'a str)>, Cow<'static, str>> {
        let texts = match self.form {
            Version::One => fields(self.name).map_err(|_| "a label is damaged")?,
            Version::Two => texts(self.name)?,
        };
        let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(texts.len() / 2);
        for pair in texts.chunks_exact(2) {
            let text = |i: usize| std::str::from_utf8(pair[i]).map_err(|_| "a label is not UTF-8");
            let (name, value) = (text(0)?, text(1)?);
            if name.is_empty() {
                return Err("a label has no name".into());
            }
            // In Prometheus' model, a label without a value is none.
            if !value.is_empty() {
                pairs.push((name, value));
            }
        }
        if pairs.is_empty() {
            return Err("it has no labels".into());
        }
        pairs.sort_unstable();
        let twice = pairs.windows(2).find(|two| two[0].0 == two[1].0);
        if let Some([(name, _), _]) = twice {
            let problem = format!("its label `{name:.100}` stands twice; send it once");
            return Err(problem.into());
        }
        Ok(pairs)
    }

    /// The value of the first label that has one of some names and a value, without a look at whether all of them
    /// can be read.
    pub fn value_of(&self, names: &[&str]) -> Option<&'a [u8]> {
        let is = |(name, value): &(&[u8], &[u8])| {
            !value.is_empty() && names.iter().any(|n| n.as_bytes() == *name)
        };
        let found = match self.form {
            Version::One => {
                let mut labels = Part::body(self.name).walk();
                std::iter::from_fn(|| pair(labels.next().ok()??).ok()).find(is)
            }
            Version::Two => {
                let mut rest = self.name;
                std::iter::from_fn(|| Some((text(&mut rest)?, text(&mut rest)?))).find(is)
            }
        };
        found.map(|(_, value)| value)
    }
}

/// Names and values of labels that stand as fields of a series.
fn fields(name: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut texts = vec![];
    let mut labels = Part::body(name).walk();
    while let Some(label) = labels.next()? {
        let (name, value) = pair(label)?;
        texts.extend([name, value]);
    }
    Ok(texts)
}

/// `Label`: name = 1, value = 2.
fn pair<'a>(label: Field<'a>) -> Result<(&'a [u8], &'a [u8]), Malformed> {
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    let mut label = label.part()?.walk();
    while let Some(field) = label.next()? {
        match field.number {
            1 => name = field.part()?.bytes,
            2 => value = field.part()?.bytes,
            _ => {}
        }
    }
    Ok((name, value))
}

/// Texts, each with its length before it.
fn texts(name: &[u8]) -> Result<Vec<&[u8]>, &'static str> {
    let mut texts = vec![];
    let mut rest = name;
    while !rest.is_empty() {
        texts.push(text(&mut rest).ok_or("its name is cut off")?);
    }
    Ok(texts)
}

/// The next one.
fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, tail) = rest.split_first_chunk::<4>()?;
    let (text, tail) = tail.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *rest = tail;
    Some(text)
}

/// Buffers of a walk.
#[derive(Default)]
struct Scratch {
    name: Vec<u8>,
    samples: Vec<Sample>,
    refs: Vec<u64>,
    histograms: Vec<Native>,
    exemplars: u64,
    kind: Kind,
}

/// Goes through a request.
///
/// # Errors
/// When the body is no such message; the sink may have heard a part of it then.
pub fn walk(body: &[u8], version: Version, sink: &mut impl Sink) -> Result<(), Malformed> {
    let mut scratch = Scratch::default();
    let mut symbols: Vec<&[u8]> = vec![];
    let series = match version {
        Version::One => 1,
        Version::Two => 5,
    };
    if version == Version::Two {
        let mut fields = Part::body(body).walk();
        while let Some(field) = fields.next()? {
            if field.number == 4 {
                symbols.push(field.part()?.bytes);
            }
        }
    }
    let mut fields = Part::body(body).walk();
    while let Some(field) = fields.next()? {
        if field.number != series {
            continue;
        }
        let part = field.part()?;
        let name = match version {
            Version::One => scratch.one(part)?,
            Version::Two => {
                scratch.two(part)?;
                if let Err(why) = scratch.resolve(&symbols) {
                    sink.unusable(scratch.points(), why);
                    continue;
                }
                None
            }
        };
        sink.series(&Series {
            name: name.unwrap_or(&scratch.name),
            form: version,
            kind: scratch.kind,
            samples: &scratch.samples,
            histograms: &scratch.histograms,
            exemplars: scratch.exemplars,
        });
    }
    Ok(())
}

/// `Metadata`: type = 1.
fn kind(metadata: Part<'_>) -> Result<Kind, Malformed> {
    let mut kind = Kind::Unknown;
    let mut fields = metadata.walk();
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            kind = match field.varint()? {
                1 => Kind::Counter,
                // Gauges and histograms of them, infos and sets of states.
                2 | 4 | 6 | 7 => Kind::Level,
                _ => Kind::Unknown,
            };
        }
    }
    Ok(kind)
}

fn put(to: &mut Vec<u8>, text: &[u8]) {
    to.extend_from_slice(&(text.len() as u32).to_le_bytes());
    to.extend_from_slice(text);
}

impl Scratch {
    fn clear(&mut self) {
        self.name.clear();
        self.samples.clear();
        self.refs.clear();
        self.histograms.clear();
        self.exemplars = 0;
        self.kind = Kind::Unknown;
    }

    fn points(&self) -> u64 {
        (self.samples.len() + self.histograms.len()) as u64
    }

    /// `prometheus.TimeSeries`: labels = 1, samples = 2, exemplars = 3, histograms = 4. Gives out the fields of
    /// the labels where they stand side by side, as nearly everybody writes them; otherwise they are
    /// gathered in the name.
    fn one<'a>(&mut self, part: Part<'a>) -> Result<Option<&'a [u8]>, Malformed> {
        self.clear();
        // Where the labels begin and end; more than one stretch of them is copied.
        let mut stretch = 0..0;
        let mut fields = part.walk();
        loop {
            let from = fields.offset();
            let Some(field) = fields.next()? else {
                break;
            };
            match field.number {
                1 => {
                    field.part()?;
                    if stretch.end != from && !stretch.is_empty() {
                        self.name.extend_from_slice(&part.bytes[stretch]);
                        stretch = from..from;
                    } else if stretch.is_empty() {
                        stretch = from..from;
                    }
                    stretch.end = fields.offset();
                }
                2 => self.sample(field.part()?)?,
                3 => self.exemplars += 1,
                4 => self.histograms.push(native::read(field.part()?)?),
                _ => {}
            }
        }
        if self.name.is_empty() {
            return Ok(Some(&part.bytes[stretch]));
        }
        self.name.extend_from_slice(&part.bytes[stretch]);
        Ok(None)
    }

    /// `io.prometheus.write.v2.TimeSeries`: labels_refs = 1, samples = 2, histograms = 3,
    /// exemplars = 4, metadata = 5, and in early forms created_timestamp = 6.
    fn two(&mut self, part: Part<'_>) -> Result<(), Malformed> {
        self.clear();
        let mut created = 0;
        let mut fields = part.walk();
        while let Some(field) = fields.next()? {
            match (field.number, field.value) {
                (1, Value::Part(packed)) => {
                    for number in packed.packed_varints() {
                        self.refs.push(number?);
                    }
                }
                (1, _) => self.refs.push(field.varint()?),
                (2, _) => self.sample(field.part()?)?,
                (3, _) => self.histograms.push(native::read(field.part()?)?),
                (4, _) => self.exemplars += 1,
                (5, _) => self.kind = kind(field.part()?)?,
                (6, _) => created = field.varint()? as i64,
                _ => {}
            }
        }
        if created > 0 {
            let open = self.samples.iter_mut().filter(|s| s.start.is_none());
            open.for_each(|s| s.start = Some(created));
            let open = self.histograms.iter_mut().filter(|h| h.start.is_none());
            open.for_each(|h| h.start = Some(created));
        }
        Ok(())
    }

    /// `Sample`: value = 1, timestamp = 2, and in later forms of 2.0 start_timestamp = 3.
    fn sample(&mut self, part: Part<'_>) -> Result<(), Malformed> {
        let mut sample = Sample {
            time: 0,
            start: None,
            bits: 0,
        };
        let mut fields = part.walk();
        while let Some(field) = fields.next()? {
            match field.number {
                1 => sample.bits = field.fixed64()?,
                2 => sample.time = field.varint()? as i64,
                3 => sample.start = Some(field.varint()? as i64).filter(|s| *s > 0),
                _ => {}
            }
        }
        self.samples.push(sample);
        Ok(())
    }

    fn resolve(&mut self, symbols: &[&[u8]]) -> Result<(), &'static str> {
        if !self.refs.len().is_multiple_of(2) {
            return Err("its labels are not pairs");
        }
        for number in &self.refs {
            let text = usize::try_from(*number).ok().and_then(|n| symbols.get(n));
            put(
                &mut self.name,
                text.ok_or("a label stands beyond the table of symbols")?,
            );
        }
        Ok(())
    }
}
