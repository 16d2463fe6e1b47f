use std::fs;
use std::path::{Path, PathBuf};

use roxmltree::Document;
use tree_sitter::{Node, Parser};

use super::medium::{LABEL, Medium};
use super::results::{self, Summary};
use super::{answers, qemu};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// The first place that is no PowerShell.
fn fault(script: &str) -> Option<String> {
    fn find(node: Node<'_>) -> Option<String> {
        if node.is_error() || node.is_missing() {
            return Some(format!("line {}: {node:?}", node.start_position().row + 1));
        }
        let mut cursor = node.walk();
        let children: Vec<Node<'_>> = node.children(&mut cursor).collect();
        children.into_iter().find_map(find)
    }
    let mut parser = Parser::new();
    let language = tree_sitter_powershell::LANGUAGE.into();
    parser.set_language(&language).expect("a grammar of this parser's version");
    find(parser.parse(script, None).expect("no time limit was set").root_node())
}

#[test]
fn every_script_is_powershell() {
    let scripts = ["port.ps1", "smoke.ps1", "scenarios.ps1", "guest/guest.ps1"];
    for name in scripts {
        assert_eq!(fault(&text(&format!("tests/vm/{name}"))), None, "{name}");
    }
    let found = ["tests/vm", "tests/vm/guest"].map(|folder| {
        let entries = fs::read_dir(root().join(folder)).expect(folder);
        entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "ps1"))
            .count()
    });
    assert_eq!(found.iter().sum::<usize>(), scripts.len(), "a script that is not looked at");
}

#[test]
fn a_script_with_something_left_out_is_told_with_its_line() {
    let script = text("tests/vm/guest/guest.ps1");
    for (from, to) in [
        ("function Get-Medium {", "function Get-Medium"),
        ("if (-not (Test-Path $phaseFile)) {", "if (-not (Test-Path $phaseFile) {"),
        ("$here = 'C:\\saker'", "$here = 'C:\\saker"),
    ] {
        assert!(script.contains(from), "{from}");
        assert!(fault(&script.replacen(from, to, 1)).is_some(), "{to}");
    }
}

#[test]
fn the_answer_file_is_whole_and_runs_the_script_of_the_medium() {
    let template = text("tests/vm/guest/autounattend.xml");
    let made = answers(&template, 3, Some("AAAAA-BBBBB-CCCCC-DDDDD-EEEEE")).expect("a good key");
    let document = Document::parse(&made).expect("XML");
    let texts = |name: &str| {
        let named = document.descendants().filter(|node| node.tag_name().name() == name);
        named.filter_map(|node| node.text()).collect::<Vec<_>>()
    };
    let passes: Vec<_> = document.descendants().filter_map(|node| node.attribute("pass")).collect();
    assert_eq!(passes, ["windowsPE", "specialize", "oobeSystem"]);
    assert!(texts("Value").contains(&"3"), "the image's number");
    assert_eq!(texts("Key")[1], "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE");
    let label = String::from_utf8(LABEL.to_vec()).expect("ASCII");
    let [command] = texts("CommandLine")[..] else { panic!("one command") };
    assert!(command.contains(label.trim_end()) && command.contains(r"\saker\guest.ps1"));
    // A command may be as long as this.
    assert!(command.len() < 260, "{command}");
    let password = texts("Value").iter().filter(|value| **value == "Saker-vm-1").count();
    assert_eq!(password, 2, "the password that is set and the one that logs on");

    let made = answers(&template, 1, None).expect("no key");
    assert!(Document::parse(&made).is_ok() && !made.contains("<ProductKey>"));
}

#[test]
fn a_product_key_that_is_none_does_not_get_into_the_answer_file() {
    for key in ["AAAAA BBBBB", "</Key>", "a&b"] {
        assert!(answers("@PRODUCT_KEY@", 1, Some(key)).is_err(), "{key}");
    }
}

/// The script sets by hand what the INF does.
#[test]
fn the_guest_registers_what_the_inf_does() {
    let (inf, script) = (text("inf/saker.inx"), text("tests/vm/guest/guest.ps1"));
    for name in ["InstanceName", "Altitude", "ServiceName"] {
        let row = inf.lines().find(|line| line.starts_with(name)).expect(name);
        let value = row.split('"').nth(1).expect("a value in quotes");
        assert!(script.contains(&format!("'{value}'")), "{name}: {value}");
    }
    for value in ["FSFilter Activity Monitor", "FltMgr", "SupportedFeatures"] {
        assert!(inf.contains(value) && script.contains(value), "{value}");
    }
}

#[test]
fn the_verifier_has_the_flags_that_the_documents_name() {
    // Special pool, force IRQL, pool tracking, I/O, deadlocks, DMA, security, miscellaneous and DDI
    // compliance: the standard ones. Then code integrity, and low resources.
    let standard = [0x1, 0x2, 0x8, 0x10, 0x20, 0x80, 0x100, 0x800, 0x2_0000].iter().sum::<u32>();
    let first = standard | 0x200_0000;
    let script = text("tests/vm/guest/guest.ps1");
    let document = text("docs/windows-vm.md");
    for flags in [first, first | 4] {
        let flags = format!("0x{flags:08X}");
        assert!(script.contains(&flags) && document.contains(&flags), "{flags}");
    }
}

#[test]
fn what_is_written_to_a_medium_is_there_when_it_is_opened_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let medium = Medium::create(&folder.path().join("medium.img")).expect("a medium");
    let long = "saker/content/detect/first/C-00000291-00000001-00000001.sys";
    medium.write(long, b"a channel file").expect("room");
    medium.write("results/junit-plain.xml", b"first, and longer").expect("room");
    medium.write("results/junit-plain.xml", b"second").expect("room");
    assert_eq!(medium.read(long).expect("a file"), b"a channel file");
    assert!(medium.read("saker/nothing.txt").is_err());

    let out = folder.path().join("out");
    medium.extract("results", &out).expect("a folder");
    assert_eq!(fs::read(out.join("junit-plain.xml")).expect("a file"), b"second");
    let none = folder.path().join("none");
    medium.extract("nothing", &none).expect("no folder is no fault");
    assert_eq!(fs::read_dir(none).expect("an empty folder").count(), 0);
    fs::write(medium.path(), b"no volume").expect("a writable file");
    assert!(medium.read(long).is_err());
}

const JUNIT: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>
<testsuites>
  <testsuite name=\"plain\" tests=\"2\" failures=\"1\">
    <testcase classname=\"plain\" name=\"detect\" time=\"3.5\" />
    <testcase classname=\"plain\" name=\"block\" time=\"700.1\">
      <failure message=\"step 6: made, detect, and not denied, block\" />
    </testcase>
  </testsuite>
</testsuites>";

#[test]
fn results_are_added_up() {
    let mut summary = Summary::default();
    results::read(JUNIT, &mut summary).expect("JUnit");
    assert_eq!(summary.failures, 1);
    let failed = "FAILED  plain: block: step 6: made, detect, and not denied, block";
    assert_eq!(summary.lines, ["ok      plain: detect", failed]);
    assert!(summary.to_string().ends_with("1 passed, 1 failed"));
}

#[test]
fn without_memory_only_a_machine_that_goes_down_is_a_failure() {
    for (test, failures, excused) in [("detect", 0, 1), ("bugcheck", 1, 0)] {
        let mut summary = Summary::default();
        let text = JUNIT.replace("\"plain\"", "\"low-resources\"").replace("block", test);
        results::read(&text, &mut summary).expect("JUnit");
        assert_eq!((summary.failures, summary.excused), (failures, excused), "{test}");
    }
    let guest = text("tests/vm/guest/guest.ps1");
    assert!(guest.contains("'low-resources'") && guest.contains("name=\"bugcheck\""));
}

#[test]
fn no_results_and_what_is_no_junit_are_failures() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert!(results::read_all(folder.path()).is_err(), "no results");
    let file = folder.path().join("junit-plain.xml");
    fs::write(&file, "<testsuites/>").expect("a writable file");
    assert!(results::read_all(folder.path()).is_err(), "no test");
    fs::write(&file, &JUNIT[..JUNIT.len() - 5]).expect("a writable file");
    assert!(results::read_all(folder.path()).is_err(), "a file that was cut");
    fs::write(&file, "<html/>").expect("a writable file");
    assert!(results::read_all(folder.path()).is_err(), "no JUnit");
    fs::write(&file, JUNIT).expect("a writable file");
    assert_eq!(results::read_all(folder.path()).expect("JUnit").failures, 1);
}

#[test]
fn a_comma_in_a_path_does_not_end_an_option() {
    assert_eq!(qemu::escaped(Path::new("/a,b/c.iso")), "/a,,b/c.iso");
}
