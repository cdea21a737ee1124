//! A TOML table that remembers which keys were asked for, so that the others are mistakes.

use std::collections::BTreeMap;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::catalogue::{
    MOST_OUTPUT,
    names::did_you_mean,
    problems::{Located, Place, Problems},
    values::duration,
};

/// A file of the folder and its lines.
pub(in crate::catalogue) struct Source<'a> {
    /// Its path, relative to the folder.
    pub(in crate::catalogue) path: &'a str,
    /// Its text.
    pub(in crate::catalogue) text: &'a str,
}

impl<'a> Source<'a> {
    /// Reads the file as TOML; every mistake of syntax is told. What could be read is read on, so that
    /// the other mistakes are told as well.
    pub(in crate::catalogue) fn parse(&self, problems: &Problems) -> Spanned<DeTable<'a>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            problems.add(&self.place(offset), one_line(error.message()), "Mend the TOML here.");
        }
        table
    }

    /// The place of a byte of the file.
    pub(in crate::catalogue) fn place(&self, offset: usize) -> Place {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        #[expect(clippy::naive_bytecount, reason = "files of a few kilobytes, read once")]
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Place { file: self.path.to_owned(), line: Some(line) }
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// A table, as it is being read.
pub(in crate::catalogue) struct Section<'a> {
    source: &'a Source<'a>,
    problems: &'a Problems,
    table: &'a DeTable<'a>,
    /// What it is called in messages: `[run]`, or nothing for the whole file.
    title: &'static str,
    /// Where it begins.
    pub(in crate::catalogue) place: Place,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(in crate::catalogue) fn whole(
        source: &'a Source<'a>,
        table: &'a Spanned<DeTable<'a>>,
        problems: &'a Problems,
    ) -> Self {
        Self {
            source,
            problems,
            table: table.get_ref(),
            title: "",
            place: Place::file(source.path),
            asked: Vec::new(),
        }
    }

    /// Adds a mistake.
    pub(in crate::catalogue) fn wrong(
        &self,
        place: &Place,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.problems.add(place, what, mend);
    }

    fn get(&mut self, key: &'static str) -> Option<(&'a DeValue<'a>, Place)> {
        self.asked.push(key);
        let value = self.table.get(key)?;
        Some((value.get_ref(), self.source.place(value.span().start)))
    }

    fn wrong_type(&self, key: &str, place: &Place, value: &DeValue<'_>, expected: &str) {
        self.wrong(place, format!("{key} is {}", article(value.type_str())), format!("Write {expected}."));
    }

    fn missing(&self, key: &str, example: &str) {
        let inside = if self.title.is_empty() { String::new() } else { format!(" in {}", self.title) };
        self.wrong(&self.place, format!("{key} is missing{inside}"), format!("Add {example}"));
    }

    /// Whether the key is there. Does not count as asked for.
    pub(in crate::catalogue) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A text.
    pub(in crate::catalogue) fn text(&mut self, key: &'static str) -> Option<Located<String>> {
        let (value, place) = self.get(key)?;
        if let DeValue::String(text) = value {
            return Some(Located { value: text.to_string(), place });
        }
        self.wrong_type(key, &place, value, &format!("{key} = \"...\""));
        None
    }

    /// A text that must be there and say something; `example` shows one.
    pub(in crate::catalogue) fn required_text(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> Option<Located<String>> {
        if !self.has(key) {
            self.asked.push(key);
            self.missing(key, example);
            return None;
        }
        let text = self.text(key)?;
        if text.value.trim().is_empty() {
            self.wrong(&text.place, format!("{key} is empty"), format!("Write {example}"));
            return None;
        }
        Some(text)
    }

    /// A text in one line, for topics, summaries and names.
    pub(in crate::catalogue) fn line(&mut self, key: &'static str) -> Option<Located<String>> {
        let text = self.text(key)?;
        if text.value.chars().any(char::is_control) {
            self.wrong(
                &text.place,
                format!("{key} has line breaks or control characters"),
                "Write one line.",
            );
        }
        Some(text)
    }

    /// A line that must be there.
    pub(in crate::catalogue) fn required_line(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> Option<Located<String>> {
        let text = self.required_text(key, example)?;
        if text.value.chars().any(char::is_control) {
            self.wrong(
                &text.place,
                format!("{key} has line breaks or control characters"),
                "Write one line.",
            );
        }
        Some(text)
    }

    /// A whole number from `min` to `max`.
    pub(in crate::catalogue) fn integer(
        &mut self,
        key: &'static str,
        min: i64,
        max: i64,
    ) -> Option<Located<i64>> {
        let (value, place) = self.get(key)?;
        match integer(value) {
            Some(number) if (min..=max).contains(&number) => Some(Located { value: number, place }),
            Some(number) => {
                self.wrong(
                    &place,
                    format!("{key} = {number} is out of range"),
                    format!("Write a whole number from {min} to {max}."),
                );
                None
            }
            None => {
                self.wrong_type(key, &place, value, "a whole number");
                None
            }
        }
    }

    /// Yes or no.
    pub(in crate::catalogue) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let (value, place) = self.get(key)?;
        if let DeValue::Boolean(yes) = value {
            return Some(*yes);
        }
        self.wrong_type(key, &place, value, "true or false");
        None
    }

    /// A length of time of at least a second: `"10m"`. In seconds.
    pub(in crate::catalogue) fn duration(&mut self, key: &'static str) -> Option<i64> {
        let text = self.text(key)?;
        match duration(&text.value) {
            Some(seconds) if seconds > 0 => Some(seconds),
            _ => {
                self.wrong(
                    &text.place,
                    format!("{key} = \"{}\" is no length of time", text.value),
                    "Write one such as \"90s\", \"10m\" or \"1h30m\".",
                );
                None
            }
        }
    }

    /// A number of bytes: a whole number, or a text such as `"512 MiB"`.
    pub(in crate::catalogue) fn bytes(&mut self, key: &'static str) -> Option<u64> {
        let (value, place) = self.get(key)?;
        let bytes = match value {
            DeValue::String(text) => read_bytes(text),
            value => integer(value).and_then(|number| u64::try_from(number).ok()),
        };
        match bytes {
            Some(bytes) if bytes > 0 => Some(bytes),
            _ => {
                self.wrong(
                    &place,
                    format!("{key} is no number of bytes"),
                    "Write a whole number, or one with KiB, MiB or GiB: \"512 MiB\".",
                );
                None
            }
        }
    }

    /// How much output is kept, in bytes.
    pub(in crate::catalogue) fn output(&mut self) -> Option<usize> {
        let place = self.get("output").map(|(_, place)| place)?;
        let bytes = self.bytes("output")?;
        if bytes > MOST_OUTPUT {
            let most = MOST_OUTPUT >> 20;
            self.wrong(
                &place,
                format!("more output than {most} MiB is not kept"),
                format!(
                    "Write output = \"{most} MiB\" at most; what is larger belongs into a file of its own."
                ),
            );
            return None;
        }
        usize::try_from(bytes).ok()
    }

    /// One of a few words.
    pub(in crate::catalogue) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text.value).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let mend = did_you_mean(&text.value, names.iter().copied(), || {
                format!("Write {}.", crate::catalogue::one_of(&names))
            });
            self.wrong(&text.place, format!("{key} = \"{}\" is not known", text.value), mend);
        }
        found
    }

    /// Several texts; empty where the key is not there.
    pub(in crate::catalogue) fn texts(&mut self, key: &'static str) -> Vec<Located<String>> {
        let Some((value, place)) = self.get(key) else { return Vec::new() };
        let DeValue::Array(array) = value else {
            self.wrong_type(key, &place, value, &format!("{key} = [\"...\", \"...\"]"));
            return Vec::new();
        };
        let mut texts: Vec<Located<String>> = Vec::new();
        for item in array {
            let place = self.source.place(item.span().start);
            if let DeValue::String(text) = item.get_ref() {
                if texts.iter().any(|earlier| earlier.value == *text) {
                    self.wrong(&place, format!("{key} names \"{text}\" twice"), "Remove one of them.");
                }
                texts.push(Located { value: text.to_string(), place });
            } else {
                self.wrong_type(&format!("an item of {key}"), &place, item.get_ref(), "a text in quotes");
            }
        }
        texts
    }

    /// Several texts of which the same may stand twice: an argument vector.
    pub(in crate::catalogue) fn vector(&mut self, key: &'static str) -> Vec<Located<String>> {
        let Some((value, place)) = self.get(key) else { return Vec::new() };
        let DeValue::Array(array) = value else {
            self.wrong_type(key, &place, value, &format!("{key} = [\"...\", \"...\"]"));
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in array {
            let place = self.source.place(item.span().start);
            if let DeValue::String(text) = item.get_ref() {
                texts.push(Located { value: text.to_string(), place });
            } else {
                self.wrong_type(&format!("an item of {key}"), &place, item.get_ref(), "a text in quotes");
            }
        }
        texts
    }

    /// A table of texts: `[links]`.
    pub(in crate::catalogue) fn text_table(
        &mut self,
        key: &'static str,
    ) -> BTreeMap<String, Located<String>> {
        let Some((value, place)) = self.get(key) else { return BTreeMap::new() };
        let DeValue::Table(table) = value else {
            self.wrong_type(key, &place, value, &format!("{key} = {{ name = \"...\" }}"));
            return BTreeMap::new();
        };
        let mut texts = BTreeMap::new();
        for (name, value) in table {
            let place = self.source.place(name.span().start);
            if let DeValue::String(text) = value.get_ref() {
                texts.insert(name.get_ref().to_string(), Located { value: text.to_string(), place });
            } else {
                let name = format!("{key}.{}", name.get_ref());
                self.wrong_type(&name, &place, value.get_ref(), "a text in quotes");
            }
        }
        texts
    }

    /// A table of its own.
    pub(in crate::catalogue) fn section(&mut self, key: &'static str, title: &'static str) -> Option<Self> {
        let (value, place) = self.get(key)?;
        if let DeValue::Table(table) = value {
            return Some(self.inner(table, title, place));
        }
        self.wrong_type(key, &place, value, &format!("a table: {title}"));
        None
    }

    /// An array of tables.
    pub(in crate::catalogue) fn sections(&mut self, key: &'static str, title: &'static str) -> Vec<Self> {
        let Some((value, place)) = self.get(key) else { return Vec::new() };
        let DeValue::Array(array) = value else {
            self.wrong_type(key, &place, value, &format!("{title}, with two brackets, once for each"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in array {
            let place = self.source.place(item.span().start);
            if let DeValue::Table(table) = item.get_ref() {
                sections.push(self.inner(table, title, place));
            } else {
                self.wrong_type(key, &place, item.get_ref(), title);
            }
        }
        sections
    }

    /// This table over another: its own keys, and those of the other that it has not and that `inherits` names.
    pub(in crate::catalogue) fn over(&self, other: &Self, inherits: impl Fn(&str) -> bool) -> DeTable<'a> {
        let mut table = self.table.clone();
        for (key, value) in other.table {
            let name = key.get_ref().as_ref();
            if !table.contains_key(name) && inherits(name) {
                table.insert(key.clone(), value.clone());
            }
        }
        table
    }

    /// A table that was put together, as a section in the place of this one.
    pub(in crate::catalogue) fn made_of<'b>(&self, table: &'b DeTable<'b>) -> Section<'b>
    where
        'a: 'b,
    {
        let Self { source, problems, title, .. } = *self;
        Section { source, problems, table, title, place: self.place.clone(), asked: Vec::new() }
    }

    fn inner(&self, table: &'a DeTable<'a>, title: &'static str, place: Place) -> Self {
        Self { source: self.source, problems: self.problems, table, title, place, asked: Vec::new() }
    }

    /// The value itself, for what has several types.
    pub(in crate::catalogue) fn raw(&mut self, key: &'static str) -> Option<(&'a DeValue<'a>, Place)> {
        self.get(key)
    }

    /// The place of a byte of the file, for what is inside a raw value.
    pub(in crate::catalogue) fn place_at(&self, offset: usize) -> Place {
        self.source.place(offset)
    }

    /// Tells of every key that nobody asked for.
    pub(in crate::catalogue) fn finish(self) {
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let inside = if self.title.is_empty() { String::new() } else { format!(" in {}", self.title) };
            let mend = did_you_mean(name, self.asked.iter().copied(), || {
                let mut asked = self.asked.clone();
                asked.sort_unstable();
                asked.dedup();
                format!("Known here: {}.", asked.join(", "))
            });
            self.problems.add(
                &self.source.place(key.span().start),
                format!("\"{name}\" is not known{inside}"),
                mend,
            );
        }
    }
}

/// A whole number of TOML.
pub(in crate::catalogue) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let DeValue::Integer(number) = value else { return None };
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn article(kind: &str) -> String {
    match kind {
        "integer" | "array" => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

fn read_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
