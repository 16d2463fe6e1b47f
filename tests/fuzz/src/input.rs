//! Choices from an input's bytes, for targets that make something of them.

/// An input that is used up from its front. When nothing is left, every choice is 0, the plainest:
/// so an input that is cut short is a plainer one.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of an input.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is left.
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next bytes, as many as there are.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The next bytes, zeros where there are none.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.bytes(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    /// The next byte.
    pub fn u8(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// A number below a bound of at most 256, by one byte.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.u8()) % bound.max(1)
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    /// UTF-16 units, up to as many: a length in two bytes, then the units.
    pub fn units(&mut self, most: usize) -> Vec<u16> {
        let count = usize::from(self.u16()) % (most + 1);
        let bytes = self.bytes(2 * count);
        bytes.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_from_the_front_and_then_zeros() {
        let mut input = Input::new(&[1, 2, 0, b'a', 0, b'b', 0, 9]);
        assert_eq!((input.u8(), input.units(10)), (1, vec![97, 98]));
        assert_eq!((input.u32(), input.is_empty()), (9, true));
        assert_eq!((input.u64(), input.below(7), input.flag()), (0, 0, false));
    }
}
