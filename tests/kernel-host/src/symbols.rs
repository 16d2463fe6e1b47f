//! Names and source lines of driver addresses, from the PDB beside the image.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pdb_addr2line::ContextPdbData;
use pdb_addr2line::pdb::PDB;

type PdbData = ContextPdbData<'static, 'static, File>;

/// A loaded image, as far as reports need it.
pub struct Module {
    /// Its file name without the extension.
    pub name: String,
    base: u64,
    size: u64,
    pdb: Option<PathBuf>,
    /// Opened at the first report.
    symbols: OnceLock<Option<Mutex<PdbData>>>,
}

impl Module {
    pub(crate) fn new(name: &str, base: u64, size: u64, pdb: Option<PathBuf>) -> Module {
        Module { name: name.to_owned(), base, size, pdb, symbols: OnceLock::new() }
    }

    pub(crate) fn contains(&self, address: u64) -> bool {
        (self.base..self.base + self.size).contains(&address)
    }

    fn symbols(&self) -> Option<&Mutex<PdbData>> {
        let open = || Some(Mutex::new(open(self.pdb.as_ref()?)?));
        self.symbols.get_or_init(open).as_ref()
    }

    /// Where the first function begins whose name contains `part`.
    pub(crate) fn function_named(&self, part: &str) -> Option<u32> {
        let data = self.symbols()?.lock().unwrap_or_else(PoisonError::into_inner);
        let context = data.make_context().ok()?;
        let named = |name: &Option<String>| name.as_ref().is_some_and(|name| name.contains(part));
        context.functions().find(|function| named(&function.name)).map(|found| found.start_rva)
    }

    /// The functions at an offset, the innermost inlined one first.
    fn functions(&self, rva: u32) -> Vec<Function> {
        let Some(symbols) = self.symbols() else {
            return Vec::new();
        };
        let data = symbols.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(context) = data.make_context() else {
            return Vec::new();
        };
        let Ok(Some(found)) = context.find_frames(rva) else {
            return Vec::new();
        };
        found
            .frames
            .iter()
            .map(|frame| Function {
                name: frame.function.as_deref().unwrap_or("?").to_owned(),
                file: frame.file.as_deref().map(|file| file.replace('\\', "/")),
                line: frame.line,
            })
            .collect()
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Module({} at {:#x})", self.name, self.base)
    }
}

fn open(pdb: &Path) -> Option<PdbData> {
    let pdb = PDB::open(File::open(pdb).ok()?).ok()?;
    ContextPdbData::try_from_pdb(pdb).ok()
}

/// The functions that a PDB knows, each from its first byte to behind its last; empty without one.
pub(crate) fn functions(pdb: &Path) -> Vec<Range<u32>> {
    let found = || {
        let data = open(pdb)?;
        let context = data.make_context().ok()?;
        let ranges =
            context.functions().filter_map(|function| Some(function.start_rva..function.end_rva?));
        Some(ranges.collect())
    };
    found().unwrap_or_default()
}

/// Tells the source lines of each place, those of inlined functions and of their callers, with what
/// came with the place. False when there is no PDB.
pub(crate) fn each_line<T: Copy>(
    pdb: &Path,
    places: &[(u32, T)],
    mut tell: impl FnMut(&str, u32, T),
) -> bool {
    let Some(data) = open(pdb) else { return false };
    let Ok(context) = data.make_context() else { return false };
    for (rva, with) in places {
        let Ok(Some(found)) = context.find_frames(*rva) else { continue };
        for frame in &found.frames {
            if let (Some(file), Some(line @ 1..)) = (&frame.file, frame.line) {
                tell(&file.replace('\\', "/"), line, *with);
            }
        }
    }
    true
}

/// A function at some address, inlined ones included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its full path.
    pub name: String,
    /// Its source file, with forward slashes.
    pub file: Option<String>,
    /// The line.
    pub line: Option<u32>,
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(file) = &self.file {
            // The last components say which file it is; the rest is the builder's machine.
            let parts: Vec<&str> = file.rsplit('/').take(3).collect();
            write!(f, " at {}", parts.into_iter().rev().collect::<Vec<_>>().join("/"))?;
        }
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        Ok(())
    }
}

/// One frame of a backtrace.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The address, `None` for a module when it lies in none.
    pub address: u64,
    module: Option<Arc<Module>>,
    /// Whether `address` is where execution would return to.
    is_return: bool,
}

impl Frame {
    pub(crate) fn new(address: u64, module: Option<Arc<Module>>, is_return: bool) -> Frame {
        Frame { address, module, is_return }
    }

    /// The offset in the module, moved into the call for a return address.
    fn rva(&self) -> Option<u32> {
        let module = self.module.as_ref()?;
        Some((self.address - module.base - u64::from(self.is_return)) as u32)
    }

    /// The functions of the frame, the innermost inlined one first; empty without symbols.
    pub fn functions(&self) -> Vec<Function> {
        match (&self.module, self.rva()) {
            (Some(module), Some(rva)) => module.functions(rva),
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(module) = &self.module else {
            return write!(f, "{:#x}", self.address);
        };
        write!(f, "{}+{:#x}", module.name, self.rva().unwrap_or(0))?;
        for (index, function) in self.functions().iter().enumerate() {
            write!(f, "{}{function}", if index == 0 { " " } else { ", inlined in " })?;
        }
        Ok(())
    }
}
