//! One call into a guest: a fresh store and instance, bounded in time, memory, stack, answer and
//! log, and gone afterwards.
//!
//! Instances are not reused: what a call leaves behind in its memory could reach the next one, and a
//! replay could not tell. A fresh instance from a prepared one costs microseconds, since the pool
//! maps the module's memory image copy-on-write. The exception is a module that asks for reuse, and
//! whose promise is audited ([`crate::warm`]).

use crate::engine::Shared;
use crate::gate::{Busy, Class, Party};
use crate::guest::{Guest, clip};
use crate::options::CallLimits;
use crate::warm::{self, Kept, Warm};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tidegate_core::policy::CallError;
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Store, Trap, UpdateDeadline, WasmBacktrace};

/// How often a running fit looks whether it was cancelled, in ticks.
const CANCEL_TICKS: u64 = 5;

/// Longest text of a trap, in bytes.
const TRAP_TEXT: usize = 1500;

/// Frames of a trap's backtrace that its text names.
const FRAMES: usize = 6;

/// A compiled module, linked and ready to be instantiated.
pub(crate) struct Prepared {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pre: InstancePre<Guest>,
    pub(crate) name: Arc<str>,
    pub(crate) limits: CallLimits,
    /// Its calls that run now.
    pub(crate) busy: Arc<Busy>,
    /// Those of them that came through this binding.
    pub(crate) own: Busy,
    /// Instances that are kept, where it asked for it.
    pub(crate) warm: Option<Arc<Warm>>,
    /// Rises when this module's running fits are cancelled.
    pub(crate) cancelled: Arc<AtomicU64>,
    /// Most bytes of memories and tables that a call has had.
    pub(crate) peak: Arc<AtomicU64>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("name", &self.name)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Why an epoch callback ended a fit.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum Stopped {
    #[error("the fit was cancelled")]
    Cancelled,
    #[error("the deadline passed")]
    Deadline,
}

impl Prepared {
    /// The same module for a binding, whose calls have places of their own.
    pub(crate) fn apart(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            pre: self.pre.clone(),
            name: self.name.clone(),
            limits: self.limits,
            busy: self.busy.clone(),
            own: Busy::default(),
            warm: self.warm.clone(),
            cancelled: self.cancelled.clone(),
            peak: self.peak.clone(),
        }
    }

    /// Runs `body` on an instance: a fresh one that is dropped, unless the module is warm. It may run
    /// twice, on two instances, when reuse is audited.
    ///
    /// # Errors
    /// The limit that was exceeded, or the trap.
    pub(crate) fn run<R: std::fmt::Debug>(
        &self,
        class: Class,
        body: impl Fn(&mut Store<Guest>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let party = Party {
            module: &self.busy,
            of_module: self.limits.concurrency,
            binding: &self.own,
            of_binding: self.limits.concurrency_of_binding,
            memory: self.limits.memory,
        };
        let _place = self.shared.gate.enter(class, party);
        match &self.warm {
            Some(warm) if class == Class::Cycle && warm.is_on() => self.run_warm(warm, &body),
            _ => self.run_fresh(class, &body).map(|(answer, ..)| answer),
        }
    }

    fn run_fresh<R>(
        &self,
        class: Class,
        body: impl Fn(&mut Store<Guest>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<(R, Store<Guest>, Instance), CallError> {
        let guest = Guest::new(self.name.clone(), &self.limits);
        let mut store = Store::new(&self.shared.wasm, guest);
        store.limiter(|guest| &mut guest.account);
        self.call(&mut store, class, |store| {
            let instance = self.pre.instantiate(&mut *store)?;
            Ok((body(store, &instance)?, instance))
        })
        .map(|(answer, instance)| (answer, store, instance))
    }

    /// Any error drops the instance.
    fn run_warm<R: std::fmt::Debug>(
        &self,
        warm: &Warm,
        body: impl Fn(&mut Store<Guest>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let class = Class::Cycle;
        let Some(mut kept) = warm.take() else {
            let place = warm.place();
            let (answer, store, instance) = self.run_fresh(class, &body)?;
            if let Some(place) = place {
                warm.put(Kept::new(store, instance, place));
            }
            return Ok(answer);
        };
        kept.store.data_mut().renew(&self.limits);
        let instance = kept.instance;
        let answer = self.call(&mut kept.store, class, |store| body(store, &instance))?;
        if warm.is_audited() {
            match self.run_fresh(class, &body) {
                Ok((fresh, ..)) if warm::same(&fresh, &answer) => {}
                // A busy machine says nothing about purity.
                Err(CallError::Deadline { .. } | CallError::Unavailable(_)) => {}
                outcome => {
                    warm.withdraw();
                    tracing::error!(
                        module = &*self.name,
                        "a reused instance answered other than a fresh one: the module is not pure, and its instances are reused no more"
                    );
                    return outcome.map(|(fresh, ..)| fresh);
                }
            }
        }
        warm.put(kept);
        Ok(answer)
    }

    /// One bounded call on a store.
    fn call<R>(
        &self,
        store: &mut Store<Guest>,
        class: Class,
        body: impl FnOnce(&mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        store.set_hostcall_fuel(self.limits.returned_bytes);
        self.bound_time(store, class);
        let outcome = body(store);
        store.data().log.close();
        // A guest's memory never shrinks: what it has at the end is the most that it had.
        self.peak
            .fetch_max(store.data().account.used(), Ordering::Relaxed);
        outcome.map_err(|error| self.explain(&error, store.data(), class))
    }

    fn bound_time(&self, store: &mut Store<Guest>, class: Class) {
        match class {
            Class::Cycle => {
                store.set_epoch_deadline(self.limits.deadline_ms.max(1));
                store.epoch_deadline_trap();
            }
            Class::Fit => {
                let mut left = self.limits.fit_deadline_ms;
                let flags = [self.cancelled.clone(), self.shared.cancelled.clone()];
                let begun = flags.each_ref().map(|f| f.load(Ordering::Acquire));
                store.set_epoch_deadline(CANCEL_TICKS);
                store.epoch_deadline_callback(move |_| {
                    if flags.each_ref().map(|f| f.load(Ordering::Acquire)) != begun {
                        return Err(Stopped::Cancelled.into());
                    }
                    left = left.saturating_sub(CANCEL_TICKS);
                    if left == 0 {
                        return Err(Stopped::Deadline.into());
                    }
                    Ok(UpdateDeadline::Continue(CANCEL_TICKS))
                });
            }
        }
    }

    fn explain(&self, error: &wasmtime::Error, guest: &Guest, class: Class) -> CallError {
        let limits = &self.limits;
        let trap = error.downcast_ref::<Trap>();
        match (error.downcast_ref::<Stopped>(), trap) {
            (Some(Stopped::Cancelled), _) => {
                return CallError::Unavailable(Stopped::Cancelled.to_string());
            }
            (Some(Stopped::Deadline), _) | (_, Some(Trap::Interrupt)) => {
                let limit_ms = match class {
                    Class::Cycle => limits.deadline_ms,
                    Class::Fit => limits.fit_deadline_ms,
                };
                return CallError::Deadline { limit_ms };
            }
            (_, Some(Trap::StackOverflow)) => {
                return CallError::Limit {
                    what: "stack",
                    limit: limits.stack as u64,
                };
            }
            _ => {}
        }
        if let Some((what, limit)) = guest.account.refused {
            return CallError::Limit { what, limit };
        }
        let cause = error.root_cause().to_string();
        // wasmtime keeps this error's type private; a test holds its text.
        if trap.is_none() && cause.contains("fuel allocated for hostcalls") {
            return CallError::Limit {
                what: "returned-bytes",
                limit: limits.returned_bytes as u64,
            };
        }
        let mut text = trap.map_or(cause, |trap| trap.to_string());
        if let Some(said) = &guest.log.last_error {
            text = format!("{said}; {text}");
        }
        if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
            let names: Vec<&str> = backtrace
                .frames()
                .iter()
                .filter_map(|frame| frame.func_name())
                .take(FRAMES)
                .collect();
            if !names.is_empty() {
                text = format!("{text}; in {}", names.join(" < "));
            }
        }
        CallError::Trap(clip(&text, TRAP_TEXT).to_owned())
    }
}
