//! Clients of the driver's port, and what they say.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::time::Duration;

use driver_abi::{Hello, Message, PORT_NAME, Request};
use kernel_host::{NtStatus, PipeOptions, PortClient, UserInput};
use kernel_host_runner::rig::Rig;

use super::Sensor;
use crate::input::Input;
use crate::messages::requests;

thread_local! {
    // Left as it is when the thread ends: there is no thread any more to unload it on.
    static RIG: RefCell<Option<ManuallyDrop<Rig>>> = const { RefCell::new(None) };
}

/// Nothing that a client says brings the driver down. It lets in who says a hello of this version and
/// takes in what is a request; what it sends can be read.
pub fn run(bytes: &[u8]) {
    let Some(sensor) = Sensor::find() else { return };
    RIG.with_borrow_mut(|rig| {
        let rig = rig.get_or_insert_with(|| ManuallyDrop::new(sensor.ready()));
        session(rig, &mut Input::new(bytes));
        rig.kernel().check().unwrap_or_else(|bug| panic!("{bug}"));
    });
}

fn session(rig: &Rig, input: &mut Input<'_>) {
    let kernel = rig.kernel();
    let process = rig.create_process(1_000, None);
    let said = requests();
    let mut clients: Vec<PortClient> = Vec::new();
    while !input.is_empty() {
        let operation = input.u8();
        let client = clients.len().checked_sub(1).map(|last| input.below(last + 1));
        match (operation % 8, client) {
            (0, _) | (_, None) => {
                let context = words(input, &said);
                let client = kernel.try_connect_port_as(&process, PORT_NAME, &context);
                if let Ok(client) = client.unwrap_or_else(|bug| panic!("{bug}")) {
                    assert!(Hello::decode(&context).is_ok(), "let in with {context:02x?}");
                    clients.push(client);
                }
            }
            (1..4, Some(client)) => {
                let bytes = words(input, &said);
                let (sent, plain) = match operation >> 4 {
                    0 => (UserInput::Unmapped(bytes.len()), false),
                    1 => {
                        let then = bytes.iter().map(|byte| byte ^ operation).collect();
                        (UserInput::Changing { first: bytes.clone(), then }, false)
                    }
                    2 => (UserInput::At(input.u64(), input.below(64)), false),
                    _ => (UserInput::Bytes(bytes.clone()), true),
                };
                let room = input.below(64);
                let answer = clients[client].send_from(&process, &sent, room);
                let (status, _) = answer.unwrap_or_else(|bug| panic!("{bug}"));
                if plain && status == NtStatus::SUCCESS {
                    assert!(Request::decode(&bytes).is_ok(), "taken in: {bytes:02x?}");
                }
            }
            (4, Some(client)) => heard(&clients[client]),
            (5, Some(client)) => drop(clients.swap_remove(client)),
            (6, Some(_)) => {
                let made = kernel.create_named_pipe(&process, r"\abx", PipeOptions::default());
                made.unwrap_or_else(|bug| panic!("{bug}"));
            }
            (_, Some(_)) => kernel.advance(Duration::from_millis(50 * u64::from(input.u8()))),
        }
    }
    clients.iter().for_each(heard);
}

/// What a client may say: something that has a meaning, with a few bytes of it changed.
fn words(input: &mut Input<'_>, said: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = said[input.below(said.len())].clone();
    for _ in 0..input.below(4) {
        let (place, value) = (input.u8(), input.u8());
        match bytes.get_mut(usize::from(place)) {
            Some(byte) => *byte = value,
            None if place & 1 == 0 => bytes.truncate(usize::from(value)),
            None => bytes.resize(usize::from(value), place),
        }
    }
    bytes
}

fn heard(client: &PortClient) {
    while let Some(bytes) = client.receive(Duration::from_millis(1)) {
        Message::decode(&bytes).unwrap_or_else(|error| panic!("{error:?}: {bytes:02x?}"));
    }
}

/// Every request of one client, and four clients that say little.
pub fn seeds() -> Vec<Vec<u8>> {
    let hello = [0, 0, 7, 0];
    let asks = (0..7).flat_map(|ask| [0x31, 0, ask, 0, 0, 4, 0]);
    let all = hello.into_iter().chain(asks).collect();
    vec![all, [0, 0, 9, 0].repeat(4), (0..200).collect()]
}
