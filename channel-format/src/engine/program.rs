//! Programs: a rule's condition as code that only jumps forward.
//!
//! # Format
//! An instruction is 8 bytes: criterion u24, flags u8, where to go if it holds u16, where to go if it
//! does not u16. Flag bit 0 *negated*: it holds if the criterion is false. A target is the number of
//! instructions to go forward, from 1, or 0xffff: the rule is true, or 0xfffe: it is not. So a run
//! looks at each instruction once at most.
//!
//! # Unknown
//! A criterion that is unknown holds in no way, negated or not. If such a run met one, a second run
//! takes every unknown one as holding. If both say the same, that is how the rule comes out; else it
//! cannot be told. This is Kleene's logic for what a compiler writes, where negations stand at
//! criteria alone and holding never leads away from *true*; for other code it is what the code means.
//!
//! # The proof that a rule is not missed
//! An event is judged by those rules alone that one of their *cover* criteria points to by its
//! triggers. Flag bit 1 marks them, and bit 2 *live* each instruction that can be reached while all
//! of them are false. If from no live instruction a way that is open then leads to *true*, the rule
//! is false for every event for which none of its cover criteria is true or unknown. A rule without
//! such marks stands in the list of those judged for every event.

use crate::limits::MAX_PROGRAM;
use crate::refusal::{Code, Refusal};
use crate::schema::Truth;

/// Length of an instruction.
pub const RECORD_LEN: usize = 8;
/// Target: the rule is true.
pub const TRUE: u16 = 0xffff;
/// Target: the rule is not true.
pub const FALSE: u16 = 0xfffe;
/// Flag: it holds if the criterion is false.
pub const FLAG_NEGATED: u8 = 1;
/// Flag: the criterion's triggers name the rule.
pub const FLAG_COVER: u8 = 2;
/// Flag: it can be reached while every cover criterion is false.
pub const FLAG_LIVE: u8 = 4;

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The criterion's index.
    pub criterion: u32,
    /// See [`FLAG_NEGATED`], [`FLAG_COVER`] and [`FLAG_LIVE`].
    pub flags: u8,
    /// Where to go if it holds.
    pub if_holds: u16,
    /// Where to go if it does not.
    pub if_not: u16,
}

impl Instruction {
    /// Reads an instruction.
    #[inline]
    pub const fn read(record: [u8; RECORD_LEN]) -> Self {
        let [c0, c1, c2, flags, h0, h1, n0, n1] = record;
        Self {
            criterion: u32::from_le_bytes([c0, c1, c2, 0]),
            flags,
            if_holds: u16::from_le_bytes([h0, h1]),
            if_not: u16::from_le_bytes([n0, n1]),
        }
    }

    /// The instruction as files have it.
    pub const fn write(self) -> [u8; RECORD_LEN] {
        let [c0, c1, c2, _] = self.criterion.to_le_bytes();
        let ([h0, h1], [n0, n1]) = (self.if_holds.to_le_bytes(), self.if_not.to_le_bytes());
        [c0, c1, c2, self.flags, h0, h1, n0, n1]
    }

    /// True if the flag is set.
    pub const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Runs a program; `judge` says whether a criterion holds, and what that costs is for it to count.
///
/// `None` if it is no program; that does not happen for one that was accepted.
#[inline]
pub fn run(
    program: &[[u8; RECORD_LEN]],
    judge: &mut impl FnMut(u32) -> Truth,
    steps: &mut u64,
) -> Option<Truth> {
    let (holds, unknown) = pass(program, false, judge, steps)?;
    if !unknown {
        return Some(holds.into());
    }
    let (possible, _) = pass(program, true, judge, steps)?;
    Some(if holds == possible { holds.into() } else { Truth::Unknown })
}

/// One run: whether it says that the rule is true, and whether it met an unknown criterion, which
/// holds as `unknown_holds` says.
#[inline]
fn pass(
    program: &[[u8; RECORD_LEN]],
    unknown_holds: bool,
    judge: &mut impl FnMut(u32) -> Truth,
    steps: &mut u64,
) -> Option<(bool, bool)> {
    let mut rest = program;
    let mut unknown = false;
    while let Some(record) = rest.first() {
        *steps = steps.saturating_add(1);
        let instruction = Instruction::read(*record);
        let holds = match judge(instruction.criterion) {
            Truth::True => !instruction.has(FLAG_NEGATED),
            Truth::False => instruction.has(FLAG_NEGATED),
            Truth::Unknown => {
                unknown = true;
                unknown_holds
            }
        };
        match if holds { instruction.if_holds } else { instruction.if_not } {
            TRUE => return Some((true, unknown)),
            FALSE => return Some((false, unknown)),
            0 => return None,
            forward => rest = rest.get(usize::from(forward)..)?,
        }
    }
    None
}

/// What is known of a program that was checked.
pub(crate) struct Checked {
    /// The most steps that a run of it may cost.
    pub(crate) cost: u64,
    /// Whether it proves that no event is missed that none of its cover criteria points to.
    pub(crate) covered: bool,
}

/// Checks a program, whose first instruction lies at `offset`. `cost` says what judging a criterion
/// may cost, and `covers` whether a criterion's triggers name the rule.
pub(crate) fn validate(
    program: &[[u8; RECORD_LEN]],
    mut offset: u32,
    cost: impl Fn(u32) -> Option<u64>,
    covers: impl Fn(u32) -> bool,
) -> Result<Checked, Refusal> {
    let length = u64::try_from(program.len()).unwrap_or(u64::MAX);
    crate::frame::at_most(Code::TooMany, offset, MAX_PROGRAM.into(), length)?;
    crate::frame::at_least(Code::LengthOutOfRange, offset, 1, length)?;
    let covered = program.first().is_some_and(|first| Instruction::read(*first).has(FLAG_LIVE));
    let mut total = 0_u64;
    let mut rest = program;
    while let Some((record, behind)) = rest.split_first() {
        let instruction = Instruction::read(*record);
        let known = FLAG_NEGATED | FLAG_COVER | FLAG_LIVE;
        let flags = u64::from(instruction.flags & !known);
        crate::frame::equal(Code::UnknownFlags, offset, 0, flags)?;
        let Some(own) = cost(instruction.criterion) else {
            return Err(Refusal::new(
                Code::IndexOutOfRange,
                offset,
                0,
                instruction.criterion.into(),
            ));
        };
        total = total.saturating_add(own).saturating_add(1);
        for target in [instruction.if_holds, instruction.if_not] {
            check_target(target, behind, offset)?;
        }
        check_proof(instruction, behind, covered, &covers, offset)?;
        rest = behind;
        offset = offset.saturating_add(8);
    }
    // It may run twice.
    Ok(Checked { cost: total.saturating_mul(2), covered })
}

/// A target names an instruction behind this one, or an end.
fn check_target(target: u16, behind: &[[u8; RECORD_LEN]], offset: u32) -> Result<(), Refusal> {
    let known = matches!(target, TRUE | FALSE) || target_of(target, behind).is_some();
    let length = u64::try_from(behind.len()).unwrap_or(u64::MAX);
    if known { Ok(()) } else { Err(Refusal::new(Code::JumpTarget, offset, length, target.into())) }
}

/// Checks the marks of an instruction: see the module's last part.
fn check_proof(
    instruction: Instruction,
    behind: &[[u8; RECORD_LEN]],
    covered: bool,
    covers: &impl Fn(u32) -> bool,
    offset: u32,
) -> Result<(), Refusal> {
    let wrong = |found: u64| Err(Refusal::new(Code::RuleCover, offset, 0, found));
    let cover = instruction.has(FLAG_COVER);
    if !covered && instruction.flags & (FLAG_COVER | FLAG_LIVE) != 0 {
        return wrong(instruction.flags.into());
    }
    if cover && !covers(instruction.criterion) {
        return wrong(instruction.criterion.into());
    }
    if !instruction.has(FLAG_LIVE) {
        return Ok(());
    }
    // A cover criterion is false there: it holds if it is negated.
    let negated = instruction.has(FLAG_NEGATED);
    let open =
        [(instruction.if_holds, !cover || negated), (instruction.if_not, !cover || !negated)];
    for (target, _) in open.into_iter().filter(|(_, open)| *open) {
        let live = target_of(target, behind).is_some_and(|next| next.has(FLAG_LIVE));
        if target != FALSE && !live {
            return wrong(target.into());
        }
    }
    Ok(())
}

/// The instruction that a target names.
fn target_of(target: u16, behind: &[[u8; RECORD_LEN]]) -> Option<Instruction> {
    let place = usize::from(target).checked_sub(1)?;
    behind.get(place).map(|record| Instruction::read(*record))
}
