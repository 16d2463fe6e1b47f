//! Files with the faults of July 2024, for demonstrations and tests.
//!
//! Each keeps a signature that is good: the fault is in the content, as it was then, so only the
//! sensor's own validation stands between it and a crash.

use std::path::Path;

use channel_format::engine::criterion::RECORD_LEN;
use channel_format::frame::Header;
use channel_format::limits::{HEADER_LEN, SIGNED_LEN};
use channel_format::refusal::{Code, Refusal};
use channel_format::ruleset::SectionKind;
use channel_format::schema::SensorProfile;
use channel_format::signature::sha512;

use crate::error::RuleError;
use crate::keys::SecretKey;
use crate::layout::{BuildOptions, build_for};
use crate::sign::{SignError, attach_signature};
use crate::source::parse_rules;

/// The index that the wild record names: what a table entry read past its end may hold.
pub const WILD_INDEX: u64 = 0x8400_0000_0074;

/// A rule on a field that today's driver does not supply, as the 21st was in July 2024.
pub const RULE_21: &str = include_str!("../../../tests/incidents/field-21.yml");

/// Why an incident's file could not be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IncidentError {
    /// The file to start from is not sound.
    #[error("the file to start from cannot be used: {0}")]
    Base(Refusal),
    /// The file could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The rule could not be built.
    #[error("the rule cannot be built")]
    Rules(Vec<RuleError>),
}

/// Takes a sound file and lets its first criterion with a table point far outside of it; digest
/// and signature are then made good again with `key`.
///
/// A sensor that indexes without a check reads wild memory at that record. Saker refuses the file
/// with [`Code::IndexOutOfRange`] at the record's offset.
pub fn wild_table_index(file: &[u8], key: &SecretKey) -> Result<Vec<u8>, IncidentError> {
    let header = Header::parse(file).map_err(IncidentError::Base)?;
    let mut wild = file.to_vec();
    let section = header.sections.iter().find(|s| s.kind == SectionKind::Criteria.number());
    let record = section.and_then(|section| {
        let range = section.offset as usize..(section.offset + section.length) as usize;
        let records = wild.get_mut(range)?.chunks_exact_mut(RECORD_LEN);
        // Operators 1 to 5 name a literal.
        records.into_iter().find(|record| (1..=5).contains(&record[1]))
    });
    let Some(record) = record else {
        return Err(IncidentError::Base(Refusal::new(Code::IndexOutOfRange, 160, 1, 0)));
    };
    record[8..16].copy_from_slice(&WILD_INDEX.to_le_bytes());
    resign(&mut wild, key)?;
    Ok(wild)
}

/// A signed file whose only rule matches on a field that today's driver does not supply: 21
/// declared, 20 supplied. Saker refuses it with [`Code::FieldNotSupplied`], naming the field.
pub fn field_not_supplied(
    options: &BuildOptions,
    key: &SecretKey,
) -> Result<Vec<u8>, IncidentError> {
    let rules = parse_rules(Path::new("tests/incidents/field-21.yml"), RULE_21)
        .map_err(IncidentError::Rules)?;
    let mut file =
        build_for(&rules, options, &SensorProfile::FULL).map_err(IncidentError::Rules)?;
    attach_signature(&mut file, key)?;
    Ok(file)
}

/// Makes digest and signature good again after the body was changed: the one signature is `key`'s.
pub fn resign(file: &mut [u8], key: &SecretKey) -> Result<(), IncidentError> {
    if file.len() < HEADER_LEN {
        let refusal = Refusal::new(Code::Absent, 0, HEADER_LEN as u64, file.len() as u64);
        return Err(IncidentError::Base(refusal));
    }
    let digest = sha512(&[&file[HEADER_LEN..]]);
    file[88..152].copy_from_slice(&digest);
    file[SIGNED_LEN..HEADER_LEN].fill(0);
    Ok(attach_signature(file, key)?)
}
