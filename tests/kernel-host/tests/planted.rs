//! Every planted bug is caught, with the function and a source line; the control is silent.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kernel_host::{
    Access, Bug, BugKind, Driver, Kernel, Leak, LeakReport, Outcome, PipeOptions, Pool,
    ProcessSpec, artifacts,
};

const PARAMETERS: &str = r"\Registry\Machine\System\CurrentControlSet\Services\planted\Parameters";

/// The order of `bugs::RUN` in the planted driver.
const NAMES: [&str; 40] = [
    "control",
    "overrun",
    "overrun_slack",
    "underrun",
    "use_after_free",
    "double_free",
    "wrong_tag",
    "zero_size",
    "pool_leak",
    "paged_at_dispatch",
    "zw_at_dispatch",
    "wait_at_dispatch",
    "irql_not_restored",
    "handle_leak",
    "push_lock_leak",
    "push_lock_recursion",
    "thread_not_joined",
    "object_leak",
    "over_dereference",
    "rundown_leak",
    "stack_overflow",
    "null_write",
    "read_only_write",
    "privileged",
    "endless_loop",
    "user_handle",
    "critical_region",
    "completion_context",
    "panics",
    "bad_pointer",
    "uninitialised_event",
    "not_modelled",
    "fault_in_thread",
    "push_lock_unknown",
    "trace_leak",
    "trace_malformed",
    "crash_callback_leak",
    "crash_callback_calls",
    "swallows_opens",
    "pipe_as_system",
];

struct Run {
    kernel: Arc<Kernel>,
    driver: Driver,
    outcome: Result<Outcome, Box<Bug>>,
}

/// Boots the driver with one bug and lets its callback run it. `None` when it is not built.
fn run(name: &str) -> Option<Run> {
    let path = artifacts::path("planted.sys")?;
    Some(run_with(&path, name, Pool::Special))
}

fn run_with(path: &Path, name: &str, pool: Pool) -> Run {
    let number = NAMES.iter().position(|known| *known == name).expect("a known bug");
    let kernel = Kernel::builder().pool(pool).hang_limit(Duration::from_millis(500)).build();
    kernel.machine().install_minifilter("planted", "385291");
    kernel.machine().registry().set_dword(PARAMETERS, "Bug", number as u32);
    let driver = kernel.load(path).expect("the image is a driver");
    let status = driver.start().unwrap_or_else(|bug| panic!("{name}: {bug}"));
    assert!(status.is_success(), "{name}: {status}");
    let process = kernel.create_process(ProcessSpec { pid: 77, ..Default::default() });
    let outcome = kernel.create_named_pipe(&process, r"\planted", PipeOptions::default());
    Run { kernel, driver, outcome }
}

/// The report of a bug that ends the callback.
fn bug(name: &str) -> Option<Bug> {
    let run = run(name)?;
    let Err(bug) = run.outcome else { panic!("{name} was not caught") };
    let text = bug.to_string();
    assert!(bug.blames(&format!("bugs::{name}")), "{name} is not blamed:\n{text}");
    assert!(text.contains("bugs.rs:"), "no source line:\n{text}");
    Some(*bug)
}

/// The report of a bug that shows at unload.
fn leak(name: &str) -> Option<Leak> {
    let run = run(name)?;
    run.outcome.unwrap_or_else(|bug| panic!("{name}: {bug}"));
    let report = run.driver.unload().unwrap_or_else(|bug| panic!("{name}: {bug}"));
    let LeakReport { leaks, refused: None } = report else { panic!("{name}: refused") };
    assert_eq!(leaks.len(), 1, "{leaks:?}");
    let leak = leaks.into_iter().next()?;
    if name != "rundown_leak" {
        assert!(leak.blames(&format!("bugs::{name}")), "{name} is not blamed:\n{leak}");
        assert!(leak.to_string().contains("bugs.rs:"), "no source line:\n{leak}");
    }
    Some(leak)
}

#[test]
fn control_is_silent() {
    let Some(path) = artifacts::path("planted.sys") else {
        return;
    };
    for pool in [Pool::Special, Pool::Fast] {
        let run = run_with(&path, "control", pool);
        let outcome = run.outcome.unwrap_or_else(|bug| panic!("{bug}"));
        assert!(outcome.status.is_success());
        run.driver.unload().unwrap_or_else(|bug| panic!("{bug}")).assert_clean();
        let log = run.kernel.debug_log();
        assert_eq!(log.last().unwrap(), "planted: control ran, 42 text\n");
        assert!(log[0].ends_with("Services\\planted\n"), "{log:?}");
    }
}

#[test]
fn pool_bugs_are_caught() {
    let Some(overrun) = bug("overrun") else {
        return;
    };
    assert!(matches!(overrun.kind, BugKind::Fault { access: Access::Write, .. }));
    assert!(overrun.to_string().contains("offset +64 of a live block of 64 bytes 'PlnT'"));
    let text = bug("overrun_slack").unwrap().to_string();
    assert!(text.contains("offset +61"), "{text}");
    let underrun = bug("underrun").unwrap();
    assert!(underrun.to_string().contains("offset -1 of a live block"), "{underrun}");
    let freed = bug("use_after_free").unwrap();
    assert!(matches!(freed.kind, BugKind::Fault { access: Access::Read, .. }));
    let text = freed.to_string();
    assert!(text.contains("offset +3 of a freed block"), "{text}");
    assert!(text.contains("\n  allocated\n") && text.contains("\n  freed\n"), "{text}");
    let twice = bug("double_free").unwrap();
    assert!(matches!(&twice.kind, BugKind::Pool(why) if why.contains("double free")), "{twice}");
    let tag = bug("wrong_tag").unwrap();
    assert!(matches!(&tag.kind, BugKind::Pool(why) if why.contains("'Othr'")), "{tag}");
    let zero = bug("zero_size").unwrap();
    assert!(matches!(&zero.kind, BugKind::Misuse { why, .. } if why.contains("zero bytes")));
}

#[test]
fn irql_bugs_are_caught() {
    let Some(paged) = bug("paged_at_dispatch") else {
        return;
    };
    assert!(matches!(paged.kind, BugKind::Irql { current: 2, maximum: 1, .. }), "{paged}");
    let zw = bug("zw_at_dispatch").unwrap();
    let expected = BugKind::Irql { api: "ZwOpenKey", current: 2, maximum: 0 };
    assert_eq!(zw.kind, expected);
    let wait = bug("wait_at_dispatch").unwrap();
    assert!(matches!(wait.kind, BugKind::Irql { current: 2, maximum: 1, .. }), "{wait}");
}

/// Found after the callback has returned, so the callback is blamed.
#[test]
fn what_a_callback_leaves_behind_is_caught() {
    for name in ["irql_not_restored", "push_lock_leak", "critical_region", "completion_context"] {
        let Some(run) = run(name) else { return };
        let Err(bug) = run.outcome else { panic!("{name} was not caught") };
        assert!(bug.blames("pre_create_named_pipe"), "{name}: {bug}");
        let expected = match name {
            "irql_not_restored" => {
                matches!(bug.kind, BugKind::IrqlNotRestored { before: 0, after: 2 })
            }
            "push_lock_leak" => {
                let site = bug.notes.iter().flat_map(|note| &note.frames);
                let mut functions = site.flat_map(|frame| frame.functions());
                assert!(functions.any(|function| function.name.contains(name)), "{bug}");
                bug.kind == BugKind::LockHeld { what: "push lock" }
            }
            "critical_region" => bug.kind == BugKind::ApcCount { before: 0, after: -1 },
            _ => matches!(&bug.kind, BugKind::Filter(why) if why.contains("context")),
        };
        assert!(expected, "{name}: {bug}");
    }
}

#[test]
fn leaks_are_caught_at_unload() {
    let Some(pool) = leak("pool_leak") else {
        return;
    };
    assert_eq!(pool.what, "pool block of 333 bytes 'PlnT'");
    assert!(leak("handle_leak").unwrap().what.starts_with("handle"));
    assert!(leak("object_leak").unwrap().what.starts_with("object reference"));
    assert!(leak("rundown_leak").unwrap().what.starts_with("1 rundown references"));
    assert!(leak("trace_leak").unwrap().what.starts_with("event tracing provider"));
    assert!(leak("crash_callback_leak").unwrap().what.starts_with("bug check callback"));
    assert!(leak("thread_not_joined").unwrap().what.contains("thread still running"));
}

#[test]
fn faults_are_caught() {
    let Some(null) = bug("null_write") else {
        return;
    };
    assert_eq!(null.kind, BugKind::Fault { access: Access::Write, address: 0x10 });
    let constant = bug("read_only_write").unwrap();
    assert!(matches!(constant.kind, BugKind::Fault { access: Access::Write, .. }));
    assert_eq!(bug("privileged").unwrap().kind, BugKind::GeneralProtection);
    assert_eq!(bug("bad_pointer").unwrap().kind, BugKind::BadPointer { address: 0x5000 });
    let panic = bug("panics").unwrap();
    assert_eq!(panic.kind, BugKind::BugCheck { code: 0xE0, parameters: [1, 2, 3, 4] });
    let nonsense = bug("not_modelled").unwrap();
    let name = "ntoskrnl.exe!KePlantedNonsense".to_owned();
    assert_eq!(nonsense.kind, BugKind::Unresolved { name });
}

#[test]
fn stack_overflow_and_endless_loops_are_caught() {
    let Some(run) = run("stack_overflow") else {
        return;
    };
    let Err(overflow) = run.outcome else { panic!("not caught") };
    assert_eq!(overflow.kind, BugKind::StackOverflow);
    assert!(overflow.blames("bugs::deeper"), "{overflow}");
    assert_eq!(bug("endless_loop").unwrap().kind, BugKind::Hang);
}

#[test]
fn api_misuse_is_caught() {
    for name in [
        "push_lock_recursion",
        "push_lock_unknown",
        "over_dereference",
        "user_handle",
        "uninitialised_event",
        "trace_malformed",
        "pipe_as_system",
    ] {
        let Some(bug) = bug(name) else { return };
        assert!(matches!(bug.kind, BugKind::Misuse { .. }), "{name}: {bug}");
    }
}

/// Where all other processors are stopped, a call may hang or fault.
#[test]
fn a_call_from_a_bug_check_callback_is_caught() {
    let Some(run) = run("crash_callback_calls") else {
        return;
    };
    run.outcome.unwrap_or_else(|bug| panic!("{bug}"));
    let bug = run.kernel.bug_check(4096).unwrap_err();
    let expected = matches!(&bug.kind, BugKind::Misuse { api: "KeQueryUnbiasedInterruptTime", .. });
    assert!(expected && bug.blames("bugs::asks_for_the_time"), "{bug}");
    // The one that says nothing is no bug, and adds nothing.
    let silent = self::run("crash_callback_leak").expect("the driver is built");
    silent.outcome.unwrap_or_else(|bug| panic!("{bug}"));
    assert_eq!(silent.kernel.bug_check(4096).unwrap(), []);
}

#[test]
fn a_bug_in_a_driver_thread_stops_the_kernel() {
    let Some(run) = run("fault_in_thread") else {
        return;
    };
    assert!(run.outcome.is_err());
    let bug = run.kernel.crash_report().expect("the thread's bug is kept");
    assert_eq!(bug.kind, BugKind::Fault { access: Access::Write, address: 0x10 });
    assert!(bug.blames("bugs::null_write") && bug.thread == "planted thread", "{bug}");
    assert!(run.driver.unload().is_err(), "a crashed kernel runs nothing more");
}

/// Several kernels in one process, each with its own bug, at once.
#[test]
fn kernels_do_not_disturb_each_other() {
    let Some(path) = artifacts::path("planted.sys") else {
        return;
    };
    let path: Arc<PathBuf> = Arc::new(path);
    let threads: Vec<_> = (0..8)
        .map(|index| {
            let path = path.clone();
            std::thread::spawn(move || {
                for round in 0..5 {
                    let name =
                        ["control", "overrun", "fault_in_thread", "pool_leak"][(index + round) % 4];
                    let run = run_with(&path, name, Pool::Special);
                    assert_eq!(run.outcome.is_err(), matches!((index + round) % 4, 1 | 2));
                    if name == "control" {
                        run.driver.unload().unwrap().assert_clean();
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no kernel fails because of another");
    }
}
