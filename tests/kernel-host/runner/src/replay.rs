//! Sends the events of a log through the driver and prints what it decided.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use channel_format::frame;
use channel_format::name::ChannelName;
use channel_format::refusal::Refusal;
use channel_format::ruleset::Ruleset;
use channel_format::schema::SensorProfile;
use driver_abi::{Hit, Interest, Mode, Stage, Status};
use kernel_host::Process;
use loader::content::keys;
use loader::report::Line;
use pipe_log::{Operation, PipeEvent, Record};

use crate::error::Error;
use crate::print::{self, Summary};
use crate::rig::{Boot, Judged, Rig};
use crate::volumes::{VolumeArg, Volumes};

/// What to replay, and on which machine.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The driver, with its .pdb beside it for reports with source lines.
    #[arg(long, value_name = "SAKER.SYS")]
    driver: PathBuf,
    /// A folder of channel files; all of its C-*.sys are dropped into the driver's inbox.
    #[arg(long, value_name = "DIR")]
    content: PathBuf,
    /// A public key the driver shall trust; may be given several times.
    #[arg(long = "key", value_name = "PUB", required = true)]
    keys: Vec<PathBuf>,
    /// The log: JSON lines with Sysmon's names, or EVTX.
    #[arg(long, value_name = "LOG")]
    events: PathBuf,
    /// Print one JSON object a record.
    #[arg(long)]
    json: bool,
    /// Start the driver in observe mode, in which nothing is blocked.
    #[arg(long)]
    observe: bool,
    /// Replay at once, while the content is on trial. Otherwise ten minutes of the machine's time
    /// and a thousand events pass first, so that the content is good and may block.
    #[arg(long)]
    trial: bool,
    /// Put a volume at a letter, or (with nothing behind the =) at none. The default is
    /// HarddiskVolume3=C, and letters that the log uses are added.
    #[arg(long = "volume", value_name = "DEVICE=LETTER")]
    volumes: Vec<VolumeArg>,
}

/// Runs the replay. A refused file makes the exit code 1, also when older content served instead.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let files = content(&arguments.content)?;
    let anchor = keys::anchor_bytes(&arguments.keys)?;
    let records: Vec<Record> = pipe_log::open(&arguments.events)?.collect();
    let mut volumes = Volumes::new(&arguments.volumes);
    volumes.cover(events(&records).filter_map(|event| Some(event.image.as_ref()?.units())));

    let mode = if arguments.observe { Mode::Observe } else { Mode::Enforce };
    let boot = Boot::new(&arguments.driver, &anchor).mode(mode).volumes(&volumes);
    let mut rig = boot.boot()?;
    eprintln!("{}", print::booted(&rig, &arguments.driver, mode));
    let mut status = rig.drop_files(files.iter().map(|(name, bytes)| (name.as_str(), bytes)))?;
    let refused = status.refusal.code != 0 || status.refusal.host_status != 0;
    if refused {
        eprintln!("{}", print::refused(&status));
    }
    if status.stage == Stage::Trial && !arguments.trial {
        status = rig.mature()?;
    }
    eprintln!("{}", print::in_force(&status, files.len()));
    let rules = rules(&status, &files, &anchor)?;
    rig.listen(Interest::Everything)?;

    let mut replay =
        Replay { rig, volumes, rules, processes: HashMap::new(), summary: Summary::default() };
    let mut out = BufWriter::new(io::stdout().lock());
    for record in &records {
        let line = replay.judge(record)?;
        if arguments.json {
            line.write(&mut out).map_err(Error::Output)?;
        } else {
            print::record(&mut out, record, &line, &replay.rules).map_err(Error::Output)?;
        }
    }
    if !arguments.json {
        replay.summary.write(&mut out, &replay.rules).map_err(Error::Output)?;
    }
    out.flush().map_err(Error::Output)?;
    replay.rig.unload()?;
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The channel files of a folder, by name.
fn content(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let read = |path: PathBuf| move |source| Error::Read { path, source };
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(read(folder.to_owned()))? {
        let path = entry.map_err(read(folder.to_owned()))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.filter(|name| ChannelName::parse(name).is_some()) {
            files.insert(name.to_owned(), fs::read(&path).map_err(read(path.clone()))?);
        }
    }
    if files.is_empty() {
        eprintln!("{}: no C-*.sys in it; nothing will be judged", folder.display());
    }
    Ok(files)
}

fn events(records: &[Record]) -> impl Iterator<Item = &PipeEvent> {
    records.iter().filter_map(|record| record.body.as_ref().ok())
}

/// A rule as people know it.
#[derive(Clone, Debug)]
pub struct RuleName {
    /// Its Sigma id.
    pub id: String,
    /// Its title.
    pub title: String,
}

/// The rules in force, by index, read from the file that the driver says is in force.
fn rules(
    status: &Status,
    files: &BTreeMap<String, Vec<u8>>,
    anchor: &[u8],
) -> Result<Vec<RuleName>, Error> {
    if status.stage == Stage::None {
        return Ok(Vec::new());
    }
    let anchor = channel_format::anchor::Anchor::parse(anchor);
    let ruleset = |bytes: &Vec<u8>| -> Result<Ruleset<Vec<u8>>, Refusal> {
        let signed = frame::verify(bytes, anchor.as_ref().map_err(|refusal| *refusal)?)?;
        Ruleset::parse(signed.body(bytes.clone())?, &SensorProfile::CURRENT)
    };
    let in_force = files.values().filter_map(|bytes| ruleset(bytes).ok()).find(|ruleset| {
        let header = ruleset.header();
        (header.epoch, header.sequence) == (status.epoch, status.sequence)
    });
    let Some(ruleset) = in_force else {
        return Err(Error::ForeignContent { epoch: status.epoch, sequence: status.sequence });
    };
    let name = |index| {
        let rule = ruleset.rule(index);
        let text = |text: &str| text.to_owned();
        RuleName {
            id: rule.as_ref().map_or_else(String::new, |rule| text(rule.id)),
            title: rule.as_ref().map_or_else(String::new, |rule| text(rule.title)),
        }
    };
    Ok((0..ruleset.rule_count()).map(name).collect())
}

/// The number and the image that the log tells of a process: one process for each such pair.
type ProcessKey = (Option<u64>, Option<Vec<u16>>);

/// A replay under way.
struct Replay {
    rig: Rig,
    volumes: Volumes,
    rules: Vec<RuleName>,
    processes: HashMap<ProcessKey, Arc<Process>>,
    summary: Summary,
}

impl Replay {
    fn judge(&mut self, record: &Record) -> Result<Line, Error> {
        let event = match &record.body {
            Ok(event) => event,
            Err(error) => {
                self.summary.unreadable += 1;
                return Ok(Line::failed(record.index, error));
            }
        };
        let process = self.process(event);
        let name = event.pipe_name.units();
        let judged = match event.operation {
            Operation::Created => self.rig.create_pipe(&process, name)?,
            Operation::Connected => self.rig.connect_pipe(&process, name)?,
        };
        let line = self.line(record.index, &judged);
        self.summary.count(&line, &judged);
        Ok(line)
    }

    /// The process the log tells of. An image of `System` is the system process; an image that the
    /// log does not tell is one the driver cannot find.
    fn process(&mut self, event: &PipeEvent) -> Arc<Process> {
        let image = event.image.as_ref().map(|image| image.units().to_vec());
        if image.as_deref().is_some_and(is_system) {
            return self.rig.system_process();
        }
        let spelled = image.as_deref().map(|image| self.volumes.to_kernel(image));
        let rig = &self.rig;
        let process = self
            .processes
            .entry((event.process_id, image))
            .or_insert_with(|| rig.create_process(event.process_id.unwrap_or(0), spelled));
        Arc::clone(process)
    }

    fn line(&self, index: u64, judged: &Judged) -> Line {
        let ids = |unknown: bool| {
            let of_kind = judged.hits.iter().filter(move |hit| hit.unknown == unknown);
            of_kind.map(|hit| self.id(hit)).collect()
        };
        Line::judged(index, ids(false), ids(true)).with_verdict(judged.verdict)
    }

    fn id(&self, hit: &Hit) -> String {
        let id = usize::try_from(hit.rule).ok().and_then(|index| self.rules.get(index));
        id.map_or_else(|| format!("#{}", hit.rule), |rule| rule.id.clone())
    }
}

fn is_system(image: &[u16]) -> bool {
    String::from_utf16(image).is_ok_and(|image| image.eq_ignore_ascii_case("System"))
}
