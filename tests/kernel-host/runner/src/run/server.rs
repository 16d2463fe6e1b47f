//! The driver's port at a Unix socket: each connection is a process with a handle to the port.

use std::fs;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use kernel_host::{NtStatus, PortClient};
use loader::device::frames::{FilePart, Frame, FrameKind};

use super::{Shared, lock};
use crate::error::Error;

/// How long one look for a message takes: then it is looked whether anybody still waits for one.
const LOOK: Duration = Duration::from_millis(100);

/// Far more than any channel file has.
const MAX_UPLOAD: usize = 64 << 20;

/// The socket; it vanishes with this.
pub(super) struct Server {
    path: PathBuf,
}

impl Server {
    /// Listens at `path`.
    pub fn start(path: &Path, shared: &Shared) -> Result<Self, Error> {
        let broken = |source| Error::Socket { path: path.to_owned(), source };
        // One that was left behind by a process that was killed answers nobody.
        if UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
            fs::remove_file(path).map_err(broken)?;
        }
        let listener = UnixListener::bind(path).map_err(broken)?;
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                // A client that breaks the rules or goes ends its own connection.
                thread::spawn(move || serve(&stream, &shared));
            }
        });
        Ok(Self { path: path.to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What cannot be removed is removed by the next one.
        let _ = fs::remove_file(&self.path);
    }
}

fn serve(stream: &UnixStream, shared: &Shared) -> io::Result<()> {
    let mut bytes = Vec::new();
    let Some(hello) = Frame::read(stream, &mut bytes)? else {
        return Ok(());
    };
    if hello.kind != FrameKind::Connect {
        return Ok(());
    }
    let port = match connect(stream, shared, &hello.payload)? {
        Ok(port) => Arc::new(port),
        Err(status) => return Frame::status(status.0).write(stream),
    };
    let writer = Arc::new(Mutex::new(stream.try_clone()?));
    write(&writer, &Frame::status(0))?;
    let (asked, asks) = channel();
    let gone = Arc::new(AtomicBool::new(false));
    let deliverer = {
        let (port, writer, gone) = (Arc::clone(&port), Arc::clone(&writer), Arc::clone(&gone));
        thread::spawn(move || deliver(&port, &writer, &asks, &gone))
    };
    let get = || asked.send(()).is_ok();
    let result = listen(stream, &mut bytes, &port, &writer, get, &mut Upload::new(shared));
    gone.store(true, Ordering::Release);
    drop(asked);
    // It ends within a look; then the last handle to the port is closed.
    let _ = deliverer.join();
    result
}

fn connect(
    stream: &UnixStream,
    shared: &Shared,
    context: &[u8],
) -> io::Result<Result<PortClient, NtStatus>> {
    let for_power = stream.try_clone()?;
    let Some((kernel, process)) = lock(shared).welcome(for_power) else {
        return Ok(Err(NtStatus::OBJECT_NAME_NOT_FOUND));
    };
    let port = kernel.try_connect_port_as(&process, driver_abi::PORT_NAME, context);
    // A bug in the driver has stopped the kernel; the console tells it.
    Ok(port.unwrap_or(Err(NtStatus::OBJECT_NAME_NOT_FOUND)))
}

/// Takes what the client sends, until it goes.
fn listen(
    stream: &UnixStream,
    bytes: &mut Vec<u8>,
    port: &PortClient,
    writer: &Mutex<UnixStream>,
    get: impl Fn() -> bool,
    upload: &mut Upload<'_>,
) -> io::Result<()> {
    while let Some(frame) = Frame::read(stream, bytes)? {
        match frame.kind {
            FrameKind::Get if get() => {}
            FrameKind::Send => {
                let Ok((status, _)) = port.send(&frame.payload, 0) else { break };
                write(writer, &Frame::status(status.0))?;
            }
            FrameKind::File => write(writer, &Frame::status(upload.take(&frame.payload).0))?,
            _ => break,
        }
    }
    Ok(())
}

/// A file on its way to the driver's inbox.
struct Upload<'a> {
    shared: &'a Shared,
    bytes: Vec<u8>,
}

impl<'a> Upload<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self { shared, bytes: Vec::new() }
    }

    /// Takes a part; the file is there, whole, when the last one is taken.
    fn take(&mut self, payload: &[u8]) -> NtStatus {
        let Some(part) = FilePart::decode(payload) else {
            return NtStatus::INVALID_PARAMETER;
        };
        self.bytes.extend(&part.bytes);
        if self.bytes.len() > MAX_UPLOAD {
            self.bytes.clear();
            return NtStatus::INVALID_PARAMETER;
        }
        if !part.is_last {
            return NtStatus::SUCCESS;
        }
        match lock(self.shared).put_file(&part.name, std::mem::take(&mut self.bytes)) {
            Ok(()) => NtStatus::SUCCESS,
            // Only what is kept outside of the machine can fail, which its console would tell.
            Err(_) => NtStatus::UNSUCCESSFUL,
        }
    }
}

/// Gives the client a message for each that it asked for.
fn deliver(port: &PortClient, writer: &Mutex<UnixStream>, asks: &Receiver<()>, gone: &AtomicBool) {
    while asks.recv().is_ok() {
        let message = loop {
            if gone.load(Ordering::Acquire) {
                return;
            }
            if let Some(message) = port.receive(LOOK) {
                break message;
            }
            if port.is_closed() {
                // The driver has closed the port, so the handle is worth nothing.
                let writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = writer.shutdown(std::net::Shutdown::Both);
                return;
            }
            // In a kernel that has stopped, a look takes no time at all.
            thread::sleep(Duration::from_millis(1));
        };
        if write(writer, &Frame::new(FrameKind::Message, message)).is_err() {
            return;
        }
    }
}

fn write(writer: &Mutex<UnixStream>, frame: &Frame) -> io::Result<()> {
    frame.write(&*writer.lock().unwrap_or_else(PoisonError::into_inner))
}
