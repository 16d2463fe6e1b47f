//! Walking a driver's stack with the unwind tables of its image.

use std::ops::Range;

use pe_unwind_info::x86_64::{FunctionTableEntries, Register, UnwindState, XmmRegister};

use crate::cpu::Registers;
use crate::guest;

/// A copy of an image's bytes, for its unwind tables. Never changes after it was made, so the
/// signal handler may read it.
#[derive(Debug)]
pub(crate) struct UnwindImage {
    pub base: u64,
    image: Vec<u8>,
    function_table: Range<usize>,
}

impl UnwindImage {
    pub(super) fn new(base: u64, image: Vec<u8>, function_table: Range<u32>) -> UnwindImage {
        let function_table = function_table.start as usize..function_table.end as usize;
        UnwindImage { base, image, function_table }
    }

    /// The offset of an address in this image.
    pub(crate) fn rva(&self, address: u64) -> Option<u32> {
        let offset = address.checked_sub(self.base)?;
        (offset < self.image.len() as u64).then_some(offset as u32)
    }

    /// Some bytes of the image.
    pub(crate) fn bytes(&self, rva: u32, length: u32) -> Option<&[u8]> {
        let start = rva as usize;
        self.image.get(start..start.checked_add(length as usize)?)
    }

    fn functions(&self) -> FunctionTableEntries<'_> {
        FunctionTableEntries::parse(self.image.get(self.function_table.clone()).unwrap_or(&[]))
    }

    /// Where the unwind information of the function at `rva` lies.
    pub(crate) fn unwind_info(&self, rva: u32) -> Option<u32> {
        self.functions().lookup(rva).map(|function| function.unwind_info_address.get())
    }

    /// What an import thunk (`jmp [slot]`) at `rva` jumps to; the slot holds the bound address.
    pub(crate) fn thunk_target(&self, rva: u32) -> Option<u64> {
        let code = self.bytes(rva, 6)?;
        if code[..2] != [0xFF, 0x25] {
            return None;
        }
        let displacement = i32::from_le_bytes([code[2], code[3], code[4], code[5]]);
        let slot = rva.checked_add(6)?.checked_add_signed(displacement)?;
        let raw = self.bytes(slot, 8)?;
        Some(u64::from_le_bytes(raw.try_into().ok()?))
    }

    /// The caller's registers. `lookup` is the rva inside the current function.
    pub(crate) fn step(
        &self,
        registers: Registers,
        stack: &Range<u64>,
        lookup: u32,
    ) -> Option<Registers> {
        let mut state = State { registers, stack };
        let rip = self.functions().unwind_frame(
            &mut state,
            |address| self.image.get(address as usize..),
            lookup,
        )?;
        state.registers.rip = rip;
        Some(state.registers)
    }
}

struct State<'a> {
    registers: Registers,
    stack: &'a Range<u64>,
}

impl UnwindState for State<'_> {
    fn read_register(&mut self, register: Register) -> u64 {
        self.registers.general[register as usize]
    }

    fn read_stack(&mut self, address: u64) -> Option<u64> {
        let fits = address >= self.stack.start && address.checked_add(8)? <= self.stack.end;
        if fits { guest::read(address).ok() } else { None }
    }

    fn write_register(&mut self, register: Register, value: u64) {
        self.registers.general[register as usize] = value;
    }

    fn write_xmm_register(&mut self, _: XmmRegister, _: u128) {}
}

/// Return addresses, innermost first. `precise` says that the first address is where execution
/// stopped and not a return address.
pub(crate) fn walk<'i>(
    image_of: impl Fn(u64) -> Option<&'i UnwindImage>,
    mut registers: Registers,
    stack: &Range<u64>,
    mut precise: bool,
    limit: usize,
) -> Vec<u64> {
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(image) = image_of(registers.rip) else {
            if !found.is_empty() {
                break;
            }
            // A helper or a wild call: the caller's address lies on the stack, behind at most
            // two pushed registers.
            found.push(registers.rip);
            if !pop_return_address(&image_of, &mut registers, stack) {
                break;
            }
            precise = false;
            continue;
        };
        found.push(registers.rip);
        let Some(rva) = image.rva(registers.rip) else {
            break;
        };
        let lookup = if precise { rva } else { rva.saturating_sub(1) };
        precise = false;
        match image.step(registers, stack, lookup) {
            Some(next) => registers = next,
            None => break,
        }
    }
    found
}

fn pop_return_address<'i>(
    image_of: &impl Fn(u64) -> Option<&'i UnwindImage>,
    registers: &mut Registers,
    stack: &Range<u64>,
) -> bool {
    for _ in 0..4 {
        let address = registers.general[4];
        if !stack.contains(&address) {
            return false;
        }
        let Ok(value) = guest::read::<u64>(address) else {
            return false;
        };
        registers.general[4] = address + 8;
        if image_of(value).is_some() {
            registers.rip = value;
            return true;
        }
    }
    false
}
