//! Remembers why a file did not come into force, for the status and for the next look.

use channel_format::frame::{FileId, Signed};
use channel_format::name::ChannelName;
use channel_format::signature::KeyId;
use driver_abi::{Cause, RefusalNote};
use driver_core::inbox::{Candidate, worse_refusal};

use super::Failure;
use super::control::CONTROL_CHANNEL;
use super::desk::Desk;
use crate::ffi::status::NtStatus;
use crate::sensor::Sensor;

/// What a signed header says a file is; nothing before it has been read.
#[derive(Clone, Copy, Default)]
pub(super) struct Names {
    pub file: Option<FileId>,
    pub key: Option<KeyId>,
}

impl Names {
    pub(super) const fn of(signed: &Signed) -> Self {
        Self { file: Some(signed.id), key: Some(signed.signer) }
    }
}

impl Desk {
    /// Tells why a file of the inbox did not come into force, and remembers one that need not be
    /// read again.
    #[inline(never)]
    pub(super) fn note(
        &mut self,
        sensor: &Sensor,
        candidate: &Candidate,
        failure: &Failure,
        names: &Names,
    ) {
        if matches!(failure, Failure::NotNewer) {
            self.ignored.insert(candidate.stamp);
        }
        // What the host could not do is tried again; the rest changes only with its stamp, and
        // keeps its place from others meanwhile.
        if self.tell_refused(sensor, &candidate.name, failure, names) {
            self.ignored.insert(candidate.stamp);
        }
    }

    /// Tells it of any file; true when the file itself is refused, and not for a time only.
    pub(super) fn tell_refused(
        &self,
        sensor: &Sensor,
        name: &ChannelName,
        failure: &Failure,
        names: &Names,
    ) -> bool {
        let mut facts = sensor.content.lock();
        let note = note_of(name, failure, names);
        let of_control = name.channel == CONTROL_CHANNEL;
        let standing = if of_control { &mut facts.trust.refusal } else { &mut facts.refusal };
        let Some(note) = note else {
            let same = (standing.epoch, standing.sequence) == (name.epoch, name.sequence);
            if matches!(failure, Failure::NotNewer) && same {
                *standing = RefusalNote::default();
            }
            return false;
        };
        *standing = worse_refusal(standing, &note);
        if note.cause.passes() {
            return false;
        }
        facts.refused = facts.refused.saturating_add(1);
        true
    }
}

fn note_of(name: &ChannelName, failure: &Failure, names: &Names) -> Option<RefusalNote> {
    let note = RefusalNote {
        epoch: name.epoch,
        sequence: name.sequence,
        file: names.file.and_then(|id| id.0.first_chunk().copied()).unwrap_or_default(),
        key: names.key.map_or([0; 16], |key| key.0),
        ..RefusalNote::default()
    };
    Some(match failure {
        // The next look goes on with it; or there is nothing to tell.
        Failure::Later | Failure::NotNewer => return None,
        Failure::Refused(refusal) => RefusalNote {
            code: refusal.code.number(),
            offset: refusal.offset,
            expected: refusal.expected,
            found: refusal.found,
            ..note
        },
        Failure::Host(status) => {
            RefusalNote { host_status: status.number(), cause: cause(*status), ..note }
        }
        Failure::InTheWay(cause) => RefusalNote {
            host_status: match cause {
                Cause::Struck => RefusalNote::STRUCK,
                Cause::Waits => RefusalNote::WAITS,
                _ => NtStatus::WRONG_TYPE.number(),
            },
            cause: *cause,
            ..note
        },
    })
}

/// What the kernel's status means for a file.
const fn cause(status: NtStatus) -> Cause {
    match status {
        NtStatus::SHARING_VIOLATION => Cause::Held,
        NtStatus::IO_TIMEOUT => Cause::Slow,
        _ => Cause::Host,
    }
}
