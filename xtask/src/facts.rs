//! `cargo xtask facts`: what `docs/safety.md` says of the source, counted anew.
//!
//! Counted are the unsafe blocks of what is linked into the driver, by file, and the libraries that are
//! linked with it. Each library has a reason here; one without, and a reason without a library, is a
//! failure.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::artifacts::Workspace;
use crate::failure::Failure;
use crate::process;

/// The page that holds the facts, between these two lines.
const PAGE: &str = "docs/safety.md";
const BEGIN: &str = "<!-- what follows is written by `cargo xtask facts` -->";
const END: &str = "<!-- what was written by `cargo xtask facts` ends here -->";

/// The sources of our own that are linked into the driver.
const LINKED: [&str; 4] = ["channel-format/src", "driver/abi/src", "driver/core/src", "driver/src"];

/// Why each library is linked into the driver.
const REASONS: [(&str, &str); 14] = [
    ("block-buffer", "what `sha2` gathers blocks with"),
    ("cfg-if", "a macro of `curve25519-dalek` and `sha2`"),
    ("cpufeatures", "named by `sha2`; with `force-soft` it asks the processor nothing"),
    ("crypto-common", "the traits below `digest`"),
    ("curve25519-dalek", "the curve that Ed25519 signatures are checked on"),
    ("digest", "the interface of `sha2`"),
    ("generic-array", "arrays whose length is a type, for `digest`"),
    ("sha2", "SHA-512: of a body, and within a signature's check"),
    ("subtle", "comparisons and choices without branches, for `curve25519-dalek`"),
    ("typenum", "the lengths of `generic-array`"),
    ("wdk", "what `wdk-panic` is built on; nothing of it is called"),
    (
        "wdk-alloc",
        "the global allocator that the libraries' types ask for; no callback allocates by it",
    ),
    ("wdk-panic", "the panic handler that a `no_std` binary must name; nothing calls it"),
    ("wdk-sys", "declarations of the kernel's functions and structures"),
];

/// Options of the command.
#[derive(clap::Args)]
pub struct Options {
    /// Only say whether the page is right, and change nothing
    #[arg(long)]
    check: bool,
}

/// Writes the facts into the page, or says whether they stand there.
pub fn run(workspace: &Workspace, options: &Options) -> Result<(), Failure> {
    let page = workspace.root.join(PAGE);
    let text = fs::read_to_string(&page).map_err(Failure::file(&page))?;
    let facts = facts(workspace)?;
    let wanted = with_facts(&text, &facts).ok_or_else(|| {
        Failure::Other(format!("{PAGE} lacks the line {BEGIN} or the line {END} behind it"))
    })?;
    print!("{facts}");
    if text == wanted {
        return Ok(());
    }
    if options.check {
        let words =
            "is not what is counted today: run `cargo xtask facts`, and read what has changed";
        return Err(Failure::Other(format!("{PAGE} {words}")));
    }
    fs::write(&page, wanted).map_err(Failure::file(&page))
}

/// For `cargo xtask test`.
pub fn check(workspace: &Workspace) -> Result<(), Failure> {
    run(workspace, &Options { check: true })
}

fn facts(workspace: &Workspace) -> Result<String, Failure> {
    let counts = unsafe_by_file(&workspace.root)?;
    Ok(format!("{}\n{}", unsafe_table(&counts), library_table(&libraries(workspace)?)?))
}

/// The page with these facts in it; `None` if it has no place for them.
fn with_facts(page: &str, facts: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{facts}\n{END}{after}"))
}

/// How often a source leaves what the compiler checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Unsafe {
    /// Blocks.
    blocks: usize,
    /// Functions that only an unsafe block may call.
    functions: usize,
    /// Traits implemented by a promise.
    impls: usize,
    /// Attributes that change where a thing lies or what it is called.
    attributes: usize,
}

impl Unsafe {
    const fn is_none(&self) -> bool {
        self.blocks + self.functions + self.impls + self.attributes == 0
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            blocks: self.blocks + other.blocks,
            functions: self.functions + other.functions,
            impls: self.impls + other.impls,
            attributes: self.attributes + other.attributes,
        }
    }
}

/// The files that have any, by their path from the root.
fn unsafe_by_file(root: &Path) -> Result<BTreeMap<String, Unsafe>, Failure> {
    let mut counts = BTreeMap::new();
    for folder in LINKED {
        for path in sources(&root.join(folder))? {
            let text = fs::read_to_string(&path).map_err(Failure::file(&path))?;
            let tokens: TokenStream = text.parse().map_err(|error| {
                Failure::Other(format!("{} cannot be read as Rust: {error}", path.display()))
            })?;
            let found = count(tokens);
            if !found.is_none() {
                let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                counts.insert(name.replace('\\', "/"), found);
            }
        }
    }
    Ok(counts)
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Failure::file(folder))? {
        let path = entry.map_err(Failure::file(folder))?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Counts by what follows the word, also within macros.
fn count(tokens: TokenStream) -> Unsafe {
    let mut found = Unsafe::default();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => found = found.plus(count(group.stream())),
            TokenTree::Ident(word) if word == "unsafe" => match tokens.peek() {
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    found.blocks += 1;
                }
                Some(TokenTree::Group(_)) => found.attributes += 1,
                Some(TokenTree::Ident(next)) if next == "impl" => found.impls += 1,
                // `unsafe fn` and `unsafe extern`; as a type, a function's pointer counts too.
                _ => found.functions += 1,
            },
            _ => {}
        }
    }
    found
}

fn unsafe_table(counts: &BTreeMap<String, Unsafe>) -> String {
    let mut table =
        "| file | blocks | functions | impls | attributes |\n|---|---|---|---|---|\n".to_owned();
    let row = |name: &str, count: &Unsafe| {
        let Unsafe { blocks, functions, impls, attributes } = count;
        format!("| {name} | {blocks} | {functions} | {impls} | {attributes} |\n")
    };
    for (name, count) in counts {
        table += &row(&format!("`{name}`"), count);
    }
    let all = counts.values().fold(Unsafe::default(), |sum, count| sum.plus(*count));
    table + &row("together", &all)
}

/// Names and versions of the libraries that are linked with the driver.
fn libraries(workspace: &Workspace) -> Result<Vec<(String, String)>, Failure> {
    let mut command = workspace.cargo();
    command.args(["tree", "-p", "saker", "--edges", "normal,no-proc-macro", "--prefix", "none"]);
    command.args(["--target", "x86_64-pc-windows-msvc", "--format", "{p}"]);
    let tree = process::output(&mut command)?;
    let mut found: Vec<_> = tree.lines().filter_map(library).collect();
    found.sort();
    found.dedup();
    Ok(found)
}

/// `sha2 v0.10.9`; our own crates have a path behind that and are left out.
fn library(line: &str) -> Option<(String, String)> {
    let line = line.trim_end_matches(" (*)");
    let (name, version) = line.split_once(" v")?;
    (!version.contains('/') && !version.contains('\\')).then(|| (name.into(), version.into()))
}

fn library_table(libraries: &[(String, String)]) -> Result<String, Failure> {
    let mut table = "| library | version | why |\n|---|---|---|\n".to_owned();
    for (name, version) in libraries {
        let Some((_, why)) = REASONS.iter().find(|(known, _)| known == name) else {
            let words =
                "is linked into the driver, and nothing says why: say it in xtask/src/facts.rs";
            return Err(Failure::Other(format!("{name} {words}")));
        };
        table += &format!("| `{name}` | {version} | {why} |\n");
    }
    let left = REASONS.iter().find(|(name, _)| !libraries.iter().any(|(known, _)| known == name));
    match left {
        None => Ok(table),
        Some((name, _)) => Err(Failure::Other(format!(
            "{name} is not linked into the driver any more: take it out of xtask/src/facts.rs"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &str) -> [usize; 4] {
        let Unsafe { blocks, functions, impls, attributes } = count(text.parse().unwrap());
        [blocks, functions, impls, attributes]
    }

    #[test]
    fn each_form_is_counted_and_words_are_not() {
        assert_eq!(counted("fn f() { unsafe { g() }; h(unsafe { *p }) }"), [2, 0, 0, 0]);
        assert_eq!(counted("unsafe fn f() {} unsafe extern \"C\" { fn g(); }"), [0, 2, 0, 0]);
        assert_eq!(counted("unsafe impl Send for X {}"), [0, 0, 1, 0]);
        assert_eq!(counted("#[unsafe(link_section = \".x\")] static X: u8 = 0;"), [0, 0, 0, 1]);
        // In a macro, and one in another.
        assert_eq!(counted("m! { unsafe { unsafe { x } } }"), [2, 0, 0, 0]);
        assert_eq!(counted("// unsafe { }\n/* unsafe { } */ let x = \"unsafe { }\";"), [0; 4]);
        assert_eq!(counted("#![forbid(unsafe_code)] fn not_unsafe() {}"), [0; 4]);
    }

    #[test]
    fn our_own_crates_are_no_libraries() {
        let sha = ("sha2".to_owned(), "0.10.9".to_owned());
        assert_eq!(library("sha2 v0.10.9"), Some(sha.clone()));
        assert_eq!(library("sha2 v0.10.9 (*)"), Some(sha));
        assert_eq!(library("driver-abi v0.1.0 (/somewhere/driver/abi)"), None);
        assert_eq!(library(""), None);
    }

    #[test]
    fn a_library_without_a_reason_and_a_reason_without_a_library_fail() {
        let all: Vec<_> =
            REASONS.iter().map(|(name, _)| ((*name).to_owned(), "1".to_owned())).collect();
        assert!(library_table(&all).unwrap().contains("| `sha2` | 1 |"));
        let mut more = all.clone();
        more.push(("left-pad".into(), "1".into()));
        assert!(library_table(&more).unwrap_err().to_string().contains("left-pad"));
        assert!(library_table(&all[1..]).unwrap_err().to_string().contains("block-buffer"));
    }

    #[test]
    fn the_page_has_a_place_and_keeps_the_rest() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let written = with_facts(&page, "new\n").unwrap();
        assert_eq!(written, format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
        assert_eq!(with_facts(&written, "new\n").unwrap(), written);
        assert_eq!(with_facts("a", "new"), None);
        assert_eq!(with_facts(&format!("{END}{BEGIN}"), "new"), None);
    }

    /// Each test that the page names exists.
    #[test]
    fn the_page_names_tests_that_there_are() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let page = fs::read_to_string(root.join(PAGE)).unwrap();
        let mut tests = 0;
        for line in page.lines().filter(|line| line.starts_with("**Shown by:**")) {
            let mut file = String::new();
            for word in line.split('`').skip(1).step_by(2) {
                if word.ends_with(".rs") {
                    let path = root.join(word);
                    file =
                        fs::read_to_string(path).unwrap_or_else(|_| panic!("there is no {word}"));
                } else if !word.contains(' ') {
                    assert!(file.contains(&format!("fn {word}(")), "there is no test {word}");
                    tests += 1;
                }
            }
        }
        assert!(tests > 40, "{tests}");
    }

    /// Outside `ffi` nothing of the driver leaves what the compiler checks.
    #[test]
    fn unsafe_code_is_in_ffi_alone() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let counts = unsafe_by_file(root).unwrap();
        assert!(counts.len() > 10);
        let outside: Vec<_> =
            counts.keys().filter(|file| !file.starts_with("driver/src/ffi/")).collect();
        assert_eq!(outside, Vec::<&String>::new());
    }
}
