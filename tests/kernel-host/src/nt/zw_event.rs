//! Events known by a handle.

use std::sync::Arc;

use super::Object;
use super::ob::EventObject;
use crate::cpu::{PASSIVE, apis};
use crate::guest;
use crate::status::NtStatus;

apis! {
    ntoskrnl [PASSIVE, 1500, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwCreateEvent(cx, out: u64, _access: u32, attributes: u64, kind: u32, state: u8)
        -> NtStatus {
        if kind > 1 {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let in_system = cx.kpcr().process.get() == cx.kernel().system_process().address();
        let kernel_handle = attributes != 0 && guest::read::<u32>(attributes + 24)? & 0x200 != 0;
        if !in_system && !kernel_handle {
            return Err(cx.misuse("no OBJ_KERNEL_HANDLE in the context of a user process"));
        }
        let event = Arc::new(EventObject::new(kind, state != 0)?);
        let handle = cx.kernel().objects().insert(cx, Object::Event(event), kernel_handle);
        guest::write(out, handle)?;
        Ok(NtStatus::SUCCESS)
    }
}
