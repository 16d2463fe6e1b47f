//! Driver memory, seen from the host: typed accessors that turn faults into errors.
//!
//! Addresses are plain `u64`. A driver runs natively in this process, so it can damage the host
//! as any native code can; what this module guarantees is the other direction: nothing that a
//! driver passes to an API can make the *host* fault.

#![allow(unsafe_code)]

mod memory;
mod probe;

pub use memory::{GuestBlock, GuestBuffer};
pub(crate) use probe::{compare_exchange, fetch_add, in_probe, probe_fault_address};

/// An access that memory protection refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The address that faulted.
    pub address: u64,
}

/// A number that lies in driver memory as its little-endian bytes.
pub trait Scalar: Copy {
    /// Its size in bytes: 1, 2, 4 or 8.
    const WIDTH: usize;
    /// From the low bytes of a register.
    fn from_register(value: u64) -> Self;
    /// To the low bytes of a register.
    fn to_register(self) -> u64;
}

macro_rules! scalars {
    ($($name:ty),*) => { $(
        impl Scalar for $name {
            const WIDTH: usize = size_of::<$name>();
            fn from_register(value: u64) -> Self { value as $name }
            fn to_register(self) -> u64 { self as u64 }
        }
    )* };
}
scalars!(u8, u16, u32, u64, i8, i16, i32, i64);

/// Reads one number.
pub fn read<T: Scalar>(address: u64) -> Result<T, Fault> {
    probe::read(address, T::WIDTH).map(T::from_register)
}

/// Writes one number.
pub fn write<T: Scalar>(address: u64, value: T) -> Result<(), Fault> {
    probe::write(address, T::WIDTH, value.to_register())
}

/// Reads `count` bytes.
pub fn bytes(address: u64, count: usize) -> Result<Vec<u8>, Fault> {
    let mut buffer = vec![0u8; count];
    if count != 0 {
        probe::copy(buffer.as_mut_ptr() as u64, address, count)?;
    }
    Ok(buffer)
}

/// Writes bytes.
pub fn write_bytes(address: u64, data: &[u8]) -> Result<(), Fault> {
    if data.is_empty() {
        return Ok(());
    }
    probe::copy(address, data.as_ptr() as u64, data.len())
}

/// Copies within driver memory.
pub fn copy(to: u64, from: u64, count: usize) -> Result<(), Fault> {
    if count == 0 {
        return Ok(());
    }
    probe::copy(to, from, count)
}

/// Reads `count` UTF-16 units.
pub fn units(address: u64, count: usize) -> Result<Vec<u16>, Fault> {
    let raw = bytes(address, count * 2)?;
    Ok(raw.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
}

/// Reads a NUL-terminated byte string of at most 64 KiB.
pub fn c_string(address: u64) -> Result<Vec<u8>, Fault> {
    let mut text = Vec::new();
    while text.len() < 0x10000 {
        match read::<u8>(address + text.len() as u64)? {
            0 => break,
            byte => text.push(byte),
        }
    }
    Ok(text)
}

/// Reads NUL-terminated UTF-16 of at most 32 Ki units.
pub fn wide_string(address: u64) -> Result<Vec<u16>, Fault> {
    let mut text = Vec::new();
    while text.len() < 0x7FFF {
        match read::<u16>(address + 2 * text.len() as u64)? {
            0 => break,
            unit => text.push(unit),
        }
    }
    Ok(text)
}

/// A `UNICODE_STRING` as it lies in memory, not yet judged.
#[derive(Clone, Copy, Debug)]
pub struct UnicodeString {
    /// Bytes in use.
    pub length: u16,
    /// Bytes allocated.
    pub maximum: u16,
    /// First unit.
    pub buffer: u64,
}

impl UnicodeString {
    /// Reads the 16 bytes of the structure.
    pub fn read(address: u64) -> Result<UnicodeString, Fault> {
        Ok(UnicodeString {
            length: read(address)?,
            maximum: read(address + 2)?,
            buffer: read(address + 8)?,
        })
    }

    /// Writes the 16 bytes of the structure.
    pub fn write(self, address: u64) -> Result<(), Fault> {
        write(address, self.length)?;
        write(address + 2, self.maximum)?;
        write(address + 4, 0u32)?;
        write(address + 8, self.buffer)
    }

    /// Whether Driver Verifier would let it pass: even length, not longer than the buffer.
    pub fn is_well_formed(self) -> bool {
        self.length.is_multiple_of(2) && self.maximum >= self.length
    }

    /// The text it names.
    pub fn units(self) -> Result<Vec<u16>, Fault> {
        units(self.buffer, usize::from(self.length / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_address_is_an_error_and_names_itself() {
        crate::cpu::install_handlers();
        assert_eq!(read::<u32>(0x1000), Err(Fault { address: 0x1000 }));
        assert_eq!(write::<u64>(0x18, 1), Err(Fault { address: 0x18 }));
        assert!(bytes(0x2000, 100).is_err());
        assert!(compare_exchange(0x40, 0, 1).is_err());
        assert!(fetch_add(0x40, 1).is_err());
    }

    #[test]
    fn numbers_and_text_round_trip() {
        crate::cpu::install_handlers();
        let block = GuestBlock::new(64);
        write(block.address(), -2i32).unwrap();
        assert_eq!(read::<i32>(block.address()), Ok(-2));
        assert_eq!(compare_exchange(block.address() + 8, 0, 7), Ok(0));
        assert_eq!(fetch_add(block.address() + 8, 2), Ok(7));
        let text = GuestBuffer::utf16(&[0x41, 0xD800]);
        let string = UnicodeString { length: 4, maximum: 4, buffer: text.address() };
        string.write(block.address() + 16).unwrap();
        let back = UnicodeString::read(block.address() + 16).unwrap();
        assert_eq!(back.units().unwrap(), [0x41, 0xD800]);
        assert!(read::<u8>(text.address() + 4).is_err(), "one past the end must fault");
    }
}
