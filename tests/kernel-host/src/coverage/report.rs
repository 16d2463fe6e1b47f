//! From blocks that were reached to source lines.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::Plan;
use crate::pe::{Layout, LoadError};
use crate::symbols;

/// The lines of one source file that the image has instructions of.
#[derive(Clone, Debug, Default)]
pub struct FileLines {
    /// Each line, and whether one of its instructions ran.
    pub lines: BTreeMap<u32, bool>,
}

impl FileLines {
    /// Lines of which an instruction ran.
    pub fn reached(&self) -> usize {
        self.lines.values().filter(|reached| **reached).count()
    }

    /// Lines of which none ran, as first and last of each run without a reached line between.
    pub fn missed(&self) -> Vec<(u32, u32)> {
        let mut runs = Vec::<(u32, u32)>::new();
        let mut open = false;
        for (line, reached) in &self.lines {
            match runs.last_mut() {
                _ if *reached => open = false,
                Some(run) if open => run.1 = *line,
                _ => {
                    runs.push((*line, *line));
                    open = true;
                }
            }
        }
        runs
    }
}

/// What the tests reached of an image.
#[derive(Clone, Debug)]
pub struct Report {
    /// Basic blocks of the image.
    pub blocks: usize,
    /// Of them, those that were reached.
    pub reached: usize,
    /// Source files by their path, as the PDB has it.
    pub files: BTreeMap<String, FileLines>,
}

impl Report {
    /// Reads what was marked in `folder` for the driver at `path`, whose PDB lies beside it.
    ///
    /// # Errors
    /// When the driver or its PDB cannot be read, or nothing was marked for that very image.
    pub fn read(folder: &Path, path: &Path) -> Result<Self, LoadError> {
        let read = |path: &Path| {
            fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })
        };
        let file = read(path)?;
        let pdb = path.with_extension("pdb");
        let name = path.file_stem().map_or("driver".into(), |stem| stem.to_string_lossy());
        let plan = Plan::of(folder, &name, &file, Some(&pdb))?;
        let hits = read(&plan.hits)?;
        let image = Layout::of(&file)?.image;

        let mut files = BTreeMap::<String, FileLines>::new();
        let mut reached = 0;
        let mut places = Vec::new();
        for (block, hit) in plan.blocks.iter().zip(&hits) {
            reached += usize::from(*hit != 0);
            places.extend(block.instructions(&image).map(|rva| (rva, *hit != 0)));
        }
        let known = symbols::each_line(&pdb, &places, |path, line, hit| {
            let file = match files.get_mut(path) {
                Some(file) => file,
                None => files.entry(path.to_owned()).or_default(),
            };
            *file.lines.entry(line).or_default() |= hit;
        });
        if !known {
            return Err(LoadError::Refused(format!("{}: no symbols", pdb.display())));
        }
        Ok(Self { blocks: plan.blocks.len(), reached, files })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_lines_come_in_runs() {
        let lines = [(3, false), (4, false), (9, false), (10, true), (12, false)];
        let file = FileLines { lines: lines.into() };
        assert_eq!(file.missed(), [(3, 9), (12, 12)]);
        assert_eq!(file.reached(), 1);
    }
}
