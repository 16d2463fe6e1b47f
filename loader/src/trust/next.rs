//! The next file of channel 0: what the one before says, with one change.

use std::io::Write;
use std::path::PathBuf;

use channel_compiler::control::{ControlContent, ControlOptions, EditError};
use channel_format::name::ChannelName;

use crate::content::position::Next;
use crate::content::{say, unverified};
use crate::files::{self, Existing, Readers};
use crate::{Error, cli};

/// Which file of channel 0 is changed, and where the next one stands.
#[derive(Debug, clap::Args)]
pub struct Change {
    /// File of channel 0 that is in force
    #[arg(value_name = "CURRENT")]
    pub current: PathBuf,
    /// Where the next one stands.
    #[command(flatten)]
    pub next: Next,
}

impl Change {
    /// Writes the next file, unsigned, and prints its path; `said` is for whoever signs it.
    ///
    /// # Errors
    /// The change makes no sense, or the file cannot be read, built or written.
    pub fn make(
        &self,
        edit: impl FnOnce(&mut ControlContent) -> Result<(), EditError>,
        said: &str,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let bytes = files::read_channel_file(&self.current)?;
        self.next.trusted(&self.current, &bytes)?;
        let refused = |refusal| Error::Refused { path: self.current.clone(), refusal };
        let control = unverified::control(&bytes).map_err(refused)?;
        let (header, mut content) = (control.header(), ControlContent::of(&control));
        edit(&mut content).map_err(|source| Error::Edit { path: self.current.clone(), source })?;
        let position = self.next.after(&self.current, header, header)?;
        let options = ControlOptions {
            epoch: position.epoch,
            sequence: position.sequence,
            created: position.created,
            expires: position.expires,
        };
        let file = content
            .build(&options)
            .map_err(|source| Error::Trust { path: self.current.clone(), source })?;
        let name = ChannelName { channel: 0, epoch: position.epoch, sequence: position.sequence };
        let path = self.next.out.join(format!("{name}.unsigned"));
        files::ensure_folder(&self.next.out)?;
        files::write(&path, &file, Existing::Replace, Readers::All)?;
        cli::note(said);
        cli::note(
            "all else is as in the file before; look at it with `sakerctl trust show`, then have the root keys sign it",
        );
        say!(out, "{}", path.display())
    }
}
