# What `cargo xtask vm` has a Windows machine do by itself, at its first logon and at every later one:
# sign and install the driver, play the scenarios plain, under Driver Verifier, and under Verifier with
# failing allocations, bring the results to the medium, and shut down.
#
# NOT YET RUN ON WINDOWS. It is for a virtual machine that holds nothing.

#Requires -RunAsAdministrator
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

$here = 'C:\saker'
$phaseFile = Join-Path $here 'phase.txt'
$begunFile = Join-Path $here 'begun.txt'

# A run of the scenarios: how it is called, and the Verifier flags it has. Standard and code integrity
# first; with 4, allocations fail as well.
$runs = @(
    @{ 'Name' = 'plain'; 'Flags' = '' },
    @{ 'Name' = 'verifier'; 'Flags' = '0x020209BB' },
    @{ 'Name' = 'low-resources'; 'Flags' = '0x020209BF' }
)

# One line for whoever waits outside, at the first serial port.
function Send-Line {
    param([string] $Text)
    Write-Host $Text
    try {
        $serial = New-Object System.IO.Ports.SerialPort 'COM1', 115200
        $serial.Open()
        $serial.WriteLine("saker: $Text")
        $serial.Close()
    } catch {
        Write-Host 'there is no serial port'
    }
}

function Get-Medium {
    return (Get-Volume -FileSystemLabel 'SAKER').DriveLetter + ':\'
}

function Invoke-Tool {
    param([string] $Program, [string[]] $Arguments)
    $text = & $Program @Arguments 2>&1 | Out-String
    if ($LASTEXITCODE -ne 0) {
        throw ("{0} {1} ended with {2}: {3}" -f $Program, ($Arguments -join ' '), $LASTEXITCODE, $text.Trim())
    }
    return $text
}

function Set-Phase {
    param([string] $Name)
    Set-Content -Path $phaseFile -Value $Name -Encoding ASCII
}

# The driver, signed with a certificate of this machine's own, which test signing accepts.
function Install-Saker {
    $certificate = New-SelfSignedCertificate -Type CodeSigningCert -Subject 'CN=Saker test' -CertStoreLocation 'Cert:\LocalMachine\My'
    $signed = Set-AuthenticodeSignature -FilePath (Join-Path $here 'saker.sys') -Certificate $certificate -HashAlgorithm SHA256
    if ($null -eq $signed.SignerCertificate) { throw "saker.sys is not signed: $($signed.StatusMessage)" }

    # As inf\saker.inx says; the catalogue that pnputil wants needs tools that Windows lacks.
    $target = Join-Path $env:SystemRoot 'System32\drivers\saker.sys'
    Copy-Item -Path (Join-Path $here 'saker.sys') -Destination $target -Force
    $null = Invoke-Tool 'sc.exe' @('create', 'saker', 'type=', 'filesys', 'start=', 'demand', 'error=', 'normal', 'binPath=', 'System32\drivers\saker.sys', 'group=', 'FSFilter Activity Monitor', 'depend=', 'FltMgr')
    $service = 'HKLM:\SYSTEM\CurrentControlSet\Services\saker'
    # Windows 11 24H2 looks below Parameters, earlier ones beside it.
    foreach ($place in @($service, "$service\Parameters")) {
        if (-not (Test-Path $place)) { $null = New-Item -Path $place }
        $null = New-ItemProperty -Path $place -Name 'SupportedFeatures' -Value 0 -PropertyType DWord -Force
        $null = New-Item -Path "$place\Instances" -Force
        $null = New-ItemProperty -Path "$place\Instances" -Name 'DefaultInstance' -Value 'Saker Instance' -Force
        $null = New-Item -Path "$place\Instances\Saker Instance" -Force
        $null = New-ItemProperty -Path "$place\Instances\Saker Instance" -Name 'Altitude' -Value '371873.291' -Force
        $null = New-ItemProperty -Path "$place\Instances\Saker Instance" -Name 'Flags' -Value 0 -PropertyType DWord -Force
    }
}

# The machine as the runs want it; they begin with the next boot.
function Initialize-Machine {
    $null = New-Item -ItemType Directory -Path $here -Force
    Copy-Item -Path (Join-Path (Get-Medium) 'saker\*') -Destination $here -Recurse -Force
    $null = Invoke-Tool 'bcdedit.exe' @('/set', 'testsigning', 'on')
    $null = Invoke-Tool 'bcdedit.exe' @('/set', '{default}', 'recoveryenabled', 'no')
    $null = Invoke-Tool 'powercfg.exe' @('/h', 'off')
    foreach ($setting in @('monitor-timeout-ac', 'standby-timeout-ac')) {
        $null = Invoke-Tool 'powercfg.exe' @('/change', $setting, '0')
    }
    # A machine that goes down leaves a small dump and comes up again.
    $control = 'HKLM:\SYSTEM\CurrentControlSet\Control\CrashControl'
    Set-ItemProperty -Path $control -Name 'CrashDumpEnabled' -Value 3 -Type DWord
    Set-ItemProperty -Path $control -Name 'AutoReboot' -Value 1 -Type DWord
    Install-Saker
    $again = 'powershell.exe -NoProfile -ExecutionPolicy Bypass -File C:\saker\guest.ps1'
    Set-ItemProperty -Path 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Run' -Name 'Saker' -Value $again
}

function Set-Verifier {
    param([string] $Flags)
    & verifier.exe /flags $Flags /driver saker.sys
    # 2: it is in force with the next boot.
    if ($LASTEXITCODE -ne 0 -and $LASTEXITCODE -ne 2) { throw "verifier ended with $LASTEXITCODE" }
}

# Everything that says something about a run.
function Save-Results {
    $results = Join-Path (Get-Medium) 'results'
    $null = New-Item -ItemType Directory -Path $results -Force
    foreach ($pattern in @("$here\junit-*.xml", "$here\*.log", "$env:SystemRoot\Minidump\*.dmp")) {
        if (Test-Path $pattern) { Copy-Item -Path $pattern -Destination $results -Force }
    }
    Write-VolumeCache -DriveLetter (Get-Medium).Substring(0, 1)
}

# Results for a run in which the machine went down: as far as it had come, and the crash.
function Write-Crash {
    param([string] $Name)
    $message = 'the machine went down in this run; see the small dump beside this file'
    $text = '<testsuites><testsuite name="{0}" tests="1" failures="1"><testcase classname="{0}" name="bugcheck" time="0"><failure message="{1}"/></testcase></testsuite></testsuites>'
    Set-Content -Path "$here\junit-$Name-bugcheck.xml" -Value ($text -f $Name, $message) -Encoding UTF8
}

function Invoke-Run {
    param([hashtable] $Run)
    $name = $Run['Name']
    if (Test-Path $begunFile) {
        Send-Line "$name went down"
        Write-Crash $name
        return
    }
    Set-Content -Path $begunFile -Value $name -Encoding ASCII
    Send-Line "$name begins"
    $arguments = @('-NoProfile', '-ExecutionPolicy', 'Bypass', '-File', "$here\scenarios.ps1", '-Scenarios', "$here\scenarios", '-Content', "$here\content", '-Results', "$here\junit-$name.xml", '-Suite', $name)
    & powershell.exe @arguments *>&1 | Out-File -FilePath "$here\$name.log" -Encoding ASCII
    & verifier.exe /query *>&1 | Out-File -FilePath "$here\$name-verifier.log" -Encoding ASCII
    Send-Line "$name has ended"
}

# What is not foreseen ends the machine: whoever waits outside waits for that.
trap {
    Send-Line "failed: $($_.Exception.Message), at $($_.InvocationInfo.ScriptLineNumber)"
    Stop-Computer -Force
    exit 1
}

if (-not (Test-Path $phaseFile)) {
    Send-Line 'the machine is being prepared'
    Initialize-Machine
    Set-Phase $runs[0]['Name']
    Restart-Computer -Force
    exit 0
}

# A logon that was still to come when the machine was prepared: the restart is on its way.
$options = (Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Control').SystemStartOptions
if ($options -notmatch 'TESTSIGNING') {
    Send-Line 'test signing is not on in this boot'
    exit 0
}

$phase = (Get-Content -Path $phaseFile).Trim()
$index = [array]::IndexOf(@($runs | ForEach-Object { $_['Name'] }), $phase)
if ($index -ge 0) {
    try {
        Invoke-Run $runs[$index]
    } catch {
        $_ | Out-File -FilePath "$here\guest.log" -Append -Encoding ASCII
    }
    Save-Results
    if (Test-Path $begunFile) { Remove-Item $begunFile }
    if ($index + 1 -lt $runs.Length) {
        $next = $runs[$index + 1]
        Set-Verifier $next['Flags']
        Set-Phase $next['Name']
        Restart-Computer -Force
        exit 0
    }
    Set-Phase 'done'
}
Send-Line 'done'
Stop-Computer -Force
