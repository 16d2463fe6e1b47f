//! What the filter manager's library says, in the driver's own words.
//!
//! A driver answers with an `NTSTATUS`; `fltlib` turns that into a Win32 error and the error into an
//! `HRESULT`. What a user is told goes by the first of these.

/// `HRESULT_FROM_WIN32` of anything.
const OF_WIN32: u32 = 0x8007_0000;

/// The `NTSTATUS` that became this `HRESULT`, where it is one that is told apart; else the
/// `HRESULT` itself.
pub const fn nt_status(hresult: u32) -> u32 {
    if hresult & 0xFFFF_0000 != OF_WIN32 {
        return hresult;
    }
    match hresult & 0xFFFF {
        // ERROR_FILE_NOT_FOUND: STATUS_OBJECT_NAME_NOT_FOUND
        2 => 0xC000_0034,
        // ERROR_ACCESS_DENIED: STATUS_ACCESS_DENIED
        5 => 0xC000_0022,
        // ERROR_BUSY: STATUS_DEVICE_BUSY
        170 => 0x8000_0011,
        // ERROR_CONNECTION_COUNT_LIMIT: STATUS_CONNECTION_COUNT_LIMIT
        1238 => 0xC000_0246,
        _ => hresult,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{DeviceError, NO_PORT};

    #[test]
    fn what_is_told_apart_is_told_apart() {
        assert_eq!(nt_status(0x8007_0002), NO_PORT);
        let full = DeviceError::Connect { status: nt_status(0x8007_04D6) };
        assert!(full.is_passing() && full.to_string().contains("as many clients"), "{full}");
        let denied = DeviceError::Connect { status: nt_status(0x8007_0005) };
        assert!(!denied.is_passing() && denied.remedy().contains("administrator"), "{denied}");
        let busy = DeviceError::Refused { status: nt_status(0x8007_00AA) };
        assert!(busy.remedy().contains("wait"), "{busy}");
    }

    #[test]
    fn anything_else_stays_what_it_is() {
        for hresult in [0, 0x8007_0057, 0x801F_0005, 0xC000_0034, 0x0000_0002] {
            assert_eq!(nt_status(hresult), hresult);
        }
    }
}
