//! The ladder in and the ladder out.
//!
//! Each rung is a guard. When a rung breaks on the way in, those below it are taken back in
//! reverse; unload takes all of them back in the same order. It may come as soon as filtering has
//! started, before the way in has ended, and then waits for that (see [`crate::ffi::start`]):
//!
//! 1. ask no more to be told of the machine's shutdown,
//! 2. stop and join the worker and the sender,
//! 3. stop watching processes,
//! 4. close the port, so that no client can come,
//! 5. unregister the filter, which waits for callbacks in flight and closes the clients' ports,
//! 6. free the sensor, which ends event tracing,
//! 7. take back what a crash dump would be given.

use core::sync::atomic::Ordering;

use driver_abi::Mode;
use driver_core::changes;
use driver_core::events::Event;
use driver_core::settings::Switch;

use crate::content_worker::Worker;
use crate::crash_note::InImage;
use crate::ffi::crash::CrashNote;
use crate::ffi::flt::Filter;
use crate::ffi::port::Port;
use crate::ffi::process_watch::ProcessWatch;
use crate::ffi::shutdown::ShutdownNotice;
use crate::ffi::start::{Driver, Installed, Kept, Service, is_safe_mode};
use crate::ffi::status::{NtStatus, Result};
use crate::ffi::sync::{Thread, ThreadMain};
use crate::ffi::utf16;
use crate::sensor::Sensor;
use crate::settings::Settings;
use crate::telemetry::Sender;

/// What runs while the driver is loaded. The fields are dropped in this order.
struct Running {
    _shutdown: ShutdownNotice,
    _worker: Task,
    _sender: Task,
    // Without it what is kept of processes that have ended makes room only when others need it.
    _watch: Option<ProcessWatch<Sensor>>,
    _port: Port,
    filter: Filter,
    _sensor: Installed<Sensor>,
    _crash_note: Option<CrashNote<InImage>>,
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

    // Without it a crash dump says less.
    let crash_note = CrashNote::register().ok();
    let sensor = install(mode, settings)?;
    let filter = Filter::register::<Sensor>(driver)?;
    let port = Port::open::<Sensor>(&filter, &PORT)?;
    let sender = Task::spawn::<Sender>()?;
    let worker = Task::spawn::<Worker>()?;
    let shutdown = ShutdownNotice::register::<Sensor>(driver)?;
    let watch = ProcessWatch::begin().inspect_err(|reason| sensor.note_unwatched(*reason));
    let running = Running {
        _shutdown: shutdown,
        _worker: worker,
        _sender: sender,
        _watch: watch.ok(),
        _port: port,
        filter,
        _sensor: sensor,
        _crash_note: crash_note,
    };
    // The last rung that can break: a filter that has started may be told to unload, and must not
    // be taken back on the way in as well.
    RUNNING.put(running, |running| running.filter.start())?;
    tell_started(mode);
    driver.call_when_boot_devices_are_ready::<Sensor>();
    Ok(())
}

/// Not inlined: the copies on the stack must not stay below the filter manager's calls.
#[inline(never)]
fn install(mode: Mode, settings: Settings) -> Result<Installed<Sensor>> {
    Sensor::global().install(Sensor::new(mode, settings)?)
}

fn tell_started(mode: Mode) {
    if let Some(sensor) = Sensor::global().get() {
        let (version, mode) = (env!("CARGO_PKG_VERSION"), changes::mode(mode));
        sensor.events.tell(&Event::Started { version, mode });
    }
}

/// Takes everything back. PASSIVE_LEVEL, from the filter manager's unload callback.
pub fn stop() {
    if let Some(sensor) = Sensor::global().get() {
        let events = sensor.counters.events.load(Ordering::Relaxed);
        sensor.events.tell(&Event::Stopped { events });
    }
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
