//! Where contents that are not in the database any more went, in words.

use crate::{
    model::RequestNumber,
    storage::{Error, Storage},
};

/// A sentence, where contents of a request went to files: when, and to which.
pub async fn words(storage: &Storage, number: RequestNumber) -> Result<Option<String>, Error> {
    let files = storage.archives_of(number).await?;
    let told: Vec<_> = files.iter().map(|(file, at)| format!("on {} to {file}", at.strftime("%F"))).collect();
    let words = "What was typed and printed was archived";
    Ok((!told.is_empty()).then(|| format!("{words} {}: it is in that file alone.", told.join(", "))))
}
