//! Where the file that follows another stands: epoch, sequence and life.

use std::path::{Path, PathBuf};

use channel_format::frame::{Header, verify};
use channel_format::limits::MAX_NAME_NUMBER;
use thiserror::Error;

use crate::content::{keys, time};
use crate::{Error, cli};

/// Arguments of whatever makes a file that follows another.
#[derive(Debug, Clone, clap::Args)]
pub struct Next {
    /// Its epoch [default: that of the file it follows]
    #[arg(long, value_name = "E", value_parser = clap::value_parser!(u32).range(0..=99_999_999))]
    pub epoch: Option<u32>,
    /// Its sequence [default: the next; in a new epoch 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=99_999_999))]
    pub sequence: Option<u32>,
    /// When it goes stale: YYYY-MM-DD, seconds since 1970, or 0 for never [default: as it did]
    #[arg(long, value_name = "WHEN", value_parser = time::parse)]
    pub expires: Option<u64>,
    /// Time of creation: YYYY-MM-DD, or seconds since 1970 [default: now]
    #[arg(long, value_name = "WHEN", value_parser = time::parse)]
    pub created: Option<u64>,
    /// Public keys (NAME.pub) with which the signatures of what is taken over are checked
    #[arg(long, value_name = "PUB")]
    pub key: Vec<PathBuf>,
    /// Folder for the file; its last part is made if it is missing
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Epoch, sequence and life of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Its epoch.
    pub epoch: u32,
    /// Its sequence.
    pub sequence: u32,
    /// When it is made.
    pub created: u64,
    /// When it goes stale.
    pub expires: u64,
}

/// Why a file cannot follow another so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PositionError {
    /// It would be older than the one it follows, or as old.
    #[error("is {}-{}, and what follows it cannot be {}-{}", .after.0, .after.1, .asked.0, .asked.1)]
    NotNewer {
        /// The position of the file it follows.
        after: (u32, u32),
        /// The position that was asked for.
        asked: (u32, u32),
    },
    /// No sequence is left in the epoch.
    #[error("has the last sequence of epoch {epoch}")]
    Last {
        /// The epoch.
        epoch: u32,
    },
    /// It would be stale when it is made.
    #[error("what was taken from it would go stale on {}, which is over", time::format(*.expires))]
    Stale {
        /// When it goes stale.
        expires: u64,
    },
}

impl PositionError {
    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NotNewer { .. } => {
                "give a higher --sequence, or a higher --epoch; without them it is the next"
            }
            Self::Last { .. } => "begin a new epoch with --epoch, and with keys that sign in it",
            Self::Stale { .. } => "give a later --expires, or --expires 0 for never",
        }
    }
}

impl Next {
    /// Checks the signatures of a file of which the next one takes something over, and that it is
    /// whole. Without keys that is for whoever signs the next one, and is said.
    ///
    /// # Errors
    /// No key given has signed the file, or it was altered.
    pub fn trusted(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        if self.key.is_empty() {
            cli::note(format_args!(
                "{}: no signature was checked; give the public keys with --key",
                path.display()
            ));
            return Ok(());
        }
        let anchor = keys::anchor(&self.key)?;
        verify(bytes, &anchor)
            .and_then(|signed| signed.body(bytes))
            .map(drop)
            .map_err(|refusal| Error::Refused { path: path.to_owned(), refusal })
    }

    /// Where the file stands that follows the one with this header, and lives as long as `model`.
    ///
    /// # Errors
    /// It would not be newer, or would be stale from the beginning.
    pub fn after(&self, path: &Path, last: &Header, model: &Header) -> Result<Position, Error> {
        let failed = |source| Error::Position { path: path.to_owned(), source };
        let epoch = self.epoch.unwrap_or(last.epoch);
        let sequence = match self.sequence {
            Some(sequence) => sequence,
            None if epoch != last.epoch => 0,
            None if last.sequence >= MAX_NAME_NUMBER => {
                return Err(failed(PositionError::Last { epoch }));
            }
            None => last.sequence + 1,
        };
        let (after, asked) = ((last.epoch, last.sequence), (epoch, sequence));
        if asked <= after {
            return Err(failed(PositionError::NotNewer { after, asked }));
        }
        let created = self.created.unwrap_or_else(time::now);
        let expires = self.expires.unwrap_or(model.expires);
        if expires != 0 && expires <= created {
            return Err(failed(PositionError::Stale { expires }));
        }
        Ok(Position { epoch, sequence, created, expires })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(epoch: u32, sequence: u32, expires: u64) -> Header {
        let file = include_bytes!("../../../tests/golden/v0/C-00000291-00000001-00000007.sys");
        Header { epoch, sequence, expires, ..Header::parse(file).unwrap() }
    }

    fn after(
        epoch: Option<u32>,
        sequence: Option<u32>,
        last: &Header,
    ) -> Result<(u32, u32), Error> {
        let next = Next {
            epoch,
            sequence,
            expires: None,
            created: Some(1_000),
            key: vec![],
            out: "".into(),
        };
        next.after("f".as_ref(), last, last).map(|next| (next.epoch, next.sequence))
    }

    #[test]
    fn the_next_one_is_newer() {
        let last = header(3, 9, 0);
        for (epoch, sequence, expected) in [
            (None, None, (3, 10)),
            (Some(3), None, (3, 10)),
            (None, Some(70), (3, 70)),
            (Some(4), None, (4, 0)),
            (Some(4), Some(2), (4, 2)),
        ] {
            assert_eq!(after(epoch, sequence, &last).unwrap(), expected);
        }
    }

    #[test]
    fn one_that_is_not_newer_or_stale_is_refused() {
        let refused = |epoch, sequence, last: &Header| match after(epoch, sequence, last) {
            Err(Error::Position { source, .. }) => source,
            other => panic!("{other:?}"),
        };
        let last = header(3, 9, 0);
        for (epoch, sequence) in
            [(None, Some(9)), (None, Some(0)), (Some(2), None), (Some(0), Some(99))]
        {
            let error = refused(epoch, sequence, &last);
            assert!(matches!(error, PositionError::NotNewer { after: (3, 9), .. }), "{error}");
        }
        let end = header(3, MAX_NAME_NUMBER, 0);
        assert_eq!(refused(None, None, &end), PositionError::Last { epoch: 3 });
        assert_eq!(after(Some(4), None, &end).unwrap(), (4, 0));
        let stale = header(3, 9, 1_000);
        assert_eq!(refused(None, None, &stale), PositionError::Stale { expires: 1_000 });
        assert!(after(None, None, &header(3, 9, 1_001)).is_ok());
    }
}
