//! Security: the image name of a process, and what a token says.

use crate::cpu::{Cx, PASSIVE, Trap, apis};
use crate::guest::{self, UnicodeString};
use crate::pool::Request;
use crate::status::NtStatus;
use crate::token::Token;

const TAG: u32 = u32::from_le_bytes(*b"SeNm");

const TOKEN_USER: u32 = 1;
const TOKEN_STATISTICS: u32 = 10;
const TOKEN_SESSION_ID: u32 = 12;
const TOKEN_ELEVATION: u32 = 20;
const TOKEN_INTEGRITY_LEVEL: u32 = 25;

fn token(cx: &Cx<'_>, object: u64) -> Result<std::sync::Arc<Token>, Trap> {
    let found = cx.kernel().processes().tokens().find(object);
    found.ok_or_else(|| cx.misuse(format!("{object:#x} is no token")))
}

/// A buffer that the caller is to free, of paged pool.
fn hand_out(cx: &Cx<'_>, bytes: &[u8]) -> Result<u64, Trap> {
    const TAG: u32 = u32::from_le_bytes(*b"SeTi");
    let site = cx.site();
    let request = Request { size: bytes.len(), tag: TAG, paged: true, zeroed: true, site };
    let block = cx.kernel().pool().allocate(request);
    guest::write_bytes(block, bytes)?;
    Ok(block)
}

/// `TOKEN_STATISTICS`, of which only the two identifiers are filled in.
fn statistics(token: &Token) -> [u8; 56] {
    let mut bytes = [0; 56];
    bytes[..8].copy_from_slice(&token.id().to_le_bytes());
    bytes[48..].copy_from_slice(&token.modified().to_le_bytes());
    bytes
}

apis! {
    // The integrity level and the session are written where the address of a buffer would be.
    // [DDI: ntifs/nf-ntifs-sequeryinformationtoken] It does not list the elevation.
    ntoskrnl [PASSIVE, 1000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn SeQueryInformationToken(cx, object: u64, class: u32, out: u64) -> NtStatus {
        let token = token(cx, object)?;
        let spec = token.spec().clone();
        match class {
            TOKEN_INTEGRITY_LEVEL => guest::write(out, spec.integrity)?,
            TOKEN_SESSION_ID => guest::write(out, spec.session)?,
            TOKEN_ELEVATION => {
                let buffer = hand_out(cx, &u32::from(spec.elevated).to_le_bytes())?;
                guest::write(out, buffer)?;
            }
            TOKEN_STATISTICS => {
                let buffer = hand_out(cx, &statistics(&token))?;
                guest::write(out, buffer)?;
            }
            TOKEN_USER => {
                // SID_AND_ATTRIBUTES, and the identifier behind it.
                let buffer = hand_out(cx, &[&[0; 16], spec.user.as_slice()].concat())?;
                guest::write(buffer, buffer + 16)?;
                guest::write(out, buffer)?;
            }
            _ => return Ok(NtStatus::INVALID_INFO_CLASS),
        }
        Ok(NtStatus::SUCCESS)
    }

    ntoskrnl [PASSIVE, 2500, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn SeLocateProcessImageName(cx, process: u64, out: u64) -> NtStatus {
        guest::write(out, 0u64)?;
        let kernel = cx.kernel();
        let Some(process) = kernel.processes().find(process) else {
            return Err(cx.misuse(format!("{process:#x} is no process")));
        };
        let Some(image) = &process.spec().image else { return Ok(NtStatus::NOT_FOUND) };
        let units: Vec<u8> = image.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let request = Request {
            size: 16 + units.len() + 2,
            tag: TAG,
            paged: true,
            zeroed: true,
            site: cx.site(),
        };
        let block = kernel.pool().allocate(request);
        guest::write_bytes(block + 16, &units)?;
        let length = units.len() as u16;
        UnicodeString { length, maximum: length + 2, buffer: block + 16 }.write(block)?;
        guest::write(out, block)?;
        Ok(NtStatus::SUCCESS)
    }
}
