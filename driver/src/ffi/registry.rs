//! The service's parameters in the registry.

use core::ptr;

use driver_core::settings::Found;

use super::bindings as nt;
use super::pool::{PoolSlice, Tag};
use super::status::{NtStatus, Result, check};
use super::{Handle, UnicodeString, object_attributes};

/// The longest string value read, in UTF-16 units.
const MAX_VALUE_UNITS: usize = 256;
/// What precedes the data in `KEY_VALUE_PARTIAL_INFORMATION`.
const VALUE_HEAD: usize = 12;

/// The open `Parameters` key of the service.
pub struct Parameters {
    key: Handle,
}

impl Parameters {
    /// Opens `service` + `\Parameters`.
    ///
    /// # Errors
    /// The kernel's reason; `NOT_FOUND` when the service has no parameters.
    pub fn open(service: &[u16]) -> Result<Self> {
        const SUFFIX: &[u16] = &super::utf16::<11>("\\Parameters");
        let path = PoolSlice::joined(&[service, SUFFIX], Tag::Text)?;
        let mut name = UnicodeString::new(&path).ok_or(NtStatus::INVALID_PARAMETER)?;
        let mut attributes = object_attributes(&mut name, ptr::null_mut(), ptr::null_mut());
        let mut key: nt::HANDLE = ptr::null_mut();
        // SAFETY: all pointers are to locals that outlive the call; PASSIVE_LEVEL.
        check(unsafe { nt::ZwOpenKey(&raw mut key, nt::KEY_READ, &raw mut attributes) })?;
        Ok(Self { key: Handle(key) })
    }

    /// A `REG_DWORD` value.
    ///
    /// # Errors
    /// The kernel's reason when it cannot be said whether there is one.
    pub fn dword(&self, name: &[u16]) -> Result<Found<u32>> {
        let mut buffer = [0; VALUE_HEAD + 4];
        Ok(match self.query(name, nt::REG_DWORD, &mut buffer)? {
            Found::Value(data) => data
                .try_into()
                .map_or(Found::Other, |bytes| Found::Value(u32::from_le_bytes(bytes))),
            Found::Nothing => Found::Nothing,
            Found::Other => Found::Other,
        })
    }

    /// A `REG_SZ` value without its terminator. One longer than 256 units is as good as one of
    /// another type.
    ///
    /// # Errors
    /// `NO_RESOURCES`; the kernel's reason when it cannot be said whether there is one.
    pub fn string(&self, name: &[u16]) -> Result<Found<PoolSlice<u16>>> {
        let mut buffer = PoolSlice::zeroed(VALUE_HEAD + MAX_VALUE_UNITS * 2, Tag::Text)?;
        let data = match self.query(name, nt::REG_SZ, &mut buffer)? {
            Found::Value(data) => data,
            Found::Nothing => return Ok(Found::Nothing),
            Found::Other => return Ok(Found::Other),
        };
        let (pairs, _) = data.as_chunks::<2>();
        let len = pairs.iter().position(|pair| *pair == [0, 0]).unwrap_or(pairs.len());
        let mut text = PoolSlice::new(len, Tag::Text, || 0)?;
        for (to, from) in text.iter_mut().zip(pairs) {
            *to = u16::from_le_bytes(*from);
        }
        Ok(Found::Value(text))
    }

    /// The data of a value of the given type, if it fits into `buffer` behind its head.
    fn query<'b>(&self, name: &[u16], kind: u32, buffer: &'b mut [u8]) -> Result<Found<&'b [u8]>> {
        let mut name = UnicodeString::new(name).ok_or(NtStatus::INVALID_PARAMETER)?;
        let mut written = 0;
        let room = u32::try_from(buffer.len()).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        // SAFETY: the key is open, the name and the count are locals, and the buffer is as long as
        // the call is told; PASSIVE_LEVEL.
        let status = unsafe {
            nt::ZwQueryValueKey(
                self.key.0,
                name.as_ptr(),
                nt::_KEY_VALUE_INFORMATION_CLASS::KeyValuePartialInformation,
                buffer.as_mut_ptr().cast(),
                room,
                &raw mut written,
            )
        };
        match check(status) {
            Err(NtStatus::NOT_FOUND) => return Ok(Found::Nothing),
            // A value that does not fit is none the driver could use.
            Err(NtStatus::BUFFER_OVERFLOW) => return Ok(Found::Other),
            other => other?,
        }
        Ok(match data(buffer) {
            Some((found, data)) if found == kind => Found::Value(data),
            _ => Found::Other,
        })
    }
}

/// The type and the data of a `KEY_VALUE_PARTIAL_INFORMATION`.
fn data(buffer: &[u8]) -> Option<(u32, &[u8])> {
    let (head, data) = buffer.split_first_chunk::<VALUE_HEAD>()?;
    let [_, _, _, _, t0, t1, t2, t3, l0, l1, l2, l3] = *head;
    let len = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
    Some((u32::from_le_bytes([t0, t1, t2, t3]), data.get(..len)?))
}
