# Plays the scenarios of tests/vm/scenarios on a Windows test machine, with the same expectations as
# the kernel host (cargo test -p kernel-host-runner --test scenarios), and writes JUnit results.
#
# NOT YET RUN ON WINDOWS. What a scenario may hold is in README.md beside this file.
#
# The driver is installed and stopped, its .anchor holds the public key of the files in -Content,
# which `kernel-host scenario files` has made, and the machine has a checkpoint: inbox and state are
# emptied before each scenario. Run as administrator:
#
#   .\scenarios.ps1 -Scenarios C:\saker\scenarios -Content C:\saker\content -Results C:\saker\results.xml

#Requires -RunAsAdministrator
[CmdletBinding()]
param(
    # The folder with the scenarios (*.json).
    [Parameter(Mandatory = $true)] [string] $Scenarios,
    # The folder with their channel files: SCENARIO\FILE\C-….sys.
    [Parameter(Mandatory = $true)] [string] $Content,
    # Where the results go.
    [Parameter(Mandatory = $true)] [string] $Results,
    # Only scenarios whose name is one of these.
    [string[]] $Only = @(),
    # How the results are called: a run under Driver Verifier has another name than one without.
    [string] $Suite = 'saker'
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

. (Join-Path $PSScriptRoot 'port.ps1')

$inbox = Join-Path $env:SystemRoot 'System32\drivers\CrowdStrike'
$state = Join-Path $env:SystemRoot 'System32\drivers\Saker'
$parameters = 'HKLM:\SYSTEM\CurrentControlSet\Services\saker\Parameters'
# The driver touches no new content in a boot's first minute, and looks every five seconds.
$patienceSeconds = 90
# Content is good after ten minutes and a thousand events.
$trialSeconds = 12 * 60
$trialEvents = 1000

# Creates one pipe and says by its exit code whether that was refused. A rule may be about its path,
# so it is copied to wherever a scenario wants it.
$programSource = @'
using System;
using System.IO.Pipes;

public static class CreatePipe
{
    public static int Main(string[] arguments)
    {
        try
        {
            using (new NamedPipeServerStream(arguments[0])) { return 0; }
        }
        catch (UnauthorizedAccessException)
        {
            return 5;
        }
    }
}
'@

function Invoke-Tool {
    param([string] $Program, [string[]] $Arguments)
    $text = & $Program @Arguments 2>&1 | Out-String
    if ($LASTEXITCODE -ne 0) {
        throw ("{0} {1} ended with {2}: {3}" -f $Program, ($Arguments -join ' '), $LASTEXITCODE, $text.Trim())
    }
    return $text
}

function Test-SakerRuns {
    # Get-Service knows no drivers.
    return (Invoke-Tool 'sc.exe' @('query', 'saker')) -match 'RUNNING'
}

function Start-Saker {
    param([string] $Mode)
    $number = @{ 'observe' = 1; 'enforce' = 2 }[$Mode]
    if ($null -eq $number) { throw "there is no mode $Mode" }
    if (-not (Test-Path $parameters)) { $null = New-Item -Path $parameters }
    Set-ItemProperty -Path $parameters -Name 'Mode' -Value $number -Type DWord
    $null = Invoke-Tool 'sc.exe' @('start', 'saker')
}

function Stop-Saker {
    $null = Invoke-Tool 'sc.exe' @('stop', 'saker')
    if (Test-SakerRuns) { throw 'the driver still runs' }
    $filters = Invoke-Tool 'fltmc.exe' @('filters')
    if ($filters -match '(?m)^saker\s') { throw 'the filter is still listed' }
}

# Inbox and state, empty, for SYSTEM and administrators alone.
function Reset-Folders {
    foreach ($folder in @($inbox, $state)) {
        if (-not (Test-Path $folder)) { $null = New-Item -ItemType Directory -Path $folder }
        $null = Invoke-Tool 'icacls.exe' @($folder, '/setowner', '*S-1-5-32-544')
        $null = Invoke-Tool 'icacls.exe' @($folder, '/inheritance:r', '/grant:r', '*S-1-5-18:(OI)(CI)F', '*S-1-5-32-544:(OI)(CI)F')
        Get-ChildItem -Path $folder -Force | Remove-Item -Recurse -Force
    }
}

# Under its own name only once it is whole.
function Add-ChannelFile {
    param([string] $Scenario, [string] $File)
    $folder = Join-Path (Join-Path $Content $Scenario) $File
    $made = @(Get-ChildItem -Path $folder -Filter 'C-*.sys')
    if ($made.Length -ne 1) { throw "$folder holds no single channel file" }
    $partial = Join-Path $inbox ($made[0].Name + '.partial')
    Copy-Item -Path $made[0].FullName -Destination $partial -Force
    Move-Item -Path $partial -Destination (Join-Path $inbox $made[0].Name) -Force
}

# The first thing that the status does not say as expected, or nothing.
function Compare-Status {
    param([psobject] $Status, [psobject] $Expect)
    foreach ($property in $Expect.PSObject.Properties) {
        # refusal_code is RefusalCode: names of properties know no case.
        $said = $Status.($property.Name -replace '_', '')
        if ($said -ne $property.Value) {
            return ("{0} is {1}, and not {2}" -f $property.Name, $said, $property.Value)
        }
    }
    return $null
}

function Wait-Status {
    param([psobject] $Expect, [int] $Seconds = $patienceSeconds)
    $deadline = [DateTime]::UtcNow.AddSeconds($Seconds)
    while ($true) {
        $status = Get-SakerStatus
        $differs = Compare-Status $status $Expect
        if ($null -eq $differs) { return }
        if ([DateTime]::UtcNow -gt $deadline) {
            throw ("after {0} s {1}; the driver says: {2}" -f $Seconds, $differs, ($status | Format-List | Out-String).Trim())
        }
        Start-Sleep -Seconds 1
    }
}

# Creates a pipe, in this process or by a program at that path; says what became of it.
function New-Pipe {
    param([string] $Pipe, [string] $Program)
    $name = $Pipe.Substring(1)
    if ($Program -eq '') {
        try {
            $server = New-Object System.IO.Pipes.NamedPipeServerStream($name)
            $server.Dispose()
            return 'made'
        } catch {
            if ($_.Exception.GetBaseException() -is [System.UnauthorizedAccessException]) { return 'denied' }
            throw
        }
    }
    if (-not (Test-Path $Program)) {
        $folder = Split-Path $Program
        if (-not (Test-Path $folder)) { $null = New-Item -ItemType Directory -Path $folder }
        Copy-Item -Path $script:programPath -Destination $Program
    }
    $process = Start-Process -FilePath $Program -ArgumentList $name -WindowStyle Hidden -Wait -PassThru
    switch ($process.ExitCode) {
        0 { return 'made' }
        5 { return 'denied' }
        default { throw ("{0} ended with {1}" -f $Program, $process.ExitCode) }
    }
}

function Test-Create {
    param([psobject] $Step)
    $program = ''
    if ($Step.PSObject.Properties['program']) { $program = $Step.program }
    $times = 1
    if ($Step.PSObject.Properties['times']) { $times = $Step.times }
    for ($index = 0; $index -lt $times; $index++) {
        $made = @{ 'result' = '' }
        # The trigger sees the variables of Wait-SakerEvent before those of here.
        $stepPipe = $Step.pipe
        $stepProgram = $program
        $seen = Wait-SakerEvent -PipeName $Step.pipe -Interest 'everything' -Trigger {
            $made['result'] = New-Pipe $stepPipe $stepProgram
        }
        if ($null -eq $seen) { throw ("no event about {0}" -f $Step.pipe) }
        $hits = @($seen.Hits | ForEach-Object { $_.Rule } | Sort-Object) -join ' '
        $found = '{0}, {1}, rules [{2}]' -f $made['result'], $seen.Verdict, $hits
        $expected = '{0}, {1}, rules [{2}]' -f $Step.expect.result, $Step.expect.verdict, (@($Step.expect.hits) -join ' ')
        if ($found -ne $expected) { throw ("{0}: {1}, and not {2}" -f $Step.pipe, $found, $expected) }
    }
}

# Ten minutes and a thousand events.
function Wait-Good {
    for ($index = 0; $index -lt $trialEvents; $index++) {
        $server = New-Object System.IO.Pipes.NamedPipeServerStream("saker_passes_the_time_$PID")
        $server.Dispose()
    }
    Wait-Status (New-Object psobject -Property @{ 'stage' = 'good' }) $trialSeconds
}

function Invoke-Step {
    param([string] $Name, [psobject] $Scenario, [psobject] $Step)
    switch ($Step.step) {
        'start' { Start-Saker $Scenario.mode }
        'stop' { Stop-Saker }
        'drop' { Add-ChannelFile $Name $Step.file }
        'status' { Wait-Status $Step.expect }
        'mature' { Wait-Good }
        'create' { Test-Create $Step }
        default { throw ("there is no step {0}" -f $Step.step) }
    }
}

# Plays one scenario; what is wrong, or nothing.
function Invoke-Scenario {
    param([string] $Name, [psobject] $Scenario)
    $number = 0
    try {
        if (Test-SakerRuns) { Stop-Saker }
        Reset-Folders
        foreach ($step in $Scenario.steps) {
            $number++
            Invoke-Step $Name $Scenario $step
        }
        return $null
    } catch {
        return ("step {0}: {1}" -f $number, $_.Exception.Message)
    }
}

function Write-JUnit {
    param([object[]] $Cases)
    $settings = New-Object System.Xml.XmlWriterSettings
    $settings.Indent = $true
    $writer = [System.Xml.XmlWriter]::Create($Results, $settings)
    try {
        $writer.WriteStartElement('testsuites')
        $writer.WriteStartElement('testsuite')
        $writer.WriteAttributeString('name', $Suite)
        $writer.WriteAttributeString('tests', [string] $Cases.Length)
        $writer.WriteAttributeString('failures', [string] @($Cases | Where-Object { $null -ne $_.Failure }).Length)
        foreach ($case in $Cases) {
            $writer.WriteStartElement('testcase')
            $writer.WriteAttributeString('classname', $Suite)
            $writer.WriteAttributeString('name', $case.Name)
            $writer.WriteAttributeString('time', $case.Seconds.ToString('0.0', [System.Globalization.CultureInfo]::InvariantCulture))
            if ($null -ne $case.Failure) {
                $writer.WriteStartElement('failure')
                $writer.WriteAttributeString('message', $case.Failure)
                $writer.WriteEndElement()
            }
            $writer.WriteEndElement()
        }
        $writer.WriteEndElement()
        $writer.WriteEndElement()
    } finally {
        $writer.Dispose()
    }
}

# The compiler is a part of Windows; PowerShell 7 makes no programs.
$compiler = Join-Path $env:SystemRoot 'Microsoft.NET\Framework64\v4.0.30319\csc.exe'
$programPath = Join-Path ([System.IO.Path]::GetTempPath()) 'saker-create-pipe.exe'
$sourcePath = [System.IO.Path]::ChangeExtension($programPath, '.cs')
Set-Content -Path $sourcePath -Value $programSource -Encoding ASCII
$null = Invoke-Tool $compiler @('/nologo', '/target:exe', "/out:$programPath", $sourcePath)

$cases = @()
foreach ($file in @(Get-ChildItem -Path $Scenarios -Filter '*.json' | Sort-Object Name)) {
    $name = $file.BaseName
    if ($Only.Length -gt 0 -and $Only -notcontains $name) { continue }
    $scenario = Get-Content -Path $file.FullName -Raw -Encoding UTF8 | ConvertFrom-Json
    $begun = [DateTime]::UtcNow
    $failure = Invoke-Scenario $name $scenario
    $seconds = ([DateTime]::UtcNow - $begun).TotalSeconds
    if ($null -eq $failure) {
        Write-Host ("ok      {0}  {1}" -f $name, $scenario.title)
    } else {
        Write-Host ("FAILED  {0}  {1}" -f $name, $failure)
    }
    $cases += New-Object psobject -Property @{ Name = $name; Failure = $failure; Seconds = $seconds }
    # Written after each, so that a machine that goes down leaves what it had.
    Write-JUnit $cases
}

if ($cases.Length -eq 0) { throw 'no scenario was played' }
$failed = @($cases | Where-Object { $null -ne $_.Failure }).Length
Write-Host ("`n{0} scenarios, {1} failed" -f $cases.Length, $failed)
if ($failed -gt 0) { exit 1 }
exit 0
