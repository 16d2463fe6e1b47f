//! `kernel-host`: boots the real `saker.sys` in the model of the NT kernel and drives it.
//!
//! Exit codes: 0 done; 1 the driver, a file or the log was at fault, with a message; 2 the command
//! line is wrong.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> std::process::ExitCode {
    kernel_host_runner::cli::main()
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() -> std::process::ExitCode {
    eprintln!("kernel-host needs x86-64 Linux: it runs the driver in a process of its own");
    std::process::ExitCode::FAILURE
}
