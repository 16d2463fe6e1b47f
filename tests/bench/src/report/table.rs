//! Tables in Markdown, with columns aligned so that they read well as plain text too.

/// A table under construction.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with those columns. The first is text, the others are numbers.
    pub fn new(columns: &[&str]) -> Self {
        Self { rows: vec![columns.iter().map(|name| (*name).to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The text, one line a row.
    pub fn text(&self) -> String {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (place, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            text.push_str(&format!("| {} |\n", cells.collect::<Vec<_>>().join(" | ")));
            if place == 0 {
                let rule = widths.iter().enumerate().map(|(column, width)| {
                    let dashes = "-".repeat(width + if column == 0 { 2 } else { 1 });
                    if column == 0 { dashes } else { dashes + ":" }
                });
                text.push_str(&format!("|{}|\n", rule.collect::<Vec<_>>().join("|")));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["engine", "ns"]);
        table.row(vec!["a".into(), "1,000".into()]);
        assert_eq!(table.text(), "| engine |    ns |\n|--------|------:|\n| a      | 1,000 |\n");
    }
}
