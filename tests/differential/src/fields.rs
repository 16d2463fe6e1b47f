//! The fields of rules under Sigma's names, and of events.

use channel_format::schema::Field;

/// Text fields, the plainest first, with how often rules use them.
pub const TEXTS: [(&str, Field, usize); 5] = [
    ("PipeName", Field::PipeName, 10),
    ("Image", Field::ImagePath, 6),
    ("ImageName", Field::ImageName, 3),
    ("ParentImage", Field::ParentImage, 1),
    ("ImagePath", Field::ImagePath, 1),
];

/// Number fields; the process comes first and most often.
pub const NUMBERS: [(&str, Field); 21] = [
    ("ProcessId", Field::ProcessId),
    ("Operation", Field::Operation),
    ("Integrity", Field::Integrity),
    ("IntegrityLevel", Field::Integrity),
    ("Elevation", Field::Elevation),
    ("Session", Field::Session),
    ("SessionId", Field::Session),
    ("TerminalSessionId", Field::Session),
    ("RemoteOrigin", Field::RemoteOrigin),
    ("Impersonating", Field::Impersonating),
    ("DesiredAccess", Field::DesiredAccess),
    ("CreateOptions", Field::CreateOptions),
    ("Disposition", Field::Disposition),
    ("Direction", Field::Direction),
    ("PipeType", Field::PipeType),
    ("ReadMode", Field::ReadMode),
    ("RejectRemote", Field::RejectRemote),
    ("MaxInstances", Field::MaxInstances),
    ("InboundQuota", Field::InboundQuota),
    ("OutboundQuota", Field::OutboundQuota),
    ("DefaultTimeout", Field::DefaultTimeout),
];

/// The field whose values are security identifiers: rules may only ask whether it is there.
pub const USER: (&str, Field) = ("User", Field::User);

/// Every name that stands for the field itself.
pub fn names(field: Field) -> impl Iterator<Item = &'static str> {
    let texts = TEXTS.into_iter().map(|(name, field, _)| (name, field));
    let all = texts.chain(NUMBERS).chain([USER]);
    all.filter(move |(_, known)| *known == field).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_schema_has_a_name() {
        assert!(Field::ALL.into_iter().all(|field| names(field).count() > 0));
        assert_eq!(names(Field::ImagePath).collect::<Vec<_>>(), ["Image", "ImagePath"]);
    }
}
