//! Covers: for each rule, criteria of which one must be true if the rule is.
//!
//! An event is judged by the rules that its true cover criteria point to, and by no other. So a
//! cover is chosen that few everyday events meet: literals are worth more the longer they are, those
//! of the pipe's name more than those of images, which every event of a process repeats.

use channel_format::engine::criterion::Operator;
use channel_format::schema::Field;

use crate::lower::{Criterion, Expr};

/// What a criterion costs as a cover: more for one that more events meet. None if it cannot be one.
pub(crate) fn price(criterion: &Criterion) -> Option<u32> {
    let (length, kind) = match Operator::from_number(criterion.operator)? {
        Operator::Equals => (criterion.searched_literal()?.len() + 8, 0),
        Operator::StartsWith | Operator::EndsWith => (criterion.searched_literal()?.len() + 2, 2),
        Operator::Contains => (criterion.searched_literal()?.len(), 4),
        // Its automaton runs where the literal occurs.
        Operator::Regex => (criterion.searched_literal()?.len(), 6),
        _ => return None,
    };
    let elsewhere = if criterion.field == Field::PipeName { 0 } else { 24 };
    Some(1 + kind + elsewhere + 4 * 16_u32.saturating_sub(length as u32))
}

/// The cheapest cover of an expression; none if it can be true without any of its criteria being
/// true. `price` is what a criterion costs, if it can be a cover.
pub(crate) fn cover<'a>(
    expr: &'a Expr,
    price: &dyn Fn(&Criterion) -> Option<u32>,
) -> Option<Vec<&'a Criterion>> {
    Some(cheapest(expr, false, price)?.criteria)
}

/// A cover and its price.
struct Cover<'a> {
    price: u32,
    criteria: Vec<&'a Criterion>,
}

fn cheapest<'a>(
    expr: &'a Expr,
    negated: bool,
    price: &dyn Fn(&Criterion) -> Option<u32>,
) -> Option<Cover<'a>> {
    match expr {
        Expr::Criterion(_) if negated => None,
        Expr::Criterion(criterion) => {
            Some(Cover { price: price(criterion)?, criteria: vec![criterion] })
        }
        Expr::Not(inner) => cheapest(inner, !negated, price),
        // One part is enough for all of them; any of them takes a cover of each.
        Expr::And(parts) | Expr::Or(parts) => {
            let mut covers = parts.iter().map(|part| cheapest(part, negated, price));
            if expr.needs_all(negated) {
                covers.flatten().min_by_key(|cover| cover.price)
            } else {
                covers.try_fold(Cover { price: 0, criteria: vec![] }, |mut sum, cover| {
                    let cover = cover?;
                    sum.price = sum.price.saturating_add(cover.price);
                    sum.criteria.extend(cover.criteria);
                    Some(sum)
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use channel_format::schema::Field;

    use super::*;
    use crate::lower::Operand;

    fn criterion(field: Field, operator: Operator, text: &str) -> Expr {
        let units = text.encode_utf16().collect();
        Expr::Criterion(Criterion::new(field, operator, Operand::literal(units, false)))
    }

    fn literals(expr: &Expr) -> Option<Vec<String>> {
        let text = |criterion: &&Criterion| {
            String::from_utf16(criterion.searched_literal().unwrap_or(&[])).unwrap()
        };
        Some(cover(expr, &price)?.iter().map(text).collect())
    }

    #[test]
    fn takes_the_dearest_part_of_an_and_and_every_part_of_an_or() {
        let name = criterion(Field::PipeName, Operator::Equals, "\\NAME");
        let other = criterion(Field::PipeName, Operator::Contains, "OTHER");
        let image = criterion(Field::ImagePath, Operator::EndsWith, "\\IMAGE.EXE");
        let both = Expr::And(vec![image.clone(), name.clone()]);
        assert_eq!(literals(&both).unwrap(), ["\\NAME"]);
        let any = Expr::Or(vec![both, other.clone()]);
        assert_eq!(literals(&any).unwrap(), ["\\NAME", "OTHER"]);
        // What is negated covers nothing, and the negation of an or is an and.
        assert_eq!(literals(&other.clone().opposite()), None);
        assert_eq!(literals(&Expr::Or(vec![name.clone(), image.clone().opposite()])), None);
        let nested = Expr::Or(vec![other.opposite(), image]).opposite();
        assert_eq!(literals(&nested).unwrap(), ["OTHER"]);
        assert_eq!(literals(&Expr::And(vec![nested, name])).unwrap(), ["\\NAME"]);
    }
}
