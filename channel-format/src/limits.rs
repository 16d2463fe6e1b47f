//! Every bound of the format in one place, each with its reason.
//!
//! A bound here is part of the format: raising one lets a file through that an older sensor
//! refuses, lowering one refuses a file that an older sensor serves.

/// Length of the fixed header: all that is read before a signature has been checked.
pub const HEADER_LEN: usize = 1024;
/// The part of the header that signatures cover; the rest of it holds the signatures.
pub const SIGNED_LEN: usize = 512;
/// Length of the `.anchor` section: room for twelve keys.
pub const ANCHOR_LEN: usize = 1024;
/// Length of the record in the `.profile` section: what a sensor says of itself.
pub const PROFILE_LEN: usize = 64;

/// Largest channel file.
pub const MAX_FILE: u32 = 16 * 1024 * 1024;
/// Largest file that a sensor takes: one in force lies in nonpaged memory as a whole, and for the
/// time of a swap there are two of them. 10,000 rules of the published kinds take 6 MB.
pub const MAX_ACTIVE: u32 = 8 * 1024 * 1024;
/// Channel, epoch and sequence are written with eight decimal digits in the file name.
pub const MAX_NAME_NUMBER: u32 = 99_999_999;

/// Signature slots in the header: a content file needs one, a root file a threshold of 2 of N.
pub const MAX_SIGNATURES: usize = 4;
/// Key records in an anchor, roots and content keys together.
pub const MAX_ANCHOR_KEYS: usize = 12;

/// Key records in channel 0: two a channel of ten, with one coming and one going.
pub const MAX_CONTROL_KEYS: u32 = 32;
/// Channel records in channel 0.
pub const MAX_CONTROL_CHANNELS: u32 = 16;
/// Revoked ranges in channel 0: one for each of the last epochs of each channel. Older ones are
/// behind the least epoch.
pub const MAX_REVOKED_RANGES: u32 = 64;
/// Files that channel 0 revokes one by one, which is for what a range cannot say.
pub const MAX_REVOKED_FILES: u32 = 64;

/// Rules in one file. Six times the 10,000 that the benchmarks use.
pub const MAX_RULES: u32 = 65_536;
/// Criteria in one file: what the 24-bit operand of a program instruction can name.
pub const MAX_CRITERIA: u32 = 1 << 24;
/// Instructions of one rule's program. Lists of a few thousand values occur in published rules; a
/// jump's 16 bits reach over twice as many.
pub const MAX_PROGRAM: u32 = 32_768;
/// Searched criteria that hold for an event which are kept; those beyond are compared by themselves
/// when a program asks. Everyday events have a few; names glued from rules' own literals some dozens.
pub const MAX_FOUND: usize = 32;
/// Regular expressions that run from their literal in an event; those beyond run over all of the text.
pub const MAX_RUNS: usize = 8;
/// Rules that one event may point to before it is judged by all.
pub const MAX_CANDIDATES: usize = 64;
/// Times that an event may be pointed to a rule before it is judged by all: each candidate many times.
pub const MAX_TRIGGERS: u16 = 2_048;
/// Code units of the longest text that is matched: longer inputs are Unknown to every criterion.
/// NPFS names are at most 256 units, and image paths beyond 1,024 do not occur in practice.
pub const MAX_TEXT_UNITS: u32 = 1_024;
/// Code units of one literal: a longer one could never match.
pub const MAX_LITERAL_UNITS: u32 = MAX_TEXT_UNITS;
/// Units that the longest security identifier takes: 8 bytes and 15 parts of 4.
pub const MAX_SID_UNITS: u32 = 34;
/// Bytes of one metadata text (identifier, title, tag, reference).
pub const MAX_META_TEXT: u32 = 2_048;
/// Tags, or references, of one rule.
pub const MAX_LIST: u32 = 256;

/// Automata in one file.
pub const MAX_AUTOMATA: u32 = 65_535;
/// States of one automaton: larger ones come from patterns that explode.
pub const MAX_STATES: u32 = 2_048;
/// Unit classes of one automaton: a class such as `\w`, which tells many scripts apart beyond the
/// basic plane, has some four hundred.
pub const MAX_CLASSES: u32 = 1_024;
/// Transitions of one automaton (512 KiB of table): half a nonpaged budget of 8 MB may not go to
/// fewer than eight patterns.
pub const MAX_TRANSITIONS: u32 = 262_144;

/// Examples in one file.
pub const MAX_EXAMPLES: u32 = 262_144;
/// Examples of one rule.
pub const MAX_RULE_EXAMPLES: u32 = 64;
/// Bytes of the examples section.
pub const MAX_EXAMPLES_LEN: u32 = 8 * 1024 * 1024;

/// Steps one event may cost. A step is one unit looked at, one literal found or one instruction: a
/// nanosecond or some. The worst event is one that every rule must be judged for and that brings more
/// literals than there is room for, so that each is looked for by itself; 10,000 rules of the published
/// kinds need three quarters of this, nearly all of it for a name and paths of 1,024 units.
pub const MAX_STEPS_PER_EVENT: u64 = 1 << 25;
/// Steps the self test of one load may cost, on a worker thread.
pub const MAX_STEPS_PER_LOAD: u64 = 1 << 28;
