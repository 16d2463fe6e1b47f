//! Reading what a TraceLogging event says, as a consumer of a trace would.
//!
//! Written from the format, not from the driver that writes it: `TraceLoggingProvider.h` and
//! `evntprov.h` of the Windows SDK, and the provider-traits page of the documentation.

/// One event of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// The provider's name, as it came with the event.
    pub provider: String,
    /// The event's name.
    pub name: String,
    /// 1 critical, 2 error, 3 warning, 4 information, 5 verbose.
    pub level: u8,
    /// What it is about.
    pub keyword: u64,
    /// The fields in their order.
    pub fields: Vec<(String, TraceValue)>,
}

impl TraceEvent {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&TraceValue> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// The value of a field that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.field(name)? {
            TraceValue::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The value of a field that is a text; what is no Unicode in it is replaced.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.field(name)? {
            TraceValue::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            TraceValue::Units(units) => Some(String::from_utf16_lossy(units)),
            _ => None,
        }
    }
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceValue {
    /// Any number, sign-extended where its type has a sign.
    Number(u64),
    /// A string of bytes.
    Bytes(Vec<u8>),
    /// A string of UTF-16 units.
    Units(Vec<u16>),
    /// A security identifier.
    Sid(Vec<u8>),
    /// An array.
    Array(Vec<TraceValue>),
}

const CHAIN: u8 = 0x80;
const VARIABLE_COUNT: u8 = 0x40;
const CONSTANT_COUNT: u8 = 0x20;

/// The provider's name in its description of itself.
pub(super) fn provider_name(traits: &[u8]) -> Result<String, String> {
    let mut reader = Reader::sized(traits, "provider metadata")?;
    let name = reader.name()?;
    // Traits: u16 size, u8 kind, data.
    while !reader.rest.is_empty() {
        let size = usize::from(reader.u16()?);
        if size < 3 {
            return Err(format!("a provider trait of {size} bytes"));
        }
        reader.take(size - 2)?;
    }
    Ok(name)
}

/// Reads an event whose level and keyword are those of its descriptor.
pub(super) fn decode(
    provider: &[u8],
    metadata: &[u8],
    values: &[u8],
    level: u8,
    keyword: u64,
) -> Result<TraceEvent, String> {
    let provider = provider_name(provider)?;
    let mut reader = Reader::sized(metadata, "event metadata")?;
    reader.tags()?;
    let name = reader.name()?;
    let mut values = Reader { rest: values };
    let mut fields = Vec::new();
    while !reader.rest.is_empty() {
        let field = reader.name()?;
        let mut in_type = reader.u8()?;
        if in_type & CHAIN != 0 {
            let out_type = reader.u8()?;
            if out_type & CHAIN != 0 {
                reader.tags()?;
            }
            in_type &= !CHAIN;
        }
        if in_type & CONSTANT_COUNT != 0 {
            return Err(format!("field {field}: arrays of fixed length are not modelled"));
        }
        let element = in_type & 0x1F;
        let value = if in_type & VARIABLE_COUNT != 0 {
            let count = values.u16().map_err(|why| format!("field {field}: {why}"))?;
            let elements = (0..count).map(|_| values.value(element));
            elements.collect::<Result<_, _>>().map(TraceValue::Array)
        } else {
            values.value(element)
        };
        fields.push((field.clone(), value.map_err(|why| format!("field {field}: {why}"))?));
    }
    if !values.rest.is_empty() {
        return Err(format!("{} bytes after the last field of {name}", values.rest.len()));
    }
    Ok(TraceEvent { provider, name, level, keyword, fields })
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// What begins with its own length.
    fn sized(bytes: &'a [u8], what: &str) -> Result<Reader<'a>, String> {
        let mut reader = Reader { rest: bytes };
        let size = usize::from(reader.u16()?);
        if size != bytes.len() {
            return Err(format!("{what} of {} bytes says it has {size}", bytes.len()));
        }
        Ok(reader)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or("it ends too early")?;
        self.rest = rest;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, String> {
        Ok(self.number(2, false)? as u16)
    }

    fn number(&mut self, width: usize, signed: bool) -> Result<u64, String> {
        let bytes = self.take(width)?;
        let fill = if signed && bytes[width - 1] & 0x80 != 0 { 0xFF } else { 0 };
        let mut all = [fill; 8];
        all[..width].copy_from_slice(bytes);
        Ok(u64::from_le_bytes(all))
    }

    fn name(&mut self) -> Result<String, String> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or("a name without its end")?;
        let name = self.take(end)?.to_vec();
        self.take(1)?;
        match String::from_utf8(name) {
            Ok(name) if !name.is_empty() => Ok(name),
            other => Err(format!("{other:?} is no name")),
        }
    }

    /// Seven bits a byte, the high bit set in all but the last.
    fn tags(&mut self) -> Result<(), String> {
        while self.u8()? & 0x80 != 0 {}
        Ok(())
    }

    fn value(&mut self, in_type: u8) -> Result<TraceValue, String> {
        let (width, signed) = match in_type {
            3 => (1, true),
            4 => (1, false),
            5 => (2, true),
            6 => (2, false),
            7 | 13 => (4, true),
            8 | 20 => (4, false),
            9 => (8, true),
            10 | 17 | 21 => (8, false),
            22 => {
                let length = usize::from(self.u16()?);
                if length % 2 != 0 {
                    return Err(format!("a UTF-16 string of {length} bytes"));
                }
                let units = self.take(length)?.chunks_exact(2);
                let units = units.map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
                return Ok(TraceValue::Units(units.collect()));
            }
            // Revision, number of parts, six bytes of authority, four a part.
            19 => {
                let parts = usize::from(*self.rest.get(1).ok_or("it ends too early")?);
                if self.rest[0] != 1 || parts > 15 {
                    return Err("it is no security identifier".into());
                }
                return Ok(TraceValue::Sid(self.take(8 + 4 * parts)?.to_vec()));
            }
            23 | 25 => {
                let length = usize::from(self.u16()?);
                return Ok(TraceValue::Bytes(self.take(length)?.to_vec()));
            }
            other => return Err(format!("in-type {other} is not modelled")),
        };
        self.number(width, signed).map(TraceValue::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROVIDER: &[u8] = b"\x08\0Maker\0";
    const EVENT: &[u8] = b"\x19\0\0Ev\0N\0\x08S\0\x87\x0ET\0\x16W\0\x17A\0\x46B\0\x04";
    const VALUES: &[u8] = b"\x01\0\0\0\xFE\xFF\xFF\xFF\x02\0A\0\x01\0z\x02\0\x07\0\x08\0\x01";

    #[test]
    fn an_event_is_read() {
        let event = decode(PROVIDER, EVENT, VALUES, 3, 9).unwrap();
        assert_eq!((&*event.provider, &*event.name), ("Maker", "Ev"));
        assert_eq!((event.level, event.keyword), (3, 9));
        assert_eq!(event.number("N"), Some(1));
        assert_eq!(event.number("S"), Some(-2_i64 as u64));
        assert_eq!(event.text("T").as_deref(), Some("A"));
        assert_eq!(event.text("W").as_deref(), Some("z"));
        let array = TraceValue::Array(vec![TraceValue::Number(7), TraceValue::Number(8)]);
        assert_eq!(event.field("A"), Some(&array));
        assert_eq!(event.number("B"), Some(1));
        assert_eq!(event.field("C"), None);
    }

    #[test]
    fn an_identifier_says_how_long_it_is() {
        const USER: &[u8] = b"\x09\0\0Ev\0U\0\x13";
        let system = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
        let read = |values: &[u8]| decode(PROVIDER, USER, values, 3, 9);
        let sid = TraceValue::Sid(system.to_vec());
        assert_eq!(read(&system).unwrap().field("U"), Some(&sid));
        for cut in 0..system.len() {
            assert!(read(&system[..cut]).is_err(), "{cut}");
        }
        assert!(read(&[[1, 16].as_slice(), &[0; 80]].concat()).is_err(), "sixteen parts");
        assert!(read(&[&[2], &system[1..]].concat()).is_err(), "another revision");
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for cut in 0..VALUES.len() {
            assert!(decode(PROVIDER, EVENT, &VALUES[..cut], 3, 9).is_err(), "{cut}");
        }
        assert!(decode(PROVIDER, EVENT, &[VALUES, &[0]].concat(), 3, 9).is_err());
        for cut in 0..EVENT.len() {
            assert!(decode(PROVIDER, &EVENT[..cut], VALUES, 3, 9).is_err(), "{cut}");
        }
        for cut in 0..PROVIDER.len() {
            assert!(decode(&PROVIDER[..cut], EVENT, VALUES, 3, 9).is_err(), "{cut}");
        }
    }
}
