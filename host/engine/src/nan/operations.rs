//! What each operation does to the bits of a NaN, as the standard tells.
//!
//! Three tables that are read together with it: what may compute a NaN, what answers the same for
//! every NaN, and after what the operand stack is still known. The first must be complete, since what
//! it lacks would go unchecked (relaxed vectors lack there: the engine refuses them); the others may
//! lack anything, since an operation that they do not name lets its operands escape.

use super::flow::Lanes;
use wasmparser::{ContType, FrameKind, FuncType, ModuleArity, Operator, RefType, SubType};

/// Operands, their lanes and the result's lanes, of what may compute a NaN.
pub(super) fn computes(operator: &Operator<'_>) -> Option<(usize, Lanes, Lanes)> {
    use Lanes::{F32, F32x4, F64, F64x2};
    use Operator as O;
    Some(match operator {
        O::F64Add | O::F64Sub | O::F64Mul | O::F64Div | O::F64Min | O::F64Max => (2, F64, F64),
        O::F64Sqrt | O::F64Ceil | O::F64Floor | O::F64Trunc | O::F64Nearest => (1, F64, F64),
        O::F32Add | O::F32Sub | O::F32Mul | O::F32Div | O::F32Min | O::F32Max => (2, F32, F32),
        O::F32Sqrt | O::F32Ceil | O::F32Floor | O::F32Trunc | O::F32Nearest => (1, F32, F32),
        O::F64PromoteF32 => (1, F32, F64),
        O::F32DemoteF64 => (1, F64, F32),
        O::F64x2Add | O::F64x2Sub | O::F64x2Mul | O::F64x2Div | O::F64x2Min | O::F64x2Max => {
            (2, F64x2, F64x2)
        }
        O::F64x2Sqrt | O::F64x2Ceil | O::F64x2Floor | O::F64x2Trunc | O::F64x2Nearest => {
            (1, F64x2, F64x2)
        }
        O::F32x4Add | O::F32x4Sub | O::F32x4Mul | O::F32x4Div | O::F32x4Min | O::F32x4Max => {
            (2, F32x4, F32x4)
        }
        O::F32x4Sqrt | O::F32x4Ceil | O::F32x4Floor | O::F32x4Trunc | O::F32x4Nearest => {
            (1, F32x4, F32x4)
        }
        O::F64x2PromoteLowF32x4 => (1, F32x4, F64x2),
        O::F32x4DemoteF64x2Zero => (1, F64x2, F32x4),
        _ => return None,
    })
}

/// Operands and lanes of what answers the same for any NaN.
pub(super) fn observes_nothing(operator: &Operator<'_>) -> Option<(usize, Lanes)> {
    use Lanes::{F32, F64};
    use Operator as O;
    Some(match operator {
        O::F64Eq | O::F64Ne | O::F64Lt | O::F64Gt | O::F64Le | O::F64Ge => (2, F64),
        O::F32Eq | O::F32Ne | O::F32Lt | O::F32Gt | O::F32Le | O::F32Ge => (2, F32),
        O::I32TruncF64S | O::I32TruncF64U | O::I64TruncF64S | O::I64TruncF64U => (1, F64),
        O::I32TruncSatF64S | O::I32TruncSatF64U | O::I64TruncSatF64S | O::I64TruncSatF64U => {
            (1, F64)
        }
        O::I32TruncF32S | O::I32TruncF32U | O::I64TruncF32S | O::I64TruncF32U => (1, F32),
        O::I32TruncSatF32S | O::I32TruncSatF32U | O::I64TruncSatF32S | O::I64TruncSatF32U => {
            (1, F32)
        }
        _ => return None,
    })
}

/// Whether control goes on behind it and nowhere else.
pub(super) fn is_straight(operator: &Operator<'_>) -> bool {
    use Operator as O;
    !matches!(
        operator,
        O::Unreachable
            | O::Else
            | O::Br { .. }
            | O::BrIf { .. }
            | O::BrTable { .. }
            | O::Return
            | O::Call { .. }
            | O::CallIndirect { .. }
            | O::TryTable { .. }
            | O::Try { .. }
            | O::Catch { .. }
            | O::CatchAll
            | O::Delegate { .. }
            | O::Throw { .. }
            | O::ThrowRef
            | O::Rethrow { .. }
    )
}

/// Knows no module: what needs one is not straight.
pub(super) struct Nothing;

impl ModuleArity for Nothing {
    fn sub_type_at(&self, _: u32) -> Option<&SubType> {
        None
    }
    fn tag_type_arity(&self, _: u32) -> Option<(u32, u32)> {
        None
    }
    fn type_index_of_function(&self, _: u32) -> Option<u32> {
        None
    }
    fn func_type_of_cont_type(&self, _: &ContType) -> Option<&FuncType> {
        None
    }
    fn sub_type_of_ref_type(&self, _: &RefType) -> Option<&SubType> {
        None
    }
    fn control_stack_height(&self) -> u32 {
        0
    }
    fn label_block(&self, _: u32) -> Option<(wasmparser::BlockType, FrameKind)> {
        None
    }
}
