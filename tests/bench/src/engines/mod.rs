//! The engines, behind one trait.
//!
//! | engine | what it is given |
//! |---|---|
//! | `saker` | UTF-16 as the kernel has it, any case |
//! | `vectorscan` | bytes in any case, patterns marked caseless: quicker here than lower-cased bytes |
//! | `regex-set`, `aho-corasick-*`, `hybrid`, `naive` | bytes in small letters, made before the clock starts |
//! | `rsigma`, `sigma-rust`, `tau` | strings in any case: these fold themselves |

mod aho;
#[allow(unsafe_code, reason = "a C library")]
mod hs;
mod hybrid;
pub mod naive;
mod regex_set;
mod rsigma;
pub mod saker;
mod sigma_rust;
mod tau;
mod vectorscan;

use aho_corasick::AhoCorasickKind;

pub use hs::version as vectorscan_version;

use crate::corpus::Corpus;
use crate::corpus::events::Prepared;
use crate::rule::RuleSet;

/// Something that tells which rules an event makes true.
pub trait Engine {
    /// Appends the numbers of the rules that are true, in any order.
    fn judge(&mut self, event: &Prepared<'_>, matched: &mut Vec<u32>);

    /// Bytes that the engine keeps outside the heap that is counted.
    fn foreign_memory(&self) -> usize {
        0
    }
}

/// The row that all ratios refer to.
pub const REFERENCE: &str = "vectorscan";

/// An engine's name and how to make it.
pub struct Kind {
    /// Its short name, for the command line.
    pub name: &'static str,
    /// Its name in tables.
    pub title: &'static str,
    /// Makes the engine.
    pub build: Build,
}

/// Makes an engine, from the rules' text or from their atoms.
type Build = fn(&Corpus, &RuleSet) -> Result<Box<dyn Engine>, String>;

/// Every engine.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "saker",
        title: "Saker, both fields scanned",
        build: |corpus, _| Ok(Box::new(saker::Saker::new(&saker::file(corpus)?)?)),
    },
    Kind {
        name: "saker-kept",
        title: "Saker, image kept per process",
        build: |corpus, _| Ok(Box::new(saker::SakerKept::new(&saker::file(corpus)?)?)),
    },
    Kind {
        name: "vectorscan",
        title: "Vectorscan",
        build: |_, set| Ok(Box::new(vectorscan::Vectorscan::new(set)?)),
    },
    Kind {
        name: "aho-corasick-dfa",
        title: "aho-corasick DFA + map",
        build: |_, set| Ok(Box::new(aho::Aho::new(set, AhoCorasickKind::DFA)?)),
    },
    Kind {
        name: "aho-corasick-nfa",
        title: "aho-corasick NFA + map",
        build: |_, set| Ok(Box::new(aho::Aho::new(set, AhoCorasickKind::ContiguousNFA)?)),
    },
    Kind {
        name: "hybrid",
        title: "regex-automata lazy DFA",
        build: |_, set| Ok(Box::new(hybrid::Hybrid::new(set)?)),
    },
    Kind {
        name: "regex-set",
        title: "regex::RegexSet",
        build: |_, set| Ok(Box::new(regex_set::Sets::new(set)?)),
    },
    Kind {
        name: "rsigma",
        title: "rsigma-eval",
        build: |corpus, _| Ok(Box::new(rsigma::Rsigma::new(corpus)?)),
    },
    Kind { name: "tau", title: "tau-engine", build: |_, set| Ok(Box::new(tau::Tau::new(set)?)) },
    Kind {
        name: "sigma-rust",
        title: "sigma-rust",
        build: |corpus, _| Ok(Box::new(sigma_rust::SigmaRust::new(corpus)?)),
    },
    Kind {
        name: "naive",
        title: "naive loop",
        build: |_, set| Ok(Box::new(naive::Naive::new(set))),
    },
];
