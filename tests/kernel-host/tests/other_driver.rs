//! A driver that is not ours: `examples/quota`, a minifilter in C, built by mingw-w64 where that is
//! installed.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use kernel_host::{
    Bug, BugKind, Driver, Kernel, LeakReport, NtStatus, PipeEnd, PipeOptions, Process, ProcessSpec,
    Seeds,
};

const SERVICE: &str = r"\Registry\Machine\System\CurrentControlSet\Services\quota";
const QUOTA_EXCEEDED: NtStatus = NtStatus(0xC000_0044);
const TOOLS: &str = "x86_64-w64-mingw32";

/// Builds the driver; `None`, with a line that says so, without the compiler.
fn build(name: &str, flags: &[&str]) -> Option<PathBuf> {
    let found = Command::new(format!("{TOOLS}-gcc")).arg("--version").output();
    if !found.is_ok_and(|found| found.status.success()) {
        eprintln!("skipped: no {TOOLS}-gcc (Debian: gcc-mingw-w64-x86-64)");
        return None;
    }
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&out).expect("a folder for the driver");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quota/build.sh");
    let built = Command::new(script).arg(&out).args(flags).status().expect("a shell");
    assert!(built.success(), "quota.c does not compile");
    Some(out.join("quota.sys"))
}

fn start(kernel: &Kernel, path: &Path) -> Result<(Driver, NtStatus), Box<Bug>> {
    let driver = kernel.load(path).expect("the image is a driver");
    assert_eq!(driver.unresolved(), [] as [&str; 0]);
    let status = driver.start()?;
    Ok((driver, status))
}

fn process(kernel: &Kernel, pid: u64) -> Arc<Process> {
    kernel.create_process(ProcessSpec { pid, ..Default::default() })
}

/// A process makes an instance of a pipe.
fn create(
    kernel: &Kernel,
    process: &Arc<Process>,
) -> Result<(NtStatus, Option<PipeEnd>), Box<Bug>> {
    let outcome = kernel.create_named_pipe(process, r"\a", PipeOptions::default())?;
    Ok((outcome.status, outcome.end))
}

#[test]
fn it_counts_the_pipes_of_each_process() {
    let Some(path) = build("plain", &[]) else { return };
    for limit in [None, Some(2)] {
        let kernel = Kernel::builder().build();
        kernel.machine().install_minifilter("quota", "385300");
        if let Some(limit) = limit {
            kernel.machine().registry().set_dword(SERVICE, "Limit", limit);
        }
        let (driver, status) = start(&kernel, &path).unwrap_or_else(|bug| panic!("{bug}"));
        assert!(status.is_success());
        let (one, other) = (process(&kernel, 100), process(&kernel, 104));
        let status_of = |process| create(&kernel, process).unwrap_or_else(|bug| panic!("{bug}")).0;
        for _ in 0..limit.unwrap_or(4) {
            assert!(status_of(&one).is_success());
        }
        assert_eq!(status_of(&one), QUOTA_EXCEEDED);
        assert!(status_of(&other).is_success());
        kernel.end_process(&one).unwrap_or_else(|bug| panic!("{bug}"));
        // Another process has got the number.
        assert!(status_of(&process(&kernel, 100)).is_success());
        driver.unload().unwrap_or_else(|bug| panic!("{bug}")).assert_clean();
    }
}

#[test]
fn it_survives_any_one_failure() {
    let Some(path) = build("failures", &[]) else { return };
    for call in 1.. {
        let kernel = Kernel::builder().build();
        kernel.injector().fail_call(call);
        let run = || -> Result<LeakReport, Box<Bug>> {
            let (driver, status) = start(&kernel, &path)?;
            if !status.is_success() {
                return Ok(kernel.outstanding());
            }
            create(&kernel, &process(&kernel, 100))?;
            driver.unload()
        };
        run().unwrap_or_else(|bug| panic!("call {call}: {bug}")).assert_clean();
        if kernel.injector().hits().is_empty() {
            assert!(call > 4, "{call} calls of it can fail");
            return;
        }
    }
}

/// Two processes make a pipe and end, and the driver is unloaded meanwhile.
fn race(path: &Path, seed: u64) -> Result<LeakReport, Box<Bug>> {
    let kernel = Kernel::builder().seed(seed).build();
    let (driver, _) = start(&kernel, path)?;
    let live = |pid| {
        let process = process(&kernel, pid);
        create(&kernel, &process)?;
        kernel.end_process(&process)
    };
    kernel
        .race()
        .with("one", || live(100))
        .with("other", || live(104))
        .with("unload", || {
            driver.unload()?.assert_clean();
            Ok(())
        })
        .run()?;
    Ok(kernel.outstanding())
}

#[test]
fn its_bug_is_found_and_without_it_all_is_silent() {
    let (Some(right), Some(wrong)) = (build("right", &[]), build("wrong", &["-DBUGGY"])) else {
        return;
    };
    Seeds::new(200).each(|seed| race(&right, seed).map(|report| report.assert_clean()));
    let found = Seeds::new(200).find(|seed| race(&wrong, seed).err());
    let (seed, bug) = found.expect("a process ends at the wrong moment");
    // Whoever comes second reads what is freed, or frees it again.
    assert!(matches!(bug.kind, BugKind::Fault { .. } | BugKind::Pool(_)), "{bug}");
    assert!(bug.to_string().contains(&format!("seed {seed}, ")), "{bug}");
    assert!(bug.to_string().contains("of a freed block of 32 bytes 'Qota'"), "{bug}");
    // mingw-w64 makes no PDB: its own tool tells the line.
    assert!(line(&wrong, &bug).contains("quota.c:"), "{bug}");
}

/// Function and line of the innermost frame, which the report shows as `quota+0x…`.
fn line(path: &Path, bug: &Bug) -> String {
    let text = bug.to_string();
    let offset = text.split("quota+0x").nth(1).and_then(|rest| rest.split_whitespace().next());
    let offset = u64::from_str_radix(offset.expect("a frame of the driver"), 16).expect("a number");
    let headers = run(&format!("{TOOLS}-objdump"), &["-p".as_ref(), path.as_os_str()]);
    let base = headers.lines().find_map(|line| line.strip_prefix("ImageBase"));
    let base = u64::from_str_radix(base.expect("a base").trim(), 16).expect("a number");
    let address = format!("{:#x}", base + offset);
    run(
        &format!("{TOOLS}-addr2line"),
        &["-f".as_ref(), "-e".as_ref(), path.as_os_str(), address.as_ref()],
    )
}

fn run(tool: &str, arguments: &[&std::ffi::OsStr]) -> String {
    let output = Command::new(tool).args(arguments).output().expect("it comes with the compiler");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
