//! Access tokens: who a process is, or whom one of its threads speaks for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::guest::GuestBlock;

/// Whom a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSpec {
    /// The user: a binary security identifier.
    pub user: Vec<u8>,
    /// The last part of its integrity label: 8192 medium, 12288 high, 16384 system.
    pub integrity: u32,
    /// Whether it is elevated.
    pub elevated: bool,
    /// Its terminal services session.
    pub session: u32,
}

impl Default for TokenSpec {
    /// An ordinary user at the console.
    fn default() -> TokenSpec {
        TokenSpec { user: sid(&[21, 1, 2, 3, 1001]), integrity: 8192, elevated: false, session: 1 }
    }
}

impl TokenSpec {
    /// `NT AUTHORITY\SYSTEM`.
    pub fn system() -> TokenSpec {
        TokenSpec { user: sid(&[18]), integrity: 16384, elevated: true, session: 0 }
    }
}

/// The identifier `S-1-5-…` with these parts.
pub fn sid(parts: &[u32]) -> Vec<u8> {
    let mut sid = vec![1, parts.len() as u8, 0, 0, 0, 0, 0, 5];
    sid.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
    sid
}

/// A token object.
#[derive(Debug)]
pub struct Token {
    id: u64,
    modified: AtomicU64,
    luids: Arc<Luids>,
    spec: Mutex<TokenSpec>,
    object: GuestBlock,
}

impl Token {
    /// Whom it stands for now.
    pub fn spec(&self) -> MutexGuard<'_, TokenSpec> {
        self.spec.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it, as `NtSetInformationToken` does: it keeps its id and gets a new modified id.
    pub fn modify(&self, change: impl FnOnce(&mut TokenSpec)) {
        change(&mut self.spec());
        self.modified.store(self.luids.next(), Ordering::Release);
    }

    /// `TOKEN_STATISTICS.TokenId`.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// `TOKEN_STATISTICS.ModifiedId`.
    pub(crate) fn modified(&self) -> u64 {
        self.modified.load(Ordering::Acquire)
    }

    /// The PACCESS_TOKEN.
    pub(crate) fn address(&self) -> u64 {
        self.object.address()
    }
}

/// The tokens of a kernel.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    all: Mutex<HashMap<u64, Arc<Token>>>,
    luids: Arc<Luids>,
}

impl Tokens {
    pub(crate) fn create(&self, spec: TokenSpec) -> Arc<Token> {
        let token = Arc::new(Token {
            id: self.luids.next(),
            modified: self.luids.next().into(),
            luids: self.luids.clone(),
            spec: Mutex::new(spec),
            object: GuestBlock::new(64),
        });
        self.all().insert(token.address(), token.clone());
        token
    }

    pub(crate) fn find(&self, object: u64) -> Option<Arc<Token>> {
        self.all().get(&object).cloned()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<u64, Arc<Token>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locally unique identifiers: in one boot none is given twice.
#[derive(Debug, Default)]
struct Luids(AtomicU64);

impl Luids {
    fn next(&self) -> u64 {
        // The first 1,000 are the system's.
        0x1_0000_03E8 + self.0.fetch_add(1, Ordering::Relaxed)
    }
}
