//! Event Tracing for Windows: the provider, and writing one event.
//!
//! A provider that cannot be registered tells nothing and stops nothing. It must be unregistered
//! before the driver's image goes (Driver Verifier: 0xC4, 0xDD); dropping it does that.

use core::ptr;

use driver_core::events::{Definition, PROVIDER_GUID, PROVIDER_TRAITS};

use super::bindings as nt;

/// A channel number that says: the event describes itself.
const CHANNEL_TRACELOGGING: u8 = 11;

/// What a data descriptor points to, in the low byte of its `Reserved`.
const VALUES: u32 = 0;
const EVENT_METADATA: u32 = 1;
const PROVIDER_METADATA: u32 = 2;

/// The registered provider, or none.
pub struct Provider {
    handle: Option<nt::REGHANDLE>,
}

impl Provider {
    /// Registers the provider. PASSIVE_LEVEL.
    pub fn register() -> Self {
        let guid = nt::GUID {
            Data1: PROVIDER_GUID.data1,
            Data2: PROVIDER_GUID.data2,
            Data3: PROVIDER_GUID.data3,
            Data4: PROVIDER_GUID.data4,
        };
        let mut handle: nt::REGHANDLE = 0;
        // SAFETY: the pointers are to locals, and no callback is given that could run; PASSIVE_LEVEL.
        let status =
            unsafe { nt::EtwRegister(&raw const guid, None, ptr::null_mut(), &raw mut handle) };
        if status < 0 {
            return Self { handle: None };
        }
        // Makes Windows heed the types of data descriptors; without it the name is still sent with
        // every event.
        // SAFETY: the provider is registered, and the traits are a constant of the length given,
        // which the kernel copies; PASSIVE_LEVEL.
        let _ = unsafe {
            nt::EtwSetInformation(
                handle,
                nt::EVENT_PROVIDER_SET_TRAITS,
                PROVIDER_TRAITS.as_ptr().cast_mut().cast(),
                length(&PROVIDER_TRAITS),
            )
        };
        Self { handle: Some(handle) }
    }

    /// True when somebody listens to events of this kind. Any IRQL.
    pub fn wants(&self, definition: &Definition) -> bool {
        self.handle.is_some_and(|handle| {
            // SAFETY: the provider is registered; any IRQL.
            unsafe {
                nt::EtwProviderEnabled(handle, definition.level.number(), definition.keyword) != 0
            }
        })
    }

    /// Writes one event whose values are laid out in `values`. Whoever listens gets it or loses it;
    /// there is nothing to do about the latter. PASSIVE_LEVEL.
    pub fn write(&self, definition: &'static Definition, values: &[u8]) {
        let Some(handle) = self.handle else {
            return;
        };
        let descriptor = nt::EVENT_DESCRIPTOR {
            Id: 0,
            Version: 0,
            Channel: CHANNEL_TRACELOGGING,
            Level: definition.level.number(),
            Opcode: 0,
            Task: 0,
            Keyword: definition.keyword,
        };
        let mut data = [
            describe(&PROVIDER_TRAITS, PROVIDER_METADATA),
            describe(definition.metadata, EVENT_METADATA),
            describe(values, VALUES),
        ];
        // SAFETY: the provider is registered; the descriptors say where constants and `values` are,
        // all of them nonpaged or read at PASSIVE_LEVEL, and the kernel only reads them; no activity
        // ids.
        let _ = unsafe {
            nt::EtwWriteTransfer(
                handle,
                &raw const descriptor,
                ptr::null(),
                ptr::null(),
                3,
                data.as_mut_ptr(),
            )
        };
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if let Some(handle) = self.handle {
            // SAFETY: the provider is registered and this is its only owner; PASSIVE_LEVEL.
            let _ = unsafe { nt::EtwUnregister(handle) };
        }
    }
}

fn describe(bytes: &[u8], kind: u32) -> nt::EVENT_DATA_DESCRIPTOR {
    nt::EVENT_DATA_DESCRIPTOR {
        Ptr: u64::try_from(bytes.as_ptr().expose_provenance()).unwrap_or(0),
        Size: length(bytes),
        Reserved: kind,
    }
}

/// A length as ETW takes it. An event is at most 64 KB; one of more than 4 GB does not exist, and
/// would be told empty.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(0)
}
