//! The literal that a regular expression cannot do without.

use regex_syntax::hir::{Hir, HirKind};

/// The longest literal that every text holds in which the pattern finds a place; empty if none.
pub fn longest_literal(pattern: &str) -> String {
    let mut runs = Runs::default();
    if let Ok(hir) = regex_syntax::parse(pattern) {
        runs.walk(&hir);
    }
    runs.end();
    runs.best
}

/// Literals that stand side by side.
#[derive(Default)]
struct Runs {
    current: String,
    best: String,
}

impl Runs {
    fn walk(&mut self, hir: &Hir) {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => {
                self.current.push_str(&String::from_utf8_lossy(&literal.0));
            }
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.walk(part)),
            HirKind::Capture(group) => self.walk(&group.sub),
            HirKind::Class(_) | HirKind::Repetition(_) | HirKind::Alternation(_) => self.end(),
        }
    }

    fn end(&mut self) {
        let run = std::mem::take(&mut self.current);
        if run.len() > self.best.len() {
            self.best = run;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_longest_and_nothing_optional() {
        for (pattern, literal) in [
            (r"^\\msse-[0-9a-f]{4,5}-server$", "-server"),
            (r"shell\.[0-9]+\.[0-9]+", "shell."),
            (r"\\(?:in|outlet)x", "\\"),
            (r"(?:abcdef)?x[0-9]", "x"),
            (r"^\\[a-z]{6}$", "\\"),
            (r"[a-z]+", ""),
        ] {
            assert_eq!(longest_literal(pattern), literal, "{pattern}");
        }
    }
}
