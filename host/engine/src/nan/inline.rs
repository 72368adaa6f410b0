//! Calls of tiny functions, written out where they are called.
//!
//! What a processor does in one instruction, WebAssembly may lack: `f64::max` of Rust is a call to `fmax`, a
//! dozen operations that no linker inlines, since the call appears only when code is generated. Such a call
//! in a model's innermost loop costs more than itself: its arguments leave arithmetic and are checked
//! ([`super::flow`]), the callee looks at the clock, and the loop around it cannot be repeated
//! ([`super::unroll`]). The five hottest loops of `ets` are such.
//!
//! Only a function of floats without locals, memory, calls and branches is written out: its arguments go to
//! new locals of the caller, its operations follow as they are. The same values are computed in the same
//! order, so nothing that can be seen changes; and code grows within the bound that loops share. Rejected: Cranelift's own inlining, which comes after the
//! checks and the loops; and an optimiser in the SDK's build, which would serve the SDK's guests alone.

use super::flow::{Lanes, Local};
use super::operations::{computes, observes_nothing};
use super::{Unreadable, leb_len, unsigned};
use std::collections::BTreeMap;
use wasmparser::{BinaryReader, BinaryReaderError, FunctionBody, Operator};

/// Longest body that is written out, in bytes.
const TINY: usize = 64;

/// Most locals of a function that calls are written out in; the standard's own bound for an engine is 50,000.
const LOCALS: usize = 20_000;

const GET: u8 = 0x20;
const SET: u8 = 0x21;

/// A function that may be written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tiny {
    /// Value types of its parameters, in the standard's code.
    params: Vec<u8>,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// A parameter is read.
    Read(u32),
    /// Operations as they are.
    Code(Vec<u8>),
}

/// The function as one that may be written out, if it is.
pub(super) fn tiny(body: &[u8], params: &[Local]) -> Result<Option<Tiny>, BinaryReaderError> {
    // No group of locals.
    if body.len() > TINY || body.first() != Some(&0) {
        return Ok(None);
    }
    let value_type = |local: &Local| match local {
        Local::Float(Some(lanes @ (Lanes::F64 | Lanes::F32))) => Some(lanes.value_type()),
        _ => None,
    };
    let Some(params) = params.iter().map(value_type).collect::<Option<Vec<u8>>>() else {
        return Ok(None);
    };
    let mut operators = FunctionBody::new(BinaryReader::new(body, 0)).get_operators_reader()?;
    let mut parts = vec![];
    while !operators.eof() {
        let at = operators.original_position();
        let operator = operators.read()?;
        let code = &body[at..operators.original_position()];
        match operator {
            Operator::LocalGet { local_index } => parts.push(Part::Read(local_index)),
            Operator::End => break,
            other if is_pure(&other) => match parts.last_mut() {
                Some(Part::Code(before)) => before.extend_from_slice(code),
                _ => parts.push(Part::Code(code.to_vec())),
            },
            _ => return Ok(None),
        }
    }
    Ok(operators.eof().then_some(Tiny { params, parts }))
}

/// Whether an operation has operands and results and nothing else.
fn is_pure(operator: &Operator<'_>) -> bool {
    use Operator as O;
    computes(operator).is_some()
        || observes_nothing(operator).is_some()
        || matches!(
            operator,
            O::Select
                | O::F64Const { .. }
                | O::F32Const { .. }
                | O::I32Const { .. }
                | O::F64Neg
                | O::F64Abs
                | O::F64Copysign
                | O::F32Neg
                | O::F32Abs
                | O::F32Copysign
                | O::I32And
                | O::I32Or
                | O::I32Xor
                | O::I32Eqz
        )
}

/// A body with its calls of tiny functions written out, growing by at most `room`, which is lowered by the
/// growth; `None` where there are none. `locals` is how many it has, parameters included.
///
/// # Errors
/// Where the body cannot be read.
pub(super) fn inlined(
    body: &[u8],
    locals: usize,
    tiny: &BTreeMap<u32, Tiny>,
    room: &mut usize,
) -> Result<Option<Vec<u8>>, Unreadable> {
    if tiny.is_empty() {
        return Ok(None);
    }
    let mut operators = FunctionBody::new(BinaryReader::new(body, 0)).get_operators_reader()?;
    let begin = operators.original_position();
    let (mut code, mut added) = (vec![], vec![]);
    let mut from = begin;
    while !operators.eof() {
        let at = operators.original_position();
        let Operator::Call { function_index } = operators.read()? else {
            continue;
        };
        let Some(callee) = tiny.get(&function_index) else {
            continue;
        };
        let first = locals + added.len();
        let written = callee.written(first);
        // A local takes two bytes where it is declared.
        let grows = written.len() + 2 * callee.params.len();
        if first + callee.params.len() > LOCALS || grows > *room {
            continue;
        }
        *room -= grows;
        code.extend_from_slice(&body[from..at]);
        code.extend(written);
        added.extend_from_slice(&callee.params);
        from = operators.original_position();
    }
    if from == begin {
        return Ok(None);
    }
    code.extend_from_slice(&body[from..]);
    let groups = BinaryReader::new(body, 0).read_var_u32()? as usize;
    let mut out = Vec::with_capacity(body.len() + code.len());
    unsigned(&mut out, groups + added.len());
    out.extend_from_slice(&body[leb_len(body)..begin]);
    for ty in added {
        out.extend([1, ty]);
    }
    out.extend(code);
    Ok(Some(out))
}

impl Tiny {
    /// Its operations, its parameters being the caller's locals from `first` on.
    fn written(&self, first: usize) -> Vec<u8> {
        let mut out = vec![];
        for index in (0..self.params.len()).rev() {
            out.push(SET);
            unsigned(&mut out, first + index);
        }
        for part in &self.parts {
            match part {
                Part::Read(index) => {
                    out.push(GET);
                    unsigned(&mut out, first + *index as usize);
                }
                Part::Code(code) => out.extend_from_slice(code),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::rewritten;
    use wasmparser::Validator;
    use wasmtime::{Config, Engine, Instance, Module, Store};

    /// `fmax` as Rust's library has it, and what calls it.
    const FMAX: &str = "(func $fmax (param f64 f64) (result f64)
        (select
          (select (local.get 1) (local.get 0)
            (f64.lt (local.get 0) (local.get 1)))
          (local.get 1)
          (f64.eq (local.get 0) (local.get 0))))";

    fn module(more: &str, body: &str) -> Vec<u8> {
        let text = format!(
            "(module (import \"\" \"no\" (func $no)) (memory 1) {FMAX} {more}
               (func (export \"run\") (param $a f64) (param $b f64) (result f64)
                 (local $x f64) (local $i i32) {body}))"
        );
        wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    fn run(wasm: &[u8], a: f64, b: f64) -> u64 {
        let mut config = Config::new();
        config.cranelift_nan_canonicalization(true);
        let engine = Engine::new(&config).unwrap();
        let module = Module::new(&engine, wasm).unwrap();
        let mut store = Store::new(&engine, ());
        let no = wasmtime::Func::wrap(&mut store, || {});
        let instance = Instance::new(&mut store, &module, &[no.into()]).unwrap();
        let run = instance
            .get_typed_func::<(f64, f64), f64>(&mut store, "run")
            .unwrap();
        run.call(&mut store, (a, b)).unwrap().to_bits()
    }

    fn calls(wasm: &[u8]) -> usize {
        wasmprinted(wasm, |o| matches!(o, wasmparser::Operator::Call { .. }))
    }

    fn wasmprinted(wasm: &[u8], counts: impl Fn(&wasmparser::Operator<'_>) -> bool) -> usize {
        let mut count = 0;
        for payload in wasmparser::Parser::new(0).parse_all(wasm) {
            if let wasmparser::Payload::CodeSectionEntry(body) = payload.unwrap() {
                let mut operators = body.get_operators_reader().unwrap();
                while !operators.eof() {
                    count += usize::from(counts(&operators.read().unwrap()));
                }
            }
        }
        count
    }

    #[test]
    fn a_tiny_function_is_written_out_with_the_same_results() {
        let nested = "(call $fmax (local.get $a)
            (call $fmax (f64.mul (local.get $b) (f64.const 0.5)) (f64.const 1)))";
        let summed = "(local.set $i (i32.const 20))
            (loop
              (local.set $x (call $fmax (f64.sub (local.get $a) (local.get $x)) (local.get $b)))
              (br_if 0 (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
            (local.get $x)";
        for body in [nested, summed] {
            let before = module("", body);
            let after = rewritten(&before).unwrap();
            Validator::new().validate_all(&after).unwrap();
            assert_eq!(calls(&after), 0, "{body}");
            let numbers = [0.0, -0.0, 1.5, -7.0, f64::INFINITY, f64::NAN];
            for (a, b) in numbers.iter().flat_map(|a| numbers.map(|b| (*a, b))) {
                assert_eq!(run(&after, a, b), run(&before, a, b), "{body} {a} {b}");
            }
        }
    }

    #[test]
    fn what_is_not_tiny_or_does_more_is_called() {
        let body = "(drop (call $f (local.get $a))) (local.get $b)";
        for (what, is_written) in [
            (
                "(func $f (param f64) (result f64) (f64.neg (local.get 0)))",
                true,
            ),
            (
                "(func $f (param f64) (result f64) (f64.load (i32.const 0)))",
                false,
            ),
            (
                "(func $f (param f64) (result f64) (call $no) (local.get 0))",
                false,
            ),
            (
                "(func $f (param f64) (result f64) (local.tee 0 (f64.const 1)))",
                false,
            ),
            (
                "(func $f (param f64) (result f64) (local f64) (local.get 1))",
                false,
            ),
            (
                "(func $f (param f64) (result f64) (return (local.get 0)))",
                false,
            ),
            (
                "(func $f (param f64) (result f64)
                   (block (result f64) (local.get 0)))",
                false,
            ),
        ] {
            let after = rewritten(&module(what, body)).unwrap();
            Validator::new().validate_all(&after).unwrap();
            let within = usize::from(what.contains("call $no"));
            assert_eq!(calls(&after) - within, usize::from(!is_written), "{what}");
        }
        let of_integers = "(func $g (param i32) (result i32) (local.get 0))";
        let body = "(drop (call $g (i32.const 1))) (local.get $b)";
        assert_eq!(calls(&rewritten(&module(of_integers, body)).unwrap()), 1);
    }

    #[test]
    fn a_module_grows_by_no_more_than_its_code() {
        let many = "(drop (call $fmax (local.get $a) (local.get $b)))".repeat(5000);
        let before = module("", &format!("{many} (local.get $a)"));
        let after = rewritten(&before).unwrap();
        assert!(after.len() < before.len() * 2 + 100, "{}", after.len());
        assert!(calls(&after) > 0 && calls(&after) < 5000);
        Validator::new().validate_all(&after).unwrap();
    }
}
