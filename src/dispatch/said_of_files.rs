//! What is said of files that a run left in its out folder.

use super::long::{Kept, StoredFile};
use crate::model::{Message, RequestNumber, Span};

/// Names, to whoever may read the output, what it left: the files come after the answer.
pub fn left(mut message: Message, kept: &Kept) -> Message {
    if !kept.files.is_empty() {
        let mut line = vec![Span::text("Files: ")];
        for (index, file) in kept.files.iter().enumerate() {
            line.extend((index > 0).then(|| Span::text(", ")));
            line.push(Span::code(file.name.clone()));
            line.push(Span::text(format!(" ({})", size(file.stored.length))));
        }
        message = message.line(line);
    }
    if !kept.refused.is_empty() {
        message =
            message.line([Span::text(format!("Not kept of its out folder: {}.", kept.refused.join("; ")))]);
    }
    message
}

/// A run that nobody saw end left something.
pub fn lost(message: Message) -> Message {
    message.line([Span::text("What it left in its out folder is not kept.")])
}

/// The homeserver does not take a file of this length.
pub fn too_large(number: RequestNumber, place: usize, file: &StoredFile) -> Message {
    Message::plain().line([
        Span::code(file.name.clone()),
        Span::text(format!(
            " is {}, more than this homeserver takes as a file. On Quarterdeck's host: ",
            size(file.stored.length)
        )),
        Span::code(format!("quarterdeck audit output {number} --file {place}")),
    ])
}

/// A length, for people.
fn size(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}
