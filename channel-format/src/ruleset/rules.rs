//! Rule records.
//!
//! # Format
//! A record of 40 bytes: id and title, each {offset u32, length u32} into the text section; first
//! instruction u32; instruction count u32; first list entry u32; tag count u16; reference count
//! u16; level u8 (0 none, 1 informational to 5 critical); action u8 (0 detect, 1 block); mask of
//! the operations it judges u8; mask of those it blocks u8; zero u32.
//!
//! Rules stand in rising order of their ids, so no two share one; their programs and lists follow
//! one another in the same order. Texts stand in the order in which a rule's tags, references, id
//! and title first name them, rule by rule, and every byte of their section belongs to one.

use crate::engine::criterion::{Cost, Criterion};
use crate::engine::judgement::{names, triggers};
use crate::engine::program::{self, Instruction};
use crate::frame::{Header, at_most, equal};
use crate::limits::{MAX_LIST, MAX_META_TEXT, MAX_TEXT_UNITS};
use crate::refusal::{Code, Refusal};
use crate::schema::{Operation, Truth};

use super::RULE_COST;
use super::tables::{Layout, SectionKind, Tables};

/// Length of a rule record.
pub const RULE_LEN: usize = 40;

/// How severe a rule says its match is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The rule does not say.
    Unspecified = 0,
    /// Informational.
    Informational = 1,
    /// Low.
    Low = 2,
    /// Medium.
    Medium = 3,
    /// High.
    High = 4,
    /// Critical.
    Critical = 5,
}

impl Level {
    /// The level's number in files.
    pub const fn number(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::Informational => 1,
            Self::Low => 2,
            Self::Medium => 3,
            Self::High => 4,
            Self::Critical => 5,
        }
    }

    /// The level with that number.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Unspecified,
            1 => Self::Informational,
            2 => Self::Low,
            3 => Self::Medium,
            4 => Self::High,
            5 => Self::Critical,
            _ => return None,
        })
    }

    /// Sigma's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What a rule asks for when it is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Report.
    Detect = 0,
    /// Report, and refuse the operation if that is permitted.
    Block = 1,
}

impl Action {
    /// The action's number in files.
    pub const fn number(self) -> u8 {
        match self {
            Self::Detect => 0,
            Self::Block => 1,
        }
    }

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Detect => "detect",
            Self::Block => "block",
        }
    }
}

/// A rule's metadata.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// Its identifier.
    pub id: &'a str,
    /// Its title.
    pub title: &'a str,
    /// Its level.
    pub level: Level,
    /// Its action.
    pub action: Action,
    /// Mask of the operations it judges: see [`Operation::mask`].
    pub judges: u8,
    /// Mask of the operations it blocks.
    pub blocks: u8,
    /// How many instructions its program has.
    pub program_length: u32,
    tags: Texts<'a>,
    references: Texts<'a>,
}

impl<'a> Rule<'a> {
    /// Its tags, such as `attack.t1055`.
    pub fn tags(&self) -> Texts<'a> {
        self.tags
    }

    /// Its references.
    pub fn references(&self) -> Texts<'a> {
        self.references
    }

    pub(super) fn read(tables: &Tables<'a>, index: u32) -> Option<Self> {
        let record = RuleRecord::read(tables.rules.get(usize::try_from(index).ok()?)?);
        let first = usize::try_from(record.list).ok()?;
        let middle = first.checked_add(usize::from(record.tags))?;
        let end = middle.checked_add(usize::from(record.references))?;
        let texts = |from: usize, to: usize| {
            Some(Texts { entries: tables.lists.get(from..to)?, text: tables.text })
        };
        Some(Self {
            id: text(tables.text, &record.id)?,
            title: text(tables.text, &record.title)?,
            level: Level::from_number(record.level)?,
            action: if record.action == 0 { Action::Detect } else { Action::Block },
            judges: record.judges,
            blocks: record.blocks,
            program_length: record.program_length,
            tags: texts(first, middle)?,
            references: texts(middle, end)?,
        })
    }
}

/// An iterator over texts of a rule.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    entries: &'a [[u8; 8]],
    text: &'a [u8],
}

impl<'a> Iterator for Texts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (entry, rest) = self.entries.split_first()?;
        self.entries = rest;
        text(self.text, entry)
    }
}

/// A rule record, its bytes taken apart.
pub(crate) struct RuleRecord {
    id: [u8; 8],
    title: [u8; 8],
    program: u32,
    program_length: u32,
    list: u32,
    tags: u16,
    references: u16,
    level: u8,
    action: u8,
    judges: u8,
    pub(super) blocks: u8,
    zero: u32,
}

impl RuleRecord {
    #[inline]
    pub(crate) fn read(record: &[u8; RULE_LEN]) -> Self {
        let (words, _) = record.as_chunks::<4>();
        let word = |index: usize| words.get(index).copied().unwrap_or([0; 4]);
        let pair = |index: usize| {
            let ([a, b, c, d], [e, f, g, h]) = (word(index), word(index.wrapping_add(1)));
            [a, b, c, d, e, f, g, h]
        };
        let [t0, t1, r0, r1] = word(7);
        let [level, action, judges, blocks] = word(8);
        Self {
            id: pair(0),
            title: pair(2),
            program: u32::from_le_bytes(word(4)),
            program_length: u32::from_le_bytes(word(5)),
            list: u32::from_le_bytes(word(6)),
            tags: u16::from_le_bytes([t0, t1]),
            references: u16::from_le_bytes([r0, r1]),
            level,
            action,
            judges,
            blocks,
            zero: u32::from_le_bytes(word(9)),
        }
    }

    /// Whether it judges what was asked; `operation` is the mask of that, if it is known.
    #[inline]
    pub(crate) fn judges_operation(&self, operation: Option<u8>) -> Truth {
        match operation {
            Some(mask) => Truth::from(self.judges & mask != 0),
            None if self.judges == Operation::ALL_MASK => Truth::True,
            None => Truth::Unknown,
        }
    }

    /// Whether it is judged only for events that a criterion points to it for.
    pub(super) fn is_covered(&self, tables: &Tables<'_>) -> bool {
        let first = self.program(tables).and_then(|program| program.first());
        first.is_some_and(|first| Instruction::read(*first).has(program::FLAG_LIVE))
    }

    #[inline]
    pub(crate) fn program<'a>(
        &self,
        tables: &Tables<'a>,
    ) -> Option<&'a [[u8; program::RECORD_LEN]]> {
        let first = usize::try_from(self.program).ok()?;
        let end = first.checked_add(usize::try_from(self.program_length).ok()?)?;
        tables.programs.get(first..end)
    }
}

/// Checks every rule, and returns the most steps that judging an event by all of them may cost.
pub(super) fn validate(
    tables: &Tables<'_>,
    layout: &Layout,
    header: &Header,
) -> Result<u64, Refusal> {
    let mut offset = layout.offset(SectionKind::Rules);
    let count = u64::try_from(tables.rules.len()).unwrap_or(u64::MAX);
    equal(Code::LengthOutOfRange, offset, header.rule_count.into(), count)?;
    let (mut steps, mut program, mut list) = (0_u64, 0_u32, 0_u32);
    let (mut laid, mut criteria) = (0_u64, 0_u32);
    let mut before = "";
    // The rules that every event is judged by stand behind those that criteria point to.
    let mut always = always(tables);
    for (record, index) in tables.rules.iter().zip(0_u32..) {
        let rule = RuleRecord::read(record);
        validate_masks(&rule, offset)?;
        program =
            follow(rule.program, rule.program_length, program, tables.programs.len(), offset)?;
        let entries = u32::from(rule.tags).saturating_add(rule.references.into());
        at_most(Code::TooMany, offset, MAX_LIST.into(), rule.tags.into())?;
        at_most(Code::TooMany, offset, MAX_LIST.into(), rule.references.into())?;
        list = follow(rule.list, entries, list, tables.lists.len(), offset)?;
        validate_list(&rule, entries, tables, layout, &mut laid)?;
        before = validate_texts(&rule, tables, &mut laid, before, offset)?;
        let checked = check_program(&rule, index, tables, layout)?;
        if !checked.covered {
            let listed = always.split_first().filter(|(next, _)| **next == index.to_le_bytes());
            let Some((_, rest)) = listed else {
                return Err(Refusal::new(Code::RuleCover, offset, 0, index.into()));
            };
            always = rest;
        }
        steps = steps.saturating_add(checked.cost).saturating_add(RULE_COST);
        criteria = first_uses(&rule, tables, layout, criteria)?;
        offset = offset.saturating_add(40);
    }
    let left = u64::try_from(always.len()).unwrap_or(u64::MAX);
    equal(Code::TrailingBytes, layout.offset(SectionKind::Triggers), 0, left)?;
    for (end, length, kind) in [
        (program, tables.programs.len(), SectionKind::Programs),
        (list, tables.lists.len(), SectionKind::Lists),
        (criteria, tables.criteria.len(), SectionKind::Criteria),
    ] {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        equal(Code::TrailingBytes, layout.offset(kind), end.into(), length)?;
    }
    let length = u64::try_from(tables.text.len()).unwrap_or(u64::MAX);
    equal(Code::TrailingBytes, layout.offset(SectionKind::Text), laid, length)?;
    validate_triggers(tables, layout)?;
    Ok(steps)
}

/// The rules that every event is judged by: those behind the triggers of the criteria.
#[inline]
pub(super) fn always<'a>(tables: &Tables<'a>) -> &'a [[u8; 4]] {
    let last = tables.criteria.last().and_then(Criterion::read);
    let end = last.map_or(0, |last| last.first_trigger.saturating_add(last.triggers));
    tables.triggers.get(usize::try_from(end).unwrap_or(usize::MAX)..).unwrap_or(&[])
}

/// Each criterion's triggers are rules in rising order that are judged only where criteria hold.
fn validate_triggers(tables: &Tables<'_>, layout: &Layout) -> Result<(), Refusal> {
    let start = layout.offset(SectionKind::Triggers);
    for record in tables.criteria {
        let Some(criterion) = Criterion::read(record) else { continue };
        let mut offset = start.saturating_add(criterion.first_trigger.saturating_mul(4));
        let mut next = 0;
        for entry in triggers(tables, &criterion) {
            let index = u32::from_le_bytes(*entry);
            let rule = usize::try_from(index).ok().and_then(|index| tables.rules.get(index));
            let covered = rule.is_some_and(|rule| RuleRecord::read(rule).is_covered(tables));
            if index < next || !covered {
                return Err(Refusal::new(Code::TriggerList, offset, next.into(), index.into()));
            }
            next = index.saturating_add(1);
            offset = offset.saturating_add(4);
        }
    }
    Ok(())
}

/// Checks the program of a rule.
fn check_program(
    rule: &RuleRecord,
    index: u32,
    tables: &Tables<'_>,
    layout: &Layout,
) -> Result<program::Checked, Refusal> {
    let start = rule.program.saturating_mul(8);
    let offset = layout.offset(SectionKind::Programs).saturating_add(start);
    program::validate(
        rule.program(tables).unwrap_or(&[]),
        offset,
        |criterion| Some(criterion_at(tables, criterion)?.direct_cost().of(MAX_TEXT_UNITS.into())),
        |criterion| {
            criterion_at(tables, criterion)
                .is_some_and(|criterion| names(triggers(tables, &criterion), index))
        },
    )
}

/// The most steps that judging one example by its rule may cost, beside the scans of its texts. The
/// program has been checked.
pub(super) fn example_cost(rule: &RuleRecord, tables: &Tables<'_>) -> Cost {
    let program = rule.program(tables).unwrap_or(&[]);
    let costs = program.iter().map(|record| {
        let criterion = criterion_at(tables, Instruction::read(*record).criterion);
        let cost = criterion.map_or(Cost::default(), |criterion| criterion.direct_cost());
        cost.plus(Cost { fixed: 2, per_unit: 0 })
    });
    let once = costs.fold(Cost::default(), Cost::plus);
    once.plus(once).plus(Cost { fixed: RULE_COST, per_unit: 0 })
}

fn criterion_at(tables: &Tables<'_>, index: u32) -> Option<Criterion> {
    Criterion::read(tables.criteria.get(usize::try_from(index).ok()?)?)
}

/// Checks id and title, and returns the id, which must come after the one before.
fn validate_texts<'a>(
    rule: &RuleRecord,
    tables: &Tables<'a>,
    laid: &mut u64,
    before: &str,
    offset: u32,
) -> Result<&'a str, Refusal> {
    check_text(tables, &rule.id, laid, offset)?;
    check_text(tables, &rule.title, laid, offset)?;
    match text(tables.text, &rule.id) {
        Some(id) if id > before => Ok(id),
        _ => Err(Refusal::new(Code::OutOfOrder, offset, 0, 0)),
    }
}

fn validate_masks(rule: &RuleRecord, offset: u32) -> Result<(), Refusal> {
    let masks = rule.judges & !Operation::ALL_MASK == 0 && rule.judges != 0;
    // What it blocks it also judges, and it blocks something if that is its action.
    let blocks = rule.blocks & !rule.judges == 0 && (rule.blocks != 0) == (rule.action == 1);
    if Level::from_number(rule.level).is_none() || rule.action > 1 || !masks || !blocks {
        let found = u32::from_le_bytes([rule.level, rule.action, rule.judges, rule.blocks]);
        return Err(Refusal::new(Code::RuleHeader, offset, 0, found.into()));
    }
    equal(Code::ReservedNotZero, offset, 0, rule.zero.into())
}

/// Checks that a run of records starts where the one before it ended, and returns its end.
fn follow(first: u32, count: u32, end: u32, len: usize, offset: u32) -> Result<u32, Refusal> {
    let length = u64::try_from(len).unwrap_or(u64::MAX);
    let run_end = u64::from(first).saturating_add(count.into());
    if run_end > length {
        return Err(Refusal::new(Code::IndexOutOfRange, offset, length, run_end));
    }
    equal(Code::OutOfOrder, offset, end.into(), first.into())?;
    Ok(first.saturating_add(count))
}

/// Checks the tags and references of a rule, whose place in the lists has been checked.
fn validate_list(
    rule: &RuleRecord,
    entries: u32,
    tables: &Tables<'_>,
    layout: &Layout,
    laid: &mut u64,
) -> Result<(), Refusal> {
    let start = layout.offset(SectionKind::Lists);
    let mut offset = start.saturating_add(rule.list.saturating_mul(8));
    let first = usize::try_from(rule.list).unwrap_or(usize::MAX);
    let end = first.saturating_add(usize::try_from(entries).unwrap_or(usize::MAX));
    for entry in tables.lists.get(first..end).unwrap_or(&[]) {
        check_text(tables, entry, laid, offset)?;
        offset = offset.saturating_add(8);
    }
    Ok(())
}

/// Checks that a program names criteria of which earlier ones, `used` of them, named the first in
/// the order in which they stand; returns how many are named now. So none stands idle, and there is
/// one order to write them in.
fn first_uses(
    rule: &RuleRecord,
    tables: &Tables<'_>,
    layout: &Layout,
    used: u32,
) -> Result<u32, Refusal> {
    let mut offset =
        layout.offset(SectionKind::Programs).saturating_add(rule.program.saturating_mul(8));
    let mut used = used;
    for record in rule.program(tables).unwrap_or(&[]) {
        let index = Instruction::read(*record).criterion;
        at_most(Code::OutOfOrder, offset, used.into(), index.into())?;
        used = used.max(index.saturating_add(1));
        offset = offset.saturating_add(8);
    }
    Ok(used)
}

/// Checks that a reference names a text: within the section, between whole characters, and either
/// within the `laid` bytes that earlier references cover or right behind them.
fn check_text(
    tables: &Tables<'_>,
    reference: &[u8; 8],
    laid: &mut u64,
    offset: u32,
) -> Result<(), Refusal> {
    let (start, length) = split(reference);
    at_most(Code::LengthOutOfRange, offset, MAX_META_TEXT.into(), length.into())?;
    let section = u64::try_from(tables.text.len()).unwrap_or(u64::MAX);
    let end = u64::from(start).saturating_add(length.into());
    if end > section {
        return Err(Refusal::new(Code::IndexOutOfRange, offset, section, end));
    }
    let whole = |place: u64| {
        let byte = usize::try_from(place).ok().and_then(|place| tables.text.get(place));
        byte.is_none_or(|byte| byte & 0xc0 != 0x80)
    };
    if !whole(start.into()) || !whole(end) {
        return Err(Refusal::new(Code::NotUtf8, offset, 0, start.into()));
    }
    // A new text begins where the ones before it end; an old one lies within them.
    if end > *laid {
        equal(Code::OutOfOrder, offset, *laid, start.into())?;
        *laid = end;
    }
    Ok(())
}

fn text<'a>(section: &'a [u8], reference: &[u8; 8]) -> Option<&'a str> {
    let (start, length) = split(reference);
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    core::str::from_utf8(section.get(start..end)?).ok()
}

fn split(reference: &[u8; 8]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = *reference;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}
