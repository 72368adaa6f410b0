//! Pairs, block by block, and what the judge makes of them.
//!
//! Differences of one block are averaged, whatever they are of, and the mean is one pair once everything
//! that could belong to the block has come. What comes later is dropped: a pair that is given out of its
//! turn could be chosen by what it says. Pairs whose losses reach over `horizon` blocks overlap, and the
//! judge deals them into as many streams.

use super::trial::Trial;
use super::{Input, Output, gate};
use crate::demand::codec::{Reader, Writer};
use crate::judge;
use std::collections::BTreeMap;
use tidegate_core::canonical;
use tidegate_core::ids::Digest;
use tidegate_core::module::ModuleRef;
use tidegate_core::policy::{Blob, Counts, Evidence, JudgeInput, Kept, Verdict};
use tidegate_core::roster::Retreat;
use tidegate_core::time::Timestamp;

/// Pairs that wait for a judge that does not answer; older ones are dropped, as if they had never come.
const WAITING: usize = 4096;

/// What is asked of two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// What plans cost in what was needed.
    Cost,
    /// What tiers cost.
    Tiers,
    /// Forecasts of the next step.
    Near,
    /// Forecasts of an hour ahead.
    Far,
    /// The first of these once more, in units of [`GROSS`] times the incumbent's loss: a difference between
    /// -1 and 1 cannot tell twice as bad from ten times, and a candidate that is a little better all day and
    /// ten times as bad in the evening would pass for a better one. It can end a trial, and nobody has to
    /// pass it.
    Gross,
}

/// The unit of [`Name::Gross`], in the incumbent's losses.
pub const GROSS: f64 = 8.0;

impl Name {
    const ALL: [Name; 5] = [Name::Cost, Name::Tiers, Name::Near, Name::Far, Name::Gross];

    /// The name in APIs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Name::Cost => "cost",
            Name::Tiers => "tiers",
            Name::Near => "near",
            Name::Far => "far",
            Name::Gross => "gross",
        }
    }

    /// In a sentence: worse by …
    #[must_use]
    pub fn said(self) -> &'static str {
        match self {
            Name::Cost => "what its plans cost",
            Name::Tiers => "what its tiers cost",
            Name::Near => "its forecasts of the next step",
            Name::Far => "its forecasts further ahead",
            Name::Gross => "what it loses at its worst",
        }
    }
}

/// What the judge said last.
#[derive(Debug, Clone, PartialEq)]
pub struct Opinion {
    /// The verdict.
    pub verdict: Verdict,
    /// One sentence.
    pub reason: String,
    /// What speaks for it.
    pub evidence: Option<Evidence>,
}

/// One question, with its pairs so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Which.
    pub name: Name,
    /// Blocks over which the losses of a pair reach, at least 1.
    pub horizon: u32,
    /// Milliseconds after the start of a block at which all of it has come.
    settles_ms: i64,
    /// Sum and number of differences, by the start of their block.
    open: BTreeMap<Timestamp, (f64, u32)>,
    /// Start of the newest block that was closed.
    closed: Timestamp,
    /// Not judged yet.
    pairs: Vec<f64>,
    /// What the judge keeps.
    judge: Kept,
    /// Pairs that were closed.
    pub seen: u64,
    /// Of them, those in which the candidate lost more.
    pub worse: u64,
    /// Their sum.
    pub sum: f64,
    /// What the judge said last.
    pub opinion: Option<Opinion>,
}

impl Question {
    /// What its judge keeps of it.
    #[must_use]
    pub fn kept(&self) -> &Kept {
        &self.judge
    }

    /// A question without any pair. `reach_ms`: from the start of a block until the last of its outcomes
    /// can be known.
    pub(super) fn new(name: Name, block_ms: i64, reach_ms: i64) -> Self {
        let lasts = (reach_ms + super::LATE_MS).max(1);
        // One block more, because outcomes are read by the cycle after they have come.
        let horizon = lasts.div_euclid(block_ms) + i64::from(lasts.rem_euclid(block_ms) > 0);
        Self {
            name,
            horizon: u32::try_from(horizon).unwrap_or(1).clamp(1, 4096),
            settles_ms: reach_ms + super::LATE_MS + 2 * block_ms,
            open: BTreeMap::new(),
            closed: Timestamp(i64::MIN),
            pairs: vec![],
            judge: Kept::default(),
            seen: 0,
            worse: 0,
            sum: 0.0,
            opinion: None,
        }
    }

    /// Takes a difference, -1 to 1, of the block that begins at `block`.
    pub(super) fn add(&mut self, block: Timestamp, difference: f64) {
        if block > self.closed && difference.is_finite() {
            let of = self.open.entry(block).or_insert((0.0, 0));
            *of = (of.0 + difference.clamp(-1.0, 1.0), of.1.saturating_add(1));
        }
    }

    /// Closes the blocks of which everything has come.
    pub(super) fn settle(&mut self, now: Timestamp) {
        while let Some(entry) = self.open.first_entry() {
            if now.since_ms(*entry.key()) < self.settles_ms {
                break;
            }
            let (start, (sum, count)) = entry.remove_entry();
            self.closed = start;
            let mean = sum / f64::from(count.max(1));
            self.pairs.push(mean);
            self.seen += 1;
            self.worse += u64::from(mean > 0.0);
            self.sum += mean;
        }
        let surplus = self.pairs.len().saturating_sub(WAITING);
        self.pairs.drain(..surplus);
    }

    /// Mean of the pairs.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sum / (self.seen.max(1)) as f64
    }

    /// What a pair of 1 is, in the incumbent's losses.
    #[must_use]
    pub fn unit(&self) -> f64 {
        match self.name {
            Name::Gross => GROSS,
            Name::Cost | Name::Tiers | Name::Near | Name::Far => 1.0,
        }
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.count(self.name as usize);
        to.count(self.horizon as usize);
        to.int(self.settles_ms);
        to.count(self.open.len());
        for (block, (sum, count)) in &self.open {
            to.int(block.0);
            to.float(*sum);
            to.count(*count as usize);
        }
        to.int(self.closed.0);
        to.count(self.pairs.len());
        self.pairs.iter().for_each(|pair| to.float(*pair));
        write_kept(&self.judge, to);
        to.int(self.seen as i64);
        to.int(self.worse as i64);
        to.float(self.sum);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let name = *Name::ALL.get(from.number()? as usize)?;
        let (horizon, settles_ms) = (from.number()?, from.int()?);
        let mut open = BTreeMap::new();
        for _ in 0..from.count(20)? {
            let block = Timestamp(from.int()?);
            open.insert(block, (from.float()?, from.number()?));
        }
        let closed = Timestamp(from.int()?);
        let count = from.count(8)?;
        let pairs = (0..count).map(|_| from.float()).collect::<Option<_>>()?;
        Some(Self {
            name,
            horizon,
            settles_ms,
            open,
            closed,
            pairs,
            judge: read_kept(from)?,
            seen: u64::try_from(from.int()?).ok()?,
            worse: u64::try_from(from.int()?).ok()?,
            sum: from.float()?,
            opinion: None,
        })
    }
}

/// A state and its writer.
pub(super) fn write_kept(kept: &Kept, to: &mut Writer) {
    to.count(usize::from(kept.writer.is_some()));
    if let Some(writer) = &kept.writer {
        to.text(&writer.name);
        to.text(&writer.version);
        to.bytes(&writer.digest.0);
    }
    to.count(kept.blob.format as usize);
    to.bytes(&kept.blob.bytes);
}

/// What [`write_kept`] wrote.
pub(super) fn read_kept(from: &mut Reader<'_>) -> Option<Kept> {
    let writer = match from.number()? {
        0 => None,
        _ => Some(ModuleRef {
            name: from.text()?.to_owned(),
            version: from.text()?.to_owned(),
            digest: Digest(from.bytes()?.try_into().ok()?),
        }),
    };
    Some(Kept {
        writer,
        blob: Blob {
            format: from.number()?,
            bytes: from.bytes()?.to_vec(),
        },
        earlier: vec![],
    })
}

/// Closes what has settled, and asks the judge where there is something new or where time is up.
pub(super) fn judge(input: &Input<'_>, output: &mut Output) {
    let left_ms = gate::remaining_ms(input.gate, input.trial, input.now);
    let Trial {
        about, questions, ..
    } = &mut output.trial;
    let release = about.release();
    for question in questions {
        question.settle(input.now);
        if question.pairs.is_empty() && (left_ms > 0 || question.seen == 0) {
            continue;
        }
        let asked = JudgeInput {
            now: input.now,
            seed: canonical::seed(
                input.seed,
                question.name.name(),
                about.binding.as_str(),
                input.now.0,
            ),
            state: Blob::default(), // each judge gets its own
            metrics: vec![],
            flushes: vec![],
            counts: Counts::default(),
            dispersion: vec![],
            paired_losses: question.pairs.clone(),
            paired_horizon: question.horizon,
            remaining_s: u32::try_from(left_ms / 1000).unwrap_or(u32::MAX),
        };
        let answer = judge::run(
            &judge::Input {
                release: &release,
                roster: input.judge,
                state: &question.judge,
                question: &asked,
            },
            &mut output.faults,
        );
        // The native rule concludes nothing and keeps nothing: the pairs wait for a judge.
        let Some(answer) = answer
            .ok()
            .filter(|a| a.served.retreat != Retreat::Baseline)
        else {
            continue;
        };
        let stranger = question.judge.writer.as_ref();
        if stranger.is_some_and(|w| w.name != answer.served.module.name) {
            let fresh = question.pairs.len() as u64;
            question.seen = fresh;
            question.worse = question.pairs.iter().filter(|d| **d > 0.0).count() as u64;
            question.sum = question.pairs.iter().sum();
        }
        question.pairs.clear();
        let writer = answer.served.module;
        question.judge.follow(writer, answer.value.state, input.now);
        question.opinion = Some(Opinion {
            verdict: answer.value.verdict,
            reason: answer.value.reason,
            evidence: answer.value.evidence.into_iter().next(),
        });
    }
}
