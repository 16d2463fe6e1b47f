//! The physical limit of an automaton: one step is a load that depends on an addition that depends
//! on the load before. Nothing that walks a table unit by unit can be faster.

use std::hint::black_box;
use std::time::Instant;

/// States times classes: a table that stays in the first cache.
const TABLE: usize = 4_096;
/// Steps of one measurement.
const STEPS: usize = 20_000;

/// Nanoseconds of one step.
pub fn step() -> f64 {
    // A cycle through the whole table, so that no step can be foreseen.
    let table: Vec<u32> =
        (0..TABLE as u32 * 2).map(|place| (place * 1_221 + 77) % TABLE as u32).collect();
    let classes: Vec<u8> = (0..STEPS).map(|place| (place % 53) as u8).collect();
    let (table, classes) = (black_box(table.as_slice()), black_box(classes.as_slice()));
    let start = Instant::now();
    black_box(walk(table, classes));
    start.elapsed().as_nanos() as f64 / STEPS as f64
}

/// The walk, with checked reads that leave early: what the driver's code does.
fn walk(table: &[u32], classes: &[u8]) -> Option<u32> {
    let mut state = 0_u32;
    for class in classes {
        state = *table.get(state as usize + usize::from(*class))?;
    }
    Some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_goes_to_its_end_and_stops_outside_the_table() {
        assert_eq!(walk(&[2, 9, 1], &[0, 1]), None);
        assert_eq!(walk(&[2, 9, 1, 5], &[0, 1]), Some(5));
    }
}
