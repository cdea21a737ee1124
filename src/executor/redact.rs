//! Masks the secrets of a run in what it prints, before anything is stored or shown.
//!
//! Each secret is looked for as it is, in its lines, and as base64 (at any alignment within a longer
//! text), URL-encoded and in JSON's escapes. What a program makes of a secret otherwise (hex, a hash,
//! reversed) passes: this guards against accidents, not against the program.

use aho_corasick::{AhoCorasick, MatchKind};
use base64::{
    Engine,
    alphabet::{Alphabet, STANDARD, URL_SAFE},
    engine::{GeneralPurpose, general_purpose::NO_PAD},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::model::Secret;

/// All that RFC 3986 does not leave as it is.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Shorter forms of a secret than this would match by chance; the secret itself is always masked.
const LEAST_DERIVED: usize = 6;

/// A stream of output with the secrets taken out.
pub(super) struct Redactor {
    search: Option<AhoCorasick>,
    patterns: Vec<Vec<u8>>,
    masks: Vec<Vec<u8>>,
    /// The end of what came, which may be the beginning of a secret.
    held: Vec<u8>,
    /// How many bytes of `held` a mask already covers.
    covered: usize,
}

impl Redactor {
    /// For the secrets of one run, by name.
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a Secret)>) -> Result<Self, String> {
        let (mut patterns, mut masks) = (Vec::new(), Vec::new());
        for (name, secret) in secrets {
            for form in forms(secret.expose()) {
                patterns.push(form);
                masks.push(format!("[secret {name}]").into_bytes());
            }
        }
        let search = if patterns.is_empty() {
            None
        } else {
            let search = AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .build(&patterns)
                .map_err(|_| "its secrets are too long to be masked in its output".to_owned())?;
            Some(search)
        };
        Ok(Self { search, patterns, masks, held: Vec::new(), covered: 0 })
    }

    /// Takes what came, and gives what may be shown of it and of what came before.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.search.is_none() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        let hold = self.held.len() - self.longest_beginning();
        self.give(hold)
    }

    /// Gives the rest.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.give(self.held.len())
    }

    /// How many bytes at the end may be the beginning of a secret that is still to come.
    fn longest_beginning(&self) -> usize {
        let mut longest = 0;
        for pattern in &self.patterns {
            let most = self.held.len().min(pattern.len() - 1);
            if let Some(length) =
                (longest + 1..=most).rev().find(|&length| self.held.ends_with(&pattern[..length]))
            {
                longest = length;
            }
        }
        longest
    }

    /// Gives everything before `until`, masks in the place of secrets. A secret that reaches beyond
    /// is masked once, and its rest is remembered as covered.
    fn give(&mut self, until: usize) -> Vec<u8> {
        let Some(search) = &self.search else { return Vec::new() };
        let mut found: Vec<(usize, usize, usize)> = search
            .find_overlapping_iter(&self.held)
            .map(|found| (found.start(), found.end(), found.pattern().as_usize()))
            .collect();
        found.sort_unstable();
        let mut given = Vec::with_capacity(until);
        let mut position = self.covered;
        for (start, end, pattern) in found {
            if start >= until {
                break;
            }
            // Overlapping secrets become one mask, so that no end of the second shows.
            if start >= position {
                given.extend_from_slice(&self.held[position..start]);
                given.extend_from_slice(&self.masks[pattern]);
            }
            position = position.max(end);
        }
        if position < until {
            given.extend_from_slice(&self.held[position..until]);
        }
        self.held.drain(..until);
        self.covered = position.saturating_sub(until);
        given
    }
}

impl Drop for Redactor {
    fn drop(&mut self) {
        for pattern in &mut self.patterns {
            secrecy::zeroize::Zeroize::zeroize(pattern);
        }
    }
}

/// The forms in which a secret is looked for.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.as_bytes().to_vec()];
    let mut derive = |form: Vec<u8>| {
        if form.len() >= LEAST_DERIVED {
            forms.push(form);
        }
    };
    for line in secret.lines().map(str::trim) {
        derive(line.as_bytes().to_vec());
    }
    for alphabet in [&STANDARD, &URL_SAFE] {
        for before in 0..3 {
            derive(base64_within(secret.as_bytes(), before, alphabet));
        }
    }
    let encoded = utf8_percent_encode(secret, RESERVED).to_string();
    derive(encoded.replace("%20", "+").into_bytes());
    derive(lower_escapes(&encoded).into_bytes());
    derive(encoded.into_bytes());
    if let Ok(json) = serde_json::to_string(secret) {
        derive(json.trim_matches('"').as_bytes().to_vec());
    }
    forms.sort();
    forms.dedup();
    forms
}

/// The characters of a base64 text that a secret alone decides, with `before` bytes (modulo 3) in
/// front of it.
fn base64_within(secret: &[u8], before: usize, alphabet: &Alphabet) -> Vec<u8> {
    let engine = GeneralPurpose::new(alphabet, NO_PAD);
    let bytes = [&[0; 2][..before.min(2)], secret].concat();
    let text = engine.encode(&bytes).into_bytes();
    let first = [0, 2, 3][before.min(2)];
    // The last character also holds bits of what follows, unless the bytes end with a group of three.
    let last = bytes.len() * 8 / 6;
    text.get(first..last.min(text.len())).unwrap_or_default().to_vec()
}

/// `%2F` as `%2f`.
fn lower_escapes(encoded: &str) -> String {
    let mut left = 0;
    encoded
        .chars()
        .map(|character| {
            let escaped = left > 0;
            left = if character == '%' { 2 } else { usize::saturating_sub(left, 1) };
            if escaped { character.to_ascii_lowercase() } else { character }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn masked(secrets: &[(&str, &str)], chunks: &[&[u8]]) -> String {
        let secrets: Vec<_> = secrets.iter().map(|(name, value)| (*name, Secret::new(*value))).collect();
        let mut redactor = Redactor::new(secrets.iter().map(|(name, value)| (*name, value))).expect("built");
        let mut given = Vec::new();
        for chunk in chunks {
            given.extend(redactor.push(chunk));
        }
        given.extend(redactor.finish());
        String::from_utf8_lossy(&given).into_owned()
    }

    #[test]
    fn a_secret_is_masked_in_each_of_its_spellings() {
        let secret = "p4ss/w0rd+\"x\" y";
        let spellings = [
            secret.to_owned(),
            BASE64_STANDARD.encode(secret),
            BASE64_URL_SAFE_NO_PAD.encode(secret),
            "p4ss%2Fw0rd%2B%22x%22%20y".to_owned(),
            "p4ss%2fw0rd%2b%22x%22%20y".to_owned(),
            "p4ss%2Fw0rd%2B%22x%22+y".to_owned(),
            r#"p4ss/w0rd+\"x\" y"#.to_owned(),
        ];
        for spelling in spellings {
            let shown = masked(&[("token", secret)], &[format!("<{spelling}>").as_bytes()]);
            assert!(shown.starts_with("<[secret token]"), "{spelling}: {shown}");
            assert!(shown.len() <= "<[secret token]xx==>".len(), "{spelling}: {shown}");
        }
    }

    #[test]
    fn base64_of_a_longer_text_around_a_secret_does_not_show_it() {
        for before in ["", "a", "ab", "user:"] {
            let text = BASE64_STANDARD.encode(format!("{before}hunter2-hunter2;rest"));
            let shown = masked(&[("token", "hunter2-hunter2")], &[text.as_bytes()]);
            assert!(shown.contains("[secret token]"), "{before:?}: {text} gave {shown}");
        }
    }

    #[test]
    fn each_line_of_a_key_is_masked_even_when_it_is_indented() {
        let key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQ\n-----END KEY-----";
        let shown = masked(&[("key", key)], &[b"  MIIEvQIBADANBg\r\n  kqhkiG9w0BAQ\r\n"]);
        assert_eq!(shown, "  [secret key]\r\n  [secret key]\r\n");
    }

    #[test]
    fn overlapping_secrets_leave_no_end_of_either() {
        assert_eq!(masked(&[("a", "12345"), ("b", "45678")], &[b"x12345678y"]), "x[secret a]y");
        assert_eq!(
            masked(&[("a", "12345"), ("b", "45678")], &[b"x1234", b"5", b"67", b"8y"]),
            "x[secret a]y"
        );
    }

    #[test]
    fn what_only_begins_like_a_secret_is_shown() {
        assert_eq!(masked(&[("a", "hunter2")], &[b"hunt", b"ing hunter", b"1 hun"]), "hunting hunter1 hun");
    }

    proptest! {
        #[test]
        fn wherever_the_writes_are_cut_nothing_of_a_secret_shows_and_nothing_else_is_lost(
            parts in prop::collection::vec("[ab]{0,6}|(aabba)|(bab)", 0..12),
            cuts in prop::collection::vec(0usize..60, 0..10),
        ) {
            let text = parts.concat();
            let secrets = [("one", "aabba"), ("two", "bab")];
            let mut places: Vec<usize> = cuts.into_iter().filter(|&cut| cut < text.len()).collect();
            places.extend([0, text.len()]);
            places.sort_unstable();
            let chunks: Vec<&[u8]> = places.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let whole = masked(&secrets, &[text.as_bytes()]);
            prop_assert_eq!(masked(&secrets, &chunks), whole.clone());
            // What the slow and obvious way gives: every byte of every occurrence is covered.
            let mut covered = vec![false; text.len()];
            for (_, secret) in secrets {
                for start in 0..text.len() {
                    if text[start..].starts_with(secret) {
                        covered[start..start + secret.len()].fill(true);
                    }
                }
            }
            let plain: String = text.chars().zip(&covered).filter(|(_, covered)| !**covered).map(|(c, _)| c).collect();
            let shown = whole.replace("[secret one]", "").replace("[secret two]", "");
            prop_assert_eq!(shown, plain);
        }
    }
}
