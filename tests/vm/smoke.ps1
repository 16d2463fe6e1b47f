# Saker's first run on a Windows test machine: start on demand, one detection, unload.
#
# NOT YET RUN ON WINDOWS. What each step should show is in README.md beside this file.
#
# Use a virtual machine with a checkpoint, test signing on and a test-signed package whose .anchor
# holds the public key of the channel file given here. Nothing else has to be on the machine: the
# driver's port is read by port.ps1 beside this file. Run as administrator:
#
#   .\smoke.ps1 -Package C:\saker\package -ChannelFile C:\saker\C-00000291-00000001-00000001.sys -PipeName saker_smoke_1

#Requires -RunAsAdministrator
[CmdletBinding()]
param(
    # The folder with saker.inf, saker.sys and saker.cat.
    [Parameter(Mandatory = $true)] [string] $Package,
    # A signed channel file with a rule that detects the pipe below.
    [Parameter(Mandatory = $true)] [string] $ChannelFile,
    # The name, without \\.\pipe\, of a pipe that the rule detects.
    [Parameter(Mandatory = $true)] [string] $PipeName,
    # How long the driver may take to bring the file into force. It touches no new content in the
    # first 60 seconds after a boot, and looks into the folder every 5 seconds.
    [int] $TimeoutSeconds = 90
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$failures = 0

. (Join-Path $PSScriptRoot 'port.ps1')

function Test-Step {
    param([string] $Name, [scriptblock] $Check)
    try {
        $shown = & $Check
        Write-Host ("ok      {0}  {1}" -f $Name, $shown)
    } catch {
        Write-Host ("FAILED  {0}  {1}" -f $Name, $_.Exception.Message)
        $script:failures += 1
    }
}

function Invoke-Tool {
    param([string] $Program, [string[]] $Arguments)
    $text = & $Program @Arguments 2>&1 | Out-String
    if ($LASTEXITCODE -ne 0) {
        throw ("{0} {1} ended with {2}: {3}" -f $Program, ($Arguments -join ' '), $LASTEXITCODE, $text.Trim())
    }
    return $text
}

$inbox = Join-Path $env:SystemRoot 'System32\drivers\CrowdStrike'
$state = Join-Path $env:SystemRoot 'System32\drivers\Saker'
$inboxExisted = Test-Path $inbox
$stateExisted = Test-Path $state
$published = $null

# 1. Is this a machine to try a driver on?
Test-Step 'test signing is on' {
    # What this boot was started with; bcdedit shows the next boot's, and in the user's language.
    $options = (Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Control').SystemStartOptions
    if ($options -notmatch 'TESTSIGNING') { throw 'run: bcdedit /set testsigning on, then restart' }
}

# 2. Install and start.
Test-Step 'install' {
    $text = Invoke-Tool 'pnputil.exe' @('/add-driver', (Join-Path $Package 'saker.inf'), '/install')
    if ($text -notmatch 'oem\d+\.inf') { throw $text.Trim() }
    $script:published = $Matches[0]
    $script:published
}
Test-Step 'folders' {
    foreach ($folder in @($inbox, $state)) {
        if (-not (Test-Path $folder)) { $null = New-Item -ItemType Directory -Path $folder }
    }
    # Inbox and state belong to the system and administrators alone.
    foreach ($folder in @($inbox, $state)) {
        $null = Invoke-Tool 'icacls.exe' @($folder, '/setowner', '*S-1-5-32-544')
        $null = Invoke-Tool 'icacls.exe' @($folder, '/inheritance:r', '/grant:r', '*S-1-5-18:(OI)(CI)F', '*S-1-5-32-544:(OI)(CI)F')
    }
}
Test-Step 'start' {
    $null = Invoke-Tool 'sc.exe' @('start', 'saker')
    $query = Invoke-Tool 'sc.exe' @('query', 'saker')
    if ($query -notmatch 'RUNNING') { throw $query.Trim() }
}

# 3. Does it see pipes? Without this line nothing below can work.
Test-Step 'attached to \Device\NamedPipe' {
    $instances = Invoke-Tool 'fltmc.exe' @('instances', '-v', '\Device\NamedPipe')
    if ($instances -notmatch 'saker') { throw $instances.Trim() }
}

Test-Step 'port answers' {
    $status = Get-SakerStatus
    if ($status.Loss -eq 'no_anchor') { throw 'the driver holds no key: sakerctl machine stamp' }
    '{0} ({1}), {2}' -f $status.Protection, $status.Loss, $status.Mode
}

# 4. Content into force.
Test-Step 'content accepted' {
    # Channel, epoch and sequence as the file's header has them.
    $header = [System.IO.File]::ReadAllBytes($ChannelFile)
    $channel = [BitConverter]::ToUInt32($header, 24)
    $epoch = [BitConverter]::ToUInt32($header, 28)
    $sequence = [BitConverter]::ToUInt32($header, 32)
    if ($channel -ne 291) { throw "the file is for channel $channel, not 291" }

    # Under its own name only once it is whole.
    $name = Split-Path $ChannelFile -Leaf
    $partial = Join-Path $inbox ($name + '.partial')
    Copy-Item $ChannelFile $partial -Force
    Move-Item $partial (Join-Path $inbox $name) -Force

    $deadline = (Get-Date).AddSeconds($TimeoutSeconds)
    while ($true) {
        $status = Get-SakerStatus
        if ($status.Channel -eq $channel -and $status.Epoch -eq $epoch -and $status.Sequence -eq $sequence) {
            return ('channel {0}, epoch {1}, sequence {2}, {3} rules, {4}' -f
                $status.Channel, $status.Epoch, $status.Sequence, $status.Rules, $status.Stage)
        }
        if ((Get-Date) -gt $deadline) {
            throw ('not in force after {0} s; the driver says: {1}' -f $TimeoutSeconds, ($status | Format-List | Out-String).Trim())
        }
        Start-Sleep -Seconds 1
    }
}

# 5. One detection. The pipe is created all the same: a rule on trial never blocks.
Test-Step 'detection' {
    # Wait-SakerEvent has a $PipeName of its own, which the trigger would see.
    $bareName = $PipeName
    $seen = Wait-SakerEvent -PipeName ('\' + $PipeName) -Trigger {
        $pipe = New-Object System.IO.Pipes.NamedPipeServerStream($bareName)
        $pipe.Dispose()
    }
    if ($null -eq $seen) { throw 'no event about the pipe; does the rule name it?' }
    if ($seen.Verdict -ne 'detect') { throw ('the verdict is {0}' -f $seen.Verdict) }
    if ($seen.ProcessId -ne $PID) { throw ('process {0}, not {1}' -f $seen.ProcessId, $PID) }
    '{0} by {1}, rule {2}' -f $seen.PipeName, $seen.Image, (($seen.Hits | ForEach-Object { $_.Rule }) -join ', ')
}

# 6. A pipe that no rule names is left alone.
Test-Step 'other pipes work' {
    $other = 'saker_smoke_other_{0}' -f [guid]::NewGuid().ToString('N')
    $server = New-Object System.IO.Pipes.NamedPipeServerStream($other)
    $client = New-Object System.IO.Pipes.NamedPipeClientStream($other)
    $client.Connect(2000)
    $client.Dispose()
    $server.Dispose()
}

# 7. Unload leaves nothing.
Test-Step 'unload' {
    $null = Invoke-Tool 'sc.exe' @('stop', 'saker')
    $filters = Invoke-Tool 'fltmc.exe' @('filters')
    if ($filters -match '(?m)^saker\s') { throw 'the filter is still listed' }
}
Test-Step 'start and unload again' {
    $null = Invoke-Tool 'sc.exe' @('start', 'saker')
    $null = Invoke-Tool 'sc.exe' @('stop', 'saker')
}

# 8. Leave the machine as it was.
Test-Step 'tidy up' {
    $target = Join-Path $inbox (Split-Path $ChannelFile -Leaf)
    if (Test-Path $target) { Remove-Item $target }
    if (-not $inboxExisted -and (Test-Path $inbox)) { Remove-Item $inbox -Recurse }
    if (-not $stateExisted -and (Test-Path $state)) { Remove-Item $state -Recurse }
    if ($null -ne $published) {
        $null = Invoke-Tool 'pnputil.exe' @('/delete-driver', $published, '/uninstall')
    }
}

if ($failures -gt 0) {
    Write-Host ("`n{0} steps failed" -f $failures)
    exit 1
}
Write-Host "`nall steps passed"
exit 0
