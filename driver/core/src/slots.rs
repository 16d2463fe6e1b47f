//! Where accepted content lies, and in what order a boot looks for it.
//!
//! Accepted bytes live in three slots of the state folder. A boot reads slots only, never the
//! inbox, and serves only what was already good: `good`, else `previous`. Content on trial goes
//! back to the inbox's queue and earns its place again.

/// One place for accepted content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Accepted, and not yet good.
    Trial,
    /// Good: serves at boot.
    Good,
    /// What was good before: serves when `good` cannot.
    Previous,
}

impl Slot {
    /// The slot's file name in the state folder.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Trial => "trial.sys",
            Self::Good => "good.sys",
            Self::Previous => "previous.sys",
        }
    }
}

/// The ladder a boot goes down.
pub const BOOT_ORDER: [Slot; 2] = [Slot::Good, Slot::Previous];

/// The renames that make content on trial good, in order. A power cut after any of them leaves
/// `good` or `previous` whole, so a boot never finds nothing where there was something.
pub const PROMOTION: [(Slot, Slot); 2] = [(Slot::Good, Slot::Previous), (Slot::Trial, Slot::Good)];

/// The same when what is in `good` is not to be kept: what is in `previous` stays.
pub const REPLACEMENT: [(Slot, Slot); 1] = [(Slot::Trial, Slot::Good)];

/// The renames that put good content aside which serves no boot any more: it is on trial again, and
/// what was good before it is good. A power cut after the first leaves `previous` to serve.
pub const DEMOTION: [(Slot, Slot); 2] = [(Slot::Good, Slot::Trial), (Slot::Previous, Slot::Good)];

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_power_cut_during_promotion_leaves_good_content() {
        for had_good in [false, true] {
            for cut in 0..=PROMOTION.len() {
                let mut disk = HashMap::from([("trial.sys", "new")]);
                if had_good {
                    disk.insert("good.sys", "old");
                    disk.insert("previous.sys", "older");
                }
                for (from, to) in &PROMOTION[..cut] {
                    if let Some(content) = disk.remove(from.file_name()) {
                        disk.insert(to.file_name(), content);
                    }
                }
                let boots = BOOT_ORDER.iter().find_map(|slot| disk.get(slot.file_name()));
                let expected = match (had_good, cut) {
                    (_, 2) => Some(&"new"),
                    (true, _) => Some(&"old"),
                    (false, _) => None,
                };
                assert_eq!(boots, expected, "had good {had_good}, cut after {cut}");
            }
        }
    }
}
