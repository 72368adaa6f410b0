//! The rewriting against Cranelift's own canonical NaNs, on programs that mix moves and arithmetic.

use super::*;
use wasmtime::{Config, Engine, Instance, Module as Compiled, Store};

const CANONICAL: u64 = 0x7ff8_0000_0000_0000;
const PAYLOAD: u64 = 0x7ff8_0000_0000_0123;

/// What lies in the first 64 bytes of memory after `run`.
fn memory(wasm: &[u8], canonicalises: bool) -> Vec<u8> {
    let mut config = Config::new();
    config.cranelift_nan_canonicalization(canonicalises);
    let engine = Engine::new(&config).unwrap();
    let module = Compiled::new(&engine, wasm).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let run = instance
        .get_typed_func::<(f64, f64), ()>(&mut store, "run")
        .unwrap();
    run.call(&mut store, (0.0, f64::from_bits(PAYLOAD)))
        .unwrap();
    instance
        .get_memory(&mut store, "memory")
        .unwrap()
        .data(&store)[..64]
        .to_vec()
}

/// A module whose function has parameters `$a` (zero) and `$b` (a NaN with a payload).
fn module(body: &str) -> Vec<u8> {
    let text = format!(
        "(module (memory (export \"memory\") 1)
           (func (export \"run\") (param $a f64) (param $b f64)
             (local $x f64) (local $y f64) (local $i i32) (local $v v128) {body}))"
    );
    wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The first number after the rewritten body ran.
fn first(body: &str) -> u64 {
    let rewritten = canonical(&module(body)).unwrap();
    let bytes = memory(&rewritten, false);
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

/// How many bytes of code the checks take; one check of a double takes 17.
fn growth(body: &str) -> usize {
    let original = module(body);
    canonical(&original).unwrap().len() - original.len()
}

#[test]
fn a_computed_nan_has_the_canonical_bits_wherever_it_is_seen() {
    let nan = "(f64.div (local.get $a) (local.get $a))";
    for body in [
        format!("(f64.store (i32.const 0) {nan})"),
        format!("(i64.store (i32.const 0) (i64.reinterpret_f64 {nan}))"),
        format!("(local.set $x {nan}) (f64.store (i32.const 0) (local.get $x))"),
        format!("(f64.store (i32.const 0) (f64.add {nan} (f64.const 1)))"),
        "(v128.store (i32.const 0) (f64x2.div (v128.const i64x2 0 0) (v128.const i64x2 0 0)))"
            .into(),
    ] {
        assert_eq!(first(&body), CANONICAL, "{body}");
    }
}

#[test]
fn a_nan_that_is_only_moved_keeps_its_payload() {
    for body in [
        "(f64.store (i32.const 0) (local.get $b))",
        "(local.set $x (local.get $b)) (f64.store (i32.const 0) (local.get $x))",
        "(local.set $x (f64.add (local.get $a) (local.get $a)))
         (local.set $x (local.get $b)) (f64.store (i32.const 0) (local.get $x))",
    ] {
        assert_eq!(first(body), PAYLOAD, "{body}");
    }
}

#[test]
fn a_recurrence_is_checked_once_behind_its_loop() {
    let body =
        "(loop (local.set $x (f64.add (f64.mul (local.get $x) (local.get $a)) (local.get $b)))
        (br_if 0 (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
        (f64.store (i32.const 0) (local.get $x))";
    let once = growth("(f64.store (i32.const 0) (f64.add (local.get $a) (local.get $b)))");
    assert_eq!(growth(body), once);
    assert_eq!(growth("(f64.store (i32.const 0) (local.get $b))"), 0);
}

#[test]
fn a_local_that_does_not_exist_is_refused_since_it_could_be_the_scratch() {
    let mut wasm = module("(f64.store (i32.const 0) (f64.add (local.get $a) (local.get $x)))");
    let at = wasm.windows(2).rposition(|w| w == [0x20, 2]).unwrap();
    wasm[at + 1] = 6;
    assert_eq!(canonical(&wasm), Err(Unreadable("no local 6".into())));
}

/// Random programs: a linear congruential stream chooses.
struct Author(u64);

impl Author {
    fn choose(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn name(&mut self) -> &'static str {
        ["$a", "$b", "$x", "$y"][self.choose(4) as usize]
    }

    fn value(&mut self, depth: u32) -> String {
        const NUMBERS: [&str; 5] = ["0", "-1.5", "inf", "1e308", "nan:0x8000000000123"];
        if depth == 0 {
            return match self.choose(3) {
                0 => format!("(f64.const {})", NUMBERS[self.choose(5) as usize]),
                1 => format!("(f64.load (i32.const {}))", 8 * self.choose(8)),
                _ => format!("(local.get {})", self.name()),
            };
        }
        let one = self.value(depth - 1);
        match self.choose(16) {
            0 => format!("(f64.neg {one})"),
            1 => format!("(f64.abs {one})"),
            2 => format!("(f64.sqrt {one})"),
            3 => format!("(f64.floor {one})"),
            4 => format!("(local.tee {} {one})", self.name()),
            5 => format!("(f64.promote_f32 (f32.demote_f64 {one}))"),
            6 => format!("(f64.reinterpret_i64 (i64.reinterpret_f64 {one}))"),
            7 => format!("(f64x2.extract_lane 1 (f64x2.splat {one}))"),
            8 => {
                let two = self.value(depth - 1);
                format!("(select {one} {two} (f64.lt {one} {two}))")
            }
            9 => format!("(block (result f64) {one})"),
            other => {
                const OF: [&str; 6] = ["add", "sub", "mul", "div", "copysign", "min"];
                format!(
                    "(f64.{} {one} {})",
                    OF[other as usize - 10],
                    self.value(depth - 1)
                )
            }
        }
    }

    fn statement(&mut self, depth: u32) -> String {
        match self.choose(7) {
            5 if depth > 0 => {
                let inner: Vec<String> = (0..3).map(|_| self.statement(depth - 1)).collect();
                let (go_on, leave) = (self.value(1), self.value(1));
                format!(
                    "(local.set $i (i32.const {})) (block (loop
                       (br_if 1 (i32.eqz (local.get $i)))
                       (local.set $i (i32.sub (local.get $i) (i32.const 1))) {}
                       (if (f64.lt {go_on} (f64.const 1)) (then (br 1))) {}
                       (if (f64.gt {leave} (f64.const 9)) (then (br 2))) {} (br 0)))",
                    self.choose(20),
                    inner[0],
                    inner[1],
                    inner[2]
                )
            }
            6 if depth > 0 => {
                let inner: Vec<String> = (0..3).map(|_| self.statement(depth - 1)).collect();
                let leave = self.value(1);
                format!(
                    "(local.set $i (i32.const {})) (block (loop {}
                       (br_if 1 (f64.gt {leave} (f64.const 9))) {}
                       (br_if 0 (local.tee $i (i32.sub (local.get $i) (i32.const 1))))) {})",
                    1 + self.choose(20),
                    inner[0],
                    inner[1],
                    inner[2]
                )
            }
            0 if depth > 0 => {
                let inner: String = (0..3).map(|_| self.statement(depth - 1)).collect();
                format!(
                    "(local.set $i (i32.const 3)) (loop {inner}
                       (br_if 0 (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))"
                )
            }
            1 => format!(
                "(f64.store (i32.const {}) {})",
                8 * self.choose(8),
                self.value(2)
            ),
            2 => format!(
                "(local.set $v (f64x2.add (local.get $v) (f64x2.splat {})))
                 (v128.store (i32.const {}) (local.get $v))",
                self.value(1),
                8 * self.choose(7)
            ),
            _ => format!("(local.set {} {})", self.name(), self.value(3)),
        }
    }
}

#[test]
fn every_program_shows_the_bits_that_checks_after_each_operation_give() {
    let (mut checked, mut repeated) = (0, 0);
    for seed in 0..150 {
        let mut author = Author(seed);
        let mut body: String = (0..12).map(|_| author.statement(1)).collect();
        for (at, name) in ["$a", "$b", "$x", "$y"].into_iter().enumerate() {
            body += &format!("(f64.store (i32.const {}) (local.get {name}))", 8 * at);
        }
        let original = module(&body);
        let expected = memory(&original, true);
        let checks_alone = canonical(&original).unwrap();
        checked += usize::from(checks_alone.len() > original.len());
        assert_eq!(memory(&checks_alone, false), expected, "{body}");
        let with_loops = rewritten(&original).unwrap();
        repeated += usize::from(with_loops.len() > checks_alone.len());
        assert_eq!(memory(&with_loops, false), expected, "{body}");
    }
    assert!(checked > 100 && repeated > 100);
}
