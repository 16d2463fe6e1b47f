//! `sakerctl service run` as a service of Windows's.

use std::ffi::OsString;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult};
use windows_service::{define_windows_service, service_dispatcher};

use super::machine::{Machine, of_service};
use crate::Error;
use crate::device::Device;
use crate::host::{Host, HostError, Level};
use crate::service::{NAME, Run};

static RUN: OnceLock<Run> = OnceLock::new();
static STOP: AtomicBool = AtomicBool::new(false);

define_windows_service!(entry, main);

/// Hands this process to the service controller, and comes back when the service has stopped.
///
/// # Errors
/// The system's reason when this process was not started by the controller.
pub fn dispatch(run: Run) -> Result<(), Error> {
    // There is one service in this process.
    let _ = RUN.set(run);
    service_dispatcher::start(NAME, entry)
        .map_err(of_service)
        .map_err(HostError::failed("talking to the service controller"))?;
    Ok(())
}

fn main(_arguments: Vec<OsString>) {
    if let Err(error) = serve() {
        // The event log is the one place where somebody may hear it.
        let _ = Machine::new().report("Saker", Level::Error, 21, &error);
    }
}

fn serve() -> Result<(), String> {
    let words = |error: windows_service::Error| of_service(error).to_string();
    let handler = |control| match control {
        ServiceControl::Stop | ServiceControl::Shutdown => {
            STOP.store(true, Ordering::Release);
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    let handle = service_control_handler::register(NAME, handler).map_err(words)?;
    let tell = |state, accepted, code| {
        handle
            .set_service_status(ServiceStatus {
                service_type: ServiceType::OWN_PROCESS,
                current_state: state,
                controls_accepted: accepted,
                exit_code: ServiceExitCode::Win32(code),
                checkpoint: 0,
                wait_hint: Duration::ZERO,
                process_id: None,
            })
            .map_err(words)
    };
    tell(ServiceState::Running, ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN, 0)?;
    let run = RUN.get().ok_or("started without its arguments")?;
    let kept = run.keep(&Device::Here, Some(Box::new(Machine::new())), &STOP);
    let code = u32::from(kept.is_err());
    tell(ServiceState::Stopped, ServiceControlAccept::empty(), code)?;
    kept.map_err(|error| error.to_string())
}
