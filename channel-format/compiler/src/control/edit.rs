//! The next file of channel 0 from the one before: one change, or a refusal that says why it is none.
//!
//! Nothing here takes anything back but a halt: what was revoked stays revoked, and a key that
//! went does not come again.

use channel_format::control::{ChannelRule, ControlKey, RevokedRange};
use channel_format::frame::FileId;
use channel_format::signature::{KeyId, PublicKey, Role};
use miette::Diagnostic;
use thiserror::Error;

use super::ControlContent;
use crate::key_text::format_id;

/// Why a change makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
pub enum EditError {
    /// Channel 0 says that already.
    #[error("channel 0 says already that {0}, so there is nothing to change")]
    #[diagnostic(
        code(saker::control::unchanged),
        help("check with `sakerctl trust show` that this is the newest file of channel 0")
    )]
    Unchanged(String),
    /// Content channels begin at 1.
    #[error("channel 0 is not subject to itself")]
    #[diagnostic(
        code(saker::control::itself),
        help("name a channel of content; a newer file of channel 0 ends an older one by itself")
    )]
    Itself,
    /// The key is not named.
    #[error("channel 0 names no key {0}")]
    #[diagnostic(
        code(saker::control::unknown_key),
        help("`sakerctl trust show` lists the keys that it names")
    )]
    UnknownKey(String),
    /// The new key is there already, with these permissions or others.
    #[error("channel 0 names the key {0} already")]
    #[diagnostic(
        code(saker::control::known_key),
        help(
            "make a new pair with `sakerctl content keygen`: a key that goes must not come again"
        )
    )]
    KnownKey(String),
    /// A root key signs channel 0 and is not named in it.
    #[error("the new key is a root key, which signs channel 0 itself")]
    #[diagnostic(code(saker::control::root), help("give the public half of a content key"))]
    Root,
    /// The new key's epochs do not follow the old one's first.
    #[error(
        "the new key's epochs are {first} to {last}, and the old key signs from epoch {old} on"
    )]
    #[diagnostic(
        code(saker::control::epoch),
        help("give the new key epochs from {} on: only a higher epoch ends the old key's files", .old + 1)
    )]
    Epoch {
        /// The new key's first epoch.
        first: u32,
        /// Its last one.
        last: u32,
        /// The old key's first epoch.
        old: u32,
    },
    /// The new key does not cover a channel that the old one signed.
    #[error("the old key signs channels {}-{}, the new one {}-{}", .old.0, .old.1, .new.0, .new.1)]
    #[diagnostic(
        code(saker::control::channels),
        help("give a key whose channels hold those of the old one")
    )]
    Channels {
        /// The old key's channels.
        old: (u32, u32),
        /// The new key's channels.
        new: (u32, u32),
    },
    /// No channel is known for which the stolen key's files are to end.
    #[error("nothing says of which channels the stolen key's files end")]
    #[diagnostic(
        code(saker::control::no_channel),
        help("name each with --channel, such as --channel 291")
    )]
    NoChannel,
    /// The stolen key never signed that channel.
    #[error("the old key does not sign channel {0}")]
    #[diagnostic(
        code(saker::control::other_channel),
        help("name only channels that the stolen key signs")
    )]
    OtherChannel(u32),
}

/// One key in the place of another.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The key that goes.
    pub old: KeyId,
    /// The key that comes.
    pub new: PublicKey,
    /// The epochs in which it signs.
    pub epochs: (u32, u32),
    /// The old key is in other hands: it signs nothing any more, and the files of earlier epochs on
    /// these channels, and on those that channel 0 speaks of already, are over.
    pub stolen: Option<Vec<u32>>,
}

impl ControlContent {
    /// Revokes all sequences of an epoch up to one.
    ///
    /// # Errors
    /// They are revoked already.
    pub fn revoke_range(&mut self, range: RevokedRange) -> Result<(), EditError> {
        let RevokedRange { channel, epoch, through } = range;
        if channel == 0 {
            return Err(EditError::Itself);
        }
        let least = self.channels.iter().find(|rule| rule.channel == channel);
        if let Some(rule) = least.filter(|rule| epoch < rule.least_epoch) {
            let text = format!("channel {channel} begins at epoch {}", rule.least_epoch);
            return Err(EditError::Unchanged(text));
        }
        let same = |known: &&mut RevokedRange| (known.channel, known.epoch) == (channel, epoch);
        match self.ranges.iter_mut().find(same) {
            Some(known) if through <= known.through => Err(EditError::Unchanged(format!(
                "of channel {channel}, epoch {epoch} all up to sequence {} is revoked",
                known.through
            ))),
            Some(known) => {
                known.through = through;
                Ok(())
            }
            None => {
                self.ranges.push(range);
                Ok(())
            }
        }
    }

    /// Revokes one file.
    ///
    /// # Errors
    /// It is revoked already.
    pub fn revoke_file(&mut self, file: FileId) -> Result<(), EditError> {
        if self.files.contains(&file) {
            let id: String = file.0.iter().map(|byte| format!("{byte:02x}")).collect();
            return Err(EditError::Unchanged(format!("the file {id} is revoked")));
        }
        self.files.push(file);
        Ok(())
    }

    /// Lets nothing new in on a channel, or ends that.
    ///
    /// # Errors
    /// It is so already.
    pub fn halt(&mut self, channel: u32, halted: bool) -> Result<(), EditError> {
        let rule = self.rule_of(channel)?;
        if rule.halted == halted {
            let word = if halted { "is halted" } else { "is not halted" };
            return Err(EditError::Unchanged(format!("channel {channel} {word}")));
        }
        rule.halted = halted;
        Ok(())
    }

    /// Puts one key in the place of another.
    ///
    /// # Errors
    /// What about it makes no sense. Nothing has changed then.
    pub fn rotate(&mut self, rotation: &Rotation) -> Result<(), EditError> {
        let Rotation { old, new, epochs: (first, last), stolen } = rotation;
        let old = self.keys.iter().position(|known| known.key.id() == *old).ok_or_else(|| {
            // Named as `trust show` prints it.
            EditError::UnknownKey(format_id(*old))
        })?;
        if new.role != Role::Content {
            return Err(EditError::Root);
        }
        if self.keys.iter().any(|known| known.key.bytes == new.bytes) {
            return Err(EditError::KnownKey(format_id(new.id())));
        }
        let ControlKey { key, first_epoch, .. } = self.keys[old];
        if *first <= first_epoch || first > last {
            return Err(EditError::Epoch { first: *first, last: *last, old: first_epoch });
        }
        if new.first_channel > key.first_channel || new.last_channel < key.last_channel {
            return Err(EditError::Channels {
                old: (key.first_channel, key.last_channel),
                new: (new.first_channel, new.last_channel),
            });
        }
        match stolen {
            None => {
                let known = &mut self.keys[old];
                known.last_epoch = known.last_epoch.min(first - 1);
            }
            Some(named) => {
                if let Some(other) = named.iter().find(|channel| !key.covers(**channel)) {
                    return Err(EditError::OtherChannel(*other));
                }
                let spoken = self.channels.iter().map(|rule| rule.channel);
                let mut over: Vec<u32> = spoken.filter(|channel| key.covers(*channel)).collect();
                over.extend(named);
                if over.is_empty() {
                    return Err(EditError::NoChannel);
                }
                for channel in over {
                    let rule = self.rule_of(channel)?;
                    rule.least_epoch = rule.least_epoch.max(*first);
                    let least = rule.least_epoch;
                    // What is behind the least epoch needs no word of its own.
                    self.ranges.retain(|range| range.channel != channel || range.epoch >= least);
                }
                self.keys.remove(old);
            }
        }
        self.keys.push(ControlKey { key: *new, first_epoch: *first, last_epoch: *last });
        Ok(())
    }

    /// What is said of a channel; made if nothing was.
    fn rule_of(&mut self, channel: u32) -> Result<&mut ChannelRule, EditError> {
        if channel == 0 {
            return Err(EditError::Itself);
        }
        let at = self.channels.iter().position(|rule| rule.channel == channel);
        let at = at.unwrap_or_else(|| {
            self.channels.push(ChannelRule { channel, ..ChannelRule::default() });
            self.channels.len() - 1
        });
        Ok(&mut self.channels[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    fn key(seed: u8, channels: std::ops::RangeInclusive<u32>) -> PublicKey {
        SecretKey::from_seed([seed; 32], Role::Content, false, channels).unwrap().public
    }

    fn content() -> ControlContent {
        let keys = vec![
            ControlKey { key: key(1, 1..=500), first_epoch: 1, last_epoch: 3 },
            ControlKey { key: key(2, 7..=7), first_epoch: 1, last_epoch: 9 },
        ];
        ControlContent { keys, ..ControlContent::default() }
    }

    fn rotation() -> Rotation {
        let (old, new) = (key(1, 1..=500).id(), key(3, 1..=500));
        Rotation { old, new, epochs: (3, 5), stolen: None }
    }

    #[test]
    fn a_key_that_gets_old_ends_where_the_next_begins() {
        let mut edited = content();
        edited.rotate(&rotation()).unwrap();
        let epochs: Vec<_> =
            edited.keys.iter().map(|key| (key.first_epoch, key.last_epoch)).collect();
        assert_eq!(epochs, [(1, 2), (1, 9), (3, 5)]);
        assert!(edited.channels.is_empty(), "what it signed stays in force");
    }

    #[test]
    fn a_stolen_key_goes_and_so_does_what_it_signed() {
        let mut edited = content();
        let range = |channel, epoch| RevokedRange { channel, epoch, through: 4 };
        for (channel, epoch) in [(291, 2), (291, 3), (9, 1)] {
            edited.revoke_range(range(channel, epoch)).unwrap();
        }
        edited.halt(8, true).unwrap();
        edited.halt(600, true).unwrap();
        edited.rotate(&Rotation { stolen: Some(vec![291]), ..rotation() }).unwrap();
        assert!(!edited.keys.iter().any(|known| known.key == key(1, 1..=500)));
        let least: Vec<_> =
            edited.channels.iter().map(|rule| (rule.channel, rule.least_epoch)).collect();
        assert_eq!(least, [(8, 3), (600, 0), (291, 3)], "600 was never that key's");
        assert_eq!(edited.ranges, [range(291, 3), range(9, 1)]);
        assert!(edited.channels[0].halted);
    }

    #[test]
    fn a_rotation_that_makes_no_sense_changes_nothing() {
        let good = rotation();
        let root = SecretKey::from_seed([9; 32], Role::Root, false, 0..=0).unwrap().public;
        let stolen = |channels: &[u32]| Rotation { stolen: Some(channels.into()), ..good.clone() };
        let cases = [
            (Rotation { old: key(5, 1..=2).id(), ..good.clone() }, "names no key"),
            // The same key with other permissions is another id and the same secret.
            (Rotation { new: key(1, 1..=600), ..good.clone() }, "already"),
            (Rotation { new: key(2, 1..=600), ..good.clone() }, "already"),
            (Rotation { new: root, ..good.clone() }, "root key"),
            (Rotation { epochs: (1, 5), ..good.clone() }, "from epoch 1 on"),
            (Rotation { epochs: (5, 4), ..good.clone() }, "5 to 4"),
            (Rotation { new: key(3, 2..=500), ..good.clone() }, "channels 1-500"),
            (Rotation { new: key(3, 1..=499), ..good.clone() }, "channels 1-500"),
            (stolen(&[]), "of which channels"),
            (stolen(&[501]), "channel 501"),
            (stolen(&[0]), "channel 0"),
        ];
        for (rotation, words) in cases {
            let mut edited = content();
            let error = edited.rotate(&rotation).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.help().is_some());
            assert_eq!(edited, content(), "{error}");
        }
    }

    #[test]
    fn revocations_only_grow() {
        let mut edited = content();
        let range = |through| RevokedRange { channel: 291, epoch: 1, through };
        edited.revoke_range(range(5)).unwrap();
        assert!(matches!(edited.revoke_range(range(5)), Err(EditError::Unchanged(_))));
        assert!(matches!(edited.revoke_range(range(4)), Err(EditError::Unchanged(_))));
        edited.revoke_range(range(6)).unwrap();
        assert_eq!(edited.ranges, [range(6)]);
        let itself = RevokedRange { channel: 0, ..range(1) };
        assert_eq!(edited.revoke_range(itself), Err(EditError::Itself));

        edited.revoke_file(FileId([7; 32])).unwrap();
        let again = edited.revoke_file(FileId([7; 32])).unwrap_err();
        assert!(again.to_string().contains("0707"), "{again}");
        assert_eq!(edited.files.len(), 1);

        edited.channels.push(ChannelRule { channel: 291, least_epoch: 2, ..Default::default() });
        let behind = edited.revoke_range(range(9)).unwrap_err();
        assert!(behind.to_string().contains("begins at epoch 2"), "{behind}");
    }

    #[test]
    fn a_halt_begins_and_ends_once() {
        let mut edited = content();
        assert!(matches!(edited.halt(291, false), Err(EditError::Unchanged(_))));
        edited.halt(291, true).unwrap();
        assert!(matches!(edited.halt(291, true), Err(EditError::Unchanged(_))));
        edited.halt(291, false).unwrap();
        assert!(!edited.channels[0].halted);
        assert_eq!(edited.halt(0, true), Err(EditError::Itself));
    }
}
