//! What the fuzz targets and the kept corpora run over bodies of strangers and entries of the feeds' journal.
//!
//! A refusal is an answer. A finding is a panic, a histogram that no forecaster may be given, more points than
//! the body has bytes, or books that come back from their own checkpoint otherwise than they were.
//!
//! A form's answer is how many points it has read, so that one that takes a body and reads nothing is noticed
//! (`examples/fuzz.rs`, which damages bodies at random, and `cargo fuzz`, which is guided by coverage).
//!
//! Built for tests and with the feature `fuzzing` alone. A corpus is lines of `verdict form hexadecimal`.

use crate::books::{Books, Terms};
use crate::envoy::{self, Family};
use crate::histogram::{Histogram, Layout};
use crate::mapping::Matcher;
use crate::otlp::{self, Point, Sink, Wanted};
use crate::remote_write::{self, Told, Version};
use crate::wire::Part;
use std::sync::Arc;

/// Reads bytes as a form: how many points they have, and `None` where they are none. Of the journal, its streams
/// are counted; a matcher has none.
type Form = fn(&[u8]) -> Option<usize>;

/// Names and readers of all forms; the first byte of a fuzzer's input is a place in it.
pub const FORMS: [(&str, Form); 7] = [
    ("otlp", otlp),
    ("remote-write-1", |body| write(body, Version::One)),
    ("remote-write-2", |body| write(body, Version::Two)),
    ("journal", journal),
    ("envoy", envoy),
    ("matcher", |body| {
        Matcher::new(std::str::from_utf8(body).ok()?).ok()?;
        Some(0)
    }),
    ("otlp-json", json),
];

/// Reads bytes as the form that the first of them names; whether they are one.
///
/// # Panics
/// On a finding.
pub fn feeds(data: &[u8]) -> bool {
    let Some((form, body)) = data.split_first() else {
        return false;
    };
    (FORMS[usize::from(*form) % FORMS.len()].1)(body).is_some()
}

fn otlp(body: &[u8]) -> Option<usize> {
    let mut reader = Reader::default();
    let is_whole = otlp::walk(body, &mut reader).is_ok();
    reader.end(body, is_whole)
}

fn json(body: &[u8]) -> Option<usize> {
    let written = otlp::json::protobuf(body, 1 << 20).ok()?;
    let points = otlp(&written);
    assert!(points.is_some(), "what JSON becomes is always a request");
    points
}

fn write(body: &[u8], version: Version) -> Option<usize> {
    let mut reader = Reader::default();
    let is_whole = remote_write::walk(body, version, &mut reader).is_ok();
    reader.end(body, is_whole)
}

fn envoy(body: &[u8]) -> Option<usize> {
    let mut reader = Reader::default();
    let is_whole = envoy::walk(body, &mut reader).is_ok();
    reader.end(body, is_whole)
}

fn journal(entry: &[u8]) -> Option<usize> {
    let mut books = Books::new(Terms::default());
    books.replay(entry).ok()?;
    let kept = books.checkpoint();
    let mut again = Books::new(Terms::default());
    for entry in &kept {
        assert!(again.replay(entry).is_ok(), "a checkpoint is not read");
    }
    assert_eq!(again.streams(), books.streams());
    assert!(again.checkpoint() == kept, "books change by a restart");
    Some(books.streams())
}

#[derive(Default)]
struct Reader {
    points: usize,
    /// Bounds of the last histogram, and the last one.
    bounds: Arc<[f64]>,
    last: Option<Histogram>,
}

impl Reader {
    fn end(&self, body: &[u8], is_whole: bool) -> Option<usize> {
        assert!(self.points <= body.len(), "more points than bytes");
        is_whole.then_some(self.points)
    }

    fn histogram(&mut self, histogram: Histogram) {
        assert_eq!(histogram.distribution(0.001).problem(), None);
        assert!(histogram.part(3, 7, 10).count() <= histogram.count());
        if let Some(since) = self.last.as_ref().and_then(|last| histogram.since(last)) {
            assert!(since.count() <= histogram.count());
        }
        self.last = Some(histogram);
    }
}

impl Sink for Reader {
    fn resource(&mut self, resource: Part<'_>) {
        let _ = otlp::resource_attributes(resource);
    }

    fn scope(&mut self, _: Part<'_>) {}

    fn metric(&mut self, _: &otlp::Metric<'_>) -> Wanted {
        Wanted::Points
    }

    fn point(&mut self, point: &Point<'_>) {
        self.points += 1;
        for part in point.attributes {
            let _ = otlp::key_value(*part);
        }
        if let Some(histogram) = point.reading.histogram(&mut self.bounds) {
            self.histogram(histogram);
        }
    }

    fn passed_over(&mut self, _: u64) {}
}

impl remote_write::Sink for Reader {
    fn series(&mut self, series: &remote_write::Series<'_>) {
        self.points += series.samples.len() + series.histograms.len();
        let _ = series.labels();
        for native in series.histograms {
            if let Told::Histogram(histogram) = &native.told {
                self.histogram(histogram.clone());
            }
        }
    }

    fn unusable(&mut self, _: u64, _: &'static str) {}
}

impl envoy::Sink for Reader {
    fn node(&mut self, identifier: Part<'_>) {
        let _ = envoy::node(identifier);
    }

    fn family(&mut self, _: &Family<'_>) -> Wanted {
        Wanted::Points
    }

    fn metric(&mut self, metric: &envoy::Metric<'_>) {
        self.points += 1;
        for part in metric.labels {
            let _ = envoy::label(*part);
        }
        if let envoy::Reading::Histogram {
            sum,
            bounds,
            counts,
        } = metric.reading
        {
            self.histogram(Histogram {
                layout: Layout::Explicit(bounds.into()),
                counts: counts.to_vec(),
                sum: Some(sum),
            });
        }
    }

    fn passed_over(&mut self, _: u64, _: i64) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kept_body_is_taken_or_refused_as_it_was() {
        let mut met = BTreeSet::new();
        for (n, text) in include_str!("../corpus/feeds.hex").lines().enumerate() {
            let words: Vec<&str> = text.split(' ').collect();
            let &[verdict, form, digits] = &words[..] else {
                panic!("line {}", n + 1);
            };
            let at = FORMS.iter().position(|(name, _)| *name == form).unwrap();
            let pair = |i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap();
            let body = (0..digits.len()).step_by(2).map(pair);
            let data: Vec<u8> = std::iter::once(at as u8).chain(body).collect();
            let told = if feeds(&data) { "taken" } else { "refused" };
            assert_eq!(told, verdict, "line {}, {form}", n + 1);
            met.insert((form, verdict));
        }
        assert_eq!(
            met.len(),
            2 * FORMS.len(),
            "both fates of every form are kept"
        );
    }
}
