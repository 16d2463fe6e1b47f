//! Every byte of the golden files changed to every other value, and every file cut at every byte.
//!
//! In front of the signature any change is refused. Behind it, with length, digest and signature made
//! good, a change is refused at a place of the file, or makes a file that judges as its programs say.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use channel_format::frame::{Header, verify};
use channel_format::limits::{HEADER_LEN, SIGNED_LEN};
use channel_format::ruleset::Bounds;
use channel_format::signature::sha512;

use crate::files::{exercise_one, lies_within};
use crate::golden::{self, CONTENT, CONTROL, golden, make_good, open};
use crate::{journal, messages, trust};

/// Which values a byte is changed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// All 255 others.
    All,
    /// One or two of them, which differ from place to place.
    Sample,
}

impl Depth {
    /// The other values for a byte.
    fn values(self, byte: u8, place: usize) -> impl Iterator<Item = u8> {
        let sample = [byte ^ 1 << (place % 8), [0, 0xff, 1, 0x80][place % 4]];
        let taken =
            move |value: &u8| *value != byte && (self == Self::All || sample.contains(value));
        (0..=u8::MAX).filter(taken)
    }
}

/// What was changed, and how it was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    rows: Vec<(String, u64, u64)>,
}

impl Report {
    /// How many changes there were.
    pub fn changes(&self) -> u64 {
        self.rows.iter().map(|(_, changes, _)| changes).sum()
    }

    /// How many made something that is accepted.
    pub fn accepted(&self) -> u64 {
        self.rows.iter().map(|(_, _, accepted)| accepted).sum()
    }

    fn add(&mut self, what: impl Into<String>, (changes, accepted): (u64, u64)) {
        self.rows.push((what.into(), changes, accepted));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:<62} {:>9} {:>9}", "changed", "changes", "accepted")?;
        for (what, changes, accepted) in &self.rows {
            writeln!(out, "{what:<62} {changes:>9} {accepted:>9}")?;
        }
        write!(out, "{:<62} {:>9} {:>9}", "all", self.changes(), self.accepted())
    }
}

/// Changes everything. Panics with the place of the first change that something does not hold for.
pub fn every_byte(depth: Depth) -> Report {
    let mut report = Report::default();
    for name in CONTENT {
        let file = golden(name);
        report.add(format!("{name}, as it is"), in_front(&file, depth));
        report.add(format!("{name}, cut"), cut(&file));
        report.add(format!("{name}, behind the signature"), behind(&file, depth));
    }
    let control = golden(CONTROL);
    let signed = (8..SIGNED_LEN).chain(HEADER_LEN..control.len());
    report.add(
        format!("{CONTROL}, behind the signatures"),
        changed(&control, signed, depth, |file, _| {
            make_good(file);
            trust::check_control(file)
        }),
    );
    let anchor = golden("anchor.bin");
    let places = 0..anchor.len();
    report.add("anchor.bin", changed(&anchor, places, depth, |bytes, _| trust::anchor(bytes)));
    for (bytes, name) in messages::messages().iter().zip(messages::NAMES) {
        let places = 0..bytes.len();
        report.add(
            format!("message: {name}"),
            changed(bytes, places, depth, |bytes, _| messages::message(bytes)),
        );
    }
    for bytes in messages::requests() {
        let places = 0..bytes.len();
        report.add(
            format!("from a client: {} bytes", bytes.len()),
            changed(&bytes, places, depth, |bytes, _| messages::request(bytes)),
        );
    }
    let copies = journal::written();
    let places = 0..copies.len();
    report.add("journal", changed(&copies, places, depth, |bytes, _| journal::copies(bytes)));
    report
}

/// A file whose signature is not made good: any change is refused, also when the header was read and
/// verified before it changed.
fn in_front(file: &[u8], depth: Depth) -> (u64, u64) {
    let signed = verify(file, golden::anchor()).expect("a golden file");
    changed(file, 0..file.len(), depth, |changed, place| {
        if place < HEADER_LEN {
            // One signature more, by a key that nobody knows, takes nothing from the others.
            let is_count = place == SIGNED_LEN;
            let again = verify(changed, golden::anchor()).ok().map(|again| again.header);
            let holds = again.is_none() || is_count && again == Some(signed.header);
            assert!(holds, "byte {place} of the header");
        }
        let body = signed.clone().body(&*changed);
        lies_within(&body.err().unwrap_or_else(|| panic!("byte {place}")), file.len());
        false
    })
}

/// Cut at every byte, as it is and behind a good signature.
fn cut(file: &[u8]) -> (u64, u64) {
    let signed = verify(file, golden::anchor()).expect("a golden file");
    for end in 0..file.len() {
        let refusal = signed.clone().body(&file[..end]).err();
        lies_within(&refusal.unwrap_or_else(|| panic!("cut at {end}")), file.len());
        let mut cut = file[..end].to_vec();
        make_good(&mut cut);
        let refusal = open(&cut, golden::anchor()).err();
        lies_within(&refusal.unwrap_or_else(|| panic!("cut at {end}, and signed")), file.len());
    }
    (2 * file.len() as u64, 0)
}

/// Behind the signature: refused, or it judges as its programs say.
fn behind(file: &[u8], depth: Depth) -> (u64, u64) {
    let header = Header::parse(file).expect("a golden file");
    // The digest is made good in any case.
    let places = (8..88).chain(152..SIGNED_LEN).chain(HEADER_LEN..file.len());
    changed(file, places, depth, |changed, place| {
        // Most changes of a body are refused whatever the header says: signing can be saved.
        if place >= HEADER_LEN {
            let digest = sha512(&[&changed[HEADER_LEN..]]);
            let header = with_digest(&header, digest);
            if let Err(refusal) = Bounds::of_file(&header, changed) {
                lies_within(&refusal, file.len());
                return false;
            }
        }
        let length = changed[16..24].to_vec();
        make_good(changed);
        if changed[16..24] != length {
            // A wrong length is what was to be tried.
            changed[16..24].copy_from_slice(&length);
            let _ = channel_compiler::incident::resign(changed, golden::content_key());
        }
        match open(changed, golden::anchor()) {
            Ok(ruleset) => {
                exercise_one(&ruleset, changed, place);
                true
            }
            Err(refusal) => {
                lies_within(&refusal, file.len());
                false
            }
        }
    })
}

fn with_digest(header: &Header, digest: [u8; 64]) -> Header {
    Header { digest, ..*header }
}

/// Calls back with each change of a byte at one of the places, on every processor: how many there
/// were, and of how many it says that they were accepted.
fn changed(
    bytes: &[u8],
    places: impl Iterator<Item = usize>,
    depth: Depth,
    judge: impl Fn(&mut Vec<u8>, usize) -> bool + Sync,
) -> (u64, u64) {
    let places: Vec<usize> = places.collect();
    let (changes, accepted) = (AtomicU64::new(0), AtomicU64::new(0));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for first in 0..threads {
            let (places, changes, accepted, judge) = (&places, &changes, &accepted, &judge);
            scope.spawn(move || {
                for place in places.iter().copied().skip(first).step_by(threads) {
                    for value in depth.values(bytes[place], place) {
                        let mut changed = bytes.to_vec();
                        changed[place] = value;
                        let told = Told { place, value };
                        let was_accepted = judge(&mut changed, place);
                        std::mem::forget(told);
                        changes.fetch_add(1, Ordering::Relaxed);
                        accepted.fetch_add(was_accepted.into(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    (changes.into_inner(), accepted.into_inner())
}

/// Says which change it was, when something does not hold for it.
struct Told {
    place: usize,
    value: u8,
}

impl Drop for Told {
    fn drop(&mut self) {
        eprintln!("it was byte {} changed to {:#04x}", self.place, self.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_values_are_all_and_a_sample_is_some() {
        let all: Vec<u8> = Depth::All.values(7, 3).collect();
        assert_eq!((all.len(), all.contains(&7)), (255, false));
        for (byte, place) in [(0, 0), (0xff, 1), (9, 2)] {
            let sample = Depth::Sample.values(byte, place).count();
            assert!((1..=2).contains(&sample), "{sample}");
        }
    }

    #[test]
    fn a_change_that_does_not_hold_is_told() {
        let caught = std::panic::catch_unwind(|| {
            changed(&[1, 2], 0..2, Depth::All, |bytes, _| {
                assert!(bytes[1] != 9);
                true
            })
        });
        assert!(caught.is_err());
        assert_eq!(changed(&[1, 2], 0..2, Depth::All, |bytes, _| bytes[0] == 1), (510, 255));
    }
}
