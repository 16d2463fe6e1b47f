//! `sakerctl content inspect`: what a file holds, whatever state it is in.

use std::io::Write;
use std::path::{Path, PathBuf};

use channel_format::frame::{FLAG_SHRINK, FileId, Header};
use channel_format::limits::HEADER_LEN;
use channel_format::name::ChannelName;
use channel_format::refusal::Refusal;
use channel_format::ruleset::{Rule, Ruleset};
use channel_format::schema::{Field, FieldSet, Operation, SensorProfile};
use channel_format::signature::sha512;
use serde::Serialize;

use crate::content::raw::{self, RawHeader};
use crate::content::{say, time, unverified};
use crate::report::{count, hex, printable};
use crate::{Error, files};

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Checks no signature: that is what `verify` is for. A damaged file is shown as far as it can be \
read, with the reason why it would be refused; that is a result and leaves with 0. The state is \
one of: absent (empty, zeros or cut short, as a torn write leaves it), damaged, unsigned, signed.")]
pub struct Args {
    /// Channel file, unsigned, signed or damaged
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let bytes = files::read_channel_file(&args.file)?;
    let inspection = Inspection::of(&args.file, &bytes);
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &inspection)
            .map_err(|error| Error::Output { source: error.into() })?;
        say!(out)
    } else {
        print(&inspection, out)
    }
}

/// All that can be said of a file without keys.
#[derive(Debug, Serialize)]
struct Inspection {
    v: u32,
    file: String,
    length: u64,
    sha512: String,
    /// By which channel 0 revokes a file: of the signed part of its header.
    id: Option<String>,
    /// Always false: nothing here checks a signature.
    verified: bool,
    state: State,
    name: Option<String>,
    header: Option<RawHeader>,
    fields: Vec<&'static str>,
    digest_matches: Option<bool>,
    signatures: Vec<Signature>,
    rules: Vec<RuleReport>,
    self_test: Option<bool>,
    refusal: Option<RefusalReport>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Absent,
    Damaged,
    Unsigned,
    Signed,
}

#[derive(Debug, Serialize)]
struct Signature {
    key: String,
    checked: bool,
}

#[derive(Debug, Serialize)]
struct RuleReport {
    id: String,
    title: String,
    level: &'static str,
    action: &'static str,
    judges: Vec<&'static str>,
    blocks: Vec<&'static str>,
    tags: Vec<String>,
    references: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RefusalReport {
    code: u16,
    name: &'static str,
    offset: u32,
    expected: u64,
    found: u64,
    fault: &'static str,
    reason: String,
    remedy: &'static str,
}

impl Inspection {
    fn of(path: &Path, bytes: &[u8]) -> Self {
        let mut inspection = Self {
            v: 1,
            file: path.display().to_string(),
            length: bytes.len() as u64,
            sha512: hex(&sha512(&[bytes])),
            id: bytes.get(..HEADER_LEN).map(|header| hex(&FileId::of(header).0)),
            verified: false,
            state: State::Damaged,
            name: None,
            header: RawHeader::read(bytes),
            fields: Vec::new(),
            digest_matches: None,
            signatures: Vec::new(),
            rules: Vec::new(),
            self_test: None,
            refusal: None,
        };
        if let Some(header) = inspection.header {
            inspection.fill_header(&header, bytes);
        }
        match inspection.fill_rules(bytes) {
            Ok(()) if inspection.signatures.is_empty() => inspection.state = State::Unsigned,
            Ok(()) => inspection.state = State::Signed,
            Err(refusal) => {
                if refusal.code == channel_format::refusal::Code::Absent {
                    inspection.state = State::Absent;
                }
                inspection.refusal = Some(refusal.into());
            }
        }
        inspection
    }

    /// What the header says, true or not.
    fn fill_header(&mut self, header: &RawHeader, bytes: &[u8]) {
        let (channel, epoch, sequence) = (header.channel, header.epoch, header.sequence);
        self.name = Some(ChannelName { channel, epoch, sequence }.to_string());
        // Bits that are no field are the refusal's to tell.
        let known = FieldSet::from_bits(header.fields_used & FieldSet::ALL.bits());
        self.fields = known.unwrap_or_default().iter().map(Field::name).collect();
        let body = bytes.get(HEADER_LEN..).unwrap_or_default();
        self.digest_matches = raw::digest(bytes).map(|digest| digest == sha512(&[body]));
        self.signatures =
            raw::signers(bytes).into_iter().map(|key| Signature { key, checked: false }).collect();
    }

    /// The rules, and whether their examples pass; the first refusal ends it.
    fn fill_rules(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        // Channel 0 has no rules; `sakerctl trust show` prints what it says.
        if Header::parse(bytes)?.channel == 0 {
            return unverified::control(bytes).map(|_| ());
        }
        let ruleset = unverified::ruleset(bytes, &SensorProfile::FULL)?;
        self.rules = rules(&ruleset);
        let tested = ruleset.self_test();
        self.self_test = Some(tested.is_ok());
        tested?;
        // Sound, but not for today's driver.
        unverified::ruleset(bytes, &SensorProfile::CURRENT).map(|_| ())
    }
}

fn rules(ruleset: &Ruleset<Vec<u8>>) -> Vec<RuleReport> {
    let all = (0..ruleset.rule_count()).filter_map(|index| ruleset.rule(index));
    all.map(|rule: Rule<'_>| RuleReport {
        id: rule.id.to_owned(),
        title: rule.title.to_owned(),
        level: rule.level.name(),
        action: rule.action.name(),
        judges: operations(rule.judges),
        blocks: operations(rule.blocks),
        tags: rule.tags().map(str::to_owned).collect(),
        references: rule.references().map(str::to_owned).collect(),
    })
    .collect()
}

fn operations(mask: u8) -> Vec<&'static str> {
    let named = Operation::ALL.into_iter().filter(|operation| mask & operation.mask() != 0);
    named
        .map(|operation| match operation {
            Operation::Created => "created",
            Operation::Connected => "connected",
        })
        .collect()
}

impl From<Refusal> for RefusalReport {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code.number(),
            name: refusal.code.name(),
            offset: refusal.offset,
            expected: refusal.expected,
            found: refusal.found,
            fault: refusal.fault().name(),
            reason: refusal.to_string(),
            remedy: refusal.code.remedy(),
        }
    }
}

fn print(inspection: &Inspection, out: &mut dyn Write) -> Result<(), Error> {
    let Inspection { length, sha512, .. } = inspection;
    say!(out, "{}", inspection.file)?;
    say!(out, "UNVERIFIED: no signature was checked (`sakerctl content verify` does)")?;
    say!(out)?;
    let state = match inspection.state {
        State::Absent => "absent: empty, zeros or cut short",
        State::Damaged => "would be refused",
        State::Unsigned => "sound, not signed",
        State::Signed => "sound, signed",
    };
    row(out, "state", state)?;
    if let Some(refusal) = &inspection.refusal {
        row(out, "refusal", &refusal.reason)?;
        row(out, "fault", refusal.fault)?;
        row(out, "remedy", refusal.remedy)?;
    }
    row(out, "length", format_args!("{length} bytes"))?;
    row(out, "SHA-512", sha512)?;
    if let Some(id) = &inspection.id {
        row(out, "id", id)?;
    }
    let Some(header) = &inspection.header else {
        return row(out, "header", "none: the file does not begin as a channel file does");
    };
    print_header(inspection, header, out)?;
    say!(out)?;
    print_rules(&inspection.rules, out)
}

fn print_header(
    inspection: &Inspection,
    header: &RawHeader,
    out: &mut dyn Write,
) -> Result<(), Error> {
    if let Some(name) = &inspection.name {
        row(out, "name", name)?;
    }
    row(out, "channel", header.channel)?;
    row(out, "epoch", header.epoch)?;
    row(out, "sequence", header.sequence)?;
    row(out, "format", format_args!("version {}", header.format_version))?;
    let template = match header.template_type {
        channel_format::frame::TEMPLATE_CONTROL => "Control",
        channel_format::frame::TEMPLATE_IPC => "Ipc",
        _ => "unknown",
    };
    let (number, schema) = (header.template_type, header.schema_version);
    row(out, "template type", format_args!("{template} ({number}), schema version {schema}"))?;
    row(out, "API level", header.api_level)?;
    let shrink = if header.flags & FLAG_SHRINK != 0 { " (shrink)" } else { "" };
    row(out, "flags", format_args!("{:#x}{shrink}", header.flags))?;
    row(out, "created", time::format(header.created))?;
    match header.expires {
        0 => row(out, "expires", "never")?,
        expires => row(out, "expires", time::format(expires))?,
    }
    row(
        out,
        "steps",
        format_args!(
            "at most {} an event, {} a load",
            header.steps_per_event, header.steps_per_load
        ),
    )?;
    row(out, "fields used", list(&inspection.fields))?;
    match inspection.digest_matches {
        Some(true) => row(out, "digest", "matches the body")?,
        _ => row(out, "digest", "does NOT match the body")?,
    }
    if inspection.signatures.is_empty() {
        row(out, "signatures", "none")?;
    }
    for signature in &inspection.signatures {
        row(out, "signature", format_args!("by key {} (not checked)", signature.key))?;
    }
    match inspection.self_test {
        Some(true) if header.steps_per_load == 0 => row(out, "examples", "none"),
        Some(true) => row(out, "examples", "pass"),
        Some(false) => row(out, "examples", "FAIL"),
        None => Ok(()),
    }
}

fn print_rules(rules: &[RuleReport], out: &mut dyn Write) -> Result<(), Error> {
    say!(out, "{}", count(rules.len() as u64, "rule"))?;
    for rule in rules {
        let blocks = match rule.blocks[..] {
            [] => String::new(),
            _ => format!(" (blocks {})", list(&rule.blocks)),
        };
        say!(
            out,
            "  {}  {:<13}  {:<6}  {}{blocks}",
            printable(&rule.id),
            rule.level,
            rule.action,
            printable(&rule.title)
        )?;
    }
    Ok(())
}

fn row(out: &mut dyn Write, name: &str, value: impl std::fmt::Display) -> Result<(), Error> {
    say!(out, "{name:<14} {value}")
}

fn list(words: &[&str]) -> String {
    if words.is_empty() { "none".into() } else { words.join(", ") }
}
