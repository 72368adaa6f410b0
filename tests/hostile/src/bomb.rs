//! Components that are small to send and dear to compile.
//!
//! A compiler's time and memory grow faster than a function does: every value that lives across a
//! block is one that the register allocator has to place. A [`long`] function asks for memory, since
//! it is compiled as one piece; [`many`] ask for time. Both are valid, so nothing cheaper than the
//! compilation finds them.

use std::fmt::Write as _;

/// Locals that all stay alive.
const LOCALS: usize = 200;

/// One function of some 8 instructions a round, whose locals all live through all of them.
#[must_use]
pub fn long(rounds: usize) -> String {
    let mut text = function("long", LOCALS, rounds);
    text.shrink_to_fit();
    text
}

/// Functions of a hundred rounds each.
#[must_use]
pub fn many(functions: usize) -> String {
    (0..functions)
        .map(|n| function(&format!("many{n}"), LOCALS, 100))
        .collect()
}

fn function(name: &str, locals: usize, rounds: usize) -> String {
    let mut text = format!("(func ${name} (param i64) (result i64)");
    for _ in 0..locals {
        text.push_str(" (local i64)");
    }
    for round in 0..rounds {
        let (to, a, b) = (
            1 + round % locals,
            1 + (round * 7 + 3) % locals,
            1 + (round * 13 + 5) % locals,
        );
        // Nothing fails that is written to a string.
        let _ = write!(
            text,
            " (if (i64.gt_u (local.get {a}) (local.get 0)) (then (local.set {to} \
             (i64.mul (i64.add (local.get {a}) (local.get {b})) (i64.const {round})))))"
        );
    }
    text.push_str(" (local.get 1))\n");
    text
}
