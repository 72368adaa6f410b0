//! The text of guests: an allocator, a description, answers that fit the question, and bodies that
//! do one thing wrong.
//!
//! Offsets are those of the canonical ABI (component-model, CanonicalABI.md: records are laid out
//! in order at their natural alignment, a list is a pointer and a length, a result is a byte and
//! its payload, arguments beyond sixteen flat values lie in memory behind one pointer).

use tidegate_core::module::ModuleKind;

/// Where the description lies.
pub(crate) const DESCRIPTION: u32 = 1024;

/// Where its texts begin.
const TEXTS: u32 = 2048;

/// Locals of every exported function, beside its parameters.
pub(crate) const LOCALS: &str = "(local $i i32) (local $n i32) (local $steps i32) \
    (local $levels i32) (local $out i32) (local $p i32) (local $q i32) (local $seeds i32)";

/// An allocator that never frees, which is right for an instance of one call.
pub(crate) const PRELUDE: &str = r#"
(global $top (mut i32) (i32.const 65536))
(func $alloc (param $size i32) (result i32) (local $at i32)
  (local.set $at (global.get $top))
  (global.set $top
    (i32.and (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 7))
             (i32.const -8)))
  (loop $more
    (if (i32.gt_u (global.get $top) (i32.shl (memory.size) (i32.const 16)))
      (then
        (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
        (br $more))))
  (local.get $at))
(func (export "cabi_realloc") (param $old i32) (param $had i32) (param i32) (param $size i32)
  (result i32) (local $at i32)
  (local.set $at (call $alloc (local.get $size)))
  (memory.copy (local.get $at) (local.get $old) (local.get $had))
  (local.get $at))
(func $list (param $at i32) (param $from i32) (param $len i32)
  (i32.store (local.get $at) (local.get $from))
  (i32.store offset=4 (local.get $at) (local.get $len)))
"#;

/// The record that `describe` points at, and its texts.
pub(crate) fn description(name: &str, version: &str, kind: ModuleKind, schema: &str) -> String {
    let mut at = TEXTS;
    let mut record = vec![];
    let mut texts = vec![];
    let mut put = |text: &str, record: &mut Vec<u8>| {
        let len = u32::try_from(text.len()).unwrap_or_default();
        record.extend(at.to_le_bytes());
        record.extend(len.to_le_bytes());
        texts.extend(text.bytes());
        at += len;
    };
    put(name, &mut record);
    put(version, &mut record);
    record.extend([kind as u8, 0, 0, 0]);
    put(schema, &mut record);
    record.extend(1_u32.to_le_bytes());
    let bytes = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("\\{b:02x}")).collect() };
    format!(
        "(data (i32.const {DESCRIPTION}) \"{}\") (data (i32.const {TEXTS}) \"{}\")",
        bytes(&record),
        bytes(&texts)
    )
}

/// A good answer to a function of a kind's interface.
#[must_use]
pub fn answer(kind: ModuleKind, function: &str) -> String {
    match (kind, function) {
        (ModuleKind::Forecaster, "fit") => fitted(76, ""),
        (ModuleKind::Forecaster, "update") => fitted(88, ""),
        (ModuleKind::Forecaster, "migrate") => {
            // Parameters 0 to 6: model, format, offsets, bytes. One series less than offsets.
            let head = "(local.set $n (i32.sub (local.get 4) (i32.const 1)))";
            format!("{head} {}", fitted_rest(""))
        }
        (ModuleKind::Forecaster, "advance") => advanced(),
        (ModuleKind::Forecaster, _) => forecasts("", ""),
        (ModuleKind::Tierer, "decide") => TIERS.into(),
        (ModuleKind::Allocator, "allocate") => ALLOCATION.into(),
        (ModuleKind::Judge, "judge") => JUDGEMENT.into(),
        (_, _) => MIGRATED.into(),
    }
}

/// Fits or updates: states are empty, their format is the stamp. Traps for the seed 666.
fn fitted(seeds: u32, wrong: &str) -> String {
    format!(
        "(local.set $seeds (i32.load offset={seeds} (local.get 0)))
         (local.set $n (i32.load offset={} (local.get 0)))
         {CHECK_SEEDS} {}",
        seeds + 4,
        fitted_rest(wrong)
    )
}

fn fitted_rest(wrong: &str) -> String {
    format!(
        "(local.set $out (call $alloc (i32.const 64)))
         (i32.store offset=12 (local.get $out) (i32.trunc_f64_u (global.get $stamp)))
         (local.set $p (i32.add (local.get $n) (i32.const 1)))
         (call $list (i32.add (local.get $out) (i32.const 16))
           (call $alloc (i32.shl (local.get $p) (i32.const 2))) (local.get $p))
         (call $list (i32.add (local.get $out) (i32.const 32))
           (call $alloc (i32.shl (local.get $n) (i32.const 4))) (local.get $n))
         {wrong}
         (local.get $out)"
    )
}

/// 666 traps, 667 loops for ever.
const CHECK_SEEDS: &str = "
(local.set $i (i32.const 0))
(block $done (loop $next
  (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
  (if (i64.eq (i64.load (i32.add (local.get $seeds) (i32.shl (local.get $i) (i32.const 3))))
              (i64.const 666)) (then (unreachable)))
  (if (i64.eq (i64.load (i32.add (local.get $seeds) (i32.shl (local.get $i) (i32.const 3))))
              (i64.const 667)) (then (loop $ever (br $ever))))
  (local.set $i (i32.add (local.get $i) (i32.const 1)))
  (br $next)))";

/// The mean is the stamp plus the low 8 bits of the seed over 256, the quantiles are the mean plus
/// the level's index. `first` runs before, `wrong` after, with `$out` at the answer, `$p` at the
/// means, `$q` at the quantiles.
fn forecasts(first: &str, wrong: &str) -> String {
    grids(first, wrong, 28, 4)
}

/// The same for a horizon that lies at `asked`, with the grids at `said` of the answer.
fn grids(first: &str, wrong: &str, asked: u32, said: u32) -> String {
    let (steps, levels) = (asked + 4, asked + 12);
    let (seeds, series) = (asked + 40, asked + 44);
    let (quantiles, status) = (said + 8, said + 16);
    format!(
        "{first}
(local.set $steps (i32.load offset={steps} (local.get 0)))
(local.set $levels (i32.load offset={levels} (local.get 0)))
(local.set $seeds (i32.load offset={seeds} (local.get 0)))
(local.set $n (i32.load offset={series} (local.get 0)))
{CHECK_SEEDS}
(local.set $n (i32.mul (local.get $n) (local.get $steps)))
(local.set $p (call $alloc (i32.shl (local.get $n) (i32.const 3))))
(local.set $q
  (call $alloc (i32.shl (i32.mul (local.get $n) (local.get $levels)) (i32.const 3))))
(local.set $i (i32.const 0))
(block $done (loop $next
  (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
  (f64.store (i32.add (local.get $p) (i32.shl (local.get $i) (i32.const 3)))
    (f64.add (global.get $stamp)
      (f64.div
        (f64.convert_i32_u
          (i32.load8_u
            (i32.add (local.get $seeds)
              (i32.shl (i32.div_u (local.get $i) (local.get $steps)) (i32.const 3)))))
        (f64.const 256))))
  (local.set $i (i32.add (local.get $i) (i32.const 1)))
  (br $next)))
(local.set $i (i32.const 0))
(block $done (loop $next
  (br_if $done (i32.ge_u (local.get $i) (i32.mul (local.get $n) (local.get $levels))))
  (f64.store (i32.add (local.get $q) (i32.shl (local.get $i) (i32.const 3)))
    (f64.add
      (f64.load
        (i32.add (local.get $p)
          (i32.shl (i32.div_u (local.get $i) (local.get $levels)) (i32.const 3))))
      (f64.convert_i32_u (i32.rem_u (local.get $i) (local.get $levels)))))
  (local.set $i (i32.add (local.get $i) (i32.const 1)))
  (br $next)))
(local.set $out (call $alloc (i32.const 64)))
(call $list (i32.add (local.get $out) (i32.const {said})) (local.get $p) (local.get $n))
(call $list (i32.add (local.get $out) (i32.const {quantiles})) (local.get $q)
  (i32.mul (local.get $n) (local.get $levels)))
(local.set $n (i32.load offset={series} (local.get 0)))
(call $list (i32.add (local.get $out) (i32.const {status}))
  (call $alloc (i32.shl (local.get $n) (i32.const 4))) (local.get $n))
{wrong}
(local.get $out)"
    )
}

/// Moves on and predicts: empty states, whose format is the stamp, before the grids.
fn advanced() -> String {
    let states = "(i32.store offset=4 (local.get $out) (i32.trunc_f64_u (global.get $stamp)))
         (local.set $p (i32.add (local.get $n) (i32.const 1)))
         (call $list (i32.add (local.get $out) (i32.const 8))
           (call $alloc (i32.shl (local.get $p) (i32.const 2))) (local.get $p))";
    grids("", states, 96, 24)
}

/// Bodies of `predict` and `fit` that answer well but for one thing.
pub struct BodyOk;

/// Where to put the one thing.
pub const BODY_OK: BodyOk = BodyOk;

impl std::fmt::Debug for BodyOk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BodyOk")
    }
}

impl BodyOk {
    /// A good prediction after `first`.
    #[must_use]
    pub fn predict_after(&self, first: &str) -> String {
        forecasts(first, "")
    }

    /// A good prediction, then spoilt.
    #[must_use]
    pub fn predict_but(&self, wrong: &str) -> String {
        forecasts("", wrong)
    }

    /// A good fit, then spoilt.
    #[must_use]
    pub fn fit_but(&self, wrong: &str) -> String {
        fitted(76, wrong)
    }
}

/// Zeros for every api; the state comes back with its format raised by one.
const TIERS: &str = "
(local.set $n (i32.load offset=40 (local.get 0)))
(local.set $out (call $alloc (i32.const 64)))
(call $list (i32.add (local.get $out) (i32.const 4)) (call $alloc (local.get $n)) (local.get $n))
(call $list (i32.add (local.get $out) (i32.const 12))
  (call $alloc (i32.shl (local.get $n) (i32.const 3))) (local.get $n))
(i32.store offset=20 (local.get $out)
  (i32.add (i32.load offset=24 (local.get 0)) (i32.const 1)))
(call $list (i32.add (local.get $out) (i32.const 24))
  (i32.load offset=28 (local.get 0)) (i32.load offset=32 (local.get 0)))
(local.get $out)";

/// Zeros for every api, step and dimension; the state as above.
const ALLOCATION: &str = "
(local.set $steps
  (i32.mul (i32.load offset=52 (local.get 0)) (i32.load offset=60 (local.get 0))))
(local.set $n (i32.load offset=92 (local.get 0)))
(local.set $levels (i32.mul (local.get $n) (local.get $steps)))
(local.set $out (call $alloc (i32.const 64)))
(call $list (i32.add (local.get $out) (i32.const 4))
  (call $alloc (i32.shl (local.get $levels) (i32.const 3))) (local.get $levels))
(call $list (i32.add (local.get $out) (i32.const 12))
  (call $alloc (i32.shl (local.get $levels) (i32.const 3))) (local.get $levels))
(call $list (i32.add (local.get $out) (i32.const 28))
  (call $alloc (i32.shl (local.get $steps) (i32.const 3))) (local.get $steps))
(call $list (i32.add (local.get $out) (i32.const 36))
  (call $alloc (i32.shl (local.get $n) (i32.const 3))) (local.get $n))
(i32.store offset=44 (local.get $out)
  (i32.add (i32.load offset=24 (local.get 0)) (i32.const 1)))
(call $list (i32.add (local.get $out) (i32.const 48))
  (i32.load offset=28 (local.get 0)) (i32.load offset=32 (local.get 0)))
(local.get $out)";

/// Proceeds without evidence; the state as above.
const JUDGEMENT: &str = "
(local.set $out (call $alloc (i32.const 64)))
(i32.store offset=24 (local.get $out)
  (i32.add (i32.load offset=24 (local.get 0)) (i32.const 1)))
(call $list (i32.add (local.get $out) (i32.const 28))
  (i32.load offset=28 (local.get 0)) (i32.load offset=32 (local.get 0)))
(local.get $out)";

/// The state as it came, its format raised by one: parameters 0 to 2 are the blob.
const MIGRATED: &str = "
(local.set $out (call $alloc (i32.const 32)))
(i32.store offset=4 (local.get $out) (i32.add (local.get 0) (i32.const 1)))
(call $list (i32.add (local.get $out) (i32.const 8)) (local.get 1) (local.get 2))
(local.get $out)";

/// Never returns.
pub const LOOP: &str = "(loop $ever (br $ever)) (unreachable)";

/// Takes memory until there is none, then traps.
pub const GROW: &str = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) \
    (i32.const -1)))) (unreachable)";

/// Takes table elements until there are none, then traps; needs a table `$t`.
pub const GROW_TABLE: &str = "(loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) \
    (i32.const 1000)) (i32.const -1)))) (unreachable)";

/// Recurses without end; needs a function `$deep`.
pub const DEEP: &str = "(call $deep (i32.const 0))";
