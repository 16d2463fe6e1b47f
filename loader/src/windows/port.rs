//! The port of the driver that runs on this machine.

use std::time::Duration;

use driver_abi::{Hello, Interest, Message, PORT_NAME, Request};

use super::ffi;
use super::machine::Machine;
use crate::device::port_status::nt_status;
use crate::device::{Connection, DeviceError};
use crate::files::{self, Existing, Readers};
use crate::host;

/// One connection to it.
pub struct Port(ffi::Port);

impl Port {
    /// Connects, to hear of `interest`.
    ///
    /// # Errors
    /// [`DeviceError::Connect`].
    pub fn connect(interest: Interest) -> Result<Self, DeviceError> {
        ffi::Port::connect(PORT_NAME, &Hello { interest }.encode())
            .map(Self)
            .map_err(|result| DeviceError::Connect { status: nt_status(result.0) })
    }
}

impl Connection for Port {
    fn receive(&mut self, patience: Duration) -> Result<Option<Message>, DeviceError> {
        // Whatever ends the request for a message ends the connection: the driver has closed it.
        let message = self.0.receive(patience).map_err(|_| DeviceError::Closed)?;
        message.map(|bytes| Message::decode(&bytes).map_err(DeviceError::Message)).transpose()
    }

    fn send(&mut self, request: &Request) -> Result<(), DeviceError> {
        self.0
            .send(&request.encode())
            .map_err(|result| DeviceError::Refused { status: nt_status(result.0) })
    }

    /// Beside its place, flushed, renamed: the driver looks at whole names alone.
    fn deliver(&mut self, name: &str, bytes: &[u8]) -> Result<(), DeviceError> {
        let failed = |reason: String| DeviceError::NotDelivered { name: name.to_owned(), reason };
        let inbox = host::inbox(&Machine::new()).map_err(|error| failed(error.to_string()))?;
        files::write(&inbox.join(name), bytes, Existing::Replace, Readers::All).map_err(|error| {
            failed(match &error {
                crate::Error::Write { source, .. } => format!("{error}: {source}"),
                _ => error.to_string(),
            })
        })
    }
}
