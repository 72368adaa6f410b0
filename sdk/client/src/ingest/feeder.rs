//! Moves an [`Outbox`] over the bidirectional stream.

use super::backoff::Backoff;
use super::options::{Event, FeedError, FeederOptions, Full, Metrics, WhenFull};
use super::outbox::{Outbox, Totals, Window};
use super::sample::{Sample, SeriesKey};
use super::spill::Spill;
use super::stream::{self, Live, Opening};
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status};

type Told = Box<dyn Fn(Event) + Send + Sync>;

/// Feeds samples; see the module.
pub struct Feeder {
    client: crate::Client,
    options: FeederOptions,
    outbox: Outbox,
    spill: Option<Spill>,
    live: Option<Live>,
    opening: Option<Opening>,
    /// Set while nothing is to be sent.
    pause: Option<Pin<Box<Sleep>>>,
    backoff: Backoff,
    /// Connections in a row without an ack.
    attempts: u32,
    dropped: u64,
    connects: u64,
    told: Option<Told>,
}

impl std::fmt::Debug for Feeder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feeder")
            .field("connected", &self.live.is_some())
            .field("metrics", &self.metrics())
            .finish_non_exhaustive()
    }
}

impl Feeder {
    /// A feeder that connects, and opens its file if it has one, when it first has a frame.
    #[must_use]
    pub fn new(client: crate::Client, options: FeederOptions) -> Self {
        let backoff = Backoff::new(options.backoff, options.max_backoff, options.seed);
        Self {
            client,
            options,
            outbox: Outbox::default(),
            spill: None,
            live: None,
            opening: None,
            pause: None,
            backoff,
            attempts: 0,
            dropped: 0,
            connects: 0,
            told: None,
        }
    }

    /// The same, with its file opened now: what a program before has left in it is sent first, and
    /// counted from the start.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(client: crate::Client, options: FeederOptions) -> Result<Self, FeedError> {
        let mut feeder = Self::new(client, options);
        feeder.open_file()?;
        Ok(feeder)
    }

    fn open_file(&mut self) -> Result<(), FeedError> {
        if self.spill.is_none()
            && let Some(file) = &self.options.spill
        {
            let opened = Spill::open(&file.path, file.bytes);
            self.spill = Some(opened.map_err(|source| self.spill_error(source))?);
        }
        Ok(())
    }

    /// Who hears what happens, at once and from within the call in which it does: it must not block.
    pub fn on_event(&mut self, told: impl Fn(Event) + Send + Sync + 'static) {
        self.told = Some(Box::new(told));
    }

    /// Gathers a sample. Sends when a batch is full, and waits for acks when too many are missing
    /// or the buffer is full and nothing may be dropped.
    ///
    /// # Errors
    /// [`FeedError`]; the sample is held in either case, unless the buffer is full, and then it was
    /// dropped and told.
    pub async fn add(&mut self, key: &SeriesKey, sample: Sample) -> Result<(), FeedError> {
        while self.offer(key, sample.clone())?.is_err() {
            let rest = self.outbox.unacked().saturating_sub(1);
            self.pump(rest).await?;
        }
        let most = self.options.unacked.max(1);
        if self.outbox.unacked() > most {
            self.pump(most).await?;
        }
        Ok(())
    }

    /// Gathers a sample without ever waiting; [`Feeder::drive`] sends it. `Ok(Err(Full))` where
    /// nothing may be dropped and nothing more fits.
    ///
    /// # Errors
    /// When the file cannot be used; this sample was not taken, or is held with the others.
    pub fn offer(
        &mut self,
        key: &SeriesKey,
        sample: Sample,
    ) -> Result<Result<(), Full>, FeedError> {
        let batch = self.options.batch.max(1);
        let has_file = self.options.spill.is_some();
        while self.outbox.gathered() >= batch || self.is_full(&sample) {
            // With a file, what waits goes behind it in the order in which it came, or nowhere.
            let due = has_file || self.outbox.gathered() >= batch;
            if due && self.outbox.gathered() > 0 && self.seal()? {
                continue;
            }
            match self.options.when_full {
                WhenFull::Wait => {
                    if !has_file {
                        self.outbox.seal();
                    }
                    return Ok(Err(Full));
                }
                WhenFull::DropOldest if !has_file => {
                    self.outbox.seal();
                    let dropped = self.outbox.drop_oldest();
                    // All of it may be under way: then it is the newest that goes.
                    self.drop_samples(dropped.max(1));
                    if dropped == 0 {
                        return Ok(Ok(()));
                    }
                }
                WhenFull::DropOldest | WhenFull::DropNewest => {
                    self.drop_samples(1);
                    return Ok(Ok(()));
                }
            }
        }
        self.outbox.add(key, sample);
        if self.outbox.gathered() >= batch {
            self.seal()?;
        }
        Ok(Ok(()))
    }

    /// Sends what is gathered and hears acks until nothing is left. It may be dropped at any point
    /// and called again, so that a program can wait for its own samples beside it:
    /// `select! { sample = next() => feeder.offer(..), done = feeder.drive() => .. }`. What is
    /// gathered while a frame is under way goes out together when it is acked.
    ///
    /// # Errors
    /// [`FeedError`]; what had no ack is still held.
    pub async fn drive(&mut self) -> Result<(), FeedError> {
        loop {
            if self.outbox.unacked() == 0 {
                self.seal()?;
            }
            self.pump(0).await?;
            if self.outbox.gathered() == 0 {
                return Ok(());
            }
        }
    }

    /// Waits until everything added is on disk or was refused by name.
    ///
    /// # Errors
    /// [`FeedError`]; what had no ack is still held.
    pub async fn flush(&mut self) -> Result<&Totals, FeedError> {
        while !self.is_idle() {
            self.seal()?;
            self.pump(0).await?;
        }
        Ok(self.outbox.totals())
    }

    /// What became of everything that was acked so far.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        self.outbox.totals()
    }

    /// Whether anything is held that has no ack.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.outbox.samples() == 0 && self.spill.as_ref().is_none_or(Spill::is_empty)
    }

    /// Where samples stand.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics {
            buffered: self.outbox.samples(),
            buffered_bytes: self.outbox.bytes(),
            spilled: self.spill.as_ref().map_or(0, |s| s.samples),
            spilled_bytes: self.spill.as_ref().map_or(0, Spill::bytes),
            under_way: self.outbox.under_way(),
            dropped: self.dropped,
            connects: self.connects,
            acked: self.outbox.totals().clone(),
        }
    }

    fn tell(&self, event: Event) {
        if let Some(told) = &self.told {
            told(event);
        }
    }

    fn drop_samples(&mut self, samples: u64) {
        self.dropped += samples;
        self.tell(Event::Dropped { samples });
    }

    /// Whether a sample does not fit in memory.
    fn is_full(&self, sample: &Sample) -> bool {
        let held = self.outbox.bytes();
        held > 0 && held + sample.bytes() > self.options.buffer
    }

    fn spill_error(&self, source: std::io::Error) -> FeedError {
        let file = self.options.spill.as_ref();
        FeedError::Spill {
            path: file.map(|f| f.path.clone()).unwrap_or_default(),
            source,
        }
    }

    /// Ends the frame that is being gathered: into memory, or behind those that wait in the file.
    /// False when the file is full: then it stays gathered.
    fn seal(&mut self) -> Result<bool, FeedError> {
        self.open_file()?;
        if self.outbox.gathered() == 0 {
            return Ok(true);
        }
        // Half of the buffer is for what waits, so that what is gathered next has room.
        let crowded = self.outbox.bytes() > self.options.buffer / 2;
        let Some(file) = self.spill.as_mut().filter(|f| crowded || !f.is_empty()) else {
            return Ok(self.outbox.seal());
        };
        let samples = self.outbox.gathered() as u64;
        match file.push(&self.outbox.gathered_content()) {
            // Nothing waits in it that memory would overtake.
            Ok(false) if file.is_empty() => return Ok(self.outbox.seal()),
            Ok(false) => return Ok(false),
            Ok(true) => {}
            Err(source) => return Err(self.spill_error(source)),
        }
        self.outbox.take_gathered();
        self.tell(Event::Spilled { samples });
        Ok(true)
    }

    /// Takes frames out of the file into memory that acks have freed.
    fn refill(&mut self) -> Result<(), FeedError> {
        self.open_file()?;
        let Some(file) = &mut self.spill else {
            return Ok(());
        };
        let outcome = loop {
            if self.outbox.unacked() == 0
                && let Err(source) = file.settled()
            {
                break Err(source);
            }
            if self.outbox.batch_bytes() > self.options.buffer / 4 {
                return Ok(());
            }
            match file.pop() {
                Ok(Some(content)) => self.outbox.put(content),
                Ok(None) => break Ok(()),
                Err(source) => break Err(source),
            }
        };
        outcome.map_err(|source| self.spill_error(source))
    }

    /// Moves frames out and acks in until at most `rest` frames are without an ack.
    async fn pump(&mut self, rest: usize) -> Result<(), FeedError> {
        loop {
            self.refill()?;
            if self.outbox.unacked() <= rest {
                return Ok(());
            }
            let Err(status) = self.turn(rest).await else {
                continue;
            };
            self.drop_stream();
            if is_final(status.code()) {
                return Err(FeedError::Refused(status));
            }
            self.attempts = self.attempts.saturating_add(1);
            let wait = self.backoff.wait(self.attempts);
            self.pause = Some(Box::pin(sleep(wait)));
            self.tell(Event::Disconnected {
                status: status.clone(),
                wait,
            });
            let most = self.options.attempts.max(1);
            if self.attempts >= most && most < u32::MAX {
                let attempts = std::mem::take(&mut self.attempts);
                return Err(FeedError::GaveUp {
                    attempts,
                    last: status,
                });
            }
        }
    }

    /// Sends what the window admits, and hears one ack if more than `rest` are missing.
    async fn turn(&mut self, rest: usize) -> Result<(), Status> {
        if let Some(pause) = &mut self.pause {
            pause.as_mut().await;
            self.pause = None;
        }
        if self.live.is_none() {
            let opening = self.opening.get_or_insert_with(|| {
                let session = self.options.session.as_deref();
                stream::open(&self.client, session.map(|s| self.outbox.opening(s)))
            });
            let opened = opening.as_mut().await;
            self.opening = None;
            let (live, taken) = opened?;
            self.connects += 1;
            if let Some(taken) = taken {
                self.outbox.resumed(taken);
            }
            self.live = Some(live);
            self.tell(Event::Connected {
                taken: taken.unwrap_or(0),
            });
        }
        let Some(live) = &mut self.live else {
            return Err(stream::ended());
        };
        let window: Window = live.window;
        let ack = loop {
            if !self.outbox.may_send(window) {
                if self.outbox.unacked() <= rest {
                    return Ok(());
                }
                break live.acks.message().await?.ok_or_else(stream::ended)?;
            }
            // An ack may come first: a server that waits to be heard takes nothing.
            tokio::select! {
                biased;
                permit = live.frames.reserve() => {
                    let permit = permit.map_err(|_| stream::ended());
                    let permit = match permit {
                        Ok(permit) => permit,
                        // Why it ended stands among the acks.
                        Err(ended) => break live.acks.message().await?.ok_or(ended)?,
                    };
                    if let Some(frame) = self.outbox.next_frame(window) {
                        permit.send(frame);
                    }
                }
                ack = live.acks.message() => break ack?.ok_or_else(stream::ended)?,
            }
        };
        self.attempts = 0;
        if let Some(wait) = self.outbox.ack(ack) {
            let wait = Duration::from_millis(wait);
            self.pause = Some(Box::pin(sleep(wait)));
            self.tell(Event::PushedBack { wait });
        }
        Ok(())
    }

    fn drop_stream(&mut self) {
        self.live = None;
        self.opening = None;
        self.outbox.disconnected();
    }
}

/// Whether the same stream would fail again.
fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented
            | Code::NotFound
            | Code::FailedPrecondition
            | Code::Aborted
    )
}
