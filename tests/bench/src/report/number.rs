//! Numbers as people read them: three digits that mean something, and a unit.

/// A time given in nanoseconds.
pub fn time(nanoseconds: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
    // 999.6 is a thousand when it is rounded.
    match units.into_iter().find(|(scale, _)| nanoseconds >= scale * 0.9995) {
        Some((scale, unit)) => format!("{} {unit}", digits(nanoseconds / scale)),
        None => format!("{} ns", digits(nanoseconds)),
    }
}

/// A size given in bytes.
pub fn size(bytes: usize) -> String {
    let bytes = bytes as f64;
    let units = [((1_u64 << 20) as f64, "MB"), (1024.0, "KB")];
    match units.into_iter().find(|(scale, _)| bytes >= *scale) {
        Some((scale, unit)) => format!("{} {unit}", digits(bytes / scale)),
        None => format!("{bytes} B"),
    }
}

/// A ratio.
pub fn ratio(value: f64) -> String {
    format!("{}×", if value < 1.0 { format!("{value:.2}") } else { digits(value) })
}

/// A whole number, its thousands apart.
pub fn count(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn digits(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        count(value.round() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        assert_eq!(time(1.234), "1.23 ns");
        assert_eq!(time(342.7), "343 ns");
        assert_eq!(time(999.6), "1.00 µs");
        assert_eq!(time(12_345_678.0), "12.3 ms");
        assert_eq!(size(512), "512 B");
        assert_eq!(size(42_115 * 1024), "41.1 MB");
        assert_eq!(ratio(0.256), "0.26×");
        assert_eq!(ratio(1_234.4), "1,234×");
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!(count(7), "7");
        assert_eq!(count(1_234_567), "1,234,567");
    }
}
