//! Linux stand-in for the published `wdk-build` 0.6.
//!
//! The build scripts of `wdk`, `wdk-sys`, `wdk-alloc`, `wdk-panic` and of the drivers ask `wdk-build`
//! where the WDK is. The published crate compiles on Windows only and finds an installed WDK; this
//! one answers the same questions with
//!
//! * the NT headers of mingw-w64, plus `../include` for what they lack,
//! * import libraries that `cargo xtask` makes from `../def/*.def`,
//! * the link arguments of the Windows build, written for LLD.
//!
//! Only what those build scripts use is here, and only the WDM driver model on x86-64. `cargo xtask`
//! puts this crate in the published one's place with `--config patch.crates-io.wdk-build.path=…`;
//! on Windows nothing refers to it.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

mod bindgen_defaults;

pub use bindgen_defaults::BuilderExt;

/// The folder of import libraries, set by `cargo xtask`.
const LIBRARY_DIR: &str = "SAKER_WDK_LIB_DIR";

/// The folder of mingw-w64's headers, when it is none of the usual ones; set by `cargo xtask`.
const MINGW_INCLUDE_DIR: &str = "SAKER_MINGW_INCLUDE_DIR";

/// What went wrong while a build was configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file operation failed.
    #[error(transparent)]
    IoError(#[from] IoError),
    /// A folder that must exist does not.
    #[error("cannot find directory: {directory}")]
    DirectoryNotFound {
        /// The folder that was looked for.
        directory: String,
    },
    /// The build was not started by `cargo xtask`.
    #[error("{variable} is not set: on Linux the driver is built with `cargo xtask build`")]
    NotStartedByXtask {
        /// The environment variable that should have been set.
        variable: &'static str,
    },
    /// The C runtime is not linked statically, which a driver needs.
    #[error("the target feature crt-static is off: build with `-C target-feature=+crt-static`")]
    StaticCrtNotEnabled,
    /// bindgen cannot generate for the Rust version asked of it.
    #[error("bindgen does not know the Rust version to generate for: {reason}")]
    MsrvNotSupportedByBindgen {
        /// What bindgen said.
        reason: String,
    },
}

/// A failed file operation and the path it failed on.
#[derive(Debug, thiserror::Error)]
#[error("failed to perform an IO operation on {path:?}")]
pub struct IoError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

impl IoError {
    /// The failure `source` on `path`.
    pub fn with_path(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self { path: path.into(), source }
    }
}

/// Driver models. Only [`DriverConfig::Wdm`] is ever configured here; the others exist because
/// wdk-sys' build script matches on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriverConfig {
    /// Windows Driver Model.
    Wdm,
    /// Kernel Mode Driver Framework.
    Kmdf(KmdfConfig),
    /// User Mode Driver Framework.
    Umdf(UmdfConfig),
}

/// Version of the Kernel Mode Driver Framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KmdfConfig {
    /// Major version.
    pub kmdf_version_major: u8,
    /// Minor version built for.
    pub target_kmdf_version_minor: u8,
    /// Minor version needed at least.
    pub minimum_kmdf_version_minor: Option<u8>,
}

/// Version of the User Mode Driver Framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UmdfConfig {
    /// Major version.
    pub umdf_version_major: u8,
    /// Minor version built for.
    pub target_umdf_version_minor: u8,
    /// Minor version needed at least.
    pub minimum_umdf_version_minor: Option<u8>,
}

/// Parts of the WDK that bindings are generated for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiSubset {
    /// What every driver uses.
    Base,
    /// Windows Driver Framework.
    Wdf,
    /// General purpose input and output.
    Gpio,
    /// Human interface devices.
    Hid,
    /// Parallel ports.
    ParallelPorts,
    /// Simple peripheral bus.
    Spb,
    /// Storage.
    Storage,
    /// USB.
    Usb,
}

/// How this build is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The driver model.
    pub driver_config: DriverConfig,
    mingw_include: PathBuf,
}

impl Config {
    /// The configuration of the current build: WDM, with the mingw-w64 headers of this machine.
    pub fn from_env_auto() -> Result<Self, ConfigError> {
        println!("cargo::rerun-if-env-changed={MINGW_INCLUDE_DIR}");
        println!("cargo::rerun-if-changed={}", own_include_dir().display());
        Ok(Self { driver_config: DriverConfig::Wdm, mingw_include: find_mingw_include()? })
    }

    /// Tells cargo which `cfg` settings exist and which are on.
    pub fn configure_library_build(&self) -> Result<(), ConfigError> {
        println!(
            "cargo::rustc-check-cfg=cfg(driver_model__driver_type, values(\"WDM\", \"KMDF\", \
             \"UMDF\"))"
        );
        println!("cargo::rustc-cfg=driver_model__driver_type=\"WDM\"");
        Ok(())
    }

    /// As [`Config::configure_library_build`], and the library folder and link arguments of a driver.
    pub fn configure_binary_build(&self) -> Result<(), ConfigError> {
        if !env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default().contains("crt-static") {
            return Err(ConfigError::StaticCrtNotEnabled);
        }
        for path in self.library_paths()? {
            println!("cargo::rustc-link-search={}", path.display());
        }
        for argument in LINK_ARGUMENTS {
            println!("cargo::rustc-cdylib-link-arg={argument}");
        }
        self.configure_library_build()
    }

    /// Folders of headers, first match first.
    pub fn include_paths(&self) -> Result<impl Iterator<Item = PathBuf>, ConfigError> {
        let paths = [own_include_dir(), self.mingw_include.join("ddk"), self.mingw_include.clone()];
        for path in &paths {
            check_dir(path)?;
        }
        Ok(paths.into_iter())
    }

    /// Folders of import libraries.
    pub fn library_paths(&self) -> Result<impl Iterator<Item = PathBuf>, ConfigError> {
        println!("cargo::rerun-if-env-changed={LIBRARY_DIR}");
        let path = env::var_os(LIBRARY_DIR)
            .map(PathBuf::from)
            .ok_or(ConfigError::NotStartedByXtask { variable: LIBRARY_DIR })?;
        check_dir(&path)?;
        Ok(std::iter::once(path))
    }

    /// Preprocessor definitions, name and value.
    ///
    /// The real WDK headers default to the newest Windows; mingw's default to a very old one, so
    /// the version is given here.
    pub fn preprocessor_definitions(&self) -> impl Iterator<Item = (String, Option<String>)> {
        [
            ("_WIN64", None),
            ("_AMD64_", None),
            ("AMD64", None),
            ("_KERNEL_MODE", None),
            ("_WIN32_WINNT", Some("0x0A00")),
            ("WINVER", Some("0x0A00")),
            ("NTDDI_VERSION", Some("0x0A000007")),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.map(str::to_owned)))
    }

    /// The headers of one part of the WDK.
    pub fn headers(
        &self,
        api_subset: ApiSubset,
    ) -> Result<impl Iterator<Item = String>, ConfigError> {
        let headers: &[&str] = match api_subset {
            ApiSubset::Base => &["ntifs.h", "ntddk.h"],
            _ => &[],
        };
        Ok(headers.iter().map(|header| (*header).to_owned()))
    }

    /// A header that includes those of the given parts of the WDK.
    pub fn bindgen_header_contents(
        &self,
        api_subsets: impl IntoIterator<Item = ApiSubset> + fmt::Debug,
    ) -> Result<String, ConfigError> {
        let mut contents = String::new();
        for subset in api_subsets {
            for header in self.headers(subset)? {
                contents.push_str(&format!("#include \"{header}\"\n"));
            }
        }
        Ok(contents)
    }

    /// `#[link]` attributes for one part of the WDK, as lines of Rust.
    #[must_use]
    pub fn bindgen_library_link_raw_lines(&self, api_subset: ApiSubset) -> Option<String> {
        if api_subset != ApiSubset::Base {
            return None;
        }
        let lines = BASE_LIBRARIES.iter().map(|name| {
            format!(
                "#[cfg(not(any(test, feature = \"suppress-wdk-linking\")))]\n\
                 #[link(name = \"{name}\", kind = \"static\", modifiers = \"-bundle\")]\n\
                 unsafe extern \"C\" {{}}\n"
            )
        });
        Some(lines.collect())
    }

    /// The name of the WDF function table: none, the model is WDM.
    #[must_use]
    pub fn compute_wdffunctions_symbol_name(&self) -> Option<String> {
        None
    }
}

/// The libraries that every WDM driver links, as the published crate lists them.
const BASE_LIBRARIES: [&str; 4] = ["BufferOverflowFastFailK", "ntoskrnl", "hal", "wmilib"];

/// The published crate's arguments for a WDM driver, less those that LLD does not know (`/KERNEL`
/// and the two `/IGNORE` of its companions) or that only make extra files (`/MAP`), plus what the MSVC linker does unasked:
/// the version of the subsystem and the PE checksum (`/RELEASE`).
/// `/Brepro` and `/PDBALTPATH` make the image independent of the time and the place of the build.
const LINK_ARGUMENTS: [&str; 14] = [
    "/DRIVER",
    "/NODEFAULTLIB",
    "/SUBSYSTEM:NATIVE,10.0",
    "/VERSION:10.0",
    "/ENTRY:DriverEntry",
    "/NXCOMPAT",
    "/DYNAMICBASE",
    "/OPT:REF,ICF",
    "/INTEGRITYCHECK",
    "/MANIFEST:NO",
    "/DEBUG",
    "/RELEASE",
    "/Brepro",
    "/PDBALTPATH:%_PDB%",
];

/// Configures the build of a library that uses the WDK.
pub fn configure_wdk_library_build() -> Result<(), ConfigError> {
    Config::from_env_auto()?.configure_library_build()
}

/// Configures the build of a library that uses the WDK, then calls `f` with the configuration.
pub fn configure_wdk_library_build_and_then<F, E>(mut f: F) -> Result<(), E>
where
    F: FnMut(Config) -> Result<(), E>,
    E: From<ConfigError>,
{
    let config = Config::from_env_auto()?;
    config.configure_library_build()?;
    f(config)
}

/// Configures the build of a driver.
pub fn configure_wdk_binary_build() -> Result<(), ConfigError> {
    Config::from_env_auto()?.configure_binary_build()
}

/// Our own headers: what mingw-w64's lack.
fn own_include_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../include")
}

fn find_mingw_include() -> Result<PathBuf, ConfigError> {
    const USUAL: [&str; 3] = [
        "/usr/share/mingw-w64/include",
        "/usr/x86_64-w64-mingw32/include",
        "/usr/x86_64-w64-mingw32/sys-root/mingw/include",
    ];
    let named = env::var_os(MINGW_INCLUDE_DIR).map(PathBuf::from);
    named
        .into_iter()
        .chain(USUAL.iter().map(PathBuf::from))
        .find(|path| path.join("ddk/ntifs.h").is_file())
        .ok_or_else(|| ConfigError::DirectoryNotFound {
            directory: format!("{} (mingw-w64 headers with ddk/ntifs.h)", USUAL.join(", ")),
        })
}

fn check_dir(path: &Path) -> Result<(), ConfigError> {
    if path.is_dir() {
        Ok(())
    } else {
        Err(ConfigError::DirectoryNotFound { directory: path.display().to_string() })
    }
}
