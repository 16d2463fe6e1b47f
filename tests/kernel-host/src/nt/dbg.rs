//! Debug output.

use super::format::format;
use crate::bug::BugKind;
use crate::cpu::{Cx, DISPATCH, Trap, apis};
use crate::guest;

fn print(cx: &Cx<'_>, text: u64, fixed: u64) -> Result<u32, Trap> {
    let text = guest::c_string(text)?;
    let line =
        format(&String::from_utf8_lossy(&text), cx.variable_arguments(fixed)).map_err(|error| {
            match error {
                super::format::FormatError::Fault(fault) => Trap::from(fault),
                super::format::FormatError::Conversion(c) => {
                    cx.misuse(format!("conversion %{c} is not known"))
                }
            }
        })?;
    cx.kernel().print(line);
    Ok(0)
}

apis! {
    ntoskrnl [DISPATCH, 800]
    fn DbgPrint(cx, text: u64) -> u32 {
        print(cx, text, 1)
    }

    ntoskrnl [DISPATCH, 800]
    fn DbgPrintEx(cx, _component: u32, _level: u32, text: u64) -> u32 {
        print(cx, text, 3)
    }

    ntoskrnl [DISPATCH, 100]
    fn DbgBreakPointWithStatus(_cx, _status: u32) -> () {
        Err(BugKind::Breakpoint.into())
    }

    ntoskrnl [15, 0]
    fn KeBugCheckEx(_cx, code: u32, a: u64, b: u64, c: u64, d: u64) -> () {
        Err(BugKind::BugCheck { code, parameters: [a, b, c, d] }.into())
    }

    ntoskrnl [15, 0]
    fn KeBugCheck(_cx, code: u32) -> () {
        Err(BugKind::BugCheck { code, parameters: [0; 4] }.into())
    }
}
