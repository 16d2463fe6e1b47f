//! Rules and texts over a dozen units, where literals overlap all the time, against the naive
//! reference; `FILES` and `SEED` make longer and other runs.
mod common;
use channel_compiler::{attach_signature, build, naive, parse_rules};
use channel_format::schema::{Field, Input, Inputs, SensorProfile, Truth};
use common::{OPTIONS, open, test_key};
use std::path::Path;

struct Rng(u64);
impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }
    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}
const LETTERS: [&str; 10] = ["a", "b", "a", "b", "S", "k", "é", "\u{17f}", "\u{212a}", "\\"];
fn word(r: &mut Rng, least: usize, most: usize) -> String {
    (0..least + r.below(most - least + 1)).map(|_| r.pick(&LETTERS[..])).collect()
}
fn value(r: &mut Rng) -> String {
    let mut s = word(r, 1, 4);
    if r.below(5) == 0 {
        s = format!("{s}{}{}", r.pick(&["*", "?", "??", "*?"][..]), word(r, 0, 3));
    }
    if r.below(12) == 0 {
        s = format!("{}{s}", r.pick(&["*", "?"][..]));
    }
    s
}
fn atom(r: &mut Rng, depth: usize) -> String {
    match r.below(if depth > 2 { 8 } else { 12 }) {
        0..4 => {
            let w = word(r, 1, 3);
            w.replace('\\', r"\\")
        }
        4 => r.pick(&["[ab]", "[^a]", "[ks]", r"\n", r"[^\n]", "[aA]", "😀"][..]).to_owned(),
        5 => ".".to_owned(),
        6 => r.pick(&["^", "$"][..]).to_owned(),
        7 => format!(
            "{}{}",
            r.pick(&["a", "b", ".", "[ab]"][..]),
            r.pick(&["*", "?", "+", "{2}", "{1,3}"][..])
        ),
        8 | 9 => format!("(?:{}|{})", regex(r, depth + 1), regex(r, depth + 1)),
        10 => format!("({}){}", regex(r, depth + 1), r.pick(&["", "?", "+", "*"][..])),
        _ => regex(r, depth + 1),
    }
}
fn regex(r: &mut Rng, depth: usize) -> String {
    (0..1 + r.below(3)).map(|_| atom(r, depth)).collect()
}
fn item(r: &mut Rng) -> String {
    let field = r.pick(&["PipeName", "PipeName", "Image"][..]);
    if r.below(4) == 0 {
        let flags = r.pick(&["", "", "|i", "|m", "|s", "|i|m|s"][..]);
        return format!("{field}|re{flags}: '{}'", regex(r, 0));
    }
    let m = r.pick(
        &[
            "",
            "|contains",
            "|contains",
            "|startswith",
            "|endswith",
            "|cased",
            "|contains|cased",
            "|endswith|cased",
            "|startswith|cased",
            "|contains|all",
        ][..],
    );
    let values: Vec<String> = (0..1 + r.below(3)).map(|_| format!("'{}'", value(r))).collect();
    format!("{field}{m}: [{}]", values.join(", "))
}
fn rule(r: &mut Rng, n: usize) -> String {
    let c = r.pick(
        &[
            "s",
            "s and t",
            "s and not t",
            "s or t",
            "not s and t",
            "s or not t",
            "(s and not t) or (u and t)",
            "s and t and not u",
            "not (s and t) and u",
            "not (s or not t)",
        ][..],
    );
    let mut text = format!(
        "title: T\nid: 00000000-0000-4000-8000-{n:012}\nlogsource:\n    category: pipe_created\ndetection:\n"
    );
    for name in ["s", "t", "u"] {
        if c.split(|x: char| !x.is_alphabetic()).any(|w| w == name) {
            text += &format!("    {name}:\n        {}\n", item(r));
        }
    }
    text + &format!("    condition: {c}\n")
}
const UNITS: [u16; 14] =
    [97, 98, 97, 98, 0x41, 0x53, 0x73, 0x6b, 0xe9, 0xc9, 0x17f, 0x212a, 0x5c, 0x0a];
const ODD: [u16; 4] = [0xd83d, 0xde00, 0x4b, 0x42];
fn text(r: &mut Rng) -> Vec<u16> {
    (0..r.below(13))
        .map(|_| if r.below(8) == 0 { ODD[r.below(4)] } else { UNITS[r.below(14)] })
        .collect()
}
fn run(seed: u64, files: usize, small: bool) {
    let mut r = Rng(seed);
    let (mut built, mut refused, mut hits, mut checked) = (0, 0, 0, 0_u64);
    for _ in 0..files {
        let mut texts_of = std::collections::HashMap::new();
        let rules: Vec<_> = (0..1 + r.below(10))
            .flat_map(|n| {
                let t = rule(&mut r, n);
                let Ok(rules) = parse_rules(Path::new("r.yml"), &t) else { return vec![] };
                if build(&rules, &OPTIONS).is_ok() {
                    texts_of.insert(rules[0].id.clone(), t);
                    rules
                } else {
                    refused += 1;
                    vec![]
                }
            })
            .collect();
        if rules.is_empty() {
            continue;
        }
        let Ok(mut file) = build(&rules, &OPTIONS) else { continue };
        built += 1;
        attach_signature(&mut file, &test_key()).unwrap();
        let set = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
        let mut sorted = rules.clone();
        sorted.sort_by(|a, b| a.id.cmp(&b.id));
        let mut texts: Vec<Vec<u16>> = vec![vec![]];
        if small {
            let letters = [97_u16, 98, 0x5c, 0x17f, 0x4b, 0xe9];
            let mut last = texts.clone();
            for _ in 0..4 {
                last = last
                    .iter()
                    .flat_map(|t| letters.iter().map(|l| [&t[..], &[*l]].concat()))
                    .collect();
                texts.extend(last.clone());
            }
        } else {
            texts = (0..120).map(|_| text(&mut r)).collect();
        }
        let image = text(&mut r);
        for pipe in &texts {
            let image = if small { image.clone() } else { text(&mut r) };
            let mut inputs = Inputs::absent();
            inputs.set(Field::Operation, Input::Number(1));
            let kind = |r: &mut Rng, t| match r.below(16) {
                0 => Input::Unknown,
                1 => Input::Absent,
                _ => Input::Text(t),
            };
            inputs.set(Field::PipeName, kind(&mut r, pipe));
            inputs.set(Field::ImagePath, kind(&mut r, &image));
            let expected: Vec<(u32, Truth)> = sorted
                .iter()
                .zip(0..)
                .map(|(rule, n)| (n, naive::judge(rule, &inputs)))
                .filter(|(_, t)| *t != Truth::False)
                .collect();
            hits += expected.len();
            checked += 1;
            let kept = set.keep(&inputs);
            for kept in [None, kept.as_ref()] {
                let mut found = Vec::new();
                let e = set.evaluate_kept(&inputs, kept, &mut |n, t| found.push((n, t)));
                assert!(e.steps <= set.header().steps_per_event);
                found.sort_unstable_by_key(|f| f.0);
                if found != expected {
                    let which = expected
                        .iter()
                        .chain(&found)
                        .find(|x| !(expected.contains(x) && found.contains(x)))
                        .unwrap()
                        .0;
                    panic!(
                        "seed {seed} kept {} expected {expected:?} found {found:?}\n{:x?} {:?}\n{inputs:?}\nrule {which}: {:?}",
                        kept.is_some(),
                        pipe,
                        String::from_utf16_lossy(pipe),
                        texts_of.get(&sorted[which as usize].id)
                    );
                }
            }
        }
    }
    assert!(built > 0 && refused < 10 * built && hits > 0 && checked > 0);
}
#[test]
fn beyond_the_room_for_it_a_rule_is_exact_or_unknown() {
    let mut r = Rng(std::env::var("SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(77777));
    let (mut full, mut exact, mut kept_some) = (0, 0, 0);
    for _ in 0..std::env::var("FILES").ok().and_then(|n| n.parse().ok()).unwrap_or(20) {
        let rules: Vec<_> = (0..170)
            .flat_map(|n| {
                let t = rule(&mut r, n);
                let Ok(rules) = parse_rules(Path::new("r.yml"), &t) else { return vec![] };
                if build(&rules, &OPTIONS).is_ok() { rules } else { vec![] }
            })
            .collect();
        let Ok(mut file) = build(&rules, &OPTIONS) else { continue };
        attach_signature(&mut file, &test_key()).unwrap();
        let set = open(&file, &test_key(), &SensorProfile::CURRENT).unwrap();
        for _ in 0..60 {
            let long = |r: &mut Rng| (0..6).flat_map(|_| text(r)).collect::<Vec<u16>>();
            let (pipe, image) =
                (long(&mut r), if r.below(2) == 0 { long(&mut r) } else { text(&mut r) });
            let mut inputs = Inputs::absent();
            inputs.set(Field::Operation, Input::Number(1));
            inputs.set(Field::PipeName, Input::Text(&pipe));
            inputs.set(Field::ImagePath, Input::Text(&image));
            let expected: Vec<Truth> =
                rules.iter().map(|rule| naive::judge(rule, &inputs)).collect();
            let kept = set.keep(&inputs);
            kept_some += usize::from(kept.is_some());
            for kept in [None, kept.as_ref()] {
                let mut found = vec![Truth::False; rules.len()];
                let e = set.evaluate_kept(&inputs, kept, &mut |n, t| {
                    assert_eq!(found[n as usize], Truth::False);
                    found[n as usize] = t
                });
                assert!(e.steps <= set.header().steps_per_event);
                for (f, x) in found.iter().zip(&expected) {
                    assert!(f == x || *f == Truth::Unknown, "{f:?} {x:?}");
                }
                if found == expected { exact += 1 } else { full += 1 }
            }
        }
    }
    assert!(exact > full && kept_some > 0, "{exact} {full} {kept_some}");
}
#[test]
fn evaluation_equals_the_reference_kept_or_not() {
    let n = std::env::var("FILES").ok().and_then(|n| n.parse().ok()).unwrap_or(50);
    let seed = std::env::var("SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0x1234_5678_9abc);
    run(seed, n, false);
    run(seed ^ 0xffff, n / 4, true);
}
