/*
 * A minifilter in C: a process may create so many named pipes, as the service's value `Limit` says
 * (4 without one), and no more. It knows nothing of Saker and nothing of the kernel host.
 *
 * With BUGGY defined it gives its memory back before it takes back its process routine.
 */
#include <ntifs.h>

#include "flt.h"

#define TAG 0x61746f51 /* Qota */

typedef struct _ENTRY {
    LIST_ENTRY Link;
    HANDLE Process;
    ULONG Created;
} ENTRY;

static PFLT_FILTER Filter;
static FAST_MUTEX Lock;
static LIST_ENTRY Entries;
static ULONG Limit = 4;

/* The entry of a process, a new one if there is none; NULL without memory. The lock is held. */
static ENTRY *find(HANDLE process)
{
    ENTRY *entry;

    for (PLIST_ENTRY link = Entries.Flink; link != &Entries; link = link->Flink) {
        entry = CONTAINING_RECORD(link, ENTRY, Link);
        if (entry->Process == process)
            return entry;
    }
    entry = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*entry), TAG);
    if (entry) {
        entry->Process = process;
        entry->Created = 0;
        InsertTailList(&Entries, &entry->Link);
    }
    return entry;
}

static FLT_PREOP_CALLBACK_STATUS NTAPI pre_create(PFLT_CALLBACK_DATA data, PVOID objects, PVOID *context)
{
    BOOLEAN exceeded = FALSE;

    UNREFERENCED_PARAMETER(objects);
    UNREFERENCED_PARAMETER(context);
    ExAcquireFastMutex(&Lock);
    ENTRY *entry = find(PsGetCurrentProcessId());
    if (entry)
        exceeded = entry->Created++ >= Limit;
    ExReleaseFastMutex(&Lock);
    if (!exceeded)
        return FLT_PREOP_SUCCESS_NO_CALLBACK;
    data->IoStatus.Status = STATUS_QUOTA_EXCEEDED;
    data->IoStatus.Information = 0;
    return FLT_PREOP_COMPLETE;
}

static VOID NTAPI on_process(PEPROCESS process, HANDLE id, PPS_CREATE_NOTIFY_INFO created)
{
    UNREFERENCED_PARAMETER(process);
    if (created)
        return;
    ExAcquireFastMutex(&Lock);
    for (PLIST_ENTRY link = Entries.Flink; link != &Entries; link = link->Flink) {
        ENTRY *entry = CONTAINING_RECORD(link, ENTRY, Link);
        if (entry->Process == id) {
            RemoveEntryList(link);
            ExFreePoolWithTag(entry, TAG);
            break;
        }
    }
    ExReleaseFastMutex(&Lock);
}

/* Nobody may look at the list any more. */
static void free_entries(void)
{
    PLIST_ENTRY next;

    for (PLIST_ENTRY link = Entries.Flink; link != &Entries; link = next) {
        next = link->Flink;
        ExFreePoolWithTag(CONTAINING_RECORD(link, ENTRY, Link), TAG);
    }
}

static NTSTATUS NTAPI unload(ULONG flags)
{
    UNREFERENCED_PARAMETER(flags);
    FltUnregisterFilter(Filter);
#ifdef BUGGY
    free_entries(); /* A process may be ending. */
    PsSetCreateProcessNotifyRoutineEx(on_process, TRUE);
#else
    PsSetCreateProcessNotifyRoutineEx(on_process, TRUE);
    free_entries();
#endif
    return STATUS_SUCCESS;
}

static void read_limit(PUNICODE_STRING path)
{
    OBJECT_ATTRIBUTES attributes;
    UNICODE_STRING name;
    HANDLE key;
    ULONG length, buffer[4];

    InitializeObjectAttributes(&attributes, path, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
    if (!NT_SUCCESS(ZwOpenKey(&key, KEY_READ, &attributes)))
        return;
    RtlInitUnicodeString(&name, L"Limit");
    if (NT_SUCCESS(ZwQueryValueKey(
            key, &name, KeyValuePartialInformation, buffer, sizeof(buffer), &length)))
        Limit = buffer[3];
    ZwClose(key);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    static const FLT_OPERATION_REGISTRATION operations[] = {
        {IRP_MJ_CREATE_NAMED_PIPE, 0, pre_create, NULL, NULL},
        {IRP_MJ_OPERATION_END, 0, NULL, NULL, NULL},
    };
    static const FLT_REGISTRATION registration = {
        .Size = sizeof(FLT_REGISTRATION),
        .Version = FLT_REGISTRATION_VERSION,
        .Flags = FLTFL_REGISTRATION_SUPPORT_NPFS_MSFS,
        .OperationRegistration = operations,
        .FilterUnloadCallback = unload,
    };
    NTSTATUS status;

    ExInitializeFastMutex(&Lock);
    InitializeListHead(&Entries);
    read_limit(path);
    status = PsSetCreateProcessNotifyRoutineEx(on_process, FALSE);
    if (!NT_SUCCESS(status))
        return status;
    status = FltRegisterFilter(driver, &registration, &Filter);
    if (NT_SUCCESS(status)) {
        status = FltStartFiltering(Filter);
        if (!NT_SUCCESS(status))
            FltUnregisterFilter(Filter);
    }
    if (!NT_SUCCESS(status)) {
        PsSetCreateProcessNotifyRoutineEx(on_process, TRUE);
        free_entries();
    }
    DbgPrint("quota: %d pipes, status %x\n", Limit, status);
    return status;
}
