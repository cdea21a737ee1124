//! Masks the secrets of a run in what it prints, before anything is stored or shown.
//!
//! Each secret is looked for as it is, in its lines, and as base64 (at any alignment within a longer
//! text, and in lines as `base64` breaks them), URL-encoded and in JSON's escapes. What a program makes of a secret
//! otherwise (hex, a hash, reversed) passes: this guards against accidents, not against the program.
//!
//! Output comes in pieces, and a secret may be cut anywhere. The automaton's state goes on from piece to piece; how deep it
//! stands is how many bytes at the end may be the beginning of a secret, and these are held back. Where it stands at
//! nothing, a filter of the first bytes of all forms passes over what begins none of them: most of any output.

use std::fmt::Write as _;

use aho_corasick::{
    Anchored,
    automaton::{Automaton as _, StateID},
    nfa::contiguous::NFA,
};
use base64::{
    Engine,
    alphabet::{Alphabet, STANDARD, URL_SAFE},
    engine::{GeneralPurpose, general_purpose::NO_PAD},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::model::Secret;

/// All that RFC 3986 does not leave as it is.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What encoders of whole paths leave beside that.
const RESERVED_IN_PATHS: &AsciiSet = &RESERVED.remove(b'/');
/// What `encodeURIComponent` of browsers encodes.
const RESERVED_IN_COMPONENTS: &AsciiSet =
    &RESERVED.remove(b'!').remove(b'\'').remove(b'(').remove(b')').remove(b'*');
/// Shorter forms of a secret than this would match by chance; the secret itself is always masked.
const LEAST_DERIVED: usize = 6;
/// After how many characters programs break lines of base64: `base64` and MIME, PEM.
const BROKEN_AFTER: [usize; 2] = [76, 64];
/// How many bytes the filter looks at at once.
const GRAM: usize = 4;
/// How far apart it looks at most, where all forms are long enough.
const STRIDE: usize = 8;
/// The filter's size, as a power of two, in bits.
const FILTER_BITS: u32 = 17;

/// A stream of output with the secrets taken out.
pub struct Redactor {
    search: Option<Search>,
    masks: Vec<Vec<u8>>,
    /// The end of what came, which may be the beginning of a secret.
    held: Vec<u8>,
    /// How many bytes of `held` a mask already covers.
    covered: usize,
    /// What was found in `held`: begin, end, and which form.
    found: Vec<(usize, usize, usize)>,
}

/// What looks for the forms, from piece to piece.
struct Search {
    patterns: Vec<Vec<u8>>,
    nfa: NFA,
    begin: StateID,
    state: StateID,
    /// How many bytes at the end are the beginning of a form, by the automaton's state.
    depths: Vec<u32>,
    /// The grams at the beginning of all forms, as many of each as the stride is long. None where a form is too short.
    filter: Option<Box<[u64]>>,
    /// How far apart the places are that are looked at.
    stride: usize,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

impl Redactor {
    /// What masks these secrets, each by its name.
    ///
    /// # Errors
    ///
    /// That they are too long for it.
    pub fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a Secret)>) -> Result<Self, String> {
        let (mut patterns, mut masks) = (Vec::new(), Vec::new());
        for (name, secret) in secrets {
            for form in forms(secret.expose()) {
                patterns.push(form);
                masks.push(format!("[secret {name}]").into_bytes());
            }
        }
        let search = if patterns.is_empty() { None } else { Some(Search::new(patterns)?) };
        Ok(Self { search, masks, held: Vec::new(), covered: 0, found: Vec::new() })
    }

    /// Takes what came, and gives what may be shown of it and of what came before.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(search) = &mut self.search else { return bytes.to_vec() };
        let from = self.held.len();
        self.held.extend_from_slice(bytes);
        let beginning = search.scan(&self.held, from, &mut self.found);
        self.give(self.held.len() - beginning)
    }

    /// Gives the rest.
    pub fn finish(&mut self) -> Vec<u8> {
        if let Some(search) = &mut self.search {
            search.state = search.begin;
        }
        self.give(self.held.len())
    }

    /// Gives everything before `until`, masks in the place of secrets. A secret that reaches beyond
    /// is masked once, and its rest is remembered as covered.
    fn give(&mut self, until: usize) -> Vec<u8> {
        self.found.sort_unstable();
        let mut given = Vec::with_capacity(until);
        let mut position = self.covered;
        let mut done = 0;
        for &(start, end, pattern) in &self.found {
            if start >= until {
                break;
            }
            done += 1;
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
        self.found.drain(..done);
        for (start, end, _) in &mut self.found {
            *start -= until;
            *end -= until;
        }
        self.held.drain(..until);
        self.covered = position.saturating_sub(until);
        given
    }
}

impl Search {
    fn new(patterns: Vec<Vec<u8>>) -> Result<Self, String> {
        let too_long = || "its secrets are too long to be masked in its output".to_owned();
        let nfa = NFA::new(&patterns).map_err(|_| too_long())?;
        let begin = nfa.start_state(Anchored::No).map_err(|_| too_long())?;
        let mut depths = Vec::new();
        for pattern in &patterns {
            let mut state = begin;
            for (byte, depth) in pattern.iter().zip(1u32..) {
                state = nfa.next_state(Anchored::No, state, *byte);
                let index = state.as_usize();
                if depths.len() <= index {
                    depths.resize(index + 1, 0);
                }
                depths[index] = depth;
            }
        }
        let shortest = patterns.iter().map(Vec::len).min().unwrap_or(0);
        let stride = (shortest + 1).saturating_sub(GRAM).min(STRIDE);
        let filter = (stride > 0).then(|| {
            let mut filter = vec![0u64; 1 << (FILTER_BITS - 6)].into_boxed_slice();
            for window in patterns.iter().flat_map(|pattern| pattern.array_windows().take(stride)) {
                let bit = gram(*window);
                filter[bit >> 6] |= 1 << (bit & 63);
            }
            filter
        });
        Ok(Self { patterns, nfa, begin, state: begin, depths, filter, stride })
    }

    /// Looks at `held` from `from` on, and notes what is found. Gives how many bytes at the end may be the beginning of
    /// what is still to come.
    fn scan(&mut self, held: &[u8], from: usize, found: &mut Vec<(usize, usize, usize)>) -> usize {
        let mut at = from;
        while at < held.len() {
            let depth = self.depth();
            if depth < GRAM {
                at = self.pass_over(held, at - depth, at);
                if at >= held.len() {
                    break;
                }
            }
            self.state = self.nfa.next_state(Anchored::No, self.state, held[at]);
            at += 1;
            if self.nfa.is_special(self.state) && self.nfa.is_match(self.state) {
                // The longest of those that end here begins first, and covers the others.
                let ends =
                    (0..self.nfa.match_len(self.state)).map(|it| self.nfa.match_pattern(self.state, it));
                if let Some(longest) = ends.max_by_key(|pattern| self.patterns[pattern.as_usize()].len()) {
                    let longest = longest.as_usize();
                    found.push((at - self.patterns[longest].len(), at, longest));
                }
            }
        }
        self.depth()
    }

    fn depth(&self) -> usize {
        self.depths.get(self.state.as_usize()).map_or(0, |&depth| depth as usize)
    }

    /// The next place to go on at, where the forms that may have begun did so at `begun` at the earliest and everything
    /// before `at` was looked at. What lies between begins no form: each would show one of its grams at one of the places
    /// that are looked at, a stride apart.
    fn pass_over(&mut self, held: &[u8], begun: usize, at: usize) -> usize {
        let Some(filter) = &self.filter else { return at };
        let mut place = begun + self.stride - 1;
        let mut hit = false;
        while let Some(window) = held.get(place..).and_then(<[u8]>::first_chunk) {
            let bit = gram(*window);
            hit = filter[bit >> 6] >> (bit & 63) & 1 == 1;
            if hit {
                break;
            }
            place += self.stride;
        }
        // With a hit, one may have begun within the stride before it; without, after the last place.
        let next = place + 1 - self.stride;
        let goes_on = if hit { next == begun && begun < at } else { next <= at };
        if goes_on {
            return at;
        }
        self.state = self.begin;
        next
    }
}

/// The place of a few bytes of text in the filter.
const fn gram(text: [u8; GRAM]) -> usize {
    (u32::from_le_bytes(text).wrapping_mul(0x9E37_79B1) >> (32 - FILTER_BITS)) as usize
}

impl Drop for Search {
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
    // A long one is broken into lines: each of them, where the secret is the beginning of what was encoded.
    let whole = GeneralPurpose::new(&STANDARD, NO_PAD).encode(secret);
    for length in BROKEN_AFTER.into_iter().filter(|&length| length < whole.len()) {
        whole.as_bytes().chunks(length).for_each(|line| derive(line.to_vec()));
    }
    for reserved in [RESERVED, RESERVED_IN_PATHS, RESERVED_IN_COMPONENTS] {
        let encoded = utf8_percent_encode(secret, reserved).to_string();
        derive(encoded.replace("%20", "+").into_bytes());
        derive(lower_escapes(&encoded).into_bytes());
        derive(encoded.into_bytes());
    }
    if let Ok(json) = serde_json::to_string(secret) {
        let json = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or(&json);
        for escaped in [json.to_owned(), ascii_escapes(json)] {
            derive(escaped.replace('/', "\\/").into_bytes());
            derive(escaped.into_bytes());
        }
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

/// What JSON writes of letters beyond ASCII, where it is asked to.
fn ascii_escapes(json: &str) -> String {
    let mut units = [0; 2];
    json.chars().fold(String::new(), |mut text, character| {
        if character.is_ascii() {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
        text
    })
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

    /// Every spelling in which a secret must not be seen.
    fn spellings(secret: &str) -> Vec<String> {
        let json = serde_json::to_string(secret).expect("JSON");
        let url = utf8_percent_encode(secret, RESERVED).to_string();
        let mut all = vec![
            secret.to_owned(),
            url.to_lowercase().replace("%c3", "%C3"),
            url,
            utf8_percent_encode(secret, RESERVED_IN_PATHS).to_string(),
            json.trim_matches('"').to_owned(),
            ascii_escapes(json.trim_matches('"')),
        ];
        for before in ["", "a", "ab"] {
            all.push(BASE64_STANDARD.encode(format!("{before}{secret}")));
            all.push(BASE64_URL_SAFE_NO_PAD.encode(format!("{before}{secret}")));
        }
        all
    }

    #[test]
    fn wherever_a_write_is_cut_no_spelling_of_a_secret_shows() {
        let secret = "p4ss/w0rd+?\"x\" \u{f6}\u{ff}\u{ff}y~~";
        let core = &secret[..8];
        for spelling in spellings(secret) {
            if spelling != spelling.to_lowercase() && spelling.contains("%C3") && spelling.contains("%2f") {
                continue;
            }
            let text = format!("before {spelling} after");
            let whole = masked(&[("token", secret)], &[text.as_bytes()]);
            assert!(whole.contains("[secret token]") && !whole.contains(core), "{spelling}: {whole}");
            for cut in 0..=text.len() {
                let (one, two) = text.as_bytes().split_at(cut);
                assert_eq!(masked(&[("token", secret)], &[one, two]), whole, "{spelling} cut at {cut}");
            }
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(masked(&[("token", secret)], &bytes), whole, "{spelling} byte by byte");
        }
    }

    #[test]
    fn base64_that_is_broken_into_lines_does_not_show_a_long_secret() {
        let secret = "0123456789abcdefghijklmnopqrstuvwxyz".repeat(6);
        for length in BROKEN_AFTER {
            let whole = BASE64_STANDARD.encode(&secret);
            let lines: Vec<&str> = whole
                .as_bytes()
                .chunks(length)
                .map(|line| std::str::from_utf8(line).expect("ASCII"))
                .collect();
            let shown = masked(&[("key", &secret)], &[lines.join("\n").as_bytes()]);
            assert_eq!(shown, vec!["[secret key]"; lines.len()].join("\n"));
        }
    }

    #[test]
    fn among_a_hundred_secrets_each_is_found_and_a_short_one_too() {
        let secrets: Vec<(String, String)> =
            (0..100).map(|it| (format!("s{it}"), format!("value-{it:03}-{}", it * 7919))).collect();
        let mut named: Vec<(&str, &str)> =
            secrets.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let lines: Vec<String> =
            named.iter().map(|(name, value)| format!("{name} is {value}; value-0\n")).collect();
        let text = lines.concat();
        let lines: Vec<String> =
            named.iter().map(|(name, _)| format!("{name} is [secret {name}]; value-0\n")).collect();
        let expected = lines.concat();
        for chunk in [1, 7, 64, text.len()] {
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(chunk).collect();
            assert_eq!(masked(&named, &chunks), expected);
        }
        // With one shorter than the filter knows there is no filter.
        named.push(("short", "; v"));
        let expected = expected.replace("; v", "[secret short]");
        assert_eq!(masked(&named, &[text.as_bytes()]), expected);
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
