//! What the daemon and the process that tries a component say to each other.
//!
//! Frames over two pipes: `kind (1 byte) | length (8 bytes, little endian) | bytes`. The question is
//! a header and the component; the answer is the compiled code, where it came so far, and a verdict.
//! A header and a verdict are JSON, because they are small and read in logs; code and component are
//! bytes as they are. Every length is bounded before anything is read, and the reader takes each
//! kind of frame once: the other side ran a stranger's code and may say anything by then.

use crate::admission::AdmissionError;
use crate::trial::{Artefact, Passed, Terms, TrialError, examine};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

const HEADER: u8 = b'h';
const MODULE: u8 = b'm';
const ARTEFACT: u8 = b'a';
const VERDICT: u8 = b'v';

/// Longest header or verdict, in bytes.
const MAX_WORDS: usize = 256 * 1024;

/// What the process may use of the machine. It sets these bounds on itself before it reads the
/// component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Writable private memory in bytes (`RLIMIT_DATA`).
    pub memory_bytes: u64,
    /// CPU time in seconds (`RLIMIT_CPU`).
    pub cpu_s: u64,
    /// Largest file, in bytes (`RLIMIT_FSIZE`); memory images of guests are such files.
    pub file_bytes: u64,
    /// Open files (`RLIMIT_NOFILE`).
    pub files: u64,
    /// Wall time in seconds, which the asking side keeps.
    pub wall_s: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            memory_bytes: 2 << 30,
            cpu_s: 120,
            file_bytes: 1 << 30,
            files: 32,
            wall_s: 180,
        }
    }
}

/// The head of a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Under which bounds to work.
    pub bounds: Bounds,
    /// What the component may be and use.
    pub terms: Terms,
}

/// Why a component was refused, as it crosses the boundary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// One word for programs: `size`, `structure`, `import`, ..., `canary`; `trial` where the trial
    /// itself was impossible.
    pub label: String,
    /// What is wrong and what to change.
    pub text: String,
}

/// What an examination came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It may serve.
    Passed(Passed),
    /// It may not.
    Refused(Refusal),
}

/// An answer as it was read.
#[derive(Debug)]
pub struct Answer {
    /// The compiled code; always there where the verdict is [`Verdict::Passed`].
    pub artefact: Option<Artefact>,
    /// The verdict.
    pub verdict: Verdict,
}

/// Writes a question.
///
/// # Errors
/// When the pipe breaks.
pub fn ask(mut to: impl Write, header: &Header, component: &[u8]) -> io::Result<()> {
    write(&mut to, HEADER, &serde_json::to_vec(header)?)?;
    write(&mut to, MODULE, component)?;
    to.flush()
}

/// Reads the head of a question.
///
/// # Errors
/// When the pipe breaks, or something else came.
pub fn header(from: &mut impl Read) -> io::Result<Header> {
    Ok(serde_json::from_slice(&read(from, HEADER, MAX_WORDS)?)?)
}

/// Reads the rest of a question, examines the component and writes the answer: the whole body of the
/// process, once it has bound itself.
///
/// # Errors
/// When a pipe breaks; whatever the component does is in the answer.
pub fn answer(from: &mut impl Read, mut to: impl Write, terms: &Terms) -> io::Result<()> {
    let most = terms.limits.component_bytes;
    let outcome = match head(from)? {
        (MODULE, length) if length > most as u64 => {
            let bytes = usize::try_from(length).unwrap_or(usize::MAX);
            Err(AdmissionError::TooLarge { bytes, most }.into())
        }
        (MODULE, length) => examine(&body(from, length, most)?, terms, |code| {
            write(&mut to, ARTEFACT, code)?;
            to.flush()
        }),
        _ => return Err(strange("a frame of another kind")),
    };
    let refused = |label: &str, text: String| {
        Verdict::Refused(Refusal {
            label: label.into(),
            text,
        })
    };
    let verdict = match outcome {
        Ok(passed) => Verdict::Passed(passed),
        Err(TrialError::Refused(error)) => refused(error.label(), error.to_string()),
        Err(TrialError::Engine(error)) => refused("trial", error.to_string()),
        Err(TrialError::Output(error)) => return Err(error),
    };
    write(&mut to, VERDICT, &serde_json::to_vec(&verdict)?)?;
    to.flush()
}

/// Reads an answer whose code has at most `most` bytes.
///
/// # Errors
/// `UnexpectedEof` when the process ended before it gave a verdict; `InvalidData` when it said
/// something else.
pub fn hear(mut from: impl Read, most: usize) -> io::Result<Answer> {
    let mut artefact = None;
    loop {
        let (kind, length) = head(&mut from)?;
        match kind {
            ARTEFACT if artefact.is_none() => {
                artefact = Some(Artefact::of(body(&mut from, length, most)?));
            }
            VERDICT => {
                let words = body(&mut from, length, MAX_WORDS)?;
                let verdict: Verdict = serde_json::from_slice(&words)?;
                if matches!(verdict, Verdict::Passed(_)) && artefact.is_none() {
                    return Err(strange("a verdict without code"));
                }
                return Ok(Answer { artefact, verdict });
            }
            _ => return Err(strange("a frame of another kind")),
        }
    }
}

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("there came {what}"))
}

fn write(to: &mut impl Write, kind: u8, bytes: &[u8]) -> io::Result<()> {
    to.write_all(&[kind])?;
    to.write_all(&(bytes.len() as u64).to_le_bytes())?;
    to.write_all(bytes)
}

fn read(from: &mut impl Read, kind: u8, most: usize) -> io::Result<Vec<u8>> {
    match head(from)? {
        (found, length) if found == kind => body(from, length, most),
        _ => Err(strange("a frame of another kind")),
    }
}

fn head(from: &mut impl Read) -> io::Result<(u8, u64)> {
    let mut head = [0; 9];
    from.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    Ok((kind, u64::from_le_bytes(length)))
}

/// Grows with what comes, not with what was promised.
fn body(from: &mut impl Read, length: u64, most: usize) -> io::Result<Vec<u8>> {
    if length > most as u64 {
        return Err(strange(&format!(
            "a frame of {length} bytes, at most {most} are taken"
        )));
    }
    let mut bytes = vec![];
    from.take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}
