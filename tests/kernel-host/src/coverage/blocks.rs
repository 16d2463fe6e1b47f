//! Basic blocks of machine code.

use std::collections::BTreeSet;
use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};

/// Instructions that run one after the other, as offsets in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its first byte.
    pub start: u32,
    /// The byte behind its last.
    pub end: u32,
}

impl Block {
    /// Where its instructions begin.
    pub(super) fn instructions(self, image: &[u8]) -> impl Iterator<Item = u32> + '_ {
        decode(image, self.start..self.end).map(|instruction| instruction.ip() as u32)
    }
}

/// The blocks of some functions, in order. Filling between blocks is none.
pub(super) fn find(image: &[u8], functions: &[Range<u32>]) -> Vec<Block> {
    let mut leaders = BTreeSet::new();
    let mut code = BTreeSet::new();
    for function in functions {
        leaders.insert(function.start);
        for instruction in decode(image, function.clone()) {
            let next = instruction.next_ip() as u32;
            code.insert((instruction.ip() as u32, next, is_filling(&instruction)));
            match instruction.flow_control() {
                FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => {}
                FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                    leaders.insert(instruction.near_branch_target() as u32);
                    leaders.insert(next);
                }
                _ => {
                    leaders.insert(next);
                }
            }
        }
    }
    let mut blocks = Vec::<Block>::new();
    // A block is open while the next instruction goes on where it ends.
    let mut open = false;
    for (start, end, filling) in code {
        match blocks.last_mut() {
            Some(block) if open && block.end == start && !leaders.contains(&start) => {
                block.end = end;
            }
            // Filling stands where nothing falls through to.
            _ if filling => open = false,
            _ => {
                blocks.push(Block { start, end });
                open = true;
            }
        }
    }
    blocks
}

fn decode(image: &[u8], range: Range<u32>) -> impl Iterator<Item = Instruction> + '_ {
    let bytes = image.get(range.start as usize..range.end as usize).unwrap_or(&[]);
    let mut decoder = Decoder::with_ip(64, bytes, u64::from(range.start), DecoderOptions::NONE);
    std::iter::from_fn(move || decoder.can_decode().then(|| decoder.decode()))
}

fn is_filling(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Int3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_at_branches_and_begins_at_their_targets() {
        let code = [
            0x31, 0xC0, // 0: xor eax, eax
            0x85, 0xC9, // 2: test ecx, ecx
            0x74, 0x04, // 4: je 10
            0xFF, 0xC0, // 6: inc eax
            0xEB, 0x02, // 8: jmp 12
            0xFF, 0xC8, // 10: dec eax
            0xC3, // 12: ret
            0xCC, 0xCC, 0xCC, // 13: filling
            0xE8, 0, 0, 0, 0,    // 16: call 21
            0x90, // 21: nop, after a call: part of the block
            0xC3, // 22: ret
        ];
        let blocks = find(&code, &[0..16, 16..23]);
        let expected = [(0, 6), (6, 10), (10, 12), (12, 13), (16, 23)];
        let found: Vec<_> = blocks.iter().map(|block| (block.start, block.end)).collect();
        assert_eq!(found, expected);
        assert_eq!(blocks[0].instructions(&code).collect::<Vec<_>>(), [0, 2, 4]);
    }

    #[test]
    fn functions_given_twice_or_outside_change_nothing() {
        let code = [0x31, 0xC0, 0xC3];
        let once = find(&code, std::slice::from_ref(&(0..3)));
        assert_eq!(find(&code, &[0..3, 0..3, 7..9]), once);
        assert_eq!(once, [Block { start: 0, end: 3 }]);
    }
}
