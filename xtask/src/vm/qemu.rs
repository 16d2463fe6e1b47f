//! The machine.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::progress::note;
use crate::tools::Qemu;

/// For how long after the start a key is pressed: an ISO of Windows asks for one before it boots.
const KEYS: Duration = Duration::from_secs(60);
/// Between two looks at the machine.
const LOOK: Duration = Duration::from_secs(1);

/// How the machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It switched itself off.
    ByItself,
    /// It was switched off, since it had all the time there was.
    OutOfTime,
}

/// What the machine is made of.
pub struct Machine<'a> {
    /// The programs and the firmware.
    pub parts: &'a Qemu,
    /// Where its files are.
    pub dir: &'a Path,
    /// The medium.
    pub medium: &'a Path,
    /// Its screen is shown.
    pub window: bool,
    /// The processor runs its code; else it is emulated, which takes ten times as long.
    pub kvm: bool,
}

impl Machine<'_> {
    /// Runs it until it switches itself off. With an ISO and a disk, it boots from the ISO until a
    /// system is on the disk.
    pub fn run(
        &self,
        windows: Option<(&Path, &Path)>,
        patience: Duration,
    ) -> Result<Ended, Failure> {
        let variables = self.dir.join("firmware-variables.fd");
        fs::copy(&self.parts.variables, &variables).map_err(Failure::file(&variables))?;
        let (serial, control) = (self.dir.join("serial.log"), self.dir.join("control.socket"));
        for path in [&serial, &control] {
            super::remove_file(path)?;
        }
        let arguments = self.arguments(windows, &variables, &serial, &control);
        let mut child = Command::new(&self.parts.program)
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|source| Failure::Start {
                program: self.parts.program.display().to_string(),
                source,
            })?;
        let ended = watch(&mut child, &serial, &control, windows.is_some(), patience);
        // Whatever happened, no machine is left behind.
        let _ = child.kill();
        let _ = child.wait();
        ended
    }

    fn arguments(
        &self,
        windows: Option<(&Path, &Path)>,
        variables: &Path,
        serial: &Path,
        control: &Path,
    ) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        let mut option = |name: &str, value: String| {
            words.push(name.into());
            words.push(value.into());
        };
        let (accelerator, processor) = if self.kvm { ("kvm", "host") } else { ("tcg", "max") };
        option("-machine", format!("q35,accel={accelerator}"));
        option("-cpu", processor.to_owned());
        option("-smp", "2".to_owned());
        option("-m", if windows.is_some() { "4096" } else { "512" }.to_owned());
        let firmware = escaped(&self.parts.firmware);
        option("-drive", format!("if=pflash,format=raw,unit=0,readonly=on,file={firmware}"));
        option("-drive", format!("if=pflash,format=raw,unit=1,file={}", escaped(variables)));
        if let Some((iso, disk)) = windows {
            let (iso, disk) = (escaped(iso), escaped(disk));
            option("-drive", format!("id=disk,if=none,format=raw,discard=unmap,file={disk}"));
            option("-device", "ide-hd,drive=disk,bus=ide.0,bootindex=2".to_owned());
            option("-drive", format!("id=iso,if=none,media=cdrom,readonly=on,file={iso}"));
            option("-device", "ide-cd,drive=iso,bus=ide.1,bootindex=1".to_owned());
        }
        option("-device", "qemu-xhci".to_owned());
        let medium = escaped(self.medium);
        option("-drive", format!("id=medium,if=none,format=raw,file={medium}"));
        option("-device", "usb-storage,drive=medium,removable=on".to_owned());
        option("-nic", "none".to_owned());
        option("-rtc", "base=localtime".to_owned());
        option("-serial", format!("file:{}", serial.display()));
        option("-qmp", format!("unix:{},server=on,wait=off", escaped(control)));
        if !self.window {
            option("-display", "none".to_owned());
        }
        words
    }
}

fn watch(
    child: &mut Child,
    serial: &Path,
    control: &Path,
    press_keys: bool,
    patience: Duration,
) -> Result<Ended, Failure> {
    let begun = Instant::now();
    let mut told = 0;
    loop {
        let ended = child.try_wait().map_err(Failure::file(serial))?;
        told += tell(serial, told);
        if let Some(status) = ended {
            return if status.success() {
                Ok(Ended::ByItself)
            } else {
                Err(Failure::Other(format!(
                    "QEMU ended with {status}; its words are above. Where /dev/kvm is there and does \
                     not work, as in some machines that are virtual themselves, give --no-kvm"
                )))
            };
        }
        if begun.elapsed() > patience {
            return Ok(Ended::OutOfTime);
        }
        if press_keys && begun.elapsed() < KEYS {
            // Until its socket is there the machine has nothing to press a key for.
            let _ = press_key(control);
        }
        thread::sleep(LOOK);
    }
}

/// Shows the machine's own lines that are new, which begin with `saker:`. Returns how many lines are
/// done with.
fn tell(serial: &Path, told: usize) -> usize {
    let bytes = fs::read(serial).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    // The last line may still be written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let new: Vec<&str> = whole.lines().skip(told).collect();
    for line in new.iter().filter_map(|line| line.trim().strip_prefix("saker: ")) {
        note(&format!("      {line}"));
    }
    new.len()
}

/// Presses the space bar, by QEMU's own protocol: a greeting, then orders with an answer each.
fn press_key(control: &Path) -> std::io::Result<()> {
    let stream = UnixStream::connect(control)?;
    stream.set_read_timeout(Some(LOOK))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut orders = stream;
    let mut line = String::new();
    answers.read_line(&mut line)?;
    for order in [
        r#"{"execute":"qmp_capabilities"}"#,
        r#"{"execute":"send-key","arguments":{"keys":[{"type":"qcode","data":"spc"}]}}"#,
    ] {
        writeln!(orders, "{order}")?;
        answers.read_line(&mut line)?;
    }
    Ok(())
}

/// A path as a value of an option: a comma is written twice.
pub(super) fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// Whether this user may have the processor run a machine's code.
pub fn can_use_kvm() -> bool {
    fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}
