//! Covers: for each rule a few atoms, one of which holds whenever the rule is true.

use super::{Atom, AtomId, Comparison, Expr, Field};

/// The cheapest cover of an expression; `None` if it can be true without any atom.
pub fn cover(expr: &Expr, atoms: &[Atom]) -> Option<Vec<AtomId>> {
    match expr {
        Expr::Atom(id) => Some(vec![*id]),
        Expr::Number(_) | Expr::Not(_) => None,
        Expr::Or(parts) => {
            let covers: Option<Vec<Vec<AtomId>>> =
                parts.iter().map(|part| cover(part, atoms)).collect();
            covers.map(|covers| covers.concat())
        }
        Expr::And(parts) => {
            let covers = parts.iter().filter_map(|part| cover(part, atoms));
            covers.min_by_key(|cover| cost(cover, atoms))
        }
    }
}

fn cost(cover: &[AtomId], atoms: &[Atom]) -> usize {
    cover.iter().map(|id| atom_cost(&atoms[*id as usize])).sum()
}

/// How often an atom holds by chance: images, short texts and loose comparisons do more often.
const fn atom_cost(atom: &Atom) -> usize {
    let comparison = match atom.comparison {
        Comparison::Equals => 1,
        Comparison::StartsWith => 4,
        Comparison::EndsWith => 6,
        Comparison::Contains => 10,
        Comparison::Regex => 12,
    };
    let field = match atom.field {
        Field::Pipe => 0,
        Field::Image => 50,
    };
    let length = if atom.text.len() < 6 { 20 } else { 0 };
    comparison + field + length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{NumberField, NumberTest};

    fn atoms() -> Vec<Atom> {
        let atom = |field, comparison, text: &str| Atom { field, comparison, text: text.into() };
        vec![
            atom(Field::Pipe, Comparison::Equals, "\\equals"),
            atom(Field::Pipe, Comparison::Contains, "contains"),
            atom(Field::Image, Comparison::Contains, "\\public\\"),
        ]
    }

    #[test]
    fn of_an_and_the_cheapest_part_is_taken_of_an_or_every_part() {
        let both = Expr::And(vec![Expr::Atom(2), Expr::Atom(1), Expr::Atom(0)]);
        assert_eq!(cover(&both, &atoms()), Some(vec![0]));
        let either = Expr::Or(vec![Expr::Atom(2), both]);
        assert_eq!(cover(&either, &atoms()), Some(vec![2, 0]));
    }

    #[test]
    fn what_may_be_true_without_an_atom_has_no_cover() {
        let field = NumberField::Session;
        let test =
            Expr::Number(NumberTest { field, ordering: std::cmp::Ordering::Equal, value: 1 });
        let not = Expr::Not(Box::new(Expr::Atom(0)));
        assert_eq!(cover(&Expr::Or(vec![Expr::Atom(0), test.clone()]), &atoms()), None);
        assert_eq!(cover(&Expr::And(vec![test, not]), &atoms()), None);
    }
}
