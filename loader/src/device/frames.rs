//! How a simulated machine's port travels over a socket.
//!
//! A frame is the length of its payload (4 bytes, little-endian), its kind (4 bytes) and the
//! payload, which is at most 64 KB:
//!
//! | kind | from | payload | stands for |
//! |---|---|---|---|
//! | 1 connect | client | the connection context | `FilterConnectCommunicationPort` |
//! | 2 status | machine | an `NTSTATUS`, 4 bytes | the result of connect or send |
//! | 3 get | client | nothing | `FilterGetMessage`, posted: one message may come |
//! | 4 message | machine | the message | that call's result |
//! | 5 send | client | the message | `FilterSendMessage` |
//! | 6 file | client | a [`FilePart`] | a file that is put into the driver's inbox |
//!
//! A file comes in parts, each with a status; it is there, whole, when the last one's is a success.
//! The first frame is connect, and nothing but its status comes before that was a success. The
//! messages are those of the crate `driver-abi`, byte by byte. A machine closes the socket where the
//! driver would close the port.

use std::io::{self, Read, Write};

/// The longest payload.
pub const MAX_PAYLOAD: usize = 64 * 1024;
const HEAD: usize = 8;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// The client connects.
    Connect,
    /// The result of a connect or a send.
    Status,
    /// The client can take one message.
    Get,
    /// A message from the driver.
    Message,
    /// A message to the driver.
    Send,
    /// A part of a file for the driver's inbox.
    File,
}

impl FrameKind {
    const ALL: [Self; 6] =
        [Self::Connect, Self::Status, Self::Get, Self::Message, Self::Send, Self::File];

    const fn number(self) -> u32 {
        match self {
            Self::Connect => 1,
            Self::Status => 2,
            Self::Get => 3,
            Self::Message => 4,
            Self::Send => 5,
            Self::File => 6,
        }
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame of any kind.
    pub fn new(kind: FrameKind, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, payload: payload.into() }
    }

    /// A status.
    pub fn status(status: u32) -> Self {
        Self::new(FrameKind::Status, status.to_le_bytes())
    }

    /// The status in a frame that is one.
    pub fn as_status(&self) -> Option<u32> {
        let bytes = self.payload.as_slice().try_into().ok()?;
        (self.kind == FrameKind::Status).then(|| u32::from_le_bytes(bytes))
    }

    /// Writes the frame.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        let length = u32::try_from(self.payload.len()).map_err(|_| broken("too long"))?;
        let mut bytes = Vec::with_capacity(HEAD + self.payload.len());
        bytes.extend(length.to_le_bytes());
        bytes.extend(self.kind.number().to_le_bytes());
        bytes.extend(&self.payload);
        out.write_all(&bytes)?;
        out.flush()
    }

    /// Takes the first frame off `bytes`; `None` while it is not there whole.
    pub fn take(bytes: &mut Vec<u8>) -> io::Result<Option<Self>> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let [a, b, c, d, kind @ ..] = *head;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let number = u32::from_le_bytes(kind);
        if length > MAX_PAYLOAD {
            return Err(broken("a frame is longer than 64 KB"));
        }
        let kind = FrameKind::ALL.into_iter().find(|kind| kind.number() == number);
        let kind = kind.ok_or_else(|| broken("a frame of unknown kind"))?;
        let Some(payload) = rest.get(..length).map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        bytes.drain(..HEAD + length);
        Ok(Some(Self { kind, payload }))
    }

    /// Reads one frame; `None` when the other side has closed.
    pub fn read(mut input: impl Read, bytes: &mut Vec<u8>) -> io::Result<Option<Self>> {
        loop {
            if let Some(frame) = Self::take(bytes)? {
                return Ok(Some(frame));
            }
            let mut chunk = [0; 4096];
            match input.read(&mut chunk)? {
                0 => return Ok(None),
                read => bytes.extend(chunk.iter().take(read)),
            }
        }
    }
}

/// A part of a file for the inbox: 1 byte that is 1 in the last part, 1 byte for the length of the
/// name, the name, and the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePart {
    /// No other follows.
    pub is_last: bool,
    /// The file's name in the inbox.
    pub name: String,
    /// What comes behind the parts before.
    pub bytes: Vec<u8>,
}

impl FilePart {
    /// How much of a file a part carries.
    const LENGTH: usize = 32 * 1024;

    /// A file in parts: at least one.
    pub fn all(name: &str, bytes: &[u8]) -> Vec<Self> {
        let part =
            |bytes: &[u8]| Self { is_last: false, name: name.to_owned(), bytes: bytes.to_vec() };
        let mut parts: Vec<Self> = bytes.chunks(Self::LENGTH).map(part).collect();
        if parts.is_empty() {
            parts.push(part(&[]));
        }
        if let Some(last) = parts.last_mut() {
            last.is_last = true;
        }
        parts
    }

    /// The payload of a frame. A name of more than 255 bytes is cut.
    pub fn encode(&self) -> Vec<u8> {
        let length = u8::try_from(self.name.len()).unwrap_or(u8::MAX);
        let name = self.name.as_bytes().iter().take(length.into());
        [u8::from(self.is_last), length].iter().chain(name).chain(&self.bytes).copied().collect()
    }

    /// The part in a payload; `None` when it is none, or its name could lead out of a folder.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let ([last, length], rest) = payload.split_first_chunk::<2>()?;
        let (name, bytes) = rest.split_at_checked((*length).into())?;
        let name = std::str::from_utf8(name).ok()?;
        let plain = |unit: char| unit.is_ascii_alphanumeric() || "-_.".contains(unit);
        if *last > 1 || name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return None;
        }
        Some(Self { is_last: *last == 1, name: name.to_owned(), bytes: bytes.to_vec() })
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_way_however_they_are_cut() {
        let frames = [Frame::new(FrameKind::Connect, *b"hello"), Frame::status(0xC000_0022)];
        let mut wire = Vec::new();
        for frame in &frames {
            frame.write(&mut wire).unwrap();
        }
        for cut in 0..=wire.len() {
            let mut bytes = wire[..cut].to_vec();
            let mut found = Vec::new();
            while let Some(frame) = Frame::take(&mut bytes).unwrap() {
                found.push(frame);
            }
            bytes.extend(&wire[cut..]);
            while let Some(frame) = Frame::take(&mut bytes).unwrap() {
                found.push(frame);
            }
            assert_eq!(found, frames, "cut at {cut}");
        }
        assert_eq!(frames[1].as_status(), Some(0xC000_0022));
        assert_eq!(frames[0].as_status(), None);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let mut long = [0xFF, 0xFF, 0xFF, 0x7F, 1, 0, 0, 0].to_vec();
        assert!(Frame::take(&mut long).is_err());
        let mut unknown = [0, 0, 0, 0, 9, 0, 0, 0].to_vec();
        assert!(Frame::take(&mut unknown).is_err());
    }

    #[test]
    fn a_file_comes_whole_in_parts() {
        for length in [0, 1, FilePart::LENGTH, FilePart::LENGTH + 1, 3 * FilePart::LENGTH] {
            let file: Vec<u8> = (0..length).map(|at| at.to_le_bytes()[0]).collect();
            let parts = FilePart::all("C-1.sys", &file);
            let mut whole = Vec::new();
            for (part, left) in parts.iter().zip((0..parts.len()).rev()) {
                let found = FilePart::decode(&part.encode()).unwrap();
                assert_eq!(&found, part);
                assert_eq!(found.is_last, left == 0);
                assert!(part.encode().len() <= MAX_PAYLOAD);
                whole.extend(found.bytes);
            }
            assert_eq!(whole, file);
        }
    }

    #[test]
    fn a_part_that_is_none_or_leads_elsewhere_is_refused() {
        let good = FilePart { is_last: true, name: "C-1.sys".into(), bytes: vec![] }.encode();
        for cut in 0..good.len() {
            assert_eq!(FilePart::decode(&good[..cut]), None, "cut at {cut}");
        }
        for name in ["", "..", ".x", "a/b", r"a\b", "C:a", "a\0b"] {
            let part = FilePart { is_last: true, name: name.into(), bytes: vec![1] };
            assert_eq!(FilePart::decode(&part.encode()), None, "{name:?}");
        }
        let mut flag = good;
        flag[0] = 2;
        assert_eq!(FilePart::decode(&flag), None);
    }

    #[test]
    fn the_end_of_a_stream_is_no_frame() {
        let mut bytes = Vec::new();
        assert_eq!(Frame::read(&b""[..], &mut bytes).unwrap(), None);
        assert_eq!(Frame::read(&[1, 0, 0][..], &mut bytes).unwrap(), None);
    }
}
