//! One trial: who is compared with whom at which binding, and everything that is known of it.
//!
//! A trial is of two versions, each a module with its config, and of the step at which plans are made.
//! With another of these it answers another question, so that what is known then is nothing.

use super::allocators::Pools;
use super::evidence::{GROSS, Name, Question};
use super::forecasters::Promises;
use super::tierers::Tenants;
use super::{block_ms, scale};
use crate::demand::codec::{Reader, Writer};
use tidegate_core::forecast::Track;
use tidegate_core::ids::{BindingId, Digest};
use tidegate_core::life::{Side, Version};
use tidegate_core::module::{ModuleKind, ModuleRef};
use tidegate_core::policy::Evidence;
use tidegate_core::time::{Step, Timestamp};

/// Number of the layout of [`Trial::bytes`].
const FORMAT: u32 = 1;

/// What a trial is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Of which binding.
    pub binding: BindingId,
    /// What kind of modules.
    pub kind: ModuleKind,
    /// Whose answers count: the incumbent's while the candidate is in shadow, the candidate's while it is
    /// watched.
    pub serves: Side,
    /// The version on trial.
    pub candidate: Version,
    /// The version beside it.
    pub incumbent: Version,
    /// Since when, on the data's clock.
    pub since: Timestamp,
}

impl About {
    /// Who serves.
    #[must_use]
    pub fn serving(&self) -> &Version {
        match self.serves {
            Side::Candidate => &self.candidate,
            Side::Incumbent => &self.incumbent,
        }
    }

    /// Who is asked in silence.
    #[must_use]
    pub fn silent(&self) -> &Version {
        match self.serves {
            Side::Candidate => &self.incumbent,
            Side::Incumbent => &self.candidate,
        }
    }

    /// Whether another is about the same two in the same parts, whenever it began.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        let since = other.since;
        Self {
            since,
            ..self.clone()
        } == *other
    }

    /// The trial's name for a judge.
    pub(super) fn release(&self) -> String {
        format!("{} of {}", self.candidate.module, self.binding)
    }

    /// The candidate's loss and the incumbent's, of those of who is silent and who serves.
    pub(super) fn sides(&self, silent: f64, serving: f64) -> (f64, f64) {
        match self.serves {
            Side::Candidate => (serving, silent),
            Side::Incumbent => (silent, serving),
        }
    }
}

/// What waits for its outcome, by kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Waiting {
    Pools(Pools),
    Tenants(Tenants),
    Promises(Promises),
}

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// What it is about.
    pub about: About,
    /// The step of its plans.
    step: Step,
    /// What is asked.
    pub questions: Vec<Question>,
    /// Answers that could not be used, or were not given.
    pub faults: u64,
    /// Promises and plans whose steps have not passed.
    pub(super) waiting: Waiting,
    /// What the incumbent loses, by what is measured in one unit.
    pub(super) scales: std::collections::BTreeMap<(Name, String), scale::Scale>,
}

/// How one question stands, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct QuestionStanding {
    /// What is asked.
    pub name: &'static str,
    /// Pairs so far.
    pub pairs: u64,
    /// Of them, those in which the candidate lost more.
    pub worse: u64,
    /// Mean of the candidate's loss less the incumbent's, as a part of the incumbent's.
    pub mean: f64,
    /// The judge's bounds on it that hold at all times together; `None` while it has not said any.
    pub bounds: Option<(f64, f64)>,
    /// The judge's newest verdict.
    pub verdict: &'static str,
    /// Its sentence.
    pub reason: String,
    /// Its evidence.
    pub evidence: Option<Evidence>,
}

/// How a trial stands, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// What it is about.
    pub about: About,
    /// Answers that could not be used, or were not given.
    pub faults: u64,
    /// By question.
    pub questions: Vec<QuestionStanding>,
}

impl Trial {
    /// Nothing is known yet. Of a judge there is no trial: it has no loss.
    #[must_use]
    pub fn new(about: About, step: Step, horizon: u32) -> Option<Self> {
        let block = block_ms(step);
        let (waiting, asked) = match about.kind {
            // The step in which a plan is in force.
            ModuleKind::Allocator => (
                Waiting::Pools(Pools::default()),
                vec![(Name::Cost, step.ms())],
            ),
            ModuleKind::Tierer => (
                Waiting::Tenants(Tenants::default()),
                vec![(Name::Tiers, step.ms())],
            ),
            ModuleKind::Forecaster => {
                let far = super::forecasters::far(step, horizon);
                let mut asked = vec![(Name::Near, step.ms())];
                // Where an hour is a step there is no further.
                asked.extend((far > 1).then(|| (Name::Far, i64::from(far) * step.ms())));
                (Waiting::Promises(Promises::default()), asked)
            }
            ModuleKind::Judge => return None,
        };
        let gross = asked.first().map(|(_, reach)| (Name::Gross, *reach));
        let questions = asked.into_iter().chain(gross);
        Some(Self {
            about,
            step,
            questions: questions
                .map(|(name, reach)| Question::new(name, block, reach))
                .collect(),
            faults: 0,
            waiting,
            scales: std::collections::BTreeMap::new(),
        })
    }

    /// Pairs of the question that has most.
    #[must_use]
    pub fn pairs(&self) -> u64 {
        self.questions.iter().map(|q| q.seen).max().unwrap_or(0)
    }

    /// Takes the difference of two losses of one subject into a question, in units of what the incumbent
    /// used to lose there; `floor` is the least unit.
    pub(super) fn compare(
        &mut self,
        name: Name,
        subject: &str,
        block: Timestamp,
        (silent, serving): (f64, f64),
        floor: f64,
    ) {
        let (candidate, incumbent) = self.about.sides(silent, serving);
        let scale = self.scales.entry((name, subject.to_owned())).or_default();
        if let Some(difference) = scale.difference(candidate, incumbent, floor) {
            self.add(name, block, difference);
            if self.questions.first().is_some_and(|q| q.name == name) {
                self.add(Name::Gross, block, difference / GROSS);
            }
        }
    }

    /// Notes that the silent one gave no usable answer: the candidate loses, and an incumbent accuses
    /// nobody.
    pub(super) fn failed(&mut self, name: Name, block: Timestamp) {
        if self.about.serves == Side::Incumbent {
            self.lost(name, block);
        }
    }

    /// Notes that not the version answered that should have served: a candidate loses by that.
    pub(super) fn missed(&mut self, name: Name, block: Timestamp) {
        if self.about.serves == Side::Candidate {
            self.lost(name, block);
        }
    }

    fn lost(&mut self, name: Name, block: Timestamp) {
        self.add(name, block, 1.0);
        if self.questions.first().is_some_and(|q| q.name == name) {
            self.add(Name::Gross, block, 1.0);
        }
    }

    fn add(&mut self, name: Name, block: Timestamp, difference: f64) {
        let question = self.questions.iter_mut().find(|q| q.name == name);
        if let Some(question) = question {
            question.add(block, difference);
        }
    }

    /// What a forecaster on trial has promised and kept, as its tracks.
    pub fn tracks(&self) -> impl Iterator<Item = &Track> {
        let promises = match &self.waiting {
            Waiting::Promises(all) => Some(all),
            Waiting::Pools(_) | Waiting::Tenants(_) => None,
        };
        promises.into_iter().flat_map(Promises::tracks)
    }

    /// Start of the block in which an instant lies.
    pub(super) fn block(&self, at: Timestamp) -> Timestamp {
        let length = block_ms(self.step);
        Timestamp(at.0.div_euclid(length) * length)
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let of = |q: &Question| QuestionStanding {
            name: q.name.name(),
            pairs: q.seen,
            worse: q.worse,
            mean: q.mean() * q.unit(),
            bounds: q
                .opinion
                .as_ref()
                .and_then(|o| o.evidence.as_ref())
                .map(|e| (e.ratio_low * q.unit(), e.ratio_high * q.unit())),
            verdict: q.opinion.as_ref().map_or("continue", |o| o.verdict.name()),
            reason: q
                .opinion
                .as_ref()
                .map_or_else(String::new, |o| o.reason.clone()),
            evidence: q.opinion.as_ref().and_then(|o| o.evidence.clone()),
        };
        Standing {
            about: self.about.clone(),
            faults: self.faults,
            questions: self.questions.iter().map(of).collect(),
        }
    }

    /// The bytes in which it outlives the daemon. The tracks of a forecaster are not among them: they are
    /// kept as all tracks are.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.count(FORMAT as usize);
        let about = &self.about;
        to.text(about.binding.as_str());
        to.text(about.kind.name());
        to.count(usize::from(about.serves == Side::Candidate));
        write_version(&about.candidate, &mut to);
        write_version(&about.incumbent, &mut to);
        to.int(about.since.0);
        to.count(self.step.secs() as usize);
        to.count(self.questions.len());
        self.questions.iter().for_each(|q| q.write(&mut to));
        to.int(self.faults as i64);
        to.count(self.scales.len());
        for ((name, subject), scale) in &self.scales {
            to.text(name.name());
            to.text(subject);
            scale.write(&mut to);
        }
        match &self.waiting {
            Waiting::Pools(all) => all.write(&mut to),
            Waiting::Tenants(all) => all.write(&mut to),
            Waiting::Promises(all) => all.write(&mut to),
        }
        to.0
    }

    /// What [`Trial::bytes`] has written; `None` where it cannot be read, or where it is of another step
    /// or horizon.
    #[must_use]
    pub fn of(bytes: &[u8], step: Step, horizon: u32) -> Option<Self> {
        let from = &mut Reader(bytes);
        if from.number()? != FORMAT {
            return None;
        }
        let about = About {
            binding: from.text()?.parse().ok()?,
            kind: ModuleKind::parse(from.text()?)?,
            serves: match from.number()? {
                0 => Side::Incumbent,
                _ => Side::Candidate,
            },
            candidate: read_version(from)?,
            incumbent: read_version(from)?,
            since: Timestamp(from.int()?),
        };
        let mut trial = Self::new(about, step, horizon)?;
        if from.number()? != step.secs() {
            return None;
        }
        let count = from.count(20)?;
        let questions = (0..count)
            .map(|_| Question::read(from))
            .collect::<Option<Vec<_>>>()?;
        let asked = |all: &[Question]| all.iter().map(|q| (q.name, q.horizon)).collect::<Vec<_>>();
        if asked(&questions) != asked(&trial.questions) {
            return None;
        }
        trial.questions = questions;
        trial.faults = u64::try_from(from.int()?).ok()?;
        for _ in 0..from.count(20)? {
            let name = from.text()?;
            let name = trial.questions.iter().find(|q| q.name.name() == name)?.name;
            let subject = from.text()?.to_owned();
            trial
                .scales
                .insert((name, subject), scale::Scale::read(from)?);
        }
        match &mut trial.waiting {
            Waiting::Pools(all) => *all = Pools::read(from)?,
            Waiting::Tenants(all) => *all = Tenants::read(from)?,
            Waiting::Promises(all) => *all = Promises::read(from)?,
        }
        Some(trial)
    }
}

fn write_version(version: &Version, to: &mut Writer) {
    to.text(&version.module.name);
    to.text(&version.module.version);
    to.bytes(&version.module.digest.0);
    to.text(&version.config);
}

fn read_version(from: &mut Reader<'_>) -> Option<Version> {
    Some(Version {
        module: ModuleRef {
            name: from.text()?.to_owned(),
            version: from.text()?.to_owned(),
            digest: Digest(from.bytes()?.try_into().ok()?),
        },
        config: from.text()?.to_owned(),
    })
}
