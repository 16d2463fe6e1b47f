//! The memory of a driver in the kernel host as a debugger would see it, and the debugger.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use kernel_host::Driver;
use pdb2::{FallibleIterator as _, PDB, SymbolData};
use serde_json::{Value, json};

const SYMBOL: &str = "saker::debug_map::MAP";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../driver/windbg/saker.js");
const DEBUGGER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/windbg/debugger.js");
/// The start and the size of its image in a driver object: `DriverStart`, `DriverSize`.
const DRIVER_START: u64 = 0x18;
/// No mapping of the driver's is longer: the others are this test's own.
const LONGEST: u64 = 64 << 20;

#[derive(Clone)]
pub struct Region {
    start: u64,
    bytes: Arc<Vec<u8>>,
}

impl Region {
    fn range(&self) -> Range<u64> {
        self.start..self.start + self.bytes.len() as u64
    }
}

/// What a debugger sees.
#[derive(Clone)]
pub struct MemoryImage {
    pub regions: Vec<Region>,
    /// Address of the driver's map; none: there are no symbols.
    pub map: Option<u64>,
    /// What `.enumtag` prints.
    pub enumtag: Vec<String>,
    pub driver: Range<u64>,
    /// Written over the regions.
    pub patches: Vec<(u64, Vec<u8>)>,
}

impl MemoryImage {
    /// All memory of this process that a driver in it could have.
    pub fn of(driver: &Driver, path: &Path) -> Self {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let memory = File::open("/proc/self/mem").unwrap();
        let regions: Vec<Region> = maps
            .lines()
            .filter_map(mapping)
            .filter_map(|range| {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                // Other threads may have taken it away meanwhile.
                memory.read_exact_at(&mut bytes, range.start).ok()?;
                Some(Region { start: range.start, bytes: Arc::new(bytes) })
            })
            .collect();
        let mut image =
            Self { regions, map: None, enumtag: Vec::new(), driver: 0..0, patches: Vec::new() };
        let base = image.u64(driver.object() + DRIVER_START);
        image.driver = base..base + driver.image_size() as u64;
        image.map = Some(base + u64::from(symbol(&path.with_extension("pdb"))));
        image
    }

    /// Where the pointer to the sensor is.
    pub fn sensor_place(&self) -> u64 {
        self.u64(self.map.unwrap() + 16)
    }

    pub fn u64(&self, address: u64) -> u64 {
        u64::from_le_bytes(self.read(address))
    }

    pub fn u32(&self, address: u64) -> u32 {
        u32::from_le_bytes(self.read(address))
    }

    fn read<const N: usize>(&self, address: u64) -> [u8; N] {
        let region = self.regions.iter().find(|region| region.range().contains(&address));
        let region = region.unwrap_or_else(|| panic!("{address:#x} is in no region"));
        let at = (address - region.start) as usize;
        region.bytes[at..at + N].try_into().unwrap()
    }

    /// The same with other bytes at an address.
    pub fn with_bytes(&self, address: u64, bytes: &[u8]) -> Self {
        let mut changed = self.clone();
        changed.patches.push((address, bytes.to_vec()));
        changed
    }

    pub fn with_zeros(&self, address: u64, length: usize) -> Self {
        self.with_bytes(address, &vec![0; length])
    }

    /// The same without anything but the driver's image.
    pub fn only_driver(&self) -> Self {
        let mut image = self.clone();
        image.regions.retain(|region| self.driver.contains(&region.start));
        assert!(!image.regions.is_empty());
        image
    }
}

/// The range of a mapping that is no file's and could be the driver's.
fn mapping(line: &str) -> Option<Range<u64>> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let readable = words.next()?.starts_with('r');
    let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    let is_file = words.nth(3).is_some_and(|name| name.starts_with('/') || name == "[vvar]");
    (readable && !is_file && end - start <= LONGEST).then_some(start..end)
}

/// Offset of the map in the image.
fn symbol(pdb: &Path) -> u32 {
    let mut pdb = PDB::open(File::open(pdb).unwrap()).unwrap();
    let addresses = pdb.address_map().unwrap();
    let mut found = None;
    each_symbol(&mut pdb, |symbol| {
        if let SymbolData::Data(data) = symbol
            && data.name.to_string() == SYMBOL
        {
            found = data.offset.to_rva(&addresses);
        }
    });
    found.unwrap_or_else(|| panic!("the PDB has no symbol {SYMBOL} in the image")).0
}

/// The names of all functions that a PDB has.
pub fn functions(pdb: &Path) -> Vec<String> {
    let mut pdb = PDB::open(File::open(pdb).unwrap()).unwrap();
    let mut names = Vec::new();
    each_symbol(&mut pdb, |symbol| {
        if let SymbolData::Procedure(procedure) = symbol {
            names.push(procedure.name.to_string().into_owned());
        }
    });
    names
}

fn each_symbol(pdb: &mut PDB<'_, File>, mut look: impl FnMut(SymbolData<'_>)) {
    let information = pdb.debug_information().unwrap();
    let mut modules = information.modules().unwrap();
    while let Some(module) = modules.next().unwrap() {
        let Some(symbols) = pdb.module_info(&module).unwrap() else { continue };
        let mut symbols = symbols.symbols().unwrap();
        while let Some(symbol) = symbols.next().unwrap() {
            if let Ok(data) = symbol.parse() {
                look(data);
            }
        }
    }
}

/// Node with the stand-in for WinDbg.
pub struct Debugger;

impl Debugger {
    /// `None`, with a line that says so, where Node is missing; with `SAKER_REQUIRE_ARTIFACTS=1`,
    /// which `cargo xtask test` sets after it has installed it, that is a failure.
    pub fn find() -> Option<Self> {
        let found = Command::new("node").arg("--version").output();
        if found.is_ok_and(|found| found.status.success()) {
            return Some(Self);
        }
        let required =
            std::env::var_os("SAKER_REQUIRE_ARTIFACTS").is_some_and(|value| value == "1");
        assert!(!required, "Node is missing: apt-get install nodejs");
        eprintln!("skipped: Node is not installed (Debian: apt-get install nodejs)");
        None
    }

    /// What each of these commands says.
    pub fn run(&self, image: &MemoryImage, commands: &[&str]) -> Value {
        self.run_each(std::slice::from_ref(image), commands).remove(0)
    }

    /// The same for images that differ in a few bytes.
    pub fn run_each(&self, images: &[MemoryImage], commands: &[&str]) -> Vec<Value> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        write(&images[0], images, &path);
        let output = Command::new("node")
            .arg(DEBUGGER)
            .arg(SCRIPT)
            .arg(&path)
            .args(commands)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let told: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told.len(), images.len());
        told
    }
}

fn write(first: &MemoryImage, images: &[MemoryImage], path: &Path) {
    let file = File::create(path.with_extension("bin")).unwrap();
    let mut offset = 0;
    let mut regions = Vec::new();
    for region in &first.regions {
        file.write_all_at(&region.bytes, offset).unwrap();
        // Numbers of JSON do not hold an address.
        regions.push(json!({
            "start": region.start.to_string(),
            "length": region.bytes.len(),
            "offset": offset,
        }));
        offset += region.bytes.len() as u64;
    }
    let patch = |(address, bytes): &(u64, Vec<u8>)| {
        let mut text = String::new();
        for byte in bytes {
            write!(text, "{byte:02x}").unwrap();
        }
        json!({ "address": address.to_string(), "bytes": text })
    };
    let variants: Vec<Vec<Value>> =
        images.iter().map(|image| image.patches.iter().map(patch).collect()).collect();
    let symbols = match first.map {
        Some(map) => json!({ format!("saker!{SYMBOL}"): map.to_string() }),
        None => json!({}),
    };
    let index = json!({
        "regions": regions,
        "symbols": symbols,
        "enumtag": first.enumtag,
        "variants": variants,
    });
    fs::write(path.with_extension("json"), index.to_string()).unwrap();
}
