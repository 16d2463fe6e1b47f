//! Where the members of filter manager structures lie.
//!
//! Most come from `windows-sys`. The metadata it is made from loses the `POINTER_ALIGNMENT` of
//! `FLT_PARAMETERS`, so the members of its `Create` and `CreatePipe` are given here.

use std::mem::offset_of;

use windows_sys::Wdk::Foundation::{ACCESS_STATE, FILE_OBJECT, IO_SECURITY_CONTEXT};
use windows_sys::Wdk::Storage::FileSystem::Minifilters::{
    FLT_CALLBACK_DATA, FLT_IO_PARAMETER_BLOCK, FLT_RELATED_OBJECTS,
};
use windows_sys::Wdk::System::SystemServices::NAMED_PIPE_CREATE_PARAMETERS;

/// `FLT_PARAMETERS.Create` and `.CreatePipe`.
pub(super) mod create {
    pub(in crate::flt) const SECURITY_CONTEXT: usize = 0;
    pub(in crate::flt) const OPTIONS: usize = 8;
    pub(in crate::flt) const SHARE_ACCESS: usize = 18;
    /// Only of `CreatePipe`.
    pub(in crate::flt) const PIPE_PARAMETERS: usize = 24;
}

/// One block that holds all structures of an operation.
pub(super) struct Parts {
    pub data: usize,
    pub iopb: usize,
    pub file: usize,
    pub root: usize,
    pub related: usize,
    pub security: usize,
    pub access: usize,
    pub pipe: usize,
    pub context: usize,
    pub ecps: usize,
    pub size: usize,
}

/// Real parameters are 48 bytes; the block ends after them.
const IOPB_SIZE: usize = offset_of!(FLT_IO_PARAMETER_BLOCK, Parameters) + 48;

pub(super) const PARTS: Parts = {
    let data = 0;
    let iopb = data + size_of::<FLT_CALLBACK_DATA>().next_multiple_of(16);
    let file = iopb + IOPB_SIZE.next_multiple_of(16);
    let root = file + size_of::<FILE_OBJECT>().next_multiple_of(16);
    let related = root + size_of::<FILE_OBJECT>().next_multiple_of(16);
    let security = related + size_of::<FLT_RELATED_OBJECTS>().next_multiple_of(16);
    let access = security + size_of::<IO_SECURITY_CONTEXT>().next_multiple_of(16);
    let pipe = access + size_of::<ACCESS_STATE>().next_multiple_of(16);
    let context = pipe + size_of::<NAMED_PIPE_CREATE_PARAMETERS>().next_multiple_of(16);
    let ecps = context + 16;
    let size = ecps + 32;
    Parts { data, iopb, file, root, related, security, access, pipe, context, ecps, size }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_wdk_on_x64() {
        assert_eq!(size_of::<FLT_CALLBACK_DATA>(), 0x58);
        assert_eq!(size_of::<FILE_OBJECT>(), 0xD8);
        assert_eq!(offset_of!(FILE_OBJECT, FileName), 0x58);
        assert_eq!(offset_of!(FLT_IO_PARAMETER_BLOCK, Parameters), 0x18);
        assert_eq!(size_of::<NAMED_PIPE_CREATE_PARAMETERS>(), 40);
        assert_eq!(offset_of!(NAMED_PIPE_CREATE_PARAMETERS, DefaultTimeout), 24);
        assert_eq!(size_of::<FLT_RELATED_OBJECTS>(), 0x30);
    }
}
