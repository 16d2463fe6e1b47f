//! Twenty rules written for this measurement, after names that everybody who hunts on pipes knows.

use super::{CorpusRule, Sample};

/// The rules' texts, one document each.
const TEXT: &str = include_str!("../../rules/known.yml");

/// Events of which each rule judges at least one true.
const SAMPLES: &[(&str, &str)] = &[
    (r"\MSSE-1a2b-server", r"C:\Windows\System32\rundll32.exe"),
    (r"\postex_ssh_1a2b", r"C:\Windows\System32\rundll32.exe"),
    (r"\wkssvc_1f", r"C:\Windows\System32\dllhost.exe"),
    (r"\DserNamePipe3a", r"C:\Windows\System32\dllhost.exe"),
    (r"\PSEXESVC", r"C:\Windows\PSEXESVC.exe"),
    (r"\updater-WORKSTATION5-7256-stdout", r"C:\Windows\updater.exe"),
    (r"\PAExec-3344-HOST.exe", r"C:\Windows\PAExec-3344-HOST.exe"),
    (r"\RemCom_communicaton", r"C:\Windows\RemComSvc.exe"),
    (r"\x\lsadump1", r"C:\Temp\dump.exe"),
    (r"\foo\pipe\srvsvc", r"C:\Users\Public\potato.exe"),
    (r"\coerced\pipe\spoolss", r"C:\Users\Public\coerce.exe"),
    (r"\isapi_http", r"C:\Windows\System32\svchost.exe"),
    (r"\kekeo_tsssp_endpoint", r"C:\Tools\kekeo.exe"),
    (r"\PSHost.133312345678901234.4242.DefaultAppDomain.notepad", r"C:\Windows\notepad.exe"),
    (r"\MICROSOFT##WID\tsql\query", r"C:\Users\Public\adfsdump.exe"),
    (r"\qwerty", r"C:\Users\alice.smith\Downloads\update.exe"),
    (r"\samr", r"C:\Users\alice.smith\Desktop\enum.exe"),
    (r"\5f2b", r"C:\Windows\System32\mshta.exe"),
    (r"\sliver_17", r"C:\Temp\agent.exe"),
    (r"\frAQBc8Wsa1xVPfv", r"C:\Temp\exploit.exe"),
    (r"\testPipe", r"C:\Temp\loader.exe"),
    (r"\x\dotnet-diagnostic-512", r"C:\Users\Public\clr.exe"),
];

/// The rules. Their samples are the whole list's: the first rule carries them.
pub fn rules() -> Vec<CorpusRule> {
    let sample = |(pipe, image): &(&str, &str)| Sample {
        pipe: (*pipe).to_owned(),
        image: (*image).to_owned(),
    };
    let mut samples: Vec<Sample> = SAMPLES.iter().map(sample).collect();
    TEXT.split("---\n")
        .map(|yaml| {
            let id = yaml.lines().find_map(|line| line.strip_prefix("id: ")).unwrap_or_default();
            let samples = std::mem::take(&mut samples);
            CorpusRule { id: id.to_owned(), yaml: yaml.to_owned(), samples }
        })
        .collect()
}
