//! A program at the driver's port.

use std::sync::Arc;
use std::time::{Duration, Instant};

use driver_abi::{Answer, Ask, Hello, Interest, Message, Request};
use kernel_host::{Kernel, NtStatus, PortClient, Process};

use crate::error::Error;

/// How long the driver may take, in real time, to answer: far more than it needs.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection of one process.
#[derive(Debug)]
pub struct Client {
    kernel: Arc<Kernel>,
    port: PortClient,
    next: u64,
    /// What came while an answer was waited for.
    pub heard: Vec<Message>,
}

impl Client {
    /// Connects. The inner error is what the driver or the filter manager said.
    pub fn connect(
        kernel: &Arc<Kernel>,
        process: &Arc<Process>,
        interest: Interest,
    ) -> Result<Result<Self, NtStatus>, Error> {
        let hello = Hello { interest }.encode();
        let port = kernel.try_connect_port_as(process, driver_abi::PORT_NAME, &hello)?;
        let kernel = Arc::clone(kernel);
        Ok(port.map(|port| Self { kernel, port, next: 1, heard: Vec::new() }))
    }

    /// The next message, or `None` when none comes in time.
    pub fn receive(&self, patience: Duration) -> Result<Option<Message>, Error> {
        let bytes = self.port.receive(patience);
        self.kernel.check()?;
        bytes.map(|bytes| Message::decode(&bytes).map_err(Error::Message)).transpose()
    }

    /// Sends a request; its number, or the status with which it was not taken in.
    pub fn ask(&mut self, ask: Ask) -> Result<Result<u64, NtStatus>, Error> {
        let id = self.next;
        self.next += 1;
        let (status, _) = self.port.send(&Request { id, ask }.encode(), 0)?;
        Ok(if status.is_success() { Ok(id) } else { Err(status) })
    }

    /// Waits for the answer to a request.
    pub fn answer(&mut self, id: u64) -> Result<Answer, Error> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.receive(Duration::from_millis(100))? {
                Some(Message::Answer(answer)) if answer.id == id => return Ok(answer),
                Some(other) => self.heard.push(other),
                None => {}
            }
        }
        Err(Error::Silence { what: format!("request {id}"), patience: PATIENCE })
    }

    /// The port itself.
    pub fn port(&self) -> &PortClient {
        &self.port
    }
}
