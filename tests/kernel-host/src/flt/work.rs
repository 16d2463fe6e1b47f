//! Generic work items of filters. A filter is not unregistered before they have run.

use std::sync::atomic::Ordering;

use crate::cpu::{DISPATCH, apis};
use crate::nt::{allocate_work_item, free_work_item, queue_work, work_item};
use crate::sched::Deferred;
use crate::status::NtStatus;

apis! {
    fltmgr [DISPATCH, 200, fails 0]
    fn FltAllocateGenericWorkItem(cx) -> u64 {
        Ok(allocate_work_item(cx, 0))
    }

    fltmgr [DISPATCH, 200]
    fn FltFreeGenericWorkItem(cx, item: u64) -> () {
        free_work_item(cx, item)
    }

    // [DDI: fltkernel/nf-fltkernel-fltqueuegenericworkitem]
    fltmgr [DISPATCH, 300, fails NtStatus::FLT_DELETING_OBJECT.0]
    fn FltQueueGenericWorkItem(cx, item: u64, object: u64, routine: u64, _queue: u32, context: u64)
        -> NtStatus {
        work_item(cx, item)?;
        let filters = cx.kernel().filters();
        let Some(filter) = filters.filter(object).or_else(|| filters.filter_of_instance(object))
        else {
            return Err(cx.misuse(format!("{object:#x} is neither a filter nor an instance")));
        };
        if filter.draining.load(Ordering::Acquire) {
            return Ok(NtStatus::FLT_DELETING_OBJECT);
        }
        let arguments = [item, object, context, 0];
        let in_flight = Some(filter.busy.clone());
        queue_work(cx, Deferred { object: item, routine, arguments, in_flight })?;
        Ok(NtStatus::SUCCESS)
    }
}
