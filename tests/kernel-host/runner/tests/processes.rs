//! What the driver keeps of processes, and when it forgets it.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::sync::Arc;

use common::{Bench, EXPLORER, created, wide};
use driver_abi::{Interest, Verdict};
use kernel_host::Process;
use kernel_host_runner::rig::Rig;

const SETUP: &str = r"\Device\HarddiskVolume3\Downloads\setup.exe";
const LOCATE: &str = "SeLocateProcessImageName";

/// Whether the kernel is asked for a process's image at its next event. It answers nothing if so.
fn asks(rig: &mut Rig, process: &Arc<Process>) -> bool {
    let before = rig.kernel().injector().hits().len();
    rig.kernel().injector().fail_api(LOCATE, 1);
    let verdict = rig.create_pipe(process, &wide(r"\x")).unwrap().verdict;
    rig.kernel().injector().clear();
    let asked = rig.kernel().injector().hits().len() > before;
    let expected = if asked { Verdict::Unknown } else { Verdict::Detect };
    assert_eq!(verdict, expected, "what is not known is not guessed");
    asked
}

fn judged(rig: &mut Rig, process: &Arc<Process>) -> Verdict {
    rig.create_pipe(process, &wide(r"\x")).unwrap().verdict
}

#[test]
fn a_process_is_asked_about_once_and_forgotten_when_it_ends() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let process = rig.create_process(4242, Some(wide(SETUP)));
    assert!(asks(&mut rig, &process), "a failure is not kept");
    assert_eq!(judged(&mut rig, &process), Verdict::Detect);
    assert!(!asks(&mut rig, &process));
    rig.kernel().end_process(&process).unwrap();
    assert!(asks(&mut rig, &process));
    rig.unload().unwrap();
}

#[test]
fn a_process_number_that_is_used_again_is_another_process() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    for _ in 0..3 {
        assert_eq!(created(&mut rig, r"\x", Some(SETUP)), Verdict::Detect);
        assert_eq!(created(&mut rig, r"\x", EXPLORER), Verdict::Allow);
    }
    rig.unload().unwrap();
}

#[test]
fn a_process_that_is_ending_is_judged_and_not_kept() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let process = rig.create_process(4242, Some(wide(SETUP)));
    rig.kernel().end_process(&process).unwrap();
    assert_eq!(judged(&mut rig, &process), Verdict::Detect);
    assert!(asks(&mut rig, &process));
    rig.unload().unwrap();
}

#[test]
fn a_process_that_ends_while_it_is_asked_about_is_not_kept() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let process = rig.create_process(4242, Some(wide(SETUP)));
    let (kernel, ending) = (rig.kernel().clone(), process.clone());
    rig.kernel().injector().meanwhile(LOCATE, move || kernel.end_process(&ending).unwrap());
    assert_eq!(judged(&mut rig, &process), Verdict::Detect);
    assert!(asks(&mut rig, &process));
    rig.unload().unwrap();
}

#[test]
fn a_full_table_says_nothing_wrong() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let image = |number: u64| if number.is_multiple_of(2) { Some(SETUP) } else { EXPLORER };
    let verdict =
        |number: u64| if number.is_multiple_of(2) { Verdict::Detect } else { Verdict::Allow };
    let processes: Vec<_> = (0..1_500)
        .map(|number| (number, rig.create_process(number, image(number).map(wide))))
        .collect();
    for _ in 0..2 {
        for (number, process) in &processes {
            assert_eq!(judged(&mut rig, process), verdict(*number), "process {number}");
        }
    }
    rig.unload().unwrap();
}

#[test]
fn what_other_rules_found_in_an_image_says_nothing_to_new_ones() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let process = rig.create_process(4242, Some(wide(SETUP)));
    for _ in 0..2 {
        assert_eq!(judged(&mut rig, &process), Verdict::Detect);
    }
    let rules = common::RULES.replace(r"C:\Downloads\", r"C:\Elsewhere\");
    let (name, file) = bench.file_of(&rules, 0, 2);
    rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    rig.listen(Interest::Everything).unwrap();
    for _ in 0..2 {
        assert_eq!(judged(&mut rig, &process), Verdict::Allow);
    }
    rig.unload().unwrap();
}

#[test]
fn a_volume_that_gets_another_letter_is_spelled_with_it() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let process = rig.create_process(4242, Some(wide(SETUP)));
    assert_eq!(judged(&mut rig, &process), Verdict::Detect);
    rig.machine().set_volume(r"\Device\HarddiskVolume3", Some('D'));
    rig.drop_files(std::iter::empty()).unwrap();
    rig.listen(Interest::Everything).unwrap();
    assert_eq!(judged(&mut rig, &process), Verdict::Allow);
    rig.unload().unwrap();
}

#[test]
fn without_being_told_of_the_end_of_processes_it_runs_all_the_same() {
    let Some(bench) = Bench::new() else { return };
    let (kernel, driver) = bench.boot().load().unwrap();
    kernel.injector().fail_api("PsSetCreateProcessNotifyRoutineEx", 1);
    assert!(driver.start().unwrap().is_success());
    assert_eq!(kernel.injector().hits().len(), 1);
    kernel.run_boot_reinitialization().unwrap();
    let process = kernel.create_process(kernel_host::ProcessSpec::default());
    kernel.create_named_pipe(&process, r"\x", Default::default()).unwrap();
    kernel.end_process(&process).unwrap();
    driver.unload().unwrap().assert_clean();
}
