//! Each listed exception is one, and is as the list says.

mod common;

use differential::exceptions::EXCEPTIONS;

#[test]
fn exceptions_are_as_listed() {
    for exception in EXCEPTIONS {
        let event = exception.event();
        let compiled = common::verdict(exception.rule, &event);
        let sigma = common::sigma_verdict(exception.rule, &event);
        assert_eq!((compiled, sigma), (exception.compiled, exception.sigma), "{exception:#?}");
        assert_ne!(Some(compiled), sigma, "no exception: {exception:#?}");
    }
}

#[test]
fn the_list_names_each_case_once() {
    let mut names: Vec<_> = EXCEPTIONS.iter().map(|exception| exception.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), EXCEPTIONS.len());
    assert!(EXCEPTIONS.iter().all(|exception| !exception.why.is_empty()));
}
