//! What the drive letters name.

use driver_core::drives::{DriveTable, LETTERS, MAX_DEVICE_UNITS};

use crate::ffi::objects;
use crate::sensor::Sensor;

/// Publishes what the drive letters name when that has changed. Not inlined: the tables take
/// kilobytes of stack, which file systems and signatures need afterwards.
#[inline(never)]
pub(super) fn refresh(sensor: &Sensor) {
    let mut drives = DriveTable::EMPTY;
    for (index, letter) in (0..LETTERS).zip(0_u16..) {
        let mut target = [0; MAX_DEVICE_UNITS];
        if let Ok(len) = objects::drive_target(letter, &mut target) {
            drives.set(index, target.get(..len).unwrap_or(&[]));
        }
    }
    let known = sensor.drives.read(|known| known.is_same(&drives)).unwrap_or(false);
    // No letter at all means that it is too early to say; images stay unknown until then.
    if drives.is_filled() && !known {
        // Without memory the old table serves, and the next look tries again.
        if sensor.drives.publish(drives).is_ok() {
            sensor.processes.clear();
        }
    }
}
