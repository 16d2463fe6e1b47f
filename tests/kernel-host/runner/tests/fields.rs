//! A rule on each field that the driver supplies: it holds on the real value, not on another, and
//! cannot be told where the value is not known.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use common::{Bench, EXPLORER, wide};
use driver_abi::{EventRecord, Interest, Verdict};
use kernel_host::{ConnectOptions, Ecp, PipeOptions, ProcessSpec, TokenSpec, sid};
use kernel_host_runner::rig::Rig;

/// A sensor with one rule that asks this of an event, on trial and told to report everything.
fn sensor(bench: &Bench, selection: &str) -> Rig {
    let rules = format!(
        "title: one field\n\
         id: 00000000-0000-4000-8000-000000000009\n\
         logsource: {{product: windows, category: pipe_created}}\n\
         detection: {{selection: {{{selection}}}, condition: selection}}\n\
         level: low\n"
    );
    let mut rig = bench.boot().boot().unwrap();
    let (name, file) = (common::name(0, 1), bench.file_of(&rules, 0, 1).1);
    let status = rig.drop_files([(name.as_str(), &file)].into_iter()).unwrap();
    assert_eq!(status.rules, 1, "{selection}: {status:?}");
    rig.listen(Interest::Everything).unwrap();
    rig
}

fn create(rig: &mut Rig, options: PipeOptions) -> Verdict {
    let process = rig.create_process(4242, EXPLORER.map(wide));
    rig.create_pipe_as(&process, &wide(r"\field"), options).unwrap().verdict
}

fn connect(rig: &mut Rig, options: ConnectOptions) -> Verdict {
    let process = rig.create_process(4242, EXPLORER.map(wide));
    rig.connect_pipe_as(&process, &wide(r"\field"), options).unwrap().verdict
}

/// A change of a pipe's parameters.
type Change = fn(&mut PipeOptions);

#[test]
fn each_parameter_of_a_pipe() {
    let Some(bench) = Bench::new() else { return };
    // What the rule asks, a pipe for which it holds, and one for which it does not.
    let cases: [(&str, Change, Change); 14] = [
        ("DesiredAccess: '0x80000000'", |o| o.desired_access = 1 << 31, |o| o.desired_access = 1),
        ("CreateOptions: '0x40'", |o| o.create_options = 0x40, |o| o.create_options = 0x20),
        ("Disposition: 2", |o| o.disposition = 2, |o| o.disposition = 3),
        ("Direction: 0", |o| o.share_access = 2, |o| o.share_access = 1),
        ("Direction: 1", |o| o.share_access = 1, |o| o.share_access = 3),
        ("Direction: 2", |o| o.share_access = 3, |o| o.share_access = 2),
        ("PipeType: 1", |o| o.pipe_type = 3, |o| o.pipe_type = 2),
        ("ReadMode: 1", |o| (o.pipe_type, o.read_mode) = (1, 1), |o| o.pipe_type = 1),
        ("RejectRemote: true", |o| o.pipe_type = 2, |o| o.pipe_type = 1),
        ("MaxInstances: 7", |o| o.maximum_instances = 7, |o| o.maximum_instances = 8),
        ("InboundQuota: 65536", |o| o.inbound_quota = 65_536, |o| o.outbound_quota = 65_536),
        ("OutboundQuota: 65536", |o| o.outbound_quota = 65_536, |o| o.inbound_quota = 65_536),
        ("DefaultTimeout: 990", |o| o.default_timeout = -990, |o| o.default_timeout = -991),
        ("DefaultTimeout: null", |o| o.timeout_specified = false, |_| {}),
    ];
    for (selection, holds, does_not) in cases {
        let mut rig = sensor(&bench, selection);
        for (change, verdict) in [(holds, Verdict::Detect), (does_not, Verdict::Allow)] {
            let mut options = PipeOptions::default();
            change(&mut options);
            assert_eq!(create(&mut rig, options), verdict, "{selection}");
        }
        rig.unload().unwrap();
    }
}

#[test]
fn a_direction_that_is_none_is_unknown() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = sensor(&bench, "Direction: 0");
    let options = PipeOptions { share_access: 0, ..Default::default() };
    assert_eq!(create(&mut rig, options), Verdict::Unknown);
    rig.unload().unwrap();
}

#[test]
fn a_client_end_has_rights_and_options_but_no_parameters() {
    let Some(bench) = Bench::new() else { return };
    for (selection, verdict) in [
        ("DesiredAccess: 8", Verdict::Detect),
        ("CreateOptions: '0x40'", Verdict::Detect),
        ("Disposition: 1", Verdict::Detect),
        ("MaxInstances: null", Verdict::Detect),
        ("PipeType: 0", Verdict::Allow),
    ] {
        let mut rig = sensor(&bench, selection);
        let options =
            ConnectOptions { desired_access: 8, create_options: 0x40, ..Default::default() };
        assert_eq!(connect(&mut rig, options), verdict, "{selection}");
        rig.unload().unwrap();
    }
}

/// A process of this user creates a pipe.
fn create_by(rig: &mut Rig, token: TokenSpec, options: PipeOptions) -> (Verdict, EventRecord) {
    let image = EXPLORER.map(str::to_owned);
    let spec = ProcessSpec { pid: 4242, image, token, ..Default::default() };
    let process = rig.kernel().create_process(spec);
    let judged = rig.create_pipe_as(&process, &wide(r"\field"), options).unwrap();
    (judged.verdict, judged.record)
}

#[test]
fn each_field_of_the_effective_token() {
    let Some(bench) = Bench::new() else { return };
    let user = sid(&[21, 9, 8, 7, 500]);
    let one = TokenSpec { user, integrity: 12288, elevated: true, session: 3 };
    let other = TokenSpec::default();
    for selection in [
        "User: S-1-5-21-9-8-7-500",
        "Integrity: High",
        "Elevation: true",
        "Session: 3",
        "ProcessId: 4242, Session: 3",
    ] {
        let mut rig = sensor(&bench, selection);
        for _ in 0..2 {
            let plain = PipeOptions::default;
            let (verdict, record) = create_by(&mut rig, one.clone(), plain());
            assert_eq!(verdict, Verdict::Detect, "{selection}");
            assert_eq!(record.user.bytes(), one.user, "{selection}");
            assert_eq!((record.session, record.integrity), (Some(3), Some(12288)));
            assert_eq!((record.elevated, record.impersonating), (Some(true), Some(false)));
            assert_eq!(create_by(&mut rig, other.clone(), plain()).0, Verdict::Allow);
            // The client's token counts, not that of the process that impersonates it.
            let client = Some(rig.kernel().create_token(one.clone()));
            let options = PipeOptions { client, ..plain() };
            let (verdict, record) = create_by(&mut rig, other.clone(), options);
            assert_eq!((verdict, record.impersonating), (Verdict::Detect, Some(true)));
        }
        rig.unload().unwrap();
    }
}

#[test]
fn a_token_that_cannot_be_asked_is_unknown_and_asked_again() {
    let Some(bench) = Bench::new() else { return };
    for selection in ["User: S-1-5-18", "Integrity: System", "Elevation: true", "Session: 0"] {
        let mut rig = sensor(&bench, selection);
        let plain = PipeOptions::default;
        let mut unknown = 0;
        // Which token it is, and the four things it says.
        for call in 1..=5 {
            rig.kernel().injector().fail_api("SeQueryInformationToken", call);
            match create_by(&mut rig, TokenSpec::system(), plain()).0 {
                Verdict::Unknown => unknown += 1,
                verdict => assert_eq!(verdict, Verdict::Detect),
            }
        }
        // The version and the one that the rule asks for; what else is missing does not matter.
        assert_eq!(unknown, 2, "{selection}");
        // What is missing is not kept: the same token is asked again.
        let spec = ProcessSpec { token: TokenSpec::system(), ..Default::default() };
        let process = rig.kernel().create_process(spec);
        rig.kernel().injector().fail_api("SeQueryInformationToken", 1);
        for verdict in [Verdict::Unknown, Verdict::Detect] {
            assert_eq!(rig.create_pipe(&process, &wide(r"\field")).unwrap().verdict, verdict);
        }
        rig.unload().unwrap();
    }
}

#[test]
fn a_token_that_has_changed_is_asked_again() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = sensor(&bench, "Integrity: Low");
    let process = rig.create_process(4242, EXPLORER.map(wide));
    for _ in 0..2 {
        assert_eq!(rig.create_pipe(&process, &wide(r"\field")).unwrap().verdict, Verdict::Allow);
    }
    process.token().modify(|token| token.integrity = 4096);
    assert_eq!(rig.create_pipe(&process, &wide(r"\field")).unwrap().verdict, Verdict::Detect);
    rig.unload().unwrap();
}

#[test]
fn whether_a_thread_impersonates() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = sensor(&bench, "Impersonating: true");
    assert_eq!(create(&mut rig, PipeOptions::default()), Verdict::Allow);
    let client = Some(rig.kernel().create_token(TokenSpec::default()));
    assert_eq!(create(&mut rig, PipeOptions { client, ..Default::default() }), Verdict::Detect);
    rig.unload().unwrap();
}

#[test]
fn only_the_file_server_makes_a_request_remote() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = sensor(&bench, "RemoteOrigin: true");
    for (ecp, verdict) in [
        (Ecp::None, Verdict::Allow),
        (Ecp::Other, Verdict::Allow),
        (Ecp::Forged, Verdict::Allow),
        (Ecp::Server, Verdict::Detect),
    ] {
        let options = ConnectOptions { ecp, ..Default::default() };
        assert_eq!(connect(&mut rig, options), verdict, "{ecp:?}");
    }
    rig.kernel().injector().fail_api("FltGetEcpListFromCallbackData", 1);
    let options = ConnectOptions { ecp: Ecp::Server, ..Default::default() };
    assert_eq!(connect(&mut rig, options), Verdict::Unknown);
    rig.unload().unwrap();
}

/// Trap: what comes over the network is asked for by the system process, from kernel mode.
#[test]
fn the_file_server_is_judged_and_told_as_its_client_and_is_not_exempt() {
    let Some(bench) = Bench::new() else { return };
    let mut rig = bench.ready();
    let system = rig.system_process();
    let client = TokenSpec { user: sid(&[21, 4, 5, 6, 1104]), ..TokenSpec::default() };
    for (ecp, verdict) in [(Ecp::None, Verdict::Exempt), (Ecp::Server, Verdict::Block)] {
        let token = rig.kernel().create_token(client.clone());
        let options =
            PipeOptions { kernel_mode: true, ecp, client: Some(token), ..Default::default() };
        let judged = rig.create_pipe_as(&system, &wide(r"\evil"), options).unwrap();
        assert_eq!(judged.verdict, verdict);
        assert_eq!(judged.record.user.bytes(), client.user);
        assert_eq!(judged.record.impersonating, Some(true));
        assert_eq!(judged.record.remote, Some(ecp == Ecp::Server));
    }
    rig.unload().unwrap();
}
