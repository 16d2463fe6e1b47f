//! In whose name pipes are asked for. What a token says is kept while it stays as it is.

use driver_abi::Sid;

use crate::ffi::pool::Tag;
use crate::ffi::shared::Shared;
use crate::ffi::status::Result;
use crate::ffi::token::Token;
use crate::shards::Shards;

/// Slots in each part of the table: room for two hundred tokens in all. Most processes of one user
/// have tokens of their own, but few of them make pipes often.
const SLOTS: usize = 32;

/// What a token says. Each part may be unknown.
pub struct Identity {
    /// The user.
    pub user: Option<Sid>,
    /// The integrity level.
    pub integrity: Option<u32>,
    /// The terminal services session.
    pub session: Option<u32>,
    /// It is elevated.
    pub elevated: Option<bool>,
}

impl Identity {
    fn of(token: Token<'_>) -> Self {
        Self {
            user: token.user(),
            integrity: token.integrity(),
            session: token.session(),
            elevated: token.is_elevated(),
        }
    }

    const fn is_complete(&self) -> bool {
        self.user.is_some()
            && self.integrity.is_some()
            && self.session.is_some()
            && self.elevated.is_some()
    }
}

struct Entry {
    /// The token's last change when it was asked.
    modified: u64,
    identity: Shared<Identity>,
}

/// The tokens.
pub struct TokenTable {
    entries: Shards<Entry>,
}

impl TokenTable {
    /// An empty table.
    ///
    /// # Errors
    /// `NO_RESOURCES`.
    pub fn new() -> Result<Self> {
        Ok(Self { entries: Shards::new(SLOTS)? })
    }

    /// What `token` says now. `None` when it cannot be told which token it is, or there is no
    /// memory.
    ///
    /// Not inlined: what it needs is not to lie on the stack of every event.
    #[inline(never)]
    pub fn identity(&self, token: Token<'_>) -> Option<Shared<Identity>> {
        // Asked before everything else: a change that comes in between is seen the next time.
        let version = token.version()?;
        let known = self.entries.find(version.id, |entry| {
            (entry.modified == version.modified).then(|| entry.identity.clone())
        });
        if let Some(identity) = known.flatten() {
            return Some(identity);
        }
        let since = self.entries.now(version.id);
        let identity = Shared::new(Identity::of(token), Tag::Sensor).ok()?;
        if identity.is_complete() {
            let entry = Entry { modified: version.modified, identity: identity.clone() };
            self.entries.keep(version.id, since, entry);
        }
        Some(identity)
    }
}
