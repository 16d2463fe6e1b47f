//! Programs: a rule's condition as a sequence of instructions over a stack of truth values.
//!
//! # Format
//! An instruction is a u32: its number in the low 8 bits, its operand in the other 24. 1 pushes
//! the truth of the criterion with that index; 2 and 3 replace the two topmost values by their
//! Kleene and / or; 4 replaces the topmost by its not. The operand of 2, 3 and 4 is 0. There are
//! no jumps: a program costs the same whatever the event, and at most its length and its criteria.
//! The stack is one u64, two bits a value.

use super::Event;
use super::criterion::Criterion;
use crate::limits::{MAX_PROGRAM, MAX_STACK};
use crate::refusal::{Code, Refusal};
use crate::ruleset::Tables;
use crate::schema::Truth;

/// Length of an instruction.
pub const RECORD_LEN: usize = 4;

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Push the truth of a criterion.
    Criterion(u32),
    /// Pop two, push their and.
    And,
    /// Pop two, push their or.
    Or,
    /// Replace the topmost by its not.
    Not,
}

impl Instruction {
    /// Reads an instruction; `None` if it is none.
    #[inline]
    pub fn read(record: [u8; RECORD_LEN]) -> Option<Self> {
        let word = u32::from_le_bytes(record);
        let operand = word.wrapping_shr(8);
        match (word & 0xff, operand) {
            (1, index) => Some(Self::Criterion(index)),
            (2, 0) => Some(Self::And),
            (3, 0) => Some(Self::Or),
            (4, 0) => Some(Self::Not),
            _ => None,
        }
    }

    /// The instruction as files have it.
    pub const fn write(self) -> [u8; RECORD_LEN] {
        let word = match self {
            Self::Criterion(index) => index.wrapping_shl(8) | 1,
            Self::And => 2,
            Self::Or => 3,
            Self::Not => 4,
        };
        word.to_le_bytes()
    }
}

/// Runs a program, and adds what that costs to `steps`.
///
/// `None` if it is no program; that does not happen for one that was accepted.
#[inline]
pub fn run<E: Event>(
    program: &[[u8; RECORD_LEN]],
    tables: &Tables<'_>,
    event: &E,
    steps: &mut u64,
) -> Option<Truth> {
    let mut stack = Stack(0);
    for record in program {
        *steps = steps.saturating_add(1);
        let truth = match Instruction::read(*record)? {
            Instruction::Criterion(index) => {
                let record = tables.criteria.get(usize::try_from(index).ok()?)?;
                Criterion::read(record)?.judge(tables, event, steps)
            }
            Instruction::And => stack.pop()?.and(stack.pop()?),
            Instruction::Or => stack.pop()?.or(stack.pop()?),
            Instruction::Not => stack.pop()?.not(),
        };
        stack.push(truth);
    }
    stack.pop()
}

/// Truth values, two bits each, the topmost lowest. It does not know its depth: validation does.
struct Stack(u64);

impl Stack {
    #[inline]
    fn push(&mut self, truth: Truth) {
        let bits = match truth {
            Truth::False => 0b01,
            Truth::True => 0b10,
            Truth::Unknown => 0b11,
        };
        self.0 = self.0.wrapping_shl(2) | bits;
    }

    /// The topmost value. An empty stack reads as 0, which no value is.
    #[inline]
    fn pop(&mut self) -> Option<Truth> {
        let bits = self.0 & 0b11;
        self.0 = self.0.wrapping_shr(2);
        match bits {
            0b01 => Some(Truth::False),
            0b10 => Some(Truth::True),
            0b11 => Some(Truth::Unknown),
            _ => None,
        }
    }
}

/// Checks a program, whose first instruction lies at `offset`, and returns the most steps that a
/// run of it may cost.
pub(crate) fn validate(
    program: &[[u8; RECORD_LEN]],
    tables: &Tables<'_>,
    mut offset: u32,
) -> Result<u64, Refusal> {
    let length = u64::try_from(program.len()).unwrap_or(u64::MAX);
    crate::frame::at_most(Code::TooMany, offset, MAX_PROGRAM.into(), length)?;
    let mut cost = length;
    let mut depth = 0_u32;
    for record in program {
        let (pops, index) = match Instruction::read(*record) {
            Some(Instruction::Criterion(index)) => (0, Some(index)),
            Some(Instruction::And | Instruction::Or) => (2, None),
            Some(Instruction::Not) => (1, None),
            None => {
                let word = u32::from_le_bytes(*record);
                return Err(Refusal::new(Code::UnknownInstruction, offset, 4, word.into()));
            }
        };
        let Some(left) = depth.checked_sub(pops) else {
            return Err(Refusal::new(Code::StackUnderflow, offset, pops.into(), depth.into()));
        };
        depth = left.saturating_add(1);
        crate::frame::at_most(Code::StackOverflow, offset, MAX_STACK.into(), depth.into())?;
        if let Some(index) = index {
            cost = cost.saturating_add(criterion_cost(tables, index, offset)?);
        }
        offset = offset.saturating_add(4);
    }
    crate::frame::equal(Code::StackAtEnd, offset, 1, depth.into())?;
    Ok(cost)
}

fn criterion_cost(tables: &Tables<'_>, index: u32, offset: u32) -> Result<u64, Refusal> {
    let record = usize::try_from(index).ok().and_then(|index| tables.criteria.get(index));
    let Some(criterion) = record.and_then(Criterion::read) else {
        let count = u64::try_from(tables.criteria.len()).unwrap_or(u64::MAX);
        return Err(Refusal::new(Code::IndexOutOfRange, offset, count, index.into()));
    };
    Ok(criterion.cost())
}
