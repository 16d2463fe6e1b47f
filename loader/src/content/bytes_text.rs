//! Bytes on the command line: hexadecimal digits or base64, told apart by their number.

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};

/// The `N` bytes that the text says; `what` it is, for a message.
pub fn parse<const N: usize>(text: &str, what: &str) -> Result<[u8; N], String> {
    let text = text.trim();
    let encoding = if text.len() == N * 2 { &HEXLOWER_PERMISSIVE } else { &BASE64 };
    let bytes = encoding.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| {
        let (digits, characters) = (N * 2, N.div_ceil(3) * 4);
        format!("{what} has {N} bytes: {digits} hexadecimal digits, or {characters} characters of base64")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_and_no_other() {
        assert_eq!(parse::<2>("0aFf", "x"), Ok([0x0a, 0xff]));
        assert_eq!(parse::<3>("Cv8A", "x"), Ok([0x0a, 0xff, 0]));
        assert_eq!(parse::<2>(" 0aff\n", "x"), Ok([0x0a, 0xff]));
        for wrong in ["", "0a", "0aff0", "0afg", "Cv8", "C_8A", "0aff00"] {
            let error = parse::<2>(wrong, "a pair").unwrap_err();
            assert!(error.contains("a pair has 2 bytes: 4 hexadecimal"), "{wrong}: {error}");
        }
    }
}
