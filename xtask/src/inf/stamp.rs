//! What `stampinf` does: an INF for one architecture, with a date and a version.

use clap::ValueEnum;

/// An architecture that a driver is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Arch {
    /// x86-64
    X64,
    /// ARM64
    Arm64,
}

impl Arch {
    /// Every architecture.
    #[cfg(test)]
    pub const ALL: [Self; 2] = [Self::X64, Self::Arm64];

    /// The word used for files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X64 => "x64",
            Self::Arm64 => "arm64",
        }
    }

    /// As an INF decorates its sections: `.NTamd64`.
    const fn decoration(self) -> &'static str {
        match self {
            Self::X64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// What is put into an INF.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// For `$ARCH$`.
    pub arch: Arch,
    /// `mm/dd/yyyy`.
    pub date: String,
    /// `w.x.y.z`.
    pub version: String,
}

impl Stamp {
    /// The stamped text, with the line ends of Windows; `None` when it has no `DriverVer`.
    pub fn apply(&self, text: &str) -> Option<String> {
        let mut stamped = false;
        let mut out = String::with_capacity(text.len() * 2);
        for line in text.lines() {
            let is_version = line.split('=').next().is_some_and(|key| key.trim() == "DriverVer");
            if is_version {
                stamped = true;
                out.push_str(&format!("DriverVer   = {},{}", self.date, self.version));
            } else {
                out.push_str(&line.replace("$ARCH$", self.arch.decoration()));
            }
            out.push_str("\r\n");
        }
        stamped.then_some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architecture_date_and_version_are_put_in() {
        let stamp = Stamp { arch: Arch::X64, date: "01/02/2026".into(), version: "1.2.3.4".into() };
        let text = "[Version]\nDriverVer   = a,b\n[DefaultInstall.NT$ARCH$]\n";
        let expected =
            "[Version]\r\nDriverVer   = 01/02/2026,1.2.3.4\r\n[DefaultInstall.NTamd64]\r\n";
        assert_eq!(stamp.apply(text).as_deref(), Some(expected));
        assert_eq!(stamp.apply("[Version]\n"), None);
    }
}
