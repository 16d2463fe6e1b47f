//! The Windows machine that this process runs on.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use windows_registry::{Key, LOCAL_MACHINE, Type};
use windows_service::service::{
    ServiceAccess, ServiceErrorControl, ServiceInfo, ServiceStartType, ServiceState, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use super::ffi;
use crate::host::{Host, Level, Said, Service, Start, State, Value};

/// How long a service may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait between two looks at it.
const LOOK: Duration = Duration::from_millis(100);
/// `ERROR_FILE_NOT_FOUND` and `ERROR_PATH_NOT_FOUND`, as an `HRESULT`.
const NOT_THERE: [i32; 2] = [0x8007_0002_u32 as i32, 0x8007_0003_u32 as i32];
/// `ERROR_SERVICE_DOES_NOT_EXIST`.
const NO_SERVICE: i32 = 1060;

/// The machine.
pub struct Machine {
    root: PathBuf,
}

impl Machine {
    /// This machine.
    pub fn new() -> Self {
        let root =
            env::var_os("SystemRoot").map_or_else(|| PathBuf::from(r"C:\Windows"), PathBuf::from);
        Self { root }
    }

    fn open(name: &str, access: ServiceAccess) -> io::Result<windows_service::service::Service> {
        let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT);
        manager.map_err(of_service)?.open_service(name, access).map_err(of_service)
    }

    /// Waits until a service is about this.
    fn wait(service: &windows_service::service::Service, wanted: State) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let state = state(service.query_status().map_err(of_service)?.current_state);
            if state == wanted {
                return Ok(());
            }
            // One that has stopped again will not run any more.
            if state == State::Stopped || Instant::now() >= deadline {
                let what = format!("the service is {state:?}, not {wanted:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            thread::sleep(LOOK);
        }
    }

    fn key(path: &str) -> io::Result<Option<Key>> {
        there(LOCAL_MACHINE.open(path))
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Host for Machine {
    fn system_root(&self) -> PathBuf {
        self.root.clone()
    }

    /// Only who may create services may install drivers, and nobody else is asked to be let in.
    fn may_administer(&self) -> bool {
        let access = ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE;
        ServiceManager::local_computer(None::<&str>, access).is_ok()
    }

    fn value(&self, key: &str, name: &str) -> io::Result<Option<Value>> {
        let Some(key) = Self::key(key)? else { return Ok(None) };
        let Some(value) = there(key.get_value(name))? else { return Ok(None) };
        Ok(Some(match value.ty() {
            Type::U32 => u32::try_from(value).map_or(Value::Other, Value::Number),
            Type::String => String::try_from(value).map_or(Value::Other, Value::Text),
            Type::ExpandString => String::try_from(value).map_or(Value::Other, Value::Expanded),
            _ => Value::Other,
        }))
    }

    fn set_value(&mut self, key: &str, name: &str, value: &Value) -> io::Result<()> {
        let key = LOCAL_MACHINE.create(key).map_err(of_registry)?;
        match value {
            Value::Number(number) => key.set_u32(name, *number),
            Value::Text(text) => key.set_string(name, text),
            Value::Expanded(text) => key.set_expand_string(name, text),
            Value::Other => return Err(io::ErrorKind::Unsupported.into()),
        }
        .map_err(of_registry)
    }

    fn remove_key(&mut self, key: &str) -> io::Result<()> {
        there(LOCAL_MACHINE.remove_tree(key)).map(drop)
    }

    fn service(&self, name: &str) -> io::Result<Option<Service>> {
        let access = ServiceAccess::QUERY_STATUS | ServiceAccess::QUERY_CONFIG;
        let service = match Self::open(name, access) {
            Ok(service) => service,
            Err(error) if error.raw_os_error() == Some(NO_SERVICE) => return Ok(None),
            Err(error) => return Err(error),
        };
        let state = state(service.query_status().map_err(of_service)?.current_state);
        let start = match service.query_config().map_err(of_service)?.start_type {
            ServiceStartType::BootStart => Start::Boot,
            ServiceStartType::SystemStart => Start::System,
            ServiceStartType::AutoStart => Start::Auto,
            ServiceStartType::OnDemand => Start::Demand,
            ServiceStartType::Disabled => Start::Disabled,
        };
        Ok(Some(Service { state, start }))
    }

    fn start_service(&mut self, name: &str) -> io::Result<()> {
        let service = Self::open(name, ServiceAccess::START | ServiceAccess::QUERY_STATUS)?;
        service.start::<&str>(&[]).map_err(of_service)?;
        Self::wait(&service, State::Running)
    }

    fn stop_service(&mut self, name: &str) -> io::Result<()> {
        let service = Self::open(name, ServiceAccess::STOP | ServiceAccess::QUERY_STATUS)?;
        service.stop().map_err(of_service)?;
        Self::wait(&service, State::Stopped)
    }

    fn install_program(&mut self, name: &str, arguments: &[String]) -> io::Result<()> {
        let access = ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE;
        let manager = ServiceManager::local_computer(None::<&str>, access).map_err(of_service)?;
        let service = ServiceInfo {
            name: name.into(),
            display_name: "Saker: events".into(),
            service_type: ServiceType::OWN_PROCESS,
            start_type: ServiceStartType::AutoStart,
            error_control: ServiceErrorControl::Normal,
            executable_path: env::current_exe()?,
            launch_arguments: arguments.iter().map(Into::into).collect(),
            dependencies: Vec::new(),
            // LocalSystem: the driver's port lets in SYSTEM and administrators alone.
            account_name: None,
            account_password: None,
        };
        manager.create_service(&service, ServiceAccess::QUERY_STATUS).map(drop).map_err(of_service)
    }

    fn remove_service(&mut self, name: &str) -> io::Result<()> {
        Self::open(name, ServiceAccess::DELETE)?.delete().map_err(of_service)
    }

    fn set_start(&mut self, name: &str, start: Start) -> io::Result<()> {
        let service = Self::open(name, ServiceAccess::CHANGE_CONFIG)?;
        let start = match start {
            Start::Boot => ServiceStartType::BootStart,
            Start::System => ServiceStartType::SystemStart,
            Start::Auto => ServiceStartType::AutoStart,
            Start::Demand => ServiceStartType::OnDemand,
            Start::Disabled => ServiceStartType::Disabled,
        };
        ffi::change_start(service.raw_handle(), start.to_raw())
    }

    fn install_package(&mut self, inf: &Path) -> io::Result<bool> {
        ffi::install_package(&std::path::absolute(inf)?)
    }

    fn uninstall_package(&mut self, inf: &Path) -> io::Result<bool> {
        ffi::uninstall_package(&std::path::absolute(inf)?)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn make_folder(&mut self, path: &Path, sddl: &str) -> io::Result<bool> {
        ffi::make_folder(path, sddl)
    }

    fn remove_folder(&mut self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn security(&self, path: &Path) -> io::Result<String> {
        ffi::security(path)
    }

    /// By its path in the system's own folder: nothing else of that name is run.
    fn run(&mut self, program: &str, arguments: &[&str]) -> io::Result<Said> {
        let output =
            Command::new(self.root.join("System32").join(program)).args(arguments).output()?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok(Said { code: output.status.code().unwrap_or(-1), text })
    }

    fn report(&mut self, source: &str, level: Level, id: u32, text: &str) -> io::Result<()> {
        ffi::report_event(source, level, id, text)
    }
}

const fn state(state: ServiceState) -> State {
    match state {
        ServiceState::Stopped => State::Stopped,
        ServiceState::Running => State::Running,
        _ => State::Pending,
    }
}

/// `None` for what is not there.
fn there<T>(result: windows_result::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if NOT_THERE.contains(&error.code().0) => Ok(None),
        Err(error) => Err(of_registry(error)),
    }
}

fn of_registry(error: windows_result::Error) -> io::Error {
    let code = error.code().0.cast_unsigned();
    // An error of Win32's keeps its number, so that it is told in the user's language.
    match code & 0xFFFF_0000 {
        0x8007_0000 => io::Error::from_raw_os_error((code & 0xFFFF).cast_signed()),
        _ => io::Error::other(error),
    }
}

pub(super) fn of_service(error: windows_service::Error) -> io::Error {
    match error {
        windows_service::Error::Winapi(error) => error,
        other => io::Error::other(other),
    }
}
