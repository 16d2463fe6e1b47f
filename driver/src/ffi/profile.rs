//! What this sensor can do, in the image for whoever has only the file.

use channel_format::limits::PROFILE_LEN;
use channel_format::profile::SensorProfile;

/// The record: what content is judged by here. The section's name is how tools find it.
#[used]
#[unsafe(link_section = ".profile")]
static PROFILE: [u8; PROFILE_LEN] = SensorProfile::CURRENT.record();

/// The record as it stands in the loaded image.
pub fn record() -> [u8; PROFILE_LEN] {
    super::anchor::as_loaded(&PROFILE)
}
