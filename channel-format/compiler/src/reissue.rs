//! The same rules again, under another position.

use channel_format::frame::{FLAG_SHRINK, Header};
use channel_format::limits::{HEADER_LEN, SIGNED_LEN};
use channel_format::refusal::Refusal;

use crate::layout::BuildOptions;

/// An unsigned file with the body of this one. Its channel is the file's own, whatever `options` say.
///
/// # Errors
/// The file's header cannot be read.
pub fn reissue(file: &[u8], options: &BuildOptions) -> Result<Vec<u8>, Refusal> {
    Header::parse(file)?;
    let mut again = file.to_vec();
    let flags = if options.shrink { FLAG_SHRINK } else { 0 };
    let numbers = [(12, flags), (28, options.epoch), (32, options.sequence)];
    for (at, number) in numbers {
        again[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    for (at, number) in [(72, options.created), (80, options.expires)] {
        again[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    again[SIGNED_LEN..HEADER_LEN].fill(0);
    Header::parse(&again)?;
    Ok(again)
}
