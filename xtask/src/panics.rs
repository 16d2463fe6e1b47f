//! Which panic machinery a driver's PDB names.
//!
//! The proof that a driver cannot panic is its import table (`wdk-panic` turns every panic into
//! `KeBugCheckEx`). The PDB says the same a second way, and names what is left.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use pdb2::{FallibleIterator as _, PDB, SymbolData};

use crate::failure::Failure;

/// Parts of the names of functions that only panics call.
const MACHINERY: [&str; 5] = [
    "core::panicking",
    "core::option::unwrap_failed",
    "core::result::unwrap_failed",
    "slice_index_fail",
    "rust_begin_unwind",
];

/// The functions of the image that belong to panicking, by name.
pub fn functions(pdb_path: &Path) -> Result<Vec<String>, Failure> {
    let file = File::open(pdb_path).map_err(Failure::file(pdb_path))?;
    read(file).map_err(|error| Failure::Other(format!("{}: {error}", pdb_path.display())))
}

fn read(file: File) -> pdb2::Result<Vec<String>> {
    let mut pdb = PDB::open(file)?;
    let mut found = BTreeSet::new();
    let information = pdb.debug_information()?;
    let mut modules = information.modules()?;
    while let Some(module) = modules.next()? {
        let Some(symbols) = pdb.module_info(&module)? else {
            continue;
        };
        let mut symbols = symbols.symbols()?;
        while let Some(symbol) = symbols.next()? {
            let Ok(SymbolData::Procedure(procedure)) = symbol.parse() else {
                continue;
            };
            let name = procedure.name.to_string();
            if is_machinery(&name) {
                found.insert(name.into_owned());
            }
        }
    }
    Ok(found.into_iter().collect())
}

fn is_machinery(name: &str) -> bool {
    MACHINERY.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_functions_are_told_from_others() {
        assert!(is_machinery("core::panicking::panic_bounds_check"));
        assert!(is_machinery("core::option::unwrap_failed"));
        assert!(!is_machinery("saker::entry::load"));
    }

    #[test]
    fn what_is_no_pdb_is_refused() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::io::Write::write_all(&mut file, b"not a PDB").expect("a writable file");
        assert!(functions(file.path()).is_err());
    }
}
