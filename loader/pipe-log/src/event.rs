//! A named-pipe event, as a log tells it.

use std::collections::BTreeMap;
use std::fmt;

use crate::Wide;

/// What happened to the pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// An instance was created: Sysmon's event 17.
    Created,
    /// A client connected: Sysmon's event 18.
    Connected,
}

/// One named-pipe event. What a log does not say is `None`, never a guess.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipeEvent {
    /// Created or connected.
    pub operation: Operation,
    /// The name with its leading `\`; empty for an anonymous pipe.
    pub pipe_name: Wide,
    /// Full path of the process' image.
    pub image: Option<Wide>,
    /// Process id.
    pub process_id: Option<u64>,
    /// Account, `DOMAIN\name`.
    pub user: Option<Wide>,
    /// Time as the log writes it. Only for reports.
    pub time: Option<Wide>,
    /// Inputs that Sysmon does not log, under the documented keys.
    pub other: BTreeMap<Key, Value>,
}

/// A value under one of the documented [`Key`]s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text that is not a number.
    Text(Wide),
    /// A number, or text that is one (decimal or `0x`).
    Number(u64),
    /// `true` or `false`.
    Flag(bool),
}

macro_rules! keys {
    ($($(#[$doc:meta])* $key:ident = $name:literal $(| $alias:literal)* ;)+) => {
        /// The documented keys for inputs that Sysmon's pipe events do not have.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Key { $($(#[$doc])* $key,)+ }

        impl Key {
            /// Every key, in the order of the schema.
            pub const ALL: &'static [Key] = &[$(Key::$key,)+];

            /// Names in a log, the preferred one first.
            pub fn names(self) -> &'static [&'static str] {
                match self { $(Key::$key => &[$name $(, $alias)*],)+ }
            }
        }
    };
}

keys! {
    /// `ParentImage`: full path of the parent process' image.
    ParentImage = "ParentImage";
    /// `UserSid`: the user's SID as text, `S-1-5-18`. It goes before `User`.
    UserSid = "UserSid";
    /// `IntegrityLevel`: `Untrusted`, `Low`, `Medium`, `High`, `System`, or the level's number.
    IntegrityLevel = "IntegrityLevel" | "Integrity";
    /// `Elevated`: whether the token is elevated.
    Elevated = "Elevated" | "Elevation";
    /// `SessionId`: terminal session.
    SessionId = "SessionId" | "TerminalSessionId";
    /// `RemoteOrigin`: whether the request came over the network.
    RemoteOrigin = "RemoteOrigin";
    /// `Impersonating`: whether the thread impersonated another user.
    Impersonating = "Impersonating";
    /// `DesiredAccess`: access mask.
    DesiredAccess = "DesiredAccess";
    /// `CreateOptions`: create options.
    CreateOptions = "CreateOptions";
    /// `CreateDisposition`: 1 open, 2 create, 3 open or create.
    Disposition = "CreateDisposition" | "Disposition";
    /// `PipeDirection`: `Inbound`, `Outbound`, `Duplex`, or 0 to 2.
    Direction = "PipeDirection" | "Direction";
    /// `PipeType`: `Byte`, `Message`, or 0 to 1.
    PipeType = "PipeType";
    /// `ReadMode`: `Byte`, `Message`, or 0 to 1.
    ReadMode = "ReadMode";
    /// `RejectRemote`: whether remote clients are rejected.
    RejectRemote = "RejectRemote" | "RejectRemoteClients";
    /// `MaxInstances`: most instances of the pipe.
    MaxInstances = "MaxInstances" | "MaximumInstances";
    /// `InboundQuota`: bytes.
    InboundQuota = "InboundQuota";
    /// `OutboundQuota`: bytes.
    OutboundQuota = "OutboundQuota";
    /// `DefaultTimeout`: in units of 100 ns, positive.
    DefaultTimeout = "DefaultTimeout";
}

impl Key {
    /// Whether values are text, even such that looks like a number.
    pub fn is_text(self) -> bool {
        matches!(self, Self::ParentImage | Self::UserSid)
    }

    /// The preferred name in a log.
    pub fn name(self) -> &'static str {
        self.names().first().copied().unwrap_or_default()
    }
}

impl Operation {
    /// Sysmon's event id.
    pub fn event_id(self) -> u64 {
        match self {
            Self::Created => 17,
            Self::Connected => 18,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Connected => "connected",
        })
    }
}
