//! What the host costs: `cargo run --profile tools -p kernel-host --example overhead`.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use kernel_host::{Kernel, PipeOptions, Pool, ProcessSpec, artifacts};

    let Some(path) = artifacts::path("planted.sys") else {
        return Ok(());
    };
    for pool in [Pool::Fast, Pool::Special] {
        let kernel = Kernel::builder().pool(pool).build();
        let driver = kernel.load(&path)?;
        driver.start()?;
        kernel.run_boot_reinitialization()?;
        println!("{pool:?} pool");
        let nothing = driver.export("PlantedNothing").ok_or("no export")?;
        let call = best(1_000, || nothing.call(&[]).unwrap_or(0));
        println!("  call into the driver and back,                 {call:8.1} ns");
        const IMPORTS: u32 = 1_000;
        let imports =
            best(2, || driver.call_export("PlantedImports", &[u64::from(IMPORTS)]).unwrap_or(0));
        println!(
            "  one import call                                {:8.1} ns",
            imports / f64::from(IMPORTS)
        );
        driver.unload()?.assert_clean();
        let Some(saker) = artifacts::path("saker.sys") else {
            continue;
        };
        let file = std::fs::read(&saker)?;
        let load = (0..50).map(|_| load(&file)).min().unwrap_or_default();
        println!(
            "  saker.sys, mapping the image without symbols   {:8.1} µs",
            load.as_nanos() as f64 / 1e3
        );
        let driver = kernel.load(&saker)?;
        driver.start()?;
        kernel.run_boot_reinitialization()?;
        let process = kernel.create_process(ProcessSpec { pid: 9, ..Default::default() });
        let options = PipeOptions::default();
        let operation = kernel.prepare_create_named_pipe(&process, r"\bench", options);
        let pre = best(20, || u64::from(operation.run_pre().is_ok()));
        println!("  saker.sys, pre-operation callback, no content  {pre:8.1} ns");
        let whole = best(20, || u64::from(operation.run().is_ok()));
        println!("  saker.sys, whole named-pipe creation           {whole:8.1} ns");
        driver.unload()?.assert_clean();
    }
    Ok(())
}

/// Maps an image in a new kernel.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn load(file: &[u8]) -> std::time::Duration {
    let kernel = kernel_host::Kernel::builder().build();
    let start = std::time::Instant::now();
    let driver = kernel.load_bytes(file, "saker");
    let took = start.elapsed();
    assert!(driver.is_ok(), "the image is a driver");
    took
}

/// A call in the best of many short rounds: others use the processor too.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn best(count: u32, mut run: impl FnMut() -> u64) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..1_000 {
        let start = std::time::Instant::now();
        for _ in 0..count {
            std::hint::black_box(run());
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(count));
    }
    best
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() {}
