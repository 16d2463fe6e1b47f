//! When content has blocked too much, and blocks no more.
//!
//! A rule can be signed, pass its examples and still be wrong about a machine. The fuse counts what
//! one content blocks, and on trial what it would have blocked. At the first block that is one too
//! many it trips: that block and every later one of the same content become detections, until
//! newer content comes or an administrator resets it. It never lights by itself again.
//!
//! Somebody who is blocked can trip it on purpose, by asking again and again. That is the lesser
//! evil, is loud, and leaves every detection in place: a machine whose services get no pipes is
//! down, whoever meant well. For the same reason a trip is not written to the disk: it would
//! disarm the machine for longer than who caused it is there. A start begins with a whole fuse, and
//! content that is still wrong blocks up to the same bounds once more.

use driver_abi::Trip;

/// 100-nanosecond units in the short and in the long window.
const MINUTE: u64 = 60 * 10_000_000;
const HOUR: u64 = 60 * MINUTE;

/// Blocks in a minute: one a second, as a program makes that asks again and again. A service that
/// does so is one that the machine needs.
pub const MAX_BLOCKS_A_MINUTE: u32 = 60;
/// Different images blocked in an hour. One malicious program is one or a few images; more than
/// this is software in general.
pub const MAX_IMAGES: usize = 8;
/// Blocks in an hour from which the share is looked at: below, it means nothing.
pub const SHARE_BLOCKS: u32 = 16;
/// The share of an hour's pipe creates that may be blocked, as one in so many: a quiet server makes
/// dozens an hour, a desktop thousands, and what is worth blocking is rare among them.
pub const SHARE_DIVISOR: u64 = 2;

/// What the fuse knows of a block.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// When: 100-nanosecond units of a clock that never goes back.
    pub now: u64,
    /// Creates judged since the driver started, this one included.
    pub creates: u64,
    /// Stands for the requestor's image: equal for equal images.
    pub image: u64,
}

/// Counts the blocks of one content.
///
/// Windows do not slide: one begins with the first block after the one before is over. So at most
/// twice [`MAX_BLOCKS_A_MINUTE`] fall into any sixty seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fuse {
    minute: Window,
    hour: Window,
    creates_before: u64,
    images: [Option<u64>; MAX_IMAGES],
    tripped: Option<Trip>,
}

impl Fuse {
    /// A fuse that has counted nothing.
    pub const fn new() -> Self {
        Self {
            minute: Window::CLOSED,
            hour: Window::CLOSED,
            creates_before: 0,
            images: [None; MAX_IMAGES],
            tripped: None,
        }
    }

    /// What tripped it.
    pub const fn tripped(&self) -> Option<Trip> {
        self.tripped
    }

    /// Counts one block that is about to happen. `Some` when it must not: what tripped the fuse,
    /// now or before.
    pub fn count(&mut self, block: &Block) -> Option<Trip> {
        if self.tripped.is_some() {
            return self.tripped;
        }
        self.minute.count(block.now, MINUTE);
        if self.hour.count(block.now, HOUR) {
            self.creates_before = block.creates.saturating_sub(1);
            self.images = [None; MAX_IMAGES];
        }
        self.tripped = if self.minute.blocks > MAX_BLOCKS_A_MINUTE {
            Some(Trip::Blocks)
        } else if !self.has_room_for(block.image) {
            Some(Trip::Images)
        } else if self.hour.blocks >= SHARE_BLOCKS && self.is_large_share(block.creates) {
            Some(Trip::Share)
        } else {
            None
        };
        self.tripped
    }

    /// True when the image is among those blocked in this hour, or is now.
    fn has_room_for(&mut self, image: u64) -> bool {
        let slot = self.images.iter_mut().find(|slot| slot.is_none_or(|known| known == image));
        match slot {
            Some(slot) => {
                *slot = Some(image);
                true
            }
            None => false,
        }
    }

    const fn is_large_share(&self, creates: u64) -> bool {
        let creates = creates.saturating_sub(self.creates_before);
        // Widening: both are counts.
        #[allow(clippy::as_conversions, reason = "u32 to u64")]
        let blocks = self.hour.blocks as u64;
        blocks.saturating_mul(SHARE_DIVISOR) > creates
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    since: u64,
    /// 0: no window is open.
    blocks: u32,
}

impl Window {
    const CLOSED: Self = Self { since: 0, blocks: 0 };

    /// True when the block begins a window.
    const fn count(&mut self, now: u64, length: u64) -> bool {
        let begins = self.blocks == 0 || now.saturating_sub(self.since) >= length;
        if begins {
            *self = Self { since: now, blocks: 0 };
        }
        self.blocks = self.blocks.saturating_add(1);
        begins
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails")]
mod tests {
    extern crate std;

    use std::collections::BTreeSet;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// So many creates between two blocks that their share is never large.
    const BUSY: u64 = 1_000;

    fn block(now: u64, number: u64, image: u64) -> Block {
        Block { now, creates: number * BUSY, image }
    }

    #[test]
    fn as_many_blocks_a_minute_as_allowed_and_not_one_more() {
        let mut fuse = Fuse::new();
        for number in 0..u64::from(MAX_BLOCKS_A_MINUTE) {
            assert_eq!(fuse.count(&block(7, number, 1)), None);
        }
        assert_eq!(fuse.count(&block(6 + MINUTE, 99, 1)), Some(Trip::Blocks));
        assert_eq!(fuse.tripped(), Some(Trip::Blocks));
    }

    #[test]
    fn a_new_minute_counts_anew() {
        let mut fuse = Fuse::new();
        for minute in 0..5 {
            for number in 0..u64::from(MAX_BLOCKS_A_MINUTE) {
                let number = minute * 100 + number;
                assert_eq!(fuse.count(&block(minute * MINUTE, number, 1)), None);
            }
        }
    }

    #[test]
    fn as_many_images_an_hour_as_allowed_and_not_one_more() {
        let images = u64::try_from(MAX_IMAGES).unwrap();
        let mut fuse = Fuse::new();
        for image in 0..images {
            assert_eq!(fuse.count(&block(image * MINUTE, image, image)), None);
        }
        // Known ones are free; a window later they are forgotten, and so is the count.
        assert_eq!(fuse.count(&block(9 * MINUTE, 20, 3)), None);
        assert_eq!(fuse.count(&block(HOUR - 1, 21, images)), Some(Trip::Images));
        let mut fuse = Fuse::new();
        for image in 0..3 * images {
            let now = image / images * HOUR + image % images;
            assert_eq!(fuse.count(&block(now, image, image)), None);
        }
    }

    #[test]
    fn a_share_trips_it_only_from_a_number_of_blocks_on() {
        let all_blocked = |fuse: &mut Fuse, number: u64| {
            fuse.count(&Block { now: number * MINUTE, creates: 500 + number, image: 1 })
        };
        let mut fuse = Fuse::new();
        for number in 1..u64::from(SHARE_BLOCKS) {
            assert_eq!(all_blocked(&mut fuse, number), None);
        }
        assert_eq!(all_blocked(&mut fuse, u64::from(SHARE_BLOCKS)), Some(Trip::Share));
        // Half of the creates is not more than half.
        let mut fuse = Fuse::new();
        assert_eq!(fuse.count(&Block { now: MINUTE, creates: 1, image: 1 }), None);
        for number in 2..50 {
            let half = Block { now: number * MINUTE, creates: 2 * number, image: 1 };
            assert_eq!(fuse.count(&half), None, "{number}");
        }
    }

    #[test]
    fn content_that_blocks_everything_trips_it_within_its_bound() {
        let mut fuse = Fuse::new();
        let mut image = 0_u64;
        let blocked = (1..).take_while(|number| {
            image = (image + 1) % 3;
            fuse.count(&Block { now: number * 1_000, creates: *number, image }).is_none()
        });
        assert_eq!(blocked.count(), usize::try_from(SHARE_BLOCKS - 1).unwrap());
    }

    #[test]
    fn it_stays_tripped_and_says_what_tripped_it() {
        let mut fuse = Fuse::new();
        let images = u64::try_from(MAX_IMAGES).unwrap();
        for image in 0..=images {
            fuse.count(&block(0, image, image));
        }
        for hours in 1..100 {
            assert_eq!(fuse.count(&block(hours * HOUR, 0, 0)), Some(Trip::Images));
        }
        assert_eq!(Fuse::new().tripped(), None);
    }

    proptest! {
        /// Against counting by hand: at most the bound in any window that begins with a block, and
        /// it trips for a reason that holds.
        #[test]
        fn trips_exactly_when_a_bound_is_passed(
            steps in prop::collection::vec((0..MINUTE / 4, 0_u64..4, 0_u64..12), 1..400),
        ) {
            let mut fuse = Fuse::new();
            let (mut now, mut creates) = (0, 0);
            let mut minute: Vec<u64> = Vec::new();
            let mut hour: Vec<(u64, u64, u64)> = Vec::new();
            for (pause, others, image) in steps {
                now += pause;
                creates += others + 1;
                if minute.first().is_none_or(|first| now - first >= MINUTE) {
                    minute.clear();
                }
                if hour.first().is_none_or(|first| now - first.0 >= HOUR) {
                    hour.clear();
                }
                minute.push(now);
                hour.push((now, creates, image));
                let images: BTreeSet<u64> = hour.iter().map(|block| block.2).collect();
                let judged = creates - (hour[0].1 - 1);
                let blocks = u64::try_from(hour.len()).unwrap();
                let expected = if minute.len() > usize::try_from(MAX_BLOCKS_A_MINUTE).unwrap() {
                    Some(Trip::Blocks)
                } else if images.len() > MAX_IMAGES {
                    Some(Trip::Images)
                } else if blocks >= u64::from(SHARE_BLOCKS) && blocks * SHARE_DIVISOR > judged {
                    Some(Trip::Share)
                } else {
                    None
                };
                prop_assert_eq!(fuse.count(&Block { now, creates, image }), expected);
                if expected.is_some() {
                    break;
                }
            }
        }
    }
}
