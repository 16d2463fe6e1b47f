//! What the driver tells of a create once it is done.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{Bench, EXPLORER, wide};
use driver_abi::{Instance, Verdict};
use kernel_host::PipeOptions;

const ACCESS_DENIED: u32 = 0xC000_0022;
const NAME_NOT_FOUND: u32 = 0xC000_0034;

#[test]
fn the_first_instance_is_told_from_a_further_one() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let process = rig.create_process(4242, EXPLORER.map(wide));
    let mut ends = Vec::new();
    for instance in [Instance::First, Instance::Further] {
        let judged = rig.create_pipe(&process, &wide(r"\odd")).unwrap();
        assert_eq!((judged.record.result, judged.record.instance), (Some(0), instance));
        ends.push(judged.end);
    }
    let client = rig.connect_pipe(&process, &wide(r"\odd")).unwrap();
    assert_eq!((client.record.result, client.record.instance), (Some(0), Instance::Unknown));
    rig.unload().unwrap();
}

#[test]
fn what_fails_below_is_told_as_failed() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let process = rig.create_process(4242, EXPLORER.map(wide));
    let _first = rig.create_pipe(&process, &wide(r"\odd")).unwrap();
    let only_first = PipeOptions { disposition: 2, ..Default::default() };
    let second = rig.create_pipe_as(&process, &wide(r"\odd"), only_first).unwrap();
    assert_eq!(second.verdict, Verdict::Detect);
    assert_eq!((second.status, second.record.result), (ACCESS_DENIED, Some(ACCESS_DENIED)));
    assert_eq!(second.record.instance, Instance::Unknown);
    let client = rig.connect_pipe(&process, &wide(r"\not-there")).unwrap();
    assert_eq!((client.verdict, client.record.result), (Verdict::Allow, Some(NAME_NOT_FOUND)));
    rig.unload().unwrap();
}

#[test]
fn what_is_blocked_is_told_as_denied() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let process = rig.create_process(4242, EXPLORER.map(wide));
    let judged = rig.create_pipe(&process, &wide(r"\evil")).unwrap();
    assert_eq!((judged.verdict, judged.record.result), (Verdict::Block, Some(ACCESS_DENIED)));
    rig.unload().unwrap();
}

#[test]
fn without_memory_the_decision_is_told_and_the_result_is_not_known() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let process = rig.create_process(4242, EXPLORER.map(wide));
    // Everything that is kept of the process and its token is there afterwards.
    let known = rig.create_pipe(&process, &wide(r"\odd")).unwrap();
    // The names of the rules, the records, and what holds the records.
    for allocation in 1..=3 {
        rig.kernel().injector().fail_api("ExAllocatePool2", allocation);
        let judged = rig.create_pipe(&process, &wide(r"\odd")).unwrap();
        assert_eq!(judged.verdict, Verdict::Detect);
        assert_eq!(judged.record.result.is_none(), allocation > 1, "allocation {allocation}");
        assert_eq!(judged.hits.is_empty(), allocation == 1, "allocation {allocation}");
    }
    assert_eq!(rig.kernel().injector().hits().len(), 3);
    drop(known);
    rig.unload().unwrap();
}

#[test]
fn a_create_that_is_under_way_at_unload_leaves_nothing_behind() {
    let Some(bench) = Bench::new() else { return };
    let rig = bench.ready();
    let kernel = rig.kernel().clone();
    let (begun, has_begun) = mpsc::channel();
    let create = thread::spawn(move || {
        let process = kernel.create_process(kernel_host::ProcessSpec::default());
        let name = wide(r"\odd");
        let create = kernel.prepare_create_named_pipe(&process, &name, PipeOptions::default());
        let outcome = create.run_meanwhile(&|| {
            begun.send(()).unwrap();
            while !kernel.is_unregistering() {
                thread::sleep(Duration::from_millis(1));
            }
        });
        outcome.unwrap().status.0
    });
    has_begun.recv().unwrap();
    rig.unload().unwrap();
    assert_eq!(create.join().unwrap(), 0);
}
