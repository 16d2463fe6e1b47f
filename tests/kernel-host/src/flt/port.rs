//! Communication ports: the driver's side and the client's.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::UserInput;
use super::dispatch::Busy;
use crate::bug::{Bug, BugKind};
use crate::cpu::{APC, Cx, PASSIVE, Trap, apis};
use crate::guest::{self, GuestBlock, GuestBuffer};
use crate::kernel::Kernel;
use crate::ledger::Debt;
use crate::machine::fold;
use crate::nt::ObjectAttributes;
use crate::process::Process;
use crate::sched::Deadline;
use crate::status::NtStatus;

/// In the length of a message's output before the callback runs.
const UNWRITTEN: u32 = 0xA5A5_A5A5;

/// `FILTER_REPLY_HEADER` before the payload of a reply.
const REPLY_HEADER: u32 = 16;

/// A port that clients can connect to.
#[derive(Debug)]
pub(super) struct ServerPort {
    body: GuestBlock,
    pub filter: u64,
    name: String,
    cookie: u64,
    connect: u64,
    disconnect: u64,
    message: u64,
    maximum: u32,
}

/// A message on its way to a client.
#[derive(Debug)]
struct Pending {
    id: u64,
    body: Vec<u8>,
    wants_reply: bool,
}

#[derive(Debug, Default)]
struct Queue {
    pending: VecDeque<Pending>,
    /// Delivered, the sender has not looked yet.
    delivered: Vec<u64>,
    replies: Vec<(u64, Vec<u8>)>,
    closed: bool,
    next: u64,
}

/// One connection.
#[derive(Debug)]
pub(super) struct ClientPort {
    body: GuestBlock,
    /// Counts the connections of a kernel.
    number: u64,
    server: Arc<ServerPort>,
    /// What the connect callback gave for this connection.
    cookie: Mutex<u64>,
    queue: Mutex<Queue>,
    disconnected: Mutex<bool>,
    /// The connect callback has welcomed it.
    connected: AtomicBool,
}

impl ClientPort {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cookie(&self) -> u64 {
        *self.cookie.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the disconnect callback, once: false when somebody has called it before.
    fn disconnect(&self, kernel: &Kernel) -> Result<bool, Box<Bug>> {
        kernel.sched().change(|| self.queue().closed = true);
        let mut done = self.disconnected.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *done, true) {
            return Ok(false);
        }
        drop(done);
        kernel.as_system(|| kernel.call(self.server.disconnect, &[self.cookie()]))?;
        Ok(true)
    }
}

/// A message that a client received.
#[derive(Clone, Debug)]
pub struct Message {
    /// What a reply must name.
    pub id: u64,
    /// Whether the sender waits for a reply.
    pub wants_reply: bool,
    /// The payload, without `FILTER_MESSAGE_HEADER`.
    pub body: Vec<u8>,
}

/// A user-mode program's end of a port. Dropping it disconnects.
pub struct PortClient {
    kernel: Arc<Kernel>,
    process: Arc<Process>,
    port: Arc<ClientPort>,
}

impl std::fmt::Debug for PortClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PortClient({})", self.port.server.name)
    }
}

impl Kernel {
    /// `FilterConnectCommunicationPort`, by the System process. The inner `Err` is the status that a
    /// program gets.
    pub fn try_connect_port(
        &self,
        name: &str,
        context: &[u8],
    ) -> Result<Result<PortClient, NtStatus>, Box<Bug>> {
        self.try_connect_port_as(self.system_process(), name, context)
    }

    /// The same by another process.
    pub fn try_connect_port_as(
        &self,
        process: &Arc<Process>,
        name: &str,
        context: &[u8],
    ) -> Result<Result<PortClient, NtStatus>, Box<Bug>> {
        let folded = fold(name);
        let mut state = self.filters().state();
        let Some(server) = state.server_ports.values().find(|p| p.name == folded).cloned() else {
            return Ok(Err(NtStatus::OBJECT_NAME_NOT_FOUND));
        };
        let connected = state.client_ports.values().filter(|p| Arc::ptr_eq(&p.server, &server));
        if connected.count() >= server.maximum as usize {
            return Ok(Err(NtStatus::CONNECTION_COUNT_LIMIT));
        }
        let filter = state.filters.iter().find(|f| f.address() == server.filter).cloned();
        let Some(filter) = filter else {
            return Ok(Err(NtStatus::OBJECT_NAME_NOT_FOUND));
        };
        state.connections += 1;
        let port = Arc::new(ClientPort {
            body: GuestBlock::new(64),
            number: state.connections,
            server,
            cookie: Mutex::new(0),
            queue: Mutex::default(),
            disconnected: Mutex::new(false),
            connected: AtomicBool::new(false),
        });
        state.client_ports.insert(port.body.address(), port.clone());
        drop(state);
        // Unregistering the filter waits for the callback, and disconnects who came by it.
        let Some(_busy) = Busy::begin(self, &filter) else {
            self.filters().state().client_ports.remove(&port.body.address());
            return Ok(Err(NtStatus::OBJECT_NAME_NOT_FOUND));
        };
        let buffer = GuestBuffer::new(context);
        let cookie = GuestBlock::new(8);
        let start = if context.is_empty() { 0 } else { buffer.address() };
        let arguments = [
            port.body.address(),
            port.server.cookie,
            start,
            context.len() as u64,
            cookie.address(),
        ];
        let answer = process.attached(|| self.call(port.server.connect, &arguments))?;
        let status = NtStatus::from_register(answer.value);
        if !status.is_success() {
            self.filters().state().client_ports.remove(&port.body.address());
            return Ok(Err(status));
        }
        self.ledger().owe(Debt::ClientPort, port.body.address(), [].into());
        *port.cookie.lock().unwrap_or_else(PoisonError::into_inner) =
            guest::read(cookie.address()).unwrap_or(0);
        port.connected.store(true, Ordering::Release);
        let kernel = self.shared().expect("the caller holds the kernel");
        Ok(Ok(PortClient { kernel, process: process.clone(), port }))
    }

    /// As [`Kernel::try_connect_port`], for a connection that must succeed.
    pub fn connect_port(&self, name: &str, context: &[u8]) -> Result<PortClient, Box<Bug>> {
        self.try_connect_port(name, context)?.map_err(|status| {
            let why = format!("connection to port {name} refused with {status}");
            Box::new(Bug::bare(BugKind::Filter(why)))
        })
    }
}

impl PortClient {
    /// `FilterGetMessage`: the next message's payload, or `None` after some real time (in
    /// a kernel with a seed, the machine's).
    pub fn receive(&self, patience: Duration) -> Option<Vec<u8>> {
        self.receive_message(patience).map(|message| message.body)
    }

    /// As [`PortClient::receive`], with what a reply needs.
    pub fn receive_message(&self, patience: Duration) -> Option<Message> {
        let deadline = Deadline::after(&self.kernel, patience);
        let next = self.kernel.sched().block(&self.kernel, deadline, || {
            let mut queue = self.port.queue();
            let Some(pending) = queue.pending.pop_front() else {
                return Ok(None);
            };
            queue.delivered.push(pending.id);
            Ok(Some(Message {
                id: pending.id,
                wants_reply: pending.wants_reply,
                body: pending.body,
            }))
        });
        let message = next.ok().flatten();
        self.kernel.sched().wake();
        message
    }

    /// `FilterReplyMessage`.
    pub fn reply(&self, message: &Message, body: &[u8]) {
        self.kernel.sched().change(|| self.port.queue().replies.push((message.id, body.to_vec())));
    }

    /// `FilterSendMessage`: the driver's answer and the output it wrote.
    pub fn send(
        &self,
        input: &[u8],
        output_length: usize,
    ) -> Result<(NtStatus, Vec<u8>), Box<Bug>> {
        self.send_from(&self.process, &input.into(), output_length)
    }

    /// The same with any input, and by a process that may have got a duplicate of the handle.
    pub fn send_from(
        &self,
        process: &Arc<Process>,
        input: &UserInput,
        output_length: usize,
    ) -> Result<(NtStatus, Vec<u8>), Box<Bug>> {
        if self.port.server.message == 0 {
            return Ok((NtStatus::NOT_SUPPORTED, Vec::new()));
        }
        if self.is_closed() {
            return Ok((NtStatus::PORT_DISCONNECTED, Vec::new()));
        }
        // Unregistering waits for the callback: fltmgr's symbols have a rundown reference for it in
        // each client port. That a disconnect waits for it too is written nowhere, so it does not.
        let filter = self.kernel.filters().filter(self.port.server.filter);
        let busy = filter.as_ref().and_then(|filter| Busy::begin(&self.kernel, filter));
        let Some(_busy) = busy else {
            return Ok((NtStatus::PORT_DISCONNECTED, Vec::new()));
        };
        let input = input.place(self.kernel.filters().changing());
        let output_buffer = GuestBuffer::new(&vec![0; output_length]);
        let returned = GuestBlock::new(8);
        // The filter manager's variable; a driver that leaves it alone shows as nonsense.
        guest::write(returned.address(), UNWRITTEN).expect("own memory");
        let arguments = [
            self.port.cookie(),
            input.address,
            input.length as u64,
            if output_length == 0 { 0 } else { output_buffer.address() },
            output_length as u64,
            returned.address(),
        ];
        let callback = self.port.server.message;
        let answer = process.attached(|| self.kernel.call(callback, &arguments));
        self.kernel.filters().changing().forget(&input);
        let answer = answer?;
        let written = guest::read::<u32>(returned.address()).unwrap_or(UNWRITTEN);
        if written as usize > output_length {
            let why = match written {
                UNWRITTEN => "the message callback leaves the length of its output open".to_owned(),
                _ => format!("the message callback says it wrote {written} bytes"),
            };
            let bug = Bug::at(&self.kernel, BugKind::Filter(why), callback);
            self.kernel.crash(&bug);
            return Err(Box::new(bug));
        }
        let written = written as usize;
        let mut output = output_buffer.contents();
        output.truncate(written);
        Ok((NtStatus::from_register(answer.value), output))
    }

    /// Whether the driver closed the connection.
    pub fn is_closed(&self) -> bool {
        self.port.queue().closed
    }
}

impl Drop for PortClient {
    fn drop(&mut self) {
        let Some(filter) = self.kernel.filters().filter(self.port.server.filter) else {
            return;
        };
        // A filter that is being unregistered disconnects its clients itself.
        if let Some(_busy) = Busy::begin(&self.kernel, &filter) {
            // A bug found here has stopped the kernel; `Kernel::check` tells.
            let _ = self.port.disconnect(&self.kernel);
        }
    }
}

/// Disconnects every client of a filter that is being unregistered.
pub(super) fn disconnect_all(cx: &Cx<'_>, filter: u64) -> Result<(), Trap> {
    let kernel = cx.kernel();
    let mut clients: Vec<_> = kernel
        .filters()
        .state()
        .client_ports
        .values()
        .filter(|port| port.server.filter == filter && port.connected.load(Ordering::Acquire))
        .cloned()
        .collect();
    clients.sort_by_key(|port| port.number);
    for client in clients {
        if !client.disconnect(kernel)? {
            // Its own program is at it, for which the caller waits.
            continue;
        }
        kernel.filters().state().client_ports.remove(&client.body.address());
        kernel.ledger().settle(Debt::ClientPort, client.body.address());
    }
    Ok(())
}

fn require_filter(cx: &Cx<'_>, filter: u64) -> Result<(), Trap> {
    match cx.kernel().filters().filter(filter) {
        Some(_) => Ok(()),
        None => Err(cx.misuse(format!("{filter:#x} is no registered filter"))),
    }
}

fn timeout(address: u64) -> Result<Option<i64>, Trap> {
    if address == 0 {
        return Ok(None);
    }
    // Zero is for ever, too.
    Ok(Some(guest::read::<i64>(address)?).filter(|timeout| *timeout != 0))
}

apis! {
    fltmgr [PASSIVE, 2000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn FltBuildDefaultSecurityDescriptor(cx, out: u64, _access: u32) -> NtStatus {
        let descriptor = GuestBlock::new(40);
        let address = descriptor.address();
        let kernel = cx.kernel();
        kernel.ledger().owe(Debt::SecurityDescriptor, address, cx.site());
        kernel.filters().state().descriptors.insert(address, descriptor);
        guest::write(out, address)?;
        Ok(NtStatus::SUCCESS)
    }

    fltmgr [PASSIVE, 300]
    fn FltFreeSecurityDescriptor(cx, descriptor: u64) -> () {
        let kernel = cx.kernel();
        if kernel.filters().state().descriptors.remove(&descriptor).is_none() {
            return Err(cx.misuse(format!("{descriptor:#x} is no security descriptor")));
        }
        kernel.ledger().settle(Debt::SecurityDescriptor, descriptor);
        Ok(())
    }

    fltmgr [PASSIVE, 2500, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn FltCreateCommunicationPort(cx, filter: u64, out: u64, attributes: u64, cookie: u64,
        connect: u64, disconnect: u64, message: u64, maximum: i32) -> NtStatus {
        let kernel = cx.kernel();
        require_filter(cx, filter)?;
        let descriptor: u64 = guest::read(attributes + 32)?;
        let attributes = match ObjectAttributes::read(cx, attributes)? {
            Ok(attributes) => attributes,
            Err(status) => return Ok(status),
        };
        if !attributes.is_kernel_handle() || maximum <= 0 || connect == 0 || disconnect == 0 {
            return Ok(NtStatus::INVALID_PARAMETER);
        }
        let mut state = kernel.filters().state();
        if descriptor == 0 {
            return Err(cx.misuse("a port without a security descriptor is open to everyone"));
        }
        if !state.descriptors.contains_key(&descriptor) {
            return Err(cx.misuse(format!("{descriptor:#x} is no security descriptor")));
        }
        let name = fold(&attributes.name);
        if state.server_ports.values().any(|port| port.name == name) {
            return Ok(NtStatus::OBJECT_NAME_COLLISION);
        }
        let port = ServerPort {
            body: GuestBlock::new(64),
            filter,
            name,
            cookie,
            connect,
            disconnect,
            message,
            maximum: maximum as u32,
        };
        let address = port.body.address();
        state.server_ports.insert(address, Arc::new(port));
        drop(state);
        kernel.ledger().owe(Debt::ServerPort, address, cx.site());
        guest::write(out, address)?;
        Ok(NtStatus::SUCCESS)
    }

    fltmgr [PASSIVE, 1000]
    fn FltCloseCommunicationPort(cx, port: u64) -> () {
        let kernel = cx.kernel();
        if kernel.filters().state().server_ports.remove(&port).is_none() {
            return Err(cx.misuse(format!("{port:#x} is no server port")));
        }
        kernel.ledger().settle(Debt::ServerPort, port);
        Ok(())
    }

    fltmgr [PASSIVE, 1000]
    fn FltCloseClientPort(cx, filter: u64, variable: u64) -> () {
        require_filter(cx, filter)?;
        let port: u64 = guest::read(variable)?;
        guest::write(variable, 0u64)?;
        if port == 0 {
            return Ok(());
        }
        let kernel = cx.kernel();
        let removed = kernel.filters().state().client_ports.remove(&port);
        let Some(client) = removed else {
            return Err(cx.misuse(format!("{port:#x} is no client port")));
        };
        kernel.sched().change(|| client.queue().closed = true);
        kernel.ledger().settle(Debt::ClientPort, port);
        Ok(())
    }

    fltmgr [APC, 2000, fails NtStatus::INSUFFICIENT_RESOURCES.0]
    fn FltSendMessage(cx, filter: u64, variable: u64, buffer: u64, length: u32, reply: u64,
        reply_length: u64, limit: u64) -> NtStatus {
        require_filter(cx, filter)?;
        let kernel = cx.kernel();
        let port: u64 = guest::read(variable)?;
        let limit = timeout(limit)?;
        if limit.is_none() && !cx.kpcr().system_thread.get() {
            // The client decides how long it takes; and it may wait for this very thread.
            return Err(cx.misuse("a callback would wait for a client for ever"));
        }
        let found = kernel.filters().state().client_ports.get(&port).cloned();
        let Some(client) = found else { return Ok(NtStatus::PORT_DISCONNECTED) };
        let body = guest::bytes(buffer, length as usize)?;
        let wants_reply = reply != 0;
        let mut queue = client.queue();
        if queue.closed {
            return Ok(NtStatus::PORT_DISCONNECTED);
        }
        queue.next += 1;
        let id = queue.next;
        queue.pending.push_back(Pending { id, body, wants_reply });
        drop(queue);
        kernel.sched().wake();
        let answer = kernel.sched().block(kernel, Deadline::from_timeout(kernel, limit), || {
            let mut queue = client.queue();
            if wants_reply {
                if let Some(index) = queue.replies.iter().position(|(to, _)| *to == id) {
                    return Ok(Some(Some(queue.replies.remove(index).1)));
                }
            } else if let Some(index) = queue.delivered.iter().position(|other| *other == id) {
                queue.delivered.remove(index);
                return Ok(Some(Some(Vec::new())));
            }
            Ok(queue.closed.then_some(None))
        })?;
        client.queue().pending.retain(|pending| pending.id != id);
        match answer {
            None => Ok(NtStatus::TIMEOUT),
            Some(None) => Ok(NtStatus::PORT_DISCONNECTED),
            Some(Some(body)) if wants_reply => {
                let room = guest::read::<u32>(reply_length)?.saturating_sub(REPLY_HEADER) as usize;
                guest::write_bytes(reply, &body[..body.len().min(room)])?;
                guest::write(reply_length, body.len().min(room) as u32)?;
                Ok(if body.len() > room { NtStatus::BUFFER_OVERFLOW } else { NtStatus::SUCCESS })
            }
            Some(Some(_)) => Ok(NtStatus::SUCCESS),
        }
    }
}
