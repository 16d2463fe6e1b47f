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

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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
        let hits = Self::hits_of(folder, name, file);
        Ok(Self { blocks: blocks::find(&layout.image, &functions), hits })
    }

    /// The plan of a driver that is about to be mapped; `None` when coverage is off.
    pub(crate) fn wanted(name: &str, file: &[u8], pdb: Option<&Path>) -> Option<Arc<Self>> {
        /// What was found for the images of this process: some are mapped a thousand times.
        static KNOWN: Mutex<BTreeMap<PathBuf, Arc<Plan>>> = Mutex::new(BTreeMap::new());

        let folder = PathBuf::from(std::env::var_os(VARIABLE)?);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let hits = Self::hits_of(&folder, name, file);
        if let Some(plan) = known.get(&hits) {
            return Some(Arc::clone(plan));
        }
        let plan = Arc::new(Self::of(&folder, name, file, pdb).ok()?);
        let open = |path: &Path| -> io::Result<()> {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            file.set_len(plan.blocks.len() as u64)
        };
        if let Err(error) = open(&plan.hits) {
            panic!("{VARIABLE}: {}: {error}", plan.hits.display());
        }
        known.insert(hits, Arc::clone(&plan));
        Some(plan)
    }

    /// The file in which hits of that image are marked.
    fn hits_of(folder: &Path, name: &str, file: &[u8]) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        hasher.write(file);
        folder.join(format!("{name}-{:016x}.hits", hasher.finish()))
    }
}
