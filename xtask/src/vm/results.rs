//! What a machine brought back: JUnit files.

use std::fmt;
use std::fs;
use std::path::Path;

use roxmltree::Document;

use crate::failure::Failure;

/// In this run the kernel refuses memory to whoever asks, the test's own programs among them: only
/// that the machine stays up is certain.
const MAY_FAIL: &str = "low-resources";
const BUGCHECK: &str = "bugcheck";

/// All of them together.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// A line for each test.
    pub lines: Vec<String>,
    /// Tests that failed.
    pub failures: usize,
    /// Tests that failed and were free to.
    pub excused: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(formatter, "{line}")?;
        }
        let passed = self.lines.len() - self.failures - self.excused;
        write!(formatter, "{passed} passed, {} failed", self.failures)?;
        if self.excused > 0 {
            write!(formatter, ", {} went without memory", self.excused)?;
        }
        Ok(())
    }
}

/// Reads `junit-*.xml` of a folder.
///
/// # Errors
/// There is none, one is no JUnit, or together they hold no test.
pub fn read_all(folder: &Path) -> Result<Summary, Failure> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(Failure::file(folder))? {
        let path = entry.map_err(Failure::file(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("junit-") && name.ends_with(".xml") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut summary = Summary::default();
    for path in &paths {
        let text = fs::read_to_string(path).map_err(Failure::file(path))?;
        read(&text, &mut summary)
            .map_err(|words| Failure::Other(format!("{}: {words}", path.display())))?;
    }
    if summary.lines.is_empty() {
        return Err(Failure::Other(format!(
            "{}: the machine brought no results; what it said is in serial.log",
            folder.display()
        )));
    }
    Ok(summary)
}

/// Adds what one file says.
pub fn read(text: &str, summary: &mut Summary) -> Result<(), String> {
    // Windows begins its files with a mark.
    let document = Document::parse(text.trim_start_matches('\u{feff}'))
        .map_err(|error| format!("it is no XML: {error}"))?;
    if document.root_element().tag_name().name() != "testsuites" {
        return Err("it is no JUnit: the root is not `testsuites`".to_owned());
    }
    for case in document.descendants().filter(|node| node.tag_name().name() == "testcase") {
        let attribute =
            |name: &str| case.attribute(name).ok_or_else(|| format!("a test case has no `{name}`"));
        let (suite, test) = (attribute("classname")?, attribute("name")?);
        let failure = case.children().find(|node| node.tag_name().name() == "failure");
        let Some(failure) = failure else {
            summary.lines.push(format!("ok      {suite}: {test}"));
            continue;
        };
        let message = failure.attribute("message").unwrap_or("no reason");
        let is_excused = suite == MAY_FAIL && test != BUGCHECK;
        *(if is_excused { &mut summary.excused } else { &mut summary.failures }) += 1;
        let word = if is_excused { "excused" } else { "FAILED " };
        summary.lines.push(format!("{word} {suite}: {test}: {message}"));
    }
    Ok(())
}
