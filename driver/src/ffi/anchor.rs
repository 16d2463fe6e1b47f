//! The root keys in the image.

use channel_format::limits::ANCHOR_LEN;

/// The anchor: zero as linked, so that nothing loads, and stamped with keys when the driver is
/// packaged. The section's name is how the stamping tool finds it.
#[used]
#[unsafe(link_section = ".anchor")]
static ANCHOR: [u8; ANCHOR_LEN] = [0; ANCHOR_LEN];

/// The anchor's bytes as they stand in the loaded image.
pub fn bytes() -> [u8; ANCHOR_LEN] {
    as_loaded(&ANCHOR)
}

/// The bytes of a static as they stand in the loaded image, whatever was linked. A static that is
/// read so is one that the linker keeps.
pub(super) fn as_loaded<const N: usize>(linked: &'static [u8; N]) -> [u8; N] {
    let linked = linked.as_ptr();
    let mut bytes = [0; N];
    // Byte by byte: a volatile read of the whole array becomes thirty kilobytes of code.
    for (offset, byte) in bytes.iter_mut().enumerate() {
        // SAFETY: the offset is inside the static, which is as long as the array.
        let at = unsafe { linked.add(offset) };
        // SAFETY: as above. The read is volatile because the bytes may have changed after linking,
        // which the compiler must not assume away.
        *byte = unsafe { at.read_volatile() };
    }
    bytes
}
