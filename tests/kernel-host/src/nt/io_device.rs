//! Device objects, and the machine's shutdown as it comes to those that asked for it.

use std::mem::offset_of;
use std::sync::{Mutex, MutexGuard, PoisonError};

use windows_sys::Wdk::Foundation::{DEVICE_OBJECT, DRIVER_OBJECT, IO_STACK_LOCATION, IRP};

use crate::bug::{Bug, BugKind};
use crate::cpu::{Cx, DISPATCH, PASSIVE, Trap, apis};
use crate::guest::{self, GuestBlock};
use crate::kernel::Kernel;
use crate::ledger::Debt;
use crate::status::NtStatus;

const MJ_SHUTDOWN: u64 = 0x10;

/// A device that a driver made.
#[derive(Debug)]
struct Device {
    body: GuestBlock,
    driver: u64,
    /// It is told of a shutdown.
    registered: bool,
}

#[derive(Debug, Default)]
struct State {
    devices: Vec<Device>,
    /// The request that a driver has, until it completes it.
    request: Option<u64>,
}

/// The devices of a kernel.
#[derive(Debug, Default)]
pub(crate) struct Devices(Mutex<State>);

impl Devices {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find<T>(
        &self,
        cx: &Cx<'_>,
        device: u64,
        change: impl FnOnce(&mut Device) -> T,
    ) -> Result<T, Trap> {
        let mut state = self.state();
        let found = state.devices.iter_mut().find(|own| own.body.address() == device);
        found.map(change).ok_or_else(|| cx.misuse(format!("{device:#x} is no device")))
    }

    /// Sends the shutdown request to each device that asked for it, the last one first.
    ///
    /// `IoRegisterShutdownNotification`: at PASSIVE_LEVEL, before file systems are flushed.
    pub(crate) fn shut_down(&self, kernel: &Kernel) -> Result<(), Box<Bug>> {
        let registered: Vec<(u64, u64)> = {
            let state = self.state();
            let told = state.devices.iter().rev().filter(|device| device.registered);
            told.map(|device| (device.body.address(), device.driver)).collect()
        };
        for (device, driver) in registered {
            let table = driver + offset_of!(DRIVER_OBJECT, MajorFunction) as u64;
            let routine = guest::read::<u64>(table + 8 * MJ_SHUTDOWN).unwrap_or(0);
            if routine == 0 {
                // The I/O manager's own routine refuses such a request.
                continue;
            }
            let request = GuestBlock::new(size_of::<IRP>() + size_of::<IO_STACK_LOCATION>());
            let write = guest::write(request.address(), 6u16)
                .and_then(|()| guest::write(request.address() + size_of::<IRP>() as u64, 0x10u8));
            write.expect("own memory");
            self.state().request = Some(request.address());
            let arguments = [device, request.address()];
            let returned = kernel.as_system(|| kernel.call(routine, &arguments))?;
            let status = NtStatus::from_register(returned.value);
            if self.state().request.take().is_some() && status != NtStatus::PENDING {
                let why = "the shutdown request was not completed".to_owned();
                return Err(Box::new(Bug::bare(BugKind::Misuse { api: "IRP_MJ_SHUTDOWN", why })));
            }
            let block = request.address() + offset_of!(IRP, IoStatus) as u64;
            let written = NtStatus(guest::read::<u32>(block).unwrap_or(u32::MAX));
            if written != status {
                let why = format!("it returned {status} for a request with {written}");
                return Err(Box::new(Bug::bare(BugKind::Misuse { api: "IRP_MJ_SHUTDOWN", why })));
            }
        }
        Ok(())
    }
}

apis! {
    // wdm.h: PASSIVE_LEVEL; on success the device is the caller's to delete.
    ntoskrnl [PASSIVE, 2000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn IoCreateDevice(cx, driver: u64, extension: u32, name: u64, kind: u32, traits: u32,
        _exclusive: u8, out: u64) -> NtStatus {
        if name != 0 {
            return Err(cx.misuse("a device with a name is not modelled"));
        }
        let body = GuestBlock::new(size_of::<DEVICE_OBJECT>() + extension as usize);
        let at = |offset: usize| body.address() + offset as u64;
        guest::write(body.address(), 3u16)?;
        guest::write(at(offset_of!(DEVICE_OBJECT, Size)), size_of::<DEVICE_OBJECT>() as u16)?;
        guest::write(at(offset_of!(DEVICE_OBJECT, DriverObject)), driver)?;
        if extension != 0 {
            let extension = at(size_of::<DEVICE_OBJECT>());
            guest::write(at(offset_of!(DEVICE_OBJECT, DeviceExtension)), extension)?;
        }
        guest::write(at(offset_of!(DEVICE_OBJECT, DeviceType)), kind)?;
        guest::write(at(offset_of!(DEVICE_OBJECT, Characteristics)), traits)?;
        guest::write(out, body.address())?;
        let kernel = cx.kernel();
        kernel.ledger().owe(Debt::Device, body.address(), cx.site());
        kernel.devices().state().devices.push(Device { body, driver, registered: false });
        Ok(NtStatus::SUCCESS)
    }

    ntoskrnl [PASSIVE, 1000]
    fn IoDeleteDevice(cx, device: u64) -> () {
        let kernel = cx.kernel();
        let state = |own: &mut Device| (own.registered, own.body.range());
        let (registered, memory) = kernel.devices().find(cx, device, state)?;
        if registered {
            return Err(cx.misuse("the device is still registered for shutdown"));
        }
        kernel.ledger().settle(Debt::Device, device);
        kernel.ledger().forget_rundowns(memory);
        kernel.devices().state().devices.retain(|own| own.body.address() != device);
        Ok(())
    }

    ntoskrnl [PASSIVE, 1000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn IoRegisterShutdownNotification(cx, device: u64) -> NtStatus {
        cx.kernel().devices().find(cx, device, |own| own.registered = true)?;
        Ok(NtStatus::SUCCESS)
    }

    ntoskrnl [PASSIVE, 1000]
    fn IoUnregisterShutdownNotification(cx, device: u64) -> () {
        cx.kernel().devices().find(cx, device, |own| own.registered = false)
    }

    ntoskrnl [DISPATCH, 1000]
    fn IofCompleteRequest(cx, request: u64, _boost: i8) -> () {
        let taken = cx.kernel().devices().state().request.take();
        if taken == Some(request) {
            return Ok(());
        }
        Err(cx.misuse(format!("{request:#x} is no request of the driver's, or completed twice")))
    }
}
