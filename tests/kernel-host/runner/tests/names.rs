//! Names of every kind that NPFS lets one ask for.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use common::{Bench, EXPLORER, wide};
use driver_abi::{Interest, Verdict};
use kernel_host::{ConnectOptions, PipeOptions};
use kernel_host_runner::rig::Rig;

const CONTAINER: &str = r"\Sessions\1\AppContainerNamedObjects\S-1-15-2-1";

const RULES: &str = r"
title: a name at the end of any path
id: 00000000-0000-4000-8000-000000000001
logsource: {product: windows, category: pipe_created}
detection: {selection: {PipeName|endswith: '\evil'}, condition: selection}
level: high
saker: {action: block, on: [created, connected]}
---
title: a pipe without a name
id: 00000000-0000-4000-8000-000000000002
logsource: {product: windows, category: pipe_created}
detection: {selection: {PipeName: '<Anonymous Pipe>'}, condition: selection}
level: low
";

fn sensor(bench: &Bench) -> Rig {
    let mut rig = bench.boot().boot().unwrap();
    let (name, file) = bench.file_of(RULES, 0, 1);
    rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    rig.mature().unwrap();
    rig.listen(Interest::Everything).unwrap();
    rig
}

fn below(directory: &str) -> PipeOptions {
    PipeOptions { directory: Some(wide(directory)), ..Default::default() }
}

#[test]
fn a_name_relative_to_a_directory_is_completed() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = sensor(&bench);
    let process = rig.create_process(4242, EXPLORER.map(wide));
    for (directory, name, verdict) in [
        ("", "evil", Verdict::Block),
        ("", "good", Verdict::Allow),
        (CONTAINER, "evil", Verdict::Block),
        (CONTAINER, "good", Verdict::Allow),
    ] {
        let options = if directory.is_empty() { PipeOptions::default() } else { below(directory) };
        let judged = rig.create_pipe_as(&process, &wide(name), options).unwrap();
        assert_eq!(judged.verdict, verdict, "{name} in {directory}");
        let full = wide(&format!(r"{directory}\{name}"));
        assert_eq!(judged.record.name.units(), full, "{name} in {directory}");
    }
    rig.unload().unwrap();
}

#[test]
fn a_name_that_cannot_be_completed_is_unknown_and_passes() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = sensor(&bench);
    let process = rig.create_process(4242, EXPLORER.map(wide));
    rig.kernel().injector().fail_api("FltGetFileNameInformation", 1);
    let judged = rig.create_pipe_as(&process, &wide("evil"), below(CONTAINER)).unwrap();
    assert_eq!((judged.verdict, judged.status), (Verdict::Unknown, 0));
    // Rooted and relative at once, which NPFS refuses.
    let judged = rig.create_pipe_as(&process, &wide(r"\evil"), below(CONTAINER)).unwrap();
    assert_eq!(judged.verdict, Verdict::Unknown);
    rig.unload().unwrap();
}

#[test]
fn a_rooted_name_is_taken_as_it_is() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = sensor(&bench);
    let process = rig.create_process(4242, EXPLORER.map(wide));
    rig.kernel().injector().fail_api("FltGetFileNameInformation", 1);
    for (name, verdict) in [(r"\a\evil", Verdict::Block), (r"\evil\a", Verdict::Allow)] {
        assert_eq!(rig.create_pipe(&process, &wide(name)).unwrap().verdict, verdict);
        // An alias would be resolved below: the name asked for is judged.
        assert_eq!(rig.connect_pipe(&process, &wide(name)).unwrap().verdict, verdict);
    }
    assert_eq!(rig.kernel().injector().hits().len(), 0, "nothing to complete");
    rig.unload().unwrap();
}

#[test]
fn no_name_is_an_anonymous_pipe_and_the_root_is_no_pipe() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = sensor(&bench);
    let process = rig.create_process(4242, EXPLORER.map(wide));
    assert_eq!(rig.create_pipe(&process, &[]).unwrap().verdict, Verdict::Detect);
    // The client end of an anonymous pipe, opened by its server end.
    assert_eq!(rig.connect_pipe(&process, &[]).unwrap().verdict, Verdict::Detect);
    for _ in 0..3 {
        let root = ConnectOptions::default();
        rig.kernel().connect_pipe(&process, r"\", root).unwrap();
    }
    // Numbers have no gap: the root directory was no event.
    assert_eq!(rig.create_pipe(&process, &wide(r"\good")).unwrap().verdict, Verdict::Allow);
    rig.unload().unwrap();
}

#[test]
fn nuls_and_lone_surrogates_are_units_like_others() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = sensor(&bench);
    let process = rig.create_process(4242, EXPLORER.map(wide));
    let evil = wide(r"\evil");
    let names = [
        (evil.clone(), Verdict::Block),
        ([&evil[..], &[0]].concat(), Verdict::Allow),
        ([&[0x5C, 0][..], &evil].concat(), Verdict::Block),
        ([&[0x5C, 0xD800][..], &evil].concat(), Verdict::Block),
        ([&evil[..], &[0xDC00]].concat(), Verdict::Allow),
    ];
    for (name, verdict) in names {
        let judged = rig.create_pipe(&process, &name).unwrap();
        assert_eq!(judged.verdict, verdict, "{name:?}");
        assert_eq!(judged.record.name.units(), name);
    }
    rig.unload().unwrap();
}

#[test]
fn the_longest_name_and_one_of_half_units_are_unknown() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = sensor(&bench);
    let process = rig.create_process(4242, EXPLORER.map(wide));
    let longest = [vec![0x5C], vec![0x61; 32_766]].concat();
    let judged = rig.create_pipe(&process, &longest).unwrap();
    assert_eq!(judged.verdict, Verdict::Unknown);
    assert!(judged.record.name.is_cut());
    let odd = PipeOptions { odd_length: true, ..Default::default() };
    let judged = rig.create_pipe_as(&process, &wide(r"\evil"), odd).unwrap();
    assert_eq!(judged.verdict, Verdict::Unknown);
    rig.unload().unwrap();
}
