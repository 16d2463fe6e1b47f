//! What Driver Verifier has codes for, beside what `planted.rs` shows: locks and their order, things
//! of the system in memory that goes, contexts, the stack. Each is caught with its function and
//! source line, and right use of the same is silent.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::sync::Arc;
use std::time::Duration;

use kernel_host::machine::Pace;
use kernel_host::{
    Access, Bug, BugKind, Driver, Kernel, Leak, LeakReport, Outcome, PipeOptions, ProcessSpec,
    Seeds, artifacts,
};

const PARAMETERS: &str = r"\Registry\Machine\System\CurrentControlSet\Services\planted\Parameters";

/// The number of the first in the planted driver: behind its `bugs` and `races`.
const FIRST: u32 = 48;

/// The order of `checks::RUN` in the planted driver.
const NAMES: [&str; 37] = [
    "checks_control",
    "paged_free_at_dispatch",
    "freed_elsewhere",
    "executable_pool",
    "paged_touched",
    "spin_recursion",
    "lock_order",
    "mutex_left",
    "mutex_at_dispatch",
    "resource_without_region",
    "resource_in_freed",
    "resource_left",
    "push_lock_without_region",
    "invalid_handle",
    "odd_string",
    "paged_event",
    "trace_unregistered_twice",
    "memcpy_overlap",
    "stack_switched",
    "fast_fail",
    "timer_left",
    "timer_in_freed",
    "dpc_waits",
    "work_item_left",
    "work_item_freed_queued",
    "lookaside_left",
    "lookaside_twice",
    "post_callback_missing",
    "completed_pending",
    "name_released_twice",
    "name_left",
    "context_left",
    "context_after_free",
    "status_on_stack",
    "uninitialised_number",
    "frame_overrun",
    "added_without_lock",
];

struct Run {
    kernel: Arc<Kernel>,
    driver: Driver,
    outcome: Result<Outcome, Box<Bug>>,
}

/// Boots the driver with one bug and lets its callback run it. `None` when it is not built.
fn run(name: &str, seed: Option<u64>) -> Option<Run> {
    let path = artifacts::path("planted.sys")?;
    let number = NAMES.iter().position(|known| *known == name).expect("a known bug");
    let mut builder = Kernel::builder().hang_limit(Duration::from_millis(500));
    if let Some(seed) = seed {
        builder = builder.seed(seed);
    }
    let kernel = builder.build();
    kernel.machine().install_minifilter("planted", "385291");
    kernel.machine().registry().set_dword(PARAMETERS, "Bug", FIRST + number as u32);
    kernel.machine().disk().write(r"\SystemRoot\planted.bin", b"planted!");
    kernel.machine().disk().set_pace(Pace::Takes(Duration::from_secs(1)));
    let driver = kernel.load(path).expect("the image is a driver");
    assert_eq!(driver.unresolved(), ["ntoskrnl.exe!KePlantedNonsense"]);
    let status = driver.start().unwrap_or_else(|bug| panic!("{name}: {bug}"));
    assert!(status.is_success(), "{name}: {status}");
    let process = kernel.create_process(ProcessSpec { pid: 77, ..Default::default() });
    let outcome = kernel.create_named_pipe(&process, r"\planted", PipeOptions::default());
    Some(Run { kernel, driver, outcome })
}

/// The report of a bug that ends a callback; `function` is to blame.
fn bug_of(name: &str, function: &str, seed: Option<u64>) -> Option<Bug> {
    let run = run(name, seed)?;
    let Err(bug) = run.outcome else { panic!("{name} was not caught") };
    let text = bug.to_string();
    assert!(bug.blames(function), "{function} is not blamed:\n{text}");
    let file = if function.starts_with("pre_") { "lib.rs:" } else { "checks.rs:" };
    assert!(text.contains(file), "no source line:\n{text}");
    Some(*bug)
}

fn bug(name: &str) -> Option<Bug> {
    bug_of(name, &format!("checks::{name}"), None)
}

/// Misuse of an API, said in such words.
fn misuse(name: &str, words: &str) {
    let Some(bug) = bug(name) else { return };
    let said = matches!(&bug.kind, BugKind::Misuse { why, .. } if why.contains(words));
    assert!(said, "{name}: {bug}");
}

/// What is left at unload.
fn leak(name: &str, what: &str) {
    let Some(run) = run(name, None) else { return };
    run.outcome.unwrap_or_else(|bug| panic!("{name}: {bug}"));
    let report = run.driver.unload().unwrap_or_else(|bug| panic!("{name}: {bug}"));
    let LeakReport { leaks, refused: None } = report else { panic!("{name}: refused") };
    let found: Vec<&Leak> = leaks.iter().filter(|leak| leak.what.starts_with(what)).collect();
    assert_eq!(found.len(), 1, "{name}: {leaks:?}");
    assert!(found[0].blames(&format!("checks::{name}")), "{name}: {}", found[0]);
    assert!(found[0].to_string().contains("checks.rs:"), "{name}: {}", found[0]);
}

/// Right use of everything, with the machine's own threads and with fifty orders of events.
#[test]
fn the_control_is_silent() {
    let silent = |seed| {
        let Some(run) = run("checks_control", seed) else { return Ok(()) };
        let status = run.outcome?.status;
        assert!(status.is_success(), "{status}");
        run.driver.unload()?.assert_clean();
        run.kernel.check()
    };
    silent(None).unwrap_or_else(|bug: Box<Bug>| panic!("{bug}"));
    Seeds::new(50).each(|seed| silent(Some(seed)));
}

#[test]
fn pool_is_watched() {
    let Some(paged) = bug("paged_free_at_dispatch") else { return };
    assert!(matches!(paged.kind, BugKind::Irql { current: 2, maximum: 1, .. }), "{paged}");
    let elsewhere = bug("freed_elsewhere").expect("the driver is built");
    assert!(matches!(&elsewhere.kind, BugKind::Pool(why) if why.contains("no pool block")));
    misuse("executable_pool", "executable pool");
}

/// Only with a seed, where one thread runs at a time: then its pageable memory is paged out.
#[test]
fn paged_memory_at_dispatch_level_is_caught() {
    let Some(touched) = bug_of("paged_touched", "checks::paged_touched", Some(1)) else { return };
    assert!(matches!(touched.kind, BugKind::Fault { access: Access::Read, .. }), "{touched}");
    assert!(touched.to_string().contains("of paged pool, at DISPATCH_LEVEL or above"), "{touched}");
}

#[test]
fn locks_are_watched() {
    misuse("spin_recursion", "already held by this thread");
    misuse("lock_order", "taken after this lock before");
    misuse("resource_without_region", "enter a critical region");
    misuse("push_lock_without_region", "enter a critical region");
    let Some(mutex) = bug("mutex_at_dispatch") else { return };
    let expected = BugKind::Irql { api: "ExAcquireFastMutex", current: 2, maximum: 1 };
    assert_eq!(mutex.kind, expected);
    let left = bug_of("mutex_left", "pre_create_named_pipe", None).expect("the driver is built");
    assert_eq!(left.kind, BugKind::LockHeld { what: "fast mutex" });
    assert!(left.to_string().contains("checks.rs:"), "where it was taken:\n{left}");
}

#[test]
fn what_the_system_still_uses_must_not_go() {
    misuse("resource_in_freed", "the block holds something in use: resource not deleted");
    misuse("timer_in_freed", "the block holds something in use: timer still running");
    misuse("work_item_freed_queued", "the work item is queued");
    misuse("lookaside_twice", "initialised already");
    misuse("paged_event", "lies in paged pool");
    leak("resource_left", "resource not deleted");
    leak("timer_left", "timer still running");
    leak("work_item_left", "work item");
    leak("lookaside_left", "lookaside list not deleted");
    leak("name_left", "file name information");
    leak("context_left", "context reference");
}

#[test]
fn handles_and_strings_are_watched() {
    misuse("invalid_handle", "invalid handle 0x1238");
    misuse("odd_string", "malformed UNICODE_STRING: Length 7");
    misuse("trace_unregistered_twice", "no registered provider");
    misuse("name_released_twice", "released more often");
}

#[test]
fn callbacks_answer_as_they_may() {
    for (name, words) in [
        ("post_callback_missing", "a post-operation callback was asked for"),
        ("completed_pending", "completed with a status that is not allowed"),
    ] {
        let Some(bug) = bug_of(name, "pre_create_named_pipe", None) else { return };
        assert!(matches!(&bug.kind, BugKind::Filter(why) if why.contains(words)), "{bug}");
    }
}

#[test]
fn contexts_and_requests_end_when_they_end() {
    let Some(context) = bug("context_after_free") else { return };
    assert!(matches!(context.kind, BugKind::Fault { access: Access::Read, .. }), "{context}");
    assert!(context.to_string().contains("of a freed block of 16 bytes"), "{context}");
    let request =
        bug_of("status_on_stack", "pre_create_named_pipe", None).expect("the driver is built");
    assert_eq!(request.kind, BugKind::RequestOnStack);
}

#[test]
fn the_processor_s_own_checks_are_named() {
    misuse("memcpy_overlap", "overlap");
    misuse("stack_switched", "not the thread's");
    let Some(fail) = bug("fast_fail") else { return };
    assert_eq!(fail.kind, BugKind::FastFail { code: 2 });
}

/// So that the README says what is not seen: who makes the host see one of these moves its line.
#[test]
fn three_kinds_are_not_seen() {
    for name in ["uninitialised_number", "frame_overrun", "added_without_lock"] {
        let Some(run) = run(name, None) else { return };
        run.outcome.unwrap_or_else(|bug| panic!("{name} is seen now: {bug}"));
        run.driver.unload().unwrap_or_else(|bug| panic!("{bug}")).assert_clean();
    }
}

#[test]
fn a_deferred_call_may_not_wait() {
    let Some(run) = run("dpc_waits", None) else { return };
    assert!(run.outcome.is_err());
    let bug = run.kernel.crash_report().expect("it stops the kernel");
    let expected = BugKind::Irql { api: "a blocking wait", current: 2, maximum: 1 };
    assert_eq!(bug.kind, expected);
    assert!(bug.blames("checks::waits_in_dpc") && bug.thread == "processor", "{bug}");
}
