//! What the console understands.

use std::path::PathBuf;
use std::time::Duration;

use loader::device::text;

use super::computer::Computer;
use crate::error::Error;

const HELP: &str = "\
create NAME [IMAGE]   a process creates a pipe, such as: create \\evil C:\\Downloads\\a.exe
connect NAME [IMAGE]  a process opens a pipe
drop FILE             a channel file lands in the driver's inbox
status                what the driver says about itself
time +10m             the clock jumps (s, m, h, d)
stop | start          the driver is unloaded; started by hand
pull the plug         the power goes: what was not flushed is lost
power on              the machine boots
power cycle           both
shutdown              the machine goes down in order
quit                  everything ends; so does the end of the input
ok";

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Create { name: String, image: Option<String> },
    Connect { name: String, image: Option<String> },
    Drop(PathBuf),
    Status,
    Time(Duration),
    Stop,
    Start,
    PullThePlug,
    PowerOn,
    PowerCycle,
    ShutDown,
    Help,
    Quit,
}

impl Order {
    /// The command in a line; `None` in an empty line or a comment (`#`).
    pub fn parse(line: &str) -> Result<Option<Self>, Error> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let unknown = || Error::Console(format!("`{line}` is no command"));
        Ok(Some(match (word, rest) {
            ("create" | "connect", "") => {
                return Err(Error::Console(format!("{word} what? Give a pipe's name")));
            }
            ("create" | "connect", rest) => {
                let (name, image) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                let image = Some(image.trim().to_owned()).filter(|image| !image.is_empty());
                let name = name.to_owned();
                if word == "create" {
                    Self::Create { name, image }
                } else {
                    Self::Connect { name, image }
                }
            }
            ("drop", "") => return Err(Error::Console("drop which file?".into())),
            ("drop", path) => Self::Drop(PathBuf::from(path)),
            ("status", "") => Self::Status,
            ("time", span) => Self::Time(duration(span)?),
            ("stop", "") => Self::Stop,
            ("start", "") => Self::Start,
            ("pull", "the plug") => Self::PullThePlug,
            ("power", "on") => Self::PowerOn,
            ("power", "cycle") => Self::PowerCycle,
            ("shutdown", "") => Self::ShutDown,
            ("help", "") => Self::Help,
            ("quit", "") => Self::Quit,
            _ => return Err(unknown()),
        }))
    }

    /// Does it; what is said then ends with a line that begins with `ok`.
    pub fn carry_out(&self, computer: &mut Computer) -> Result<String, Error> {
        let said = |status: kernel_host::NtStatus| match status.0 {
            0 => "ok".to_owned(),
            0xC000_0022 => "ok: access denied (0xc0000022)".to_owned(),
            other => format!("ok: status {other:#010x}"),
        };
        let done = match self {
            Self::Create { name, image } => {
                return computer.create(name, image.as_deref()).map(said);
            }
            Self::Connect { name, image } => {
                return computer.connect(name, image.as_deref()).map(said);
            }
            Self::Status => {
                return Ok(format!("{}ok", text::status(&computer.status()?)));
            }
            Self::Help => return Ok(HELP.into()),
            Self::Drop(path) => computer.drop_file(path),
            Self::Time(time) => computer.advance(*time),
            Self::Stop => computer.stop_driver(),
            Self::Start => computer.start_driver(),
            Self::PullThePlug => computer.pull_the_plug(),
            Self::PowerOn => computer.power_on(),
            Self::PowerCycle => computer.pull_the_plug().and_then(|()| computer.power_on()),
            Self::ShutDown => computer.shut_down(),
            // The console ends by itself.
            Self::Quit => Ok(()),
        };
        done.map(|()| "ok".into())
    }
}

/// A span of time such as `+10m`.
fn duration(text: &str) -> Result<Duration, Error> {
    let wrong = || Error::Console(format!("`{text}` is no span of time such as +90s, +10m or +1h"));
    let span = text.strip_prefix('+').ok_or_else(wrong)?;
    let unit = span.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number = span.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok());
    // Some centuries are enough for everybody, and no clock overflows.
    let number = number.and_then(|number| number.checked_mul(seconds)).filter(|s| *s < 1 << 34);
    number.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Order {
        Order::parse(line).unwrap().unwrap()
    }

    #[test]
    fn commands_are_understood() {
        let image = Some(r"C:\Program Files\a.exe".to_owned());
        assert_eq!(
            parse(r"create \evil  C:\Program Files\a.exe "),
            Order::Create { name: r"\evil".into(), image }
        );
        assert_eq!(parse(r"connect \x"), Order::Connect { name: r"\x".into(), image: None });
        assert_eq!(parse("drop a b.sys"), Order::Drop("a b.sys".into()));
        assert_eq!(parse("time +10m"), Order::Time(Duration::from_secs(600)));
        assert_eq!(parse("pull the plug"), Order::PullThePlug);
        assert_eq!(parse("  power cycle"), Order::PowerCycle);
        assert_eq!(Order::parse("").unwrap(), None);
        assert_eq!(Order::parse("# a remark").unwrap(), None);
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for line in [
            "create",
            "drop",
            "time",
            "time 10m",
            "time +m",
            "time +10y",
            "time +99999999999999999999s",
            "time +9999999999999d",
            "pull",
            "power",
            "power off",
            "status now",
            "CREATE x",
        ] {
            assert!(Order::parse(line).is_err(), "{line}");
        }
    }
}
