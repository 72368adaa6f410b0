//! Repeated loops against the loops as they were written, in every shape that a compiler gives them.

use super::super::{canonical, rewritten};
use std::time::Duration;
use wasmtime::{Config, Engine, Instance, Module, Store, Trap};

/// A module whose function takes `$n` and has `$i` and `$sum`; another makes it large enough for a
/// loop to be repeated in full.
fn module(body: &str) -> Vec<u8> {
    let other = "nop ".repeat(400);
    let text = format!(
        "(module (memory 1)
           (func (export \"run\") (param $n i32) (result i32) (local $i i32) (local $sum i32)
             {body} (i32.add (i32.mul (local.get $sum) (i32.const 31)) (local.get $i)))
           (func {other}))"
    );
    wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// What `run` answers for each of the arguments.
fn answers(wasm: &[u8], arguments: std::ops::Range<i32>) -> Vec<i32> {
    let engine = Engine::default();
    let module = Module::new(&engine, wasm).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let run = instance
        .get_typed_func::<i32, i32>(&mut store, "run")
        .unwrap();
    arguments
        .map(|n| run.call(&mut store, n).unwrap())
        .collect()
}

const NEXT: &str = "(local.set $i (i32.add (local.get $i) (i32.const 1)))";
const ADD: &str =
    "(local.set $sum (i32.xor (i32.mul (local.get $sum) (i32.const 5)) (local.get $i)))";
const MORE: &str = "(i32.lt_s (local.get $i) (local.get $n))";
const ODD: &str = "(i32.and (local.get $i) (i32.const 1))";
const AT_9: &str = "(i32.eq (local.get $i) (i32.const 9))";

#[test]
fn a_loop_of_any_shape_runs_as_often_as_it_was_written_to() {
    for body in [
        format!("(loop {ADD} {NEXT} (br_if 0 {MORE}))"),
        format!("(block (loop (br_if 1 (i32.eqz {MORE})) {ADD} {NEXT} (br 0)))"),
        // Goes on from within, whatever the end of the round would say.
        format!("(loop {NEXT} (if {ODD} (then (br_if 1 {MORE}))) {ADD} (br_if 0 {MORE}))"),
        // Leaves by one block and by two.
        format!(
            "(block (block (loop {NEXT} (br_if 1 {AT_9}) (br_if 0 {MORE})) {ADD} {ADD} (br 1)) {ADD}) {ADD}"
        ),
        format!(
            "(block (loop {NEXT} (if {AT_9} (then {ADD} (br 2)) (else {ADD})) (br_if 0 {MORE})) {ADD})"
        ),
        // Leaves with the function.
        format!("(loop {NEXT} (if {AT_9} (then (return (i32.const -7)))) {ADD} (br_if 0 {MORE}))"),
        // The outer loop is not repeated, the inner one is.
        format!(
            "(loop {NEXT} (local.set $sum (i32.const 5))
               (loop (br_if 0 (local.tee $sum (i32.sub (local.get $sum) (i32.const 1)))))
               (br_if 0 {MORE}))"
        ),
    ] {
        let original = module(&body);
        let repeated = rewritten(&original).unwrap();
        assert!(repeated.len() > original.len(), "{body}");
        assert_eq!(
            answers(&repeated, 0..40),
            answers(&original, 0..40),
            "{body}"
        );
    }
}

#[test]
fn a_loop_that_is_not_understood_stays_as_it_was() {
    for body in [
        format!("(block (loop {NEXT} (br_table 0 1 (i32.eqz {MORE}))))"),
        format!("(loop {NEXT} (drop (call 0 (i32.const 0))) (br_if 0 {MORE}))"),
        format!("(drop (loop (result i32) {NEXT} (br_if 0 {MORE}) (i32.const 1)))"),
        format!("(loop {NEXT} (br_if 0 {MORE}) {ADD})"),
        format!("(loop {} (br_if 0 {MORE}))", ADD.repeat(800)),
    ] {
        let original = module(&body);
        assert_eq!(rewritten(&original).unwrap(), original, "{body}");
    }
}

#[test]
fn an_endless_loop_is_still_interrupted() {
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config).unwrap();
    for body in [
        "(loop (br 0))",
        "(loop (br_if 0 (i32.const 1)))",
        "(loop (if (local.get $n) (then (br 1))) (br 0))",
        "(loop (br_if 0 (i32.eqz (local.get $i))) (br 0))",
    ] {
        let wasm = rewritten(&module(body)).unwrap();
        let module = Module::new(&engine, &wasm).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let run = instance
            .get_typed_func::<i32, i32>(&mut store, "run")
            .unwrap();
        let clock = engine.clone();
        let ticker = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            clock.increment_epoch();
        });
        let error = run.call(&mut store, 1).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::Interrupt), "{body}");
        ticker.join().unwrap();
    }
}

#[test]
fn code_grows_by_at_most_its_own_size() {
    let small = format!("(loop {NEXT} (br_if 0 {MORE}))");
    for loops in [1, 10, 1000] {
        let original = module(&small.repeat(loops));
        let grown = rewritten(&original).unwrap().len();
        // The numbers that say how long sections are may take a byte or two more.
        assert!(grown <= 2 * original.len() + 8, "{loops} loops: {grown}");
        assert!(
            loops < 10 || grown > original.len() * 3 / 2,
            "{loops} loops: {grown}"
        );
        assert_eq!(canonical(&original).unwrap(), original);
    }
}

#[test]
fn a_body_that_is_cut_off_is_refused_and_never_read_beyond() {
    let whole = module(&format!("(loop {NEXT} (br_if 0 {MORE}))"));
    for length in 8..whole.len() {
        let _ = rewritten(&whole[..length]);
    }
    for depth in [0, 1, 200] {
        let mut stray = whole.clone();
        stray.truncate(whole.len() - depth.min(12));
        stray.extend(vec![0x0b; depth]);
        let _ = rewritten(&stray);
    }
}
