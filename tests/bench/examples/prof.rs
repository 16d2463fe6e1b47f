#![allow(dead_code, unused)]
#[path = "../src/corpus/mod.rs"] mod corpus;
#[path = "../src/engines/mod.rs"] mod engines;
#[allow(unsafe_code)] #[path = "../src/heap.rs"] mod heap;
#[path = "../src/measure/mod.rs"] mod measure;
#[path = "../src/rule/mod.rs"] mod rule;
use std::time::Instant;
use channel_format::{frame::verify, ruleset::*, schema::*};
fn med(mut f: impl FnMut()) -> f64 { let mut v: Vec<f64> = (0..15).map(|_| { let t = Instant::now(); f(); t.elapsed().as_nanos() as f64 }).collect(); v.sort_by(|a,b| a.partial_cmp(b).unwrap()); v[7] }
fn main() {
    let cut: usize = std::env::args().nth(2).map_or(100000, |x| x.parse().unwrap()); let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let corpus = corpus::Corpus::new(n);
    let set = rule::RuleSet::parse(&corpus).unwrap();
    let conv = |v: Vec<corpus::events::Event>| v.into_iter().map(|e| (e.pipe.units, e.image.units)).collect::<Vec<_>>();
    let benign = conv(corpus::events::benign(4096, &corpus, 0x5a4b_4552_0002));
    let hostile = conv(corpus::events::hostile(512, &set, 0x5a4b_4552_0003));
    let t = Instant::now();
    let file = engines::saker::file(&corpus).unwrap();
    println!("build {:.1} ms", t.elapsed().as_secs_f64()*1e3);
    let (_, anchor) = engines::saker::key().unwrap();
    let signed = verify(&file, &anchor).unwrap();
    let rs = Ruleset::parse(signed.clone().body(file.clone()).unwrap(), &SensorProfile::FULL).unwrap();
    for s in &rs.header().sections { println!("  section {:2} {:8} {:.1}/rule", s.kind, s.length, s.length as f64 / n as f64); }
    println!("steps/event {} load {} file {}", rs.header().steps_per_event, rs.header().steps_per_load, file.len());
    if std::env::var("PROFLOOP").ok().as_deref() == Some("parse") { let verified = signed.clone().body(file.as_slice()).unwrap(); let t = Instant::now(); while t.elapsed().as_secs() < 4 { std::hint::black_box(Ruleset::parse(verified.clone(), &SensorProfile::FULL).unwrap()); } return }
    if std::env::var("PROFLOOP").ok().as_deref() == Some("self") { let t = Instant::now(); while t.elapsed().as_secs() < 4 { rs.self_test().unwrap(); } return }
    let v = med(|| { std::hint::black_box(verify(&file, &anchor).unwrap()); });
    let b = med(|| { std::hint::black_box(signed.clone().body(file.as_slice()).unwrap()); });
    let verified = signed.clone().body(file.as_slice()).unwrap();
    let p = med(|| { std::hint::black_box(Ruleset::parse(verified.clone(), &SensorProfile::FULL).unwrap()); });
    let s = med(|| { rs.self_test().unwrap(); });
    println!("verify {:.0} us  hash {:.0} us  parse {:.0} us  self-test {:.0} us  ratio {:.2}", v/1e3, b/1e3, p/1e3, s/1e3, (v+b+p+s)/b);
    for (name, ev) in [("benign", &benign), ("hostile", &hostile)] { let ev = &ev[..ev.len().min(cut)];
        let mut inputs: Vec<_> = ev.iter().map(|e| { let mut i = Inputs::absent(); i.set(Field::Operation, Input::Number(1)); i.set(Field::PipeName, Input::Text(&e.0)); i.set(Field::ImagePath, Input::Text(&e.1)); i.set(Field::ProcessId, Input::Number(77)); i }).collect();
        let units: usize = ev.iter().map(|e| e.0.len() + e.1.len()).sum();
        let pipe: usize = ev.iter().map(|e| e.0.len()).sum();
        let mut hits = 0; let mut unk = 0; let mut maxs = 0;
        let mut steps = 0;
        for i in &inputs { let e = rs.evaluate(i, &mut |_, _| {}); hits += e.matched; unk += e.unknown; maxs = maxs.max(e.steps); steps += e.steps; }
        if std::env::var("PROFLOOP").ok().as_deref() == Some(name) { let t = Instant::now(); while t.elapsed().as_secs() < 4 { for i in &inputs { std::hint::black_box(rs.evaluate(std::hint::black_box(i), &mut |_, _| {})); } } return }
        let t = med(|| for i in &inputs { std::hint::black_box(rs.evaluate(std::hint::black_box(i), &mut |_, _| {})); });
        let kept: Vec<_> = inputs.iter().map(|i| rs.keep(i)).collect();
        let none = kept.iter().filter(|k| k.is_none()).count();
        let tk = med(|| for (i, k) in inputs.iter().zip(&kept) { std::hint::black_box(rs.evaluate_kept(std::hint::black_box(i), k.as_ref(), &mut |_, _| {})); });
        println!("{name}: {:.1} ns/event, {:.2} ns/unit; kept {:.1} ns/event {:.2} ns/pipe unit (not kept {none}); matched {hits} unknown {unk} steps/event {:.0} max {maxs}", t / ev.len() as f64, t / units as f64, tk / ev.len() as f64, tk / pipe as f64, steps as f64 / ev.len() as f64);
    }
}
