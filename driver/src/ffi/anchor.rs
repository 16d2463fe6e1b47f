//! The root keys in the image.

use channel_format::limits::ANCHOR_LEN;

/// The anchor: zero as linked, so that nothing loads, and stamped with keys when the driver is
/// packaged. The section's name is how the stamping tool finds it.
#[used]
#[unsafe(link_section = ".anchor")]
static ANCHOR: [u8; ANCHOR_LEN] = [0; ANCHOR_LEN];

/// The anchor's bytes as they stand in the loaded image.
pub fn bytes() -> [u8; ANCHOR_LEN] {
    let anchor = (&raw const ANCHOR).cast::<u8>();
    let mut bytes = [0; ANCHOR_LEN];
    // Byte by byte: a volatile read of the whole array becomes thirty kilobytes of code.
    for (offset, byte) in bytes.iter_mut().enumerate() {
        // SAFETY: the offset is inside the static, which is as long as the array.
        let at = unsafe { anchor.add(offset) };
        // SAFETY: as above. The read is volatile because the bytes were changed after linking, which
        // the compiler must not assume away.
        *byte = unsafe { at.read_volatile() };
    }
    bytes
}
