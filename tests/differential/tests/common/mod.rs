//! What the tests of this crate share.
#![allow(dead_code, reason = "each test uses some of it")]

use channel_compiler::naive;
use channel_format::schema::Truth;
use differential::compiled::{Compiled, Refused, read};
use differential::event::Event;
use differential::sigma::Sigma;

const ID: &str = "11111111-2222-4333-8444-555555555555";

/// A rule's text, given what stands behind `detection:`.
pub fn rule(rest: &str) -> String {
    format!(
        "title: Test\nid: {ID}\nlogsource:\n    product: windows\n    category: \
         pipe_created\ndetection:\n{rest}"
    )
}

/// What the compiled file and the naive reference say, which must be the same. A rule that judges
/// every event alike is refused: then the reference may not say otherwise.
pub fn verdict(rest: &str, event: &Event) -> Truth {
    let yaml = rule(rest);
    let source = read(&yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    let reference = naive::judge(&source[0], &event.whole());
    match Compiled::new(&source) {
        Ok(compiled) => {
            let found = compiled.judge(event).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
            assert_eq!(found, [reference], "compiled, naive:\n{yaml}\n{event}");
        }
        Err(refused @ Refused::OneSided(_)) => {
            let refuted = refused.is_refuted_by(event, reference);
            assert!(!refuted, "{refused}, but {reference:?}:\n{yaml}\n{event}");
        }
        Err(refused) => panic!("{refused}\n{yaml}"),
    }
    reference
}

/// What the other engine says; `None` if it refuses the rule.
pub fn sigma_verdict(rest: &str, event: &Event) -> Option<Truth> {
    let sigma = Sigma::new(&rule(rest), [ID].into_iter()).ok()?;
    Some(sigma.judge(event).unwrap()[0])
}
