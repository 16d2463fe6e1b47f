//! A FAT volume in a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};

use crate::failure::Failure;

/// Enough for what goes there and for some small dumps.
const SIZE: u64 = 256 << 20;
/// By this label the machine finds the volume.
pub const LABEL: [u8; 11] = *b"SAKER      ";

/// The volume. Paths in it have forward slashes. It is opened for each use, so that the machine and
/// this program never have it open together.
pub struct Medium {
    path: PathBuf,
}

impl Medium {
    /// A new, empty volume; one that was there is replaced.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let make = || {
            let mut file =
                OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
            file.set_len(SIZE)?;
            let options = FormatVolumeOptions::new().volume_label(LABEL);
            fatfs::format_volume(&mut file, options)
        };
        make().map_err(Failure::file(path))?;
        Ok(Self { path: path.to_owned() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, with the folders above it.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.with(|volume| {
            let root = volume.root_dir();
            for (at, _) in name.match_indices('/') {
                root.create_dir(&name[..at])?;
            }
            let mut file = root.create_file(name)?;
            file.truncate()?;
            file.write_all(bytes)?;
            file.flush()
        })
    }

    /// Copies a file onto the volume.
    pub fn copy(&self, from: &Path, name: &str) -> Result<(), Failure> {
        let bytes = fs::read(from).map_err(Failure::file(from))?;
        self.write(name, &bytes)
    }

    /// Copies a folder and all below it onto the volume.
    pub fn copy_all(&self, from: &Path, name: &str) -> Result<(), Failure> {
        for entry in fs::read_dir(from).map_err(Failure::file(from))? {
            let path = entry.map_err(Failure::file(from))?.path();
            let below =
                format!("{name}/{}", path.file_name().unwrap_or_default().to_string_lossy());
            if path.is_dir() {
                self.copy_all(&path, &below)?;
            } else {
                self.copy(&path, &below)?;
            }
        }
        Ok(())
    }

    /// A file's bytes.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Failure> {
        self.with(|volume| {
            let mut bytes = Vec::new();
            volume.root_dir().open_file(name)?.read_to_end(&mut bytes)?;
            Ok(bytes)
        })
    }

    /// Copies the files of a folder, not those below it, to a folder outside; one that is not there
    /// has none.
    pub fn extract(&self, name: &str, to: &Path) -> Result<(), Failure> {
        fs::create_dir_all(to).map_err(Failure::file(to))?;
        let names: Vec<String> = self.with(|volume| {
            let folder = match volume.root_dir().open_dir(name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                folder => folder?,
            };
            let files = folder.iter().filter(|entry| entry.as_ref().map_or(true, |e| e.is_file()));
            files.map(|entry| Ok(entry?.file_name())).collect()
        })?;
        for file in names {
            // A name of the machine's own making is not to lead elsewhere.
            let plain = Path::new(&file).file_name().unwrap_or_default();
            let path = to.join(plain);
            let bytes = self.read(&format!("{name}/{file}"))?;
            fs::write(&path, bytes).map_err(Failure::file(&path))?;
        }
        Ok(())
    }

    fn with<R>(&self, work: impl FnOnce(&FileSystem<File>) -> io::Result<R>) -> Result<R, Failure> {
        let open = || {
            let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
            let volume = FileSystem::new(file, FsOptions::new())?;
            let result = work(&volume)?;
            volume.unmount()?;
            Ok(result)
        };
        open().map_err(Failure::file(&self.path))
    }
}
