//! How far a boot has come, and which names exist by then.

use super::Volume;

/// What is there at which time of a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// `DriverEntry` of boot drivers: registry, but no file system.
    DriverEntry = 0,
    /// Boot reinitialization: `\SystemRoot` works, drive letters do not, NPFS is not there.
    Reinitialization = 1,
    /// Everything.
    Running = 2,
}

impl Phase {
    pub(super) fn from_number(number: u8) -> Phase {
        match number {
            0 => Phase::DriverEntry,
            1 => Phase::Reinitialization,
            _ => Phase::Running,
        }
    }
}

/// The target of a symbolic link of the object namespace, as it is in a phase.
pub(super) fn link_target(name: &str, volumes: &[Volume], phase: Phase) -> Option<String> {
    if name.eq_ignore_ascii_case(r"\SystemRoot") {
        let system = volumes.first()?;
        return (phase >= Phase::Reinitialization).then(|| format!(r"{}\Windows", system.device));
    }
    let dos = strip_prefix(name, r"\??\")
        .or_else(|| strip_prefix(name, r"\GLOBAL??\"))
        .or_else(|| strip_prefix(name, r"\DosDevices\"))?;
    let mut characters = dos.chars();
    let (letter, colon, rest) = (characters.next()?, characters.next()?, characters.next());
    if colon != ':' || rest.is_some() || phase < Phase::Running {
        return None;
    }
    volumes
        .iter()
        .find(|volume| volume.letter.is_some_and(|own| own.eq_ignore_ascii_case(&letter)))
        .map(|volume| volume.device.clone())
}

/// A path with its leading symbolic link replaced; `None` when that link does not exist.
pub(super) fn resolve(path: &str, volumes: &[Volume], phase: Phase) -> Option<String> {
    if strip_prefix(path, r"\Device\").is_some() {
        return (phase >= Phase::Reinitialization).then(|| path.to_owned());
    }
    if let Some(rest) = strip_prefix(path, r"\??\GLOBALROOT") {
        return resolve(rest, volumes, phase);
    }
    let start = if strip_prefix(path, r"\SystemRoot").is_some() { 1 } else { 2 };
    let end = path.match_indices('\\').nth(start).map_or(path.len(), |(index, _)| index);
    let (link, rest) = path.split_at(end);
    Some(link_target(link, volumes, phase)? + rest)
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_appear_as_the_boot_goes_on() {
        let volumes = [
            Volume { device: r"\Device\HarddiskVolume3".into(), letter: Some('C') },
            Volume { device: r"\Device\HarddiskVolume7".into(), letter: None },
        ];
        let at = |path, phase| resolve(path, &volumes, phase);
        assert_eq!(at(r"\SystemRoot\x", Phase::DriverEntry), None);
        let windows = Some(r"\Device\HarddiskVolume3\Windows\x".to_owned());
        assert_eq!(at(r"\SystemRoot\x", Phase::Reinitialization), windows);
        assert_eq!(at(r"\systemroot\x", Phase::Running), windows);
        assert_eq!(at(r"\??\C:\Windows\x", Phase::Reinitialization), None);
        assert_eq!(at(r"\??\c:\Windows\x", Phase::Running), windows);
        assert_eq!(at(r"\GLOBAL??\C:\Windows\x", Phase::Running), windows);
        assert_eq!(at(r"\??\D:\x", Phase::Running), None);
        let device = r"\Device\HarddiskVolume7\y";
        assert_eq!(at(device, Phase::Running).as_deref(), Some(device));
    }
}
