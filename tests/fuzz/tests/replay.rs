//! What fuzzing begins with and what it found, through the same functions without a fuzzer.

use std::fs;
use std::path::{Path, PathBuf};

use fuzz_targets::{find, targets};

fn regressions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../regressions")
}

#[test]
fn every_target_holds_for_its_seeds() {
    for target in targets() {
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            // A panic is told with the target and the seed.
            println!("{} seed {number}", target.name);
            (target.run)(&seed);
        }
    }
}

/// A file is there because a target did not hold for it once.
#[test]
fn every_regression_holds() {
    let mut replayed = 0;
    for folder in fs::read_dir(regressions()).unwrap().flatten() {
        if !folder.path().is_dir() {
            continue;
        }
        let name = folder.file_name().into_string().unwrap();
        let target = find(&name).unwrap_or_else(|| panic!("no target is called {name}"));
        for file in fs::read_dir(folder.path()).unwrap().flatten() {
            println!("{name} {}", file.path().display());
            (target.run)(&fs::read(file.path()).unwrap());
            replayed += 1;
        }
    }
    println!("{replayed} regressions hold");
}

#[test]
fn targets_have_names_of_their_own_and_seeds_of_a_fitting_length() {
    let all = targets();
    for (place, target) in all.iter().enumerate() {
        assert!(!all[..place].iter().any(|other| other.name == target.name), "{}", target.name);
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
        assert!(target.name.bytes().all(plain), "{} is a folder's name", target.name);
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} begins with nothing", target.name);
        for seed in seeds {
            assert!(seed.len() <= target.longest, "{}: {} bytes", target.name, seed.len());
        }
    }
}
