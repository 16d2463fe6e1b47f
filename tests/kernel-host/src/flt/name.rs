//! What a callback can ask about its operation: requestor, name, extra create parameters.

use std::mem::offset_of;

use windows_sys::Wdk::Foundation::FILE_OBJECT;
use windows_sys::Wdk::Storage::FileSystem::Minifilters::{
    FLT_CALLBACK_DATA, FLT_FILE_NAME_INFORMATION, FLT_IO_PARAMETER_BLOCK,
};

use super::operation::{Ecp, PreOperation};
use crate::cpu::{APC, DISPATCH, apis};
use crate::guest::{self, GuestBlock, GuestBuffer, UnicodeString};
use crate::ledger::Debt;
use crate::status::NtStatus;

/// `GUID_ECP_SRV_OPEN`, as it lies in memory.
const SRV_OPEN: [u8; 16] = {
    let guid = windows_sys::Wdk::Storage::FileSystem::GUID_ECP_SRV_OPEN;
    let ([a, b, c, d], [e, f], [g, h]) =
        (guid.data1.to_le_bytes(), guid.data2.to_le_bytes(), guid.data3.to_le_bytes());
    let [i, j, k, l, m, n, o, p] = guid.data4;
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
};
const VOLUME: &str = r"\Device\NamedPipe";
const FORMAT_MASK: u32 = 0xFF;
const SHORT: u32 = 3;

/// A name handed out, until it is released.
#[derive(Debug)]
pub(super) struct NameInformation {
    body: GuestBlock,
    _text: GuestBuffer,
}

apis! {
    fltmgr [DISPATCH, 50]
    fn FltGetRequestorProcess(cx, _data: u64) -> u64 {
        Ok(cx.kpcr().process.get())
    }

    fltmgr [DISPATCH, 50]
    fn FltGetRequestorProcessId(cx, _data: u64) -> u32 {
        let process = cx.kernel().processes().find(cx.kpcr().process.get());
        Ok(process.map_or(0, |process| process.spec().pid as u32))
    }

    fltmgr [APC, 500, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn FltGetEcpListFromCallbackData(cx, filter: u64, data: u64, list: u64) -> NtStatus {
        if cx.kernel().filters().filter(filter).is_none() {
            return Err(cx.misuse(format!("{filter:#x} is no registered filter")));
        }
        guest::write(list, PreOperation::ecp_list(data)?)?;
        Ok(NtStatus::SUCCESS)
    }

    // [DDI: fltkernel/nf-fltkernel-fltfindextracreateparameter]
    fltmgr [APC, 300]
    fn FltFindExtraCreateParameter(cx, _filter: u64, list: u64, guid: u64, out: u64, size: u64)
        -> NtStatus {
        if list == 0 {
            return Err(cx.misuse("there is no list of extra create parameters"));
        }
        let wanted = guest::bytes(guid, 16)? == SRV_OPEN;
        let there = guest::read::<u64>(list)?;
        if !wanted || there != Ecp::Server as u64 && there != Ecp::Forged as u64 {
            return Ok(NtStatus::NOT_FOUND);
        }
        if out != 0 {
            guest::write(out, list)?;
        }
        if size != 0 {
            guest::write(size, 0x28u32)?;
        }
        Ok(NtStatus::SUCCESS)
    }

    fltmgr [APC, 100]
    fn FltIsEcpFromUserMode(_cx, _filter: u64, context: u64) -> bool {
        Ok(guest::read::<u64>(context)? == Ecp::Forged as u64)
    }

    fltmgr [APC, 3000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn FltGetFileNameInformation(cx, data: u64, options: u32, out: u64) -> NtStatus {
        guest::write(out, 0u64)?;
        if options & FORMAT_MASK == SHORT {
            return Ok(NtStatus::FLT_INVALID_NAME_REQUEST);
        }
        if cx.kpcr().apc_disabled.get() != 0 {
            return Ok(NtStatus::FLT_INVALID_NAME_REQUEST);
        }
        let iopb: u64 = guest::read(data + offset_of!(FLT_CALLBACK_DATA, Iopb) as u64)?;
        let target = offset_of!(FLT_IO_PARAMETER_BLOCK, TargetFileObject) as u64;
        let file: u64 = guest::read(iopb + target)?;
        let name = UnicodeString::read(file + offset_of!(FILE_OBJECT, FileName) as u64)?.units()?;
        let mut text: Vec<u16> = VOLUME.encode_utf16().collect();
        let related = offset_of!(FILE_OBJECT, RelatedFileObject) as u64;
        let related: u64 = guest::read(file + related)?;
        if related != 0 {
            let directory = offset_of!(FILE_OBJECT, FileName) as u64;
            text.extend(UnicodeString::read(related + directory)?.units()?);
        }
        if name.first() != Some(&u16::from(b'\\')) {
            text.push(u16::from(b'\\'));
        }
        text.extend(name);
        if text.len() > 0x7FFE {
            return Ok(NtStatus::NAME_TOO_LONG);
        }
        type Information = FLT_FILE_NAME_INFORMATION;
        let body = GuestBlock::new(size_of::<Information>());
        let text_buffer = GuestBuffer::utf16(&text);
        let address = body.address();
        let at = |member: usize| address + member as u64;
        guest::write(address, size_of::<Information>() as u16)?;
        guest::write(at(offset_of!(Information, Format)), options & FORMAT_MASK)?;
        let string = |units: usize| {
            let length = (units * 2) as u16;
            UnicodeString { length, maximum: length, buffer: text_buffer.address() }
        };
        string(text.len()).write(at(offset_of!(Information, Name)))?;
        string(VOLUME.len()).write(at(offset_of!(Information, Volume)))?;
        let kernel = cx.kernel();
        kernel.ledger().owe(Debt::NameInformation, address, cx.site());
        let information = NameInformation { body, _text: text_buffer };
        kernel.filters().state().names.insert(address, information);
        guest::write(out, address)?;
        Ok(NtStatus::SUCCESS)
    }

    fltmgr [APC, 300]
    fn FltReleaseFileNameInformation(cx, information: u64) -> () {
        let kernel = cx.kernel();
        let Some(removed) = kernel.filters().state().names.remove(&information) else {
            return Err(cx.misuse("released more often than obtained"));
        };
        kernel.ledger().settle(Debt::NameInformation, removed.body.address());
        Ok(())
    }
}
