//! Event Tracing for Windows, the provider's side, and sessions that tests start.
//!
//! `EtwRegister` and `EtwUnregister` are for PASSIVE_LEVEL, the rest for any IRQL; an unload with a
//! provider registered is Driver Verifier's 0xC4/0xDD (wdm.h pages of these functions; *miscellaneous
//! checks* of Driver Verifier). The host takes TraceLogging events only and reads each one, whether
//! or not somebody listens.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::tracelogging::{self, TraceEvent};
use crate::cpu::{ANY, Cx, PASSIVE, Trap, apis};
use crate::guest;
use crate::kernel::Kernel;
use crate::ledger::Debt;
use crate::status::NtStatus;

const CHANNEL_TRACELOGGING: u8 = 11;
const EVENT_PROVIDER_SET_TRAITS: u32 = 2;
const TYPE_EVENT_METADATA: u32 = 1;
const TYPE_PROVIDER_METADATA: u32 = 2;
const MAX_DESCRIPTORS: u32 = 128;
/// An event with its headers is at most 64 KB.
const MAX_EVENT: usize = 0x1_0000;

struct Provider {
    guid: [u8; 16],
    /// The name in its traits, once they are set.
    name: Option<String>,
}

struct Session {
    id: u64,
    guid: [u8; 16],
    level: u8,
    keywords: u64,
    events: Arc<Mutex<VecDeque<TraceEvent>>>,
}

impl Session {
    /// `EtwProviderEnabled`'s rule: level 0 and keyword 0 pass always.
    fn wants(&self, guid: [u8; 16], level: u8, keyword: u64) -> bool {
        self.guid == guid && level <= self.level && (keyword == 0 || keyword & self.keywords != 0)
    }
}

#[derive(Default)]
struct State {
    providers: HashMap<u64, Provider>,
    sessions: Vec<Session>,
    last: u64,
}

/// The tracing of a kernel.
#[derive(Default)]
pub(crate) struct Tracing(Mutex<State>);

impl Tracing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that listens to one provider; dropping it stops it.
pub struct Trace {
    kernel: Weak<Kernel>,
    id: u64,
    events: Arc<Mutex<VecDeque<TraceEvent>>>,
}

impl Trace {
    /// The oldest event that was not taken yet.
    pub fn next(&self) -> Option<TraceEvent> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// All events that were not taken yet, the oldest first.
    pub fn take(&self) -> Vec<TraceEvent> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if let Some(kernel) = self.kernel.upgrade() {
            kernel.tracing().state().sessions.retain(|session| session.id != self.id);
        }
    }
}

impl Kernel {
    /// Starts a session for a provider, by the bytes of its GUID, registered or not yet.
    pub fn start_trace(&self, guid: [u8; 16], level: u8, keywords: u64) -> Trace {
        let mut state = self.tracing().state();
        state.last += 1;
        let (id, events) = (state.last, Arc::default());
        let session = Session { id, guid, level, keywords, events: Arc::clone(&events) };
        state.sessions.push(session);
        let kernel = self.shared().map_or(Weak::new(), |kernel| Arc::downgrade(&kernel));
        Trace { kernel, id, events }
    }

    /// The names of the providers that are registered; empty for one without traits.
    pub fn trace_providers(&self) -> Vec<String> {
        let state = self.tracing().state();
        state.providers.values().map(|provider| provider.name.clone().unwrap_or_default()).collect()
    }
}

/// Runs something with a provider that must be registered.
fn with_provider<T>(
    cx: &Cx<'_>,
    handle: u64,
    run: impl FnOnce(&mut Provider, &[Session]) -> T,
) -> Result<T, Trap> {
    let mut state = cx.kernel().tracing().state();
    let State { providers, sessions, .. } = &mut *state;
    match providers.get_mut(&handle) {
        Some(provider) => Ok(run(provider, sessions)),
        None => Err(cx.misuse(format!("{handle:#x} is no registered provider"))),
    }
}

fn write(cx: &Cx<'_>, handle: u64, event: u64, count: u32, data: u64) -> Result<NtStatus, Trap> {
    if count > MAX_DESCRIPTORS {
        return Ok(NtStatus::INVALID_PARAMETER);
    }
    let channel: u8 = guest::read(event + 3)?;
    let level: u8 = guest::read(event + 4)?;
    let keyword: u64 = guest::read(event + 8)?;
    if channel != CHANNEL_TRACELOGGING {
        return Err(
            cx.misuse(format!("channel {channel}: only self-describing events are modelled"))
        );
    }
    let mut parts = Vec::new();
    for index in 0..u64::from(count) {
        let descriptor = data + 16 * index;
        let address = guest::read::<u64>(descriptor)?;
        let size = guest::read::<u32>(descriptor + 8)?;
        let kind = guest::read::<u32>(descriptor + 12)?;
        if cx.irql() > 1 && cx.kernel().pool().is_paged(address) {
            return Err(cx.misuse(format!("data {index} lies in paged pool")));
        }
        parts.push((kind, guest::bytes(address, size as usize)?));
    }
    if parts.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() >= MAX_EVENT {
        return Ok(NtStatus::BUFFER_OVERFLOW);
    }
    let [(TYPE_PROVIDER_METADATA, provider), (TYPE_EVENT_METADATA, metadata), values @ ..] =
        parts.as_slice()
    else {
        return Err(cx.misuse("the first two data are not provider and event metadata"));
    };
    if let Some((kind, _)) = values.iter().find(|(kind, _)| *kind != 0) {
        return Err(cx.misuse(format!("a value has descriptor type {kind}")));
    }
    let values: Vec<u8> = values.iter().flat_map(|(_, bytes)| bytes).copied().collect();
    let decoded = tracelogging::decode(provider, metadata, &values, level, keyword);
    let decoded = decoded.map_err(|why| cx.misuse(why))?;
    let named = with_provider(cx, handle, |provider, sessions| {
        for session in sessions {
            if session.wants(provider.guid, level, keyword) {
                let mut events = session.events.lock().unwrap_or_else(PoisonError::into_inner);
                events.push_back(decoded.clone());
            }
        }
        provider.name.clone()
    })?;
    match named {
        Some(name) if name != decoded.provider => {
            Err(cx.misuse(format!("provider {name} writes as {}", decoded.provider)))
        }
        _ => Ok(NtStatus::SUCCESS),
    }
}

apis! {
    ntoskrnl [PASSIVE, 1500, fails NtStatus::NO_MEMORY.0]
    fn EtwRegister(cx, guid: u64, callback: u64, _context: u64, out: u64) -> NtStatus {
        if callback != 0 {
            return Err(cx.misuse("enable callbacks are not modelled"));
        }
        let mut own = [0; 16];
        own.copy_from_slice(&guest::bytes(guid, 16)?);
        let mut state = cx.kernel().tracing().state();
        state.last += 1;
        // Two providers of one GUID are allowed; handles are never 0.
        let handle = 0xE7E7_0000_0000 | state.last;
        state.providers.insert(handle, Provider { guid: own, name: None });
        drop(state);
        cx.kernel().ledger().owe(Debt::TraceProvider, handle, cx.site());
        guest::write(out, handle)?;
        Ok(NtStatus::SUCCESS)
    }

    ntoskrnl [PASSIVE, 1500]
    fn EtwUnregister(cx, handle: u64) -> NtStatus {
        if cx.kernel().tracing().state().providers.remove(&handle).is_none() {
            return Err(cx.misuse(format!("{handle:#x} is no registered provider")));
        }
        cx.kernel().ledger().settle(Debt::TraceProvider, handle);
        Ok(NtStatus::SUCCESS)
    }

    ntoskrnl [PASSIVE, 1000, fails NtStatus::NO_MEMORY.0]
    fn EtwSetInformation(cx, handle: u64, class: u32, information: u64, length: u32) -> NtStatus {
        if class != EVENT_PROVIDER_SET_TRAITS {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let traits = guest::bytes(information, length as usize)?;
        let name = tracelogging::provider_name(&traits).map_err(|why| cx.misuse(why))?;
        // Traits stay as they were set first.
        with_provider(cx, handle, |provider, _| match provider.name {
            Some(_) => NtStatus::UNSUCCESSFUL,
            None => {
                provider.name = Some(name);
                NtStatus::SUCCESS
            }
        })
    }

    ntoskrnl [ANY, 100]
    fn EtwProviderEnabled(cx, handle: u64, level: u8, keyword: u64) -> bool {
        with_provider(cx, handle, |provider, sessions| {
            sessions.iter().any(|session| session.wants(provider.guid, level, keyword))
        })
    }

    ntoskrnl [ANY, 100]
    fn EtwEventEnabled(cx, handle: u64, event: u64) -> bool {
        let level: u8 = guest::read(event + 4)?;
        let keyword: u64 = guest::read(event + 8)?;
        with_provider(cx, handle, |provider, sessions| {
            sessions.iter().any(|session| session.wants(provider.guid, level, keyword))
        })
    }

    ntoskrnl [ANY, 2000, fails NtStatus::NO_MEMORY.0]
    fn EtwWriteTransfer(cx, handle: u64, event: u64, _activity: u64, _related: u64, count: u32,
        data: u64) -> NtStatus {
        write(cx, handle, event, count, data)
    }

    ntoskrnl [ANY, 2000, fails NtStatus::NO_MEMORY.0]
    fn EtwWrite(cx, handle: u64, event: u64, _activity: u64, count: u32, data: u64) -> NtStatus {
        write(cx, handle, event, count, data)
    }
}
