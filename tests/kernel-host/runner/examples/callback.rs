//! How long the driver's pre-operation callback takes with content in force, and the evaluation
//! alone, natively, of the same rules and event.
//!
//! ```text
//! cargo xtask build
//! cargo run --profile tools -p kernel-host-runner --example callback
//! ```

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() {}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::hint::black_box;
    use std::path::Path;

    use channel_compiler::{BuildOptions, SecretKey, build, load_rules, sign};
    use channel_format::anchor::Anchor;
    use channel_format::schema::{Field, Input, Inputs, SensorProfile};
    use channel_format::signature::Role;
    use kernel_host::{PipeOptions, Pool};
    use kernel_host_runner::rig::Boot;
    use loader::content::unverified;

    let Some(driver) = kernel_host::artifacts::path("saker.sys") else { return Ok(()) };
    let content = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../content");
    let rules = load_rules(&[content]).map_err(|errors| format!("{errors:?}"))?;
    let options =
        BuildOptions { channel: 291, epoch: 1, sequence: 1, created: 0, expires: 0, shrink: false };
    let key = SecretKey::from_seed([1; 32], Role::Content, true, 1..=u32::MAX)?;
    let mut file = build(&rules, &options).map_err(|errors| format!("{errors:?}"))?;
    sign(&mut file, &key)?;
    let anchor = Anchor::encode(&[], 0, &[key.public]).map_err(|refusal| refusal.to_string())?;

    let boot = Boot::new(&driver, &anchor);
    let mut rig = Boot { pool: Pool::Fast, ..boot }.boot()?;
    rig.drop_files([("C-00000291-00000001-00000001.sys", &file)].into_iter())?;
    rig.mature()?;

    let image = r"\Device\HarddiskVolume3\Windows\System32\svchost.exe";
    let process = rig.create_process(1204, Some(image.encode_utf16().collect()));
    let ruleset = unverified::ruleset(&file, &SensorProfile::CURRENT)
        .map_err(|refusal| refusal.to_string())?;
    println!("{} rules; the fastest of 2,000 rounds of 100, in nanoseconds", rules.len());
    for pipe in [
        r"\wkssvc",
        r"\LOCAL\mojo.4196.7148.17884900457725854428",
        r"\PSHost.1.DefaultAppDomain.powershell",
    ] {
        let name: Vec<u16> = pipe.encode_utf16().collect();
        let spelled: Vec<u16> = r"C:\Windows\System32\svchost.exe".encode_utf16().collect();
        let mut inputs = Inputs::unknown();
        inputs.set(Field::Operation, Input::Number(1));
        inputs.set(Field::PipeName, Input::Text(&name));
        inputs.set(Field::ImagePath, Input::Text(&spelled));
        inputs.set(Field::ImageName, Input::Text(&spelled[20..]));
        let evaluation = fastest(|| {
            black_box(ruleset.evaluate(black_box(&inputs), &mut |_, _| {}));
        });
        let operation = rig.kernel().prepare_create_named_pipe(
            &process,
            name.as_slice(),
            PipeOptions::default(),
        );
        let callback = fastest(|| {
            black_box(operation.run_pre().expect("the driver is sound"));
        });
        println!("{pipe:<44} evaluation {evaluation:>6.0}   callback {callback:>6.0}");
    }
    rig.unload()?;
    Ok(())
}

/// The fastest of many short rounds: one that nothing else of the machine came between.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn fastest(mut run: impl FnMut()) -> f64 {
    const ROUNDS: u32 = 2_000;
    const CALLS: u32 = 100;
    let rounds = (0..ROUNDS).map(|_| {
        let begun = std::time::Instant::now();
        for _ in 0..CALLS {
            run();
        }
        begun.elapsed().as_nanos() as f64 / f64::from(CALLS)
    });
    rounds.fold(f64::INFINITY, f64::min)
}
