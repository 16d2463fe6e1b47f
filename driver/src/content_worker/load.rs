//! Makes rules of a file's bytes: the header first, and the body only of a file that is signed.

use channel_format::control::{Control, Trust};
use channel_format::frame::{self, Signed};
use channel_format::limits::HEADER_LEN;
use channel_format::ruleset::Ruleset;
use channel_format::schema::SensorProfile;
use driver_core::inbox;

use super::Outcome;
use super::control::Obeyed;
use crate::ffi::io::File;
use crate::ffi::pool::{PoolSlice, Tag};
use crate::ffi::status::NtStatus;
use crate::sensor::Sensor;

/// What says whose files are taken: the anchor, and channel 0 where there is one.
///
/// # Errors
/// What is wrong with the anchor.
pub(super) fn trust<'a>(
    sensor: &'a Sensor,
    obeyed: &'a Obeyed,
) -> Outcome<Trust<'a, PoolSlice<u8>>> {
    let anchor = sensor.anchor.as_ref().map_err(|refusal| *refusal)?;
    Ok(Trust { anchor, control: obeyed.control.as_ref() })
}

/// A file whose header is signed by a key that may.
pub(super) struct SignedFile<'l> {
    file: File<'l>,
    /// What its header says.
    pub signed: Signed,
    head: PoolSlice<u8>,
    size: usize,
}

impl<'l> SignedFile<'l> {
    /// Reads the file's header and checks its signatures. Memory for the body comes later, and only
    /// to a signed file.
    pub(super) fn read(trust: &Trust<'_, PoolSlice<u8>>, file: File<'l>) -> Outcome<Self> {
        let size = inbox::plain_size(&file.facts()?)?;
        let size = usize::try_from(size).map_err(|_| NtStatus::NO_RESOURCES)?;
        let mut head = PoolSlice::zeroed(size.min(HEADER_LEN), Tag::Content)?;
        file.read(0, &mut head)?;
        let signed = frame::verify(&head, trust)?;
        Ok(Self { file, signed, head, size })
    }

    /// Bytes of the file.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// Reads the rest of the file and makes rules of it. They still lie in paged memory.
    pub(super) fn rules(self) -> Outcome<Ruleset<PoolSlice<u8>>> {
        Ok(Ruleset::parse(self.verified()?, &SensorProfile::CURRENT)?)
    }

    /// The same for what root keys say.
    pub(super) fn control(self) -> Outcome<Control<PoolSlice<u8>>> {
        Ok(Control::parse(self.verified()?)?)
    }

    fn verified(self) -> Outcome<frame::Verified<PoolSlice<u8>>> {
        let mut bytes = PoolSlice::paged(self.size, Tag::Content)?;
        // The header is the one whose signatures were checked, whatever the file says by now.
        for (to, from) in bytes.iter_mut().zip(self.head.iter()) {
            *to = *from;
        }
        let offset = u64::try_from(HEADER_LEN).map_err(|_| NtStatus::WRONG_TYPE)?;
        self.file.read(offset, bytes.get_mut(HEADER_LEN..).unwrap_or(&mut []))?;
        Ok(self.signed.body(bytes)?)
    }
}

/// The same rules in memory that callbacks may read at any time. Not before they have passed
/// everything: what is refused has taken none of it.
pub(super) fn resident(rules: Ruleset<PoolSlice<u8>>) -> Outcome<Ruleset<PoolSlice<u8>>> {
    let mut bytes = PoolSlice::zeroed(rules.bytes().len(), Tag::Content)?;
    for (to, from) in bytes.iter_mut().zip(rules.bytes()) {
        *to = *from;
    }
    Ok(rules.over(bytes).ok_or(NtStatus::NO_RESOURCES)?)
}
