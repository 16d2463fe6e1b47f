/*
 * Forced into every bindgen run of the Linux lane (see ../README.md): the NT headers of mingw-w64,
 * and behind them the declarations that today's WDK has in its base headers and mingw-w64 does
 * not. Everything here is an interface fact from Microsoft's public documentation; what has a
 * layout is compared with Microsoft's own metadata by driver/src/ffi/abi_check.rs.
 */
#pragma once

/* mingw has it as an inline function, of which bindgen makes nothing; ntoskrnl.exe exports it. */
#define KeGetCurrentIrql saker_mingw_inline_KeGetCurrentIrql
/* Behind ntifs.h, the WDK's PEPROCESS and PETHREAD point to these. */
#define _EPROCESS _KPROCESS
#define _ETHREAD _KTHREAD
#include <ntifs.h>
#include <ntddk.h>
#undef KeGetCurrentIrql
#undef _EPROCESS
#undef _ETHREAD

#ifdef __cplusplus
extern "C" {
#endif

KIRQL KeGetCurrentIrql(VOID);

/* A macro there, a type in the WDK. */
#undef EX_PUSH_LOCK
#undef PEX_PUSH_LOCK
typedef ULONG_PTR EX_PUSH_LOCK;
typedef EX_PUSH_LOCK *PEX_PUSH_LOCK;

/* Windows 10, version 2004. wdk-sys brings the POOL_FLAG_* values itself. */
typedef ULONG64 POOL_FLAGS;

PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);
VOID NTAPI ExFreePool2(
    PVOID Pool, ULONG Tag, PVOID ExtendedParameters, ULONG ExtendedParametersCount);

/* Windows Vista. */
NTSTATUS NTAPI ZwCancelIoFileEx(
    HANDLE FileHandle, PIO_STATUS_BLOCK IoRequestToCancel, PIO_STATUS_BLOCK IoStatusBlock);

/* Windows 8. */
VOID NTAPI KeQuerySystemTimePrecise(PLARGE_INTEGER CurrentTime);

/* Windows 8.1. Flag 1: the source is a physical address; 2: it is a virtual one. */
#define MM_COPY_MEMORY_PHYSICAL 0x1
#define MM_COPY_MEMORY_VIRTUAL 0x2

typedef struct _MM_COPY_ADDRESS {
    union {
        PVOID VirtualAddress;
        PHYSICAL_ADDRESS PhysicalAddress;
    };
} MM_COPY_ADDRESS, *PMMCOPY_ADDRESS;

NTSTATUS NTAPI MmCopyMemory(
    PVOID TargetAddress,
    MM_COPY_ADDRESS SourceAddress,
    SIZE_T NumberOfBytes,
    ULONG Flags,
    PSIZE_T NumberOfBytesTransferred);

/* Windows 10, version 1703. */
ULONGLONG NTAPI PsGetProcessStartKey(PEPROCESS Process);

/* Windows 10, version 1803. */
typedef enum _DRIVER_REGKEY_TYPE {
    DriverRegKeyParameters = 0,
    DriverRegKeyPersistentState = 1,
    DriverRegKeySharedPersistentState = 2,
} DRIVER_REGKEY_TYPE, *PDRIVER_REGKEY_TYPE;

NTSTATUS NTAPI IoOpenDriverRegistryKey(
    PDRIVER_OBJECT DriverObject,
    DRIVER_REGKEY_TYPE RegKeyType,
    ACCESS_MASK DesiredAccess,
    ULONG Flags,
    PHANDLE DriverRegKey);

/* Windows 8. From evntprov.h; 2 = EventProviderSetTraits. */
typedef ULONG EVENT_INFO_CLASS;

NTSTATUS NTAPI EtwSetInformation(
    REGHANDLE RegHandle,
    EVENT_INFO_CLASS InformationClass,
    PVOID EventInformation,
    ULONG InformationLength);

/* The kernel transaction manager's object: only ever a pointer. */
typedef struct _KTRANSACTION KTRANSACTION, *PKTRANSACTION;

#ifdef __cplusplus
}
#endif
