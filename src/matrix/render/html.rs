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
        }
        after_line = matches!(block, Block::Line(_));
    }
    html
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
