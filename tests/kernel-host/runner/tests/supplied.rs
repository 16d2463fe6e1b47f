//! What the driver says that it supplies, it supplies; what it does not, it refuses rules on.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use channel_compiler::{attach_signature, build_for, parse_rules};
use channel_format::refusal::Code;
use channel_format::schema::{Field, SensorProfile};
use common::{Bench, EXPLORER, name, options};
use driver_abi::{Interest, Stage, Verdict};

/// A rule that can be told wherever the field is known, whatever its value is.
fn file(bench: &Bench, field: Field) -> Vec<u8> {
    let selection = match field {
        // No event lacks it, so there is no rule on whether it is there.
        Field::Operation => "Operation: 1".to_owned(),
        field => format!("{}|exists: true", field.name()),
    };
    let rules = format!(
        "title: {field:?}\nid: 00000000-0000-4000-8000-000000000009\n\
         logsource: {{category: pipe_created}}\n\
         detection: {{s: {{{selection}}}, condition: s}}\nlevel: low\n"
    );
    let rules = parse_rules("supplied.yml".as_ref(), &rules).unwrap();
    let mut file = build_for(&rules, &options(1), &SensorProfile::FULL).unwrap();
    attach_signature(&mut file, &bench.key).unwrap();
    file
}

/// Each field of the schema: an event of an ordinary process has it, or the driver says by its name
/// that it does not supply it.
#[test]
fn each_field_is_supplied_or_refused_by_its_name() {
    let Some(bench) = Bench::new() else { return };
    for field in Field::ALL {
        let mut rig = bench.boot().boot().unwrap();
        let file = file(&bench, field);
        let status = rig.drop_files(std::iter::once((name(0, 1).as_str(), &file))).unwrap();
        if SensorProfile::CURRENT.supplied.contains(field) {
            assert_eq!(status.stage, Stage::Trial, "{field:?}: {status:?}");
            rig.listen(Interest::Everything).unwrap();
            let verdict = common::created(&mut rig, r"\supplied", EXPLORER);
            assert_eq!(verdict, Verdict::Detect, "{field:?}");
        } else {
            let refusal = status.refusal;
            let expected = (Code::FieldNotSupplied.number(), field.number());
            assert_eq!((refusal.code, refusal.found), expected, "{field:?}");
            assert_eq!(status.stage, Stage::None, "{field:?}");
        }
        rig.unload().unwrap();
    }
}
