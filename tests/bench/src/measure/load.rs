//! Loading a channel file, beside hashing the same bytes with the same function.

use std::hint::black_box;
use std::time::Instant;

use channel_format::signature::sha512;

use super::stats::median;
use crate::corpus::Corpus;
use crate::engines::saker;

/// What loading a file takes.
pub struct Loaded {
    /// Its rules.
    pub rules: usize,
    /// Its bytes.
    pub bytes: usize,
    /// Milliseconds to verify, parse and self-test it.
    pub load: f64,
    /// Milliseconds to hash it.
    pub hash: f64,
    /// Median of the rounds' ratios of the two.
    pub ratio: f64,
}

/// Times the file of so many rules.
pub fn run(count: usize, rounds: usize) -> Result<Loaded, String> {
    let file = saker::file(&Corpus::new(count))?;
    let (_, anchor) = saker::key().map_err(|refusal| refusal.to_string())?;
    let (mut loads, mut hashes) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let start = Instant::now();
        black_box(saker::load(file.as_slice(), &anchor).map_err(|refusal| refusal.to_string())?);
        loads.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        black_box(sha512(&[black_box(&file)]));
        hashes.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let ratios = loads.iter().zip(&hashes).map(|(load, hash)| load / hash).collect();
    let bytes = file.len();
    Ok(Loaded {
        rules: count,
        bytes,
        load: median(loads),
        hash: median(hashes),
        ratio: median(ratios),
    })
}

/// How many rules make a file of about a megabyte.
pub fn rules_of_a_megabyte() -> Result<usize, String> {
    // Files grow evenly with their rules: one guess is enough.
    const GUESS: usize = 1_000;
    let bytes = saker::file(&Corpus::new(GUESS))?.len();
    Ok((GUESS << 20) / bytes)
}
