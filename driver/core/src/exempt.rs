//! Whom and what content never blocks, whatever its rules say.
//!
//! An exemption takes only the block away: rules still judge, and what they find is told. There is
//! no list of exempt image names, here or in the service's parameters: a name is whatever somebody
//! calls his file. Protection and the kernel's own identity cannot be had that way.

use channel_format::engine::fold::fold;
use channel_format::schema::Operation;

/// Who asks for the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requestor {
    /// It cannot be told who.
    Unknown,
    /// The kernel itself, for its own purposes.
    Kernel,
    /// A protected process, as those that Windows itself depends on are.
    Protected,
    /// Anybody else.
    Plain,
}

/// What the exemption hangs on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'n> {
    /// Who asks.
    pub requestor: Requestor,
    /// Somebody on another machine asks, through the file server. It runs in the system process,
    /// so who asks here says nothing about him.
    pub remote: bool,
    /// Protected processes are exempt: the service parameter `ExemptProtected`.
    pub exempt_protected: bool,
    /// What is asked.
    pub operation: Operation,
    /// The pipe's name with its leading backslash, if it is known.
    pub name: Option<&'n [u16]>,
}

/// True when the operation must not be blocked.
pub fn is_exempt(facts: &Facts<'_>) -> bool {
    if facts.operation == Operation::Created && facts.name.is_some_and(is_vital) {
        return true;
    }
    if facts.remote {
        return false;
    }
    match facts.requestor {
        Requestor::Unknown | Requestor::Kernel => true,
        Requestor::Protected => facts.exempt_protected,
        Requestor::Plain => false,
    }
}

/// Pipes without which Windows does not log on, start services or answer remote calls. Their
/// creation is never blocked, not even for whoever else creates one: content that is wrong about
/// these names would stop the machine. The names are compared as NPFS does, whole and without
/// regard to case.
const VITAL: [&str; 11] = [
    "lsass",
    "ntsvcs",
    "scerpc",
    "svcctl",
    "initshutdown",
    "lsm_api_service",
    "wkssvc",
    "srvsvc",
    "eventlog",
    "winreg",
    "epmapper",
];

fn is_vital(name: &[u16]) -> bool {
    let Some((0x5C, name)) = name.split_first() else { return false };
    VITAL.iter().any(|vital| {
        name.len() == vital.len()
            && name
                .iter()
                .zip(vital.bytes())
                .all(|(unit, letter)| fold(*unit) == fold(letter.into()))
    })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;
    use std::vec::Vec;

    use super::*;

    const PLAIN: Facts<'_> = Facts {
        requestor: Requestor::Plain,
        remote: false,
        exempt_protected: true,
        operation: Operation::Created,
        name: None,
    };

    fn wide(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn a_plain_process_is_not_exempt() {
        assert!(!is_exempt(&PLAIN));
        assert!(!is_exempt(&Facts { name: Some(&wide(r"\evil")), ..PLAIN }));
    }

    #[test]
    fn the_kernel_and_the_unknown_always_are() {
        for requestor in [Requestor::Kernel, Requestor::Unknown] {
            for exempt_protected in [false, true] {
                assert!(is_exempt(&Facts { requestor, exempt_protected, ..PLAIN }));
            }
        }
    }

    #[test]
    fn a_protected_process_is_unless_the_parameter_says_no() {
        let protected = Facts { requestor: Requestor::Protected, ..PLAIN };
        assert!(is_exempt(&protected));
        assert!(!is_exempt(&Facts { exempt_protected: false, ..protected }));
    }

    #[test]
    fn nobody_is_on_behalf_of_another_machine() {
        for requestor in
            [Requestor::Kernel, Requestor::Protected, Requestor::Plain, Requestor::Unknown]
        {
            assert!(!is_exempt(&Facts { requestor, remote: true, ..PLAIN }));
        }
    }

    #[test]
    fn vital_names_may_be_created_by_anybody_in_any_case() {
        for name in VITAL {
            for name in [format!(r"\{name}"), format!(r"\{}", name.to_uppercase())] {
                let name = wide(&name);
                let facts = Facts { name: Some(&name), exempt_protected: false, ..PLAIN };
                assert!(is_exempt(&facts));
                assert!(!is_exempt(&Facts { operation: Operation::Connected, ..facts }));
            }
        }
        assert!(is_exempt(&Facts { name: Some(&wide(r"\InitShutdown")), ..PLAIN }));
    }

    #[test]
    fn a_name_that_is_only_like_a_vital_one_is_not() {
        for name in [
            "",
            r"\",
            "lsass",
            r"\lsas",
            r"\lsass2",
            r"\\lsass",
            r"\x\lsass",
            r"\lsass ",
            "\\lsas\u{15f}",
        ] {
            assert!(!is_exempt(&Facts { name: Some(&wide(name)), ..PLAIN }), "{name:?}");
        }
    }
}
