//! Symbolic links of the object namespace.

use super::{Object, ObjectAttributes};
use crate::cpu::{PASSIVE, apis};
use crate::guest::{self, UnicodeString};
use crate::status::NtStatus;

apis! {
    ntoskrnl [PASSIVE, 1500, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwOpenSymbolicLinkObject(cx, out: u64, _access: u32, attributes: u64) -> NtStatus {
        let attributes = match ObjectAttributes::read(cx, attributes)? {
            Ok(attributes) => attributes,
            Err(status) => return Ok(status),
        };
        let machine = cx.kernel().machine();
        let name = attributes.name.trim_end_matches('\\');
        let Some(target) = machine.disk().link_target(name, machine.phase()) else {
            return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
        };
        let link = Object::Link(target.into());
        let handle = cx.kernel().objects().insert(cx, link, attributes.is_kernel_handle());
        guest::write(out, handle)?;
        Ok(NtStatus::SUCCESS)
    }

    ntoskrnl [PASSIVE, 1500, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwQuerySymbolicLinkObject(cx, handle: u64, target: u64, returned: u64) -> NtStatus {
        let Object::Link(link) = cx.kernel().objects().handle(cx, handle)? else {
            return Ok(NtStatus::OBJECT_TYPE_MISMATCH);
        };
        let string = UnicodeString::read(target)?;
        let units: Vec<u8> = link.encode_utf16().flat_map(u16::to_le_bytes).collect();
        if returned != 0 {
            guest::write(returned, units.len() as u32)?;
        }
        if units.len() > usize::from(string.maximum) {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        guest::write_bytes(string.buffer, &units)?;
        guest::write(target, units.len() as u16)?;
        Ok(NtStatus::SUCCESS)
    }
}
