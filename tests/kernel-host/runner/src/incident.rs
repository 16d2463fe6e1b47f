//! Makes the file of July 2024: sound but for one record, and signed with a good key.

use std::path::PathBuf;
use std::process::ExitCode;

use channel_compiler::incident::wild_table_index;
use channel_format::frame::Header;
use channel_format::name::ChannelName;
use loader::content::keys;
use loader::files::{self, Existing, Readers};

use crate::error::Error;

/// What to make the incident's file from.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The sound file.
    file: PathBuf,
    /// The secret key that signs the result.
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// The folder it is written to, under the next sequence.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Where the header has the sequence.
const SEQUENCE: std::ops::Range<usize> = 32..36;

/// Writes the file under the next sequence, so that the driver tries it before the one it was made
/// from.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let key = keys::read_secret(&arguments.key)?;
    let mut file = files::read_channel_file(&arguments.file)?;
    let header = Header::parse(&file).map_err(Error::Base)?;
    let name = ChannelName { sequence: header.sequence.saturating_add(1), ..header.name() };
    if let Some(sequence) = file.get_mut(SEQUENCE) {
        sequence.copy_from_slice(&name.sequence.to_le_bytes());
    }
    let wild = wild_table_index(&file, &key)?;
    let path = arguments.out.join(name.to_string());
    files::write(&path, &wild, Existing::Keep, Readers::All)?;
    println!("{}", path.display());
    Ok(ExitCode::SUCCESS)
}
