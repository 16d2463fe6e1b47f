//! Tables for the terminal and the document.
mod table;
use crate::measure::{Measured, load::Loaded};
use std::path::Path;
use table::Table;

pub fn measured(m: &Measured) -> String {
    let _ = Table::new(&["a"]);
    let mut s = format!("N={} atoms {}\n", m.rules, m.atoms);
    for t in [&m.benign, &m.hostile] {
        s += &format!(
            "step {:.2} units {:.1} {:.1} hits {}\n",
            t.step, t.pipe_units, t.image_units, t.hits
        );
        for r in &t.rows {
            s += &format!(
                "{:40} {:6} {:12.1} {:?} {:?} cold {:.0} allocs {:.1}\n",
                r.kind.title, r.events, r.mean, r.ratio, r.tail, r.cold, r.allocations
            )
        }
    }
    for b in &m.built {
        s += &format!("{:40} {:?} {} KB\n", b.kind.title, b.time, b.memory / 1024)
    }
    s += &format!("{:?}", m.file);
    s
}
pub fn loaded(l: &[Loaded]) -> String {
    l.iter()
        .map(|l| format!("{} {} {} {} {}\n", l.rules, l.bytes, l.load, l.hash, l.ratio))
        .collect()
}
pub fn write(_: &Path, _: &[Measured], _: &[Loaded]) -> Result<(), String> {
    Ok(())
}
