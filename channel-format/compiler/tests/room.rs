//! More criteria hold for an image than there is room for; the rule asks of the pipe's name alone.
mod common;
use channel_compiler::{attach_signature, build, naive, parse_rules};
use channel_format::limits::MAX_FOUND;
use channel_format::schema::{Field, Input, Inputs, SensorProfile, Truth};
use common::{OPTIONS, open, test_key};
use std::path::Path;

fn rules(detection: &str, number: usize) -> Vec<channel_compiler::SourceRule> {
    let text = format!(
        "title: T\nid: 00000000-0000-4000-8000-{number:012}\nlogsource:\n    category: pipe_created\ndetection:\n{detection}\n"
    );
    parse_rules(Path::new("r.yml"), &text).unwrap()
}

#[test]
fn an_image_path_does_not_make_a_rule_unknown_that_does_not_ask_for_it() {
    let mut all = rules(
        "    s: {PipeName|startswith: '\\evil'}\n    f: {PipeName|contains: 'good'}\n    condition: s and not f",
        0,
    );
    for number in 1..=MAX_FOUND + 1 {
        all.extend(rules(
            &format!("    s: {{Image|contains: 'd{number:03}'}}\n    condition: s"),
            number,
        ));
    }
    let mut file = build(&all, &OPTIONS).unwrap();
    attach_signature(&mut file, &test_key()).unwrap();
    let set = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
    let pipe: Vec<u16> = r"\evil".encode_utf16().collect();
    for (count, expected) in [(MAX_FOUND - 1, Truth::True), (MAX_FOUND + 1, Truth::True)] {
        let image: Vec<u16> = (1..=count)
            .flat_map(|n| format!("d{n:03}").encode_utf16().collect::<Vec<_>>())
            .collect();
        let mut inputs = Inputs::absent();
        inputs.set(Field::Operation, Input::Number(1));
        inputs.set(Field::PipeName, Input::Text(&pipe));
        inputs.set(Field::ImagePath, Input::Text(&image));
        assert_eq!(naive::judge(&all[0], &inputs), Truth::True);
        let mut found = Truth::False;
        set.evaluate(&inputs, &mut |rule, truth| {
            if rule == 0 {
                found = truth
            }
        });
        assert_eq!(found, expected, "{count} criteria hold for the image");
    }
}
