//! Lines in files that grow to a bound and are then put aside: `events.jsonl` is the newest,
//! `events.1.jsonl` the one before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The files.
pub(super) struct Log {
    folder: PathBuf,
    /// No file grows beyond this, but for a single line that is longer.
    max: u64,
    /// How many files are kept beside the newest.
    keep: u32,
    file: File,
    length: u64,
}

impl Log {
    /// Goes on with the newest file.
    pub fn open(folder: &Path, max: u64, keep: u32) -> io::Result<Self> {
        let (file, length) = open(&path(folder, 0))?;
        Ok(Self { folder: folder.to_owned(), max, keep, file, length })
    }

    /// Writes a line. It is with the system when this returns: a crash of ours loses nothing.
    pub fn write(&mut self, line: &str) -> io::Result<()> {
        let added = u64::try_from(line.len()).unwrap_or(u64::MAX).saturating_add(1);
        if self.length > 0 && self.length.saturating_add(added) > self.max {
            self.rotate()?;
        }
        self.file.write_all(format!("{line}\n").as_bytes())?;
        self.length = self.length.saturating_add(added);
        Ok(())
    }

    /// Puts the newest file aside. The oldest goes.
    fn rotate(&mut self) -> io::Result<()> {
        if self.keep == 0 {
            fs::remove_file(path(&self.folder, 0))?;
        }
        for number in (0..self.keep).rev() {
            match fs::rename(path(&self.folder, number), path(&self.folder, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        (self.file, self.length) = open(&path(&self.folder, 0))?;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

fn path(folder: &Path, number: u32) -> PathBuf {
    match number {
        0 => folder.join("events.jsonl"),
        number => folder.join(format!("events.{number}.jsonl")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(folder: &Path) -> Vec<String> {
        (0..).map_while(|number| fs::read_to_string(path(folder, number)).ok()).collect()
    }

    #[test]
    fn files_keep_their_bound_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), 8, 2).unwrap();
        for line in ["one", "two", "three", "four", "a line that is longer than a file", "six"] {
            log.write(line).unwrap();
        }
        let expected = ["six\n", "a line that is longer than a file\n", "four\n"];
        assert_eq!(content(folder.path()), expected);
    }

    #[test]
    fn a_log_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        for line in ["one", "two", "three"] {
            Log::open(folder.path(), 8, 1).unwrap().write(line).unwrap();
        }
        assert_eq!(content(folder.path()), ["three\n", "one\ntwo\n"]);
    }

    #[test]
    fn nothing_is_put_aside_where_nothing_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), 4, 0).unwrap();
        log.write("one").unwrap();
        log.write("two").unwrap();
        assert_eq!(content(folder.path()), ["two\n"]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_log() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Log::open(&folder.path().join("no"), 8, 1).is_err());
    }
}
