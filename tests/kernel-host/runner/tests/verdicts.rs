//! When the built driver blocks and when it does not: fuse, exemptions, mode, and what it lets
//! through unjudged.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::time::Duration;

use common::{Bench, EXPLORER, connected, created, wide};
use driver_abi::{
    Ask, Hello, Interest, Loss, Message, Mode, Outcome, PORT_NAME, Protection, Setting, Stage,
    State,
};
use driver_abi::{Trip, Verdict};
use driver_core::fuse::{MAX_BLOCKS_A_MINUTE, MAX_IMAGES, SHARE_BLOCKS};
use driver_core::rate::TOLD_A_MINUTE;
use kernel_host::{NtStatus, PipeOptions, ProcessSpec, Surroundings};
use kernel_host_runner::client::Client;
use kernel_host_runner::rig::{Boot, Rig};

const MINUTES: u64 = 60;

/// Blocks every pipe whose name begins like this, and reports another.
fn blocking(start: &str) -> String {
    format!(
        r"
title: blocks far too much
id: 00000000-0000-4000-8000-00000000000a
logsource: {{product: windows, category: pipe_created}}
detection: {{selection: {{PipeName|startswith: '{start}'}}, condition: selection}}
level: high
saker: {{action: block}}
---
title: a pipe to report
id: 00000000-0000-4000-8000-00000000000b
logsource: {{product: windows, category: pipe_created}}
detection: {{selection: {{PipeName: '\odd'}}, condition: selection}}
level: low
"
    )
}

/// A sensor with these rules in force, heard in full.
fn with_rules(bench: &Bench, boot: &Boot<'_>, rules: &str) -> Rig {
    let mut rig = boot.boot().unwrap();
    let (name, file) = bench.file_of(rules, 0, 1);
    rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    rig.listen(Interest::Everything).unwrap();
    rig
}

/// The same, and good: what it blocks did not come on trial.
fn with_good(bench: &Bench, boot: &Boot<'_>, rules: &str) -> Rig {
    let mut rig = with_rules(bench, boot, rules);
    rig.listen(Interest::Status).unwrap();
    rig.mature().unwrap();
    rig.listen(Interest::Everything).unwrap();
    rig
}

fn image(number: usize) -> String {
    format!(r"\Device\HarddiskVolume3\Program Files\program{number}.exe")
}

/// What becomes of a pipe of the program with this number, after some pipes that nobody minds.
fn after_others(rig: &mut Rig, others: usize, program: usize, pipe: &str) -> Verdict {
    for _ in 0..others {
        assert_eq!(created(rig, r"\good", EXPLORER), Verdict::Allow);
    }
    created(rig, pipe, Some(&image(program)))
}

#[test]
fn content_that_would_block_everything_blocks_nothing_on_trial_and_never_becomes_good() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = with_rules(&bench, &bench.boot(), &blocking(r"\"));
    for number in 0..40 {
        assert_eq!(created(&mut rig, r"\any", Some(&image(number % 3))), Verdict::Detect);
    }
    let status = rig.status().unwrap();
    assert_eq!((status.trip, status.blocked), (Some(Trip::Share), 0));
    assert_eq!(status.protection, Protection::Degraded(Loss::FuseTripped));
    assert!(status.losses.contains(Loss::OnTrial));
    rig.listen(Interest::Status).unwrap();
    for _ in 0..1_000 {
        rig.create_pipe_unheard(r"\any").unwrap();
    }
    rig.advance(Duration::from_secs(11 * MINUTES));
    let scans = rig.status().unwrap().scans;
    while rig.status().unwrap().scans < scans + 3 {
        rig.advance(Duration::from_secs(6));
    }
    let status = rig.status().unwrap();
    assert_eq!((status.stage, status.blocked), (Stage::Trial, 0));
    rig.unload().unwrap();
}

#[test]
fn good_content_that_blocks_everything_is_dropped_to_observe_within_the_bound() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = with_good(&bench, &bench.boot(), &blocking(r"\app"));
    let system = rig.system_process();
    let spec =
        ProcessSpec { pid: 700, image: Some(image(0)), protected: true, ..ProcessSpec::default() };
    let protected = rig.kernel().create_process(spec);
    for _ in 0..SHARE_BLOCKS {
        for exempt in [&system, &protected] {
            let judged = rig.create_pipe(exempt, &wide(r"\app.exempt")).unwrap();
            assert_eq!((judged.verdict, judged.status), (Verdict::Exempt, 0));
        }
    }
    let verdicts: Vec<Verdict> =
        (0..100).map(|_| created(&mut rig, r"\app.1", Some(&image(1)))).collect();
    let blocked = verdicts.iter().take_while(|verdict| **verdict == Verdict::Block).count();
    assert_eq!(blocked, usize::try_from(SHARE_BLOCKS - 1).unwrap());
    assert!(verdicts[blocked..].iter().all(|verdict| *verdict == Verdict::Detect));
    let status = rig.status().unwrap();
    assert_eq!(status.protection, Protection::Degraded(Loss::FuseTripped));
    assert_eq!((status.trip, status.stage), (Some(Trip::Share), Stage::Good));
    assert_eq!((status.blocked, status.fused), (15, 85));
    // Exempt processes stay exempt in words too: nothing blocks them, fuse or not.
    assert_eq!(status.exempt, 2 * u64::from(SHARE_BLOCKS));
    rig.unload().unwrap();
}

#[test]
fn a_fuse_that_is_reset_counts_anew_and_content_blocks_again() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = with_good(&bench, &bench.boot(), &blocking(r"\app"));
    for round in 0..2 {
        let blocked = (0..100)
            .take_while(|_| created(&mut rig, r"\app.1", Some(&image(1))) == Verdict::Block)
            .count();
        assert_eq!(blocked, usize::try_from(SHARE_BLOCKS - 1).unwrap(), "round {round}");
        assert_eq!(rig.status().unwrap().trip, Some(Trip::Share));
        let process = rig.kernel().create_process(ProcessSpec::default());
        let client = Client::connect(rig.kernel(), &process, Interest::Status);
        let mut client = client.unwrap().unwrap();
        let asked = client.ask(Ask::ResetFuse).unwrap().unwrap();
        assert_eq!(client.answer(asked).unwrap().outcome, Outcome::Done);
        let status = rig.status().unwrap();
        assert_eq!((status.trip, status.protection), (None, Protection::Full));
    }
    assert_eq!(created(&mut rig, r"\app.1", Some(&image(1))), Verdict::Block);
    rig.unload().unwrap();
}

#[test]
fn blocking_many_programs_trips_the_fuse_and_new_content_has_a_whole_one() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = with_good(&bench, &bench.boot(), &blocking(r"\app"));
    for program in 0..MAX_IMAGES {
        assert_eq!(after_others(&mut rig, 2, program, r"\app"), Verdict::Block, "{program}");
    }
    assert_eq!(after_others(&mut rig, 2, MAX_IMAGES, r"\app"), Verdict::Detect);
    assert_eq!(rig.status().unwrap().trip, Some(Trip::Images));
    // Other rules of the content go on as before.
    assert_eq!(created(&mut rig, r"\odd", EXPLORER), Verdict::Detect);
    rig.listen(Interest::Status).unwrap();
    let (name, file) = bench.file_of(&blocking(r"\app"), 0, 2);
    rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    let status = rig.mature().unwrap();
    assert_eq!((status.sequence, status.trip, status.protection), (2, None, Protection::Full));
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(created(&mut rig, r"\app", EXPLORER), Verdict::Block);
    rig.unload().unwrap();
}

#[test]
fn blocking_too_often_in_a_minute_trips_the_fuse() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = with_good(&bench, &bench.boot(), &blocking(r"\app"));
    // In two minutes as often as is allowed: nothing is amiss.
    for _ in 0..2 {
        for _ in 0..MAX_BLOCKS_A_MINUTE {
            assert_eq!(after_others(&mut rig, 2, 1, r"\app"), Verdict::Block);
        }
        rig.advance(Duration::from_secs(MINUTES));
    }
    for _ in 0..MAX_BLOCKS_A_MINUTE {
        assert_eq!(after_others(&mut rig, 2, 1, r"\app"), Verdict::Block);
    }
    assert_eq!(after_others(&mut rig, 2, 1, r"\app"), Verdict::Detect);
    assert_eq!(rig.status().unwrap().trip, Some(Trip::Blocks));
    rig.unload().unwrap();
}

#[test]
fn names_that_windows_needs_are_reported_and_never_blocked() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = with_good(&bench, &bench.boot(), &blocking(r"\svcctl"));
    assert_eq!(created(&mut rig, r"\SvcCtl", EXPLORER), Verdict::Exempt);
    assert_eq!(created(&mut rig, r"\svcctl2", EXPLORER), Verdict::Block);
    assert_eq!(connected(&mut rig, r"\svcctl", EXPLORER), Verdict::Detect);
    rig.unload().unwrap();
}

#[test]
fn a_protected_process_is_blocked_when_the_parameter_says_so_and_the_kernel_is_not() {
    let Some(bench) = Bench::new() else { return };
    let boot = bench.boot().parameter("ExemptProtected", 0);
    let mut rig = with_good(&bench, &boot, &blocking(r"\app"));
    let spec =
        ProcessSpec { pid: 700, image: Some(image(0)), protected: true, ..ProcessSpec::default() };
    let protected = rig.kernel().create_process(spec);
    assert_eq!(rig.create_pipe(&protected, &wide(r"\app")).unwrap().verdict, Verdict::Block);
    let system = rig.system_process();
    assert_eq!(rig.create_pipe(&system, &wide(r"\app")).unwrap().verdict, Verdict::Exempt);
    rig.unload().unwrap();
}

#[test]
fn parameters_that_make_no_sense_are_told_by_name() {
    let Some(bench) = Bench::new() else { return };
    let boot = bench.boot().parameter("Mode", 77).parameter("PollSeconds", 0);
    boot.machine.registry().set_string(
        r"\Registry\Machine\System\CurrentControlSet\Services\saker\Parameters",
        "ExemptProtected",
        "yes",
    );
    let mut rig = with_good(&bench, &boot, &blocking(r"\app"));
    let status = rig.status().unwrap();
    assert_eq!((status.mode, status.start_mode), (Mode::Observe, Mode::Observe));
    let refused: Vec<Setting> = status.settings_refused.iter().collect();
    assert_eq!(refused, [Setting::Mode, Setting::PollSeconds, Setting::ExemptProtected]);
    assert_eq!(status.protection, Protection::Degraded(Loss::SettingsRefused));
    rig.unload().unwrap();
}

#[test]
fn sound_parameters_and_a_mode_are_no_loss() {
    let Some(bench) = Bench::new() else { return };
    for mode in [Mode::Observe, Mode::Enforce] {
        let boot = bench.boot().mode(mode).parameter("PollSeconds", 2);
        let mut rig = with_good(&bench, &boot, &blocking(r"\app"));
        let status = rig.status().unwrap();
        assert_eq!((status.protection, status.mode), (Protection::Full, mode));
        assert_eq!(status.losses.iter().count(), 0);
        assert!(status.settings_refused.is_empty());
        assert_eq!(status.state, State::Running);
        rig.unload().unwrap();
    }
}

#[test]
fn a_noisy_rule_is_told_so_often_and_the_rest_is_counted() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    rig.listen(Interest::Detections).unwrap();
    for _ in 0..TOLD_A_MINUTE {
        assert_eq!(created(&mut rig, r"\odd", EXPLORER), Verdict::Detect);
    }
    for _ in 0..140 {
        rig.create_pipe_unheard(r"\odd").unwrap();
    }
    // Another rule is heard at once, and its record is the very next.
    let process = rig.create_process(4242, Some(wide(r"\Device\HarddiskVolume3\Downloads\a.exe")));
    assert_eq!(rig.create_pipe(&process, &wide(r"\x")).unwrap().verdict, Verdict::Detect);
    let status = rig.status().unwrap();
    let all = u64::from(TOLD_A_MINUTE) + 140 + 1;
    assert_eq!((status.detected, status.untold, status.dropped), (all, 140, 0));
    rig.advance(Duration::from_secs(MINUTES));
    rig.create_pipe_unheard(r"\odd").unwrap();
    assert_eq!(rig.record().unwrap().untold, 140);
    rig.unload().unwrap();
}

#[test]
fn a_block_is_always_told() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = with_good(&bench, &bench.boot(), &blocking(r"\app"));
    rig.listen(Interest::Detections).unwrap();
    let process = rig.create_process(1, Some(wide(&image(1))));
    for number in 0..2 * TOLD_A_MINUTE {
        for _ in 0..2 {
            rig.create_pipe_unheard(r"\good").unwrap();
        }
        // The fuse's minute and the rule's are not the same: time passes only for the fuse.
        let judged = rig.create_pipe(&process, &wide(r"\app")).unwrap();
        assert_eq!(judged.verdict, Verdict::Block, "{number}");
        if number % 50 == 49 {
            rig.advance(Duration::from_secs(MINUTES));
        }
    }
    rig.unload().unwrap();
}

#[test]
fn with_little_stack_or_at_another_irql_a_create_passes_and_is_counted() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let kernel = rig.kernel().clone();
    let process = rig.create_process(4242, EXPLORER.map(wide));
    let evil = |surroundings| {
        kernel.surrounded(surroundings, || {
            kernel.create_named_pipe(&process, r"\evil", PipeOptions::default()).unwrap().status
        })
    };
    let plain = Surroundings::default();
    assert_eq!(evil(Surroundings { stack_used: 19 * 1024, ..plain }), NtStatus::SUCCESS);
    assert_eq!(evil(Surroundings { irql: 1, ..plain }), NtStatus::SUCCESS);
    // Judged as ever with what is just enough, and the guard page below stays untouched.
    let enough = Surroundings { stack_used: 17 * 1024, ..plain };
    let judged = kernel.surrounded(enough, || rig.create_pipe(&process, &wide(r"\evil"))).unwrap();
    assert_eq!(judged.verdict, Verdict::Block);
    rig.listen(Interest::Status).unwrap();
    let status = rig.status().unwrap();
    assert_eq!((status.stack_low, status.wrong_irql, status.blocked), (1, 1, 1));
    rig.unload().unwrap();
}

/// What was kept of it goes back, nothing is locked, and the next one is told as ever.
#[test]
fn a_create_that_comes_back_at_another_irql_is_not_told_but_counted() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let before = rig.status().unwrap().events;
    rig.listen(Interest::Detections).unwrap();
    let kernel = rig.kernel().clone();
    let process = rig.create_process(4242, EXPLORER.map(wide));
    let odd = kernel.prepare_create_named_pipe(&process, r"\odd", PipeOptions::default());
    const DISPATCH_LEVEL: u8 = 2;
    let outcome = kernel
        .surrounded(Surroundings::default(), || {
            odd.run_meanwhile(&|| kernel.at_irql(DISPATCH_LEVEL))
        })
        .unwrap();
    assert_eq!(outcome.status, NtStatus::SUCCESS);
    odd.run().unwrap();
    let record = rig.record().unwrap();
    assert_eq!((record.verdict, record.event), (Verdict::Detect, before + 2));
    rig.listen(Interest::Status).unwrap();
    let status = rig.status().unwrap();
    assert_eq!((status.wrong_irql, status.detected), (1, 2));
    rig.unload().unwrap();
}

/// A trip is not written down: who is blocked can cause it on purpose, and would disarm the machine
/// for longer than it runs. The next start blocks again, up to the same bound.
#[test]
fn a_restart_begins_with_a_whole_fuse() {
    let Some(bench) = Bench::new() else { return };
    let boot = bench.boot();
    let mut rig = with_good(&bench, &boot, &blocking(r"\app"));
    let blocked = |rig: &mut Rig| {
        (0..100).take_while(|_| created(rig, r"\app.1", Some(&image(1))) == Verdict::Block).count()
    };
    let bound = usize::try_from(SHARE_BLOCKS - 1).unwrap();
    assert_eq!(blocked(&mut rig), bound);
    let machine = rig.machine();
    rig.unload().unwrap();
    let mut rig = boot.machine(machine).boot().unwrap();
    let status = rig.status().unwrap();
    assert_eq!((status.trip, status.stage), (None, Stage::Good));
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(blocked(&mut rig), bound);
    assert_eq!(rig.status().unwrap().trip, Some(Trip::Share));
    rig.unload().unwrap();
}

#[test]
fn without_memory_a_detection_is_told_without_its_rules_and_counted() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    // Each of an event's allocations fails once, those of a process's first event among them.
    let mut without_rules = 0;
    for nth in 1..12 {
        let before = rig.status().unwrap().no_memory;
        let process = rig.create_process(4242 + nth, EXPLORER.map(wide));
        rig.kernel().injector().fail_api("ExAllocatePool2", nth);
        let judged = rig.create_pipe(&process, &wide(r"\odd")).unwrap();
        assert_eq!(judged.verdict, Verdict::Detect, "allocation {nth}");
        if judged.hits.is_empty() {
            without_rules += 1;
            assert!(rig.status().unwrap().no_memory > before, "allocation {nth}");
        }
    }
    assert_eq!(without_rules, 1, "one allocation is for the rules");
    let process = rig.create_process(4242, EXPLORER.map(wide));
    let judged = rig.create_pipe(&process, &wide(r"\odd")).unwrap();
    assert_eq!((judged.verdict, judged.hits.len()), (Verdict::Detect, 1));
    rig.unload().unwrap();
}

#[test]
fn a_pipe_whose_name_cannot_be_had_is_counted() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let process = rig.create_process(4242, EXPLORER.map(wide));
    let long = [vec![0x78], vec![0x61; 32_766]].concat();
    assert_eq!(rig.create_pipe(&process, &long).unwrap().verdict, Verdict::Unknown);
    assert_eq!(rig.status().unwrap().nameless, 1);
    assert_eq!(created(&mut rig, r"\good", EXPLORER), Verdict::Allow);
    assert_eq!(rig.status().unwrap().nameless, 1);
    rig.unload().unwrap();
}

#[test]
fn it_is_starting_until_it_has_looked_for_good_content() {
    let Some(bench) = Bench::new() else { return };
    let (kernel, driver) = bench.boot().load().unwrap();
    assert!(driver.start().unwrap().is_success());
    let hello = Hello { interest: Interest::Status }.encode();
    let state = |until: State| {
        let client = kernel.connect_port(PORT_NAME, &hello).unwrap();
        let status = (0..500).find_map(|_| {
            match Message::decode(&client.receive(Duration::from_millis(20))?).unwrap() {
                Message::Status(status) if status.state == until => Some(status),
                _ => None,
            }
        });
        status.expect("the state is told")
    };
    assert_eq!(state(State::Starting).protection, Protection::None(Loss::NoContent));
    kernel.run_boot_reinitialization().unwrap();
    // In a boot's first minute a folder that is not there may be on a disk that is not there yet.
    kernel.advance(Duration::from_secs(MINUTES + 1));
    let status = state(State::Running);
    assert!(!status.losses.contains(Loss::NotAttached));
    driver.unload().unwrap().assert_clean();
}
