//! The files of a disk: a tree by folded path, what of it would survive a power cut, and opens.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::fold;
use crate::status::NtStatus;

pub(crate) const FILE_READ_DATA: u32 = 1;
pub(crate) const FILE_WRITE_DATA: u32 = 2;
pub(crate) const FILE_APPEND_DATA: u32 = 4;
pub(crate) const DELETE: u32 = 0x1_0000;
const ATTRIBUTE_READ_ONLY: u32 = 0x1;
const ATTRIBUTE_DIRECTORY: u32 = 0x10;
const ATTRIBUTE_ARCHIVE: u32 = 0x20;
const OPTION_DIRECTORY: u32 = 0x1;
const OPTION_WRITE_THROUGH: u32 = 0x2;
const OPTION_NON_DIRECTORY: u32 = 0x40;
const OPTION_SYNCHRONOUS: [u32; 2] = [0x10, 0x20];
const OPTION_DELETE_ON_CLOSE: u32 = 0x1000;
const SYNCHRONIZE: u32 = 0x10_0000;
const FILE_OPEN: u32 = 1;
const FILE_CREATE: u32 = 2;
const FILE_OPEN_IF: u32 = 3;

/// Why a file operation did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskError {
    /// The status that the caller gets.
    Status(NtStatus),
    /// The power went away.
    PowerCut,
}

impl From<NtStatus> for DiskError {
    fn from(status: NtStatus) -> DiskError {
        DiskError::Status(status)
    }
}

/// How fast the disk is with transfers that a driver does not wait for in the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// Each is over when its call returns, as when the cache has it all.
    #[default]
    AtOnce,
    /// Each goes on after its call and takes this long.
    Takes(Duration),
    /// Each goes on until it is cancelled.
    UntilCancelled,
    /// None is ever over: a disk that is gone, and a driver below that forgot about it.
    Never,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenRequest {
    pub access: u32,
    pub share: u32,
    pub disposition: u32,
    pub options: u32,
    pub attributes: u32,
}

impl OpenRequest {
    /// Whether the I/O manager and NTFS let this combination pass before they look for the file.
    pub(crate) fn is_consistent(&self) -> bool {
        let has = |option: u32| self.options & option != 0;
        let [alert, no_alert] = OPTION_SYNCHRONOUS.map(has);
        let directory = has(OPTION_DIRECTORY);
        !((alert || no_alert) && self.access & SYNCHRONIZE == 0
            || alert && no_alert
            || directory && has(OPTION_NON_DIRECTORY)
            || directory && ![FILE_OPEN, FILE_CREATE, FILE_OPEN_IF].contains(&self.disposition)
            || has(OPTION_DELETE_ON_CLOSE) && map_generic(self.access) & DELETE == 0)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub name: String,
    pub directory: bool,
    pub id: u64,
    /// Names what the data lie in: another one since the file was made or overwritten.
    extent: u64,
    pub data: Arc<Vec<u8>>,
    pub attributes: u32,
    /// How many names it has.
    pub links: u32,
    /// Who owns it and who may do what, when that is not the usual.
    pub security: Option<Arc<[u8]>>,
    pub created: i64,
    pub written: i64,
    pub changed: i64,
}

/// What can be asked about a file.
#[derive(Clone, Debug)]
pub(crate) struct FileInfo {
    pub name: String,
    pub directory: bool,
    pub id: u64,
    pub size: u64,
    pub attributes: u32,
    pub links: u32,
    pub created: i64,
    pub written: i64,
    pub changed: i64,
    pub delete_pending: bool,
}

impl Node {
    fn info(&self) -> FileInfo {
        FileInfo {
            name: self.name.clone(),
            directory: self.directory,
            id: self.id,
            size: self.data.len() as u64,
            attributes: self.attributes,
            links: self.links,
            created: self.created,
            written: self.written,
            changed: self.changed,
            delete_pending: false,
        }
    }
}

/// An open file.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    /// The folded full path; follows renames.
    pub key: String,
    pub access: u32,
    pub share: u32,
    write_through: bool,
    delete_on_close: bool,
    /// Whoever opens the file besides breaks an oplock.
    oplock: bool,
}

/// Everything on the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    /// What the running system sees.
    pub nodes: BTreeMap<String, Node>,
    /// What is there after a power cut.
    pub durable: BTreeMap<String, Node>,
    pub opens: BTreeMap<u64, Open>,
    delete_pending: std::collections::HashSet<String>,
    next_open: u64,
    next_id: u64,
    next_extent: u64,
    /// What a power cut finds of metadata that nobody flushed: nothing, or all of it.
    pub journal_wins: bool,
    /// Changes made by drivers so far, and after how many the power goes.
    pub changes: u64,
    pub cut_after: Option<u64>,
    /// How long transfers take, and calls that wait for their end.
    pub pace: Pace,
    pub call_time: Duration,
    /// System time, noted by each operation.
    pub now: i64,
}

impl Files {
    /// Counts a change that a driver makes; the power may go instead.
    fn change(&mut self) -> Result<(), DiskError> {
        if self.cut_after.is_some_and(|limit| self.changes >= limit) {
            return Err(DiskError::PowerCut);
        }
        self.changes += 1;
        Ok(())
    }

    /// Adds a node and the directories above it.
    pub(super) fn insert(&mut self, path: &str, directory: bool, data: Vec<u8>, attributes: u32) {
        if let Some((parent, _)) = path.rsplit_once('\\')
            && parent.matches('\\').count() >= 2
            && !self.nodes.contains_key(&fold(parent))
        {
            self.insert(parent, true, Vec::new(), 0);
        }
        let key = fold(path);
        let previous = self.nodes.get(&key);
        let created = previous.map_or(self.now, |node| node.created);
        let id = previous.map(|node| node.id);
        let id = id.unwrap_or_else(|| {
            self.next_id += 1;
            0x0001_0000_0000_0000 + self.next_id
        });
        let (links, security) =
            previous.map_or((1, None), |node| (node.links, node.security.clone()));
        self.next_extent += 1;
        let kind = if directory { ATTRIBUTE_DIRECTORY } else { ATTRIBUTE_ARCHIVE };
        let node = Node {
            name: path.rsplit('\\').next().unwrap_or(path).to_owned(),
            directory,
            id,
            extent: self.next_extent,
            data: Arc::new(data),
            attributes: kind | (attributes & !(ATTRIBUTE_DIRECTORY | 0x80)),
            links,
            security,
            created,
            written: self.now,
            changed: self.now,
        };
        self.nodes.insert(key, node);
    }

    /// Opens or creates; gives the open's number and the `Information` value.
    pub(super) fn open(
        &mut self,
        path: &str,
        request: OpenRequest,
    ) -> Result<(u64, u64), DiskError> {
        let key = fold(path);
        let access = map_generic(request.access);
        let exists = self.nodes.get(&key).map(|node| (node.directory, node.attributes));
        if self.delete_pending.contains(&key) {
            return Err(NtStatus::DELETE_PENDING.into());
        }
        let (information, overwrites) = match (exists, request.disposition) {
            (None, 1 | 4) => return Err(self.absent(path).into()),
            (Some(_), 2) => return Err(NtStatus::OBJECT_NAME_COLLISION.into()),
            (None, 0 | 2 | 3 | 5) => (2, false),
            (Some(_), 1 | 3) => (1, false),
            (Some(_), 0) => (0, true),
            (Some(_), 4 | 5) => (3, true),
            _ => return Err(NtStatus::INVALID_PARAMETER.into()),
        };
        if let Some((directory, _)) = exists {
            if directory && (request.options & OPTION_NON_DIRECTORY != 0 || overwrites) {
                return Err(NtStatus::FILE_IS_A_DIRECTORY.into());
            }
            if !directory && request.options & OPTION_DIRECTORY != 0 {
                return Err(NtStatus::NOT_A_DIRECTORY.into());
            }
        } else {
            if !self.has_parent(path) {
                return Err(NtStatus::OBJECT_PATH_NOT_FOUND.into());
            }
            if !is_name(path.rsplit('\\').next().unwrap_or("")) {
                return Err(NtStatus::OBJECT_NAME_INVALID.into());
            }
        }
        if !self.sharing_allows(&key, access, request.share) {
            return Err(NtStatus::SHARING_VIOLATION.into());
        }
        if exists.is_none() || overwrites {
            self.change()?;
            let directory = request.options & OPTION_DIRECTORY != 0;
            self.insert(path, directory, Vec::new(), request.attributes);
        }
        let open = Open {
            key,
            access,
            share: request.share,
            write_through: request.options & OPTION_WRITE_THROUGH != 0,
            delete_on_close: request.options & OPTION_DELETE_ON_CLOSE != 0,
            oplock: false,
        };
        Ok((self.add_open(open), information))
    }

    pub(super) fn add_open(&mut self, open: Open) -> u64 {
        self.next_open += 1;
        self.opens.insert(self.next_open, open);
        self.next_open
    }

    /// An open of the host's: another program that has the file open.
    pub(super) fn hold(&mut self, key: String, share: u32) -> u64 {
        let access = FILE_READ_DATA | FILE_WRITE_DATA;
        let open =
            Open { key, access, share, write_through: true, delete_on_close: false, oplock: false };
        self.add_open(open)
    }

    /// An open of the host's that everybody may open besides, and breaks its oplock by it.
    pub(super) fn hold_oplock(&mut self, key: String) -> u64 {
        let open = self.hold(key, 7);
        if let Some(open) = self.opens.get_mut(&open) {
            open.access = FILE_READ_DATA;
            open.oplock = true;
        }
        open
    }

    /// Whether somebody else holds an oplock on an open file.
    pub(super) fn is_oplocked(&self, open: u64) -> bool {
        let Some(own) = self.opens.get(&open) else { return false };
        self.opens.iter().any(|(id, other)| *id != open && other.oplock && other.key == own.key)
    }

    /// The security descriptor of an open file.
    pub(super) fn security(&self, open: u64) -> Result<Vec<u8>, DiskError> {
        let (_, node) = self.at(open)?;
        let usual = || super::Security::default().encode();
        Ok(node.security.as_deref().map_or_else(usual, <[u8]>::to_vec))
    }

    pub(super) fn has_parent(&self, path: &str) -> bool {
        let Some((parent, _)) = path.rsplit_once('\\') else {
            return false;
        };
        self.nodes.get(&fold(parent)).is_some_and(|node| node.directory)
    }

    fn absent(&self, path: &str) -> NtStatus {
        if self.has_parent(path) {
            NtStatus::OBJECT_NAME_NOT_FOUND
        } else {
            NtStatus::OBJECT_PATH_NOT_FOUND
        }
    }

    fn sharing_allows(&self, key: &str, access: u32, share: u32) -> bool {
        let wants = rights(access);
        self.opens.values().filter(|open| open.key == key).all(|open| {
            let has = rights(open.access);
            let shares = |rights: [bool; 3], share: u32| {
                (0..3).all(|index| !rights[index] || share & (1 << index) != 0)
            };
            shares(wants, open.share) && shares(has, share)
        })
    }

    fn at(&self, open: u64) -> Result<(&Open, &Node), DiskError> {
        let open = self.opens.get(&open).ok_or(NtStatus::INVALID_HANDLE)?;
        let node = self.nodes.get(&open.key).ok_or(NtStatus::INVALID_HANDLE)?;
        Ok((open, node))
    }

    pub(super) fn info(&self, open: u64) -> Result<FileInfo, DiskError> {
        let (open, node) = self.at(open)?;
        let delete_pending = self.delete_pending.contains(&open.key);
        Ok(FileInfo { delete_pending, ..node.info() })
    }

    pub(super) fn read(&self, open: u64, offset: u64, count: usize) -> Result<Vec<u8>, DiskError> {
        let (open, node) = self.at(open)?;
        if node.directory {
            return Err(NtStatus::INVALID_PARAMETER.into());
        }
        if open.access & FILE_READ_DATA == 0 {
            return Err(NtStatus::ACCESS_DENIED.into());
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = node.data.get(start..).unwrap_or(&[]);
        if rest.is_empty() && count > 0 {
            return Err(NtStatus::END_OF_FILE.into());
        }
        Ok(rest[..rest.len().min(count)].to_vec())
    }

    pub(super) fn write(&mut self, open: u64, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let (opened, node) = self.at(open)?;
        if opened.access & (FILE_WRITE_DATA | FILE_APPEND_DATA) == 0 {
            return Err(NtStatus::ACCESS_DENIED.into());
        }
        if node.directory {
            return Err(NtStatus::INVALID_PARAMETER.into());
        }
        let (key, through) = (opened.key.clone(), opened.write_through);
        let start = usize::try_from(offset).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        let end = start.checked_add(data.len()).ok_or(NtStatus::INVALID_PARAMETER)?;
        self.change()?;
        let now = self.now;
        let node = self.nodes.get_mut(&key).ok_or(NtStatus::INVALID_HANDLE)?;
        let contents = Arc::make_mut(&mut node.data);
        if contents.len() < end {
            contents.resize(end, 0);
        }
        contents[start..end].copy_from_slice(data);
        node.written = now;
        node.changed = now;
        if through {
            self.make_durable(&key);
        }
        Ok(())
    }

    pub(super) fn set_length(&mut self, open: u64, length: u64) -> Result<(), DiskError> {
        let (opened, _) = self.at(open)?;
        if opened.access & FILE_WRITE_DATA == 0 {
            return Err(NtStatus::ACCESS_DENIED.into());
        }
        let key = opened.key.clone();
        let length = usize::try_from(length).map_err(|_| NtStatus::DISK_FULL)?;
        if length > 1 << 32 {
            return Err(NtStatus::DISK_FULL.into());
        }
        self.change()?;
        let now = self.now;
        let node = self.nodes.get_mut(&key).ok_or(NtStatus::INVALID_HANDLE)?;
        Arc::make_mut(&mut node.data).resize(length, 0);
        node.changed = now;
        Ok(())
    }

    pub(super) fn flush(&mut self, open: u64) -> Result<(), DiskError> {
        let opened = self.at(open)?.0;
        if opened.access & (FILE_WRITE_DATA | FILE_APPEND_DATA) == 0 {
            return Err(NtStatus::ACCESS_DENIED.into());
        }
        let key = opened.key.clone();
        self.change()?;
        self.make_durable(&key);
        Ok(())
    }

    pub(super) fn rename(&mut self, open: u64, to: &str, replace: bool) -> Result<(), DiskError> {
        let (opened, node) = self.at(open)?;
        if opened.access & DELETE == 0 {
            return Err(NtStatus::ACCESS_DENIED.into());
        }
        let (key, through) = (opened.key.clone(), opened.write_through);
        let target = fold(to);
        let directory = node.directory;
        if !self.has_parent(to) {
            return Err(NtStatus::OBJECT_PATH_NOT_FOUND.into());
        }
        if !is_name(to.rsplit('\\').next().unwrap_or("")) {
            return Err(NtStatus::OBJECT_NAME_INVALID.into());
        }
        if target != key
            && let Some(old) = self.nodes.get(&target)
        {
            if !replace {
                return Err(NtStatus::OBJECT_NAME_COLLISION.into());
            }
            let busy = self.opens.values().any(|open| open.key == target);
            if old.directory || old.attributes & ATTRIBUTE_READ_ONLY != 0 || busy {
                return Err(NtStatus::ACCESS_DENIED.into());
            }
        }
        self.change()?;
        let prefix = format!(r"{key}\");
        let moved: Vec<String> = self
            .nodes
            .keys()
            .filter(|own| **own == key || (directory && own.starts_with(&prefix)))
            .cloned()
            .collect();
        for old in moved {
            let new = format!("{target}{}", &old[key.len()..]);
            if let Some(mut node) = self.nodes.remove(&old) {
                if old == key {
                    node.name = to.rsplit('\\').next().unwrap_or(to).to_owned();
                    node.changed = self.now;
                }
                self.nodes.insert(new.clone(), node);
            }
            for open in self.opens.values_mut().filter(|open| open.key == old) {
                open.key.clone_from(&new);
            }
        }
        if through {
            self.make_metadata_durable();
        }
        Ok(())
    }

    pub(super) fn set_delete(&mut self, open: u64, delete: bool) -> Result<(), DiskError> {
        let (opened, node) = self.at(open)?;
        if opened.access & DELETE == 0 {
            return Err(NtStatus::ACCESS_DENIED.into());
        }
        let key = opened.key.clone();
        if delete && node.directory && self.children(&key).next().is_some() {
            return Err(NtStatus::DIRECTORY_NOT_EMPTY.into());
        }
        if delete && node.attributes & ATTRIBUTE_READ_ONLY != 0 {
            return Err(NtStatus::CANNOT_DELETE.into());
        }
        self.change()?;
        if delete {
            self.delete_pending.insert(key);
        } else {
            self.delete_pending.remove(&key);
        }
        Ok(())
    }

    pub(super) fn close(&mut self, open: u64) {
        let Some(open) = self.opens.remove(&open) else {
            return;
        };
        if open.delete_on_close {
            self.delete_pending.insert(open.key.clone());
        }
        let last = !self.opens.values().any(|other| other.key == open.key);
        if last && self.delete_pending.remove(&open.key) {
            self.nodes.remove(&open.key);
        }
    }

    /// The entries of a directory by folded name.
    pub(super) fn children(&self, key: &str) -> impl Iterator<Item = &Node> {
        let prefix = format!(r"{key}\");
        let length = prefix.len();
        self.nodes
            .range(prefix.clone()..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .filter(move |(path, _)| !path[length..].contains('\\'))
            .map(|(_, node)| node)
    }

    pub(super) fn list(&self, open: u64) -> Result<Vec<FileInfo>, DiskError> {
        let (open, node) = self.at(open)?;
        if !node.directory {
            return Err(NtStatus::INVALID_PARAMETER.into());
        }
        // FILE_LIST_DIRECTORY is the same bit.
        if open.access & FILE_READ_DATA == 0 {
            return Err(NtStatus::ACCESS_DENIED.into());
        }
        let mut entries = Vec::new();
        for dot in [".", ".."] {
            entries.push(FileInfo { name: dot.to_owned(), ..node.info() });
        }
        entries.extend(self.children(&open.key).map(Node::info));
        Ok(entries)
    }

    /// One file's data and all metadata so far reach the disk, as with a journaled file system:
    /// data of other files does not, they have the right length and zeros.
    pub(super) fn make_durable(&mut self, key: &str) {
        let data = self.nodes.get(key).map(|node| node.data.clone());
        self.make_metadata_durable();
        if let (Some(data), Some(node)) = (data, self.durable.get_mut(key)) {
            node.data = data;
        }
    }

    /// All metadata so far reach the disk, and no data: a name may come before what it names.
    fn make_metadata_durable(&mut self) {
        let old: HashMap<u64, Arc<Vec<u8>>> =
            self.durable.values().map(|node| (node.extent, node.data.clone())).collect();
        let mut next = self.nodes.clone();
        for node in next.values_mut().filter(|node| !node.directory) {
            node.data = match old.get(&node.extent) {
                Some(data) => data.clone(),
                None => Arc::new(vec![0; node.data.len()]),
            };
        }
        self.durable = next;
    }

    /// The power went: only what was durable is left, or what the journal had besides.
    pub(super) fn lose_unflushed(&mut self) {
        if self.journal_wins {
            self.make_metadata_durable();
        }
        self.nodes = self.durable.clone();
        self.opens.clear();
        self.delete_pending.clear();
        self.cut_after = None;
    }
}

/// Read, write and delete, as sharing sees them.
fn rights(access: u32) -> [bool; 3] {
    // Execute counts as reading.
    [access & 0x21 != 0, access & (FILE_WRITE_DATA | FILE_APPEND_DATA) != 0, access & DELETE != 0]
}

fn map_generic(access: u32) -> u32 {
    let mut mapped = access & 0x0FFF_FFFF;
    if access & 0x8000_0000 != 0 {
        mapped |= 0x0012_0089;
    }
    if access & 0x4000_0000 != 0 {
        mapped |= 0x0012_0116;
    }
    if access & 0x2000_0000 != 0 {
        mapped |= 0x0012_00A0;
    }
    if access & 0x1200_0000 != 0 {
        mapped |= 0x001F_01FF;
    }
    mapped
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.encode_utf16().count() <= 255
        && !name.contains(|c: char| c < ' ' || "<>\"|?*/".contains(c))
}
