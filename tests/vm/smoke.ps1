# Saker's first run on a Windows test machine: start on demand, one detection, unload.
#
# NOT YET RUN ON WINDOWS. What each step should show is in README.md beside this file.
#
# Use a virtual machine with a checkpoint, test signing on and a test-signed package whose .anchor
# holds the public key of the channel file given here. Run as administrator:
#
#   .\smoke.ps1 -Package C:\saker\package -ChannelFile C:\saker\C-00000291-00000001-00000001.sys -PipeName saker_smoke_1

[CmdletBinding()]
param(
    # The folder with saker.inf, saker.sys and saker.cat.
    [Parameter(Mandatory = $true)] [string] $Package,
    # A signed channel file with a rule that detects the pipe below.
    [Parameter(Mandatory = $true)] [string] $ChannelFile,
    # The name, without \\.\pipe\, of a pipe that the rule detects.
    [Parameter(Mandatory = $true)] [string] $PipeName,
    # The tool that shows the driver's state and reports.
    [string] $Sakerctl = (Join-Path $Package 'sakerctl.exe'),
    # How long the driver may take to bring the file into force.
    [int] $TimeoutSeconds = 60
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$failures = 0

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
$stateExisted = Test-Path $state

# 1. Is this a machine to try a driver on?
Test-Step 'test signing is on' {
    $boot = Invoke-Tool 'bcdedit.exe' @('/enum', '{current}')
    if ($boot -notmatch 'testsigning\s+Yes') { throw 'run: bcdedit /set testsigning on, then restart' }
}

# 2. Install and start.
Test-Step 'install' {
    $null = Invoke-Tool 'pnputil.exe' @('/add-driver', (Join-Path $Package 'saker.inf'), '/install')
}
Test-Step 'folders' {
    foreach ($folder in @($inbox, $state)) {
        if (-not (Test-Path $folder)) { $null = New-Item -ItemType Directory -Path $folder }
    }
    # Inbox and state belong to the system and administrators alone.
    foreach ($folder in @($inbox, $state)) {
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

# 4. Content into force.
Test-Step 'content accepted' {
    $name = Split-Path $ChannelFile -Leaf
    $partial = Join-Path $inbox ($name + '.partial')
    Copy-Item $ChannelFile $partial -Force
    Move-Item $partial (Join-Path $inbox $name) -Force
    $deadline = (Get-Date).AddSeconds($TimeoutSeconds)
    while ($true) {
        $status = & $Sakerctl 'status' 2>&1 | Out-String
        if ($status -match '291') { return }
        if ((Get-Date) -gt $deadline) { throw ("not in force after {0} s: {1}" -f $TimeoutSeconds, $status.Trim()) }
        Start-Sleep -Seconds 1
    }
}

# 5. One detection. The pipe is created all the same: a rule on trial never blocks.
Test-Step 'detection' {
    $report = [System.IO.Path]::GetTempFileName()
    $watch = Start-Process -FilePath $Sakerctl -ArgumentList 'watch' -RedirectStandardOutput $report -PassThru -WindowStyle Hidden
    try {
        Start-Sleep -Seconds 2
        $pipe = New-Object System.IO.Pipes.NamedPipeServerStream($PipeName)
        $pipe.Dispose()
        Start-Sleep -Seconds 3
    } finally {
        if (-not $watch.HasExited) { $watch.Kill() }
        $null = $watch.WaitForExit(5000)
    }
    $text = Get-Content $report -Raw
    Remove-Item $report
    if ($null -eq $text -or $text -notmatch [regex]::Escape($PipeName)) { throw 'sakerctl watch did not show the pipe' }
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
    if (-not $stateExisted -and (Test-Path $state)) { Remove-Item $state -Recurse }
}

if ($failures -gt 0) {
    Write-Host ("`n{0} steps failed" -f $failures)
    exit 1
}
Write-Host "`nall steps passed"
exit 0
