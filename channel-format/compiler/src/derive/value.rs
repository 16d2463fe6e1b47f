//! Values of single fields: whether one meets a criterion, and one that meets several.

use channel_format::engine::criterion::Operator;
use channel_format::limits::MAX_TEXT_UNITS;
use channel_format::schema::{Field, Kind};

use crate::lower::{Criterion, Expr, Operand};
use crate::source::ExampleValue;
use crate::users;

use super::Values;
use super::text::{self, Budget, Machine};

/// Criteria of one field, and whether each must hold.
type Wishes<'a> = [(&'a Criterion, bool)];

const BACKSLASH: u16 = b'\\' as u16;

/// True if the criterion holds for the value; `None` is an absent one.
pub(super) fn meets(criterion: &Criterion, value: Option<&ExampleValue>) -> bool {
    let Some(operator) = Operator::from_number(criterion.operator) else {
        return false;
    };
    match (operator, value) {
        (Operator::Null, value) => value.is_none(),
        (Operator::Exists, value) => value.is_some(),
        (_, Some(ExampleValue::Text(text))) => {
            Machine::of(criterion).is_some_and(|machine| machine.accepts(text))
        }
        (_, Some(ExampleValue::Number(found))) => match (operator, &criterion.operand) {
            (Operator::NumberEqual, Operand::Number(number)) => found == number,
            (Operator::Less, Operand::Number(number)) => found < number,
            (Operator::LessOrEqual, Operand::Number(number)) => found <= number,
            (Operator::Greater, Operand::Number(number)) => found > number,
            (Operator::GreaterOrEqual, Operand::Number(number)) => found >= number,
            _ => false,
        },
        (_, Some(ExampleValue::Sid(found))) => {
            matches!(&criterion.operand, Operand::Sid(sid) if sid == found)
        }
        (_, None) => false,
    }
}

/// True if the criterion holds for the event's value of its field.
pub(super) fn meets_event(criterion: &Criterion, values: &Values) -> bool {
    meets(criterion, values.get(&criterion.field))
}

/// True if the condition holds for the event: a quick look, before the reference takes a slow one.
pub(super) fn holds(expr: &Expr, values: &Values) -> bool {
    match expr {
        Expr::Criterion(criterion) => meets_event(criterion, values),
        Expr::And(parts) => parts.iter().all(|part| holds(part, values)),
        Expr::Or(parts) => parts.iter().any(|part| holds(part, values)),
        Expr::Not(inner) => !holds(inner, values),
    }
}

fn meets_all(wishes: &Wishes<'_>, value: Option<&ExampleValue>) -> bool {
    wishes.iter().all(|(criterion, wanted)| meets(criterion, value) == *wanted)
}

/// A value that meets them all: `None` if there is none to be found, `Some(None)` if the field is
/// to be absent. It is there unless something asks otherwise.
pub(super) fn solve(
    field: Field,
    wishes: &Wishes<'_>,
    budget: &mut Budget,
) -> Option<Option<ExampleValue>> {
    let found = match field.kind() {
        Kind::Text => text::solve(field, wishes, budget).map(ExampleValue::Text),
        Kind::Number => number(wishes).map(ExampleValue::Number),
        Kind::Sid => sid(wishes).map(ExampleValue::Sid),
    };
    let found = found.filter(|value| meets_all(wishes, Some(value)));
    found.map(Some).or_else(|| meets_all(wishes, None).then_some(None))
}

/// The path of an image and its last part, each of which meets its own.
pub(super) fn image(
    path: &Wishes<'_>,
    name: &Wishes<'_>,
    budget: &mut Budget,
) -> Option<(ExampleValue, ExampleValue)> {
    let ends = |path: Vec<u16>| {
        let name_part = ExampleValue::Text(last_part(&path).to_vec());
        meets_all(name, Some(&name_part)).then_some((ExampleValue::Text(path), name_part))
    };
    if let Some(found) = text::solve(Field::ImagePath, path, budget).and_then(ends) {
        return Some(found);
    }
    let mut end = vec![BACKSLASH];
    end.extend(text::solve(Field::ImageName, name, budget)?);
    let operand = Operand::literal(end, true);
    let end = Criterion::new(Field::ImagePath, Operator::EndsWith, operand);
    let path: Vec<_> = path.iter().copied().chain([(&end, true)]).collect();
    text::solve(Field::ImagePath, &path, budget).and_then(ends)
}

/// What stands behind the last backslash.
pub(super) fn last_part(path: &[u16]) -> &[u16] {
    path.rsplit(|unit| *unit == BACKSLASH).next().unwrap_or(path)
}

/// A number in the interval that the bounds leave: if there is one, there is one beside a bound.
fn number(wishes: &Wishes<'_>) -> Option<u64> {
    let mut candidates = vec![0, u64::MAX];
    for (criterion, _) in wishes {
        if let Operand::Number(number) = criterion.operand {
            candidates.extend([number, number.saturating_add(1), number.saturating_sub(1)]);
        }
    }
    candidates.sort_unstable();
    candidates.dedup();
    candidates.into_iter().find(|number| meets_all(wishes, Some(&ExampleValue::Number(*number))))
}

fn sid(wishes: &Wishes<'_>) -> Option<Vec<u8>> {
    let named = wishes.iter().find_map(|(criterion, wanted)| match &criterion.operand {
        Operand::Sid(sid) if *wanted => Some(sid.clone()),
        _ => None,
    });
    Some(named.unwrap_or_else(some_user))
}

/// A user of a domain that does not exist.
pub(super) fn some_user() -> Vec<u8> {
    users::parse("S-1-5-21-1-2-3-1001").unwrap_or_default()
}

/// Texts that differ in one unit: one behind the end, one changed from the end on, the last left
/// out.
pub(super) fn changed(text: &[u16]) -> Vec<Vec<u16>> {
    let mut changed = Vec::new();
    if text.len() < MAX_TEXT_UNITS as usize {
        changed.push([text, &[u16::from(b'x')]].concat());
    }
    for place in (0..text.len()).rev() {
        let mut other = text.to_vec();
        let unit = other[place];
        let letter = unit == u16::from(b'x') || unit == u16::from(b'X');
        other[place] = u16::from(if letter { b'0' } else { b'x' });
        changed.push(other);
    }
    changed.push(text[..text.len().saturating_sub(1)].to_vec());
    changed
}
