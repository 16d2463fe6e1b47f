//! Who may open what the driver makes.

use core::ptr;

use super::bindings as nt;
use super::status::{Result, check};

/// A security descriptor that lets SYSTEM and administrators in, and nobody else.
pub struct Security {
    descriptor: nt::PSECURITY_DESCRIPTOR,
}

impl Security {
    /// Full access is what `access` says.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    pub fn system_and_administrators(access: u32) -> Result<Self> {
        let mut descriptor: nt::PSECURITY_DESCRIPTOR = ptr::null_mut();
        // SAFETY: the pointer is to a local; PASSIVE_LEVEL.
        check(unsafe { nt::FltBuildDefaultSecurityDescriptor(&raw mut descriptor, access) })?;
        Ok(Self { descriptor })
    }

    pub(super) const fn as_ptr(&self) -> nt::PSECURITY_DESCRIPTOR {
        self.descriptor
    }
}

impl Drop for Security {
    fn drop(&mut self) {
        // SAFETY: the descriptor was built by the matching call and is not used again;
        // PASSIVE_LEVEL.
        unsafe { nt::FltFreeSecurityDescriptor(self.descriptor) };
    }
}
