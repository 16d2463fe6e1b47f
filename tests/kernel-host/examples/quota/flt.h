/* What mingw-w64's headers lack of fltKernel.h, as far as quota.c needs it. */
#pragma once

typedef struct _FLT_FILTER *PFLT_FILTER;
typedef struct _FLT_CALLBACK_DATA {
    ULONG Flags;
    PETHREAD Thread;
    PVOID Iopb;
    IO_STATUS_BLOCK IoStatus;
} FLT_CALLBACK_DATA, *PFLT_CALLBACK_DATA;

typedef enum {
    FLT_PREOP_SUCCESS_NO_CALLBACK = 1,
    FLT_PREOP_COMPLETE = 4,
} FLT_PREOP_CALLBACK_STATUS;

typedef struct _FLT_OPERATION_REGISTRATION {
    UCHAR MajorFunction;
    ULONG Flags;
    FLT_PREOP_CALLBACK_STATUS (NTAPI *PreOperation)(PFLT_CALLBACK_DATA, PVOID, PVOID *);
    PVOID PostOperation;
    PVOID Reserved;
} FLT_OPERATION_REGISTRATION;

#define IRP_MJ_OPERATION_END 0x80
#define FLT_REGISTRATION_VERSION 0x0203
#define FLTFL_REGISTRATION_SUPPORT_NPFS_MSFS 2

typedef struct _FLT_REGISTRATION {
    USHORT Size;
    USHORT Version;
    ULONG Flags;
    PVOID ContextRegistration;
    const FLT_OPERATION_REGISTRATION *OperationRegistration;
    NTSTATUS (NTAPI *FilterUnloadCallback)(ULONG);
    PVOID Others[10];
} FLT_REGISTRATION;

__declspec(dllimport) NTSTATUS NTAPI FltRegisterFilter(
    PDRIVER_OBJECT driver, const FLT_REGISTRATION *registration, PFLT_FILTER *filter);
__declspec(dllimport) NTSTATUS NTAPI FltStartFiltering(PFLT_FILTER filter);
__declspec(dllimport) VOID NTAPI FltUnregisterFilter(PFLT_FILTER filter);
