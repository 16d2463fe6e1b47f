//! Link settings of the driver, and the bindings to the filter manager.
//!
//! `wdk-sys` binds the kernel's base headers but not `fltKernel.h`, so this script does, with the
//! same `bindgen` settings, into `$OUT_DIR/flt.rs`. Only items of the filter manager's own headers
//! are generated; every other name is `wdk-sys`'s (see `src/ffi/bindings.rs`), so that a
//! `PFILE_OBJECT` here and there is one type.
//!
//! On Windows `wdk-build` is the published crate and the header is the WDK's. On Linux
//! `cargo xtask` puts `xtask/wdk-linux` in their place; this script does not know the difference.

use std::env;
use std::error::Error;
use std::path::Path;

use bindgen::callbacks::{DeriveTrait, ImplementsTrait, ParseCallbacks};
use wdk_build::{ApiSubset, BuilderExt as _, Config};

/// `fltKernel.h` pulls in `initguid.h`, behind which every GUID of every header is *defined*
/// rather than declared. Taking that header first and undoing its effect keeps them declared.
const GUID_GUARD: &str = "#include <initguid.h>\n#undef INITGUID\n#include <guiddef.h>\n";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-lib=static:-bundle=fltMgr");
    wdk_build::configure_wdk_binary_build()?;

    let config = Config::from_env_auto()?;
    let mut header = String::from(GUID_GUARD);
    header.push_str(&config.bindgen_header_contents([ApiSubset::Base])?);
    header.push_str("#include <fltKernel.h>\n");

    let out_dir = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: not run by cargo")?;
    bindgen::Builder::wdk_default(&config)?
        .header_contents("flt-input.h", &header)
        .allowlist_file("(?i).*flt(kernel|userstructures)\\.h")
        .allowlist_recursively(false)
        .parse_callbacks(Box::new(WdkTypes))
        .generate()?
        .write_to_file(Path::new(&out_dir).join("flt.rs"))?;
    Ok(())
}

/// What bindgen may believe of the types that `wdk-sys` generates: all plain C data. Without this
/// it would take them for unknown and build its unions out of bytes.
#[derive(Debug)]
struct WdkTypes;

impl ParseCallbacks for WdkTypes {
    fn blocklisted_type_implements_trait(
        &self,
        _name: &str,
        derive: DeriveTrait,
    ) -> Option<ImplementsTrait> {
        match derive {
            DeriveTrait::Copy => Some(ImplementsTrait::Yes),
            DeriveTrait::Default => Some(ImplementsTrait::Manually),
            _ => Some(ImplementsTrait::No),
        }
    }
}
