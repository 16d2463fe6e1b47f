//! Registry calls.

use super::{Object, ObjectAttributes, text_of};
use crate::cpu::{Cx, PASSIVE, Trap, apis};
use crate::guest;
use crate::machine::Value;
use crate::status::NtStatus;

const KEY_VALUE_PARTIAL_INFORMATION: u32 = 2;
/// TitleIndex, Type, DataLength.
const PARTIAL_HEADER: u32 = 12;

fn open(cx: &Cx<'_>, out: u64, attributes: u64, create: bool) -> Result<(NtStatus, bool), Trap> {
    let attributes = match ObjectAttributes::read(cx, attributes)? {
        Ok(attributes) => attributes,
        Err(status) => return Ok((status, false)),
    };
    let objects = cx.kernel().objects();
    let path = match attributes.root {
        0 => attributes.name.clone(),
        root => match objects.handle(cx, root)? {
            Object::Key(root) => format!(r"{root}\{}", attributes.name),
            _ => return Ok((NtStatus::OBJECT_TYPE_MISMATCH, false)),
        },
    };
    let machine = cx.kernel().machine();
    let exists = machine.registry().has_key(&path);
    if !exists && !create {
        return Ok((NtStatus::OBJECT_NAME_NOT_FOUND, false));
    }
    if !exists {
        machine.registry().change(|keys| keys.create_key(&path));
    }
    let handle = objects.insert(cx, Object::Key(path.into()), attributes.is_kernel_handle());
    guest::write(out, handle)?;
    Ok((NtStatus::SUCCESS, !exists))
}

fn key(cx: &Cx<'_>, handle: u64) -> Result<Result<String, NtStatus>, Trap> {
    Ok(match cx.kernel().objects().handle(cx, handle)? {
        Object::Key(path) => Ok(path.to_string()),
        _ => Err(NtStatus::OBJECT_TYPE_MISMATCH),
    })
}

apis! {
    ntoskrnl [PASSIVE, 3000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwOpenKey(cx, out: u64, _access: u32, attributes: u64) -> NtStatus {
        Ok(open(cx, out, attributes, false)?.0)
    }

    ntoskrnl [PASSIVE, 3000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwCreateKey(cx, out: u64, _access: u32, attributes: u64, _title: u32, _class: u64,
        _options: u32, disposition: u64) -> NtStatus {
        let (status, created) = open(cx, out, attributes, true)?;
        if disposition != 0 && status.is_success() {
            guest::write(disposition, if created { 1u32 } else { 2 })?;
        }
        Ok(status)
    }

    ntoskrnl [PASSIVE, 3000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwQueryValueKey(cx, handle: u64, name: u64, class: u32, buffer: u64, length: u32,
        result: u64) -> NtStatus {
        let key = match key(cx, handle)? {
            Ok(key) => key,
            Err(status) => return Ok(status),
        };
        if class != KEY_VALUE_PARTIAL_INFORMATION {
            return Err(cx.misuse(format!("information class {class} is not modelled")));
        }
        let machine = cx.kernel().machine();
        let Some(value) = machine.registry().get(&key, &text_of(cx, name)?) else {
            return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
        };
        let needed = PARTIAL_HEADER + value.data.len() as u32;
        guest::write(result, needed)?;
        if length < PARTIAL_HEADER {
            return Ok(NtStatus::BUFFER_TOO_SMALL);
        }
        guest::write(buffer, 0u32)?;
        guest::write(buffer + 4, value.kind)?;
        guest::write(buffer + 8, value.data.len() as u32)?;
        let room = (length - PARTIAL_HEADER) as usize;
        let fits = &value.data[..value.data.len().min(room)];
        guest::write_bytes(buffer + u64::from(PARTIAL_HEADER), fits)?;
        Ok(if needed > length { NtStatus::BUFFER_OVERFLOW } else { NtStatus::SUCCESS })
    }

    ntoskrnl [PASSIVE, 3000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwSetValueKey(cx, handle: u64, name: u64, _title: u32, kind: u32, data: u64, size: u32)
        -> NtStatus {
        let key = match key(cx, handle)? {
            Ok(key) => key,
            Err(status) => return Ok(status),
        };
        let data = guest::bytes(data, size as usize)?;
        let name = text_of(cx, name)?;
        let machine = cx.kernel().machine();
        machine.registry().change(|keys| keys.set(&key, &name, Value { kind, data }));
        Ok(NtStatus::SUCCESS)
    }

    ntoskrnl [PASSIVE, 3000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwDeleteValueKey(cx, handle: u64, name: u64) -> NtStatus {
        let key = match key(cx, handle)? {
            Ok(key) => key,
            Err(status) => return Ok(status),
        };
        let (machine, name) = (cx.kernel().machine(), text_of(cx, name)?);
        if machine.registry().get(&key, &name).is_none() {
            return Ok(NtStatus::OBJECT_NAME_NOT_FOUND);
        }
        machine.registry().change(|keys| keys.delete_value(&key, &name));
        Ok(NtStatus::SUCCESS)
    }

    ntoskrnl [PASSIVE, 3000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn ZwFlushKey(cx, handle: u64) -> NtStatus {
        if let Err(status) = key(cx, handle)? {
            return Ok(status);
        }
        cx.kernel().machine().registry().flush();
        Ok(NtStatus::SUCCESS)
    }
}
