//! `printf` as `DbgPrint` knows it, over a Win64 `va_list` (slots of eight bytes).

use crate::guest::{self, Fault, UnicodeString};

/// Why a message cannot be formatted.
#[derive(Debug)]
pub(super) enum FormatError {
    /// An argument that is a pointer faults.
    Fault(Fault),
    /// A conversion that the kernel's printf does not know.
    Conversion(char),
}

impl From<Fault> for FormatError {
    fn from(fault: Fault) -> FormatError {
        FormatError::Fault(fault)
    }
}

#[derive(Default)]
struct Spec {
    zero: bool,
    left: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    /// 64-bit integer.
    long: bool,
    /// `l` or `w`: wide text.
    wide: bool,
    short: bool,
}

struct Arguments(u64);

impl Arguments {
    fn next(&mut self) -> Result<u64, Fault> {
        let value = guest::read(self.0)?;
        self.0 += 8;
        Ok(value)
    }
}

/// Formats a message.
pub(super) fn format(text: &str, arguments: u64) -> Result<String, FormatError> {
    let mut arguments = Arguments(arguments);
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('%') {
        out.push_str(&rest[..start]);
        let (spec, after) = parse(&rest[start + 1..], &mut arguments)?;
        let Some(conversion) = after.chars().next() else {
            return Ok(out);
        };
        rest = &after[conversion.len_utf8()..];
        let body = convert(conversion, &spec, &mut arguments)?;
        pad(&mut out, &body, &spec, "diuxXp".contains(conversion));
    }
    out.push_str(rest);
    Ok(out)
}

fn parse<'t>(text: &'t str, arguments: &mut Arguments) -> Result<(Spec, &'t str), FormatError> {
    let mut spec = Spec::default();
    let mut rest = text;
    while let Some(flag) = rest.chars().next().filter(|c| "0-+ #".contains(*c)) {
        spec.zero |= flag == '0';
        spec.left |= flag == '-';
        spec.alternate |= flag == '#';
        rest = &rest[1..];
    }
    let (width, after) = number(rest, arguments)?;
    spec.width = width.unwrap_or(0);
    rest = after;
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = number(after, arguments)?;
        spec.precision = Some(precision.unwrap_or(0));
        rest = after;
    }
    loop {
        let long = ["I64", "ll", "I32", "I", "z", "t", "j"];
        if let Some(size) = long.into_iter().find(|size| rest.starts_with(size)) {
            spec.long |= size != "I32";
            rest = &rest[size.len()..];
        } else if let Some(after) = rest.strip_prefix(['l', 'w']) {
            spec.wide = true;
            rest = after;
        } else if let Some(after) = rest.strip_prefix('h') {
            spec.short = true;
            rest = after;
        } else {
            return Ok((spec, rest));
        }
    }
}

fn number<'t>(
    text: &'t str,
    arguments: &mut Arguments,
) -> Result<(Option<usize>, &'t str), FormatError> {
    if let Some(rest) = text.strip_prefix('*') {
        return Ok((Some(arguments.next()? as u32 as usize & 0xFFFF), rest));
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Ok((digits.parse::<usize>().ok().map(|n| n.min(0xFFFF)), rest))
}

fn convert(
    conversion: char,
    spec: &Spec,
    arguments: &mut Arguments,
) -> Result<String, FormatError> {
    Ok(match conversion {
        '%' => "%".to_owned(),
        'd' | 'i' => {
            let value = arguments.next()?;
            match (spec.long, spec.short) {
                (true, _) => (value as i64).to_string(),
                (_, true) => (value as i16).to_string(),
                _ => (value as i32).to_string(),
            }
        }
        'u' => narrow(arguments.next()?, spec).to_string(),
        'x' => {
            let value = narrow(arguments.next()?, spec);
            if spec.alternate { format!("{value:#x}") } else { format!("{value:x}") }
        }
        'X' => format!("{:X}", narrow(arguments.next()?, spec)),
        'p' => format!("{:016X}", arguments.next()?),
        'c' => char::from(arguments.next()? as u8).to_string(),
        'C' => String::from_utf16_lossy(&[arguments.next()? as u16]),
        's' if !spec.wide => narrow_text(arguments.next()?, spec)?,
        's' | 'S' => wide_text(arguments.next()?, spec)?,
        'Z' => counted_text(arguments.next()?, spec)?,
        other => return Err(FormatError::Conversion(other)),
    })
}

fn narrow(value: u64, spec: &Spec) -> u64 {
    match (spec.long, spec.short) {
        (true, _) => value,
        (_, true) => u64::from(value as u16),
        _ => u64::from(value as u32),
    }
}

fn narrow_text(address: u64, spec: &Spec) -> Result<String, FormatError> {
    if address == 0 {
        return Ok("(null)".to_owned());
    }
    let mut text = Vec::new();
    while spec.precision.is_none_or(|limit| text.len() < limit) && text.len() < 0x1000 {
        match guest::read::<u8>(address + text.len() as u64)? {
            0 => break,
            byte => text.push(byte),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn wide_text(address: u64, spec: &Spec) -> Result<String, FormatError> {
    if address == 0 {
        return Ok("(null)".to_owned());
    }
    let mut text = Vec::new();
    while spec.precision.is_none_or(|limit| text.len() < limit) && text.len() < 0x1000 {
        match guest::read::<u16>(address + 2 * text.len() as u64)? {
            0 => break,
            unit => text.push(unit),
        }
    }
    Ok(String::from_utf16_lossy(&text))
}

fn counted_text(address: u64, spec: &Spec) -> Result<String, FormatError> {
    if address == 0 {
        return Ok("(null)".to_owned());
    }
    let string = UnicodeString::read(address)?;
    if spec.wide {
        return Ok(String::from_utf16_lossy(&string.units()?));
    }
    let bytes = guest::bytes(string.buffer, usize::from(string.length))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn pad(out: &mut String, body: &str, spec: &Spec, numeric: bool) {
    let missing = spec.width.saturating_sub(body.chars().count());
    let fill = |out: &mut String, with: char| out.extend(std::iter::repeat_n(with, missing));
    if spec.left {
        out.push_str(body);
        fill(out, ' ');
    } else if spec.zero && numeric {
        let (sign, digits) = match body.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", body),
        };
        out.push_str(sign);
        fill(out, '0');
        out.push_str(digits);
    } else {
        fill(out, ' ');
        out.push_str(body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::{GuestBlock, GuestBuffer};

    #[test]
    fn formats_what_drivers_use() {
        let narrow = GuestBuffer::new(b"str\0");
        let wide = GuestBuffer::utf16(&"wide\0".encode_utf16().collect::<Vec<_>>());
        let string = GuestBlock::new(16);
        UnicodeString { length: 4, maximum: 4, buffer: wide.address() }
            .write(string.address())
            .unwrap();
        let values = [
            (-5i64) as u64,
            0xC000_0022,
            narrow.address(),
            wide.address(),
            string.address(),
            0x1122_3344_5566_7788,
            u64::from(b'x'),
            7,
        ];
        let list = GuestBlock::new(values.len() * 8);
        for (index, value) in values.into_iter().enumerate() {
            guest::write(list.address() + 8 * index as u64, value).unwrap();
        }
        let text = format("%d %08x %-5s| %ws %wZ %I64x %c%% %04u", list.address()).unwrap();
        assert_eq!(text, "-5 c0000022 str  | wide wi 1122334455667788 x% 0007");
        assert!(matches!(format("%q", list.address()), Err(FormatError::Conversion('q'))));
    }
}
