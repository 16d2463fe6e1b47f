//! The disk as a test sees it: placing and reading files, other programs, power cuts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::boot::{self, Phase};
use super::files::{Files, Pace};
use super::fold;

/// A volume of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Such as `\Device\HarddiskVolume3`.
    pub device: String,
    /// Its drive letter; a volume may have none.
    pub letter: Option<char>,
}

/// Files, by NT path (`\SystemRoot\..`, `\??\C:\..`, `\Device\HarddiskVolume3\..`).
///
/// What a test writes here is on the disk at once. What a driver writes is lost by a power cut
/// unless it was flushed or written through; see also [`Disk::journal_wins`].
#[derive(Debug)]
pub struct Disk {
    files: Arc<Mutex<Files>>,
    volumes: Arc<Mutex<Vec<Volume>>>,
}

impl Disk {
    pub(super) fn new(volumes: Arc<Mutex<Vec<Volume>>>) -> Disk {
        let disk = Disk { files: Arc::default(), volumes };
        let devices: Vec<String> =
            lock(&disk.volumes).iter().map(|volume| volume.device.clone()).collect();
        for device in devices {
            disk.place(&device, true, Vec::new());
        }
        disk
    }

    /// An equal disk of a machine with these volumes. Nothing is open there.
    pub(super) fn copy(&self, volumes: Arc<Mutex<Vec<Volume>>>) -> Disk {
        let files = lock(&self.files).clone();
        let disk = Disk { files: Arc::new(Mutex::new(files)), volumes };
        disk.close_all();
        disk
    }

    pub(crate) fn files(&self) -> FilesGuard<'_> {
        FilesGuard(lock(&self.files))
    }

    /// The path below a device, if the names in it exist in a phase of the boot.
    pub(crate) fn resolve(&self, path: &str, phase: Phase) -> Option<String> {
        let resolved = boot::resolve(path, &lock(&self.volumes), phase)?;
        Some(resolved.trim_end_matches('\\').to_owned())
    }

    /// The target of a symbolic link of the object namespace.
    pub(crate) fn link_target(&self, name: &str, phase: Phase) -> Option<String> {
        boot::link_target(name, &lock(&self.volumes), phase)
    }

    fn locate(&self, path: &str) -> String {
        self.resolve(path, Phase::Running).unwrap_or_else(|| path.to_owned())
    }

    /// Writes a whole file and the directories above it, whoever has it open.
    pub fn write(&self, path: &str, contents: impl AsRef<[u8]>) {
        self.place(&self.locate(path), false, contents.as_ref().to_vec());
    }

    /// Makes a directory and those above it.
    pub fn create_directory(&self, path: &str) {
        self.place(&self.locate(path), true, Vec::new());
    }

    fn place(&self, path: &str, directory: bool, data: Vec<u8>) {
        let mut files = lock(&self.files);
        if directory && files.nodes.contains_key(&fold(path)) {
            return;
        }
        files.insert(path, directory, data, 0);
        // With the directories that were made on the way.
        let mut key = fold(path);
        while let Some(node) = files.nodes.get(&key).cloned() {
            files.durable.insert(key.clone(), node);
            match key.rsplit_once('\\') {
                Some((parent, _)) => key = parent.to_owned(),
                None => break,
            }
        }
    }

    /// A file's contents as the running system sees them.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        let files = lock(&self.files);
        let node = files.nodes.get(&fold(&self.locate(path)))?;
        (!node.directory).then(|| node.data.to_vec())
    }

    /// Whether a file or directory is there.
    pub fn exists(&self, path: &str) -> bool {
        lock(&self.files).nodes.contains_key(&fold(&self.locate(path)))
    }

    /// Removes a file or a whole directory; whether it was there.
    pub fn remove(&self, path: &str) -> bool {
        let key = fold(&self.locate(path));
        let prefix = format!(r"{key}\");
        let mut files = lock(&self.files);
        let gone = |path: &String| *path == key || path.starts_with(&prefix);
        files.durable.retain(|path, _| !gone(path));
        let before = files.nodes.len();
        files.nodes.retain(|path, _| !gone(path));
        files.nodes.len() != before
    }

    /// Renames a file, replacing what is there; whether there was one to rename.
    pub fn rename(&self, from: &str, to: &str) -> bool {
        let Some(data) = self.read(from) else {
            return false;
        };
        self.write(to, data);
        self.remove(from)
    }

    /// The names in a directory, sorted.
    pub fn list(&self, path: &str) -> Vec<String> {
        let files = lock(&self.files);
        files.children(&fold(&self.locate(path))).map(|node| node.name.clone()).collect()
    }

    /// Sets a file's `FILE_ATTRIBUTE_*` bits, such as 0x400 for a reparse point.
    pub fn set_attributes(&self, path: &str, attributes: u32) {
        self.change_node(path, |node| node.attributes = attributes);
    }

    /// Another program has the file open for reading and writing and shares it as said
    /// (`FILE_SHARE_READ` 1, `WRITE` 2, `DELETE` 4) until the guard is dropped.
    pub fn hold(&self, path: &str, share: u32) -> Held {
        let key = fold(&self.locate(path));
        let open = lock(&self.files).hold(key, share);
        Held { files: self.files.clone(), open }
    }

    /// Another program holds an oplock on the file, and does not give it up until the guard is
    /// dropped.
    pub fn hold_oplock(&self, path: &str) -> Held {
        let key = fold(&self.locate(path));
        let open = lock(&self.files).hold_oplock(key);
        Held { files: self.files.clone(), open }
    }

    /// Says how many names a file has.
    pub fn set_links(&self, path: &str, links: u32) {
        self.change_node(path, |node| node.links = links);
    }

    /// Says who owns a file or directory and who may do what with it.
    pub fn set_security(&self, path: &str, security: &super::Security) {
        let encoded: Arc<[u8]> = security.encode().into();
        self.change_node(path, |node| node.security = Some(encoded.clone()));
    }

    fn change_node(&self, path: &str, change: impl Fn(&mut super::files::Node)) {
        let key = fold(&self.locate(path));
        let mut files = lock(&self.files);
        let Files { nodes, durable, .. } = &mut *files;
        for node in [nodes.get_mut(&key), durable.get_mut(&key)].into_iter().flatten() {
            change(node);
        }
    }

    /// How fast transfers are from now on, for drivers that do not wait for them in the call.
    pub fn set_pace(&self, pace: Pace) {
        lock(&self.files).pace = pace;
    }

    /// How long calls take from now on that wait for their end: opening, flushing, and transfers
    /// of files opened for synchronous use.
    pub fn set_call_time(&self, time: Duration) {
        lock(&self.files).call_time = time;
    }

    pub(crate) fn pace(&self) -> Pace {
        lock(&self.files).pace
    }

    pub(crate) fn call_time(&self) -> Duration {
        lock(&self.files).call_time
    }

    /// The power goes when drivers have made `changes` more changes to the disk (creations,
    /// writes, length changes, flushes, renames, deletions); the one after them does not happen.
    pub fn cut_power_after(&self, changes: u64) {
        let mut files = lock(&self.files);
        files.cut_after = Some(files.changes + changes);
    }

    /// Whether a power cut finds all metadata on the disk that nobody flushed (creations, renames,
    /// truncations), but not the data, as when the file system wrote its journal just before.
    /// Otherwise it finds none of them. Both happen; code that survives one may not survive the
    /// other.
    pub fn journal_wins(&self, wins: bool) {
        lock(&self.files).journal_wins = wins;
    }

    /// Never mind [`Disk::cut_power_after`].
    pub fn keep_power(&self) {
        lock(&self.files).cut_after = None;
    }

    /// Changes that drivers made so far.
    pub fn changes(&self) -> u64 {
        lock(&self.files).changes
    }

    /// Writes everything to the disk.
    pub(crate) fn flush(&self) {
        let mut files = lock(&self.files);
        files.durable = files.nodes.clone();
    }

    pub(crate) fn lose_unflushed(&self) {
        lock(&self.files).lose_unflushed();
    }

    pub(super) fn close_all(&self) {
        let mut files = lock(&self.files);
        let opens: Vec<u64> = files.opens.keys().copied().collect();
        opens.into_iter().for_each(|open| files.close(open));
    }
}

/// See [`Disk::hold`].
#[derive(Debug)]
pub struct Held {
    files: Arc<Mutex<Files>>,
    open: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.files).close(self.open);
    }
}

/// The files of a disk, locked.
pub(crate) struct FilesGuard<'a>(MutexGuard<'a, Files>);

/// The operations that file system calls of a driver need.
impl FilesGuard<'_> {
    pub(crate) fn at(mut self, now: i64) -> Self {
        self.0.now = now;
        self
    }

    pub(crate) fn open(
        &mut self,
        path: &str,
        request: super::OpenRequest,
    ) -> Result<(u64, u64), super::DiskError> {
        self.0.open(path, request)
    }

    pub(crate) fn path(&self, open: u64) -> Option<String> {
        self.0.opens.get(&open).map(|open| open.key.clone())
    }

    pub(crate) fn info(&self, open: u64) -> Result<super::FileInfo, super::DiskError> {
        self.0.info(open)
    }

    pub(crate) fn read(
        &self,
        open: u64,
        offset: u64,
        count: usize,
    ) -> Result<Vec<u8>, super::DiskError> {
        self.0.read(open, offset, count)
    }

    pub(crate) fn write(
        &mut self,
        open: u64,
        offset: u64,
        data: &[u8],
    ) -> Result<(), super::DiskError> {
        self.0.write(open, offset, data)
    }

    pub(crate) fn set_length(&mut self, open: u64, length: u64) -> Result<(), super::DiskError> {
        self.0.set_length(open, length)
    }

    pub(crate) fn flush(&mut self, open: u64) -> Result<(), super::DiskError> {
        self.0.flush(open)
    }

    pub(crate) fn rename(
        &mut self,
        open: u64,
        to: &str,
        replace: bool,
    ) -> Result<(), super::DiskError> {
        self.0.rename(open, to, replace)
    }

    pub(crate) fn set_delete(&mut self, open: u64, delete: bool) -> Result<(), super::DiskError> {
        self.0.set_delete(open, delete)
    }

    pub(crate) fn list(&self, open: u64) -> Result<Vec<super::FileInfo>, super::DiskError> {
        self.0.list(open)
    }

    pub(crate) fn is_oplocked(&self, open: u64) -> bool {
        self.0.is_oplocked(open)
    }

    pub(crate) fn security(&self, open: u64) -> Result<Vec<u8>, super::DiskError> {
        self.0.security(open)
    }

    pub(crate) fn close(&mut self, open: u64) {
        self.0.close(open);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
