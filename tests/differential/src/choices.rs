//! Choices: what the generators ask for, from a seed or from a tape of earlier choices.
//!
//! Every choice is a number below a bound, and 0 is always the plainest answer. So a rule that
//! shows a difference is made smaller by shortening and lowering its tape and generating it again,
//! whatever the generator does with the numbers.

/// A source of choices that remembers them.
#[derive(Clone, Debug)]
pub struct Choices {
    source: Source,
    taken: Vec<u32>,
}

#[derive(Clone, Debug)]
enum Source {
    Seed(u64),
    Tape(Vec<u32>),
}

impl Choices {
    /// Choices at random: the same for the same numbers.
    pub fn seeded(numbers: &[u64]) -> Self {
        let state = numbers.iter().fold(0, |state, number| scatter(state ^ scatter(*number)));
        Self { source: Source::Seed(state), taken: Vec::new() }
    }

    /// The choices of a tape, and 0 when it has run out.
    pub fn replayed(tape: Vec<u32>) -> Self {
        Self { source: Source::Tape(tape), taken: Vec::new() }
    }

    /// What has been chosen so far.
    pub fn into_tape(self) -> Vec<u32> {
        self.taken
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound.max(1)).expect("bounds are small");
        let chosen = match &mut self.source {
            Source::Seed(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                // The upper half of the product spreads evenly over the bound.
                let random = u128::from(scatter(*state));
                u32::try_from((random * u128::from(bound)) >> 64).expect("below a 32-bit bound")
            }
            Source::Tape(tape) => tape.get(self.taken.len()).copied().unwrap_or(0).min(bound - 1),
        };
        self.taken.push(chosen);
        chosen as usize
    }

    /// A number from `first` to `last`, both included.
    pub fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    /// True that often: `chance(1, 8)` once in eight times. The plain answer is false.
    pub fn chance(&mut self, times: usize, of: usize) -> bool {
        self.below(of) >= of - times
    }

    /// One of them; the first is the plainest.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// The place of one of the weights, as often as they say.
    pub fn weighted(&mut self, weights: &[usize]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (place, weight) in weights.iter().enumerate() {
            if left < *weight {
                return place;
            }
            left -= weight;
        }
        0
    }
}

/// The mixing step of SplitMix64.
fn scatter(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_gives_the_same_choices_again() {
        let ask = |choices: &mut Choices| -> Vec<usize> {
            (1..200).map(|bound| choices.below(bound)).collect()
        };
        let mut first = Choices::seeded(&[7, 9]);
        let chosen = ask(&mut first);
        assert_eq!(ask(&mut Choices::replayed(first.into_tape())), chosen);
        assert_eq!(ask(&mut Choices::seeded(&[7, 9])), chosen);
        assert_ne!(ask(&mut Choices::seeded(&[9, 7])), chosen);
    }

    #[test]
    fn a_tape_that_has_run_out_gives_the_plain_answer() {
        let mut choices = Choices::replayed(vec![100]);
        assert_eq!(choices.below(8), 7, "a number too high is the highest");
        assert_eq!((choices.below(8), choices.chance(1, 2), choices.pick(&[3, 4])), (0, false, 3));
    }

    #[test]
    fn choices_are_as_frequent_as_asked() {
        let mut choices = Choices::seeded(&[1]);
        let mut counts = [0; 3];
        (0..6_000).for_each(|_| counts[choices.weighted(&[1, 2, 3])] += 1);
        for (count, expected) in counts.into_iter().zip([1_000, 2_000, 3_000]) {
            assert!(expected * 8 / 10 < count && count < expected * 12 / 10, "{counts:?}");
        }
        let often = (0..8_000).filter(|_| choices.chance(1, 8)).count();
        assert!((800..1_200).contains(&often), "{often}");
    }
}
