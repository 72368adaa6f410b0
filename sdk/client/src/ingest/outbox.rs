//! The ingest protocol without its wire: what is unacknowledged, what must be sent again after a
//! reconnect, and when a flush is over. Pure, so that every order of events can be tested.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tidegate_proto::v1;

/// Rejections that are kept word for word; the rest is counted.
const MAX_REJECTIONS: usize = 100;

/// What a series is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesKey {
    /// TENANT/NAME.
    pub api: String,
    /// What is measured.
    pub signal: v1::Signal,
    /// Length of a step, in seconds.
    pub step_s: u32,
}

/// One observation of one step.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A count (`requests`, `errors`) or a mean in the signal's unit.
    Number(f64),
    /// Latencies.
    Distribution(v1::Distribution),
}

/// A value and the step that it covers.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Start of the step, in milliseconds since the epoch.
    pub start_ms: i64,
    /// What was observed.
    pub value: Value,
}

/// What became of everything that was acked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// Samples that were added to what is on disk.
    pub stored: u64,
    /// Samples that were there already.
    pub duplicates: u64,
    /// Samples that were not admitted.
    pub rejected: u64,
    /// Why, for the first hundred.
    pub rejections: Vec<v1::Rejection>,
}

#[derive(Debug, Clone)]
struct Batch {
    sequence: u64,
    series: Vec<v1::SeriesSamples>,
    sent: bool,
}

/// Samples that are gathered, frames that are under way.
#[derive(Debug, Default)]
pub struct Outbox {
    gathered: BTreeMap<SeriesKey, Vec<Sample>>,
    gathered_samples: usize,
    refs: BTreeMap<SeriesKey, u32>,
    names: BTreeMap<u32, SeriesKey>,
    declared: BTreeSet<u32>,
    batches: VecDeque<Batch>,
    last_sequence: u64,
    totals: Totals,
}

impl Outbox {
    /// Gathers a sample; sends nothing.
    pub fn add(&mut self, key: &SeriesKey, sample: Sample) {
        match self.gathered.get_mut(key) {
            Some(samples) => samples.push(sample),
            None => {
                self.gathered.insert(key.clone(), vec![sample]);
            }
        }
        self.gathered_samples += 1;
    }

    /// Samples that are gathered and in no frame yet.
    #[must_use]
    pub fn gathered(&self) -> usize {
        self.gathered_samples
    }

    /// Frames without an ack.
    #[must_use]
    pub fn unacked(&self) -> usize {
        self.batches.len()
    }

    /// What became of everything that was acked.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Puts everything gathered into one frame; false when there was nothing.
    pub fn seal(&mut self) -> bool {
        if self.gathered_samples == 0 {
            return false;
        }
        self.gathered_samples = 0;
        let mut series = Vec::with_capacity(self.gathered.len());
        for (key, samples) in std::mem::take(&mut self.gathered) {
            let series_ref = self.reference(&key);
            for columns in columns(&key, samples) {
                series.push(v1::SeriesSamples {
                    series_ref,
                    columns: Some(columns),
                });
            }
        }
        self.last_sequence += 1;
        self.batches.push_back(Batch {
            sequence: self.last_sequence,
            series,
            sent: false,
        });
        true
    }

    /// The next frame to send, if fewer than `window` are under way. It declares what this stream
    /// has not heard of yet.
    pub fn next_frame(&mut self, window: usize) -> Option<v1::SampleFrame> {
        if self.batches.iter().filter(|b| b.sent).count() >= window {
            return None;
        }
        let batch = self.batches.iter_mut().find(|b| !b.sent)?;
        batch.sent = true;
        let (sequence, series) = (batch.sequence, batch.series.clone());
        let mut declare = Vec::new();
        for samples in &series {
            if !self.declared.insert(samples.series_ref) {
                continue;
            }
            if let Some(key) = self.names.get(&samples.series_ref) {
                declare.push(v1::SeriesDeclaration {
                    series_ref: samples.series_ref,
                    api: key.api.clone(),
                    signal: key.signal.into(),
                    step_s: key.step_s,
                });
            }
        }
        Some(v1::SampleFrame {
            sequence,
            declare,
            series,
        })
    }

    /// Takes an ack. `Some(wait in ms)` when the frame is to be sent again after a while.
    pub fn ack(&mut self, ack: v1::SampleAck) -> Option<u64> {
        let place = self
            .batches
            .iter()
            .position(|b| b.sequence == ack.sequence)?;
        let mut batch = self.batches.remove(place)?;
        if let Some(error) = ack.error {
            if error.retry_after_ms > 0 {
                // Sequences rise on a stream: what is repeated gets a new one, behind the others.
                self.last_sequence += 1;
                batch.sequence = self.last_sequence;
                batch.sent = false;
                self.batches.push_back(batch);
                return Some(error.retry_after_ms);
            }
            let samples = batch
                .series
                .iter()
                .filter_map(|s| s.columns.as_ref())
                .map(count)
                .sum();
            self.reject(v1::Rejection {
                field: "frame".into(),
                samples,
                reason: error.message,
            });
            return None;
        }
        self.totals.stored += ack.stored;
        self.totals.duplicates += ack.duplicates;
        ack.rejections.into_iter().for_each(|r| self.reject(r));
        None
    }

    /// The stream is gone: whatever is without an ack is due again, in the old order, and the next
    /// stream knows no series. A frame that was stored after all is told as duplicates.
    pub fn disconnected(&mut self) {
        self.declared.clear();
        for batch in &mut self.batches {
            batch.sent = false;
        }
    }

    fn reference(&mut self, key: &SeriesKey) -> u32 {
        if let Some(&known) = self.refs.get(key) {
            return known;
        }
        let next = u32::try_from(self.refs.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        self.refs.insert(key.clone(), next);
        self.names.insert(next, key.clone());
        next
    }

    fn reject(&mut self, rejection: v1::Rejection) {
        self.totals.rejected += rejection.samples;
        if self.totals.rejections.len() < MAX_REJECTIONS {
            self.totals.rejections.push(rejection);
        }
    }
}

fn count(columns: &v1::Columns) -> u64 {
    (columns.values.len() + columns.distributions.len()) as u64
}

/// Samples as columns: numbers and distributions apart, regular ones without their instants.
fn columns(key: &SeriesKey, samples: Vec<Sample>) -> Vec<v1::Columns> {
    let step_ms = i64::from(key.step_s) * 1000;
    let (mut numbers, mut shapes) = (v1::Columns::default(), v1::Columns::default());
    let (mut number_times, mut shape_times) = (Vec::new(), Vec::new());
    for sample in samples {
        match sample.value {
            Value::Number(number) => {
                number_times.push(sample.start_ms);
                numbers.values.push(number);
            }
            Value::Distribution(shape) => {
                shape_times.push(sample.start_ms);
                shapes.distributions.push(shape);
            }
        }
    }
    let mut filled = Vec::new();
    for (mut columns, times) in [(numbers, number_times), (shapes, shape_times)] {
        let Some(&first) = times.first() else {
            continue;
        };
        columns.start_ms = first;
        let deltas: Vec<i64> = times
            .windows(2)
            .map(|w| w[1].saturating_sub(w[0]))
            .collect();
        if deltas.iter().any(|&d| d != step_ms) {
            columns.delta_ms = deltas;
        }
        filled.push(columns);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> SeriesKey {
        SeriesKey {
            api: format!("shop/{name}"),
            signal: v1::Signal::Requests,
            step_s: 60,
        }
    }

    fn sample(minute: i64, value: f64) -> Sample {
        Sample {
            start_ms: minute * 60_000,
            value: Value::Number(value),
        }
    }

    fn ack(sequence: u64, stored: u64) -> v1::SampleAck {
        v1::SampleAck {
            sequence,
            stored,
            ..Default::default()
        }
    }

    #[test]
    fn a_series_is_declared_once_per_stream() {
        let mut outbox = Outbox::default();
        outbox.add(&key("a"), sample(0, 1.0));
        outbox.seal();
        outbox.add(&key("a"), sample(1, 2.0));
        outbox.add(&key("b"), sample(1, 2.0));
        outbox.seal();
        assert_eq!(outbox.next_frame(8).unwrap().declare.len(), 1);
        let second = outbox.next_frame(8).unwrap();
        let declared: Vec<&str> = second.declare.iter().map(|d| d.api.as_str()).collect();
        assert_eq!(declared, ["shop/b"]);
        assert!(outbox.next_frame(8).is_none());
    }

    #[test]
    fn a_broken_stream_makes_unacked_frames_due_again_with_their_declarations() {
        let mut outbox = Outbox::default();
        for minute in 0..3 {
            outbox.add(&key("a"), sample(minute, 1.0));
            outbox.seal();
            outbox.next_frame(8).unwrap();
        }
        outbox.ack(ack(1, 1));
        outbox.disconnected();
        let again = outbox.next_frame(8).unwrap();
        assert_eq!((again.sequence, again.declare.len()), (2, 1));
        assert_eq!(outbox.next_frame(8).unwrap().sequence, 3);
        outbox.ack(v1::SampleAck {
            sequence: 2,
            duplicates: 1,
            ..Default::default()
        });
        outbox.ack(ack(3, 1));
        assert_eq!(outbox.unacked(), 0);
        assert_eq!((outbox.totals().stored, outbox.totals().duplicates), (2, 1));
    }

    #[test]
    fn the_window_bounds_what_is_under_way() {
        let mut outbox = Outbox::default();
        for minute in 0..3 {
            outbox.add(&key("a"), sample(minute, 1.0));
            outbox.seal();
        }
        assert!(outbox.next_frame(2).is_some() && outbox.next_frame(2).is_some());
        assert!(outbox.next_frame(2).is_none());
        outbox.ack(ack(1, 1));
        assert_eq!(outbox.next_frame(2).unwrap().sequence, 3);
    }

    #[test]
    fn a_frame_that_may_be_retried_comes_again_under_a_new_sequence() {
        let mut outbox = Outbox::default();
        outbox.add(&key("a"), sample(0, 1.0));
        outbox.seal();
        outbox.next_frame(1).unwrap();
        let error = v1::FrameError {
            code: 8,
            message: "slow down".into(),
            retry_after_ms: 50,
        };
        let wait = outbox.ack(v1::SampleAck {
            sequence: 1,
            error: Some(error),
            ..Default::default()
        });
        assert_eq!(wait, Some(50));
        assert_eq!(outbox.next_frame(1).unwrap().sequence, 2);
    }

    #[test]
    fn a_frame_that_would_fail_again_is_counted_as_rejected_and_not_repeated() {
        let mut outbox = Outbox::default();
        outbox.add(&key("a"), sample(0, 1.0));
        outbox.add(&key("a"), sample(1, 1.0));
        outbox.seal();
        outbox.next_frame(1).unwrap();
        let error = v1::FrameError {
            code: 5,
            message: "no such api".into(),
            retry_after_ms: 0,
        };
        outbox.ack(v1::SampleAck {
            sequence: 1,
            error: Some(error),
            ..Default::default()
        });
        assert_eq!((outbox.unacked(), outbox.totals().rejected), (0, 2));
        assert_eq!(outbox.totals().rejections[0].reason, "no such api");
    }

    #[test]
    fn a_regular_column_carries_no_instants_and_a_gap_does() {
        let mut outbox = Outbox::default();
        [0, 1, 2]
            .into_iter()
            .for_each(|m| outbox.add(&key("a"), sample(m, 1.0)));
        [0, 2]
            .into_iter()
            .for_each(|m| outbox.add(&key("b"), sample(m, 1.0)));
        outbox.seal();
        let frame = outbox.next_frame(1).unwrap();
        let deltas = |i: usize| frame.series[i].columns.as_ref().unwrap().delta_ms.clone();
        assert!(deltas(0).is_empty());
        assert_eq!(deltas(1), [120_000]);
    }
}
