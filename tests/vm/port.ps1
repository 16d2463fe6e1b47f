# Talks to saker.sys over its filter communication port: Get-SakerStatus and Wait-SakerEvent.
#
# NOT YET RUN ON WINDOWS. Dot-source this file (. .\port.ps1) as administrator: only SYSTEM and
# administrators may open the port. It works with Windows PowerShell 5.1 and PowerShell 7, x64.
#
# The tables below are the crate driver-abi in figures; the test driver/abi/tests/port_ps1.rs reads
# them from this file and compares each with what the crate encodes. Everything is little-endian.

Set-StrictMode -Version 2.0

# Where a field is in its message: offset and length in bytes. A message is a head and then what
# its kind says: a status (the sensor's state) or an event (one judged pipe event, or a part of it).
$SakerFields = @{
    'head.kind'            = 0, 2
    'head.version'         = 2, 2
    'head.length'          = 4, 4

    'status.protection'    = 8, 1
    'status.loss'          = 9, 1
    'status.mode'          = 10, 1
    'status.stage'         = 11, 1
    'status.test_keys'     = 12, 1
    'status.may_block'     = 13, 1
    'status.state'         = 14, 1
    'status.trip'          = 15, 1
    'status.attached'      = 159, 1
    'status.channel'       = 16, 4
    'status.epoch'         = 20, 4
    'status.sequence'      = 24, 4
    'status.rules'         = 28, 4
    'status.events'        = 32, 8
    'status.detected'      = 40, 8
    'status.blocked'       = 48, 8
    'status.exempt'        = 56, 8
    'status.unknown'       = 64, 8
    'status.not_ready'     = 72, 8
    'status.dropped'       = 80, 8
    'status.accepted'      = 88, 8
    'status.refused'       = 96, 8
    'status.scans'         = 104, 8
    'refusal.code'         = 112, 2
    'refusal.cause'        = 114, 2
    'refusal.offset'       = 116, 4
    'refusal.epoch'        = 120, 4
    'refusal.sequence'     = 124, 4
    'refusal.host_status'  = 128, 4
    'status.unwatched'     = 560, 4
    'refusal.expected'     = 136, 8
    'refusal.found'        = 144, 8
    'status.losses'        = 152, 4
    'status.settings'      = 156, 2
    'status.start_mode'    = 158, 1
    'status.fused'         = 160, 8
    'status.untold'        = 168, 8
    'status.stack_low'     = 176, 8
    'status.wrong_irql'    = 184, 8
    'status.no_memory'     = 192, 8
    'status.nameless'      = 200, 8
    'probe.outcome'        = 208, 1
    'probe.at'             = 216, 8

    'event.number'         = 8, 8
    'event.time'           = 16, 8
    'event.process_id'     = 24, 8
    'event.dropped'        = 32, 8
    'event.operation'      = 40, 1
    'event.verdict'        = 41, 1
    'event.image_known'    = 42, 1
    'event.more'           = 43, 1
    'event.epoch'          = 44, 4
    'event.sequence'       = 48, 4
    'event.matched'        = 52, 4
    'event.unknown'        = 56, 4
    'event.hit_count'      = 60, 4
    'event.first_hit'      = 64, 4
    'event.name_kept'      = 256, 2
    'event.name_full'      = 258, 2
    'event.name_text'      = 260, 512
    'event.image_kept'     = 772, 2
    'event.image_full'     = 774, 2
    'event.image_text'     = 776, 520
    'event.untold'         = 1296, 4
    'event.result'         = 1300, 4
    'event.session'        = 1304, 4
    'event.integrity'      = 1308, 4
    'event.result_known'   = 1312, 1
    'event.session_known'  = 1313, 1
    'event.integrity_known' = 1314, 1
    'event.instance'       = 1315, 1
    'event.elevated'       = 1316, 1
    'event.impersonating'  = 1317, 1
    'event.remote'         = 1318, 1
    'event.user_length'    = 1319, 1
    'event.user'           = 1320, 68
}

# Lengths of whole messages, and other numbers.
$SakerNumbers = @{
    'version'       = 0
    'status.kind'   = 1
    'event.kind'    = 2
    'status.length' = 568
    'event.length'  = 1388
    'event.hits'    = 48
}

# The words for numbers from 0; "-" is a number that is never sent.
$SakerWords = @{
    'interest'   = 'status detections everything'
    'protection' = 'none degraded full'
    'loss'       = '- no_anchor no_content on_trial refused no_state no_inbox not_attached stale fell_back fuse_tripped settings_refused inbox_unsafe slow not_seen probe_held no_control control_stale no_rules sequence_jump'
    'probe'      = 'not_yet seen not_seen not_attached held'
    'mode'       = '- observe enforce'
    'stage'      = 'none trial good'
    'state'      = 'starting running stopping'
    'cause'      = 'none host held slow directory reparse_point offline hard_link no_file other_channel struck waits no_control'
    'trip'       = '- blocks images share'
    'operation'  = '- created connected'
    'instance'   = 'unknown first further'
    'answer'     = 'unknown no yes'
    'verdict'    = 'allow detect block exempt unknown not_ready'
}

$SakerPortName = '\SakerPort'
# What a client says when it connects: these bytes, the version and the interest, 2 bytes each.
$SakerHelloMagic = 'SKR?'

if (-not ('Saker.Port' -as [type])) {
    # Windows PowerShell compiles C# 5.
    Add-Type -TypeDefinition @'
using System;
using System.ComponentModel;
using System.Runtime.InteropServices;
using System.Threading;

namespace Saker
{
    // One connection to a filter's port, for one thread.
    public sealed class Port : IDisposable
    {
        // FILTER_MESSAGE_HEADER: ULONG ReplyLength, ULONGLONG MessageId.
        private const int HeaderLength = 16;
        private const int IoPending = unchecked((int)0x800703E5);
        private const uint WaitObject0 = 0;
        private const int ErrorOperationAborted = 995;
        private const uint CancelPatience = 5000;

        private IntPtr port;
        private IntPtr done;
        private IntPtr overlapped;
        private IntPtr buffer;
        private readonly int capacity;

        public Port(string name, byte[] hello, int longestMessage)
        {
            capacity = HeaderLength + longestMessage;
            Check(FilterConnectCommunicationPort(
                name, 0, hello, (ushort)hello.Length, IntPtr.Zero, out port));
            done = CreateEventW(IntPtr.Zero, true, false, IntPtr.Zero);
            if (done == IntPtr.Zero)
            {
                Win32Exception error = new Win32Exception(Marshal.GetLastWin32Error());
                Dispose();
                throw error;
            }
            buffer = Marshal.AllocHGlobal(capacity);
            overlapped = Marshal.AllocHGlobal(Marshal.SizeOf(typeof(NativeOverlapped)));
        }

        // The next message, or null when none comes in time.
        public byte[] Receive(int milliseconds)
        {
            if (port == IntPtr.Zero || buffer == IntPtr.Zero)
            {
                throw new ObjectDisposedException("Saker.Port");
            }
            NativeOverlapped request = new NativeOverlapped();
            request.EventHandle = done;
            Marshal.StructureToPtr(request, overlapped, false);
            Marshal.Copy(new byte[capacity], 0, buffer, capacity);

            ResetEvent(done);
            int result = FilterGetMessage(port, buffer, (uint)capacity, overlapped);
            if (result != IoPending)
            {
                Check(result);
                return Message();
            }
            if (WaitForSingleObject(done, (uint)Math.Max(0, milliseconds)) != WaitObject0)
            {
                CancelIoEx(port, overlapped);
                // The kernel may write to the buffers until the request has ended.
                if (WaitForSingleObject(done, CancelPatience) != WaitObject0)
                {
                    buffer = IntPtr.Zero;
                    overlapped = IntPtr.Zero;
                    throw new TimeoutException("a request at the port can not be cancelled");
                }
            }
            uint length;
            if (GetOverlappedResult(port, overlapped, out length, false))
            {
                return Message();
            }
            int error = Marshal.GetLastWin32Error();
            if (error == ErrorOperationAborted)
            {
                return null;
            }
            throw new Win32Exception(error);
        }

        public void Dispose()
        {
            if (port != IntPtr.Zero) { CloseHandle(port); port = IntPtr.Zero; }
            if (done != IntPtr.Zero) { CloseHandle(done); done = IntPtr.Zero; }
            if (buffer != IntPtr.Zero) { Marshal.FreeHGlobal(buffer); buffer = IntPtr.Zero; }
            if (overlapped != IntPtr.Zero)
            {
                Marshal.FreeHGlobal(overlapped);
                overlapped = IntPtr.Zero;
            }
        }

        // The buffer without the filter manager's header, as long as the message says it is.
        private byte[] Message()
        {
            uint length = (uint)Marshal.ReadInt32(buffer, HeaderLength + 4);
            if (length < 8 || length > (uint)(capacity - HeaderLength))
            {
                throw new FormatException("a message says that it has " + length + " bytes");
            }
            byte[] message = new byte[length];
            Marshal.Copy(new IntPtr(buffer.ToInt64() + HeaderLength), message, 0, (int)length);
            return message;
        }

        private static void Check(int result)
        {
            if (result < 0) { Marshal.ThrowExceptionForHR(result, new IntPtr(-1)); }
        }

        [DllImport("fltlib.dll", CharSet = CharSet.Unicode, ExactSpelling = true)]
        private static extern int FilterConnectCommunicationPort(
            string name, uint options, byte[] context, ushort contextLength,
            IntPtr security, out IntPtr port);

        [DllImport("fltlib.dll", ExactSpelling = true)]
        private static extern int FilterGetMessage(
            IntPtr port, IntPtr buffer, uint bufferLength, IntPtr overlapped);

        [DllImport("kernel32.dll", ExactSpelling = true, SetLastError = true)]
        private static extern IntPtr CreateEventW(
            IntPtr security, [MarshalAs(UnmanagedType.Bool)] bool manualReset,
            [MarshalAs(UnmanagedType.Bool)] bool set, IntPtr name);

        [DllImport("kernel32.dll", ExactSpelling = true, SetLastError = true)]
        [return: MarshalAs(UnmanagedType.Bool)]
        private static extern bool ResetEvent(IntPtr handle);

        [DllImport("kernel32.dll", ExactSpelling = true, SetLastError = true)]
        private static extern uint WaitForSingleObject(IntPtr handle, uint milliseconds);

        [DllImport("kernel32.dll", ExactSpelling = true, SetLastError = true)]
        [return: MarshalAs(UnmanagedType.Bool)]
        private static extern bool GetOverlappedResult(
            IntPtr file, IntPtr overlapped, out uint length,
            [MarshalAs(UnmanagedType.Bool)] bool wait);

        [DllImport("kernel32.dll", ExactSpelling = true, SetLastError = true)]
        [return: MarshalAs(UnmanagedType.Bool)]
        private static extern bool CancelIoEx(IntPtr file, IntPtr overlapped);

        [DllImport("kernel32.dll", ExactSpelling = true, SetLastError = true)]
        [return: MarshalAs(UnmanagedType.Bool)]
        private static extern bool CloseHandle(IntPtr handle);
    }
}
'@
}

# Connects; the caller disposes of the connection. The driver serves a few clients at a time, and
# drops one that takes nothing for some seconds.
function Connect-SakerPort {
    param([ValidateSet('status', 'detections', 'everything')] [string] $Interest = 'status')
    $level = [array]::IndexOf($SakerWords['interest'].Split(' '), $Interest)
    [byte[]] $hello = [System.Text.Encoding]::ASCII.GetBytes($SakerHelloMagic) +
        [BitConverter]::GetBytes([uint16] $SakerNumbers['version']) +
        [BitConverter]::GetBytes([uint16] $level)
    $longest = [Math]::Max($SakerNumbers['status.length'], $SakerNumbers['event.length'])
    return New-Object Saker.Port -ArgumentList $SakerPortName, $hello, $longest
}

# The number in a field of a message.
function Read-SakerNumber {
    param([byte[]] $Message, [string] $Field)
    $offset, $length = $SakerFields[$Field]
    switch ($length) {
        1 { return $Message[$offset] }
        2 { return [BitConverter]::ToUInt16($Message, $offset) }
        4 { return [BitConverter]::ToUInt32($Message, $offset) }
        8 { return [BitConverter]::ToUInt64($Message, $offset) }
    }
    throw "$Field is no number"
}

# The word for the number in a field.
function Read-SakerWord {
    param([byte[]] $Message, [string] $Field, [string] $Words)
    $number = Read-SakerNumber $Message $Field
    $all = $SakerWords[$Words].Split(' ')
    if ($number -ge $all.Length) { throw "$Field is $number, which this script does not know" }
    return $all[$number]
}

# The UTF-16 text of an event: as much as was kept of it.
function Read-SakerText {
    param([byte[]] $Message, [string] $Text)
    $kept = Read-SakerNumber $Message "event.${Text}_kept"
    $offset, $length = $SakerFields["event.${Text}_text"]
    if (2 * $kept -gt $length) { throw "the $Text says that it has $kept units" }
    return [System.Text.Encoding]::Unicode.GetString($Message, $offset, 2 * $kept)
}

# A number of an event, or nothing where the driver could not find it out.
function Read-SakerKnown {
    param([byte[]] $Message, [string] $Number)
    if ((Read-SakerNumber $Message "event.${Number}_known") -eq 0) { return $null }
    return Read-SakerNumber $Message "event.$Number"
}

# The identifier of the user in whose name the request was made, or nothing where it is not known.
function Read-SakerUser {
    param([byte[]] $Message)
    if ((Read-SakerNumber $Message 'event.user_length') -eq 0) { return $null }
    $offset, $length = $SakerFields['event.user']
    return (New-Object System.Security.Principal.SecurityIdentifier $Message, $offset).Value
}

# The next message as an object with a Kind, or nothing when none comes in time.
function Receive-SakerMessage {
    param([Saker.Port] $Port, [int] $Milliseconds)
    [byte[]] $message = $Port.Receive($Milliseconds)
    if ($null -eq $message -or $message.Length -eq 0) { return $null }
    $version = Read-SakerNumber $message 'head.version'
    if ($version -ne $SakerNumbers['version']) { throw "the driver speaks version $version" }
    $kind = Read-SakerNumber $message 'head.kind'
    if ($kind -eq $SakerNumbers['status.kind'] -and $message.Length -eq $SakerNumbers['status.length']) {
        return ConvertTo-SakerStatus $message
    }
    if ($kind -eq $SakerNumbers['event.kind'] -and $message.Length -eq $SakerNumbers['event.length']) {
        return ConvertTo-SakerEvent $message
    }
    throw ("a message of kind {0} and {1} bytes is none of this version" -f $kind, $message.Length)
}

function ConvertTo-SakerStatus {
    param([byte[]] $Message)
    return New-Object psobject -Property @{
        Kind          = 'status'
        Protection    = Read-SakerWord $Message 'status.protection' 'protection'
        Loss          = Read-SakerWord $Message 'status.loss' 'loss'
        Mode          = Read-SakerWord $Message 'status.mode' 'mode'
        StartMode     = Read-SakerWord $Message 'status.start_mode' 'mode'
        Stage         = Read-SakerWord $Message 'status.stage' 'stage'
        State         = Read-SakerWord $Message 'status.state' 'state'
        Trip          = Read-SakerWord $Message 'status.trip' 'trip'
        Losses        = Read-SakerNumber $Message 'status.losses'
        SettingsRefused = Read-SakerNumber $Message 'status.settings'
        TestKeys      = (Read-SakerNumber $Message 'status.test_keys') -ne 0
        MayBlock      = (Read-SakerNumber $Message 'status.may_block') -ne 0
        Attached      = (Read-SakerNumber $Message 'status.attached') -ne 0
        Probe         = Read-SakerWord $Message 'probe.outcome' 'probe'
        ProbeAt       = Read-SakerNumber $Message 'probe.at'
        Channel       = Read-SakerNumber $Message 'status.channel'
        Epoch         = Read-SakerNumber $Message 'status.epoch'
        Sequence      = Read-SakerNumber $Message 'status.sequence'
        Rules         = Read-SakerNumber $Message 'status.rules'
        Events        = Read-SakerNumber $Message 'status.events'
        Detected      = Read-SakerNumber $Message 'status.detected'
        Blocked       = Read-SakerNumber $Message 'status.blocked'
        Exempt        = Read-SakerNumber $Message 'status.exempt'
        Unknown       = Read-SakerNumber $Message 'status.unknown'
        NotReady      = Read-SakerNumber $Message 'status.not_ready'
        Dropped       = Read-SakerNumber $Message 'status.dropped'
        Accepted      = Read-SakerNumber $Message 'status.accepted'
        Refused       = Read-SakerNumber $Message 'status.refused'
        Scans         = Read-SakerNumber $Message 'status.scans'
        Fused         = Read-SakerNumber $Message 'status.fused'
        Untold        = Read-SakerNumber $Message 'status.untold'
        StackLow      = Read-SakerNumber $Message 'status.stack_low'
        WrongIrql     = Read-SakerNumber $Message 'status.wrong_irql'
        NoMemory      = Read-SakerNumber $Message 'status.no_memory'
        Nameless      = Read-SakerNumber $Message 'status.nameless'
        RefusalCode   = Read-SakerNumber $Message 'refusal.code'
        RefusalCause  = Read-SakerWord $Message 'refusal.cause' 'cause'
        RefusalOffset = Read-SakerNumber $Message 'refusal.offset'
        RefusalEpoch    = Read-SakerNumber $Message 'refusal.epoch'
        RefusalSequence = Read-SakerNumber $Message 'refusal.sequence'
        RefusalStatus   = '0x{0:X8}' -f (Read-SakerNumber $Message 'refusal.host_status')
        RefusalExpected = Read-SakerNumber $Message 'refusal.expected'
        RefusalFound    = Read-SakerNumber $Message 'refusal.found'
    }
}

function ConvertTo-SakerEvent {
    param([byte[]] $Message)
    $hits = @()
    $undecidedBit = 2147483648
    $first, $length = $SakerFields['event.first_hit']
    $count = Read-SakerNumber $Message 'event.hit_count'
    if ($count -gt $SakerNumbers['event.hits']) { throw "an event says that it names $count rules" }
    for ($index = 0; $index -lt $count; $index++) {
        # The top bit says that the rule could not be decided; the rest is its index.
        [long] $number = [BitConverter]::ToUInt32($Message, $first + $length * $index)
        $undecided = $number -ge $undecidedBit
        if ($undecided) { $number -= $undecidedBit }
        $hits += New-Object psobject -Property @{ Rule = $number; Unknown = $undecided }
    }
    return New-Object psobject -Property @{
        Kind       = 'event'
        Number     = Read-SakerNumber $Message 'event.number'
        Time       = Read-SakerNumber $Message 'event.time'
        ProcessId  = Read-SakerNumber $Message 'event.process_id'
        Dropped    = Read-SakerNumber $Message 'event.dropped'
        Untold     = Read-SakerNumber $Message 'event.untold'
        Operation  = Read-SakerWord $Message 'event.operation' 'operation'
        Verdict    = Read-SakerWord $Message 'event.verdict' 'verdict'
        ImageKnown = (Read-SakerNumber $Message 'event.image_known') -ne 0
        More       = (Read-SakerNumber $Message 'event.more') -ne 0
        Epoch      = Read-SakerNumber $Message 'event.epoch'
        Sequence   = Read-SakerNumber $Message 'event.sequence'
        Matched    = Read-SakerNumber $Message 'event.matched'
        Unknown    = Read-SakerNumber $Message 'event.unknown'
        Hits       = $hits
        PipeName   = Read-SakerText $Message 'name'
        Image      = Read-SakerText $Message 'image'
        Result     = Read-SakerKnown $Message 'result'
        Instance   = Read-SakerWord $Message 'event.instance' 'instance'
        User       = Read-SakerUser $Message
        Session    = Read-SakerKnown $Message 'session'
        Integrity  = Read-SakerKnown $Message 'integrity'
        Elevated   = Read-SakerWord $Message 'event.elevated' 'answer'
        Impersonating = Read-SakerWord $Message 'event.impersonating' 'answer'
        Remote     = Read-SakerWord $Message 'event.remote' 'answer'
    }
}

# The sensor's state now: the driver sends it to whoever connects.
function Get-SakerStatus {
    param([int] $TimeoutSeconds = 5)
    $port = Connect-SakerPort -Interest 'status'
    try {
        $status = Receive-SakerMessage $port (1000 * $TimeoutSeconds)
        if ($null -eq $status) { throw "no status within $TimeoutSeconds s" }
        return $status
    } finally {
        $port.Dispose()
    }
}

# Listens, runs Trigger (which sees this function's variables before its own script's), and returns
# the first event about a pipe of this name (with its leading backslash, in any case) and operation,
# or nothing when none comes in time.
function Wait-SakerEvent {
    param(
        [Parameter(Mandatory = $true)] [string] $PipeName,
        [ValidateSet('created', 'connected')] [string] $Operation = 'created',
        [scriptblock] $Trigger = { $null },
        [ValidateSet('detections', 'everything')] [string] $Interest = 'detections',
        [int] $TimeoutSeconds = 10
    )
    $port = Connect-SakerPort -Interest $Interest
    try {
        # What the trigger puts out is not the result.
        $null = & $Trigger
        $deadline = [DateTime]::UtcNow.AddSeconds($TimeoutSeconds)
        while ($true) {
            $left = [int] ($deadline - [DateTime]::UtcNow).TotalMilliseconds
            if ($left -le 0) { return $null }
            $message = Receive-SakerMessage $port $left
            if ($null -ne $message -and $message.Kind -eq 'event' -and
                $message.PipeName -eq $PipeName -and $message.Operation -eq $Operation) {
                return $message
            }
        }
    } finally {
        $port.Dispose()
    }
}
