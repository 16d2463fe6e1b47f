//! Which code of a driver its tests reach: of the very image that ships, without a build of its own.
//!
//! With [`VARIABLE`] in the environment, every basic block of an image begins with a breakpoint. The
//! first thread that gets to one puts the byte back and marks the block in a file that all
//! processes share, `<image>-<hash>.hits` in the folder that the variable names: one byte a block, 1
//! when it was reached. [`Report`] turns blocks into source lines with the PDB.
//!
//! What it cannot see: a block that only a jump table leads to and that code above it also falls
//! into counts as that code does; a line that the optimiser left no instruction of does not count at
//! all.

mod blocks;
mod report;

use std::fs::OpenOptions;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};

pub use blocks::Block;
pub use report::{FileLines, Report};

use crate::pe::{Layout, LoadError};
use crate::symbols;

/// The environment variable that names the folder of hits and turns coverage on.
pub const VARIABLE: &str = "SAKER_COVERAGE";

/// The basic blocks of an image and the file in which hits are marked.
#[derive(Debug)]
pub(crate) struct Plan {
    pub blocks: Vec<Block>,
    pub hits: PathBuf,
}

impl Plan {
    /// Finds the blocks of a driver's file. Functions come from the image's unwind tables, and from
    /// the PDB for those that need none.
    fn of(folder: &Path, name: &str, file: &[u8], pdb: Option<&Path>) -> Result<Self, LoadError> {
        let layout = Layout::of(file)?;
        let mut functions = layout.functions();
        functions.extend(pdb.into_iter().flat_map(symbols::functions));
        let mut hasher = DefaultHasher::new();
        hasher.write(file);
        let hits = folder.join(format!("{name}-{:016x}.hits", hasher.finish()));
        Ok(Self { blocks: blocks::find(&layout.image, &functions), hits })
    }

    /// The plan of a driver that is about to be mapped; `None` when coverage is off.
    pub(crate) fn wanted(name: &str, file: &[u8], pdb: Option<&Path>) -> Option<Self> {
        let folder = PathBuf::from(std::env::var_os(VARIABLE)?);
        let plan = Self::of(&folder, name, file, pdb).ok()?;
        let open = |path: &Path| -> io::Result<()> {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            file.set_len(plan.blocks.len() as u64)
        };
        if let Err(error) = open(&plan.hits) {
            panic!("{VARIABLE}: {}: {error}", plan.hits.display());
        }
        Some(plan)
    }
}
