//! Tables for people.

use comfy_table::{CellAlignment, Table, presets};

/// A table without lines, so that it can be searched and cut; columns with these names hold numbers.
pub(crate) fn text(
    head: &[&str],
    numbers: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.iter().copied());
    for (at, name) in head.iter().enumerate() {
        if let Some(column) = table.column_mut(at) {
            let last = at + 1 == head.len();
            column.set_padding((0, if last { 0 } else { 2 }));
            if numbers.contains(name) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    for row in rows {
        table.add_row(row);
    }
    table.trim_fmt()
}
