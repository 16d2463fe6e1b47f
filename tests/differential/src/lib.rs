//! Differential tests: compiled channel files against two other ways to judge the same rules.
//!
//! # Use case
//! `cargo test -p differential` judges some thousand pairs of a rule and an event;
//! `cargo xtask fuzz --differential` judges millions.

pub mod batch;
pub mod choices;
pub mod compiled;
pub mod event;
pub mod fields;
pub mod item;
mod regex;
pub mod rule;
mod shrink;
pub mod sigma;
pub mod value;
pub mod words;

/// What compiled files are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The naive reference: three truth values, everything that rules may say.
    Naive,
    /// `rsigma-eval`: two truth values, and what both mean alike.
    Sigma,
}

impl Side {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::Sigma => "sigma",
        }
    }
}
