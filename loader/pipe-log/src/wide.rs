//! Text as the kernel has it: UTF-16 units, which need not be valid Unicode.

use std::fmt;

/// UTF-16 units. Displays with U+FFFD for lone surrogates; [`Wide::units`] has them all.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wide(Vec<u16>);

impl Wide {
    /// The units.
    pub fn units(&self) -> &[u16] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything after the last `\`, or all where there is none.
    pub fn last_component(&self) -> &[u16] {
        self.0.rsplit(|unit| *unit == u16::from(b'\\')).next().unwrap_or_default()
    }

    /// Reads WTF-8: UTF-8 in which lone surrogates are coded like other code points. Other bytes
    /// that are no UTF-8 give `None`.
    pub(crate) fn from_wtf8(mut bytes: &[u8]) -> Option<Self> {
        let mut units = Vec::with_capacity(bytes.len());
        loop {
            let valid = match std::str::from_utf8(bytes) {
                Ok(text) => {
                    units.extend(text.encode_utf16());
                    return Some(Self(units));
                }
                Err(error) => error.valid_up_to(),
            };
            let (text, rest) = bytes.split_at_checked(valid)?;
            units.extend(std::str::from_utf8(text).ok()?.encode_utf16());
            let ([0xED, high @ 0xA0..=0xBF, low @ 0x80..=0xBF], rest) = rest.split_first_chunk()?
            else {
                return None;
            };
            units.push(0xD000 | u16::from(high & 0x3F) << 6 | u16::from(low & 0x3F));
            bytes = rest;
        }
    }
}

impl From<&str> for Wide {
    fn from(text: &str) -> Self {
        Self(text.encode_utf16().collect())
    }
}

impl From<Vec<u16>> for Wide {
    fn from(units: Vec<u16>) -> Self {
        Self(units)
    }
}

impl From<Wide> for Vec<u16> {
    fn from(wide: Wide) -> Self {
        wide.0
    }
}

impl AsRef<[u16]> for Wide {
    fn as_ref(&self) -> &[u16] {
        &self.0
    }
}

impl PartialEq<str> for Wide {
    fn eq(&self, text: &str) -> bool {
        self.0.iter().copied().eq(text.encode_utf16())
    }
}

impl PartialEq<&str> for Wide {
    fn eq(&self, text: &&str) -> bool {
        self == *text
    }
}

impl fmt::Display for Wide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf16_lossy(&self.0))
    }
}

impl fmt::Debug for Wide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf16_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wtf8_keeps_lone_surrogates_and_refuses_other_bytes() {
        let wide = Wide::from_wtf8(b"a\xED\xA0\x80\xED\xBF\xBFz").unwrap();
        assert_eq!(wide.units(), [0x61, 0xD800, 0xDFFF, 0x7A]);
        assert_eq!(Wide::from_wtf8("é😀".as_bytes()).unwrap(), "é😀");
        assert_eq!(Wide::from_wtf8(b"\xFF"), None);
        assert_eq!(Wide::from_wtf8(b"\xED\xA0"), None);
    }

    #[test]
    fn last_component_of_a_path() {
        let last = |text| String::from_utf16_lossy(Wide::from(text).last_component());
        assert_eq!(last(r"C:\Windows\cmd.exe"), "cmd.exe");
        assert_eq!(last("System"), "System");
        assert_eq!(last(r"C:\"), "");
        assert_eq!(last(""), "");
    }
}
