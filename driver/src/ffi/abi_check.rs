//! The generated structures against Microsoft's own metadata of the WDK, at compile time.
//!
//! On Linux the bindings come from mingw-w64's headers and our `fltKernel.h`; a wrong field there
//! would be a wrong offset in the driver. `windows-sys` is generated from metadata of the real
//! WDK, so every size and offset that the driver relies on is compared with it. On Windows the
//! same check compares the real headers with the same metadata. Built with the feature
//! `abi-check`; nothing of it reaches the driver.
//!
//! Where the metadata is known to be wrong (it cannot express that some members of
//! `FLT_PARAMETERS` are aligned to pointers), the documented x64 offsets stand here as numbers.

use core::mem::{align_of, offset_of, size_of};

use windows_sys::Wdk::Foundation as wdk;
use windows_sys::Wdk::Storage::FileSystem as fs;
use windows_sys::Wdk::Storage::FileSystem::Minifilters as flt;
use windows_sys::Wdk::System::SystemServices as sys;
use windows_sys::Win32::Foundation as win;
use windows_sys::Win32::Security as security;
use windows_sys::Win32::Storage::InstallableFileSystems as ifs;
use windows_sys::Win32::System::Diagnostics::Etw as etw;
use windows_sys::Win32::System::IO as io;
use windows_sys::Win32::System::Kernel as kernel;

use super::bindings as nt;

/// Same size, alignment and offset of each named field.
macro_rules! same_layout {
    ($ours:ty, $theirs:ty $(, $field:ident)* $(,)?) => {
        const _: () = {
            assert!(size_of::<$ours>() == size_of::<$theirs>(), "sizes differ");
            assert!(align_of::<$ours>() == align_of::<$theirs>(), "alignments differ");
            $(assert!(
                offset_of!($ours, $field) == offset_of!($theirs, $field),
                concat!("offsets of ", stringify!($field), " differ")
            );)*
        };
    };
}

/// Documented offsets, where the metadata has none to compare with.
macro_rules! documented_layout {
    ($ours:ty, $size:literal $(, $field:ident at $offset:literal)* $(,)?) => {
        const _: () = {
            assert!(size_of::<$ours>() == $size, "size differs");
            $(assert!(
                offset_of!($ours, $field) == $offset,
                concat!("offset of ", stringify!($field), " differs")
            );)*
        };
    };
}

/// Same number.
macro_rules! same_number {
    ($($ours:expr, $theirs:expr);* $(;)?) => {
        $(
            #[allow(clippy::as_conversions, clippy::unnecessary_cast, reason = "compared only")]
            const _: () = assert!($ours as i64 == $theirs as i64, "numbers differ");
        )*
    };
}

// ---- Base structures ----------------------------------------------------------------------------

same_layout!(nt::UNICODE_STRING, win::UNICODE_STRING, Length, MaximumLength, Buffer);
same_layout!(nt::LIST_ENTRY, kernel::LIST_ENTRY, Flink, Blink);
same_layout!(nt::IO_STATUS_BLOCK, io::IO_STATUS_BLOCK, Information);
same_layout!(
    nt::SECURITY_QUALITY_OF_SERVICE,
    security::SECURITY_QUALITY_OF_SERVICE,
    Length,
    ImpersonationLevel,
    ContextTrackingMode,
    EffectiveOnly,
);
same_layout!(
    nt::OBJECT_ATTRIBUTES,
    wdk::OBJECT_ATTRIBUTES,
    Length,
    RootDirectory,
    ObjectName,
    Attributes,
    SecurityDescriptor,
    SecurityQualityOfService,
);
same_layout!(
    nt::DRIVER_OBJECT,
    wdk::DRIVER_OBJECT,
    Type,
    Size,
    DeviceObject,
    Flags,
    DriverStart,
    DriverSize,
    DriverSection,
    DriverExtension,
    DriverName,
    FastIoDispatch,
    DriverInit,
    DriverUnload,
    MajorFunction,
);
same_layout!(
    nt::FILE_OBJECT,
    wdk::FILE_OBJECT,
    Type,
    Size,
    DeviceObject,
    FsContext,
    RelatedFileObject,
    Flags,
    FileName,
    CurrentByteOffset,
);
same_layout!(nt::KEVENT, wdk::KEVENT, Header);
same_layout!(nt::IRP, wdk::IRP, IoStatus, Tail);
same_layout!(
    nt::DEVICE_OBJECT,
    wdk::DEVICE_OBJECT,
    DriverObject,
    Flags,
    Characteristics,
    DeviceExtension,
);
same_layout!(nt::EX_RUNDOWN_REF, sys::EX_RUNDOWN_REF);
same_layout!(nt::MM_COPY_ADDRESS, sys::MM_COPY_ADDRESS);
same_layout!(
    nt::IO_SECURITY_CONTEXT,
    wdk::IO_SECURITY_CONTEXT,
    SecurityQos,
    AccessState,
    DesiredAccess,
    FullCreateOptions,
);
same_layout!(
    nt::NAMED_PIPE_CREATE_PARAMETERS,
    sys::NAMED_PIPE_CREATE_PARAMETERS,
    NamedPipeType,
    ReadMode,
    CompletionMode,
    MaximumInstances,
    InboundQuota,
    OutboundQuota,
    DefaultTimeout,
    TimeoutSpecified,
);

same_layout!(
    nt::ACCESS_STATE,
    wdk::ACCESS_STATE,
    RemainingDesiredAccess,
    OriginalDesiredAccess,
    SubjectSecurityContext,
);
same_layout!(
    nt::SECURITY_SUBJECT_CONTEXT,
    wdk::SECURITY_SUBJECT_CONTEXT,
    ClientToken,
    ImpersonationLevel,
    PrimaryToken,
);
same_layout!(nt::TOKEN_STATISTICS, security::TOKEN_STATISTICS, TokenId, ModifiedId);
same_layout!(nt::TOKEN_USER, security::TOKEN_USER, User);
same_layout!(nt::SID_AND_ATTRIBUTES, security::SID_AND_ATTRIBUTES, Sid, Attributes);
same_number! {
    nt::_TOKEN_INFORMATION_CLASS::TokenUser, security::TokenUser;
    nt::_TOKEN_INFORMATION_CLASS::TokenStatistics, security::TokenStatistics;
    nt::_TOKEN_INFORMATION_CLASS::TokenSessionId, security::TokenSessionId;
    nt::_TOKEN_INFORMATION_CLASS::TokenElevation, security::TokenElevation;
    nt::_TOKEN_INFORMATION_CLASS::TokenIntegrityLevel, security::TokenIntegrityLevel;
    nt::ECP_SRV_OPEN.Data1, fs::GUID_ECP_SRV_OPEN.data1;
    nt::ECP_SRV_OPEN.Data2, fs::GUID_ECP_SRV_OPEN.data2;
    nt::ECP_SRV_OPEN.Data3, fs::GUID_ECP_SRV_OPEN.data3;
    u64::from_be_bytes(nt::ECP_SRV_OPEN.Data4), u64::from_be_bytes(fs::GUID_ECP_SRV_OPEN.data4);
}

// ---- Event tracing and crash dumps --------------------------------------------------------------

same_layout!(
    nt::EVENT_DESCRIPTOR,
    etw::EVENT_DESCRIPTOR,
    Id,
    Version,
    Channel,
    Level,
    Opcode,
    Task,
    Keyword
);
same_layout!(nt::EVENT_DATA_DESCRIPTOR, etw::EVENT_DATA_DESCRIPTOR, Ptr, Size);
same_layout!(
    nt::KBUGCHECK_REASON_CALLBACK_RECORD,
    sys::KBUGCHECK_REASON_CALLBACK_RECORD,
    Entry,
    CallbackRoutine,
    Component,
    Checksum,
    Reason,
    State,
);
same_layout!(
    nt::KBUGCHECK_SECONDARY_DUMP_DATA,
    sys::KBUGCHECK_SECONDARY_DUMP_DATA,
    InBuffer,
    InBufferLength,
    MaximumAllowed,
    Guid,
    OutBuffer,
    OutBufferLength,
);
same_number! {
    nt::EVENT_PROVIDER_SET_TRAITS, etw::EventProviderSetTraits;
    nt::_KBUGCHECK_CALLBACK_REASON::KbCallbackSecondaryDumpData, sys::KbCallbackSecondaryDumpData;
    sys::BufferEmpty, 0;
}

// ---- Files and registry -------------------------------------------------------------------------

same_layout!(
    nt::FILE_STANDARD_INFORMATION,
    fs::FILE_STANDARD_INFORMATION,
    AllocationSize,
    EndOfFile,
    NumberOfLinks,
    DeletePending,
    Directory,
);
same_layout!(
    nt::FILE_ATTRIBUTE_TAG_INFORMATION,
    sys::FILE_ATTRIBUTE_TAG_INFORMATION,
    FileAttributes,
    ReparseTag,
);
same_layout!(
    nt::FILE_RENAME_INFORMATION,
    fs::FILE_RENAME_INFORMATION,
    RootDirectory,
    FileNameLength,
    FileName,
);
same_layout!(
    nt::FILE_ID_BOTH_DIR_INFORMATION,
    fs::FILE_ID_BOTH_DIR_INFORMATION,
    NextEntryOffset,
    FileIndex,
    CreationTime,
    LastAccessTime,
    LastWriteTime,
    ChangeTime,
    EndOfFile,
    AllocationSize,
    FileAttributes,
    FileNameLength,
    EaSize,
    ShortNameLength,
    ShortName,
    FileId,
    FileName,
);
same_layout!(
    nt::KEY_VALUE_PARTIAL_INFORMATION,
    sys::KEY_VALUE_PARTIAL_INFORMATION,
    TitleIndex,
    Type,
    DataLength,
    Data,
);
same_number! {
    nt::_FILE_INFORMATION_CLASS::FileStandardInformation, fs::FileStandardInformation;
    nt::_FILE_INFORMATION_CLASS::FileRenameInformation, fs::FileRenameInformation;
    nt::_FILE_INFORMATION_CLASS::FileDispositionInformation, fs::FileDispositionInformation;
    nt::_FILE_INFORMATION_CLASS::FileAttributeTagInformation, fs::FileAttributeTagInformation;
    nt::_FILE_INFORMATION_CLASS::FileIdBothDirectoryInformation, fs::FileIdBothDirectoryInformation;
    nt::_KWAIT_REASON::Executive, sys::Executive;
    nt::_EVENT_TYPE::NotificationEvent, kernel::NotificationEvent;
    nt::_EVENT_TYPE::SynchronizationEvent, kernel::SynchronizationEvent;
    nt::IRP_MJ_SHUTDOWN, sys::IRP_MJ_SHUTDOWN;
}

// ---- Filter manager -----------------------------------------------------------------------------

same_layout!(
    nt::FLT_REGISTRATION,
    flt::FLT_REGISTRATION,
    Size,
    Version,
    Flags,
    ContextRegistration,
    OperationRegistration,
    FilterUnloadCallback,
    InstanceSetupCallback,
    InstanceQueryTeardownCallback,
    InstanceTeardownStartCallback,
    InstanceTeardownCompleteCallback,
    GenerateFileNameCallback,
    NormalizeNameComponentCallback,
    NormalizeContextCleanupCallback,
    TransactionNotificationCallback,
    NormalizeNameComponentExCallback,
    SectionNotificationCallback,
);
same_layout!(
    nt::FLT_OPERATION_REGISTRATION,
    flt::FLT_OPERATION_REGISTRATION,
    MajorFunction,
    Flags,
    PreOperation,
    PostOperation,
    Reserved1,
);
same_layout!(
    nt::FLT_CONTEXT_REGISTRATION,
    flt::FLT_CONTEXT_REGISTRATION,
    ContextType,
    Flags,
    ContextCleanupCallback,
    Size,
    PoolTag,
    ContextAllocateCallback,
    ContextFreeCallback,
    Reserved1,
);
same_layout!(
    nt::FLT_CALLBACK_DATA,
    flt::FLT_CALLBACK_DATA,
    Flags,
    Thread,
    Iopb,
    IoStatus,
    TagData,
    RequestorMode,
);
same_layout!(
    nt::FLT_IO_PARAMETER_BLOCK,
    flt::FLT_IO_PARAMETER_BLOCK,
    IrpFlags,
    MajorFunction,
    MinorFunction,
    OperationFlags,
    TargetFileObject,
    TargetInstance,
    Parameters,
);
same_layout!(
    nt::FLT_RELATED_OBJECTS,
    flt::FLT_RELATED_OBJECTS,
    Size,
    TransactionContext,
    Filter,
    Volume,
    Instance,
    FileObject,
    Transaction,
);
same_layout!(
    nt::FLT_FILE_NAME_INFORMATION,
    flt::FLT_FILE_NAME_INFORMATION,
    Size,
    NamesParsed,
    Format,
    Name,
    Volume,
    Share,
    Extension,
    Stream,
    FinalComponent,
    ParentDir,
);
same_layout!(nt::FLT_PARAMETERS, flt::FLT_PARAMETERS);

/// The parameters of a create, named by type through the union's field.
type Create = nt::_FLT_PARAMETERS__bindgen_ty_1;
/// The parameters of a pipe's creation.
type CreatePipe = nt::_FLT_PARAMETERS__bindgen_ty_2;

documented_layout!(
    Create,
    48,
    SecurityContext at 0,
    Options at 8,
    FileAttributes at 16,
    ShareAccess at 18,
    EaLength at 24,
    EaBuffer at 32,
    AllocationSize at 40,
);
documented_layout!(
    CreatePipe,
    32,
    SecurityContext at 0,
    Options at 8,
    Reserved at 16,
    ShareAccess at 18,
    Parameters at 24,
);

same_number! {
    nt::_FLT_PREOP_CALLBACK_STATUS::FLT_PREOP_SUCCESS_WITH_CALLBACK, flt::FLT_PREOP_SUCCESS_WITH_CALLBACK;
    nt::_FLT_PREOP_CALLBACK_STATUS::FLT_PREOP_SUCCESS_NO_CALLBACK, flt::FLT_PREOP_SUCCESS_NO_CALLBACK;
    nt::_FLT_PREOP_CALLBACK_STATUS::FLT_PREOP_COMPLETE, flt::FLT_PREOP_COMPLETE;
    nt::_FLT_POSTOP_CALLBACK_STATUS::FLT_POSTOP_FINISHED_PROCESSING, flt::FLT_POSTOP_FINISHED_PROCESSING;
    nt::_FLT_FILESYSTEM_TYPE::FLT_FSTYPE_NTFS, ifs::FLT_FSTYPE_NTFS;
    nt::_FLT_FILESYSTEM_TYPE::FLT_FSTYPE_NPFS, ifs::FLT_FSTYPE_NPFS;
    nt::_FLT_FILESYSTEM_TYPE::FLT_FSTYPE_MSFS, ifs::FLT_FSTYPE_MSFS;
    nt::FLT_REGISTRATION_VERSION, flt::FLT_REGISTRATION_VERSION;
    nt::FLTFL_REGISTRATION_SUPPORT_NPFS_MSFS, flt::FLTFL_REGISTRATION_SUPPORT_NPFS_MSFS;
    nt::FLTFL_CALLBACK_DATA_IRP_OPERATION, flt::FLTFL_CALLBACK_DATA_IRP_OPERATION;
    nt::FLTFL_CALLBACK_DATA_FAST_IO_OPERATION, flt::FLTFL_CALLBACK_DATA_FAST_IO_OPERATION;
    nt::FLTFL_POST_OPERATION_DRAINING, flt::FLTFL_POST_OPERATION_DRAINING;
    nt::FLTFL_FILTER_UNLOAD_MANDATORY, flt::FLTFL_FILTER_UNLOAD_MANDATORY;
    nt::FLT_INSTANCE_CONTEXT, flt::FLT_INSTANCE_CONTEXT;
    nt::FLT_CONTEXT_END, flt::FLT_CONTEXT_END;
    nt::FLT_PORT_CONNECT, flt::FLT_PORT_CONNECT;
    nt::FLT_FILE_NAME_OPENED, flt::FLT_FILE_NAME_OPENED;
    nt::FLT_FILE_NAME_QUERY_DEFAULT, flt::FLT_FILE_NAME_QUERY_DEFAULT;
}
