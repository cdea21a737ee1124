//! The `formatted_body`: a small part of the subset that the specification allows.
//!
//! Every text goes through [`escaped`], and nothing else writes into the HTML but fixed tags.

use super::visible::{Within, visible};
use crate::model::{Block, Message, Span};

pub(super) fn body(message: &Message) -> String {
    let mut html = String::new();
    if let Some(mark) = message.mark {
        html.push_str(mark.symbol());
        html.push(' ');
    }
    let mut after_line = false;
    for block in &message.blocks {
        match block {
            Block::Line(spans) => {
                if after_line {
                    html.push_str("<br>");
                }
                line(&mut html, spans);
            }
            Block::List(items) => {
                html.push_str("<ul>");
                for item in items {
                    html.push_str("<li>");
                    line(&mut html, item);
                    html.push_str("</li>");
                }
                html.push_str("</ul>");
            }
            Block::Verbatim(text) => {
                html.push_str("<pre><code>");
                html.push_str(&escaped(text, Within::Verbatim));
                html.push_str("</code></pre>");
            }
            Block::Table { head, rows } => table(&mut html, head, rows),
            Block::Link { text, url } => {
                if after_line {
                    html.push_str("<br>");
                }
                // Where it leads is seen, whatever its text says.
                let shown =
                    if text == url { String::new() } else { format!(" ({})", escaped(url, Within::Line)) };
                let (text, url) = (escaped(text, Within::Line), escaped(url, Within::Line));
                html.extend(["<a href=\"", &url, "\">", &text, "</a>", &shown]);
            }
        }
        after_line = matches!(block, Block::Line(_) | Block::Link { .. });
    }
    html
}

fn table(html: &mut String, head: &[String], rows: &[Vec<String>]) {
    html.push_str("<table>");
    if !head.is_empty() {
        row(html, head, ["th", "th"]);
    }
    // Without a head, the first cell of a row is its name.
    let first = if head.is_empty() { "th" } else { "td" };
    for cells in rows {
        row(html, cells, [first, "td"]);
    }
    html.push_str("</table>");
}

fn row(html: &mut String, cells: &[String], tags: [&str; 2]) {
    html.push_str("<tr>");
    for (index, cell) in cells.iter().enumerate() {
        let tag = tags[usize::from(index > 0)];
        html.extend(["<", tag, ">", &escaped(cell, Within::Line), "</", tag, ">"]);
    }
    html.push_str("</tr>");
}

fn line(html: &mut String, spans: &[Span]) {
    for span in spans {
        let (open, text, close) = match span {
            Span::Text(text) => ("", text, ""),
            Span::Code(text) => ("<code>", text, "</code>"),
            Span::Strong(text) => ("<strong>", text, "</strong>"),
            Span::Emphasis(text) => ("<em>", text, "</em>"),
        };
        html.push_str(open);
        html.push_str(&escaped(text, Within::Line));
        html.push_str(close);
    }
}

fn escaped(text: &str, within: Within) -> String {
    html_escape::encode_quoted_attribute(&visible(text, within)).into_owned()
}
