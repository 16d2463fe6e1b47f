//! The name of the pipe that a create is about.
//!
//! It is the name that was asked for. A client's open of an alias (`Services\Npfs\Aliases`) is
//! turned into another pipe's below us, and is judged by the alias.

use crate::ffi::create::{PipeCreate, PipeOperation};
use crate::ffi::file_name::FullName;

const BACKSLASH: u16 = 0x5C;

/// The pipe's name with its leading backslash.
pub enum PipeName<'a> {
    /// As the caller gave it.
    Given(&'a [u16]),
    /// The caller gave it relative to a directory: the root, or that of an app container.
    Completed(FullName),
    /// It is no string, or the directory cannot be told.
    Unknown,
}

impl<'a> PipeName<'a> {
    /// The name in `create`; empty for an anonymous pipe, and for the client end of one that is
    /// opened by its server end. `None` when it opens the pipe file system or its root directory,
    /// which is no pipe: listing pipes and waiting for one do that all the time.
    pub fn of(create: &'a PipeCreate<'_>) -> Option<Self> {
        let connects = create.operation() == PipeOperation::Connected;
        Some(match (create.name(), create.is_relative()) {
            (None, _) => Self::Unknown,
            (Some([] | [BACKSLASH]), false) if connects => return None,
            (Some([]), _) => Self::Given(&[]),
            (Some(name @ [BACKSLASH, ..]), false) => Self::Given(name),
            // NPFS refuses a name that is neither rooted nor relative, and one that is both.
            (Some(_), false) | (Some([BACKSLASH, ..]), true) => Self::Unknown,
            (Some(_), true) => FullName::of(create).map_or(Self::Unknown, Self::Completed),
        })
    }

    /// Its units: any, with NULs and lone surrogates among them.
    pub fn units(&self) -> Option<&[u16]> {
        match self {
            Self::Given(name) => Some(name),
            Self::Completed(name) => name.in_volume(),
            Self::Unknown => None,
        }
    }
}
