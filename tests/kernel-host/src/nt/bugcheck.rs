//! What drivers add to a crash dump: bug check reason callbacks.
//!
//! The record is nonpaged and initialised, the callback is deregistered before the image goes; at a
//! bug check it runs at HIGH_LEVEL with all other processors stopped, where calling almost anything
//! may hang or fault (wdm.h: `KeRegisterBugCheckReasonCallback`, `KBUGCHECK_SECONDARY_DUMP_DATA`;
//! *Writing a bug check callback routine*). The host takes it strictly: any call is a report.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bug::{Bug, BugKind};
use crate::cpu::{ANY, Cx, Kpcr, Trap, apis};
use crate::guest::{self, Fault, GuestBlock};
use crate::kernel::Kernel;
use crate::ledger::Debt;

const SECONDARY_DUMP_DATA: u32 = 2;
const HIGH_LEVEL: u64 = 15;

/// Offsets in KBUGCHECK_REASON_CALLBACK_RECORD.
mod record {
    pub const ROUTINE: u64 = 16;
    pub const COMPONENT: u64 = 24;
    pub const REASON: u64 = 40;
    pub const STATE: u64 = 44;
}

/// Offsets in KBUGCHECK_SECONDARY_DUMP_DATA, and its size.
mod data {
    pub const IN_BUFFER: u64 = 0;
    pub const IN_LENGTH: u64 = 8;
    pub const MAXIMUM: u64 = 12;
    pub const GUID: u64 = 16;
    pub const OUT_BUFFER: u64 = 32;
    pub const OUT_LENGTH: u64 = 40;
    pub const SIZE: usize = 48;
}

#[derive(Clone, Copy)]
struct Callback {
    record: u64,
    routine: u64,
    reason: u32,
}

/// The registered callbacks of a kernel.
#[derive(Default)]
pub(crate) struct CrashCallbacks(Mutex<Vec<Callback>>);

impl CrashCallbacks {
    fn list(&self) -> MutexGuard<'_, Vec<Callback>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one driver added to a crash dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpBlock {
    /// Its GUID, as it lies in memory.
    pub guid: [u8; 16],
    /// The bytes.
    pub data: Vec<u8>,
}

impl Kernel {
    /// The machine goes down: gives what drivers add to the dump, each with room for `maximum`
    /// bytes, and cuts the power. Of several blocks with one GUID only the first can be read.
    pub fn bug_check(&self, maximum: u32) -> Result<Vec<DumpBlock>, Box<Bug>> {
        let callbacks = self.crash_callbacks().list().clone();
        let mut blocks: Vec<DumpBlock> = Vec::new();
        for callback in callbacks.into_iter().filter(|known| known.reason == SECONDARY_DUMP_DATA) {
            if let Some(block) = self.ask(callback, maximum)?
                && !blocks.iter().any(|known| known.guid == block.guid)
            {
                blocks.push(block);
            }
        }
        self.power_off();
        Ok(blocks)
    }

    /// Asks one callback, first for the size and then for the data.
    fn ask(&self, callback: Callback, maximum: u32) -> Result<Option<DumpBlock>, Box<Bug>> {
        let block = GuestBlock::new(data::SIZE);
        let room = GuestBlock::new(4096);
        let refuse = |why: String| {
            let kind = BugKind::Misuse { api: "secondary dump data", why };
            let bug = Bug::at(self, kind, callback.routine);
            self.crash(&bug);
            Box::new(bug)
        };
        let at = |member: u64| block.address() + member;
        let set = |out: u64| -> Result<(), Fault> {
            guest::write(at(data::IN_BUFFER), room.address())?;
            guest::write(at(data::IN_LENGTH), 4096u32)?;
            guest::write(at(data::MAXIMUM), maximum)?;
            guest::write(at(data::OUT_BUFFER), out)?;
            guest::write(at(data::OUT_LENGTH), 0u32)
        };
        for out in [0, room.address()] {
            set(out).expect("own memory");
            self.call_at_crash(callback, at(0))?;
            let length: u32 = guest::read(at(data::OUT_LENGTH)).expect("own memory");
            if length == 0 {
                return Ok(None);
            }
            if length > maximum {
                return Err(refuse(format!("{length} bytes, allowed are {maximum}")));
            }
        }
        let mut guid = [0; 16];
        guid.copy_from_slice(&guest::bytes(at(data::GUID), 16).expect("own memory"));
        let buffer: u64 = guest::read(at(data::OUT_BUFFER)).expect("own memory");
        let length: u32 = guest::read(at(data::OUT_LENGTH)).expect("own memory");
        if self.pool().is_paged(buffer) {
            return Err(refuse(format!("the buffer {buffer:#x} lies in paged pool")));
        }
        match guest::bytes(buffer, length as usize) {
            Ok(data) => Ok(Some(DumpBlock { guid, data })),
            Err(fault) => Err(refuse(format!("the data fault at {:#x}", fault.address))),
        }
    }

    fn call_at_crash(&self, callback: Callback, data: u64) -> Result<(), Box<Bug>> {
        let kpcr = Kpcr::current();
        let irql = kpcr.irql.replace(HIGH_LEVEL);
        kpcr.in_crash.set(true);
        let arguments =
            [u64::from(callback.reason), callback.record, data, self::data::SIZE as u64];
        let returned = self.call(callback.routine, &arguments);
        kpcr.in_crash.set(false);
        kpcr.irql.set(irql);
        returned.map(drop)
    }
}

fn find(cx: &Cx<'_>, record: u64) -> Option<usize> {
    cx.kernel().crash_callbacks().list().iter().position(|known| known.record == record)
}

apis! {
    ntoskrnl [ANY, 300]
    fn KeRegisterBugCheckReasonCallback(cx, record: u64, routine: u64, reason: u32,
        component: u64) -> bool {
        if cx.kernel().pool().is_paged(record) {
            return Err(cx.misuse(format!("the record at {record:#x} lies in paged pool")));
        }
        guest::c_string(component)?;
        let state: u8 = guest::read(record + record::STATE)?;
        if state != 0 || find(cx, record).is_some() {
            return Ok(false);
        }
        guest::write(record + record::ROUTINE, routine)?;
        guest::write(record + record::COMPONENT, component)?;
        guest::write(record + record::REASON, reason)?;
        guest::write(record + record::STATE, 1u8)?;
        cx.kernel().crash_callbacks().list().push(Callback { record, routine, reason });
        cx.kernel().ledger().owe(Debt::CrashCallback, record, cx.site());
        Ok(true)
    }

    ntoskrnl [ANY, 300]
    fn KeDeregisterBugCheckReasonCallback(cx, record: u64) -> bool {
        let Some(index) = find(cx, record) else {
            return Ok(false);
        };
        cx.kernel().crash_callbacks().list().remove(index);
        guest::write(record + record::STATE, 0u8)?;
        cx.kernel().ledger().settle(Debt::CrashCallback, record);
        Ok(true)
    }
}

/// An API was called from a callback of a bug check.
pub(crate) fn require_no_crash(cx: &Cx<'_>) -> Result<(), Trap> {
    if cx.kpcr().in_crash.get() {
        return Err(cx.misuse("called from a bug check callback, where nothing may be called"));
    }
    Ok(())
}
