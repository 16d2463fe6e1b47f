//! Threads and processes.

use super::Object;
use crate::bug::BugKind;
use crate::cpu::{ANY, APC, Cx, DISPATCH, PASSIVE, Trap, apis};
use crate::guest;
use crate::process::Process;
use crate::sched::create_system_thread;
use crate::status::NtStatus;

fn process(cx: &Cx<'_>, object: u64) -> Result<std::sync::Arc<Process>, Trap> {
    let found = cx.kernel().processes().find(object);
    found.ok_or_else(|| cx.misuse(format!("{object:#x} is no process")))
}

fn current(cx: &Cx<'_>) -> u64 {
    match cx.kpcr().process.get() {
        0 => cx.kernel().system_process().address(),
        process => process,
    }
}

apis! {
    ntoskrnl [PASSIVE, 2500, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn PsCreateSystemThread(cx, out: u64, _access: u32, attributes: u64, _process: u64,
        _client: u64, start: u64, context: u64) -> NtStatus {
        let kernel = cx.kernel();
        let in_system = current(cx) == kernel.system_process().address();
        let kernel_handle = attributes != 0 && guest::read::<u32>(attributes + 24)? & 0x200 != 0;
        if !in_system && !kernel_handle {
            return Err(cx.misuse("no OBJ_KERNEL_HANDLE in the context of a user process"));
        }
        let Some(thread) = create_system_thread(kernel, start, context, cx.site()) else {
            return Ok(NtStatus::INSUFFICIENT_RESOURCES);
        };
        let handle = kernel.objects().insert(cx, Object::Thread(thread), kernel_handle);
        guest::write(out, handle)?;
        Ok(NtStatus::SUCCESS)
    }

    ntoskrnl [PASSIVE, 500]
    fn PsTerminateSystemThread(cx, status: u32) -> NtStatus {
        if !cx.kpcr().system_thread.get() {
            return Err(cx.misuse("this is no system thread"));
        }
        if cx.kpcr().apc_disabled.get() != 0 || !cx.kpcr().held.borrow().is_empty() {
            return Err(cx.misuse("the thread ends with APCs disabled or a lock held"));
        }
        super::requests::run_down(cx)?;
        Err(BugKind::ThreadExit(status).into())
    }

    ntoskrnl [ANY, 20]
    fn PsGetProcessId(cx, object: u64) -> u64 {
        Ok(process(cx, object)?.spec().pid)
    }

    ntoskrnl [ANY, 20]
    fn PsGetCurrentProcessId(cx) -> u64 {
        Ok(process(cx, current(cx))?.spec().pid)
    }

    ntoskrnl [ANY, 20]
    fn IoGetCurrentProcess(cx) -> u64 {
        Ok(current(cx))
    }

    ntoskrnl [ANY, 20]
    fn PsGetCurrentProcess(cx) -> u64 {
        Ok(current(cx))
    }

    ntoskrnl [ANY, 20]
    fn PsGetCurrentThread(cx) -> u64 {
        Ok(cx.kpcr().thread_object())
    }

    ntoskrnl [ANY, 20]
    fn PsGetCurrentThreadId(cx) -> u64 {
        let tid = cx.kpcr().shared.tid;
        let schedule = cx.kernel().sched().schedule();
        Ok(schedule.map_or(tid as u64, |schedule| 4 * schedule.place(tid) as u64 + 100))
    }

    ntoskrnl [DISPATCH, 50]
    fn PsGetProcessStartKey(cx, object: u64) -> u64 {
        Ok(process(cx, object)?.start_key())
    }

    ntoskrnl [ANY, 20]
    fn PsGetProcessCreateTimeQuadPart(cx, object: u64) -> u64 {
        Ok(process(cx, object)?.start_key())
    }

    // STATUS_PENDING while the process runs, as PsGetThreadExitStatus says of a thread. [DDI:
    // ntddk/nf-ntddk-psgetprocessexitstatus]
    ntoskrnl [APC, 20]
    fn PsGetProcessExitStatus(cx, object: u64) -> NtStatus {
        let ended = process(cx, object)?.has_ended();
        Ok(if ended { NtStatus::SUCCESS } else { NtStatus::PENDING })
    }

    ntoskrnl [ANY, 20]
    fn PsIsProtectedProcess(cx, object: u64) -> bool {
        Ok(process(cx, object)?.spec().protected)
    }

    ntoskrnl [ANY, 20]
    fn PsIsSystemThread(cx, _thread: u64) -> bool {
        Ok(cx.kpcr().system_thread.get())
    }
}
