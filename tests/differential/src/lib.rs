//! Differential tests: compiled channel files against two other ways to judge the same rules.
//!
//! # Use case
//! `cargo test -p differential` judges some thousand pairs of a rule and an event;
//! `cargo xtask fuzz --differential` judges millions, on all cores.
//!
//! # How
//! A [batch](mod@batch) has up to three hundred [rules](mod@rule), built into one file, and events
//! [aimed](mod@event) at them: texts that fit a value, and near misses. Everything follows from a seed and
//! the batch's number. A difference is told with both, after the rule has been made as plain and
//! the event as short as they still differ.
//!
//! # What is compared
//! * With `channel_compiler::naive`: three truth values, every field known, unknown or absent, lone
//!   surrogates, text at and beyond the longest, letters that ways of folding disagree on.
//! * With `rsigma-eval`, a Sigma engine by others: what is True there must be True here, and
//!   nothing may be unknown. It shares only the parser, `rsigma-parser`, of the same version.
//!   Where the two differ on purpose the generators keep away; each such case is in
//!   [`EXCEPTIONS`](exceptions::EXCEPTIONS) with its reason, and tested to be as it says there.
//!   For a pipe without a name that engine is given `<Anonymous Pipe>`, as Sysmon writes it.
//!
//! A rule that no event could be derived for, or none that it does not match, is refused by the
//! compiler: then the other judge may not say otherwise of any event.
//!
//! In both ways of giving inputs the verdicts must be the same, and the counts must be theirs.

pub mod batch;
pub mod choices;
pub mod compiled;
pub mod event;
pub mod exceptions;
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
