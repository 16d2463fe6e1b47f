//! How much pool the driver takes, as docs/memory.md states it.
//!
//! ```text
//! cargo xtask build
//! cargo run --profile tools -p kernel-host-runner --example memory
//! ```

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() {}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::path::Path;

    use channel_compiler::{BuildOptions, SecretKey, build, load_rules, sign};
    use channel_format::anchor::Anchor;
    use channel_format::signature::Role;
    use driver_abi::Interest;
    use kernel_host_runner::rig::Boot;

    let Some(driver) = kernel_host::artifacts::path("saker.sys") else { return Ok(()) };
    let content = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../content");
    let rules = load_rules(&[content]).map_err(|errors| format!("{errors:?}"))?;
    let key = SecretKey::from_seed([1; 32], Role::Content, true, 1..=u32::MAX)?;
    let anchor = Anchor::encode(&[], 0, &[key.public]).map_err(|refusal| refusal.to_string())?;
    let file = |sequence| -> Result<(String, Vec<u8>), Box<dyn std::error::Error>> {
        let options = BuildOptions {
            channel: 291,
            epoch: 1,
            sequence,
            created: 0,
            expires: 0,
            shrink: false,
        };
        let mut file = build(&rules, &options).map_err(|errors| format!("{errors:?}"))?;
        sign(&mut file, &key)?;
        Ok((format!("C-00000291-00000001-{sequence:08}.sys"), file))
    };

    let mut rig = Boot::new(&driver, &anchor).boot()?;
    let say = |rig: &kernel_host_runner::rig::Rig, when: &str| {
        let marks = rig.kernel().pool_marks();
        let kb = |bytes: usize| bytes.div_ceil(1024);
        println!(
            "{when:<44} nonpaged {:>6} KB, at most {:>6} KB; paged {:>6} KB, at most {:>6} KB",
            kb(marks.nonpaged),
            kb(marks.most_nonpaged),
            kb(marks.paged),
            kb(marks.most_paged)
        );
    };
    say(&rig, "started, one client");
    let first = file(1)?;
    println!("a file of {} rules has {} KB", rules.len(), first.1.len().div_ceil(1024));
    rig.drop_files([(first.0.as_str(), &first.1)].into_iter())?;
    say(&rig, "the file in force");
    let second = file(2)?;
    rig.drop_files([(second.0.as_str(), &second.1)].into_iter())?;
    say(&rig, "swapped for another of that size");
    rig.listen(Interest::Everything)?;
    for pid in 0..5_000_u64 {
        let image = format!(r"\Device\HarddiskVolume3\Programs\{pid}\program.exe");
        let process = rig.create_process(4 * pid + 8, Some(image.encode_utf16().collect()));
        rig.create_pipe(&process, &r"\mojo.1.2.3".encode_utf16().collect::<Vec<_>>())?;
    }
    say(&rig, "events of 5,000 processes, all told");
    rig.unload()?;
    Ok(())
}
