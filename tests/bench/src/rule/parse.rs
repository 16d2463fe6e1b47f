//! One rule's YAML to an expression, by the parser that the Sigma engines use too.

use std::cmp::Ordering;

use rsigma_parser::value::{SpecialChar, StringPart};
use rsigma_parser::{
    ConditionExpr, Detection, DetectionItem, Modifier, Quantifier, SelectorPattern, SigmaRule,
    SigmaString, SigmaValue, parse_sigma_yaml,
};

use super::{Atom, AtomTable, Comparison, Expr, Field, NumberField, NumberTest};

/// Parses a rule.
pub fn rule(yaml: &str, atoms: &mut AtomTable) -> Result<Expr, String> {
    let mut collection = parse_sigma_yaml(yaml).map_err(|error| error.to_string())?;
    let (Some(rule), true) = (collection.rules.pop(), collection.errors.is_empty()) else {
        return Err(format!("not one Sigma rule: {:?}", collection.errors));
    };
    match rule.detection.conditions.as_slice() {
        [one] => condition(one, &rule, atoms),
        _ => Err("not one condition".to_owned()),
    }
}

fn condition(
    expr: &ConditionExpr,
    rule: &SigmaRule,
    atoms: &mut AtomTable,
) -> Result<Expr, String> {
    let mut all = |parts: &[ConditionExpr]| -> Result<Vec<Expr>, String> {
        parts.iter().map(|part| condition(part, rule, atoms)).collect()
    };
    match expr {
        ConditionExpr::And(parts) => Ok(and(all(parts)?)),
        ConditionExpr::Or(parts) => Ok(or(all(parts)?)),
        ConditionExpr::Not(part) => Ok(Expr::Not(Box::new(condition(part, rule, atoms)?))),
        ConditionExpr::Identifier(name) => match rule.detection.named.get(name) {
            Some(found) => detection(found, atoms),
            None => Err(format!("there is no `{name}`")),
        },
        ConditionExpr::Selector { quantifier, pattern } => {
            let SelectorPattern::Pattern(pattern) = pattern else {
                return Err("`of them` is not used here".to_owned());
            };
            let start = pattern.trim_end_matches('*');
            // The parser keeps no order; atoms get their numbers in the order of names.
            let mut chosen: Vec<_> =
                rule.detection.named.iter().filter(|(name, _)| name.starts_with(start)).collect();
            chosen.sort_by_key(|(name, _)| *name);
            let parts: Result<Vec<Expr>, String> =
                chosen.into_iter().map(|(_, found)| detection(found, atoms)).collect();
            match quantifier {
                Quantifier::Any | Quantifier::Count(1) => Ok(or(parts?)),
                Quantifier::All => Ok(and(parts?)),
                Quantifier::Count(_) => Err("only `1 of` and `all of` are used here".to_owned()),
            }
        }
    }
}

fn detection(found: &Detection, atoms: &mut AtomTable) -> Result<Expr, String> {
    match found {
        Detection::AllOf(items) => {
            let parts: Result<Vec<Expr>, String> =
                items.iter().map(|found| item(found, atoms)).collect();
            Ok(and(parts?))
        }
        _ => Err("only maps of fields are used here".to_owned()),
    }
}

fn item(found: &DetectionItem, atoms: &mut AtomTable) -> Result<Expr, String> {
    let name = found.field.name.as_deref().unwrap_or_default();
    let modifiers = &found.field.modifiers;
    let field = match name {
        "PipeName" => Field::Pipe,
        "Image" => Field::Image,
        "ProcessId" => return number(NumberField::ProcessId, modifiers, &found.values),
        "SessionId" => return number(NumberField::Session, modifiers, &found.values),
        _ => return Err(format!("the field `{name}` is not used here")),
    };
    let mut parts = Vec::new();
    for value in &found.values {
        let SigmaValue::String(value) = value else {
            return Err(format!("a value of {name} is not text"));
        };
        let (comparison, text) = compared(modifiers, value)?;
        parts.push(Expr::Atom(atoms.id(Atom { field, comparison, text })));
    }
    Ok(if modifiers.contains(&Modifier::All) { and(parts) } else { or(parts) })
}

/// What the value is and how it is compared. All text is in small letters from here on.
fn compared(modifiers: &[Modifier], value: &SigmaString) -> Result<(Comparison, String), String> {
    if modifiers.contains(&Modifier::Re) {
        // Escapes such as `\W` change their meaning with their case.
        let escapes_letter = value
            .original
            .replace(r"\\", "")
            .split('\\')
            .skip(1)
            .any(|rest| rest.starts_with(|letter: char| letter.is_ascii_alphabetic()));
        if escapes_letter || !modifiers.contains(&Modifier::IgnoreCase) {
            return Err("only `re|i` without classes such as \\w is used here".to_owned());
        }
        return Ok((Comparison::Regex, value.original.to_ascii_lowercase()));
    }
    let star = |part: &StringPart| *part == StringPart::Special(SpecialChar::WildcardMulti);
    let (text, open_end) = match value.parts.as_slice() {
        [StringPart::Plain(text)] => (text, false),
        [StringPart::Plain(text), last] if star(last) => (text, true),
        _ => return Err(format!("`{}` has wildcards inside", value.original)),
    };
    let comparison = match modifiers.first() {
        None if open_end => Comparison::StartsWith,
        None => Comparison::Equals,
        Some(Modifier::Contains) => Comparison::Contains,
        Some(Modifier::StartsWith) => Comparison::StartsWith,
        Some(Modifier::EndsWith) if !open_end => Comparison::EndsWith,
        Some(other) => return Err(format!("the modifier {other:?} is not used here")),
    };
    Ok((comparison, text.to_ascii_lowercase()))
}

fn number(
    field: NumberField,
    modifiers: &[Modifier],
    values: &[SigmaValue],
) -> Result<Expr, String> {
    let ordering = match modifiers {
        [] => Ordering::Equal,
        [Modifier::Lt] => Ordering::Less,
        [Modifier::Gt] => Ordering::Greater,
        _ => return Err("numbers are compared plainly, by lt or by gt here".to_owned()),
    };
    let [SigmaValue::Integer(value)] = values else {
        return Err("one whole number is wanted here".to_owned());
    };
    let value = u64::try_from(*value).map_err(|_| "a number is negative".to_owned())?;
    Ok(Expr::Number(NumberTest { field, ordering, value }))
}

fn and(mut parts: Vec<Expr>) -> Expr {
    if parts.len() == 1 { parts.swap_remove(0) } else { Expr::And(parts) }
}

fn or(mut parts: Vec<Expr>) -> Expr {
    if parts.len() == 1 { parts.swap_remove(0) } else { Expr::Or(parts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(detection: &str) -> Result<(Expr, Vec<Atom>), String> {
        let yaml =
            format!("title: T\nlogsource: {{category: pipe_created}}\ndetection:\n{detection}\n");
        let mut atoms = AtomTable::default();
        let expr = rule(&yaml, &mut atoms)?;
        Ok((expr, atoms.atoms))
    }

    #[test]
    fn values_are_ors_keys_are_ands_and_equal_atoms_are_one() {
        let (expr, atoms) = parsed(
            "    selection:\n        PipeName: ['\\A', '\\b*']\n        ProcessId|gt: 4\n    \
             filter_a:\n        PipeName: '\\a'\n    condition: selection and not 1 of filter_*",
        )
        .unwrap();
        assert_eq!(atoms.len(), 2);
        assert_eq!(atoms[0].text, r"\a");
        assert_eq!(atoms[1].comparison, Comparison::StartsWith);
        let test =
            NumberTest { field: NumberField::ProcessId, ordering: Ordering::Greater, value: 4 };
        let names = Expr::Or(vec![Expr::Atom(0), Expr::Atom(1)]);
        let selection = Expr::And(vec![names, Expr::Number(test)]);
        let filter = Expr::Not(Box::new(Expr::Atom(0)));
        assert_eq!(expr, Expr::And(vec![selection, filter]));
    }

    #[test]
    fn what_is_not_known_here_is_refused() {
        for detection in [
            "    selection:\n        User: 'x'\n    condition: selection",
            "    selection:\n        PipeName: '\\a*b'\n    condition: selection",
            "    selection:\n        PipeName|re: 'abc'\n    condition: selection",
            "    selection:\n        PipeName|re|i: '\\W'\n    condition: selection",
            "    selection:\n        ProcessId|gte: 3\n    condition: selection",
        ] {
            assert!(parsed(detection).is_err(), "{detection}");
        }
    }
}
