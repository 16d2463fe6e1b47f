//! The built driver's port: several clients, what they may ask, and what none of them can do.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Bench, EXPLORER, wide};
use driver_abi::{
    Answer, Ask, Interest, MAX_CLIENTS, Message, Mode, Outcome, REQUEST_LEN, Request, Stage,
    Statistics, Status, Verdict,
};
use kernel_host::{NtStatus, PipeOptions, Process, ProcessSpec, UserInput};
use kernel_host_runner::client::Client;
use kernel_host_runner::rig::Rig;

const INVALID_PARAMETER: NtStatus = NtStatus(0xC000_000D);
const BUSY: NtStatus = NtStatus(0x8000_0011);
const SOON: Duration = Duration::from_secs(10);

fn process(rig: &Rig, pid: u64) -> Arc<Process> {
    rig.kernel().create_process(ProcessSpec { pid, ..Default::default() })
}

fn connect(rig: &Rig, pid: u64, interest: Interest) -> Client {
    Client::connect(rig.kernel(), &process(rig, pid), interest).unwrap().unwrap()
}

fn answer(client: &mut Client, ask: Ask) -> Answer {
    let id = client.ask(ask).unwrap().unwrap();
    client.answer(id).unwrap()
}

fn done(client: &mut Client, ask: Ask) {
    assert_eq!(answer(client, ask).outcome, Outcome::Done, "{ask:?}");
}

fn status(client: &mut Client) -> Status {
    client.heard.clear();
    done(client, Ask::Status);
    let newest = client.heard.iter().rev().find_map(|message| match message {
        Message::Status(status) => Some(*status),
        _ => None,
    });
    newest.expect("the status comes before the answer")
}

fn statistics(client: &mut Client) -> Statistics {
    client.heard.clear();
    done(client, Ask::Statistics);
    let found = client.heard.iter().find_map(|message| match message {
        Message::Statistics(statistics) => Some(statistics.clone()),
        _ => None,
    });
    found.expect("the statistics come before the answer")
}

/// Has a process create a pipe that a rule detects, and does not keep it.
fn odd(rig: &Rig) {
    let image = EXPLORER.map(str::to_owned);
    let spec = ProcessSpec { pid: 4242, image, ..Default::default() };
    let process = rig.kernel().create_process(spec);
    rig.kernel().create_named_pipe(&process, r"\odd", PipeOptions::default()).unwrap();
}

/// How many events the client hears of, and how many it was told that it lost, within some time.
fn events(client: &Client, wanted: usize, patience: Duration) -> (usize, u64) {
    let (mut heard, mut lost) = (0, 0);
    let deadline = Instant::now() + patience;
    while heard < wanted && Instant::now() < deadline {
        if let Some(Message::Event(event)) = client.receive(Duration::from_millis(50)).unwrap() {
            heard += 1;
            lost = event.dropped;
        }
    }
    (heard, lost)
}

#[test]
fn so_many_clients_are_served_and_no_more() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.ready();
    let clients: Vec<Client> =
        (1..MAX_CLIENTS).map(|pid| connect(&rig, pid as u64, Interest::Detections)).collect();
    let one_more = process(&rig, 99);
    let refused = Client::connect(rig.kernel(), &one_more, Interest::Status).unwrap();
    assert_eq!(refused.unwrap_err(), NtStatus(0xC000_0246), "CONNECTION_COUNT_LIMIT");
    odd(&rig);
    for client in &clients {
        assert_eq!(events(client, 1, SOON), (1, 0));
    }
    drop(clients);
    let again = Client::connect(rig.kernel(), &one_more, Interest::Status).unwrap();
    assert!(again.is_ok());
    drop(again);
    rig.unload().unwrap();
}

#[test]
fn clients_come_and_go_a_thousand_times() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.ready();
    for pid in 0..1_000 {
        let mut client = connect(&rig, pid, Interest::Detections);
        if pid % 10 == 0 {
            assert_eq!(status(&mut client).mode, Mode::Enforce);
        }
    }
    rig.unload().unwrap();
}

#[test]
fn each_hears_what_it_asked_to_hear() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let quiet = connect(&rig, 1, Interest::Status);
    let notable = connect(&rig, 2, Interest::Detections);
    let process = rig.create_process(7, EXPLORER.map(wide));
    rig.create_pipe(&process, &wide(r"\good")).unwrap();
    rig.create_pipe(&process, &wide(r"\odd")).unwrap();
    assert_eq!(events(&notable, 1, SOON), (1, 0));
    assert_eq!(events(&notable, 1, Duration::from_millis(200)), (0, 0), "the good one is no news");
    assert_eq!(events(&quiet, 1, Duration::from_millis(200)), (0, 0));
    rig.unload().unwrap();
}

#[test]
fn a_stuck_client_is_dropped_alone() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.ready();
    // Who wants everything hears of a noisy rule, too.
    let stuck = connect(&rig, 1, Interest::Everything);
    let mut live = connect(&rig, 2, Interest::Everything);
    let start = Instant::now();
    let mut sent = 0;
    while !stuck.port().is_closed() {
        odd(&rig);
        sent += 1;
        assert_eq!(events(&live, 1, SOON), (1, 0), "event {sent} did not reach the live client");
        assert!(start.elapsed() < Duration::from_secs(60), "it is never dropped");
    }
    let statistics = statistics(&mut live);
    assert!(statistics.stuck >= 1, "{statistics:?}");
    assert!(statistics.clients.iter().flatten().any(|client| client.process_id == 2));
    assert!(statistics.clients.iter().flatten().all(|client| client.process_id != 1));
    assert!(statistics.dropped > 0, "what waited for it is counted");
    // Its place is another's before it has closed its handle, and its end is not the other's.
    let next = connect(&rig, 3, Interest::Everything);
    drop(stuck);
    odd(&rig);
    assert_eq!(events(&next, 1, SOON), (1, 0));
    drop((next, live));
    rig.unload().unwrap();
}

#[test]
fn a_client_that_dies_while_it_is_sent_to_harms_nobody() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.ready();
    let live = connect(&rig, 2, Interest::Detections);
    for pid in 10..30 {
        let dying = connect(&rig, pid, Interest::Detections);
        odd(&rig);
        // The sender waits for it to take its status or the event.
        std::thread::sleep(Duration::from_millis(20));
        drop(dying);
        assert_eq!(events(&live, 1, SOON), (1, 0));
    }
    drop(live);
    rig.unload().unwrap();
}

#[test]
fn what_a_slow_client_lost_stands_in_the_next_record() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.ready();
    // Who wants everything hears of a noisy rule, too.
    let slow = connect(&rig, 1, Interest::Everything);
    for _ in 0..200 {
        odd(&rig);
    }
    let (heard, lost) = events(&slow, 128, SOON);
    assert_eq!((heard, lost), (128, 0), "those before the loss");
    odd(&rig);
    let (_, lost) = events(&slow, 1, SOON);
    assert_eq!(lost, 200 - 128);
    drop(slow);
    rig.unload().unwrap();
}

#[test]
fn the_mode_changes_until_the_next_start() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let mut client = connect(&rig, 1, Interest::Status);
    let evil = |rig: &mut Rig| {
        let process = rig.create_process(7, EXPLORER.map(wide));
        rig.create_pipe(&process, &wide(r"\evil")).unwrap().verdict
    };
    done(&mut client, Ask::SetMode(Mode::Observe));
    assert_eq!(status(&mut client).mode, Mode::Observe);
    assert_eq!(evil(&mut rig), Verdict::Detect);
    done(&mut client, Ask::SetMode(Mode::Enforce));
    assert_eq!(status(&mut client).mode, Mode::Enforce);
    assert_eq!(evil(&mut rig), Verdict::Block);
    done(&mut client, Ask::SetMode(Mode::Observe));
    drop(client);
    let machine = rig.machine();
    rig.power_off();
    let mut rig = bench.boot().machine(machine).boot().unwrap();
    assert_eq!(rig.status().unwrap().mode, Mode::Enforce, "as the service parameters say");
    rig.unload().unwrap();
}

#[test]
fn a_reload_is_answered_when_the_file_is_in_force() {
    let Some(bench) = Bench::new() else { return };
    // The poll alone would take an hour.
    let rig = bench.boot().parameter("PollSeconds", 3_600).boot().unwrap();
    let mut client = connect(&rig, 1, Interest::Status);
    for sequence in 1..=3 {
        let (name, file) = bench.file(sequence);
        let inbox = r"\SystemRoot\System32\drivers\CrowdStrike";
        rig.machine().disk().write(&format!(r"{inbox}\{name}"), file);
        done(&mut client, Ask::Reload);
        assert_eq!(status(&mut client).sequence, sequence);
    }
    drop(client);
    rig.unload().unwrap();
}

#[test]
fn a_reload_in_the_first_minute_is_told_to_wait() {
    let Some(bench) = Bench::new() else { return };
    let mut boot = bench.boot();
    boot.uptime = Duration::ZERO;
    let rig = boot.boot().unwrap();
    let mut client = connect(&rig, 1, Interest::Status);
    assert_eq!(answer(&mut client, Ask::Reload).outcome, Outcome::TooEarly);
    rig.advance(Duration::from_secs(61));
    done(&mut client, Ask::Reload);
    drop(client);
    rig.unload().unwrap();
}

#[test]
fn a_reload_without_an_inbox_says_so() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.boot().boot().unwrap();
    let mut client = connect(&rig, 1, Interest::Status);
    assert!(rig.machine().disk().remove(r"\SystemRoot\System32\drivers\CrowdStrike"));
    assert_eq!(answer(&mut client, Ask::Reload).outcome, Outcome::NoInbox);
    drop(client);
    rig.unload().unwrap();
}

#[test]
fn a_struck_body_is_tried_again_once_the_quarantine_is_cleared() {
    let Some(bench) = Bench::new() else { return };
    let (name, file) = bench.file(1);
    let machine = bench.boot().machine;
    for _ in 0..2 {
        let mut rig = bench.boot().machine(machine.clone()).boot().unwrap();
        rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
        // The second time not before an hour in which nothing happened.
        rig.advance(Duration::from_secs(60 * 60));
        rig.status_when("a try", |status| status.stage == Stage::Trial).unwrap();
        rig.power_off();
    }
    let rig = bench.boot().machine(machine).boot().unwrap();
    let mut client = connect(&rig, 1, Interest::Status);
    done(&mut client, Ask::Reload);
    let before = status(&mut client);
    assert_eq!((before.stage, before.refusal.host_status), (Stage::None, 0xC000_036B));
    done(&mut client, Ask::ClearQuarantine);
    let after = status(&mut client);
    assert_eq!((after.stage, after.refusal.host_status), (Stage::Trial, 0));
    drop(client);
    rig.unload().unwrap();
}

#[test]
fn only_the_process_that_connected_may_ask() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.ready();
    let mut client = connect(&rig, 1, Interest::Status);
    let other = process(&rig, 2);
    let request = Request { id: 1, ask: Ask::SetMode(Mode::Observe) }.encode();
    let input = UserInput::from(request.as_slice());
    let (refused, _) = client.port().send_from(&other, &input, 0).unwrap();
    assert_eq!(refused, NtStatus::ACCESS_DENIED);
    assert_eq!(status(&mut client).mode, Mode::Enforce);
    assert_eq!(statistics(&mut client).refused_requests, 1);
    drop(client);
    rig.unload().unwrap();
}

#[test]
fn no_message_touches_what_is_not_the_clients() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.ready();
    let owner = process(&rig, 1);
    let mut client = Client::connect(rig.kernel(), &owner, Interest::Status).unwrap().unwrap();
    let good = Request { id: 1, ask: Ask::Status }.encode();
    let send = |input: UserInput| client.port().send_from(&owner, &input, 64).unwrap();
    let refused = |status| (status, Vec::new());
    assert_eq!(send(UserInput::Unmapped(REQUEST_LEN)), refused(NtStatus::ACCESS_VIOLATION));
    for address in [0, 0x7FFF_FFFF_0000, 0xFFFF_8000_0000_1000, u64::MAX - 7] {
        let input = UserInput::At(address, REQUEST_LEN);
        assert_eq!(send(input), refused(NtStatus::ACCESS_VIOLATION), "{address:#x}");
    }
    for length in (0..REQUEST_LEN).chain([REQUEST_LEN + 1, 4_096, 1 << 20]) {
        let bytes = [good.as_slice(), &vec![0; 1 << 20]].concat();
        assert_eq!(send(bytes[..length].into()), refused(INVALID_PARAMETER), "{length} bytes");
    }
    for at in 0..REQUEST_LEN {
        let mut bytes = good;
        bytes[at] ^= 0x80;
        let (status, output) = send(bytes.as_slice().into());
        let is_id = (8..16).contains(&at);
        assert_eq!((status.is_success(), output.len()), (is_id, 0), "byte {at}");
        if is_id {
            let id = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
            let message = std::iter::repeat_with(|| client.port().receive(SOON).unwrap());
            let answers = message.map(|bytes| Message::decode(&bytes).unwrap());
            let mut answers = answers.filter(|message| matches!(message, Message::Answer(_)));
            assert!(matches!(answers.next(), Some(Message::Answer(answer)) if answer.id == id));
        }
    }
    // Only what was copied first counts.
    let changing = UserInput::Changing { first: good.to_vec(), then: vec![0xFF; REQUEST_LEN] };
    let (taken, output) = client.port().send_from(&owner, &changing, 64).unwrap();
    assert_eq!((taken, output), (NtStatus::SUCCESS, Vec::new()));
    assert_eq!(client.answer(1).unwrap().ask, Ask::Status);
    drop(client);
    rig.unload().unwrap();
}

#[test]
fn a_client_may_have_few_requests_without_an_answer() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.ready();
    let mut client = connect(&rig, 1, Interest::Status);
    // It takes nothing, so nothing is answered.
    let asked: Vec<_> = (0..8).map(|_| client.ask(Ask::Status).unwrap()).collect();
    assert!(asked[..4].iter().all(Result::is_ok), "{asked:?}");
    assert!(asked[4..].iter().all(|asked| *asked == Err(BUSY)), "{asked:?}");
    for id in asked.into_iter().flatten() {
        assert_eq!(client.answer(id).unwrap().outcome, Outcome::Done);
    }
    done(&mut client, Ask::Status);
    drop(client);
    rig.unload().unwrap();
}

#[test]
fn a_message_without_memory_for_its_copy_is_refused() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.ready();
    let mut client = connect(&rig, 1, Interest::Status);
    status(&mut client);
    rig.kernel().injector().fail_api("ExAllocatePool2", 1);
    let refused = client.ask(Ask::Status).unwrap();
    assert_eq!(rig.kernel().injector().hits().len(), 1);
    assert_eq!(refused, Err(NtStatus(0xC000_009A)), "INSUFFICIENT_RESOURCES");
    done(&mut client, Ask::Status);
    drop(client);
    rig.unload().unwrap();
}

#[test]
fn a_connection_without_memory_for_its_ring_is_refused() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.ready();
    rig.kernel().injector().fail_api("ExAllocatePool2", 1);
    let refused = Client::connect(rig.kernel(), &process(&rig, 1), Interest::Status).unwrap();
    assert_eq!(refused.unwrap_err(), NtStatus(0xC000_009A), "INSUFFICIENT_RESOURCES");
    drop(connect(&rig, 2, Interest::Status));
    rig.unload().unwrap();
}

/// Connected clients, one with requests on their way, do not keep the driver from unloading.
#[test]
fn it_unloads_while_clients_are_connected() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.ready();
    let mut asking = connect(&rig, 1, Interest::Detections);
    let idle = connect(&rig, 2, Interest::Everything);
    odd(&rig);
    asking.ask(Ask::Reload).unwrap().unwrap();
    rig.unload().unwrap();
    assert!(asking.port().is_closed() && idle.port().is_closed());
}
