//! A fact: a criterion that holds, or that does not. What follows from it, and what contradicts it.
//!
//! "Does not hold" is meant as the evaluation means it: the field is known, and it is absent or the
//! comparison fails.

use channel_format::engine::criterion::Operator;
use channel_format::engine::fold::fold;
use channel_format::schema::Field;

use super::place;
use crate::fields::{ANONYMOUS_PIPE, SigmaField};
use crate::lower::{Criterion, Operand};
use crate::source::SourceRule;

/// One criterion and whether it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fact<'a> {
    pub(super) criterion: &'a Criterion,
    /// The operator; `Null` is kept as an `Exists` that does not hold.
    operator: Option<Operator>,
    pub(super) holds: bool,
}

/// Numbers from the first to the last; none if the last is below the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(i128, i128);

impl Span {
    pub(super) fn is_empty(self) -> bool {
        self.1 < self.0
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0.max(other.0), self.1.min(other.1))
    }

    pub(super) fn is_within(self, other: Self) -> bool {
        self.is_empty() || (other.0 <= self.0 && self.1 <= other.1)
    }
}

impl<'a> Fact<'a> {
    pub(super) fn new(criterion: &'a Criterion, holds: bool) -> Self {
        match Operator::from_number(criterion.operator) {
            Some(Operator::Null) => {
                Self { criterion, operator: Some(Operator::Exists), holds: !holds }
            }
            operator => Self { criterion, operator, holds },
        }
    }

    pub(super) fn field(&self) -> Field {
        self.criterion.field
    }

    /// True if the other follows from this one.
    pub(super) fn entails(&self, other: &Fact<'_>) -> bool {
        self.field() == other.field()
            && match (self.holds, other.holds) {
                (true, true) => self.implies(other),
                (false, false) => other.implies(self),
                (true, false) => self.excludes(other),
                (false, true) => false,
            }
    }

    /// True if the two cannot both be.
    pub(super) fn contradicts(&self, other: &Fact<'_>) -> bool {
        self.field() == other.field()
            && match (self.holds, other.holds) {
                (true, true) => self.excludes(other),
                (true, false) => self.implies(other),
                (false, true) => other.implies(self),
                (false, false) => false,
            }
    }

    /// True if one criterion holding means that the other holds.
    fn implies(&self, other: &Fact<'_>) -> bool {
        if self.operator == other.operator && self.criterion.operand == other.criterion.operand {
            return true;
        }
        // What compares with a field needs it.
        if other.operator == Some(Operator::Exists) {
            return self.operator.is_some();
        }
        if let (Some(span), Some(wider)) = (self.span(), other.span()) {
            return span.is_within(wider);
        }
        let (Some((mine, cased)), Some((theirs, other_cased))) = (self.text(), other.text()) else {
            return false;
        };
        if other_cased && !cased {
            return false;
        }
        let mine = spelled(mine, other_cased);
        let (Some(operator), Some(wanted)) = (self.operator, other.operator) else {
            return false;
        };
        match (operator, wanted) {
            (Operator::Equals, Operator::Equals) => mine == theirs,
            (Operator::Equals | Operator::StartsWith, Operator::StartsWith) => {
                mine.starts_with(theirs)
            }
            (Operator::Equals | Operator::EndsWith, Operator::EndsWith) => mine.ends_with(theirs),
            (_, Operator::Contains) => contains(&mine, theirs),
            _ => false,
        }
    }

    /// True if the two criteria cannot both hold.
    fn excludes(&self, other: &Fact<'_>) -> bool {
        if let (Some(span), Some(theirs)) = (self.span(), other.span()) {
            return span.and(theirs).is_empty();
        }
        if let (Operand::Sid(mine), Operand::Sid(theirs)) =
            (&self.criterion.operand, &other.criterion.operand)
        {
            return mine != theirs;
        }
        let (Some((mine, cased)), Some((theirs, other_cased))) = (self.text(), other.text()) else {
            return false;
        };
        // Texts that differ in case alone may be the same text, unless both stand for one spelling.
        let cased = cased && other_cased;
        let (mine, theirs) = (spelled(mine, cased), spelled(theirs, cased));
        let (Some(operator), Some(wanted)) = (self.operator, other.operator) else {
            return false;
        };
        match (operator, wanted) {
            (Operator::Equals, _) => !fits(&mine, wanted, &theirs),
            (_, Operator::Equals) => !fits(&theirs, operator, &mine),
            (Operator::StartsWith, Operator::StartsWith) => {
                !mine.starts_with(&theirs) && !theirs.starts_with(&mine)
            }
            (Operator::EndsWith, Operator::EndsWith) => {
                !mine.ends_with(&theirs) && !theirs.ends_with(&mine)
            }
            _ => false,
        }
    }

    /// The numbers that it stands for, if it compares numbers.
    pub(super) fn span(&self) -> Option<Span> {
        let Operand::Number(number) = &self.criterion.operand else {
            return None;
        };
        let (number, last) = (i128::from(*number), i128::from(u64::MAX));
        Some(match self.operator? {
            Operator::NumberEqual => Span(number, number),
            Operator::Less => Span(0, number - 1),
            Operator::LessOrEqual => Span(0, number),
            Operator::Greater => Span(number + 1, last),
            Operator::GreaterOrEqual => Span(number, last),
            _ => return None,
        })
    }

    /// The literal that it compares with, and whether case matters.
    pub(super) fn text(&self) -> Option<(&'a [u16], bool)> {
        match &self.criterion.operand {
            Operand::Literal { units, cased, .. } => Some((units, *cased)),
            _ => None,
        }
    }

    /// Why the criterion can never hold, whatever the event, and what to do.
    pub(super) fn impossible(&self) -> Option<(&'static str, &'static str)> {
        let backslash = u16::from(b'\\');
        if let Some((units, cased)) = self.text() {
            // Sysmon's word for a pipe without a name stands beside that name, and so does what it
            // begins with.
            let anonymous: Vec<u16> = ANONYMOUS_PIPE.encode_utf16().collect();
            let (anonymous, wanted) = (spelled(&anonymous, cased), spelled(units, cased));
            let from_start = match self.operator {
                Some(Operator::Equals) => wanted != anonymous,
                Some(Operator::StartsWith) => !anonymous.starts_with(&wanted),
                _ => false,
            };
            if self.field() == Field::PipeName
                && from_start
                && units.first().is_some_and(|first| *first != backslash)
            {
                return Some((
                    "the names of pipes start with a backslash",
                    r"write the backslash: '\name', or use `contains`",
                ));
            }
            if self.field() == Field::ImageName && units.contains(&backslash) {
                return Some((
                    "the image's name is the last part of its path, without a backslash",
                    "compare the whole path: `Image|endswith`",
                ));
            }
        }
        if self.span().is_some_and(|span| span.and(values_of(self.field())).is_empty()) {
            return Some(("the field has no such value", "compare with a value that it can have"));
        }
        None
    }

    /// The fact in the rule's own words.
    pub(super) fn describe(&self, rule: &SourceRule) -> String {
        let names = SigmaField::names_of(self.field());
        let used = names.iter().find(|name| place::detected(rule, name).is_some());
        let name = used.copied().unwrap_or(self.field().name());
        let comparison = match self.operator {
            Some(Operator::Equals | Operator::NumberEqual | Operator::SidEquals) => "is",
            Some(Operator::StartsWith) => "starts with",
            Some(Operator::EndsWith) => "ends with",
            Some(Operator::Contains) => "contains",
            Some(Operator::Regex) => "fits a pattern",
            Some(Operator::Exists) => "exists",
            Some(Operator::Less) => "is less than",
            Some(Operator::LessOrEqual) => "is at most",
            Some(Operator::Greater) => "is greater than",
            Some(Operator::GreaterOrEqual) => "is at least",
            Some(Operator::Null) | None => "is something",
        };
        let value = match &self.criterion.operand {
            Operand::Literal { units, .. } => format!(" `{}`", place::spelling(rule, units)),
            Operand::Number(number) => format!(" {number}"),
            Operand::Sid(_) => " a certain account".to_owned(),
            _ => String::new(),
        };
        let not = if self.holds { "" } else { "not: " };
        format!("{not}{name} {comparison}{value}")
    }
}

/// The values that a field of numbers can have.
pub(super) fn values_of(field: Field) -> Span {
    match field {
        Field::Operation => Span(1, 2),
        Field::Elevation | Field::RemoteOrigin | Field::Impersonating | Field::RejectRemote => {
            Span(0, 1)
        }
        Field::PipeType | Field::ReadMode => Span(0, 1),
        Field::Direction => Span(0, 2),
        _ => Span(0, i128::from(u64::MAX)),
    }
}

/// True if a whole text is what the operator asks for.
fn fits(text: &[u16], operator: Operator, wanted: &[u16]) -> bool {
    match operator {
        Operator::Equals => text == wanted,
        Operator::StartsWith => text.starts_with(wanted),
        Operator::EndsWith => text.ends_with(wanted),
        Operator::Contains => contains(text, wanted),
        _ => true,
    }
}

fn contains(text: &[u16], part: &[u16]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

/// A literal as it is compared: folded unless case matters.
fn spelled(units: &[u16], cased: bool) -> Vec<u16> {
    if cased { units.to_vec() } else { units.iter().map(|unit| fold(*unit)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn criterion(field: Field, operator: Operator, text: &str, cased: bool) -> Criterion {
        let units = text.encode_utf16().collect();
        Criterion::new(field, operator, Operand::literal(units, cased))
    }

    fn pipe(operator: Operator, text: &str) -> Criterion {
        criterion(Field::PipeName, operator, text, false)
    }

    fn number(operator: Operator, number: u64) -> Criterion {
        Criterion::new(Field::ProcessId, operator, Operand::Number(number))
    }

    fn entails(left: (&Criterion, bool), right: (&Criterion, bool)) -> bool {
        Fact::new(left.0, left.1).entails(&Fact::new(right.0, right.1))
    }

    fn contradicts(left: (&Criterion, bool), right: (&Criterion, bool)) -> bool {
        let (left, right) = (Fact::new(left.0, left.1), Fact::new(right.0, right.1));
        assert_eq!(left.contradicts(&right), right.contradicts(&left), "{left:?} {right:?}");
        left.contradicts(&right)
    }

    #[test]
    fn equals_implies_its_parts_and_not_the_other_way_round() {
        let whole = pipe(Operator::Equals, r"\Evil-7");
        let parts = [
            pipe(Operator::StartsWith, r"\evil"),
            pipe(Operator::EndsWith, "-7"),
            pipe(Operator::Contains, "IL-"),
            pipe(Operator::Exists, ""),
        ];
        for part in &parts {
            assert!(entails((&whole, true), (part, true)), "{part:?}");
            assert!(!entails((part, true), (&whole, true)), "{part:?}");
            assert!(entails((part, false), (&whole, false)), "{part:?}");
        }
        let others = [
            pipe(Operator::StartsWith, r"\evil-8"),
            pipe(Operator::EndsWith, "8"),
            pipe(Operator::Contains, "x"),
        ];
        for other in &others {
            assert!(!entails((&whole, true), (other, true)), "{other:?}");
            assert!(entails((&whole, true), (other, false)), "{other:?}");
            assert!(contradicts((&whole, true), (other, true)), "{other:?}");
        }
        let image = criterion(Field::ImagePath, Operator::StartsWith, r"\evil", false);
        assert!(!entails((&whole, true), (&image, true)));
    }

    #[test]
    fn starts_and_ends() {
        let (long, short) = (pipe(Operator::StartsWith, r"\ab"), pipe(Operator::StartsWith, r"\a"));
        assert!(entails((&long, true), (&short, true)) && !entails((&short, true), (&long, true)));
        assert!(!contradicts((&long, true), (&short, true)));
        let other = pipe(Operator::StartsWith, r"\b");
        assert!(contradicts((&long, true), (&other, true)));
        let ending = pipe(Operator::EndsWith, r"\b");
        assert!(!contradicts((&long, true), (&ending, true)));
        assert!(contradicts((&pipe(Operator::EndsWith, "a"), true), (&ending, true)));
        let inner = pipe(Operator::Contains, "a");
        assert!(entails((&long, true), (&inner, true)) && !entails((&inner, true), (&long, true)));
    }

    #[test]
    fn case_matters_only_where_it_is_asked_for() {
        let cased = criterion(Field::PipeName, Operator::Equals, r"\Evil", true);
        let folded = pipe(Operator::Equals, r"\evil");
        assert!(entails((&cased, true), (&folded, true)));
        assert!(!entails((&folded, true), (&cased, true)), "other spellings fit too");
        assert!(!contradicts((&folded, true), (&cased, true)));
        let lower = criterion(Field::PipeName, Operator::Equals, r"\evil", true);
        assert!(contradicts((&cased, true), (&lower, true)));
    }

    #[test]
    fn numbers_are_ranges() {
        let (less, more) = (number(Operator::Less, 5), number(Operator::GreaterOrEqual, 5));
        assert!(contradicts((&less, true), (&more, true)));
        assert!(entails((&less, true), (&more, false)));
        let four = number(Operator::NumberEqual, 4);
        assert!(entails((&four, true), (&less, true)) && !entails((&less, true), (&four, true)));
        assert!(!contradicts((&less, true), (&number(Operator::Greater, 3), true)));
        assert!(Fact::new(&number(Operator::Less, 0), true).impossible().is_some());
        assert!(Fact::new(&number(Operator::Less, 1), true).impossible().is_none());
    }

    #[test]
    fn an_account_is_no_other() {
        let sid = |last: u8| {
            let sid = vec![1, 1, 0, 0, 0, 0, 0, 5, last, 0, 0, 0];
            Criterion::new(Field::User, Operator::SidEquals, Operand::Sid(sid))
        };
        let (system, service) = (sid(18), sid(19));
        assert!(contradicts((&system, true), (&service, true)));
        assert!(!contradicts((&system, true), (&sid(18), true)));
        assert!(entails((&system, true), (&service, false)));
    }

    #[test]
    fn null_is_the_opposite_of_existing() {
        let null = Criterion::new(Field::ImagePath, Operator::Null, Operand::Nothing);
        let image = criterion(Field::ImagePath, Operator::Contains, "x", false);
        assert!(contradicts((&null, true), (&image, true)));
        assert!(!contradicts((&null, false), (&image, true)));
        assert!(entails((&null, true), (&image, false)));
        assert!(!entails((&image, false), (&null, true)));
    }
}
