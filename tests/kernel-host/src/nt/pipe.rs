//! Opening named pipes from kernel mode: through the filters, as any other create.

use std::sync::Arc;

use super::Object;
use super::zw_file::complete;
use crate::cpu::{Cx, Trap};
use crate::flt::ConnectOptions;
use crate::guest;
use crate::machine::{OpenRequest, Phase, fold};
use crate::status::NtStatus;

const DEVICE: &str = r"\DEVICE\NAMEDPIPE";

/// The name below the root of NPFS that a path leads to, with its backslash; `None` for other paths,
/// and before NPFS is there: then the path leads nowhere.
pub(super) fn name(cx: &Cx<'_>, path: &str) -> Option<Vec<u16>> {
    let head = path.get(..DEVICE.len()).filter(|head| fold(head) == DEVICE)?;
    let rest = &path[head.len()..];
    let running = cx.kernel().machine().phase() >= Phase::Running;
    (running && rest.starts_with('\\')).then(|| rest.encode_utf16().collect())
}

/// Opens the client end of a pipe in the context of the calling thread.
pub(super) fn open(
    cx: &Cx<'_>,
    out: u64,
    block: u64,
    name: Vec<u16>,
    request: OpenRequest,
    kernel_handle: bool,
) -> Result<NtStatus, Trap> {
    let kernel = cx.kernel();
    let process = kernel.processes().find(cx.kpcr().process.get());
    let process = process.unwrap_or_else(|| Arc::clone(kernel.system_process()));
    let options = ConnectOptions {
        create_options: request.options,
        share_access: request.share as u16,
        desired_access: request.access,
        kernel_mode: true,
        ..ConnectOptions::default()
    };
    let outcome = kernel.connect_pipe(&process, name, options)?;
    if outcome.status.is_success() {
        let object = Object::Pipe(outcome.end.map(Arc::new));
        guest::write(out, kernel.objects().insert(cx, object, kernel_handle))?;
    }
    complete(block, outcome.status, outcome.information)
}
