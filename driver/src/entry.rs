//! The ladder in and the ladder out.
//!
//! Each rung is a guard. When a rung breaks on the way in, those below it are taken back in
//! reverse; unload takes all of them back in the same order:
//!
//! 1. stop and join the worker and the sender,
//! 2. stop watching processes,
//! 3. close the port, so that no client can come,
//! 4. unregister the filter, which waits for callbacks in flight and closes the client's port,
//! 5. free the sensor.

use driver_abi::Mode;
use driver_core::settings::Switch;

use crate::content_worker::Worker;
use crate::ffi::flt::Filter;
use crate::ffi::port::Port;
use crate::ffi::process_watch::ProcessWatch;
use crate::ffi::start::{Driver, Installed, Kept, Service, is_safe_mode};
use crate::ffi::status::{NtStatus, Result};
use crate::ffi::sync::{Thread, ThreadMain};
use crate::ffi::utf16;
use crate::sensor::{Sensor, Settings};
use crate::telemetry::Sender;

/// What runs while the driver is loaded. The fields are dropped in this order.
struct Running {
    _worker: Task,
    _sender: Task,
    // Without it what is kept of processes that have ended makes room only when others need it.
    _watch: Option<ProcessWatch<Sensor>>,
    _port: Port,
    _filter: Filter,
    _sensor: Installed<Sensor>,
}

static RUNNING: Kept<Running> = Kept::new();

/// Starts the driver. PASSIVE_LEVEL, from `DriverEntry`; at boot no file can be opened yet.
///
/// # Errors
/// `SWITCHED_OFF` in safe mode or when the service parameters say so; else the kernel's reason.
/// Either way nothing is left behind.
pub fn start(driver: &Driver<'_>) -> Result<()> {
    const PORT: [u16; 10] = utf16(driver_abi::PORT_NAME);
    if is_safe_mode() {
        return Err(NtStatus::SWITCHED_OFF);
    }
    #[cfg(feature = "planted-panic")]
    plant_panic();
    let settings = Settings::read(driver.service_key())?;
    let Switch::On(mode) = settings.switch else {
        return Err(NtStatus::SWITCHED_OFF);
    };

    let sensor = install(mode, settings)?;
    let filter = Filter::register::<Sensor>(driver)?;
    let port = Port::open::<Sensor>(&filter, &PORT)?;
    let sender = Task::spawn::<Sender>()?;
    let worker = Task::spawn::<Worker>()?;
    let watch = ProcessWatch::begin().ok();
    filter.start()?;
    RUNNING.put(Running {
        _worker: worker,
        _sender: sender,
        _watch: watch,
        _port: port,
        _filter: filter,
        _sensor: sensor,
    })?;
    driver.call_when_boot_devices_are_ready::<Sensor>();
    Ok(())
}

/// Not inlined: the copies on the stack must not stay below the filter manager's calls.
#[inline(never)]
fn install(mode: Mode, settings: Settings) -> Result<Installed<Sensor>> {
    Sensor::global().install(Sensor::new(mode, settings)?)
}

/// Takes everything back. PASSIVE_LEVEL, from the filter manager's unload callback.
pub fn stop() {
    drop(RUNNING.take());
}

/// A thread of the driver, told to return and joined when dropped.
struct Task {
    _thread: Thread,
}

impl Task {
    fn spawn<M: ThreadMain>() -> Result<Self> {
        Ok(Self { _thread: Thread::spawn::<M>()? })
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // Runs before the field is dropped, which joins the thread.
        Sensor::ask_to_stop();
    }
}

/// A panic that the optimiser cannot prove away, for the check that must find it in the image.
#[cfg(feature = "planted-panic")]
#[allow(clippy::unwrap_used, reason = "planted to be found")]
fn plant_panic() {
    let value: Option<u32> = core::hint::black_box(None);
    let _ = core::hint::black_box(value.unwrap());
}
