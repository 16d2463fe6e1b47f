//! From expressions to the bytes of an unsigned file.

mod plan;
mod program;
mod scan;
mod tables;

use channel_format::anchor::Anchor;
use channel_format::frame::{FLAG_SHRINK, FORMAT_VERSION, Header, MAGIC, TEMPLATE_IPC, verify};
use channel_format::limits::{HEADER_LEN, MAX_NAME_NUMBER, MAX_RULES};
use channel_format::refusal::{Code, Refusal};
use channel_format::ruleset::{Bounds, Ruleset, SectionKind};
use channel_format::schema::{Field, FieldSet, SCHEMA_VERSION, SensorProfile, Truth};
use channel_format::signature::{Role, sha512};

use crate::derive::complete;
use crate::error::RuleError;
use crate::fields::SigmaField;
use crate::keys::SecretKey;
use crate::lower::{Expr, lower};
use crate::naive;
use crate::sign::attach_signature;
use crate::source::{SourceRule, duplicates};
use tables::{Lowered, Writer};

/// What a file says about itself, beside its rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BuildOptions {
    /// The channel, from 1.
    pub channel: u32,
    /// The epoch of the keys.
    pub epoch: u32,
    /// The number of the file within its epoch.
    pub sequence: u32,
    /// When it was built, in seconds since 1970.
    pub created: u64,
    /// When it goes stale, in seconds since 1970; 0 is never.
    pub expires: u64,
    /// Whether it may hold fewer rules than the file it replaces.
    pub shrink: bool,
}

/// Builds an unsigned file for today's sensor.
///
/// The bytes depend on the rules and options alone, not on the order of the rules.
pub fn build(rules: &[SourceRule], options: &BuildOptions) -> Result<Vec<u8>, Vec<RuleError>> {
    build_for(rules, options, &SensorProfile::CURRENT)
}

/// [`build`] for a sensor with other abilities.
pub fn build_for(
    rules: &[SourceRule],
    options: &BuildOptions,
    sensor: &SensorProfile,
) -> Result<Vec<u8>, Vec<RuleError>> {
    let mut errors = check_options(options, rules.len());
    errors.extend(duplicates(rules));
    let mut sorted: Vec<&SourceRule> = rules.iter().collect();
    sorted.sort_by(|left, right| left.id.cmp(&right.id));
    let (mut lowered, mut conditions) = (Vec::new(), Vec::new());
    for rule in sorted {
        let failing = failing_examples(rule);
        match lower(rule) {
            Ok(expr) => {
                errors.extend(unsupplied(rule, &expr, sensor));
                match complete(rule, &expr) {
                    Ok(examples) => {
                        lowered.push(Lowered { rule, examples });
                        conditions.push(expr);
                    }
                    // An example that fails says the same, and says it better.
                    Err(found) if failing.is_empty() => errors.extend(found),
                    Err(_) => {}
                }
            }
            Err(found) => errors.extend(found),
        }
        errors.extend(failing);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let writer = Writer::of(&lowered, &conditions);
    let mut file = assemble(&writer, options, rules.len(), sensor);
    match declare_bounds(&mut file).and_then(|()| accepted(&file, options.channel, sensor)) {
        Ok(()) => Ok(file),
        Err(refusal) => {
            let reason = format!("the rules together make a file that is refused: {refusal}");
            Err(vec![RuleError::of_file("(all rules)".as_ref(), reason, refusal.code.remedy())])
        }
    }
}

fn check_options(options: &BuildOptions, rules: usize) -> Vec<RuleError> {
    let mut errors = Vec::new();
    let mut fail = |reason: String, help: &str| {
        errors.push(RuleError::of_file("(options)".as_ref(), reason, help));
    };
    if options.channel == 0 {
        fail("channel 0 carries keys, not rules".into(), "give a channel from 1, such as 291");
    }
    let numbers =
        [("channel", options.channel), ("epoch", options.epoch), ("sequence", options.sequence)];
    for (name, number) in numbers {
        if number > MAX_NAME_NUMBER {
            fail(format!("the {name} {number} has more than eight digits"), "lower it");
        }
    }
    if rules == 0 {
        fail("there are no rules".into(), "give at least one rule file");
    }
    if rules > MAX_RULES as usize {
        fail(format!("{rules} rules are too many"), "split them over several channels");
    }
    errors
}

/// The author's examples that the reference does not judge as he says.
pub(crate) fn failing_examples(rule: &SourceRule) -> Vec<RuleError> {
    let mut errors = Vec::new();
    for (number, example) in rule.examples.iter().enumerate() {
        let wanted = if example.matches { Truth::True } else { Truth::False };
        let found = naive::judge(rule, &example.inputs());
        if found != wanted {
            let reason = format!(
                "example {} of the rule `{}` must be {wanted:?} and is {found:?}",
                number + 1,
                rule.title
            );
            let words =
                if example.matches { ["match", "examples"] } else { ["no_match", "examples"] };
            errors.push(rule.error(&words, reason, "mend the rule or the example"));
        }
    }
    errors
}

pub(crate) fn unsupplied(rule: &SourceRule, expr: &Expr, sensor: &SensorProfile) -> Vec<RuleError> {
    let mut fields = FieldSet::EMPTY.with(Field::Operation);
    collect_fields(expr, &mut fields);
    let missing = fields.without(sensor.supplied).iter();
    missing
        .map(|field| {
            let reason = format!("this sensor does not supply the field {}", field.name());
            let mut words = SigmaField::names_of(field);
            words.push("detection");
            let supplied: Vec<_> = sensor.supplied.iter().map(Field::name).collect();
            let help = format!("leave it out; supplied are {}", supplied.join(", "));
            rule.error(&words, reason, help).unsupported()
        })
        .collect()
}

fn collect_fields(expr: &Expr, fields: &mut FieldSet) {
    match expr {
        Expr::Criterion(criterion) => *fields = fields.with(criterion.field),
        Expr::And(parts) | Expr::Or(parts) => {
            parts.iter().for_each(|part| collect_fields(part, fields));
        }
        Expr::Not(inner) => collect_fields(inner, fields),
    }
}

/// Puts header, sections and digest together.
fn assemble(
    writer: &Writer<'_>,
    options: &BuildOptions,
    rules: usize,
    sensor: &SensorProfile,
) -> Vec<u8> {
    let mut file = vec![0; HEADER_LEN];
    let mut directory = Vec::new();
    for (kind, bytes) in SectionKind::ALL.into_iter().zip(writer.sections()) {
        file.resize(file.len().next_multiple_of(8), 0);
        directory.extend(kind.number().to_le_bytes());
        directory.extend([0; 2]);
        directory.extend(kind.record_size().to_le_bytes());
        directory.extend((file.len() as u32).to_le_bytes());
        directory.extend((bytes.len() as u32).to_le_bytes());
        file.extend(bytes);
    }
    let mut header = Vec::with_capacity(HEADER_LEN);
    header.extend(MAGIC);
    header.extend(FORMAT_VERSION.to_le_bytes());
    header.extend((HEADER_LEN as u16).to_le_bytes());
    header.extend(if options.shrink { FLAG_SHRINK } else { 0 }.to_le_bytes());
    header.extend((file.len() as u64).to_le_bytes());
    header.extend(options.channel.to_le_bytes());
    header.extend(options.epoch.to_le_bytes());
    header.extend(options.sequence.to_le_bytes());
    header.extend(TEMPLATE_IPC.to_le_bytes());
    header.extend(SCHEMA_VERSION.to_le_bytes());
    header.extend(writer.fields().bits().to_le_bytes());
    header.extend(sensor.api_level.to_le_bytes());
    header.extend((rules as u32).to_le_bytes());
    // Declared once the file is there to be measured.
    header.extend([0; 16]);
    header.extend(options.created.to_le_bytes());
    header.extend(options.expires.to_le_bytes());
    header.extend(sha512(&[&file[HEADER_LEN..]]));
    header.extend((SectionKind::ALL.len() as u16).to_le_bytes());
    header.extend([0; 6]);
    header.extend(directory);
    file[..header.len()].copy_from_slice(&header);
    file
}

/// Has the driver's own code say what the file may cost, and declares that.
fn declare_bounds(file: &mut [u8]) -> Result<(), Refusal> {
    let bounds = Bounds::of_file(&Header::parse(file)?, file)?;
    file[56..64].copy_from_slice(&bounds.steps_per_event.to_le_bytes());
    file[64..72].copy_from_slice(&bounds.steps_per_load.to_le_bytes());
    Ok(())
}

/// Has the driver's own code accept the file, under a key made for the purpose.
fn accepted(file: &[u8], channel: u32, sensor: &SensorProfile) -> Result<(), Refusal> {
    Header::parse(file)?;
    let internal = Refusal::new(Code::Internal, 0, 0, 0);
    let key = SecretKey::from_seed([0; 32], Role::Content, false, channel..=channel);
    let key = key.map_err(|_| internal)?;
    let mut signed = file.to_vec();
    attach_signature(&mut signed, &key).map_err(|_| internal)?;
    let anchor = Anchor::parse(&Anchor::encode(&[], 0, &[key.public])?)?;
    let verified = verify(&signed, &anchor)?.body(signed.as_slice())?;
    Ruleset::parse(verified, sensor)?.self_test()
}
