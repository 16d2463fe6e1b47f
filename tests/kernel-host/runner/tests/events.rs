//! What the built driver makes of pipe creates.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use common::{Bench, EXPLORER, RULES, connected, created, wide};
use driver_abi::{Interest, MAX_HITS, Mode, Verdict};
use kernel_host::{PipeOptions, ProcessSpec};
use kernel_host_runner::volumes::Volumes;

#[test]
fn allows_detects_and_blocks() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    assert_eq!(created(&mut rig, r"\good", EXPLORER), Verdict::Allow);
    assert_eq!(created(&mut rig, r"\odd", EXPLORER), Verdict::Detect);
    assert_eq!(created(&mut rig, r"\EVIL.42", EXPLORER), Verdict::Block);
    rig.unload().unwrap();
}

#[test]
fn a_blocked_pipe_never_exists_and_an_allowed_one_does() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let process = rig.create_process(4242, EXPLORER.map(wide));
    let denied = rig.create_pipe(&process, &wide(r"\evil")).unwrap();
    assert_eq!(denied.status, 0xC000_0022, "STATUS_ACCESS_DENIED");
    let passed = rig.create_pipe(&process, &wide(r"\good")).unwrap();
    assert_eq!(passed.status, 0);
    // NPFS itself says that there is nothing to connect to, and that there is.
    assert_eq!(rig.connect_pipe(&process, &wide(r"\other")).unwrap().status, 0xC000_0034);
    assert_eq!(rig.connect_pipe(&process, &wide(r"\good")).unwrap().status, 0);
    rig.unload().unwrap();
}

#[test]
fn connects_are_judged_and_not_blocked_unless_the_rule_says_so() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    assert_eq!(connected(&mut rig, r"\odd", EXPLORER), Verdict::Detect);
    assert_eq!(connected(&mut rig, r"\evil", EXPLORER), Verdict::Detect);
    rig.unload().unwrap();
}

#[test]
fn nothing_is_blocked_in_observe_mode() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().mode(Mode::Observe).boot().unwrap();
    let (name, file) = bench.file(1);
    rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    rig.mature().unwrap();
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(created(&mut rig, r"\evil", EXPLORER), Verdict::Detect);
    rig.unload().unwrap();
}

#[test]
fn nothing_is_blocked_on_trial() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().boot().unwrap();
    let (name, file) = bench.file(1);
    rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(created(&mut rig, r"\evil", EXPLORER), Verdict::Detect);
    rig.mature().unwrap();
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(created(&mut rig, r"\evil", EXPLORER), Verdict::Block);
    rig.unload().unwrap();
}

#[test]
fn the_kernel_itself_is_reported_and_never_blocked() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let system = rig.system_process();
    let judged = rig.create_pipe(&system, &wide(r"\evil")).unwrap();
    assert_eq!(judged.verdict, Verdict::Exempt);
    assert_eq!(judged.status, 0);
    rig.unload().unwrap();
}

#[test]
fn a_protected_process_is_reported_and_never_blocked() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let image = EXPLORER.map(str::to_owned);
    let spec = ProcessSpec { pid: 700, image, protected: true, ..Default::default() };
    let process = rig.kernel().create_process(spec);
    let judged = rig.create_pipe(&process, &wide(r"\evil")).unwrap();
    assert_eq!(judged.verdict, Verdict::Exempt);
    rig.unload().unwrap();
}

#[test]
fn it_attaches_to_pipes_and_to_nothing_else() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    assert_eq!(created(&mut rig, r"\odd", EXPLORER), Verdict::Detect);
    assert_eq!(rig.kernel().attachments_elsewhere(), [""; 0]);
    rig.unload().unwrap();
}

#[test]
fn without_content_everything_passes_and_is_counted() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().boot().unwrap();
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(created(&mut rig, r"\evil", EXPLORER), Verdict::NotReady);
    assert_eq!(rig.status().unwrap().not_ready, 1);
    rig.unload().unwrap();
}

#[test]
fn an_image_is_spelled_with_its_letter() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let image = r"\Device\HarddiskVolume3\Downloads\setup.exe";
    assert_eq!(created(&mut rig, r"\x", Some(image)), Verdict::Detect);
    assert_eq!(created(&mut rig, r"\fine", Some(image)), Verdict::Allow);
    assert_eq!(created(&mut rig, r"\x", EXPLORER), Verdict::Allow);
    rig.unload().unwrap();
}

#[test]
fn an_image_on_a_volume_without_a_letter_is_known_and_has_none() {
    let Some(bench) = Bench::new() else { return };
    let volumes = Volumes::new(&["HarddiskVolume7=".parse().unwrap()]);
    let mut rig = bench.boot().volumes(&volumes).boot().unwrap();
    let (name, file) = bench.file(1);
    rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    rig.listen(Interest::Everything).unwrap();
    let image = r"\Device\HarddiskVolume7\Downloads\setup.exe";
    assert_eq!(created(&mut rig, r"\x", Some(image)), Verdict::Allow);
    rig.unload().unwrap();
}

/// A volume may get its letter, another one, or none, long after the boot.
#[test]
fn letters_are_looked_up_again_and_again() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let machine = rig.machine();
    let device = r"\Device\HarddiskVolume9";
    let image = r"\Device\HarddiskVolume9\Downloads\setup.exe";
    let system = r"\Device\HarddiskVolume3";
    machine.set_volume(device, None);
    for (letters, verdict) in [
        ([Some('C'), None], Verdict::Allow),
        ([None, Some('C')], Verdict::Detect),
        ([Some('C'), Some('E')], Verdict::Allow),
    ] {
        let [of_system, of_late] = letters;
        // Never two volumes with one letter.
        machine.set_volume(device, None);
        machine.set_volume(system, of_system);
        machine.set_volume(device, of_late);
        rig.listen(Interest::Status).unwrap();
        rig.drop_files([].into_iter()).unwrap();
        rig.listen(Interest::Everything).unwrap();
        assert_eq!(created(&mut rig, r"\x", Some(image)), verdict, "{letters:?}");
    }
    rig.unload().unwrap();
}

/// An image on a share has the redirector's path, and no letter whatever is mapped to it.
#[test]
fn an_image_on_a_share_is_known_and_has_no_letter() {
    let Some(bench) = Bench::new() else { return };
    let rules = RULES.replace(r"C:\Downloads\", r"\Device\Mup\server\");
    let mut rig = bench.boot().boot().unwrap();
    let (name, file) = bench.file_of(&rules, 0, 1);
    rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    rig.listen(Interest::Everything).unwrap();
    let image = r"\Device\Mup\server\share\setup.exe";
    assert_eq!(created(&mut rig, r"\x", Some(image)), Verdict::Detect);
    assert_eq!(created(&mut rig, r"\x", EXPLORER), Verdict::Allow);
    rig.unload().unwrap();
}

#[test]
fn an_image_that_cannot_be_found_is_unknown_and_not_false() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    assert_eq!(created(&mut rig, r"\x", None), Verdict::Unknown);
    // The filter decides this one without the image, and so does the block.
    assert_eq!(created(&mut rig, r"\fine", None), Verdict::Allow);
    assert_eq!(created(&mut rig, r"\evil", None), Verdict::Block);
    rig.unload().unwrap();
}

#[test]
fn names_of_every_kind_are_survived() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let process = rig.create_process(4242, EXPLORER.map(wide));
    let names: [Vec<u16>; 7] = [
        wide("evil"),
        wide(r"\evil\..\x"),
        vec![0x5C, 0xD800, 0xDC00, 0xD800],
        vec![0x5C, 0, 0],
        [vec![0x5C], vec![0x61; 1_023]].concat(),
        [vec![0x5C], vec![0x61; 32_766]].concat(),
        Vec::new(),
    ];
    let verdicts: Vec<Verdict> =
        names.iter().map(|name| rig.create_pipe(&process, name).unwrap().verdict).collect();
    assert_eq!(verdicts[..2], [Verdict::Block, Verdict::Block]);
    assert_eq!(verdicts[2..5], [Verdict::Allow; 3]);
    // Longer than any text the rules are evaluated on: not judged, and told so.
    assert_eq!(verdicts[5], Verdict::Unknown);
    assert_eq!(verdicts[6], Verdict::Allow);
    rig.unload().unwrap();
}

#[test]
fn the_callback_keeps_to_its_stack() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let process = rig.create_process(4242, EXPLORER.map(wide));
    for name in [r"\good", r"\odd", r"\evil"] {
        let judged = rig.create_pipe(&process, &wide(name)).unwrap();
        // A twelfth of a kernel thread's stack; what was found in an event's texts lies there.
        assert!(judged.stack_used <= 2_048, "{name}: {} bytes", judged.stack_used);
    }
    rig.unload().unwrap();
}

#[test]
fn a_record_that_could_not_be_sent_at_once_is_sent_again() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    rig.kernel().injector().fail_api("FltSendMessage", 1);
    assert_eq!(created(&mut rig, r"\odd", EXPLORER), Verdict::Detect);
    assert_eq!(rig.kernel().injector().hits().len(), 1);
    rig.unload().unwrap();
}

#[test]
fn a_client_that_takes_nothing_stops_nobody() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    for _ in 0..500 {
        rig.create_pipe_unheard(r"\odd").unwrap();
    }
    rig.listen(Interest::Status).unwrap();
    let status = rig.status().unwrap();
    assert!(status.dropped > 0, "{status:?}");
    assert_eq!(status.detected, 500);
    rig.unload().unwrap();
}

/// Where the first record of an event finds no room, the others are lost as well, and counted.
#[test]
fn every_record_that_finds_no_room_is_counted() {
    const EVENTS: u32 = 50;
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.boot().boot().unwrap();
    let rules: Vec<_> = (0..2 * MAX_HITS + 1)
        .map(|number| {
            format!(
                r"
title: rule {number}
id: 00000000-0000-4000-8000-{number:012}
logsource: {{product: windows, category: pipe_created}}
detection: {{selection: {{PipeName: '\many'}}, condition: selection}}
level: low
"
            )
        })
        .collect();
    let (name, file) = bench.file_of(&rules.join("---"), 0, 1);
    rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    rig.listen(Interest::Detections).unwrap();
    for _ in 0..EVENTS {
        rig.create_pipe_unheard(r"\many").unwrap();
    }
    // The client goes without having taken one, so those that found room are lost too.
    rig.listen(Interest::Status).unwrap();
    let status = rig.status().unwrap();
    assert_eq!((status.detected, status.untold), (EVENTS.into(), 0));
    assert_eq!(status.dropped, u64::from(EVENTS) * 3, "an event here has three records");
    rig.unload().unwrap();
}

/// What a process's first event found is kept; its later ones, judged and told to nobody, take no
/// memory.
#[test]
fn an_event_that_nobody_is_told_of_allocates_nothing() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    rig.listen(Interest::Status).unwrap();
    let kernel = rig.kernel().clone();
    let image = EXPLORER.map(str::to_owned);
    let spec = ProcessSpec { pid: 4242, image, ..ProcessSpec::default() };
    let process = kernel.create_process(spec);
    let create = |name: &str| {
        kernel.create_named_pipe(&process, name, PipeOptions::default()).unwrap();
    };
    create(r"\good");
    kernel.rest(std::time::Duration::from_secs(20));
    kernel.injector().fail_api("ExAllocatePool2", 1);
    for name in [r"\good", r"\fine", r"\mojo.1.2.3", r"\evil"] {
        create(name);
    }
    assert_eq!(kernel.injector().hits().len(), 0, "nothing was asked of the pool");
    kernel.injector().clear();
    rig.unload().unwrap();
}
