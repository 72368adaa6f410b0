//! NaNs whose bits are the same on every machine, at the price of a check where bits can be seen.
//!
//! WebAssembly leaves the bits of a computed NaN open, and processors differ: 0/0 is negative on x86
//! and positive on Arm. A guest can see the difference (a store, a reinterpretation, `copysign`),
//! and so could a replay elsewhere. Cranelift's own remedy checks the result of every operation,
//! which costs a model's fit between a quarter and a half of its time. But the bits of a NaN that is
//! only added, compared or rounded on change nothing that can be seen. So a component is rewritten
//! here before it is compiled: a computed value is made canonical where it leaves arithmetic, and
//! nowhere else ([`flow`] says where that is).
//!
//! The rewritten code is a lawful execution of the original: the standard allows the canonical NaN
//! wherever a computed one is possible, and a NaN that is merely moved (loaded, passed, stored) keeps
//! its payload, as the standard demands. Rejected: to check at every store instead, which changes
//! payloads that a guest moves (interpreters keep tags there), and to trust the SDK's codec, which
//! holds for its own guests alone.
//!
//! Before the checks, calls of tiny functions are written out ([`inline`]), since what is passed to a call leaves
//! arithmetic; behind them, small loops are repeated ([`unroll`]), which copies the checks with the rest.
//! Sections are copied as they are but for code; a module's digest is that of the original bytes.

mod flow;
mod inline;
mod operations;
#[cfg(test)]
mod tests;
mod unroll;

use flow::{Lanes, Local};
use inline::Tiny;
use std::collections::BTreeMap;
use wasmparser::{
    BinaryReader, BinaryReaderError, CodeSectionReader, CompositeInnerType, FunctionBody,
    FunctionSectionReader, ImportSectionReader, TypeRef, TypeSectionReader, ValType,
};

/// Part of the key of compiled code: raised when the rewriting changes.
pub(crate) const VERSION: &[u8] = b"nan 1, inlined 1, unrolled 2";

/// Components within components that are followed; deeper ones are refused.
const MAX_DEPTH: usize = 16;

/// Why a component cannot be rewritten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(String);

impl From<BinaryReaderError> for Unreadable {
    fn from(error: BinaryReaderError) -> Self {
        Self(error.to_string())
    }
}

const HEADER: usize = 8;
const COMPONENT_LAYER: &[u8] = &[1, 0];

/// What becomes of small loops and tiny functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loops {
    Unrolled,
    /// For tests, which count what checks alone add.
    #[cfg(test)]
    Kept,
}

/// Rewrites every core module of a component, or a core module.
///
/// # Errors
/// Where the bytes cannot be read; wasmtime would refuse them too.
pub(crate) fn rewritten(bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    rewrite(bytes, 0, Loops::Unrolled)
}

#[cfg(test)]
fn canonical(bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    rewrite(bytes, 0, Loops::Kept)
}

fn rewrite(bytes: &[u8], depth: usize, loops: Loops) -> Result<Vec<u8>, Unreadable> {
    let mut reader = BinaryReader::new(bytes, 0);
    let header = reader.read_bytes(HEADER)?;
    if depth > MAX_DEPTH {
        return Err(Unreadable("components are nested too deeply".into()));
    }
    let is_component = header.ends_with(COMPONENT_LAYER);
    let mut out = header.to_vec();
    let mut module = Module::default();
    while !reader.eof() {
        let id = reader.read_u8()?;
        let size = reader.read_var_u32()? as usize;
        let section = reader.read_bytes(size)?;
        let changed = match (is_component, id) {
            // A core module, and a component, within a component.
            (true, 1 | 4) => Some(rewrite(section, depth + 1, loops)?),
            (false, 1..=3) => {
                module.learn(id, section)?;
                None
            }
            (false, 10) => Some(module.code(section, loops)?),
            _ => None,
        };
        let section = changed.as_deref().unwrap_or(section);
        out.push(id);
        unsigned(&mut out, section.len());
        out.extend_from_slice(section);
    }
    Ok(out)
}

/// What a core module says before its code.
#[derive(Default)]
struct Module {
    /// Parameters of each type; none for what is no function type.
    types: Vec<Vec<Local>>,
    /// Functions that come from elsewhere; those with a body are numbered behind them.
    imported: u32,
    /// The type of each function that has a body.
    functions: Vec<u32>,
}

impl Module {
    fn learn(&mut self, id: u8, section: &[u8]) -> Result<(), Unreadable> {
        let reader = BinaryReader::new(section, 0);
        match id {
            1 => {
                for group in TypeSectionReader::new(reader)? {
                    for ty in group?.types() {
                        let params = match &ty.composite_type.inner {
                            CompositeInnerType::Func(f) => {
                                f.params().iter().map(|&ty| local(ty)).collect()
                            }
                            _ => Vec::new(),
                        };
                        self.types.push(params);
                    }
                }
            }
            2 => {
                for import in ImportSectionReader::new(reader)?.into_imports() {
                    let is_function =
                        matches!(import?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_));
                    self.imported += u32::from(is_function);
                }
            }
            _ => {
                for function in FunctionSectionReader::new(reader)? {
                    self.functions.push(function?);
                }
            }
        }
        Ok(())
    }

    fn code(&self, section: &[u8], loops: Loops) -> Result<Vec<u8>, Unreadable> {
        let bodies = CodeSectionReader::new(BinaryReader::new(section, 0))?;
        let mut out = Vec::with_capacity(section.len() + section.len() / 4);
        unsigned(&mut out, bodies.count() as usize);
        let mut room = section.len();
        let tiny = match loops {
            Loops::Unrolled => self.tiny(bodies.clone())?,
            #[cfg(test)]
            Loops::Kept => BTreeMap::new(),
        };
        for (at, body) in bodies.into_iter().enumerate() {
            let body = body?;
            let params = self.params(at)?;
            let locals = params.len() + declared(&body)?;
            let written = inline::inlined(body.as_bytes(), locals, &tiny, &mut room)?;
            let mut body = match &written {
                Some(written) => {
                    let body = FunctionBody::new(BinaryReader::new(written, 0));
                    function(written, &body, params)?
                }
                None => function(section, &body, params)?,
            };
            if loops == Loops::Unrolled {
                body = unroll::unrolled(&body, &mut room)?;
            }
            unsigned(&mut out, body.len());
            out.extend(body);
        }
        Ok(out)
    }

    /// The functions that may be written out where they are called, by their number.
    fn tiny(&self, bodies: CodeSectionReader<'_>) -> Result<BTreeMap<u32, Tiny>, Unreadable> {
        let mut all = BTreeMap::new();
        for (at, body) in bodies.into_iter().enumerate() {
            if let Some(tiny) = inline::tiny(body?.as_bytes(), self.params(at)?)? {
                let at = u32::try_from(at).unwrap_or(u32::MAX);
                all.insert(self.imported.saturating_add(at), tiny);
            }
        }
        Ok(all)
    }

    /// Parameters of the function whose body is the `at`th.
    fn params(&self, at: usize) -> Result<&[Local], Unreadable> {
        let ty = self.functions.get(at).map(|&ty| ty as usize);
        let params = ty.and_then(|ty| self.types.get(ty));
        let params = params.ok_or_else(|| Unreadable("a body without a type".into()))?;
        Ok(params)
    }
}

/// How many locals a body declares.
fn declared(body: &FunctionBody<'_>) -> Result<usize, Unreadable> {
    let mut all = 0_usize;
    for group in body.get_locals_reader()? {
        all = all.saturating_add(group?.0 as usize);
    }
    Ok(all)
}

/// One body with its checks.
fn function(
    section: &[u8],
    body: &FunctionBody<'_>,
    params: &[Local],
) -> Result<Vec<u8>, Unreadable> {
    let range = body.range();
    let mut locals = params.to_vec();
    let mut groups = 0;
    for group in body.get_locals_reader()? {
        let (count, ty) = group?;
        // The standard's own bound for an engine.
        if locals.len() + count as usize > 50_000 {
            return Err(Unreadable("too many locals".into()));
        }
        locals.resize(locals.len() + count as usize, local(ty));
        groups += 1;
    }
    let operators = body.get_operators_reader()?;
    let begin = operators.original_position();
    let checks = flow::checks(operators, &locals, params.len())?;
    if checks.is_empty() {
        return Ok(section[range].to_vec());
    }
    // One scratch local for each shape that is checked, after all others.
    let mut scratch = BTreeMap::new();
    for lanes in checks.values() {
        let next = locals.len() + scratch.len();
        scratch.entry(lanes.value_type()).or_insert(next);
    }
    let mut by_index: Vec<_> = scratch.iter().collect();
    by_index.sort_by_key(|&(_, index)| index);
    let mut out = Vec::with_capacity(range.len() * 2);
    unsigned(&mut out, groups + by_index.len());
    out.extend_from_slice(&section[range.start + leb_len(&section[range.start..])..begin]);
    for (ty, _) in by_index {
        out.extend([1, *ty]);
    }
    let mut from = begin;
    for (at, lanes) in checks {
        out.extend_from_slice(&section[from..at]);
        lanes.check(&mut out, scratch[&lanes.value_type()]);
        from = at;
    }
    out.extend_from_slice(&section[from..range.end]);
    Ok(out)
}

fn local(ty: ValType) -> Local {
    match ty {
        ValType::F64 => Local::Float(Some(Lanes::F64)),
        ValType::F32 => Local::Float(Some(Lanes::F32)),
        ValType::V128 => Local::Float(None),
        ValType::I32 | ValType::I64 | ValType::Ref(_) => Local::Other,
    }
}

/// LEB128.
fn unsigned(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// Bytes of the LEB128 number that begins here.
fn leb_len(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|&&b| b & 0x80 != 0).count() + 1
}
