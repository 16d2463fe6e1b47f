//! Some changes of every byte of the golden files; `cargo xtask mutate` makes all of them.

use fuzz_targets::mutate::{Depth, every_byte};

#[test]
fn every_byte_of_the_golden_files_is_refused_or_harmless_when_it_changes() {
    let report = every_byte(Depth::Sample);
    println!("{report}");
    assert!(report.accepted() > 0 && report.accepted() < report.changes());
}
