//! `sakerctl`: Saker's command for user mode. All of it is in the library `loader`.

use std::process::ExitCode;

fn main() -> ExitCode {
    loader::cli::main()
}
