//! A rule on each field that the driver supplies: it holds on the real value, not on another, and
//! cannot be told where the value is not known.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use common::{Bench, EXPLORER, wide};
use driver_abi::{Interest, Verdict};
use kernel_host::{ConnectOptions, PipeOptions};
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
