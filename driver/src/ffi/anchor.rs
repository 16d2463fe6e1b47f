//! The root keys in the image.

use channel_format::limits::ANCHOR_LEN;

/// The anchor: zero as linked, so that nothing loads, and stamped with keys when the driver is
/// packaged. The section's name is how the stamping tool finds it.
#[used]
#[unsafe(link_section = ".anchor")]
static ANCHOR: [u8; ANCHOR_LEN] = [0; ANCHOR_LEN];

/// The anchor's bytes as they stand in the loaded image.
pub fn bytes() -> [u8; ANCHOR_LEN] {
    let anchor = &raw const ANCHOR;
    // SAFETY: the pointer is to a static of that type. The read is volatile because the bytes were
    // changed after linking, which the compiler must not assume away.
    unsafe { anchor.read_volatile() }
}
