//! The list of targets.

use crate::{files, folder, journal, judge, messages, port, sigma, trust};

/// Something to fuzz.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: that of its folder in `tests/regressions`.
    pub name: &'static str,
    /// What it does with an input, in a line.
    pub about: &'static str,
    /// Panics when something does not hold for this input.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words that inputs are made of, where that is text.
    pub words: &'static [&'static str],
    /// The longest input worth trying, in bytes.
    pub longest: usize,
    /// Runs the built driver: there is nothing to run where it was not built.
    pub needs_driver: bool,
}

impl Target {
    /// A target over plain code, with inputs of up to 4 KB and no seeds.
    pub(crate) const fn new(name: &'static str, about: &'static str, run: fn(&[u8])) -> Self {
        let seeds = Vec::new;
        Self { name, about, run, seeds, words: &[], longest: 4_096, needs_driver: false }
    }

    pub(crate) const fn seeds(self, seeds: fn() -> Vec<Vec<u8>>) -> Self {
        Self { seeds, ..self }
    }

    pub(crate) const fn words(self, words: &'static [&'static str]) -> Self {
        Self { words, ..self }
    }

    pub(crate) const fn longest(self, longest: usize) -> Self {
        Self { longest, ..self }
    }

    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(crate) const fn on_driver(self) -> Self {
        Self { needs_driver: true, ..self }
    }
}

/// Every target that this machine can run.
pub fn targets() -> Vec<Target> {
    let lists: &[&[Target]] = &[
        files::TARGETS,
        judge::TARGETS,
        sigma::TARGETS,
        trust::TARGETS,
        journal::TARGETS,
        messages::TARGETS,
        folder::TARGETS,
        port::TARGETS,
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        crate::driver::TARGETS,
    ];
    lists.concat()
}

/// The target with this name.
pub fn find(name: &str) -> Option<Target> {
    targets().into_iter().find(|target| target.name == name)
}
