//! What a program passes to `FilterSendMessage`: memory that only the program owns.
//!
//! The filter manager probes the range and passes the address on; from then on another thread of
//! the program may change or unmap it at any time.
//! [MicrosoftDocs/windows-driver-docs-ddi: fltkernel/nf-fltkernel-fltcreatecommunicationport]

use std::sync::{Mutex, PoisonError};

use crate::guest::{self, GuestBuffer};

/// The input of a message.
#[derive(Clone, Debug)]
pub enum UserInput {
    /// Ordinary memory with these bytes.
    Bytes(Vec<u8>),
    /// So many bytes that were unmapped after the probe: any touch faults.
    Unmapped(usize),
    /// Memory that another thread changes right after it was copied for the first time.
    Changing {
        /// What the first copy finds.
        first: Vec<u8>,
        /// What is there from then on; as long as the first.
        then: Vec<u8>,
    },
    /// An address that was never probed, as a sender in kernel mode can pass it, and a length.
    At(u64, usize),
}

impl From<&[u8]> for UserInput {
    fn from(bytes: &[u8]) -> UserInput {
        UserInput::Bytes(bytes.to_vec())
    }
}

/// A message's input where the driver sees it.
pub(super) struct Placed {
    pub address: u64,
    pub length: usize,
    _memory: Option<GuestBuffer>,
}

impl UserInput {
    /// Puts the input in place, for as long as the result lives.
    pub(super) fn place(&self, changing: &Changing) -> Placed {
        let (memory, length) = match self {
            UserInput::Bytes(bytes) | UserInput::Changing { first: bytes, .. } => {
                (GuestBuffer::new(bytes), bytes.len())
            }
            UserInput::Unmapped(length) => (GuestBuffer::new(&[]), *length),
            UserInput::At(address, length) => {
                return Placed { address: *address, length: *length, _memory: None };
            }
        };
        // An empty buffer's address is that of the inaccessible page behind it.
        let address = if length == 0 { 0 } else { memory.address() };
        if let UserInput::Changing { then, .. } = self {
            changing.watch(address, then.clone());
        }
        Placed { address, length, _memory: Some(memory) }
    }
}

/// Ranges of user memory that change once they were copied.
#[derive(Debug, Default)]
pub(crate) struct Changing(Mutex<Vec<(u64, Vec<u8>)>>);

impl Changing {
    fn watch(&self, address: u64, then: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((address, then));
    }

    /// The program gave the memory back.
    pub(super) fn forget(&self, placed: &Placed) {
        let mut ranges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ranges.retain(|(address, _)| *address != placed.address);
    }

    /// The driver has copied from this range.
    pub(crate) fn copied(&self, from: u64, count: u64) {
        let mut ranges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ranges.retain(|(address, then)| {
            let end = address + then.len() as u64;
            let met = from < end && from.saturating_add(count) > *address;
            if met {
                // What is unmapped meanwhile changes no more.
                let _ = guest::write_bytes(*address, then);
            }
            !met
        });
    }
}
