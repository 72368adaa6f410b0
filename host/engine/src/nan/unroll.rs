//! Loops that look at the clock less often: several rounds of a small loop between two checks.
//!
//! A guest is interrupted at loop heads, where Cranelift compares the epoch with the deadline and calls
//! the host if it has passed. Without these checks a model's fit takes two thirds of its time (measured;
//! the likely reason, not looked at in machine code, is that no float register survives the call that is
//! hardly ever made). So the body of an innermost loop is repeated here, and only
//! the last repetition goes back to the head:
//!
//! `loop B br_if 0 end` becomes `block loop B i32.eqz br_if 1 B i32.eqz br_if 1 … B br_if 0 end end`,
//! and `loop B br 0 end`, which is left from within, becomes `loop B B … br 0 end`. A branch to the
//! head from within `B` still begins a round, and one that leaves the loop counts the new block. It is
//! the same sequence of operations, so nothing that can be seen changes.
//!
//! Between two checks lie at most [`MOST`] bytes of code without a loop or a call, and a module's
//! code grows by at most its own size: neither can a guest hide from its deadline, nor a small upload
//! become a large compilation. Rejected: fuel, which costs more; no checks but in calls, which an empty
//! loop would outlive. What is not understood is left as it is.

#[cfg(test)]
mod tests;

use std::ops::Range;
use wasmparser::{BinaryReader, BinaryReaderError, BlockType, FunctionBody, Operator};

/// Rounds between two checks.
const ROUNDS: usize = 8;

/// Most bytes that a repeated loop may have.
const MOST: usize = 4096;

/// Most bytes of a function whose loops are repeated: eight times as much may be compiled at all.
const FUNCTION: usize = 1 << 19;

/// Bytes of the block, the loop and their ends.
const FRAME: usize = 6;

const BLOCK: u8 = 0x02;
const LOOP: u8 = 0x03;
const END: u8 = 0x0b;
const BR: u8 = 0x0c;
const BR_IF: u8 = 0x0d;
const EQZ: u8 = 0x45;
const NO_RESULT: u8 = 0x40;

/// The innermost loop that is open, while it may be repeated.
struct Candidate {
    /// Where its opcode is, and where its body begins.
    header: usize,
    begin: usize,
    /// Blocks that are open within it.
    within: u32,
    /// Labels that lead out of it, by where they are written.
    leaving: Vec<(Range<usize>, u32)>,
    /// The operation before this one, if it ended a round.
    back: Option<Back>,
}

#[derive(Clone, Copy)]
struct Back {
    at: usize,
    opcode: u8,
}

/// A body with its small loops repeated, growing by at most `room`, which is lowered by the growth.
///
/// # Errors
/// Where the body cannot be read.
pub(super) fn unrolled(body: &[u8], room: &mut usize) -> Result<Vec<u8>, BinaryReaderError> {
    let mut out = Vec::with_capacity(body.len() * 2);
    if body.len() > FUNCTION {
        return Ok(body.to_vec());
    }
    let mut operators = FunctionBody::new(BinaryReader::new(body, 0)).get_operators_reader()?;
    let mut from = 0;
    let mut open: Option<Candidate> = None;
    while !operators.eof() {
        let at = operators.original_position();
        let operator = operators.read()?;
        let next = operators.original_position();
        if let Operator::Loop { blockty } = operator {
            open = (blockty == BlockType::Empty).then_some(Candidate {
                header: at,
                begin: next,
                within: 0,
                leaving: Vec::new(),
                back: None,
            });
            continue;
        }
        let Some(candidate) = &mut open else { continue };
        if matches!(operator, Operator::End) && candidate.within == 0 {
            if let Some(repeated) = candidate.repeat(body, *room) {
                *room = room.saturating_sub(repeated.len().saturating_sub(next - candidate.header));
                out.extend_from_slice(&body[from..candidate.header]);
                out.extend(repeated);
                from = next;
            }
            open = None;
        } else if !body.get(at).is_some_and(|&code| is_understood(code)) {
            open = None;
        } else {
            candidate.follow(&operator, at..next);
        }
    }
    out.extend_from_slice(&body[from..]);
    Ok(out)
}

impl Candidate {
    fn follow(&mut self, operator: &Operator<'_>, at: Range<usize>) {
        self.back = None;
        match *operator {
            Operator::Block { .. } | Operator::If { .. } => self.within += 1,
            Operator::End => self.within = self.within.saturating_sub(1),
            Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => {
                if relative_depth > self.within {
                    self.leaving.push((at.start + 1..at.end, relative_depth));
                } else if relative_depth == 0 && self.within == 0 {
                    let opcode = match operator {
                        Operator::Br { .. } => BR,
                        _ => BR_IF,
                    };
                    let at = at.start;
                    self.back = Some(Back { at, opcode });
                }
            }
            _ => {}
        }
    }

    /// The loop with its body repeated, when its last operation begins the next round and there is
    /// room for two rounds and more.
    fn repeat(&self, body: &[u8], room: usize) -> Option<Vec<u8>> {
        let Back { at, opcode } = self.back?;
        let is_counted = opcode == BR_IF;
        let round = self.round(body, at, u32::from(is_counted));
        // With its exit; what stands once takes less than another exit and `FRAME`.
        let size = round.len() + 3;
        let most = MOST.min((room + (at - self.header)).saturating_sub(FRAME));
        let rounds = (most / size).min(ROUNDS);
        if rounds < 2 {
            return None;
        }
        let mut out = Vec::with_capacity(rounds * size + FRAME);
        if is_counted {
            out.extend([BLOCK, NO_RESULT]);
        }
        out.extend([LOOP, NO_RESULT]);
        for _ in 1..rounds {
            out.extend_from_slice(&round);
            if is_counted {
                out.extend([EQZ, BR_IF, 1]);
            }
        }
        out.extend_from_slice(&round);
        out.extend([opcode, 0, END]);
        if is_counted {
            out.push(END);
        }
        Some(out)
    }

    /// The body up to its last operation, under so many blocks more.
    fn round(&self, body: &[u8], end: usize, blocks: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(end - self.begin + self.leaving.len());
        let mut from = self.begin;
        for (label, depth) in &self.leaving {
            out.extend_from_slice(&body[from..label.start]);
            super::unsigned(&mut out, *depth as usize + blocks as usize);
            from = label.end;
        }
        out.extend_from_slice(&body[from..end]);
        out
    }
}

/// Whether an opcode may stand in a repeated loop: it has no label but that of `br` and `br_if`, and
/// calls nothing, since a callee looks at the clock anyway.
fn is_understood(opcode: u8) -> bool {
    matches!(opcode,
        // Blocks, `br`, `br_if` and `return`, but neither `br_table` nor exceptions.
        0x00..=0x02 | 0x04 | 0x05 | 0x0b..=0x0d | 0x0f
        // Operands, variables, tables; memory and numbers; bulk memory; vectors.
        | 0x1a..=0x1c | 0x20..=0x26 | 0x28..=0xc4 | 0xfc | 0xfd)
}
