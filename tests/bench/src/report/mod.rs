//! What comes out: tables on the terminal, and `docs/matching.md` with its plot.

mod document;
mod goals;
mod number;
mod plot;
mod table;
mod tables;

use std::fs;
use std::path::Path;

use crate::measure::Measured;
use crate::measure::load::Loaded;

pub use tables::loaded;

/// What was measured with one number of rules.
pub fn measured(measured: &Measured) -> String {
    format!(
        "\n{} rules, {} atoms; everyday events, one step is {}\n\n{}\nhostile events\n\n{}\n{}",
        number::count(measured.rules),
        number::count(measured.atoms),
        number::time(measured.benign.step),
        tables::detail(&measured.benign),
        tables::detail(&measured.hostile),
        tables::memory(std::slice::from_ref(measured)),
    )
}

/// Writes the document and its plot into a folder.
pub fn write(folder: &Path, measured: &[Measured], loaded: &[Loaded]) -> Result<(), String> {
    let files = [
        ("matching.md", document::text(measured, loaded)),
        ("matching.svg", plot::everyday(measured).svg()),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}
