//! The port of a machine that `kernel-host run` simulates, over its socket.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use driver_abi::{Hello, Interest, Message, Request};

use super::frames::{FilePart, Frame, FrameKind};
use super::{Connection, DeviceError};

/// How long the machine may take to answer a connect or a send.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Simulated {
    stream: UnixStream,
    /// What came and is no whole frame yet.
    bytes: Vec<u8>,
    /// Messages that came while a status was waited for.
    early: Vec<Frame>,
    /// The machine has been told that a message may come.
    asked: bool,
}

impl Simulated {
    pub(super) fn connect(path: &Path, interest: Interest) -> Result<Self, DeviceError> {
        let stream = UnixStream::connect(path)
            .map_err(|source| DeviceError::Absent { path: path.to_owned(), source })?;
        let mut connection = Self { stream, bytes: Vec::new(), early: Vec::new(), asked: false };
        let hello = Hello { interest }.encode();
        match connection.call(Frame::new(FrameKind::Connect, hello))? {
            0 => Ok(connection),
            status => Err(DeviceError::Connect { status }),
        }
    }

    /// Sends a frame and waits for the status it has.
    fn call(&mut self, frame: Frame) -> Result<u32, DeviceError> {
        frame.write(&self.stream).map_err(|_| DeviceError::Closed)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let frame = self.frame(deadline)?.ok_or(DeviceError::Silence { patience: PATIENCE })?;
            match frame.as_status() {
                Some(status) => return Ok(status),
                None => self.early.push(frame),
            }
        }
    }

    /// The next frame, or `None` when none comes in time.
    fn frame(&mut self, deadline: Instant) -> Result<Option<Frame>, DeviceError> {
        loop {
            let frame = Frame::take(&mut self.bytes);
            if let Some(frame) = frame.map_err(|source| DeviceError::Broken { source })? {
                return Ok(Some(frame));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let mut chunk = [0; 4096];
            let read = self
                .stream
                .set_read_timeout(Some(left))
                .and_then(|()| (&self.stream).read(&mut chunk));
            match read {
                Ok(0) => return Err(DeviceError::Closed),
                Ok(read) => self.bytes.extend(chunk.iter().take(read)),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return Err(DeviceError::Closed),
                },
            }
        }
    }
}

impl Connection for Simulated {
    fn receive(&mut self, patience: Duration) -> Result<Option<Message>, DeviceError> {
        if !self.asked {
            let get = Frame::new(FrameKind::Get, []);
            get.write(&self.stream).map_err(|_| DeviceError::Closed)?;
            self.asked = true;
        }
        let frame = match self.early.pop() {
            Some(frame) => Some(frame),
            None => self.frame(Instant::now() + patience)?,
        };
        let Some(frame) = frame else {
            return Ok(None);
        };
        self.asked = false;
        Message::decode(&frame.payload).map(Some).map_err(DeviceError::Message)
    }

    fn send(&mut self, request: &Request) -> Result<(), DeviceError> {
        match self.call(Frame::new(FrameKind::Send, request.encode()))? {
            0 => Ok(()),
            status => Err(DeviceError::Refused { status }),
        }
    }

    fn deliver(&mut self, name: &str, bytes: &[u8]) -> Result<(), DeviceError> {
        let refused = |reason: String| DeviceError::NotDelivered { name: name.to_owned(), reason };
        for part in FilePart::all(name, bytes) {
            match self.call(Frame::new(FrameKind::File, part.encode()))? {
                0 => {}
                status => return Err(refused(format!("status {status:#010x}"))),
            }
        }
        Ok(())
    }
}
