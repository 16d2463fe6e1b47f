//! Files in and out: bounded reading, whole writing.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use channel_format::limits::MAX_FILE;
use channel_format::refusal::{Code, Refusal};

use crate::Error;

/// What may stand where a file is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// An older file is replaced.
    Replace,
    /// Nothing: an older file is kept, and writing refused.
    Keep,
}

/// Who may read a file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Whoever the user's mask lets.
    All,
    /// The owner alone (mode 0600).
    Owner,
}

/// Writes a file as a whole: into a temporary file in the same folder, flushed to the disk, then
/// renamed, then the folder flushed. On any error the place is as it was.
pub fn write(path: &Path, bytes: &[u8], existing: Existing, readers: Readers) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let folder = folder_of(path);
    let mut file = temporary(folder, readers).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    let renamed = match existing {
        Existing::Replace => file.persist(path),
        Existing::Keep => file.persist_noclobber(path),
    };
    match renamed {
        Ok(_) => sync_folder(folder).map_err(failed),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Error::Exists { path: path.to_owned() })
        }
        Err(error) => Err(failed(error.error)),
    }
}

/// Reads a channel file, refusing one that is larger than a channel file may be.
pub fn read_channel_file(path: &Path) -> Result<Vec<u8>, Error> {
    let limit = u64::from(MAX_FILE);
    let bytes = read_at_most(path, limit + 1)?;
    let found = bytes.len() as u64;
    if found > limit {
        let refusal = Refusal::new(Code::FileLength, 0, limit, found);
        return Err(Error::Refused { path: path.to_owned(), refusal });
    }
    Ok(bytes)
}

/// Reads the first bytes of a file, up to a limit.
pub fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// Makes sure that a folder to write to is there, making the last part of its path if need be. A
/// path of which more is missing is rather a wrong path.
pub fn ensure_folder(path: &Path) -> Result<(), Error> {
    match fs::create_dir(path) {
        Ok(()) => sync_folder(folder_of(path)),
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
    .map_err(|source| Error::Folder { path: path.to_owned(), source })
}

/// The folder that holds a file.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => path,
    }
}

/// The paths, for a message.
pub(crate) fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn temporary(folder: &Path, readers: Readers) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".sakerctl-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = match readers {
            Readers::All => 0o666,
            Readers::Owner => 0o600,
        };
        builder.permissions(fs::Permissions::from_mode(mode));
    }
    // On Windows a file takes its permissions from its folder.
    #[cfg(not(unix))]
    let _ = readers;
    builder.tempfile_in(folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    // Windows has no such call; a rename there is journalled.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn replaces_or_keeps_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        write(&path, b"one", Existing::Keep, Readers::All).unwrap();
        let kept = write(&path, b"two", Existing::Keep, Readers::All).unwrap_err();
        assert!(matches!(kept, Error::Exists { .. }), "{kept}");
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write(&path, b"two", Existing::Replace, Readers::All).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(folder.path()), ["f"]);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::create_dir(&path).unwrap();
        let error = write(&path, b"one", Existing::Replace, Readers::All).unwrap_err();
        assert!(matches!(error, Error::Write { .. }), "{error}");
        assert_eq!(names(folder.path()), ["f"]);
        let missing = folder.path().join("no/f");
        assert!(write(&missing, b"", Existing::Replace, Readers::All).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn modes() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        write(&path, b"", Existing::Keep, Readers::Owner).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn makes_one_folder_and_not_two() {
        let folder = tempfile::tempdir().unwrap();
        ensure_folder(&folder.path().join("a")).unwrap();
        ensure_folder(&folder.path().join("a")).unwrap();
        assert!(ensure_folder(&folder.path().join("b/c")).is_err());
        fs::write(folder.path().join("f"), b"").unwrap();
        assert!(ensure_folder(&folder.path().join("f")).is_err());
    }
}
