//! The runbooks, cut into passages that can be searched.

use super::{Error, Storage, error::Doing as _};
use crate::catalogue::Document;

/// A passage of a runbook: what stands under one heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The document's path in `docs/`.
    pub path: String,
    /// The document's title.
    pub title: String,
    /// The heading.
    pub heading: String,
    /// What stands under it, in Markdown.
    pub text: String,
}

impl Storage {
    /// Puts these documents in the place of all that were there.
    pub async fn replace_documents(&self, documents: &[Document]) -> Result<(), Error> {
        const DOING: &str = "writing the documents";
        let passages: Vec<Passage> = documents.iter().flat_map(passages).collect();
        let mut tx = self.begin(DOING).await?;
        // Two instances that start together do not mix theirs.
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('quarterdeck documents'))")
            .execute(&mut *tx)
            .await
            .doing(DOING)?;
        sqlx::query!("DELETE FROM passages").execute(&mut *tx).await.doing(DOING)?;
        // PostgreSQL's text has no NUL.
        let clean = |text: &String| text.replace('\0', "");
        sqlx::query!(
            "INSERT INTO passages (path, place, title, heading, text)
             SELECT p.path, p.place, p.title, p.heading, p.text
             FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[])
                 WITH ORDINALITY AS p (path, title, heading, text, place)",
            &passages.iter().map(|p| clean(&p.path)).collect::<Vec<_>>(),
            &passages.iter().map(|p| clean(&p.title)).collect::<Vec<_>>(),
            &passages.iter().map(|p| clean(&p.heading)).collect::<Vec<_>>(),
            &passages.iter().map(|p| clean(&p.text)).collect::<Vec<_>>(),
        )
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
        tx.commit().await.doing(DOING)
    }

    /// The passages that speak of these words, the best first: those with all of the words before those
    /// with some of them.
    pub async fn find_passages(&self, words: &str, limit: i64) -> Result<Vec<Passage>, Error> {
        sqlx::query_as!(
            Passage,
            r#"
            WITH asked AS (
                SELECT websearch_to_tsquery('english', $1) || websearch_to_tsquery('simple', $1) AS all_words,
                       -- The same words, any of them.
                       replace(plainto_tsquery('english', $1)::text, '&', '|')::tsquery
                       || replace(plainto_tsquery('simple', $1)::text, '&', '|')::tsquery AS any_word
            )
            SELECT path, title, heading, text
            FROM passages, asked
            WHERE search @@ all_words OR search @@ any_word
            ORDER BY search @@ all_words DESC, ts_rank_cd(search, any_word) DESC, path, place
            LIMIT $2
            "#,
            words.replace('\0', ""),
            limit,
        )
        .fetch_all(self.pool())
        .await
        .doing("searching the documents")
    }
}

/// Cuts a document at its headings. What stands before the first goes under the title.
fn passages(document: &Document) -> Vec<Passage> {
    let mut found: Vec<Passage> = Vec::new();
    let mut heading = document.title.clone();
    let mut text = String::new();
    let mut fence: Option<&str> = None;
    let mut close = |heading: &str, text: &mut String| {
        let whole = std::mem::take(text).trim().to_owned();
        if !whole.is_empty() {
            found.push(Passage {
                path: document.path.clone(),
                title: document.title.clone(),
                heading: heading.to_owned(),
                text: whole,
            });
        }
    };
    for line in document.text.lines() {
        let mark = ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark));
        if let Some(mark) = mark {
            match fence {
                None => fence = Some(mark),
                Some(open) if open == mark => fence = None,
                Some(_) => {}
            }
        }
        if fence.is_none()
            && let Some(name) = heading_of(line)
        {
            close(&heading, &mut text);
            name.clone_into(&mut heading);
            continue;
        }
        text.push_str(line);
        text.push('\n');
    }
    close(&heading, &mut text);
    found
}

/// The words of a Markdown heading: one to six `#`, a space, the words.
fn heading_of(line: &str) -> Option<&str> {
    let words = line.trim_start_matches('#');
    let depth = line.len() - words.len();
    ((1..=6).contains(&depth) && words.starts_with(' '))
        .then(|| words.trim().trim_end_matches('#').trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(String, String)> {
        let document = Document { path: "a.md".into(), title: "A".into(), text: text.into() };
        passages(&document).into_iter().map(|passage| (passage.heading, passage.text)).collect()
    }

    #[test]
    fn a_document_is_cut_at_its_headings() {
        let found = cut("# A\n\nintro\n\n## Roll back\n\ndo this\n#no heading\n");
        assert_eq!(found[0], ("A".into(), "intro".into()));
        assert_eq!(found[1], ("Roll back".into(), "do this\n#no heading".into()));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_comment_in_code_is_no_heading() {
        let found = cut("# A\n```sh\n# not a heading\nls\n```\n");
        assert_eq!(found, [("A".into(), "```sh\n# not a heading\nls\n```".into())]);
    }
}
