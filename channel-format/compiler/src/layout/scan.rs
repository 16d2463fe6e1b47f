//! Scans: the literals of a field to the double array that `channel_format::engine::scan` walks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use channel_format::engine::criterion::Operator;
use channel_format::engine::scan::{
    ANYWHERE, BASE_SHIFT, CASED, DESCRIPTOR_LEN, EMPTY, FLAG_ANYWHERE, LINK, NO_GROUP, OTHER, OUT,
    ROOT, SHORT,
};

/// A literal to be found, folded, and the criterion that it belongs to.
pub(super) struct Sought<'a> {
    pub(super) literal: &'a [u16],
    pub(super) criterion: u32,
    pub(super) operator: u8,
    pub(super) cased: bool,
}

/// A scan as the format has it.
pub(super) struct Scan {
    classes: u16,
    others: u16,
    slots: u32,
    groups: u32,
    hits: u32,
    tables: Vec<u8>,
}

impl Scan {
    /// Builds the automaton of some literals.
    pub(super) fn build(sought: &[Sought<'_>]) -> Self {
        let groups = groups(sought);
        let classes = Classes::of(&groups);
        let mut trie = Trie::default();
        for (number, group) in groups.iter().enumerate() {
            trie.insert(&classes.spell(group.key), number as u32);
        }
        let suffixes = trie.link(groups.len());
        let anywhere = anywhere(&groups, &suffixes);
        let mut tables = classes.tables();
        let (pairs, slots) = DoubleArray::of(&trie, classes.count()).write(&trie, &anywhere);
        tables.extend(pairs.iter().chain(&slots).flat_map(|state| state.to_le_bytes()));
        let hits = group_tables(&groups, &suffixes, &anywhere, &mut tables);
        Self {
            classes: classes.count(),
            others: classes.others.len() as u16,
            slots: slots.len() as u32,
            groups: groups.len() as u32,
            hits,
            tables,
        }
    }

    /// The section that holds these scans, each with the numbers of its field and its purpose.
    pub(super) fn section(scans: &[(u8, u8, Self)]) -> Vec<u8> {
        if scans.is_empty() {
            return Vec::new();
        }
        let mut section = (scans.len() as u32).to_le_bytes().to_vec();
        let mut start = section.len() + scans.len() * DESCRIPTOR_LEN;
        for (field, purpose, scan) in scans {
            section.extend([*field, *purpose, 0, 0]);
            section.extend(scan.classes.to_le_bytes());
            section.extend(scan.others.to_le_bytes());
            for number in [scan.slots, scan.groups, scan.hits, start as u32] {
                section.extend(number.to_le_bytes());
            }
            start += scan.tables.len();
        }
        section.extend(scans.iter().flat_map(|(_, _, scan)| &scan.tables));
        section
    }
}

/// The criteria with one literal.
struct Group<'a> {
    literal: &'a [u16],
    key: &'a [u16],
    /// In order.
    hits: Vec<&'a Sought<'a>>,
}

impl Group<'_> {
    fn has(&self, operators: &[Operator]) -> bool {
        self.hits.iter().any(|hit| operators.iter().any(|one| one.number() == hit.operator))
    }

    /// Whether it may count wherever its key ends.
    fn is_anywhere(&self) -> bool {
        let longer = self.key.len() < self.literal.len();
        self.has(&[Operator::Contains, Operator::Regex])
            || longer && self.has(&[Operator::EndsWith])
    }

    /// The most steps that finding it may cost.
    fn cost(&self) -> u32 {
        (self.hits.len() * (self.literal.len() + 1)) as u32
    }
}

/// The fewest units of a key whose literal has them: shorter ones would often be found for nothing.
const LEAST_KEY: usize = 8;
/// The same where literals are few: the states of longer keys stay in the cache then, and spare a
/// comparison.
const LEAST_KEY_OF_FEW: usize = 24;
/// Units of all literals together up to which they are few.
const FEW_UNITS: usize = 8_192;

/// The groups in the order of their keys.
fn groups<'a>(sought: &'a [Sought<'a>]) -> Vec<Group<'a>> {
    let mut by_literal: BTreeMap<&[u16], Vec<&Sought<'_>>> = BTreeMap::new();
    for one in sought {
        by_literal.entry(one.literal).or_default().push(one);
    }
    let mut groups: Vec<Group<'_>> = Vec::with_capacity(by_literal.len());
    for (literal, mut hits) in by_literal {
        hits.sort_by_key(|one| one.criterion);
        groups.push(Group { literal, key: literal, hits });
    }
    let literals: Vec<&[u16]> = groups.iter().map(|group| group.literal).collect();
    let units: usize = literals.iter().map(|literal| literal.len()).sum();
    let least = if units <= FEW_UNITS { LEAST_KEY_OF_FEW } else { LEAST_KEY };
    let shared = |first: usize, second: usize| {
        let pair = literals.get(first).zip(literals.get(second));
        pair.map_or(0, |(one, other)| one.iter().zip(*other).take_while(|(a, b)| a == b).count())
    };
    for (place, group) in groups.iter_mut().enumerate() {
        // Those that share most with a literal are beside it.
        let alone = 1 + shared(place.wrapping_sub(1), place).max(shared(place, place + 1));
        // What must stand at the end is found there.
        if !group.has(&[Operator::EndsWith]) {
            group.key = &group.literal[..alone.max(least).min(group.literal.len())];
        }
    }
    groups
}

/// For each group, whether a key of it or of its suffixes counts wherever it ends.
fn anywhere(groups: &[Group<'_>], suffixes: &[u32]) -> Vec<bool> {
    let any = |group: usize| {
        let suffix = |group: &usize| suffixes.get(*group).map(|suffix| *suffix as usize);
        // The last one's suffix is no group.
        let mut chain = std::iter::successors(Some(group), suffix);
        chain.any(|group| groups.get(group).is_some_and(Group::is_anywhere))
    };
    (0..groups.len()).map(any).collect()
}

/// Appends groups and hits; returns the number of hits.
fn group_tables(
    groups: &[Group<'_>],
    suffixes: &[u32],
    anywhere: &[bool],
    tables: &mut Vec<u8>,
) -> u32 {
    let cost = |mut group: u32| {
        let mut cost = 0;
        while group != NO_GROUP {
            cost += groups[group as usize].cost();
            group = suffixes[group as usize];
        }
        cost
    };
    let mut hits = 0_u32;
    for (number, group) in groups.iter().enumerate() {
        let [h0, h1, h2, _] = hits.to_le_bytes();
        tables.extend([h0, h1, h2, if anywhere[number] { FLAG_ANYWHERE } else { 0 }]);
        tables.extend(suffixes[number].to_le_bytes());
        tables.extend(cost(number as u32).to_le_bytes());
        tables.extend((group.literal.len() as u16).to_le_bytes());
        tables.extend((group.key.len() as u16).to_le_bytes());
        hits += group.hits.len() as u32;
    }
    for one in groups.iter().flat_map(|group| &group.hits) {
        let [c0, c1, c2, _] = one.criterion.to_le_bytes();
        tables.extend([one.operator | if one.cased { CASED } else { 0 }, c0, c1, c2]);
    }
    hits
}

/// The folded units of the keys, numbered from 1 as they rise.
struct Classes {
    ascii: BTreeMap<u16, u8>,
    others: BTreeMap<u16, u8>,
}

impl Classes {
    fn of(groups: &[Group<'_>]) -> Self {
        let units: BTreeSet<u16> = groups.iter().flat_map(|group| group.key).copied().collect();
        let numbered = units.into_iter().zip(1_u8..);
        let (ascii, others) = numbered.partition(|(unit, _)| *unit < 0x80);
        Self { ascii, others }
    }

    fn count(&self) -> u16 {
        (self.ascii.len() + self.others.len() + 1) as u16
    }

    fn spell(&self, key: &[u16]) -> Vec<u8> {
        let class = |unit| self.ascii.get(unit).or_else(|| self.others.get(unit)).copied();
        key.iter().map(|unit| class(unit).unwrap_or(OTHER)).collect()
    }

    fn tables(&self) -> Vec<u8> {
        let class = |unit: u16| {
            let folded = channel_format::engine::fold::fold(unit);
            self.ascii.get(&folded).copied().unwrap_or(OTHER)
        };
        let mut tables: Vec<u8> = (0..0x80).map(class).collect();
        for (unit, class) in &self.others {
            tables.extend(unit.to_le_bytes());
            tables.extend(u16::from(*class).to_le_bytes());
        }
        tables
    }
}

/// The keys as a tree, and what Aho and Corasick add to it. Node 0 is the root.
struct Trie {
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Node {
    children: Vec<(u8, usize)>,
    depth: u32,
    /// The longest proper suffix of the node's text that is a node.
    link: usize,
    /// The group that ends here: its own, or that of its longest suffix that has one.
    out: Option<u32>,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Trie {
    fn insert(&mut self, key: &[u8], group: u32) {
        let mut at = 0;
        for class in key {
            at = match self.child(at, *class) {
                Some(child) => child,
                None => {
                    let child = self.nodes.len();
                    let depth = self.nodes[at].depth + 1;
                    self.nodes.push(Node { depth, ..Node::default() });
                    self.nodes[at].children.push((*class, child));
                    child
                }
            };
        }
        // The empty key is found without a walk.
        if at != 0 {
            self.nodes[at].out = Some(group);
        }
    }

    /// Keys come in order, so the last child is the likeliest.
    fn child(&self, node: usize, class: u8) -> Option<usize> {
        let children = &self.nodes[node].children;
        children.iter().rev().find(|(known, _)| *known == class).map(|(_, child)| *child)
    }

    /// Links every node, breadth first, and returns for each group that of its longest suffix.
    fn link(&mut self, groups: usize) -> Vec<u32> {
        let mut suffixes = vec![NO_GROUP; groups];
        let mut queue: VecDeque<usize> = [0].into();
        while let Some(node) = queue.pop_front() {
            for (class, child) in self.nodes[node].children.clone() {
                let mut at = node;
                let link = loop {
                    if at == 0 {
                        break 0;
                    }
                    at = self.nodes[at].link;
                    if let Some(link) = self.child(at, class) {
                        break link;
                    }
                };
                let inherited = self.nodes[link].out;
                let child_node = &mut self.nodes[child];
                child_node.link = link;
                match child_node.out {
                    Some(own) => suffixes[own as usize] = inherited.unwrap_or(NO_GROUP),
                    None => child_node.out = inherited,
                }
                queue.push_back(child);
            }
        }
        suffixes
    }

    /// Nodes in order of their depth.
    fn breadth_first(&self) -> Vec<usize> {
        let mut order = vec![0];
        let mut at = 0;
        while let Some(node) = order.get(at).copied() {
            order.extend(self.nodes[node].children.iter().map(|(_, child)| *child));
            at += 1;
        }
        order
    }

    fn is_linked(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        node.depth > 2 && self.nodes[node.link].depth >= 2
    }
}

/// Blocks that a node with several labels is tried in, newest first.
const WINDOW: usize = 8;

/// Where the nodes' slots lie.
struct DoubleArray {
    classes: u16,
    block: usize,
    bases: Vec<u32>,
    taken: Vec<bool>,
    /// Bases that a node has; no two share one.
    based: Vec<bool>,
    /// The first block that may have room for a single slot.
    first_open: usize,
}

impl DoubleArray {
    fn of(trie: &Trie, classes: u16) -> Self {
        let block = (usize::from(classes) + 2).next_power_of_two();
        let mut array = Self {
            classes,
            block,
            bases: vec![0; trie.nodes.len()],
            // The first block stays empty.
            taken: vec![true; block],
            based: vec![true; block],
            first_open: 1,
        };
        // Shallow states are met most: their slots lie together.
        for node in trie.breadth_first() {
            let labels = array.labels(trie, node);
            if !labels.is_empty() {
                array.bases[node] = array.place(&labels);
            }
        }
        array.taken[..block].fill(false);
        array
    }

    /// What a node has slots for.
    fn labels(&self, trie: &Trie, index: usize) -> Vec<usize> {
        let node = &trie.nodes[index];
        let mut labels = Vec::new();
        if node.depth >= 2 {
            labels.extend(node.children.iter().map(|(class, _)| usize::from(*class)));
        }
        labels.extend(node.out.map(|_| usize::from(self.classes)));
        labels.extend(trie.is_linked(index).then_some(usize::from(self.classes) + 1));
        labels
    }

    /// Takes slots for the labels of a node, and returns its base.
    fn place(&mut self, labels: &[usize]) -> u32 {
        let blocks = self.taken.len() / self.block;
        let from = if labels.len() == 1 { self.first_open } else { blocks.saturating_sub(WINDOW) };
        for block in from.max(1)..blocks {
            let start = block * self.block;
            let fits = (start..start + self.block).find(|base| self.fits(*base, labels));
            if let Some(base) = fits {
                self.take(base, labels);
                return base as u32;
            }
            if labels.len() == 1 && block == self.first_open {
                self.first_open += 1;
            }
        }
        let base = self.taken.len();
        self.taken.resize(base + self.block, false);
        self.based.resize(base + self.block, false);
        self.take(base, labels);
        base as u32
    }

    fn fits(&self, base: usize, labels: &[usize]) -> bool {
        !self.based[base] && labels.iter().all(|label| !self.taken[base ^ label])
    }

    fn take(&mut self, base: usize, labels: &[usize]) {
        self.based[base] = true;
        for label in labels {
            self.taken[base ^ label] = true;
        }
    }

    /// The table of pairs, and the slots.
    fn write(&self, trie: &Trie, anywhere: &[bool]) -> (Vec<u32>, Vec<u32>) {
        let classes = usize::from(self.classes);
        let mut slots = vec![EMPTY; self.taken.len()];
        let mut pairs = vec![ROOT; classes * classes];
        for (first, child) in &trie.nodes[0].children {
            for row in 0..classes {
                pairs[row * classes + usize::from(*first)] =
                    self.state(trie, anywhere, *child, OTHER);
            }
        }
        for (first, child) in &trie.nodes[0].children {
            for (second, pair) in &trie.nodes[*child].children {
                pairs[usize::from(*first) * classes + usize::from(*second)] =
                    self.state(trie, anywhere, *pair, OTHER);
            }
        }
        for (index, node) in trie.nodes.iter().enumerate() {
            let base = self.bases[index] as usize;
            if node.depth >= 2 {
                for (class, child) in &node.children {
                    slots[base ^ usize::from(*class)] = self.state(trie, anywhere, *child, *class);
                }
            }
            if let Some(group) = node.out {
                slots[base ^ classes] = u32::from(self.classes) | group << 8;
            }
            if trie.is_linked(index) {
                let label = classes + 1;
                slots[base ^ label] = self.state(trie, anywhere, node.link, label as u8);
            }
        }
        (pairs, slots)
    }

    fn state(&self, trie: &Trie, anywhere: &[bool], index: usize, label: u8) -> u32 {
        let node = &trie.nodes[index];
        let mut state = u32::from(label) | self.bases[index] << BASE_SHIFT;
        state |= match node.out {
            Some(group) if anywhere[group as usize] => OUT | ANYWHERE,
            Some(_) => OUT,
            None => 0,
        };
        state |= if trie.is_linked(index) { LINK } else { 0 };
        state | if node.depth <= 1 { SHORT } else { 0 }
    }
}
