//! `NTSTATUS` values that the model returns and tests compare.

use std::fmt;

/// An `NTSTATUS`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NtStatus(pub u32);

impl NtStatus {
    /// `NT_SUCCESS`: success or information.
    pub fn is_success(self) -> bool {
        self.0 < 0x8000_0000
    }

    /// From a return register, of which only the low half counts.
    pub fn from_register(value: u64) -> NtStatus {
        NtStatus(value as u32)
    }
}

macro_rules! statuses {
    ($($name:ident = $value:literal;)*) => {
        impl NtStatus {
            $(
                #[doc = concat!("`STATUS_", stringify!($name), "`.")]
                pub const $name: NtStatus = NtStatus($value);
            )*
        }

        impl fmt::Debug for NtStatus {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    $($value => f.write_str(concat!("STATUS_", stringify!($name))),)*
                    other => write!(f, "NTSTATUS({other:#010x})"),
                }
            }
        }
    };
}

statuses! {
    SUCCESS = 0x0000_0000;
    TIMEOUT = 0x0000_0102;
    PENDING = 0x0000_0103;
    BUFFER_OVERFLOW = 0x8000_0005;
    NO_MORE_FILES = 0x8000_0006;
    NO_MORE_ENTRIES = 0x8000_001A;
    OPLOCK_BREAK_IN_PROGRESS = 0x0000_0108;
    UNSUCCESSFUL = 0xC000_0001;
    NOT_IMPLEMENTED = 0xC000_0002;
    INVALID_INFO_CLASS = 0xC000_0003;
    INFO_LENGTH_MISMATCH = 0xC000_0004;
    ACCESS_VIOLATION = 0xC000_0005;
    INVALID_HANDLE = 0xC000_0008;
    INVALID_PARAMETER = 0xC000_000D;
    NO_SUCH_DEVICE = 0xC000_000E;
    NO_SUCH_FILE = 0xC000_000F;
    END_OF_FILE = 0xC000_0011;
    NO_MEMORY = 0xC000_0017;
    ACCESS_DENIED = 0xC000_0022;
    BUFFER_TOO_SMALL = 0xC000_0023;
    OBJECT_TYPE_MISMATCH = 0xC000_0024;
    OBJECT_NAME_INVALID = 0xC000_0033;
    OBJECT_NAME_NOT_FOUND = 0xC000_0034;
    OBJECT_NAME_COLLISION = 0xC000_0035;
    PORT_DISCONNECTED = 0xC000_0037;
    OBJECT_PATH_INVALID = 0xC000_0039;
    OBJECT_PATH_NOT_FOUND = 0xC000_003A;
    OBJECT_PATH_SYNTAX_BAD = 0xC000_003B;
    SHARING_VIOLATION = 0xC000_0043;
    DELETE_PENDING = 0xC000_0056;
    DISK_FULL = 0xC000_007F;
    INSUFFICIENT_RESOURCES = 0xC000_009A;
    INSTANCE_NOT_AVAILABLE = 0xC000_00AB;
    PIPE_NOT_AVAILABLE = 0xC000_00AC;
    FILE_IS_A_DIRECTORY = 0xC000_00BA;
    NOT_SUPPORTED = 0xC000_00BB;
    IO_TIMEOUT = 0xC000_00B5;
    DIRECTORY_NOT_EMPTY = 0xC000_0101;
    NOT_A_DIRECTORY = 0xC000_0103;
    NAME_TOO_LONG = 0xC000_0106;
    CANCELLED = 0xC000_0120;
    CANNOT_DELETE = 0xC000_0121;
    IO_DEVICE_ERROR = 0xC000_0185;
    PIPE_BUSY = 0xC000_00AE;
    CONNECTION_COUNT_LIMIT = 0xC000_0246;
    CONNECTION_REFUSED = 0xC000_0236;
    NOT_FOUND = 0xC000_0225;
    PROCEDURE_NOT_FOUND = 0xC000_007A;
    THREAD_IS_TERMINATING = 0xC000_004B;
    FLT_NO_HANDLER_DEFINED = 0xC01C_0001;
    FLT_INVALID_NAME_REQUEST = 0xC01C_0005;
    FLT_NOT_INITIALIZED = 0xC01C_0007;
    FLT_DELETING_OBJECT = 0xC01C_000B;
    FLT_DO_NOT_ATTACH = 0xC01C_000F;
    FLT_DO_NOT_DETACH = 0xC01C_0010;
    FLT_INSTANCE_ALTITUDE_COLLISION = 0xC01C_0011;
}

impl fmt::Display for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
