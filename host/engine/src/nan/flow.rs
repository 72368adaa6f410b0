//! Where in a function computed values leave arithmetic.
//!
//! One pass follows the operand stack through straight-line code and remembers, for each value,
//! which operations computed it. Consumed by arithmetic, a comparison or a conversion of its own
//! shape, a value shows no bits. Anything else (a store, a call, a reinterpretation, the end of the
//! straight line) lets it *escape*, and then it is checked where it was computed.
//!
//! A local may hold unchecked values, which is what keeps a recurrence free of checks: either no
//! read of it ever escapes, or it only ever holds computed values, so that a read may be checked
//! instead. Otherwise it holds payloads that must be kept beside computed values, and these are
//! checked before they are written. What is not understood here escapes: an operation that this
//! file does not know costs a check and never a bit.

use super::Unreadable;
use super::operations::{Nothing, computes, is_straight, observes_nothing};
use std::collections::BTreeMap;
use wasmparser::{Operator, OperatorsReader};

/// How a value is divided into floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lanes {
    F32,
    F64,
    F32x4,
    F64x2,
}

/// What a local may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Local {
    /// A float, or a vector of which the lanes are not known.
    Float(Option<Lanes>),
    /// Nothing that has a NaN.
    Other,
}

impl Lanes {
    /// The standard's code of the value type.
    pub(super) fn value_type(self) -> u8 {
        match self {
            Lanes::F32 => 0x7d,
            Lanes::F64 => 0x7c,
            Lanes::F32x4 | Lanes::F64x2 => 0x7b,
        }
    }

    /// Code that makes the NaNs of the value on top of the stack canonical: `v >= v ? v : NaN`. Not
    /// `v == v`, which takes two jumps on x86 because of how it flags unordered operands.
    pub(super) fn check(self, out: &mut Vec<u8>, scratch: usize) {
        const GET: u8 = 0x20;
        const TEE: u8 = 0x22;
        let local = |out: &mut Vec<u8>, code| {
            out.push(code);
            super::unsigned(out, scratch);
        };
        let (nan, compare): (&[u8], &[u8]) = match self {
            Lanes::F32 => (&[0x43], &[0x60, 0x1b]),
            Lanes::F64 => (&[0x44], &[0x66, 0x1b]),
            Lanes::F32x4 => (&[0xfd, 0x0c], &[0xfd, 0x41, 0xfd, 0x52]),
            Lanes::F64x2 => (&[0xfd, 0x0c], &[0xfd, 0x47, 0xfd, 0x52]),
        };
        let single = 0x7fc0_0000_u32.to_le_bytes();
        let double = 0x7ff8_0000_0000_0000_u64.to_le_bytes();
        local(out, TEE);
        out.extend_from_slice(nan);
        match self {
            Lanes::F32 => out.extend(single),
            Lanes::F64 => out.extend(double),
            Lanes::F32x4 => out.extend(single.repeat(4)),
            Lanes::F64x2 => out.extend(double.repeat(2)),
        }
        local(out, GET);
        local(out, GET);
        out.extend_from_slice(compare);
    }
}

/// Where to check, by the offset behind an operation, and what.
pub(super) fn checks(
    operators: OperatorsReader<'_>,
    locals: &[Local],
    params: usize,
) -> Result<BTreeMap<usize, Lanes>, Unreadable> {
    let mut first = Flow::new(locals, params);
    first.run(operators.clone())?;
    // What is written to a vector tells its lanes, but only a whole pass knows all that is written.
    let Some(kinds) = first.vectors() else {
        return Ok(first.finish());
    };
    let mut second = Flow::new(&kinds, params);
    second.run(operators)?;
    Ok(second.finish())
}

/// A value on the stack: what may have made it.
#[derive(Debug, Clone, Default)]
struct Value {
    /// Operations, by the offset behind them.
    computed: Vec<usize>,
    /// Reads of locals.
    read: Vec<usize>,
    /// Also something whose bits are to be kept.
    kept: bool,
    /// Its sign was set or turned, which even a NaN shows: it is checked before that or not at all.
    turned: bool,
}

impl Value {
    fn kept() -> Self {
        Self {
            kept: true,
            ..Self::default()
        }
    }
}

/// A place that makes a value.
#[derive(Debug)]
struct Place {
    lanes: Lanes,
    /// How often it runs, guessed from the loops around it.
    weight: u64,
}

#[derive(Debug)]
struct Read {
    local: usize,
    weight: u64,
    escapes: bool,
}

#[derive(Debug, Default)]
struct Written {
    /// Offsets of operations whose results were written here unchecked.
    computed: Vec<usize>,
    /// Something whose bits are to be kept was written too.
    kept: bool,
}

#[derive(Debug)]
struct Flow {
    kinds: Vec<Local>,
    written: Vec<Written>,
    stack: Vec<Value>,
    places: BTreeMap<usize, Place>,
    reads: BTreeMap<usize, Read>,
    checked: BTreeMap<usize, Lanes>,
    /// Whether each open block is a loop.
    blocks: Vec<bool>,
    /// Vectors that computed values were written to: their lanes, if they agree.
    lanes: BTreeMap<usize, Option<Lanes>>,
}

impl Flow {
    fn new(locals: &[Local], params: usize) -> Self {
        let mut written: Vec<Written> = Vec::new();
        written.resize_with(locals.len(), Written::default);
        written
            .iter_mut()
            .take(params)
            .for_each(|written| written.kept = true);
        Self {
            kinds: locals.to_vec(),
            written,
            stack: Vec::new(),
            places: BTreeMap::new(),
            reads: BTreeMap::new(),
            checked: BTreeMap::new(),
            blocks: Vec::new(),
            lanes: BTreeMap::new(),
        }
    }

    fn run(&mut self, mut operators: OperatorsReader<'_>) -> Result<(), Unreadable> {
        while !operators.eof() {
            let operator = operators.read()?;
            self.step(&operator, operators.original_position())?;
        }
        Ok(())
    }

    /// The locals with the lanes of those vectors that have one kind of computed value alone.
    fn vectors(&self) -> Option<Vec<Local>> {
        let mut kinds = self.kinds.clone();
        let mut any = false;
        for (local, lanes) in &self.lanes {
            if let (Some(lanes), Some(kind)) = (lanes, kinds.get_mut(*local)) {
                *kind = Local::Float(Some(*lanes));
                any = true;
            }
        }
        any.then_some(kinds)
    }

    fn weight(&self) -> u64 {
        let depth = self.blocks.iter().filter(|&&is_loop| is_loop).count();
        8_u64.saturating_pow(u32::try_from(depth).unwrap_or(u32::MAX))
    }

    fn pop(&mut self) -> Value {
        // What lies below the known part was made canonical when it escaped.
        self.stack.pop().unwrap_or_else(Value::kept)
    }

    fn check(&mut self, at: usize) {
        if let Some(place) = self.places.get(&at) {
            self.checked.insert(at, place.lanes);
        }
    }

    /// The bits of a value can be seen from here on.
    fn escape(&mut self, value: &Value) {
        for &at in &value.computed {
            self.check(at);
        }
        for at in &value.read {
            if let Some(read) = self.reads.get_mut(at) {
                read.escapes = true;
            }
        }
    }

    fn escape_all(&mut self) {
        for value in std::mem::take(&mut self.stack) {
            self.escape(&value);
        }
    }

    /// Consumes values of which no bits show, if they have these lanes.
    fn absorb(&mut self, count: usize, lanes: Lanes) {
        for _ in 0..count {
            let value = self.pop();
            for &at in &value.computed {
                if self.places.get(&at).is_none_or(|p| p.lanes != lanes) {
                    self.check(at);
                }
            }
            for at in &value.read {
                let local = self.reads.get(at).map(|read| read.local);
                if local.and_then(|local| self.lanes_of(local)) != Some(lanes)
                    && let Some(read) = self.reads.get_mut(at)
                {
                    read.escapes = true;
                }
            }
        }
    }

    /// The lanes of what a local holds unchecked.
    fn lanes_of(&self, local: usize) -> Option<Lanes> {
        match self.kinds.get(local)? {
            Local::Float(lanes) => *lanes,
            Local::Other => None,
        }
    }

    fn compute(&mut self, operands: usize, from: Lanes, lanes: Lanes, at: usize) {
        self.absorb(operands, from);
        let weight = self.weight();
        self.places.insert(at, Place { lanes, weight });
        self.stack.push(Value {
            computed: vec![at],
            ..Value::default()
        });
    }

    fn write(&mut self, local: usize, value: &Value) -> Result<(), Unreadable> {
        let Some(kind) = self.kinds.get(local).copied() else {
            return Err(Unreadable(format!("no local {local}")));
        };
        // A vector whose lanes are not known keeps checked values.
        if !matches!(kind, Local::Float(Some(_))) {
            for at in &value.computed {
                if let Some(place) = self.places.get(at) {
                    let lanes = self.lanes.entry(local).or_insert(Some(place.lanes));
                    *lanes = lanes.filter(|lanes| *lanes == place.lanes);
                }
            }
            self.escape(value);
            return Ok(());
        }
        // A value of other lanes than the local's is checked now.
        for at in &value.computed {
            if self
                .places
                .get(at)
                .is_none_or(|p| Local::Float(Some(p.lanes)) != kind)
            {
                self.check(*at);
            }
        }
        let copied = Value {
            read: value.read.clone(),
            ..Value::default()
        };
        self.escape(&copied);
        if let Some(written) = self.written.get_mut(local) {
            written.computed.extend(&value.computed);
            written.kept |= value.kept || value.turned || !value.read.is_empty();
        }
        Ok(())
    }

    fn read(&mut self, local: usize, at: usize) -> Result<(), Unreadable> {
        let Some(kind) = self.kinds.get(local) else {
            return Err(Unreadable(format!("no local {local}")));
        };
        if !matches!(kind, Local::Float(Some(_))) {
            self.stack.push(Value::kept());
            return Ok(());
        }
        let weight = self.weight();
        let read = Read {
            local,
            weight,
            escapes: false,
        };
        self.reads.insert(at, read);
        self.stack.push(Value {
            read: vec![at],
            ..Value::default()
        });
        Ok(())
    }

    fn step(&mut self, operator: &Operator<'_>, at: usize) -> Result<(), Unreadable> {
        if let Some((operands, from, to)) = computes(operator) {
            self.compute(operands, from, to, at);
            return Ok(());
        }
        if let Some((operands, lanes)) = observes_nothing(operator) {
            self.absorb(operands, lanes);
            self.stack.push(Value::kept());
            return Ok(());
        }
        match operator {
            Operator::LocalGet { local_index } => self.read(*local_index as usize, at)?,
            Operator::LocalSet { local_index } => {
                let value = self.pop();
                self.write(*local_index as usize, &value)?;
            }
            Operator::LocalTee { local_index } => {
                let value = self.pop();
                self.write(*local_index as usize, &value)?;
                self.stack.push(value);
            }
            Operator::Drop => {
                self.pop();
            }
            // A number without a payload is as good as a computed one.
            Operator::F64Const { value } if !f64::from_bits(value.bits()).is_nan() => {
                self.stack.push(Value::default());
            }
            Operator::F32Const { value } if !f32::from_bits(value.bits()).is_nan() => {
                self.stack.push(Value::default());
            }
            Operator::Select => {
                let condition = self.pop();
                self.escape(&condition);
                let (mut one, other) = (self.pop(), self.pop());
                one.computed.extend(other.computed);
                one.read.extend(other.read);
                one.kept |= other.kept;
                one.turned |= other.turned;
                self.stack.push(one);
            }
            Operator::F64Neg | Operator::F64Abs | Operator::F32Neg | Operator::F32Abs => {
                let mut value = self.pop();
                value.turned = true;
                self.stack.push(value);
            }
            Operator::F64ConvertI32S
            | Operator::F64ConvertI32U
            | Operator::F64ConvertI64S
            | Operator::F64ConvertI64U
            | Operator::F32ConvertI32S
            | Operator::F32ConvertI32U
            | Operator::F32ConvertI64S
            | Operator::F32ConvertI64U => {
                self.pop();
                self.stack.push(Value::default());
            }
            Operator::V128Const { value } if value.bytes().iter().all(|&byte| byte == 0) => {
                self.stack.push(Value::default());
            }
            Operator::Block { .. } | Operator::If { .. } => {
                self.escape_all();
                self.blocks.push(false);
            }
            Operator::Loop { .. } => {
                self.escape_all();
                self.blocks.push(true);
            }
            Operator::End => {
                self.escape_all();
                self.blocks.pop();
            }
            other => match is_straight(other).then(|| other.operator_arity(&Nothing)) {
                Some(Some((operands, results))) => {
                    for _ in 0..operands {
                        let value = self.pop();
                        self.escape(&value);
                    }
                    self.stack.extend((0..results).map(|_| Value::kept()));
                }
                _ => self.escape_all(),
            },
        }
        Ok(())
    }

    fn finish(mut self) -> BTreeMap<usize, Lanes> {
        self.escape_all();
        let mut escaping: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (&at, read) in self.reads.iter().filter(|(_, read)| read.escapes) {
            escaping.entry(read.local).or_default().push(at);
        }
        for (local, reads) in escaping {
            let Some(written) = self.written.get(local) else {
                continue;
            };
            let (computed, kept) = (written.computed.clone(), written.kept);
            let unchecked: Vec<usize> = computed
                .into_iter()
                .filter(|at| !self.checked.contains_key(at))
                .collect();
            if unchecked.is_empty() {
                continue;
            }
            let writing: u64 = unchecked
                .iter()
                .filter_map(|at| self.places.get(at))
                .fold(0, |sum, place| sum.saturating_add(place.weight));
            let reading: u64 = reads
                .iter()
                .filter_map(|at| self.reads.get(at))
                .fold(0, |sum, read| sum.saturating_add(read.weight));
            if kept || writing <= reading {
                unchecked.into_iter().for_each(|at| self.check(at));
            } else if let Some(lanes) = self.lanes_of(local) {
                self.checked.extend(reads.into_iter().map(|at| (at, lanes)));
            }
        }
        self.checked
    }
}
