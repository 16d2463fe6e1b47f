//! Links the driver as a kernel-mode image.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_WINDOWS").is_err() {
        return;
    }
    for argument in [
        "/DRIVER",
        "/SUBSYSTEM:NATIVE,10.0",
        "/ENTRY:DriverEntry",
        "/NODEFAULTLIB",
        "/OPT:REF,NOICF",
        "/DEBUG",
        "/MANIFEST:NO",
        "/PDBALTPATH:%_PDB%",
    ] {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
}
