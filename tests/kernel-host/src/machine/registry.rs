//! The registry: keys by NT path, values by name, both without regard to case.
//!
//! What a driver writes is in memory until the hive is flushed: with `ZwFlushKey`, or when the
//! machine is shut down in order. Windows also flushes by itself, some seconds to an hour later
//! [DDI: wdm/nf-wdm-zwflushkey]; nobody may rely on when, so here it never does.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fold;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// `REG_SZ` 1, `REG_EXPAND_SZ` 2, `REG_BINARY` 3, `REG_DWORD` 4, `REG_MULTI_SZ` 7,
    /// `REG_QWORD` 11.
    pub kind: u32,
    /// The bytes.
    pub data: Vec<u8>,
}

type Values = BTreeMap<String, Value>;
type Keys = BTreeMap<String, Values>;

#[derive(Clone, Debug, Default)]
struct Hives {
    /// What the running system sees.
    keys: Keys,
    /// What is there after a power cut.
    durable: Keys,
}

/// The keys below `\Registry`. What a test writes here is on the disk at once.
#[derive(Debug, Default)]
pub struct Registry(Mutex<Hives>);

impl Registry {
    fn hives(&self) -> MutexGuard<'_, Hives> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An equal registry.
    pub(super) fn copy(&self) -> Registry {
        Registry(Mutex::new(self.hives().clone()))
    }

    /// Writes everything to the disk.
    pub(crate) fn flush(&self) {
        let mut hives = self.hives();
        hives.durable = hives.keys.clone();
    }

    /// The power went.
    pub(crate) fn lose_unflushed(&self) {
        let mut hives = self.hives();
        hives.keys = hives.durable.clone();
    }

    /// A driver changes something.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Change<'_>)) {
        change(&mut Change(&mut self.hives().keys));
    }

    /// A test changes something, on the disk too.
    fn set_up(&self, change: impl Fn(&mut Change<'_>)) {
        let mut hives = self.hives();
        change(&mut Change(&mut hives.keys));
        change(&mut Change(&mut hives.durable));
    }

    /// Makes a key and those above it.
    pub fn create_key(&self, key: &str) {
        self.set_up(|keys| keys.create_key(key));
    }

    /// Whether a key is there.
    pub fn has_key(&self, key: &str) -> bool {
        self.hives().keys.contains_key(&folded(key))
    }

    /// Removes a key and all below it.
    pub fn delete_key(&self, key: &str) {
        self.set_up(|keys| keys.delete_key(key));
    }

    /// Sets a value of any kind, making the key.
    pub fn set(&self, key: &str, name: &str, value: Value) {
        self.set_up(|keys| keys.set(key, name, value.clone()));
    }

    /// Sets a `REG_DWORD`.
    pub fn set_dword(&self, key: &str, name: &str, value: u32) {
        self.set(key, name, Value { kind: 4, data: value.to_le_bytes().to_vec() });
    }

    /// Sets a `REG_SZ`, terminated as usual.
    pub fn set_string(&self, key: &str, name: &str, value: &str) {
        let units = value.encode_utf16().chain([0]);
        let data = units.flat_map(u16::to_le_bytes).collect();
        self.set(key, name, Value { kind: 1, data });
    }

    /// Sets a `REG_MULTI_SZ`.
    pub fn set_strings(&self, key: &str, name: &str, values: &[&str]) {
        let units = values.iter().flat_map(|value| value.encode_utf16().chain([0])).chain([0]);
        let data = units.flat_map(u16::to_le_bytes).collect();
        self.set(key, name, Value { kind: 7, data });
    }

    /// A value.
    pub fn get(&self, key: &str, name: &str) -> Option<Value> {
        self.hives().keys.get(&folded(key))?.get(&fold(name)).cloned()
    }

    /// A `REG_DWORD`.
    pub fn dword(&self, key: &str, name: &str) -> Option<u32> {
        let value = self.get(key, name)?;
        Some(u32::from_le_bytes(value.data.try_into().ok()?))
    }

    /// The value among those of a key whose texts (`REG_MULTI_SZ`) hold this one, by its folded
    /// name.
    pub(crate) fn value_with_text(&self, key: &str, text: &str) -> Option<String> {
        let wanted: Vec<u8> =
            fold(text).encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        let hives = self.hives();
        let mut values = hives.keys.get(&folded(key))?.iter();
        let holds = |value: &Value| {
            let units: Vec<u16> = value
                .data
                .chunks_exact(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .collect();
            let mut texts = units.split_inclusive(|unit| *unit == 0);
            texts.any(|units| {
                let folded = fold(&String::from_utf16_lossy(units));
                folded.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>() == wanted
            })
        };
        values.find(|(_, value)| value.kind == 7 && holds(value)).map(|(name, _)| name.clone())
    }

    /// Removes a value; whether it was there.
    pub fn delete_value(&self, key: &str, name: &str) -> bool {
        let there = self.get(key, name).is_some();
        self.set_up(|keys| keys.delete_value(key, name));
        there
    }
}

/// The keys, to be changed.
pub(crate) struct Change<'a>(&'a mut Keys);

impl Change<'_> {
    pub(crate) fn create_key(&mut self, key: &str) {
        let mut path = folded(key);
        loop {
            self.0.entry(path.clone()).or_default();
            match path.rsplit_once('\\') {
                Some((parent, _)) if !parent.is_empty() => path = parent.to_owned(),
                _ => return,
            }
        }
    }

    fn delete_key(&mut self, key: &str) {
        let key = folded(key);
        let prefix = format!(r"{key}\");
        self.0.retain(|path, _| *path != key && !path.starts_with(&prefix));
    }

    pub(crate) fn set(&mut self, key: &str, name: &str, value: Value) {
        self.create_key(key);
        self.0.entry(folded(key)).or_default().insert(fold(name), value);
    }

    pub(crate) fn delete_value(&mut self, key: &str, name: &str) {
        if let Some(values) = self.0.get_mut(&folded(key)) {
            values.remove(&fold(name));
        }
    }
}

fn folded(key: &str) -> String {
    fold(key.trim_end_matches('\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case_and_keys_come_with_their_parents() {
        let registry = Registry::default();
        let key = r"\Registry\Machine\System\X";
        registry.set_dword(key, "Limit", 7);
        registry.set_string(key, "Text", "ab");
        assert_eq!(registry.dword(r"\REGISTRY\machine\SYSTEM\x", "LIMIT"), Some(7));
        assert_eq!(registry.get(key, "text").unwrap().data, b"a\0b\0\0\0");
        assert!(registry.has_key(r"\Registry\Machine"));
        assert!(registry.delete_value(key, "limit"));
        assert_eq!(registry.get(key, "Limit"), None);
        registry.delete_key(r"\Registry\Machine\System");
        assert!(!registry.has_key(key));
    }

    #[test]
    fn what_a_driver_wrote_is_lost_unless_it_was_flushed() {
        let registry = Registry::default();
        let key = r"\Registry\Machine\System\X";
        let one = |data: u8| Value { kind: 3, data: vec![data] };
        registry.set(key, "Kept", one(1));
        registry.change(|keys| keys.set(key, "Flushed", one(2)));
        registry.flush();
        registry.change(|keys| {
            keys.set(key, "Flushed", one(3));
            keys.set(key, "Lost", one(4));
            keys.delete_value(key, "Kept");
        });
        assert_eq!(registry.get(key, "Flushed"), Some(one(3)));
        registry.lose_unflushed();
        assert_eq!(registry.get(key, "Flushed"), Some(one(2)));
        assert_eq!(registry.get(key, "Lost"), None);
        assert_eq!(registry.get(key, "Kept"), Some(one(1)));
    }

    #[test]
    fn a_text_is_found_in_a_value_with_several() {
        let registry = Registry::default();
        let key = r"\Registry\Machine\System\X";
        registry.set_strings(key, "lsass", &["samr", "lsarpc"]);
        registry.set_string(key, "plain", "netlogon");
        let holds = |text| registry.value_with_text(key, text);
        assert_eq!(holds("LsaRpc"), Some("LSASS".to_owned()));
        assert_eq!(holds("lsarp"), None);
        assert_eq!(holds("netlogon"), None);
    }
}
