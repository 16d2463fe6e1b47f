//! Import stubs: the few bytes of code that an import slot of a driver points at.
//!
//! A stub is `mov r11, &Rec; jmp [api_entry]`. The modelled APIs have one immutable page of stubs
//! for the whole process; names that are not modelled get a page per image whose stubs report
//! `Unresolved` when called.

use std::collections::HashMap;
use std::ptr::null_mut;
use std::sync::OnceLock;

use super::api::{ANY, Rec, Trap, enter_api};
use super::asm::api_entry;
use crate::bug::BugKind;

const STUB: usize = 32;

/// A page of stubs, made executable.
pub(crate) struct StubPage {
    address: u64,
    size: usize,
}

impl StubPage {
    /// One stub a record, in their order.
    fn new(records: &[&'static Rec]) -> StubPage {
        let size = (records.len() * STUB).next_multiple_of(4096).max(4096);
        // SAFETY: a fresh private mapping, no address asked for.
        let address = unsafe {
            libc::mmap(
                null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(address, libc::MAP_FAILED, "out of address space");
        let mut code = Vec::with_capacity(size);
        for record in records {
            let start = code.len();
            code.extend([0x49, 0xBB]);
            code.extend((std::ptr::from_ref::<Rec>(record) as u64).to_le_bytes());
            code.extend([0xFF, 0x25, 0, 0, 0, 0]);
            code.extend((api_entry as *const () as u64).to_le_bytes());
            code.resize(start + STUB, 0xCC);
        }
        crate::guest::write_bytes(address as u64, &code).expect("the mapping is writable");
        // SAFETY: the mapping just made; nothing runs in it yet.
        let done = unsafe { libc::mprotect(address, size, libc::PROT_READ | libc::PROT_EXEC) };
        assert_eq!(done, 0, "out of mappings");
        StubPage { address: address as u64, size }
    }

    /// Stubs for names that are not modelled.
    pub(crate) fn unresolved(names: &[String]) -> StubPage {
        let records: Vec<&'static Rec> = names
            .iter()
            .map(|name| {
                let name: &'static str = Box::leak(name.clone().into_boxed_str());
                let record = Rec::new(unresolved as *const (), name, "", ANY, 0, None);
                &*Box::leak(Box::new(record))
            })
            .collect();
        StubPage::new(&records)
    }

    /// The address of the stub with that index.
    pub(crate) fn stub(&self, index: usize) -> u64 {
        self.address + (index * STUB) as u64
    }
}

impl Drop for StubPage {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping of `new`; the image that called through it is gone.
        unsafe { libc::munmap(self.address as *mut libc::c_void, self.size) };
    }
}

/// Called through the stub of a name that is not modelled; `r11` still holds its record.
#[unsafe(naked)]
extern "win64" fn unresolved() -> u64 {
    std::arch::naked_asm!("mov rcx, r11", "jmp {}", sym report_unresolved)
}

extern "win64" fn report_unresolved(record: &'static Rec) -> u64 {
    enter_api(record, |_| -> Result<u64, Trap> {
        Err(BugKind::Unresolved { name: record.name.to_owned() }.into())
    })
}

/// The stub of a modelled API.
pub(crate) fn api_address(name: &str) -> Option<u64> {
    static TABLE: OnceLock<(StubPage, HashMap<&'static str, u64>)> = OnceLock::new();
    let (_, addresses) = TABLE.get_or_init(|| {
        let records: Vec<&'static Rec> = crate::nt::all_apis().collect();
        let page = StubPage::new(&records);
        let addresses =
            records.iter().enumerate().map(|(i, record)| (record.name, page.stub(i))).collect();
        (page, addresses)
    });
    addresses.get(name).copied()
}
