//! `bindgen::Builder` set up as the published crate does, for clang's mingw target.

use std::borrow::Borrow;
use std::env;
use std::fmt;
use std::path::Path;

use bindgen::{Builder, EnumVariation, Formatter, RustEdition, RustTarget};

use crate::{Config, ConfigError, own_include_dir};

/// The Rust version that generated code may rely on; the published crate's `rust-version`.
const GENERATE_FOR_MINOR: u64 = 91;

/// An extension of `bindgen::Builder`.
pub trait BuilderExt {
    /// A builder with the defaults for generating bindings to the WDK.
    fn wdk_default(config: impl Borrow<Config> + fmt::Debug) -> Result<Builder, ConfigError>;
}

impl BuilderExt for Builder {
    fn wdk_default(config: impl Borrow<Config> + fmt::Debug) -> Result<Builder, ConfigError> {
        let config = config.borrow();
        let rust_target = RustTarget::stable(GENERATE_FOR_MINOR, 0).map_err(|error| {
            ConfigError::MsrvNotSupportedByBindgen { reason: error.to_string() }
        })?;
        let includes =
            config.include_paths()?.map(|path| format!("--include-directory={}", path.display()));
        let defines = config.preprocessor_definitions().map(|(name, value)| match value {
            Some(value) => format!("--define-macro={name}={value}"),
            None => format!("--define-macro={name}"),
        });
        let forced = own_include_dir().join("newer-than-mingw.h");

        let builder = Builder::default()
            .use_core()
            .derive_default(true)
            .generate_cstr(true)
            .default_enum_style(EnumVariation::ModuleConsts)
            .must_use_type("NTSTATUS")
            .must_use_type("HRESULT")
            .clang_args(CLANG_FLAGS)
            .clang_args(resource_dir())
            .clang_args(includes)
            .clang_args(defines)
            .clang_args(["-include".to_owned(), forced.display().to_string()])
            .blocklist_item("ExAllocatePoolWithTag")
            .blocklist_item("ExAllocatePoolWithQuotaTag")
            .blocklist_item("ExAllocatePoolWithTagPriority")
            .blocklist_item("ExAllocatePool")
            .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()))
            .formatter(Formatter::Prettyplease)
            .rust_target(rust_target)
            .rust_edition(RustEdition::Edition2024);
        Ok(MINGW_ONLY.iter().fold(builder, |builder, item| builder.blocklist_item(item)))
    }
}

/// Tells libclang where clang's own headers are: in `clang/<version>` beside it. libclang looks
/// beside the file it was loaded from, which a link may have led elsewhere.
fn resource_dir() -> Vec<String> {
    let Some(libclang) = env::var_os("LIBCLANG_PATH") else {
        return Vec::new();
    };
    let Ok(entries) = Path::new(&libclang).join("clang").read_dir() else {
        return Vec::new();
    };
    let mut versions: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("include/mm_malloc.h").is_file())
        .collect();
    versions.sort();
    let newest = versions.pop().map(|path| path.display().to_string());
    newest.into_iter().flat_map(|path| ["-resource-dir".to_owned(), path]).collect()
}

/// As for MSVC's headers, except that mingw's are written for GCC: Microsoft's extensions are on,
/// its compatibility mode is not.
const CLANG_FLAGS: [&str; 4] =
    ["--target=x86_64-w64-mingw32", "-fno-builtin", "-fms-extensions", "-w"];

/// Items of clang's and mingw's own headers that the WDK does not have and Rust cannot express.
const MINGW_ONLY: [&str; 2] = [".*tile1024i.*", "_?_?(mingw|MINGW).*"];
