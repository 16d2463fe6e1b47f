//! Events: names as on everyday Windows with a hit in a hundred, and names glued from the rules.

use channel_format::schema::{Field, Input, Inputs, Operation};

use super::random::Random;
use super::{Corpus, Sample};
use crate::rule::{self, RuleSet};

/// Starts of names that everyday programs use; rules imitate them.
pub const BENIGN_HEADS: &[&str] = &[
    r"\mojo.",
    r"\PSHost.",
    r"\Winsock2\",
    r"\crashpad_",
    r"\chrome.",
    r"\TermSrv_",
    r"\wkssvc.",
    r"\LOCAL\",
    r"\TDLN-",
    r"\lsass",
];

/// Programs of an everyday machine.
pub const PROGRAMS: &[&str] = &[
    r"C:\Windows\System32\svchost.exe",
    r"C:\Windows\System32\services.exe",
    r"C:\Windows\System32\lsass.exe",
    r"C:\Windows\System32\spoolsv.exe",
    r"C:\Windows\System32\SearchIndexer.exe",
    r"C:\Windows\System32\wbem\WmiPrvSE.exe",
    POWERSHELL,
    r"C:\Windows\explorer.exe",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    r"C:\Program Files (x86)\Microsoft\EdgeWebView\Application\118.0.2088.76\msedgewebview2.exe",
    r"C:\Program Files\Microsoft Office\root\Office16\OUTLOOK.EXE",
    r"C:\Program Files\Docker\Docker\resources\com.docker.backend.exe",
    r"C:\Program Files\WindowsApps\Microsoft.WindowsTerminal_1.18.2822.0_x64__8wekyb3d8bbwe\WindowsTerminal.exe",
    r"C:\ProgramData\Microsoft\Windows Defender\Platform\4.18.23090.2008-0\MsMpEng.exe",
    r"C:\Users\alice.smith\AppData\Local\Microsoft\Teams\current\Teams.exe",
    r"C:\Users\bob\AppData\Local\Programs\Microsoft VS Code\Code.exe",
];

/// The one that makes a pipe for each of its runspaces.
const POWERSHELL: &str = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe";

/// Pipes of Windows itself.
const STANDARD_PIPES: &[&str] = &[
    r"\wkssvc",
    r"\lsass",
    r"\srvsvc",
    r"\spoolss",
    r"\ntsvcs",
    r"\scerpc",
    r"\epmapper",
    r"\eventlog",
    r"\atsvc",
    r"\netlogon",
    r"\samr",
    r"\InitShutdown",
    r"\LSM_API_service",
    r"\MsFteWds",
    r"\SearchTextHarvester",
    r"\TermSrv_API_service",
];

/// Processes of the benign machine; those that hit a rule come after them.
const PROCESSES: usize = 160;
/// The first process of hostile events: a process never changes its image.
const FIRST_HOSTILE: usize = 1_024;
/// Code units of a hostile pipe name and image: the longest name that NPFS takes.
pub const HOSTILE_UNITS: usize = 256;

/// A text in the forms that engines read.
pub struct Text {
    /// As it occurs.
    pub raw: String,
    /// In small letters.
    pub lower: String,
    /// In UTF-16, as the kernel has it.
    pub units: Vec<u16>,
}

impl From<String> for Text {
    fn from(raw: String) -> Self {
        Self { lower: raw.to_ascii_lowercase(), units: raw.encode_utf16().collect(), raw }
    }
}

/// A pipe is created.
pub struct Event {
    /// The pipe's name.
    pub pipe: Text,
    /// The path of the process's image.
    pub image: Text,
    /// Which process of the machine it is: its place in a table of processes.
    pub process: usize,
    /// The process's identifier.
    pub process_id: u64,
    /// The terminal session.
    pub session: u64,
}

impl Event {
    /// The value of a number's field.
    pub const fn number(&self, field: rule::NumberField) -> u64 {
        match field {
            rule::NumberField::ProcessId => self.process_id,
            rule::NumberField::Session => self.session,
        }
    }
}

/// An event in every form that some engine reads, made before the clock starts.
pub struct Prepared<'e> {
    /// The event itself.
    pub event: &'e Event,
    /// For Saker: what the driver fills in from the request and the process.
    pub inputs: Inputs<'e>,
    /// For sigma-rust.
    pub sigma_rust: sigma_rust::Event,
}

/// Prepares all events.
pub fn prepare(events: &[Event]) -> Vec<Prepared<'_>> {
    events.iter().map(Prepared::new).collect()
}

impl<'e> Prepared<'e> {
    fn new(event: &'e Event) -> Self {
        let name = event.image.units.rsplit(|unit| *unit == u16::from(b'\\')).next();
        let mut inputs = Inputs::absent();
        inputs.set(Field::Operation, Input::Number(Operation::Created.number()));
        inputs.set(Field::PipeName, Input::Text(&event.pipe.units));
        inputs.set(Field::ImagePath, Input::Text(&event.image.units));
        inputs.set(Field::ImageName, Input::Text(name.unwrap_or(&event.image.units)));
        inputs.set(Field::ProcessId, Input::Number(event.process_id));
        inputs.set(Field::Session, Input::Number(event.session));
        let mut sigma_rust = sigma_rust::Event::new();
        sigma_rust.insert("PipeName", event.pipe.raw.clone());
        sigma_rust.insert("Image", event.image.raw.clone());
        sigma_rust.insert("ProcessId", event.process_id as i64);
        sigma_rust.insert("SessionId", event.session as i64);
        Self { event, inputs, sigma_rust }
    }
}

/// Events of an everyday machine, one in a hundred of them made so that some rule fits.
pub fn benign(count: usize, corpus: &Corpus, seed: u64) -> Vec<Event> {
    let mut random = Random::new(seed);
    let samples: Vec<&Sample> = corpus.rules.iter().flat_map(|rule| &rule.samples).collect();
    let machine: Vec<Process> =
        (0..PROCESSES).map(|place| Process::new(place, &mut random)).collect();
    let mut events = Vec::with_capacity(count);
    let mut next_process = PROCESSES;
    for _ in 0..count {
        if random.percent(1) {
            let sample = random.pick(&samples);
            let process = Process::of(next_process, sample.image.clone(), &mut random);
            next_process += 1;
            events.push(process.creates(sample.pipe.clone()));
        } else {
            let pipe = benign_pipe(&mut random);
            let makers: Vec<&Process> =
                machine.iter().filter(|process| makes(&process.image, &pipe)).collect();
            events.push(random.pick(&makers).creates(pipe));
        }
    }
    events
}

/// Events that make matching hard: pipe and image are glued from the rules' own literals, whole
/// ones and starts of such.
pub fn hostile(count: usize, rules: &RuleSet, seed: u64) -> Vec<Event> {
    let mut random = Random::new(seed);
    let pipes = rules.literals(rule::Field::Pipe);
    let images = rules.literals(rule::Field::Image);
    (0..count)
        .map(|place| {
            let whole = place % 2 == 0;
            let image = glue(&images, whole, &mut random);
            let process = Process::of(FIRST_HOSTILE + place, image, &mut random);
            process.creates(glue(&pipes, whole, &mut random))
        })
        .collect()
}

fn glue(literals: &[String], whole: bool, random: &mut Random) -> String {
    let literals: Vec<&str> = literals.iter().map(String::as_str).collect();
    let mut text = String::new();
    while text.len() < HOSTILE_UNITS {
        let literal = random.pick(&literals);
        let length = if whole { literal.len() } else { literal.len().min(4 + random.below(8)) };
        text.push_str(&literal[..length]);
    }
    text.truncate(HOSTILE_UNITS);
    text
}

/// A process of the machine; it keeps its image.
struct Process {
    place: usize,
    image: String,
    id: u64,
    session: u64,
}

impl Process {
    fn new(place: usize, random: &mut Random) -> Self {
        let image = if random.percent(12) {
            let (user, folder) = (random.decimal(3), random.hex(5).to_uppercase());
            let program = random.hex(12);
            format!(r"C:\Users\user{user}\AppData\Local\Temp\is-{folder}.tmp\{program}.exe")
        } else {
            random.pick(PROGRAMS).to_owned()
        };
        Self::of(place, image, random)
    }

    fn of(place: usize, image: String, random: &mut Random) -> Self {
        let id = 4 * (1 + random.below(5_000) as u64);
        Self { place, image, id, session: random.below(3) as u64 }
    }

    fn creates(&self, pipe: String) -> Event {
        Event {
            pipe: pipe.into(),
            image: self.image.clone().into(),
            process: self.place,
            process_id: self.id,
            session: self.session,
        }
    }
}

/// Whether a program may create a pipe of that name on a machine where nothing is wrong.
fn makes(image: &str, pipe: &str) -> bool {
    let wanted = if pipe.starts_with(r"\PSHost.") {
        POWERSHELL
    } else if STANDARD_PIPES.contains(&pipe) {
        r"C:\Windows\System32\"
    } else {
        ""
    };
    image.starts_with(wanted)
}

fn benign_pipe(random: &mut Random) -> String {
    match random.below(100) {
        0..22 => {
            let (process, thread) = (random.decimal(4), random.decimal(5));
            format!(r"\mojo.{process}.{thread}.{}", random.decimal(19))
        }
        22..30 => format!(r"\LOCAL\mojo.external_task_manager_{}", random.decimal(20)),
        30..37 => {
            format!(r"\crashpad_{}_{}", random.decimal(5), random.hex(16).to_uppercase())
        }
        37..42 => {
            let (time, process) = (random.decimal(14), random.decimal(4));
            format!(r"\PSHost.1333{time}.{process}.DefaultAppDomain.powershell")
        }
        42..47 => format!(r"\Winsock2\CatalogChangeListener-{}-0", random.hex(3)),
        47..59 => format!(r"\{}", random.uuid()),
        59..63 => format!(r"\{{{}}}", random.uuid().to_uppercase()),
        63..73 => random.pick(STANDARD_PIPES).to_owned(),
        73..79 => format!(r"\chrome.nativeMessaging.out.{}", random.hex(16)),
        79..83 => format!(r"\TDLN-{}-41", random.decimal(4)),
        83..87 => format!(r"\dotnet-diagnostic-{}", random.decimal(5)),
        87..91 => format!(r"\GoogleCrashServices\S-1-5-18-x64\{}", random.decimal(6)),
        91..94 => format!(r"\vscode-ipc-{}-sock", random.hex(20)),
        94..97 => format!(r"\docker_engine_{}", random.hex(10)),
        _ => format!(r"\ProtectedPrefix\LocalService\{}", random.hex(24)),
    }
}
