//! Basic blocks of the driver that were reached, as counters of libFuzzer.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// More than the driver has.
const MOST: usize = 1 << 15;

/// What libFuzzer looks at beside its own counters, and clears before each input.
// SAFETY: libFuzzer takes the bytes of this section for counters; any value of them is one.
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static COUNTERS: [AtomicU8; MOST] = [const { AtomicU8::new(0) }; MOST];

/// What was marked before.
struct Marks {
    file: File,
    known: Vec<u8>,
    now: Vec<u8>,
}

/// Counts each block that was reached for the first time. A breakpoint is gone once it was run into,
/// so a block has news once, whatever comes later.
pub fn count_new() {
    static MARKS: Mutex<Option<Marks>> = Mutex::new(None);

    let mut marks = MARKS.lock().unwrap_or_else(PoisonError::into_inner);
    if marks.is_none() {
        *marks = Marks::open();
    }
    let Some(Marks { file, known, now }) = &mut *marks else { return };
    if file.read_exact_at(now, 0).is_err() {
        return;
    }
    for ((known, now), counter) in known.iter_mut().zip(now).zip(&COUNTERS) {
        if *known != *now {
            *known = *now;
            counter.store(1, Ordering::Relaxed);
        }
    }
}

impl Marks {
    /// The file of the driver that was mapped, if one was.
    fn open() -> Option<Self> {
        let folder = PathBuf::from(std::env::var_os("SAKER_COVERAGE")?);
        let entries = fs::read_dir(folder).ok()?.flatten();
        let path = entries.map(|entry| entry.path()).find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("saker-") && name.ends_with(".hits")
        })?;
        let file = File::open(path).ok()?;
        let length = usize::try_from(file.metadata().ok()?.len()).ok()?.min(MOST);
        Some(Self { file, known: vec![0; length], now: vec![0; length] })
    }
}
