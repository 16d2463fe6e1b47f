//! Creates and opens of any kind, judged by one driver that goes on and on.

use std::cell::RefCell;
use std::mem::ManuallyDrop;

use channel_format::engine::fold::fold;
use channel_format::ruleset::Ruleset;
use channel_format::schema::{Field, Input as Value, Inputs, Operation};
use driver_abi::{Ask, Interest};
use kernel_host::{
    ConnectOptions, Ecp, NtStatus, Outcome, PipeOptions, ProcessSpec, TokenSpec, sid,
};
use kernel_host_runner::client::Client;
use kernel_host_runner::rig::Rig;

use super::Sensor;
use crate::golden;
use crate::input::Input;

/// Blocks after which the fuse is reset, well before it trips.
const BLOCKS: u32 = 6;
const ACCESS_DENIED: NtStatus = NtStatus(0xC000_0022);

/// The driver, the rules it has, and the blocks since its fuse was reset.
struct Running {
    rig: Rig,
    rules: Ruleset<Vec<u8>>,
    blocks: u32,
}

thread_local! {
    // Left as it is when the thread ends: there is no thread any more to unload it on.
    static RUNNING: RefCell<Option<ManuallyDrop<Running>>> = const { RefCell::new(None) };
}

/// Nothing that is asked of a pipe brings the driver down, and it refuses nothing that no rule
/// blocks, and nobody whom it must not.
pub fn run(bytes: &[u8]) {
    let Some(sensor) = Sensor::find() else { return };
    RUNNING.with_borrow_mut(|running| {
        let running = running.get_or_insert_with(|| ManuallyDrop::new(Running::new(&sensor)));
        running.judge(&mut Input::new(bytes));
    });
}

impl Running {
    fn new(sensor: &Sensor) -> Self {
        let anchor = channel_format::anchor::Anchor::parse(&sensor.anchor).expect("one key");
        let rules = golden::open(&sensor.file(1).1, &anchor).expect("a sound file");
        Self { rig: sensor.ready(), rules, blocks: 0 }
    }

    fn judge(&mut self, input: &mut Input<'_>) {
        while !input.is_empty() {
            self.one(input);
        }
    }

    fn one(&mut self, input: &mut Input<'_>) {
        let kernel = self.rig.kernel().clone();
        let choice = input.u8();
        let images = [
            Some(r"\Device\HarddiskVolume3\Windows\explorer.exe".to_owned()),
            Some(r"\Device\HarddiskVolume3\Downloads\a.exe".to_owned()),
            None,
            Some(String::from_utf16_lossy(&input.units(600))),
        ];
        let image = images[usize::from(choice >> 2 & 3)].clone();
        let protected = choice & 0x10 != 0;
        let token = token(input);
        let pid = if choice & 0x20 != 0 { 4_242 } else { 1_000 + u64::from(input.u8()) };
        let process = kernel.create_process(ProcessSpec { pid, image, protected, token });
        let client = (choice & 0x40 != 0).then(|| kernel.create_token(self::token(input)));
        let ecp = input.pick(&[Ecp::None, Ecp::None, Ecp::Other, Ecp::Server, Ecp::Forged]);
        let name = name(input);
        let directory = (input.u8() & 7 == 7).then(|| self::name(input));
        let (kernel_mode, odd_length) = (input.u8() & 7 == 7, input.u8() & 7 == 7);
        let (outcome, operation) = if choice & 1 == 0 {
            let options = PipeOptions {
                disposition: input.pick(&[3, 2, 1, 0, 9]),
                create_options: input.u32() & 0x00ff_ffff,
                share_access: input.pick(&[3, 1, 2, 0, 0xffff]),
                desired_access: input.u32(),
                pipe_type: input.pick(&[0, 1, 2, 3, 9]),
                read_mode: input.pick(&[0, 1, 9]),
                completion_mode: input.pick(&[0, 1, 9]),
                maximum_instances: input.pick(&[u32::MAX, 1, 7, 0]),
                inbound_quota: input.u32(),
                outbound_quota: input.pick(&[4_096, 65_536, 0, u32::MAX]),
                default_timeout: input.u64() as i64,
                timeout_specified: input.flag(),
                kernel_mode,
                client,
                ecp,
                directory: directory.clone(),
                odd_length,
            };
            (kernel.create_named_pipe(&process, &name, options), Operation::Created)
        } else {
            let options = ConnectOptions {
                create_options: input.u32() & 0x00ff_ffff,
                share_access: input.u16(),
                desired_access: input.u32(),
                kernel_mode,
                client,
                ecp,
                directory: directory.clone(),
                odd_length,
            };
            (kernel.connect_pipe(&process, &name, options), Operation::Connected)
        };
        let outcome = outcome.unwrap_or_else(|bug| panic!("{bug}"));
        kernel.check().unwrap_or_else(|bug| panic!("{bug}"));
        if refused_by_driver(&outcome) {
            let remote = ecp == Ecp::Server && kernel_mode;
            assert!(
                remote || !(kernel_mode || protected),
                "a requestor that is exempt: {outcome:?}"
            );
            assert!(self.may_be_blocked(&name, directory.as_deref(), operation), "{name:04x?}");
            self.blocked();
        }
    }

    /// Whether a rule blocks the pipe under a name that these can stand for.
    fn may_be_blocked(
        &self,
        name: &[u16],
        directory: Option<&[u16]>,
        operation: Operation,
    ) -> bool {
        const BACKSLASH: u16 = 0x5c;
        let below = |directory: &[u16]| [directory, &[BACKSLASH], name].concat();
        let mut names = vec![name.to_vec(), below(&[])];
        names.extend(directory.map(below));
        names.extend(
            directory.map(|directory| [&[BACKSLASH], directory, &[BACKSLASH], name].concat()),
        );
        names.iter().any(|name| {
            let mut inputs = Inputs::unknown();
            inputs.set(Field::Operation, Value::Number(operation.number()));
            inputs.set(Field::PipeName, Value::Text(name));
            let vital: Vec<u16> = name.iter().map(|unit| fold(*unit)).collect();
            let vital = String::from_utf16_lossy(&vital) == r"\LSASS";
            self.rules.evaluate(&inputs, &mut |_, _| {}).block && !vital
        })
    }

    /// Lets the driver go on blocking.
    fn blocked(&mut self) {
        self.blocks += 1;
        if self.blocks < BLOCKS {
            return;
        }
        self.blocks = 0;
        let kernel = self.rig.kernel();
        let client = Client::connect(kernel, kernel.system_process(), Interest::Status);
        let mut client = client.expect("no bug").expect("a place at the port");
        let id = client.ask(Ask::ResetFuse).expect("no bug").expect("taken in");
        client.answer(id).expect("an answer");
    }
}

/// Whether the driver ended the operation, rather than the pipe's file system.
fn refused_by_driver(outcome: &Outcome) -> bool {
    let completed = outcome.pre == Some(kernel_host::PreStatus::Complete);
    assert!(!completed || outcome.status == ACCESS_DENIED, "{outcome:?}");
    completed
}

/// A name, mostly of words that rules know.
fn name(input: &mut Input<'_>) -> Vec<u16> {
    let words = [r"\evil", r"\", "ab", "abc", "ä", "x", "lsass", "0f3a-pipe", "EVIL", ""];
    let mut name = Vec::new();
    for _ in 0..1 + input.below(4) {
        name.extend(input.pick(&words).encode_utf16());
    }
    if input.u8() & 3 == 3 {
        name.extend(input.units(1_200));
    }
    name
}

fn token(input: &mut Input<'_>) -> TokenSpec {
    match input.u8() {
        0..128 => TokenSpec::default(),
        128..192 => TokenSpec::system(),
        _ => TokenSpec {
            user: sid(&vec![input.u32(); input.below(16)]),
            integrity: input.u32(),
            elevated: input.flag(),
            session: input.u32(),
        },
    }
}

/// A plain create that is blocked, an open, and something of everything.
pub fn seeds() -> Vec<Vec<u8>> {
    vec![vec![0; 64], vec![1; 64], (0..255).collect(), vec![0xff; 128]]
}
