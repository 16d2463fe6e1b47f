//! The named pipe file system, as far as creating and opening pipes goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::kernel::Kernel;
use crate::machine::fold;
use crate::status::NtStatus;

const FILE_OPEN: u32 = 1;
const FILE_CREATE: u32 = 2;
const FILE_OPEN_IF: u32 = 3;
const OUTBOUND: u32 = 1;
const INBOUND: u32 = 2;
const FILE_READ_DATA: u32 = 1;
const FILE_WRITE_DATA: u32 = 2;
/// Each value is a server's name; its texts are others by which clients may open it.
const ALIASES: &str = r"\Registry\Machine\System\CurrentControlSet\Services\Npfs\Aliases";
const OPENED: u64 = 1;
const CREATED: u64 = 2;

/// A request to make an instance of a pipe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CreateRequest {
    pub disposition: u32,
    pub share: u32,
    pub kind: u32,
    pub read_mode: u32,
    pub maximum_instances: u32,
    pub default_timeout: i64,
    pub timeout_specified: bool,
}

#[derive(Debug)]
struct Instance {
    id: u64,
    connected: bool,
}

#[derive(Debug)]
struct Pipe {
    /// The direction: 1 outbound, 2 inbound, 3 duplex.
    share: u32,
    kind: u32,
    maximum: u32,
    instances: Vec<Instance>,
}

#[derive(Debug, Default)]
struct State {
    pipes: HashMap<String, Pipe>,
    next: u64,
}

impl State {
    fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// The pipes of a kernel.
#[derive(Debug, Default)]
pub(crate) struct Npfs(Mutex<State>);

impl Npfs {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an instance; an empty name is an anonymous pipe. Gives the `Information` value.
    pub(crate) fn create(
        &self,
        kernel: &Kernel,
        name: &[u16],
        request: CreateRequest,
    ) -> Result<(u64, PipeEnd), NtStatus> {
        let mut state = self.state();
        if name.is_empty() {
            let id = state.next_id();
            return Ok((CREATED, PipeEnd::new(kernel, String::new(), id, true)));
        }
        let key = key(name)?;
        if !(1..=3).contains(&request.share) || (request.kind & 1 == 0 && request.read_mode != 0) {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let id = state.next_id();
        let Some(pipe) = state.pipes.get_mut(&key) else {
            let timeout = request.timeout_specified && request.default_timeout < 0;
            return match request.disposition {
                FILE_OPEN => Err(NtStatus::OBJECT_NAME_NOT_FOUND),
                FILE_CREATE | FILE_OPEN_IF if timeout && request.maximum_instances != 0 => {
                    let pipe = Pipe {
                        share: request.share,
                        kind: request.kind & 1,
                        maximum: request.maximum_instances,
                        instances: vec![Instance { id, connected: false }],
                    };
                    state.pipes.insert(key.clone(), pipe);
                    Ok((CREATED, PipeEnd::new(kernel, key, id, true)))
                }
                _ => Err(NtStatus::INVALID_PARAMETER),
            };
        };
        if request.disposition == FILE_CREATE || pipe.share != request.share {
            return Err(NtStatus::ACCESS_DENIED);
        }
        if pipe.kind != request.kind & 1 {
            return Err(NtStatus::ACCESS_DENIED);
        }
        if pipe.instances.len() as u64 >= u64::from(pipe.maximum) {
            return Err(NtStatus::INSTANCE_NOT_AVAILABLE);
        }
        pipe.instances.push(Instance { id, connected: false });
        Ok((OPENED, PipeEnd::new(kernel, key, id, true)))
    }

    /// Opens the client end of a free instance; an empty name or `\` opens the root directory.
    ///
    /// The name may be an alias of a server's. A client may not write to an outbound pipe nor read
    /// from an inbound one. (ReactOS, npfs: `NpTranslateAlias`, `NpCreateClientEnd`.)
    pub(crate) fn connect(
        &self,
        kernel: &Kernel,
        name: &[u16],
        access: u32,
    ) -> Result<(u64, Option<PipeEnd>), NtStatus> {
        if name.is_empty() || name == [u16::from(b'\\')] {
            return Ok((OPENED, None));
        }
        let given = key(name)?;
        let alias = kernel.machine().registry().value_with_text(ALIASES, &given);
        let key = alias.unwrap_or(given);
        let mut state = self.state();
        let pipe = state.pipes.get_mut(&key).ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
        let against = match pipe.share {
            OUTBOUND => FILE_WRITE_DATA,
            INBOUND => FILE_READ_DATA,
            _ => 0,
        };
        if access & against != 0 {
            return Err(NtStatus::ACCESS_DENIED);
        }
        let free = pipe.instances.iter_mut().find(|instance| !instance.connected);
        let instance = free.ok_or(NtStatus::PIPE_NOT_AVAILABLE)?;
        instance.connected = true;
        Ok((OPENED, Some(PipeEnd::new(kernel, key, instance.id, false))))
    }

    /// The names of all pipes, as a listing of the root directory gives them, but folded.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.state().pipes.keys().cloned().collect();
        names.sort();
        names
    }

    fn close(&self, key: &str, id: u64, server: bool) {
        let mut state = self.state();
        let Some(pipe) = state.pipes.get_mut(key) else {
            return;
        };
        if server {
            pipe.instances.retain(|instance| instance.id != id);
            if pipe.instances.is_empty() {
                state.pipes.remove(key);
            }
        } else if let Some(instance) = pipe.instances.iter_mut().find(|i| i.id == id) {
            instance.connected = false;
        }
    }
}

/// A name with its leading backslash dropped and folded.
fn key(name: &[u16]) -> Result<String, NtStatus> {
    let name = name.strip_prefix(&[u16::from(b'\\')]).unwrap_or(name);
    if name.is_empty() || name.len() > 32_767 {
        return Err(NtStatus::OBJECT_NAME_INVALID);
    }
    // Lone surrogates are legal in names; escape them so that they stay apart.
    let text = char::decode_utf16(name.iter().copied()).map(|unit| match unit {
        Ok(character) => character.to_string(),
        Err(lone) => format!("\0{:04X}", lone.unpaired_surrogate()),
    });
    Ok(fold(&text.collect::<String>()))
}

/// An end of a pipe. Dropping it closes it; the last server end takes the pipe with it.
#[derive(Debug)]
pub struct PipeEnd {
    kernel: Weak<Kernel>,
    key: String,
    id: u64,
    server: bool,
}

impl PipeEnd {
    fn new(kernel: &Kernel, key: String, id: u64, server: bool) -> PipeEnd {
        let kernel = kernel.shared().map_or(Weak::new(), |kernel| Arc::downgrade(&kernel));
        PipeEnd { kernel, key, id, server }
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        if let Some(kernel) = self.kernel.upgrade() {
            kernel.npfs().close(&self.key, self.id, self.server);
        }
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernel({})", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: CreateRequest = CreateRequest {
        disposition: FILE_OPEN_IF,
        share: 3,
        kind: 0,
        read_mode: 0,
        maximum_instances: 2,
        default_timeout: -500_000,
        timeout_specified: true,
    };

    fn name(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn instances_and_clients() {
        let kernel = Kernel::builder().build();
        let npfs = kernel.npfs();
        let absent = npfs.connect(&kernel, &name(r"\a"), 3).unwrap_err();
        assert_eq!(absent, NtStatus::OBJECT_NAME_NOT_FOUND);
        let (information, first) = npfs.create(&kernel, &name(r"\a"), USUAL).unwrap();
        assert_eq!(information, CREATED);
        let (information, second) = npfs.create(&kernel, &name(r"\A"), USUAL).unwrap();
        assert_eq!(information, OPENED);
        let full = npfs.create(&kernel, &name(r"\a"), USUAL).unwrap_err();
        assert_eq!(full, NtStatus::INSTANCE_NOT_AVAILABLE);
        let only_first = CreateRequest { disposition: FILE_CREATE, ..USUAL };
        let refused = npfs.create(&kernel, &name(r"\a"), only_first).unwrap_err();
        assert_eq!(refused, NtStatus::ACCESS_DENIED);
        let client = npfs.connect(&kernel, &name("a"), 3).unwrap().1;
        let other = npfs.connect(&kernel, &name("a"), 3).unwrap().1;
        let busy = npfs.connect(&kernel, &name("a"), 3).unwrap_err();
        assert_eq!(busy, NtStatus::PIPE_NOT_AVAILABLE);
        drop((first, second, client, other));
        assert!(npfs.connect(&kernel, &name("a"), 3).is_err());
    }

    #[test]
    fn aliases_lead_to_their_server_and_directions_are_kept() {
        let kernel = Kernel::builder().build();
        kernel.machine().registry().set_strings(ALIASES, "lsass", &["netlogon", "samr"]);
        let npfs = kernel.npfs();
        let duplex = npfs.create(&kernel, &name(r"\lsass"), USUAL).unwrap();
        assert!(npfs.connect(&kernel, &name(r"\SamR"), 3).is_ok());
        // An alias is for clients: a server of that name is another pipe.
        let other = npfs.create(&kernel, &name(r"\samr"), USUAL).unwrap();
        assert_eq!((duplex.0, other.0), (CREATED, CREATED));
        assert_eq!(kernel.pipe_names(), ["LSASS", "SAMR"]);

        for (share, refused) in [(OUTBOUND, FILE_WRITE_DATA), (INBOUND, FILE_READ_DATA)] {
            let one_way = CreateRequest { share, ..USUAL };
            let _server = npfs.create(&kernel, &name("one way"), one_way).unwrap();
            let denied = npfs.connect(&kernel, &name("one way"), 3).unwrap_err();
            assert_eq!(denied, NtStatus::ACCESS_DENIED);
            assert!(npfs.connect(&kernel, &name("one way"), 3 & !refused).is_ok());
        }
    }

    #[test]
    fn malformed_requests_and_special_names() {
        let kernel = Kernel::builder().build();
        let npfs = kernel.npfs();
        for bad in [
            CreateRequest { share: 0, ..USUAL },
            CreateRequest { share: 4, ..USUAL },
            CreateRequest { read_mode: 1, ..USUAL },
            CreateRequest { maximum_instances: 0, ..USUAL },
            CreateRequest { default_timeout: 1, ..USUAL },
            CreateRequest { timeout_specified: false, ..USUAL },
        ] {
            let status = npfs.create(&kernel, &name("x"), bad).unwrap_err();
            assert_eq!(status, NtStatus::INVALID_PARAMETER);
        }
        let existing = CreateRequest { disposition: FILE_OPEN, ..USUAL };
        let status = npfs.create(&kernel, &name("x"), existing).unwrap_err();
        assert_eq!(status, NtStatus::OBJECT_NAME_NOT_FOUND);
        assert!(npfs.create(&kernel, &[], USUAL).is_ok(), "anonymous");
        assert!(npfs.connect(&kernel, &name(r"\"), 3).unwrap().1.is_none(), "root directory");
        let _lone = npfs.create(&kernel, &[0xD800], USUAL).unwrap();
        assert!(npfs.connect(&kernel, &[0xD801], 3).is_err());
    }
}
