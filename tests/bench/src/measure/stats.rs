//! Medians and percentiles.

/// The middle value; of an even number the upper of the two in the middle.
pub fn median(values: Vec<f64>) -> f64 {
    percentile(&sorted(values), 50)
}

/// How values spread.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tail {
    /// Half are not above it.
    pub p50: f64,
    /// Ninety-nine in a hundred are not above it.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

impl Tail {
    /// The tail of those values.
    pub fn of(values: Vec<f64>) -> Self {
        let values = sorted(values);
        Self {
            p50: percentile(&values, 50),
            p99: percentile(&values, 99),
            max: percentile(&values, 100),
        }
    }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The value that so many in a hundred are below; not a number if there are none.
fn percentile(sorted: &[f64], part: usize) -> f64 {
    let place = (sorted.len() * part / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_tails_do_not_depend_on_the_order() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 3.0);
        let tail = Tail::of((1..=200).rev().map(f64::from).collect());
        assert_eq!(tail, Tail { p50: 101.0, p99: 199.0, max: 200.0 });
    }

    #[test]
    fn one_value_is_all_of_them_and_none_is_no_number() {
        assert_eq!(Tail::of(vec![7.0]), Tail { p50: 7.0, p99: 7.0, max: 7.0 });
        assert!(median(Vec::new()).is_nan());
    }
}
