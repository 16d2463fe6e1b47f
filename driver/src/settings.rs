//! What the service parameters ask of the sensor.

use driver_abi::Settings as Refused;
use driver_core::settings::{Found, Meaning, Parameters as AsFound, Switch};

use crate::ffi::pool::{PoolSlice, Tag};
use crate::ffi::registry::Parameters;
use crate::ffi::status::{NtStatus, Result};
use crate::ffi::sync::SECOND;
use crate::ffi::utf16;

/// What the service parameters ask, with defaults for what they leave out.
pub struct Settings {
    /// Off, or on in a mode.
    pub switch: Switch,
    /// Time between two looks into the inbox, in 100-nanosecond units.
    pub poll: u64,
    /// Protected processes are never blocked.
    pub exempt_protected: bool,
    /// The parameters that made no sense and have their defaults.
    pub refused: Refused,
    /// NT path of the folder that files are dropped into.
    pub inbox: PoolSlice<u16>,
    /// NT path of the folder that only the driver writes to.
    pub state: PoolSlice<u16>,
}

impl Settings {
    /// Reads the parameters below the service's key. What is missing or makes no sense has its
    /// default.
    ///
    /// # Errors
    /// The kernel's reason when they cannot be read: an off switch that cannot be read may be off,
    /// so the driver does not start then.
    pub fn read(service_key: &[u16]) -> Result<Self> {
        const ROOT: &[u16] = &utf16::<12>("\\SystemRoot\\");
        const INBOX: &[u16] = &utf16::<28>("System32\\drivers\\CrowdStrike");
        const STATE: &[u16] = &utf16::<22>("System32\\drivers\\Saker");

        let meaning = find(service_key)?.meaning();
        let Meaning { switch, poll_seconds, exempt_protected, directory, refused } = meaning;
        Ok(Self {
            switch,
            poll: u64::from(poll_seconds).saturating_mul(SECOND),
            exempt_protected,
            refused,
            inbox: PoolSlice::joined(&[ROOT, directory.as_deref().unwrap_or(INBOX)], Tag::Text)?,
            state: PoolSlice::joined(&[ROOT, STATE], Tag::Text)?,
        })
    }
}

fn find(service_key: &[u16]) -> Result<AsFound<PoolSlice<u16>>> {
    const MODE: &[u16] = &utf16::<4>("Mode");
    const POLL: &[u16] = &utf16::<11>("PollSeconds");
    const PROTECTED: &[u16] = &utf16::<15>("ExemptProtected");
    const DIRECTORY: &[u16] = &utf16::<16>("ContentDirectory");

    match Parameters::open(service_key) {
        Ok(key) => Ok(AsFound {
            mode: key.dword(MODE)?,
            poll_seconds: key.dword(POLL)?,
            exempt_protected: key.dword(PROTECTED)?,
            directory: key.string(DIRECTORY)?,
        }),
        Err(NtStatus::NOT_FOUND) => Ok(AsFound {
            mode: Found::Nothing,
            poll_seconds: Found::Nothing,
            exempt_protected: Found::Nothing,
            directory: Found::Nothing,
        }),
        Err(status) => Err(status),
    }
}
