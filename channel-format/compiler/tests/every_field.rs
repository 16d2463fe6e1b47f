//! A rule for each field and each operator that suits it, made by a generator from one table.
//!
//! The tests of 2024 gave the 21st field a wildcard, so nothing ever read it. Here each field meets each
//! operator with a value that some events have and others do not: the rule is true for the one, false for
//! the other, and unknown where the sensor does not bring the field. A new field or operator does not
//! compile here before the generator knows what to do with it.

mod common;

use channel_compiler::{SourceRule, attach_signature, build_for, parse_rules};
use channel_format::engine::criterion::{Criterion, Operator};
use channel_format::refusal::Code;
use channel_format::ruleset::Ruleset;
use channel_format::schema::{Field, FieldSet, Input, Inputs, Kind, SensorProfile, Truth};

use common::{OPTIONS, blocking_key, open};

/// Two values of a field that events have: a rule is written for `this`, and `other` is not it.
#[derive(Clone, Copy, Debug)]
enum Values {
    Text {
        this: &'static str,
        other: &'static str,
    },
    /// `this` is the greater one.
    Number {
        this: u64,
        other: u64,
    },
    Sid {
        this: &'static [u8],
        text: &'static str,
        other: &'static [u8],
    },
}

const SYSTEM: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
const LOCAL_SERVICE: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 19, 0, 0, 0];

/// The table. Without a wildcard: a new field has to be given its values.
const fn values(field: Field) -> Values {
    let flag = Values::Number { this: 1, other: 0 };
    let number = Values::Number { this: 77, other: 76 };
    match field {
        Field::Operation => Values::Number { this: 2, other: 1 },
        Field::PipeName => Values::Text { this: r"\saker-pipe", other: r"\sakes-pipe" },
        Field::ImagePath => Values::Text { this: r"C:\x\saker.exe", other: r"C:\x\sakes.exe" },
        Field::ImageName => Values::Text { this: "saker.exe", other: "sakes.exe" },
        Field::ParentImage => Values::Text { this: r"C:\y\saker.exe", other: r"C:\y\sakes.exe" },
        Field::User => Values::Sid { this: SYSTEM, text: "S-1-5-18", other: LOCAL_SERVICE },
        Field::Integrity => Values::Number { this: 12_288, other: 8_192 },
        Field::Elevation
        | Field::RemoteOrigin
        | Field::Impersonating
        | Field::PipeType
        | Field::ReadMode
        | Field::RejectRemote => flag,
        Field::Direction => Values::Number { this: 2, other: 1 },
        Field::Session
        | Field::ProcessId
        | Field::DesiredAccess
        | Field::CreateOptions
        | Field::Disposition
        | Field::MaxInstances
        | Field::InboundQuota
        | Field::OutboundQuota
        | Field::DefaultTimeout => number,
    }
}

/// A selection with that operator, and whether it holds for this value, the other one, and none at
/// all. `None` where the operator does not suit the field.
///
/// Without a wildcard: a new operator has to be given its selection.
fn selection(field: Field, operator: Operator) -> Option<(String, [bool; 3])> {
    let name = field.name();
    let this_alone = [true, false, false];
    let part = |modifier: &str, from: usize, to: usize| match values(field) {
        // The fourth letter from `sak` tells the two apart.
        Values::Text { this, .. } => {
            let at = this.find("saker").unwrap();
            let (from, to) =
                (if from == 0 { 0 } else { at }, if to == 0 { this.len() } else { at + 5 });
            Some((format!("{name}|{modifier}: '{}'", &this[from..to]), this_alone))
        }
        _ => None,
    };
    let number = |modifier: &str, of_other: bool, holds: [bool; 3]| match values(field) {
        Values::Number { this, other } => {
            let value = if of_other { other } else { this };
            Some((format!("{name}{modifier}: {value}"), holds))
        }
        _ => None,
    };
    let presence = |text: String, holds| {
        // Every event is a creation or a connection: none lacks its operation.
        (field != Field::Operation).then_some((text, holds))
    };
    match operator {
        Operator::Equals => match values(field) {
            Values::Text { this, .. } => Some((format!("{name}: '{this}'"), this_alone)),
            _ => None,
        },
        Operator::StartsWith => part("startswith", 0, 5),
        Operator::EndsWith => part("endswith", 1, 0),
        Operator::Contains => part("contains", 1, 5),
        Operator::Regex => match values(field) {
            Values::Text { .. } => Some((format!("{name}|re: 'sak[e]+[q-r]'"), this_alone)),
            _ => None,
        },
        Operator::Exists => presence(format!("{name}|exists: true"), [true, true, false]),
        Operator::Null => presence(format!("{name}: null"), [false, false, true]),
        Operator::NumberEqual => number("", false, this_alone),
        Operator::Less => number("|lt", false, [false, true, false]),
        Operator::LessOrEqual => number("|lte", true, [false, true, false]),
        Operator::Greater => number("|gt", true, this_alone),
        Operator::GreaterOrEqual => number("|gte", false, this_alone),
        Operator::SidEquals => match values(field) {
            Values::Sid { text, .. } => Some((format!("{name}: {text}"), this_alone)),
            _ => None,
        },
    }
}

fn operators() -> impl Iterator<Item = Operator> {
    (0..=u8::MAX).filter_map(Operator::from_number)
}

/// One rule a case, in the order of their ids; each blocks.
fn rules(field: Field) -> (Vec<SourceRule>, Vec<(Operator, [bool; 3])>) {
    let cases = operators().filter_map(|operator| {
        let (selection, holds) = selection(field, operator)?;
        Some((operator, selection, holds))
    });
    let cases: Vec<_> = cases.collect();
    let text = cases.iter().zip(1..).map(|((operator, selection, _), number)| {
        format!(
            "title: {} of {}\nid: 00000000-0000-4000-8000-{number:012}\n\
             logsource: {{category: pipe_created}}\n\
             detection:\n    s:\n        {selection}\n    condition: s\nlevel: low\n\
             saker: {{action: block, on: [created, connected]}}\n",
            operator.name(),
            field.name()
        )
    });
    let text = text.collect::<Vec<_>>().join("---\n");
    let rules = parse_rules("generated.yml".as_ref(), &text)
        .unwrap_or_else(|errors| panic!("{errors:?}\n{text}"));
    (rules, cases.into_iter().map(|(operator, _, holds)| (operator, holds)).collect())
}

fn file(field: Field) -> (Vec<u8>, Vec<(Operator, [bool; 3])>) {
    let (rules, cases) = rules(field);
    let mut file = build_for(&rules, &OPTIONS, &SensorProfile::FULL)
        .unwrap_or_else(|errors| panic!("{}: {errors:?}", field.name()));
    attach_signature(&mut file, &blocking_key()).unwrap();
    (file, cases)
}

/// What each rule says, by its place, and whether the event would be blocked.
fn judge(ruleset: &Ruleset<Vec<u8>>, inputs: &Inputs<'_>) -> (Vec<Truth>, bool) {
    let mut truths = vec![Truth::False; ruleset.rule_count() as usize];
    let evaluation = ruleset.evaluate(inputs, &mut |rule, truth| truths[rule as usize] = truth);
    (truths, evaluation.block)
}

#[test]
fn each_field_and_operator_fires_does_not_fire_and_cannot_be_told() {
    let (mut met, mut pairs) = (0, 0);
    for field in Field::ALL {
        let (file, cases) = file(field);
        let ruleset = open(&file, &blocking_key(), &SensorProfile::FULL).unwrap();
        assert_eq!(ruleset.self_test(), Ok(()), "{}", field.name());
        // What was written is what the file asks.
        let criteria: Vec<Criterion> =
            ruleset.tables().criteria.iter().filter_map(Criterion::read).collect();
        for (operator, _) in &cases {
            let asks = |c: &Criterion| (c.field, c.operator) == (field, *operator);
            assert!(criteria.iter().any(asks), "{} of {}", operator.name(), field.name());
        }

        let wide = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
        let (this, other) = match values(field) {
            Values::Text { this, other } => (wide(this), wide(other)),
            _ => (Vec::new(), Vec::new()),
        };
        let (this, other) = match values(field) {
            Values::Text { .. } => (Input::Text(&this), Input::Text(&other)),
            Values::Number { this, other } => (Input::Number(this), Input::Number(other)),
            Values::Sid { this, other, .. } => (Input::Sid(this), Input::Sid(other)),
        };
        for (place, input) in [this, other, Input::Absent].into_iter().enumerate() {
            if field == Field::Operation && input == Input::Absent {
                continue;
            }
            let mut inputs = Inputs::unknown();
            inputs.set(Field::Operation, Input::Number(1));
            inputs.set(field, input);
            let (truths, block) = judge(&ruleset, &inputs);
            for ((operator, holds), truth) in cases.iter().zip(&truths) {
                let what = format!("{} of {} for {input:?}", operator.name(), field.name());
                assert_eq!(*truth, Truth::from(holds[place]), "{what}");
                met += 1;
            }
            assert_eq!(block, truths.contains(&Truth::True));
        }
        pairs += cases.len();
        // Without the value nothing can be told, and nothing is blocked.
        let mut inputs = Inputs::unknown();
        if field != Field::Operation {
            inputs.set(Field::Operation, Input::Number(1));
        }
        let (truths, block) = judge(&ruleset, &inputs);
        assert_eq!(truths, vec![Truth::Unknown; cases.len()], "{}", field.name());
        assert!(!block, "{}", field.name());
    }
    assert!(met > 2 * pairs, "{met}");
    let page = std::fs::read_to_string(common::root().join("docs/safety.md")).unwrap();
    assert!(page.contains(&format!("{pairs} pairs")), "docs/safety.md does not say {pairs} pairs");
}

/// Each operator is met by the fields of its kind, all of them.
#[test]
fn each_operator_has_its_fields() {
    for operator in operators() {
        let fields = Field::ALL.into_iter().filter(|field| selection(*field, operator).is_some());
        let found: Vec<_> = fields.collect();
        let of = |kind: Kind| Field::ALL.into_iter().filter(move |field| field.kind() == kind);
        let expected: Vec<_> = match operator {
            Operator::Exists | Operator::Null => {
                Field::ALL.into_iter().filter(|field| *field != Field::Operation).collect()
            }
            Operator::SidEquals => of(Kind::Sid).collect(),
            operator if operator.has_number() => of(Kind::Number).collect(),
            _ => of(Kind::Text).collect(),
        };
        assert_eq!(found, expected, "{}", operator.name());
    }
}

/// July 2024 for each field: the sensor brings all of them but one, and a rule is on that one.
#[test]
fn a_rule_on_the_one_field_that_is_not_supplied_is_refused_by_its_name() {
    for field in Field::ALL {
        let (file, cases) = file(field);
        let one = FieldSet::EMPTY.with(field);
        let sensor = SensorProfile { supplied: FieldSet::ALL.without(one), ..SensorProfile::FULL };
        let refusal = open(&file, &blocking_key(), &sensor).unwrap_err();
        assert_eq!((refusal.code, refusal.found), (Code::FieldNotSupplied, field.number()));
        assert_eq!(refusal.expected, sensor.supplied.bits());
        assert!(refusal.to_string().contains(field.name()), "{refusal}");
        // A sensor that says that it supplies it and does not: unknown, and nothing is blocked.
        let ruleset = open(&file, &blocking_key(), &SensorProfile::FULL).unwrap();
        let mut inputs = Inputs::absent();
        inputs.set(Field::Operation, Input::Number(1));
        inputs.set(field, Input::Unknown);
        let (truths, block) = judge(&ruleset, &inputs);
        assert_eq!(truths, vec![Truth::Unknown; cases.len()], "{}", field.name());
        assert!(!block);
    }
    // And today's sensor, as it is.
    let not_supplied = FieldSet::ALL.without(SensorProfile::CURRENT.supplied);
    for field in Field::ALL {
        let (file, _) = file(field);
        let refused = open(&file, &blocking_key(), &SensorProfile::CURRENT).is_err();
        assert_eq!(refused, not_supplied.contains(field), "{}", field.name());
    }
}
