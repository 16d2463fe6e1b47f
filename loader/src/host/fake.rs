//! A Windows machine in memory, for tests: everything that is changed is kept, and any change can be
//! made to fail.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::{Host, INBOX, Level, SERVICE, Said, Service, Start, State, Value, below};

/// The machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Fake {
    pub is_administrator: bool,
    pub registry: BTreeMap<(String, String), Value>,
    pub services: BTreeMap<String, Service>,
    /// Each folder with its security.
    pub folders: BTreeMap<String, String>,
    pub files: BTreeMap<String, Vec<u8>>,
    /// The INFs of the driver store.
    pub packages: Vec<PathBuf>,
    /// What was run, and what each program is to say.
    pub ran: Vec<String>,
    pub says: BTreeMap<String, Said>,
    /// How many changes succeed before one fails; `None`: all do.
    pub changes_left: Option<usize>,
    /// The service does not start, for this Win32 reason.
    pub start_fails: Option<i32>,
    pub reported: Vec<(u32, String)>,
}

/// What can stand in the fake registry.
pub(super) trait IntoValue {
    fn value(self) -> Value;
}

impl IntoValue for &str {
    fn value(self) -> Value {
        Value::Text(self.into())
    }
}

impl IntoValue for u32 {
    fn value(self) -> Value {
        Value::Number(self)
    }
}

impl Fake {
    /// A machine that is fit for a test driver.
    pub fn fit() -> Self {
        let mut fake = Self { is_administrator: true, ..Self::default() };
        const CONTROL: &str = r"SYSTEM\CurrentControlSet\Control";
        const VERSION: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
        fake.put(CONTROL, "SystemStartOptions", " TESTSIGNING  NOEXECUTE=OPTIN");
        let environment = format!(r"{CONTROL}\Session Manager\Environment");
        fake.put(&environment, "PROCESSOR_ARCHITECTURE", "AMD64");
        fake.put(VERSION, "CurrentBuildNumber", "26100");
        fake.put(VERSION, "UBR", 1742);
        fake
    }

    pub fn put(&mut self, key: &str, name: &str, value: impl IntoValue) {
        self.registry.insert((key.into(), name.into()), value.value());
    }

    pub fn file(&mut self, path: &Path, bytes: &[u8]) {
        self.files.insert(spelled(path), bytes.to_vec());
    }

    /// All that an installation can change, to be compared before and after.
    pub fn state(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        (
            self.registry.clone(),
            self.services.clone(),
            self.folders.keys().cloned().collect::<Vec<_>>(),
            self.packages.clone(),
        )
    }

    fn change(&mut self) -> io::Result<()> {
        match &mut self.changes_left {
            Some(0) => {
                // Only this one: going back works.
                self.changes_left = None;
                Err(io::Error::other("planted"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// A path as the fake keeps it: one separator, whatever the host's is.
fn spelled(path: &Path) -> String {
    path.display().to_string().replace('/', r"\")
}

impl Host for Fake {
    fn system_root(&self) -> PathBuf {
        PathBuf::from(r"C:\Windows")
    }

    fn may_administer(&self) -> bool {
        self.is_administrator
    }

    fn value(&self, key: &str, name: &str) -> io::Result<Option<Value>> {
        Ok(self.registry.get(&(key.to_owned(), name.to_owned())).cloned())
    }

    fn set_value(&mut self, key: &str, name: &str, value: &Value) -> io::Result<()> {
        self.change()?;
        self.registry.insert((key.into(), name.into()), value.clone());
        Ok(())
    }

    fn remove_key(&mut self, key: &str) -> io::Result<()> {
        self.change()?;
        let below = format!(r"{key}\");
        self.registry.retain(|(found, _), _| found != key && !found.starts_with(&below));
        Ok(())
    }

    fn service(&self, name: &str) -> io::Result<Option<Service>> {
        Ok(self.services.get(name).copied())
    }

    fn start_service(&mut self, name: &str) -> io::Result<()> {
        if let Some(error) = self.start_fails {
            return Err(io::Error::from_raw_os_error(error));
        }
        self.change()?;
        let service = self.services.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        service.state = State::Running;
        Ok(())
    }

    fn stop_service(&mut self, name: &str) -> io::Result<()> {
        self.change()?;
        let service = self.services.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        service.state = State::Stopped;
        Ok(())
    }

    fn install_program(&mut self, name: &str, _arguments: &[String]) -> io::Result<()> {
        self.change()?;
        self.services.insert(name.into(), Service { state: State::Stopped, start: Start::Auto });
        Ok(())
    }

    fn remove_service(&mut self, name: &str) -> io::Result<()> {
        self.change()?;
        self.services.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn set_start(&mut self, name: &str, start: Start) -> io::Result<()> {
        self.change()?;
        let service = self.services.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        service.start = start;
        Ok(())
    }

    fn install_package(&mut self, inf: &Path) -> io::Result<bool> {
        self.change()?;
        let service = Service { state: State::Stopped, start: Start::Demand };
        self.services.entry(SERVICE.into()).or_insert(service);
        self.packages.push(inf.to_owned());
        let published = below(self, r"INF\oem7.inf");
        self.file(&published, b"[Version]\r\nCatalogFile = saker.cat\r\n");
        Ok(false)
    }

    fn uninstall_package(&mut self, _inf: &Path) -> io::Result<bool> {
        self.change()?;
        self.services.remove(SERVICE);
        self.packages.pop().ok_or(io::ErrorKind::NotFound)?;
        Ok(false)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let folder = format!(r"{}\", spelled(folder));
        let below = self.files.keys().filter_map(|path| path.strip_prefix(&folder));
        Ok(below.filter(|name| !name.contains('\\')).map(str::to_owned).collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(&spelled(path)).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn make_folder(&mut self, path: &Path, sddl: &str) -> io::Result<bool> {
        self.change()?;
        Ok(self.folders.insert(spelled(path), sddl.into()).is_none())
    }

    fn remove_folder(&mut self, path: &Path) -> io::Result<()> {
        self.change()?;
        let removed = self.folders.remove(&spelled(path));
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn security(&self, path: &Path) -> io::Result<String> {
        self.folders.get(&spelled(path)).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn run(&mut self, program: &str, arguments: &[&str]) -> io::Result<Said> {
        self.change()?;
        self.ran.push(format!("{program} {}", arguments.join(" ")));
        Ok(self.says.get(program).cloned().unwrap_or_default())
    }

    fn report(&mut self, _source: &str, _level: Level, id: u32, text: &str) -> io::Result<()> {
        self.reported.push((id, text.into()));
        Ok(())
    }
}

/// A package folder on the fake machine, with a driver that is stamped and signed.
pub(super) fn package(fake: &mut Fake) -> PathBuf {
    package_with(fake, &crate::machine::image::made_driver(true, true))
}

pub(super) fn package_with(fake: &mut Fake, driver: &[u8]) -> PathBuf {
    let folder = PathBuf::from(r"C:\saker");
    for (name, bytes) in
        [("saker.inf", &b"[Version]"[..]), ("saker.cat", b"0"), ("saker.sys", driver)]
    {
        fake.file(&folder.join(name), bytes);
    }
    folder
}

#[test]
fn the_fake_keeps_what_it_is_told() {
    let mut fake = Fake::fit();
    let inbox = below(&fake, INBOX);
    assert!(fake.make_folder(&inbox, "a").unwrap());
    assert!(!fake.make_folder(&inbox, "b").unwrap());
    assert_eq!(fake.security(&inbox).unwrap(), "b");
    fake.changes_left = Some(1);
    fake.remove_folder(&inbox).unwrap();
    assert!(fake.make_folder(&inbox, "c").is_err());
}
