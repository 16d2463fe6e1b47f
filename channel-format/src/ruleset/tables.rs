//! The sections of a file and their tables.

use core::ops::Range;

use crate::engine::{criterion, program};
use crate::frame::{DIRECTORY_OFFSET, Header, SECTION_SLOTS, Section, equal};
use crate::refusal::{Code, Refusal};

use super::rules::RULE_LEN;

/// Sections start at multiples of this; what lies between is zero.
const ALIGNMENT: u32 = 8;

/// What a section holds. Every file has each of them, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionKind {
    /// Metadata texts, UTF-8.
    Text = 1,
    /// Tags and references of the rules: {offset u32, length u32} into the text section.
    Lists = 2,
    /// Rule records.
    Rules = 3,
    /// See [`crate::engine::program`].
    Programs = 4,
    /// See [`crate::engine::criterion`].
    Criteria = 5,
    /// Literals: see [`crate::engine::literals`].
    Units = 6,
    /// See [`crate::engine::regex`].
    Automata = 7,
    /// See [`crate::engine::scan`].
    Scans = 8,
    /// Rules by index, u32: those that criteria point to, then those that every event is judged by.
    Triggers = 9,
    /// Examples.
    Examples = 10,
}

impl SectionKind {
    /// Every kind, in the order that files have them.
    pub const ALL: [Self; SECTION_SLOTS] = [
        Self::Text,
        Self::Lists,
        Self::Rules,
        Self::Programs,
        Self::Criteria,
        Self::Units,
        Self::Automata,
        Self::Scans,
        Self::Triggers,
        Self::Examples,
    ];

    /// The kind's number in files.
    pub const fn number(self) -> u16 {
        match self {
            Self::Text => 1,
            Self::Lists => 2,
            Self::Rules => 3,
            Self::Programs => 4,
            Self::Criteria => 5,
            Self::Units => 6,
            Self::Automata => 7,
            Self::Scans => 8,
            Self::Triggers => 9,
            Self::Examples => 10,
        }
    }

    /// The kind's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Lists => "lists",
            Self::Rules => "rules",
            Self::Programs => "programs",
            Self::Criteria => "criteria",
            Self::Units => "units",
            Self::Automata => "automata",
            Self::Scans => "scans",
            Self::Triggers => "triggers",
            Self::Examples => "examples",
        }
    }

    /// Length of the section's records, or 0 if it has none of fixed length.
    pub const fn record_size(self) -> u32 {
        match self {
            Self::Text | Self::Automata | Self::Scans | Self::Examples => 0,
            Self::Units => 2,
            Self::Triggers => 4,
            Self::Lists | Self::Programs => 8,
            Self::Criteria => 24,
            Self::Rules => 40,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Text => 0,
            Self::Lists => 1,
            Self::Rules => 2,
            Self::Programs => 3,
            Self::Criteria => 4,
            Self::Units => 5,
            Self::Automata => 6,
            Self::Scans => 7,
            Self::Triggers => 8,
            Self::Examples => 9,
        }
    }
}

/// Where the sections lie: in order, without overlap or gap, to the file's end.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    sections: [Section; SECTION_SLOTS],
}

impl Layout {
    /// Checks the section directory against the file.
    pub(crate) fn parse(header: &Header, file: &[u8]) -> Result<Self, Refusal> {
        let expected = u64::try_from(SECTION_SLOTS).unwrap_or(u64::MAX);
        equal(Code::SectionCount, 152, expected, header.section_count.into())?;
        let mut entry = DIRECTORY_OFFSET;
        let mut end = 1024_u32;
        for (kind, section) in SectionKind::ALL.into_iter().zip(&header.sections) {
            equal(Code::SectionKind, entry, kind.number().into(), section.kind.into())?;
            let size = kind.record_size();
            equal(Code::SectionSize, entry, size.into(), section.record_size.into())?;
            let rest = section.length.checked_rem(size).unwrap_or(0);
            equal(Code::SectionSize, entry, 0, rest.into())?;
            let start = end.next_multiple_of(ALIGNMENT);
            equal(Code::SectionBounds, entry, start.into(), section.offset.into())?;
            zero_between(file, end, start)?;
            end = section.offset.saturating_add(section.length);
            if end > header.file_length {
                let left = header.file_length.saturating_sub(section.offset);
                let length = section.length.into();
                return Err(Refusal::new(Code::SectionBounds, entry, left.into(), length));
            }
            entry = entry.saturating_add(16);
        }
        equal(Code::SectionBounds, 16, end.into(), header.file_length.into())?;
        Ok(Self { sections: header.sections })
    }

    /// The tables, over the file that was checked. Whoever uses one of them alone does not make the
    /// others.
    #[inline(always)]
    pub(crate) fn tables<'a>(&self, file: &'a [u8]) -> Tables<'a> {
        let bytes = |kind| self.section(kind, file);
        Tables {
            text: bytes(SectionKind::Text),
            units: bytes(SectionKind::Units).as_chunks().0,
            automata: bytes(SectionKind::Automata),
            criteria: bytes(SectionKind::Criteria).as_chunks().0,
            programs: bytes(SectionKind::Programs).as_chunks().0,
            rules: bytes(SectionKind::Rules).as_chunks().0,
            lists: bytes(SectionKind::Lists).as_chunks().0,
            scans: bytes(SectionKind::Scans),
            triggers: bytes(SectionKind::Triggers).as_chunks().0,
            examples: bytes(SectionKind::Examples),
        }
    }

    /// The bytes of one section.
    #[inline(always)]
    pub(crate) fn section<'a>(&self, kind: SectionKind, file: &'a [u8]) -> &'a [u8] {
        let range = self.sections.get(kind.index()).and_then(Section::range);
        range.and_then(|range| file.get::<Range<usize>>(range)).unwrap_or(&[])
    }

    /// Where a section starts in the file.
    pub(crate) fn offset(&self, kind: SectionKind) -> u32 {
        self.sections.get(kind.index()).map_or(0, |section| section.offset)
    }
}

/// The sections' contents.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a> {
    /// Metadata texts.
    pub text: &'a [u8],
    /// Literals.
    pub units: &'a [[u8; 2]],
    /// Automata.
    pub automata: &'a [u8],
    /// Criteria.
    pub criteria: &'a [[u8; criterion::RECORD_LEN]],
    /// Programs.
    pub programs: &'a [[u8; program::RECORD_LEN]],
    /// Rules.
    pub rules: &'a [[u8; RULE_LEN]],
    /// Tags and references.
    pub lists: &'a [[u8; 8]],
    /// Automata over literals.
    pub scans: &'a [u8],
    /// Rules by index.
    pub triggers: &'a [[u8; 4]],
    /// Examples.
    pub examples: &'a [u8],
}

/// Checks that the text section is UTF-8 throughout.
pub(crate) fn validate_text(tables: &Tables<'_>, layout: &Layout) -> Result<(), Refusal> {
    match core::str::from_utf8(tables.text) {
        Ok(_) => Ok(()),
        Err(error) => {
            let valid = u32::try_from(error.valid_up_to()).unwrap_or(u32::MAX);
            let offset = layout.offset(SectionKind::Text).saturating_add(valid);
            Err(Refusal::new(Code::NotUtf8, offset, 0, 0))
        }
    }
}

fn zero_between(file: &[u8], end: u32, start: u32) -> Result<(), Refusal> {
    let range = usize::try_from(end).unwrap_or(0)..usize::try_from(start).unwrap_or(0);
    let padding = file.get(range).unwrap_or(&[]);
    let seen = padding.iter().fold(0, |seen, byte| seen | byte);
    equal(Code::ReservedNotZero, end, 0, seen.into())
}
