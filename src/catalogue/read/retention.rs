//! `[retention]` of `quarterdeck.toml`: when contents go to files.

use std::path::Path;

use jiff::SignedDuration;

use super::section::Section;
use crate::catalogue::{Retention, RetentionRule, problems::Located, values::duration};

/// What somebody did today is looked up today.
const SHORTEST: i64 = 86_400;

/// The folder and the rules; `after` is the last of them.
pub(super) fn retention(mut file: Section<'_>, folder: &Path) -> Option<Retention> {
    let archive = file.required_text("folder", "folder = \"/var/lib/quarterdeck/archive\"");
    let all = after(&mut file);
    let rules: Vec<_> = file.sections("rule", "[[retention.rule]]").into_iter().map(rule).collect();
    if all.is_none() && rules.is_empty() {
        file.wrong(
            &file.place.clone(),
            "[retention] says of nothing when it goes",
            "Write after = \"400d\", or a [[retention.rule]].",
        );
    }
    file.finish();
    let last = RetentionRule { after: all, ..RetentionRule::default() };
    let rules = rules.into_iter().chain([last]).collect();
    Some(Retention { folder: folder.join(archive?.value), rules })
}

fn rule(mut file: Section<'_>) -> RetentionRule {
    let values = |texts: Vec<Located<String>>| texts.into_iter().map(|text| text.value).collect::<Vec<_>>();
    let commands = values(file.texts("commands"));
    let rooms = values(file.texts("rooms"));
    let is_given = file.has("after");
    let after = after(&mut file);
    if !is_given {
        file.wrong(
            &file.place.clone(),
            "a rule says not when contents go",
            "Write after = \"30d\", or after = \"never\".",
        );
    }
    file.finish();
    RetentionRule { commands, rooms, after }
}

/// `after = "400d"`; nothing for `"never"`, and where it is left out.
fn after(file: &mut Section<'_>) -> Option<SignedDuration> {
    let text = file.text("after").filter(|text| text.value != "never")?;
    match duration(&text.value) {
        Some(seconds) if seconds >= SHORTEST => Some(SignedDuration::from_secs(seconds)),
        _ => {
            file.wrong(
                &text.place,
                format!("after = \"{}\" is no length of time of a day or more", text.value),
                "Write one such as \"400d\", or \"never\".",
            );
            None
        }
    }
}
