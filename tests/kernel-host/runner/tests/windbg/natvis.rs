//! Whether a natvis file names types and fields that a PDB has.
//!
//! Understood are the forms that `driver/windbg/saker.natvis` uses: an expression is a path such as
//! `counters.events.v.value` or `counted.pointer->value`, perhaps with `*` or `&` before it and a
//! format behind it; a format may hold the path of a length (`,[kept]su`); a condition compares a
//! path with a number. Anything else is refused.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;

use pdb2::{FallibleIterator as _, PDB, TypeData, TypeIndex};
use roxmltree::{Document, Node};

/// What was checked.
#[derive(Debug, Default)]
pub struct Checked {
    pub types: usize,
    pub paths: usize,
}

/// A type that has fields, or leads to one.
enum Kind {
    /// Fields and their types.
    Fields(HashMap<String, TypeIndex>),
    Pointer(TypeIndex),
    /// The same under another name.
    Same(TypeIndex),
    /// Named here, described elsewhere.
    Forward(String),
}

pub struct Types {
    kinds: HashMap<TypeIndex, Kind>,
    named: BTreeMap<String, TypeIndex>,
}

impl Types {
    pub fn read(pdb: &Path) -> Self {
        let mut pdb = PDB::open(File::open(pdb).unwrap()).unwrap();
        let information = pdb.type_information().unwrap();
        let mut types = Self { kinds: HashMap::new(), named: BTreeMap::new() };
        let mut lists = HashMap::new();
        let mut iter = information.iter();
        while let Some(item) = iter.next().unwrap() {
            let index = item.index();
            let (name, fields, forward) = match item.parse() {
                Ok(TypeData::FieldList(list)) => {
                    assert!(list.continuation.is_none(), "a type of very many fields");
                    let members = list.fields.iter().filter_map(|field| match field {
                        TypeData::Member(member) => {
                            Some((member.name.to_string().into_owned(), member.field_type))
                        }
                        _ => None,
                    });
                    lists.insert(index, members.collect::<HashMap<_, _>>());
                    continue;
                }
                Ok(TypeData::Pointer(pointer)) => {
                    types.kinds.insert(index, Kind::Pointer(pointer.underlying_type));
                    continue;
                }
                Ok(TypeData::Modifier(modifier)) => {
                    types.kinds.insert(index, Kind::Same(modifier.underlying_type));
                    continue;
                }
                Ok(TypeData::Class(class)) => {
                    (class.name, class.fields, class.properties.forward_reference())
                }
                Ok(TypeData::Union(union)) => {
                    (union.name, Some(union.fields), union.properties.forward_reference())
                }
                _ => continue,
            };
            let name = name.to_string().into_owned();
            if forward {
                types.kinds.insert(index, Kind::Forward(name));
            } else {
                let fields = fields.and_then(|list| lists.get(&list)).cloned();
                types.kinds.insert(index, Kind::Fields(fields.unwrap_or_default()));
                types.named.insert(name, index);
            }
        }
        types
    }

    /// The types that a name with `*` for anything stands for.
    fn matching(&self, pattern: &str) -> Vec<TypeIndex> {
        let matches = |name: &str| match pattern.split_once('*') {
            None => name == pattern,
            Some((begin, end)) => {
                assert!(!end.contains('*'), "one star is enough: {pattern}");
                name.len() >= begin.len() + end.len()
                    && name.starts_with(begin)
                    && name.ends_with(end)
            }
        };
        self.named.iter().filter(|(name, _)| matches(name)).map(|(_, index)| *index).collect()
    }

    fn resolved(&self, mut index: TypeIndex) -> Option<&Kind> {
        for _ in 0..8 {
            match self.kinds.get(&index)? {
                Kind::Same(same) => index = *same,
                Kind::Forward(name) => index = *self.named.get(name)?,
                kind => return Some(kind),
            }
        }
        None
    }

    /// Goes along a path from a type.
    fn follow(&self, from: TypeIndex, path: &str) -> Result<(), String> {
        let mut at = from;
        for step in path.replace("->", ".>").split('.') {
            let (name, arrow) = match step.strip_prefix('>') {
                Some(name) => (name, true),
                None => (step, false),
            };
            let refused = || format!("{path}: there is no {name}");
            let mut kind = self.resolved(at).ok_or_else(refused)?;
            if arrow {
                let Kind::Pointer(target) = kind else {
                    return Err(format!("{path}: what {name} is asked of is no pointer"));
                };
                kind = self.resolved(*target).ok_or_else(refused)?;
            }
            let Kind::Fields(fields) = kind else { return Err(refused()) };
            at = *fields.get(name).ok_or_else(refused)?;
        }
        Ok(())
    }
}

/// Every type and every path of a natvis file.
pub fn check(text: &str, types: &Types) -> Result<Checked, String> {
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if root.tag_name().name() != "AutoVisualizer" {
        return Err(format!("the root is {}", root.tag_name().name()));
    }
    let mut checked = Checked::default();
    for node in root.children().filter(Node::is_element) {
        if node.tag_name().name() != "Type" {
            return Err(format!("{} is not understood", node.tag_name().name()));
        }
        let name = node.attribute("Name").ok_or("a type without a name")?;
        let found = types.matching(name);
        if found.is_empty() {
            return Err(format!("the PDB has no type {name}"));
        }
        let mut paths = Vec::new();
        gather(node, &mut paths)?;
        for path in &paths {
            for index in &found {
                types.follow(*index, path).map_err(|error| format!("{name}: {error}"))?;
            }
        }
        checked.types += 1;
        checked.paths += paths.len();
    }
    Ok(checked)
}

/// The paths in a node and in all below it.
fn gather<'a>(node: Node<'a, '_>, paths: &mut Vec<&'a str>) -> Result<(), String> {
    if let Some(condition) = node.attribute("Condition") {
        let words: Vec<&str> = condition.split(' ').collect();
        match words.as_slice() {
            [path, "==" | "!=", number] if number.parse::<u32>().is_ok() => paths.push(path),
            _ => return Err(format!("{condition} is not understood")),
        }
    }
    let text = node.text().unwrap_or("");
    match node.tag_name().name() {
        "Type" | "Expand" | "ArrayItems" => {}
        "DisplayString" => {
            for part in text.split('{').skip(1) {
                let (expression, _) = part.split_once('}').ok_or("a brace is open")?;
                expression_paths(expression, paths)?;
            }
        }
        "Item" | "Size" | "ValuePointer" | "ExpandedItem" | "StringView" => {
            expression_paths(text, paths)?;
        }
        other => return Err(format!("{other} is not understood")),
    }
    node.children().filter(Node::is_element).try_for_each(|child| gather(child, paths))
}

fn expression_paths<'a>(expression: &'a str, paths: &mut Vec<&'a str>) -> Result<(), String> {
    let (value, format) = expression.split_once(',').unwrap_or((expression, ""));
    paths.push(value.trim_start_matches(['*', '&']));
    match format.strip_prefix('[') {
        Some(rest) => {
            let (length, _) = rest.split_once(']').ok_or("a bracket is open")?;
            if length.parse::<u32>().is_err() {
                paths.push(length);
            }
        }
        None if matches!(format, "" | "d" | "x" | "su") => {}
        None => return Err(format!("the format {format} is not understood")),
    }
    let is_path = |path: &&str| {
        !path.is_empty()
            && path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '>'))
    };
    match paths.iter().find(|path| !is_path(path)) {
        Some(path) => Err(format!("{path} is no path")),
        None => Ok(()),
    }
}
