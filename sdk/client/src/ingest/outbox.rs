//! The ingest protocol without its wire: what is unacknowledged, what must be sent again after a
//! reconnect, and when a flush is over. Pure, so that every order of events can be tested.

use super::pack;
use super::sample::{Sample, SeriesKey, bytes, count};
use super::spill::{Content, content};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tidegate_proto::v1;

/// Rejections that are kept word for word; the rest is counted.
const MAX_REJECTIONS: usize = 100;

/// What became of everything that was acked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// Samples that were added to what is on disk.
    pub stored: u64,
    /// Samples that were there already.
    pub duplicates: u64,
    /// Samples that were older than the store still takes.
    pub late: u64,
    /// Samples that were not admitted.
    pub rejected: u64,
    /// Why, for the first hundred.
    pub rejections: Vec<v1::Rejection>,
}

/// How much a server takes without an ack, and how it can be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Frames.
    pub frames: usize,
    /// Bytes, as the server's terms count them; a frame that is larger goes alone.
    pub bytes: usize,
    /// Whether the server reads grids.
    pub grids: bool,
}

impl Window {
    /// What the first ack of a stream tells. A server that tells no terms is one of before grids,
    /// which would pass over them.
    #[must_use]
    pub fn of(greeting: &v1::SampleAck) -> Self {
        let terms = greeting.terms.as_ref();
        let bytes = terms.map_or(u64::MAX, |t| t.max_unacked_bytes);
        Self {
            frames: greeting.max_unacked.max(1) as usize,
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            grids: terms.is_some(),
        }
    }
}

#[derive(Debug, Clone)]
struct Batch {
    /// Given when it is first sent; it is kept over reconnects, so that a resumed stream knows it.
    sequence: Option<u64>,
    series: Vec<v1::SeriesSamples>,
    sent: bool,
    samples: u64,
    bytes: usize,
}

/// Samples that are gathered, frames that are under way.
#[derive(Debug, Default)]
pub struct Outbox {
    gathered: BTreeMap<SeriesKey, Vec<Sample>>,
    gathered_samples: usize,
    gathered_bytes: usize,
    refs: BTreeMap<SeriesKey, u32>,
    names: BTreeMap<u32, SeriesKey>,
    declared: BTreeSet<u32>,
    batches: VecDeque<Batch>,
    /// Of all batches.
    batch_bytes: usize,
    last_sequence: u64,
    heard: u64,
    /// A frame is to be sent again: nothing more goes out until all that are under way are settled,
    /// so that nothing overtakes it. Samples that come too far behind others would be late.
    pushed_back: bool,
    totals: Totals,
}

impl Outbox {
    /// Gathers a sample; sends nothing.
    pub fn add(&mut self, key: &SeriesKey, sample: Sample) {
        self.gathered_bytes += sample.bytes();
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

    /// Frames that were sent on this stream and have no ack yet.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.batches.iter().filter(|b| b.sent).count()
    }

    /// Samples that are held: gathered, or in a frame without an ack.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.gathered_samples as u64 + self.batches.iter().map(|b| b.samples).sum::<u64>()
    }

    /// Bytes that they take, as the server's terms count them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.batch_bytes + self.gathered_bytes
    }

    /// Bytes of the frames alone.
    pub(super) fn batch_bytes(&self) -> usize {
        self.batch_bytes
    }

    /// What became of everything that was acked.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Puts everything gathered into one frame; false when there was nothing.
    pub fn seal(&mut self) -> bool {
        match self.take_gathered() {
            Some(content) => self.put(content),
            None => return false,
        }
        true
    }

    /// Everything gathered, as it would be put into a frame that waits elsewhere.
    pub(super) fn gathered_content(&self) -> Content {
        content(self.gathered.clone())
    }

    /// Takes out everything gathered.
    pub(super) fn take_gathered(&mut self) -> Option<Content> {
        if self.gathered_samples == 0 {
            return None;
        }
        (self.gathered_samples, self.gathered_bytes) = (0, 0);
        Some(content(std::mem::take(&mut self.gathered)))
    }

    /// Puts a frame behind all others.
    pub(super) fn put(&mut self, content: Content) {
        let (mut samples, mut all) = (0, 0);
        let mut series = Vec::with_capacity(content.len());
        for (key, columns) in content {
            samples += count(&columns);
            all += bytes(&columns);
            series.push(v1::SeriesSamples {
                series_ref: self.reference(&key),
                columns: Some(columns),
            });
        }
        self.batch_bytes += all;
        self.batches.push_back(Batch {
            sequence: None,
            series,
            sent: false,
            samples,
            bytes: all,
        });
    }

    /// Drops the oldest frame that is not under way; how many samples that were, 0 where there is
    /// none.
    pub fn drop_oldest(&mut self) -> u64 {
        let oldest = self.batches.iter().position(|b| !b.sent);
        let Some(batch) = oldest.and_then(|place| self.batches.remove(place)) else {
            return 0;
        };
        self.batch_bytes -= batch.bytes;
        batch.samples
    }

    /// Whether a frame may be sent now.
    #[must_use]
    pub fn may_send(&self, window: Window) -> bool {
        let sent = || self.batches.iter().filter(|b| b.sent);
        let frames = sent().count();
        if self.pushed_back && frames > 0 {
            return false;
        }
        let fits = frames == 0
            || (frames < window.frames && sent().map(|b| b.bytes).sum::<usize>() < window.bytes);
        fits && frames < self.batches.len()
    }

    /// The next frame to send, if the window has room. It declares what this stream has not heard
    /// of yet.
    pub fn next_frame(&mut self, window: Window) -> Option<v1::SampleFrame> {
        if !self.may_send(window) {
            return None;
        }
        self.pushed_back = false;
        let batch = self.batches.iter_mut().find(|b| !b.sent)?;
        batch.sent = true;
        let sequence = *batch.sequence.get_or_insert_with(|| {
            self.last_sequence += 1;
            self.last_sequence
        });
        let mut declare = Vec::new();
        for samples in &batch.series {
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
        let step_s = |reference| self.names.get(&reference).map(|key| key.step_s);
        let (series, grids) = if window.grids {
            pack::grids(&batch.series, step_s)
        } else {
            (batch.series.clone(), vec![])
        };
        Some(v1::SampleFrame {
            sequence,
            declare,
            series,
            grids,
            open: None,
        })
    }

    /// The frame that opens a session on a new stream.
    #[must_use]
    pub fn opening(&self, session: &str) -> v1::SampleFrame {
        v1::SampleFrame {
            open: Some(v1::StreamOpening {
                session: session.into(),
                heard: self.heard,
            }),
            ..v1::SampleFrame::default()
        }
    }

    /// The server has taken every frame up to this one: their acks come, and they are not sent again.
    pub fn resumed(&mut self, taken: u64) {
        for batch in &mut self.batches {
            batch.sent = batch.sequence.is_some_and(|sequence| sequence <= taken);
        }
        // What another life of this session had sent.
        self.last_sequence = self.last_sequence.max(taken);
    }

    /// Takes an ack. `Some(wait in ms)` when the frame is to be sent again after a while.
    pub fn ack(&mut self, ack: v1::SampleAck) -> Option<u64> {
        self.heard = self.heard.max(ack.sequence);
        let of_it = |b: &Batch| b.sequence == Some(ack.sequence);
        let place = self.batches.iter().position(of_it)?;
        if let Some(error) = &ack.error
            && error.retry_after_ms > 0
        {
            // It keeps its place, and sequences rise on a stream: it gets a new one.
            let batch = self.batches.get_mut(place)?;
            (batch.sequence, batch.sent) = (None, false);
            self.pushed_back = true;
            return Some(error.retry_after_ms);
        }
        let batch = self.batches.remove(place)?;
        if let Some(error) = ack.error {
            self.batch_bytes -= batch.bytes;
            self.reject(v1::Rejection {
                field: "frame".into(),
                samples: batch.samples,
                reason: error.message,
            });
            return None;
        }
        self.batch_bytes -= batch.bytes;
        self.totals.stored += ack.stored;
        self.totals.duplicates += ack.duplicates;
        self.totals.late += ack.late;
        ack.rejections.into_iter().for_each(|r| self.reject(r));
        None
    }

    /// The stream is gone: whatever is without an ack is due again, in the old order, and the next
    /// stream knows no series. A frame that was stored after all is told as duplicates.
    pub fn disconnected(&mut self) {
        self.declared.clear();
        self.pushed_back = false;
        let mut anew = false;
        for batch in &mut self.batches {
            batch.sent = false;
            // Behind one that gets a new number, all do.
            anew |= batch.sequence.is_none();
            if anew {
                batch.sequence = None;
            }
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

#[cfg(test)]
mod tests;
