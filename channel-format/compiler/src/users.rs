//! Users: a rule names them as text, an event brings their security identifiers.
//!
//! # What a value may be
//! * `S-1-…`: that identifier, written as Windows writes it.
//! * The name of an account that every machine knows, with its domain, in a language of
//!   [`ACCOUNTS`]: that account.
//! * A pattern that can only mean such accounts, and then each of them that one of its spellings
//!   fits. It can mean nothing else if a fixed part of it
//!     * holds a [stem](STEMS) of the words for *NT AUTHORITY*: `AUTHORI`, `AUTORI`; or
//!     * ends the name, and is from its backslash on the whole name of such an account: `\SYSTEM`.
//! * `*`: any user.
//!
//! All else could mean an account whose identifier only its own machine or domain knows. A name
//! cannot be looked up while a pipe is being created, so such a value is refused.

use channel_format::limits::MAX_SID_UNITS;
use rsigma_parser::SigmaString;
use rsigma_parser::value::StringPart;

use crate::lower::{Comparison, Modifiers, pattern_parts};
use crate::naive;
use crate::regex::is_star;

/// A binary security identifier.
pub(crate) type Sid = Vec<u8>;

/// Accounts with an identifier of their own on every machine, each with its spellings.
///
/// Identifiers: Microsoft, "Well-known SIDs" and "Security identifiers". Spellings, of which the
/// English comes first:
/// * German, French, Italian, Spanish and Russian: Microsoft, "Configure Windows service accounts
///   and permissions" (SQL Server), table "Localized service names".
/// * The other words for NETWORK SERVICE: Microsoft's set-up script `CreateNetworkServiceLogin` of
///   SQL Server's Reporting Services, table `@localizedNetworkServiceNames`.
/// * `AUTORITE NT\Système`, `NT AUTHORITY\SERVICIO LOCAL`, and the rest of Portuguese, Polish,
///   Swedish and Norwegian: output of `whoami`, `icacls`, `tasklist` and Sysmon of such machines,
///   as published by their users.
const ACCOUNTS: [(&str, &[&str]); 5] = [
    (
        "S-1-5-18",
        &[
            r"NT AUTHORITY\SYSTEM",
            r"NT-AUTORITÄT\SYSTEM",
            r"AUTORITE NT\SYSTEM",
            r"AUTORITE NT\Système",
            r"NT AUTHORITY\СИСТЕМА",
            r"AUTORIDADE NT\SISTEMA",
            r"AUTORIDADE NT\SYSTEM",
            r"ZARZĄDZANIE NT\SYSTEM",
            r"NT INSTANS\SYSTEM",
            r"NT-MYNDIGHET\SYSTEM",
        ],
    ),
    (
        "S-1-5-19",
        &[
            r"NT AUTHORITY\LOCAL SERVICE",
            r"NT-AUTORITÄT\LOKALER DIENST",
            r"AUTORITE NT\SERVICE LOCAL",
            r"NT AUTHORITY\SERVIZIO LOCALE",
            r"NT AUTHORITY\SERVICIO LOC",
            r"NT AUTHORITY\SERVICIO LOCAL",
            r"AUTORIDADE NT\SERVIÇO LOCAL",
            r"NT-MYNDIGHET\LOKAL TJENESTE",
        ],
    ),
    (
        "S-1-5-20",
        &[
            r"NT AUTHORITY\NETWORK SERVICE",
            r"NT-AUTORITÄT\NETZWERKDIENST",
            r"AUTORITE NT\SERVICE RÉSEAU",
            r"NT AUTHORITY\SERVIZIO DI RETE",
            r"NT AUTHORITY\SERVICIO DE RED",
            r"NT AUTHORITY\NETVÆRKSTJENESTE",
            r"NT AUTHORITY\NETWERKSERVICE",
            r"NT-HALLINTA\VERKKOPALVELU",
            r"NT AUTHORITY\HÁLÓZATI SZOLGÁLTATÁS",
            r"NT-MYNDIGHET\NETTVERKSTJENESTE",
            r"ZARZĄDZANIE NT\USŁUGA SIECIOWA",
            r"NT AUTHORITY\SERVIÇO DE REDE",
            r"AUTORIDADE NT\SERVIÇO DE REDE",
            r"AUTORIDADE NT\NETWORK SERVICE",
            r"NT INSTANS\NETWORK SERVICE",
        ],
    ),
    ("S-1-5-7", &[r"NT AUTHORITY\ANONYMOUS LOGON"]),
    ("S-1-5-17", &[r"NT AUTHORITY\IUSR"]),
];

/// Accounts of which each session has its own, numbered: the last part of the identifier is the
/// number in the name.
const NUMBERED: [(&str, &str); 2] =
    [("S-1-5-90-0-", r"WINDOW MANAGER\DWM-"), ("S-1-5-96-0-", r"FONT DRIVER HOST\UMFD-")];

/// Parts of the words for *NT AUTHORITY* in the languages of [`ACCOUNTS`] that no domain of a user
/// holds by chance: the idiom of published rules, and the words that it misses.
const STEMS: [&str; 6] =
    ["AUTHORI", "AUTORI", "NT INSTANS", "NT-MYNDIGHET", "NT-HALLINTA", "ZARZĄDZANIE NT"];

/// What a value of a field of users asks for.
pub(crate) enum Wanted {
    /// Any user.
    Any,
    /// One of these.
    OneOf(Vec<Sid>),
}

/// Reads a value of a rule; says why it cannot be one, and what to do.
pub(crate) fn read(modifiers: &Modifiers, text: &SigmaString) -> Result<Wanted, (String, String)> {
    use Comparison::{Contains, EndsWith, Is, StartsWith};
    if !matches!(modifiers.comparison, Is | Contains | StartsWith | EndsWith) || modifiers.cased {
        let help = "write names of well-known accounts, or identifiers: `S-1-5-…`; plainly, or with \
                    contains, startswith, endswith";
        let reason =
            "users are compared by their identifiers, which this modifier does not go with";
        return Err((reason.into(), help.into()));
    }
    let parts = pattern_parts(modifiers.comparison, text)?;
    match parts.as_slice() {
        [StringPart::Plain(name)] => named(name).map(|sid| Wanted::OneOf(vec![sid])),
        [star] if is_star(star) => Ok(Wanted::Any),
        parts => fitting(modifiers, text, parts),
    }
}

/// The identifier that a name, or its own spelling, stands for.
pub(crate) fn named(name: &str) -> Result<Sid, (String, String)> {
    let upper = name.to_uppercase();
    if upper.starts_with("S-1-") {
        return parse(&upper).ok_or_else(|| {
            let help = "write it as Windows does: `S-1-5-21-…`, with up to 15 numbers below 2^32";
            (format!("`{name}` is not a security identifier"), help.into())
        });
    }
    let known = ACCOUNTS
        .iter()
        .find(|(_, names)| names.iter().any(|spelling| spelling.to_uppercase() == upper))
        .map(|(sid, _)| (*sid).to_owned());
    let known = known.or_else(|| {
        let number = |start: &str| upper.strip_prefix(start).filter(|rest| is_number(rest));
        NUMBERED.iter().find_map(|(sid, start)| Some(format!("{sid}{}", number(start)?)))
    });
    match known.as_deref().and_then(parse) {
        Some(sid) => Ok(sid),
        None => Err(unknown(name, &upper)),
    }
}

/// Why a name stands for no identifier.
fn unknown(name: &str, upper: &str) -> (String, String) {
    let mut spelled = ACCOUNTS.iter().flat_map(|(_, names)| *names);
    let short = spelled
        .find(|full| full.split('\\').nth(1).is_some_and(|part| part.to_uppercase() == upper));
    let groups = ["BUILTIN\\", "VORDEFINIERT\\", "EVERYONE"];
    let group = groups.iter().any(|start| upper.starts_with(start))
        || upper.ends_with("\\AUTHENTICATED USERS");
    let help = if let Some(full) = short {
        format!("did you mean `{full}`?")
    } else if group {
        "no request is made in a group's name; name an account, or match on `Integrity` or \
         `Elevation`"
            .into()
    } else if upper.starts_with("NT SERVICE\\") {
        "write its identifier, which `sc showsid` prints: `S-1-5-80-…`".into()
    } else {
        "write its identifier, which `whoami /user` prints: `S-1-5-21-…`".into()
    };
    (format!("the identifier of the user `{name}` is not known"), help)
}

/// The accounts that a pattern means, if it can mean no other.
fn fitting(
    modifiers: &Modifiers,
    text: &SigmaString,
    parts: &[StringPart],
) -> Result<Wanted, (String, String)> {
    let holds_stem = parts.iter().any(|part| match part {
        StringPart::Plain(part) => STEMS.iter().any(|stem| part.to_uppercase().contains(stem)),
        StringPart::Special(_) => false,
    });
    let names_account = match parts.last() {
        Some(StringPart::Plain(part)) => part.rsplit_once('\\').is_some_and(|(_, name)| {
            let spelled = ACCOUNTS.iter().flat_map(|(_, names)| *names);
            let mut names = spelled.filter_map(|full| full.split('\\').nth(1));
            names.any(|known| known.to_uppercase() == name.to_uppercase())
        }),
        _ => false,
    };
    if !holds_stem && !names_account {
        let help = "write identifiers, `S-1-5-…`, or a pattern that only well-known accounts fit: \
                    `User|contains: ['AUTHORI', 'AUTORI']`, `User|endswith: '\\SYSTEM'`";
        return Err((format!("`{text}` may mean users that are not known here"), help.into()));
    }
    let fits = |name: &str| {
        let name: Vec<u16> = name.encode_utf16().collect();
        naive::text_fits(modifiers, text, &name)
    };
    let sids: Vec<Sid> = ACCOUNTS
        .iter()
        .filter(|(_, names)| names.iter().any(|name| fits(name)))
        .filter_map(|(sid, _)| parse(sid))
        .collect();
    if sids.is_empty() {
        let help = r"well-known accounts are such as `NT AUTHORITY\SYSTEM`; or write `S-1-5-…`";
        return Err((format!("no well-known account fits `{text}`"), help.into()));
    }
    Ok(Wanted::OneOf(sids))
}

/// Every text that stands for an identifier: its own spelling, and an account's names.
pub(crate) fn texts(sid: &[u8]) -> Vec<String> {
    let spelled = spell(sid).unwrap_or_default();
    let mut texts: Vec<String> = ACCOUNTS
        .iter()
        .filter(|(known, _)| *known == spelled)
        .flat_map(|(_, names)| names.iter().map(|name| (*name).to_owned()))
        .collect();
    let number = |start: &str| spelled.strip_prefix(start).filter(|rest| is_number(rest));
    texts.extend(
        NUMBERED.iter().find_map(|(known, name)| Some(format!("{name}{}", number(known)?))),
    );
    texts.push(spelled);
    texts
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The bytes of an identifier: revision 1, how many parts, a big-endian authority, then the parts.
pub(crate) fn parse(text: &str) -> Option<Sid> {
    let mut numbers = text.strip_prefix("S-1-")?.split('-');
    let authority = numbers.next()?;
    let authority = match authority.strip_prefix("0X") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => authority.parse().ok()?,
    };
    let parts = numbers.map(|part| part.parse().ok()).collect::<Option<Vec<u32>>>()?;
    let mut sid = vec![1, u8::try_from(parts.len()).ok()?];
    sid.extend(authority.to_be_bytes().get(2..)?);
    sid.extend(parts.into_iter().flat_map(u32::to_le_bytes));
    // It must be spelled in the one way: this also bounds the authority and the number of parts.
    (spell(&sid)? == text).then_some(sid)
}

/// The text of an identifier, if the bytes are one with at least one part.
fn spell(sid: &[u8]) -> Option<String> {
    let (head, parts) = sid.split_first_chunk::<8>()?;
    let [1, count, authority @ ..] = *head else {
        return None;
    };
    let (parts, []) = parts.as_chunks::<4>() else {
        return None;
    };
    if parts.is_empty() || parts.len() != usize::from(count) || sid.len() > MAX_SID_BYTES {
        return None;
    }
    let [a, b, c, d, e, f] = authority;
    let authority = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    // Windows writes an authority beyond 32 bits in hexadecimal digits.
    let mut text = match u32::try_from(authority) {
        Ok(authority) => format!("S-1-{authority}"),
        Err(_) => format!("S-1-0X{authority:012X}"),
    };
    for part in parts {
        text += &format!("-{}", u32::from_le_bytes(*part));
    }
    Some(text)
}

/// Length of the longest identifier.
const MAX_SID_BYTES: usize = 2 * MAX_SID_UNITS as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_read_and_written() {
        let system = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
        assert_eq!(parse("S-1-5-18").unwrap(), system);
        assert_eq!(spell(&system).unwrap(), "S-1-5-18");
        let longest = "S-1-5".to_owned() + &"-4294967295".repeat(15);
        assert_eq!(parse(&longest).unwrap().len(), MAX_SID_BYTES);
        assert_eq!(spell(&parse("S-1-0X100000000000-1").unwrap()).unwrap(), "S-1-0X100000000000-1");
        for bad in [
            "S-1-5",
            "S-1-5-",
            "S-1--5-18",
            "S-1-5-018",
            "S-1-5-+18",
            "S-1-5-4294967296",
            "S-1-0X5-18",
            "S-1-0X1000000000000-1",
            "S-2-5-18",
            &(longest.clone() + "-1"),
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        for end in 0..system.len() {
            assert_eq!(spell(&system[..end]), None);
        }
        assert_eq!(spell(&[2, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]), None);
    }

    #[test]
    fn names_stand_for_their_identifier_and_back() {
        for (sid, names) in ACCOUNTS {
            assert!(names.iter().all(|name| named(name).unwrap() == parse(sid).unwrap()), "{sid}");
            assert_eq!(texts(&parse(sid).unwrap()).len(), names.len() + 1);
        }
        assert_eq!(named(r"Window Manager\DWM-3").unwrap(), parse("S-1-5-90-0-3").unwrap());
        assert_eq!(texts(&parse("S-1-5-96-0-7").unwrap())[0], r"FONT DRIVER HOST\UMFD-7");
        assert_eq!(named("s-1-5-18").unwrap(), parse("S-1-5-18").unwrap());
        for (name, help) in [
            ("SYSTEM", r"`NT AUTHORITY\SYSTEM`"),
            (r"BUILTIN\Administrators", "group"),
            (r"NT AUTHORITY\Authenticated Users", "group"),
            (r"NT SERVICE\MSSQLSERVER", "sc showsid"),
            (r"CORP\kim", "whoami /user"),
            (r"Window Manager\DWM-", "whoami /user"),
            ("S-1-5-x", "S-1-5-21-"),
            ("", "whoami"),
        ] {
            let found = named(name).unwrap_err().1;
            assert!(found.contains(help), "{name}: {found}");
        }
    }

    /// A pattern may name only accounts of the table, so no stem may fit one that is not in it.
    #[test]
    fn every_domain_of_the_table_holds_a_stem() {
        for (_, names) in ACCOUNTS {
            for name in names {
                let domain = name.split('\\').next().unwrap().to_uppercase();
                assert!(STEMS.iter().any(|stem| domain.contains(stem)), "{name}");
            }
        }
    }
}
