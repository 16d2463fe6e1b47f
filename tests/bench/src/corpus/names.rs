//! Names as people give them to pipes and programs.

use super::random::Random;

/// Words that authors of tools and of services use.
const WORDS: &[&str] = &[
    "admin", "agent", "anvil", "arrow", "atlas", "audit", "backup", "badger", "beacon", "blade",
    "bolt", "bridge", "broker", "cache", "cargo", "carbon", "channel", "cipher", "client", "cloud",
    "cobra", "comm", "config", "conn", "core", "coral", "cred", "crypt", "daemon", "dark", "data",
    "debug", "delta", "demon", "desk", "dispatch", "drop", "dump", "eagle", "echo", "elevate",
    "ember", "engine", "event", "exec", "falcon", "fetch", "fire", "flare", "forge", "fox", "gate",
    "ghost", "grunt", "guard", "hawk", "helper", "hive", "hook", "host", "hunter", "imp", "inject",
    "input", "iron", "jackal", "job", "kernel", "key", "kit", "lance", "launch", "link", "listen",
    "load", "local", "log", "lsa", "lynx", "mail", "mantis", "merge", "meter", "mimic", "mirror",
    "monitor", "mount", "msg", "net", "night", "nova", "onyx", "orbit", "otter", "panel", "pass",
    "patch", "pipe", "pivot", "pool", "post", "print", "probe", "proxy", "pulse", "queue", "raven",
    "recon", "relay", "remote", "root", "router", "rpc", "runner", "sam", "scan", "secret",
    "serve", "session", "shadow", "shell", "signal", "silver", "smoke", "socket", "spark", "spool",
    "stage", "storm", "stream", "svc", "sync", "tail", "task", "thief", "ticket", "token", "tool",
    "trace", "tunnel", "update", "vault", "venom", "viper", "watch", "web", "winter", "wolf",
    "worker", "wraith", "zephyr",
];

/// How such words are put together.
const STYLES: usize = 4;

/// One word in small letters.
pub fn word(random: &mut Random) -> &'static str {
    random.pick(WORDS)
}

/// Two or three words, written as one name.
pub fn words(random: &mut Random) -> String {
    let count = if random.percent(70) { 2 } else { 3 };
    let style = random.below(STYLES);
    let mut name = String::new();
    for place in 0..count {
        let word = word(random);
        match style {
            0 => name.push_str(word),
            1 => name.push_str(&capital(word)),
            2 => {
                if place > 0 {
                    name.push('_');
                }
                name.push_str(word);
            }
            _ if place == 0 => name.push_str(word),
            _ => name.push_str(&capital(word)),
        }
    }
    name
}

/// A name of a pipe or a program, with the endings that tell instances and versions apart.
pub fn name(random: &mut Random) -> String {
    let name = words(random);
    match random.below(8) {
        0 => format!("{name}_{}", word(random)),
        1 => format!("{name}-{}", random.hex(4)),
        2 => format!("{name}.{}", word(random)),
        3 => format!("{name}{}", random.decimal(2)),
        4 => format!("{name}_{}", random.decimal(1)),
        _ => name,
    }
}

fn capital(word: &str) -> String {
    word[..1].to_ascii_uppercase() + &word[1..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_words_and_seldom_the_same() {
        let mut random = Random::new(1);
        let names: BTreeSet<String> = (0..10_000).map(|_| name(&mut random)).collect();
        assert!(names.len() > 9_900, "{}", names.len());
        assert!(names.iter().all(|name| {
            let small = name.to_ascii_lowercase();
            WORDS.iter().any(|word| small.starts_with(word))
        }));
    }
}
