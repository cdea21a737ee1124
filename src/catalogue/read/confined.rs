//! `sandbox`, `network`, `writable` and `readable` in `[run]`.

use super::section::Section;
use crate::{
    catalogue::problems::{Located, Place},
    model::Sandbox,
};

/// What the sandbox makes itself, or what would be all of the host.
const ITS_OWN: [&str; 5] = ["/", "/proc", "/dev", "/sys", "/tmp"];

/// Reads how a program is shut in. Nothing written means: as tightly as can be.
pub(super) fn confined(file: &mut Section<'_>) -> Sandbox {
    let place = file.text_place("sandbox");
    let none = file.word("sandbox", &[("bubblewrap", false), ("none", true)]).unwrap_or(false);
    let network = file.boolean("network");
    let writable = paths(file, "writable");
    let readable = paths(file, "readable");
    if !none {
        return Sandbox::Bubblewrap { network: network.unwrap_or(false), writable, readable };
    }
    if network.is_some() || !writable.is_empty() || !readable.is_empty() {
        file.wrong(
            &place.unwrap_or_else(|| file.place.clone()),
            "without a sandbox, network, writable and readable mean nothing",
            "Remove sandbox = \"none\", or remove them.",
        );
    }
    Sandbox::None
}

fn paths(file: &mut Section<'_>, key: &'static str) -> Vec<String> {
    let found = file.texts(key);
    for Located { value, place } in &found {
        let plain =
            value.starts_with('/') && !value.split('/').any(|part| part == "..") && !value.contains('\0');
        if !plain {
            file.wrong(
                place,
                format!("{key} names \"{value}\", which is no whole path"),
                "Write it from / on, without `..`.",
            );
        } else if is_its_own(value) {
            file.wrong(
                place,
                format!("{key} names \"{value}\", which would leave nothing of the sandbox, or is its own"),
                "Name the folders or files that the program needs.",
            );
        }
    }
    found.into_iter().map(|path| path.value).collect()
}

fn is_its_own(path: &str) -> bool {
    let trimmed = path.trim_end_matches('/');
    ITS_OWN.iter().any(|own| own.trim_end_matches('/') == trimmed)
        || ["/proc/", "/dev/", "/sys/"].iter().any(|own| path.starts_with(own))
}

impl Section<'_> {
    /// Where a text stands.
    fn text_place(&mut self, key: &'static str) -> Option<Place> {
        self.raw(key).map(|(_, place)| place)
    }
}
