//! A finding: what, how bad, where, why and what to do.

use std::fmt;
use std::sync::Arc;

use channel_format::ruleset::Action;
use miette::{Diagnostic, LabeledSpan, SourceCode};

use super::place;
use crate::error::RuleError;
use crate::source::SourceRule;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The rule cannot work, or must not go out.
    Error,
    /// The rule works, but hardly as its author wants.
    Warning,
    /// Something that a reader misses.
    Note,
}

impl Severity {
    /// Each, the worst first.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Note];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident = $name:literal;)+) => {
        /// The kinds of findings. Their names are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $code,)+
        }

        impl Code {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$code,)+];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)+
                }
            }

            /// What it means.
            pub const fn doc(self) -> &'static str {
                match self {
                    $(Self::$code => concat!($($doc,)+).trim_ascii(),)+
                }
            }
        }
    };
}

codes! {
    /// The rule, or its file, has a mistake and cannot be built.
    Wrong = "wrong";
    /// The rule asks for what there is not yet, and cannot be built.
    Unsupported = "unsupported";
    /// No event can match the rule.
    NeverMatches = "never-matches";
    /// A value can never have an effect.
    DeadValue = "dead-value";
    /// Another rule matches the same events.
    Duplicate = "duplicate";
    /// Another rule matches each event that this one matches.
    Shadowed = "shadowed";
    /// The rule matches an event of the baseline.
    FiresOnBaseline = "fires-on-baseline";
    /// The rule must be judged for every event.
    EveryEvent = "judged-for-every-event";
    /// A pattern comes near the limits of what can be built.
    RegexNearLimit = "regex-near-limit";
    /// The rule's status is deprecated or unsupported.
    Retired = "retired";
    /// The rule has no description.
    MissingDescription = "missing-description";
    /// The rule has no references.
    MissingReferences = "missing-references";
    /// The rule has no level.
    MissingLevel = "missing-level";
    /// The rule has no tag of an ATT&CK technique.
    MissingTechnique = "missing-technique";
    /// The rule lacks an example that it matches, or one that it does not.
    MissingExamples = "missing-examples";
    /// The rule has no author.
    MissingAuthor = "missing-author";
    /// The rule has no date.
    MissingDate = "missing-date";
}

/// One finding about one rule.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The kind.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// The rule's id; empty if it is not known.
    pub id: String,
    /// The rule's title; empty if a whole file is meant.
    pub title: String,
    /// Where, why, and what to do.
    pub fault: RuleError,
}

impl Finding {
    /// A rule that matches events of a log that holds none of what it is for. `first` says which
    /// event was the first.
    pub fn on_baseline(rule: &SourceRule, hits: u64, first: &str) -> Self {
        let severity = match rule.action {
            Action::Block => Severity::Error,
            Action::Detect => Severity::Warning,
        };
        let times = if hits == 1 { "once".to_owned() } else { format!("{hits} times") };
        let reason = format!("it matches the baseline {times}, first {first}");
        let help = "exclude what is ordinary with a filter: `selection and not filter`";
        Self::about(rule, Code::FiresOnBaseline, severity, "detection", reason, help)
    }

    /// A finding at the first place of a word in the rule, what it detects before the rest, else at
    /// its title.
    pub(super) fn about(
        rule: &SourceRule,
        code: Code,
        severity: Severity,
        word: &str,
        reason: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let span = place::detected(rule, word)
            .or_else(|| place::word(rule, word))
            .or_else(|| place::word(rule, "title"));
        let fault = RuleError::new(&rule.file, Arc::clone(&rule.text), span, reason, help);
        Self { code, severity, id: rule.id.clone(), title: rule.title.clone(), fault }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(out)
    }
}

impl std::error::Error for Finding {}

impl Diagnostic for Finding {
    fn code(&self) -> Option<Box<dyn fmt::Display + '_>> {
        Some(Box::new(self.code.name()))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        })
    }

    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        self.fault.help()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.fault.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.fault.labels()
    }
}
