//! Tries any driver: `cargo run -p kernel-host --example try_driver -- DRIVER.sys [SEEDS]`.
//!
//! It boots, lets two processes make, open and close pipes and end, and is unloaded: first in order,
//! then with each call that can fail failing once, then in as many orders of events as asked for.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use kernel_host::{Bug, Driver, Kernel, LeakReport, PipeOptions, ProcessSpec, Seeds};

    fn live(kernel: &Kernel, pid: u64) -> Result<(), Box<Bug>> {
        let process = kernel.create_process(ProcessSpec { pid, ..Default::default() });
        let server = kernel.create_named_pipe(&process, r"\some-pipe", PipeOptions::default())?;
        let client = kernel.connect_pipe(&process, r"\some-pipe", Default::default())?;
        drop((server, client));
        kernel.end_process(&process)
    }

    /// `None` when the driver did not want to start.
    fn boot(kernel: &Kernel, path: &str) -> Result<Option<Driver>, Box<dyn std::error::Error>> {
        let driver = kernel.load(path)?;
        let status = driver.start()?;
        kernel.run_boot_reinitialization()?;
        Ok(status.is_success().then_some(driver))
    }

    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("expected: try_driver DRIVER.sys [SEEDS]")?;
    let seeds: u64 = arguments.next().map_or(Ok(200), |seeds| seeds.parse())?;

    let kernel = Kernel::builder().echo(true).build();
    let driver = kernel.load(&path)?;
    println!("not modelled, and a report if it is called: {:?}", driver.unresolved());
    println!("DriverEntry: {}", driver.start()?);
    kernel.run_boot_reinitialization()?;
    for pid in [100, 104] {
        live(&kernel, pid)?;
    }
    let calls = kernel.injector().count();
    println!("unload: {}", said(&driver.unload()?));

    for call in 1..=calls {
        let kernel = Kernel::builder().build();
        kernel.injector().fail_call(call);
        if let Some(driver) = boot(&kernel, &path)? {
            live(&kernel, 100)?;
            driver.unload()?;
        }
        let left = kernel.outstanding();
        if !left.is_clean() {
            println!("with call {call} failing: {}", said(&left));
        }
    }
    println!("{calls} calls failed one by one");

    let failing = Seeds::within(0..seeds).find(|seed| {
        let kernel = Kernel::builder().seed(seed).build();
        let race = || -> Result<LeakReport, Box<dyn std::error::Error>> {
            let Some(driver) = boot(&kernel, &path)? else { return Ok(kernel.outstanding()) };
            let race = kernel.race().with("one", || live(&kernel, 100));
            let race = race.with("other", || live(&kernel, 104));
            race.with("unload", || driver.unload().map(drop)).run()?;
            Ok(kernel.outstanding())
        };
        match race() {
            Ok(left) if left.is_clean() => None,
            Ok(left) => Some(said(&left)),
            Err(error) => Some(error.to_string()),
        }
    });
    match failing {
        Some((seed, why)) => println!("seed {seed}: {why}"),
        None => println!("{seeds} orders of events: nothing found"),
    }

    fn said(report: &LeakReport) -> String {
        if report.is_clean() { "nothing is left".to_owned() } else { report.to_string() }
    }
    Ok(())
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() {}
