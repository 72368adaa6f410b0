//! Trials in a process of their own: the asking side. The other is `cli::admit_worker`.
//!
//! The child is this very executable, started with an empty environment and three pipes, and told
//! under which bounds to work; it takes them on before it reads the component. This side keeps the
//! wall's time, hears one answer, and ends the child by its own id, whatever it was doing. A child
//! that ends by itself (out of memory, out of CPU time, a signal) is a refusal that says which bound
//! was met and what to do about it: the component is what was different about this child.
//!
//! Two trials run at a time, and one per owner, so that whoever pushes much delays itself first. A
//! pool of standing workers was rejected: what tried one stranger's code must not try the next.

use crate::cli::admit_worker::VERB;
use crate::world::lock;
use std::io::Read;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;
use tidegate_core::ids::TenantId;
use tidegate_core::ports::serve::ServeError;
use tidegate_engine::wire::{self, Answer, Bounds, Header, Verdict};
use tidegate_engine::{Artefact, Terms};

/// Trials at the same time.
const AT_ONCE: usize = 2;

/// Native code per byte of component at most; a small component has 3 to 5.
const CODE_PER_BYTE: usize = 16;

/// Code that any component may have, in bytes.
const CODE_FREE: usize = 16 << 20;

/// What is kept of a child's last words, in bytes.
const LAST_WORDS: u64 = 4096;

/// See the module.
#[derive(Debug)]
pub(crate) struct Worker {
    program: PathBuf,
    bounds: Bounds,
    /// Owners whose components are being tried.
    running: Mutex<Vec<Option<TenantId>>>,
    done: Condvar,
}

/// How a trial ended without an answer.
#[derive(Debug)]
enum Death {
    /// It took longer than the wall's time.
    Late,
    /// It ended by itself.
    Ended { status: ExitStatus, words: String },
    /// It said something that no worker says.
    Strange { why: String },
}

impl Worker {
    /// Trials by this executable. On Linux it is named by the kernel's own link, which holds when
    /// the file was replaced meanwhile.
    pub(crate) fn new(bounds: Bounds) -> std::io::Result<Self> {
        let program = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe()?
        };
        Ok(Self {
            program,
            bounds,
            running: Mutex::default(),
            done: Condvar::new(),
        })
    }

    /// Tries a component for an owner; its compiled code, if it may serve.
    pub(crate) fn examine(
        &self,
        bytes: &[u8],
        terms: Terms,
        owner: Option<&TenantId>,
    ) -> Result<Artefact, ServeError> {
        let refused = |text: String| ServeError::field("component", "bytes", text);
        let _place = self.enter(owner)?;
        let header = Header {
            bounds: self.bounds,
            terms,
        };
        let child = self.start().map_err(|error| {
            ServeError::Unavailable(format!(
                "the process that tries components cannot start: {error}; nothing is wrong with \
                 the component, push it again once the machine has room"
            ))
        })?;
        match self.hear(child, &header, bytes) {
            Ok(Answer {
                verdict: Verdict::Refused(refusal),
                ..
            }) => {
                tracing::info!(check = %refusal.label, "a component was refused");
                Err(refused(refusal.text))
            }
            Ok(Answer {
                artefact: Some(artefact),
                verdict: Verdict::Passed(passed),
            }) => {
                tracing::debug!(
                    ?passed,
                    code = artefact.size(),
                    "a component passed its trial"
                );
                Ok(artefact)
            }
            Ok(_) => Err(refused(self.explain(&Death::Strange {
                why: "a verdict without code".into(),
            }))),
            Err(death) => {
                let text = self.explain(&death);
                tracing::warn!(
                    ?death,
                    "the process that tried a component ended without an answer"
                );
                Err(refused(text))
            }
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        // Descriptors of this process are closed on exec: the child gets these three.
        Command::new(&self.program)
            .arg(VERB)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    fn hear(&self, mut child: Child, header: &Header, bytes: &[u8]) -> Result<Answer, Death> {
        let most = bytes
            .len()
            .saturating_mul(CODE_PER_BYTE)
            .saturating_add(CODE_FREE);
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        std::thread::scope(|scope| {
            let (heard, wait) = sync_channel(1);
            // The child may end, or answer, before it has read all: what it says counts.
            scope.spawn(move || stdin.map(|to| wire::ask(to, header, bytes)));
            scope.spawn(move || {
                let answer = stdout.map(|from| wire::hear(from, most));
                // Nobody waits any more once the time is over.
                let _ = heard.send(answer);
            });
            let words = scope.spawn(move || {
                let mut words = vec![];
                if let Some(from) = stderr {
                    let _ = from.take(LAST_WORDS).read_to_end(&mut words);
                }
                String::from_utf8_lossy(&words).into_owned()
            });
            let answer = wait.recv_timeout(Duration::from_secs(self.bounds.wall_s.max(1)));
            // Whatever it is doing, it is over: what it had to say was said. A child that ended by
            // itself keeps the status with which it did.
            let _ = child.kill();
            let status = child.wait();
            let words = words.join().unwrap_or_default();
            match (answer, status) {
                (Ok(Some(Ok(answer))), _) => Ok(answer),
                (Err(RecvTimeoutError::Timeout), _) => Err(Death::Late),
                (Ok(Some(Err(error))), _) if error.kind() == std::io::ErrorKind::InvalidData => {
                    let why = error.to_string();
                    Err(Death::Strange { why })
                }
                (_, Ok(status)) => Err(Death::Ended { status, words }),
                (_, Err(error)) => Err(Death::Strange {
                    why: error.to_string(),
                }),
            }
        })
    }

    /// What a death says to whoever pushed.
    fn explain(&self, death: &Death) -> String {
        let Bounds {
            memory_bytes,
            cpu_s,
            wall_s,
            ..
        } = self.bounds;
        let memory = format!(
            "compiling and trying it took more than {} MiB of memory; split its largest functions, \
             compile it with `opt-level = \"s\"`, or ask the operator for more \
             (`policies.trial.memory`)",
            memory_bytes >> 20
        );
        match death {
            Death::Late => format!(
                "compiling and trying it took longer than {wall_s} s; make it smaller, or ask the \
                 operator for more (`policies.trial.wall`)"
            ),
            Death::Ended { status, words } => match status.signal() {
                Some(libc_signal::XCPU) => format!(
                    "compiling and trying it took more than {cpu_s} s of CPU time; make it smaller, \
                     or ask the operator for more (`policies.trial.cpu`)"
                ),
                Some(libc_signal::ABRT) if words.contains("memory allocation of") => memory,
                Some(libc_signal::KILL) => {
                    format!("the system ended the process that tried it; most likely {memory}")
                }
                Some(signal) => format!(
                    "the process that tried it was ended by signal {signal}; build it again with \
                     `tidegate policy build`, and report the component if that does not help"
                ),
                None => {
                    let said = |line: &&str| !line.is_empty() && !line.starts_with("note:");
                    let line = words.lines().rfind(said).unwrap_or("without a word");
                    format!(
                        "the process that tried it gave up: {line}; build it again with `tidegate \
                         policy build`, and report the component if that does not help"
                    )
                }
            },
            Death::Strange { why } => format!(
                "the process that tried it gave no proper answer ({why}); build it again with \
                 `tidegate policy build`, and report the component if that does not help"
            ),
        }
    }

    fn enter(&self, owner: Option<&TenantId>) -> Result<Place<'_>, ServeError> {
        let owner = owner.cloned();
        let full = |running: &mut Vec<Option<TenantId>>| {
            running.len() >= AT_ONCE || running.contains(&owner)
        };
        let wall = Duration::from_secs(self.bounds.wall_s.max(1));
        let (mut running, waited) = self
            .done
            .wait_timeout_while(lock(&self.running), wall, full)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let text = "other components are being tried; push it again in a minute";
            return Err(ServeError::Unavailable(text.into()));
        }
        running.push(owner.clone());
        Ok(Place {
            worker: self,
            owner,
        })
    }
}

/// One trial's place, given back when dropped.
#[derive(Debug)]
struct Place<'a> {
    worker: &'a Worker,
    owner: Option<TenantId>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut running = lock(&self.worker.running);
        if let Some(at) = running.iter().position(|of| *of == self.owner) {
            running.swap_remove(at);
        }
        drop(running);
        self.worker.done.notify_all();
    }
}

/// Signal numbers, the same on every Unix that we build for.
mod libc_signal {
    pub(super) const ABRT: i32 = rustix::process::Signal::ABORT.as_raw();
    pub(super) const KILL: i32 = rustix::process::Signal::KILL.as_raw();
    pub(super) const XCPU: i32 = rustix::process::Signal::XCPU.as_raw();
}
