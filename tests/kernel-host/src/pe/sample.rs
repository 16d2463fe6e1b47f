//! A small valid driver image, made by hand, for tests that need no toolchain.

/// Where the subsystem lies in [`image`].
pub(crate) const SUBSYSTEM: usize = 0x40 + 24 + 68;

/// One `.text` section with the given flags that holds `xor eax, eax; ret`.
pub(crate) fn image(text_flags: u32) -> Vec<u8> {
    let mut file = vec![0u8; 0x400];
    let mut put = |offset: usize, bytes: &[u8]| {
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
    };
    put(0, b"MZ");
    put(0x3C, &0x40u32.to_le_bytes());
    put(0x40, b"PE\0\0");
    put(0x44, &0x8664u16.to_le_bytes());
    put(0x46, &1u16.to_le_bytes());
    let optional_size = 240u16;
    put(0x54, &optional_size.to_le_bytes());
    put(0x56, &0x22u16.to_le_bytes());
    let optional = 0x58;
    put(optional, &0x20Bu16.to_le_bytes());
    put(optional + 16, &0x1000u32.to_le_bytes());
    put(optional + 24, &0x1_4000_0000u64.to_le_bytes());
    put(optional + 32, &0x1000u32.to_le_bytes());
    put(optional + 36, &0x200u32.to_le_bytes());
    put(optional + 56, &0x2000u32.to_le_bytes());
    put(optional + 60, &0x200u32.to_le_bytes());
    put(optional + 68, &1u16.to_le_bytes());
    put(optional + 108, &16u32.to_le_bytes());
    let section = optional + usize::from(optional_size);
    put(section, b".text\0\0\0");
    put(section + 8, &0x200u32.to_le_bytes());
    put(section + 12, &0x1000u32.to_le_bytes());
    put(section + 16, &0x200u32.to_le_bytes());
    put(section + 20, &0x200u32.to_le_bytes());
    put(section + 36, &text_flags.to_le_bytes());
    put(0x200, &[0x31, 0xC0, 0xC3]);
    file
}
