//! The registry: keys by NT path, values by name, both without regard to case.

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

/// The keys below `\Registry`.
#[derive(Debug, Default)]
pub struct Registry(Mutex<BTreeMap<String, Values>>);

impl Registry {
    /// An equal registry.
    pub(super) fn copy(&self) -> Registry {
        Registry(Mutex::new(self.keys().clone()))
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<String, Values>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a key and those above it.
    pub fn create_key(&self, key: &str) {
        let mut path = fold(key.trim_end_matches('\\'));
        let mut keys = self.keys();
        loop {
            keys.entry(path.clone()).or_default();
            match path.rsplit_once('\\') {
                Some((parent, _)) if !parent.is_empty() => path = parent.to_owned(),
                _ => return,
            }
        }
    }

    /// Whether a key is there.
    pub fn has_key(&self, key: &str) -> bool {
        self.keys().contains_key(&fold(key.trim_end_matches('\\')))
    }

    /// Removes a key and all below it.
    pub fn delete_key(&self, key: &str) {
        let key = fold(key);
        let prefix = format!(r"{key}\");
        self.keys().retain(|path, _| *path != key && !path.starts_with(&prefix));
    }

    /// Sets a value of any kind, making the key.
    pub fn set(&self, key: &str, name: &str, value: Value) {
        self.create_key(key);
        let mut keys = self.keys();
        let values = keys.entry(fold(key.trim_end_matches('\\'))).or_default();
        values.insert(fold(name), value);
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

    /// A value.
    pub fn get(&self, key: &str, name: &str) -> Option<Value> {
        self.keys().get(&fold(key.trim_end_matches('\\')))?.get(&fold(name)).cloned()
    }

    /// A `REG_DWORD`.
    pub fn dword(&self, key: &str, name: &str) -> Option<u32> {
        let value = self.get(key, name)?;
        Some(u32::from_le_bytes(value.data.try_into().ok()?))
    }

    /// Removes a value; whether it was there.
    pub fn delete_value(&self, key: &str, name: &str) -> bool {
        let mut keys = self.keys();
        keys.get_mut(&fold(key)).is_some_and(|values| values.remove(&fold(name)).is_some())
    }
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
}
