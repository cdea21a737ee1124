//! The plain `body`: says the same as the HTML, to clients and push notifications that show no HTML.

use super::visible::{Within, visible};
use crate::model::{Block, Message, Span, table};

pub(super) fn body(message: &Message) -> String {
    let mut body = String::new();
    if let Some(mark) = message.mark {
        body.push_str(mark.symbol());
        body.push(' ');
    }
    for (index, block) in message.blocks.iter().enumerate() {
        if index > 0 {
            body.push('\n');
        }
        match block {
            Block::Line(spans) => line(&mut body, spans),
            Block::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        body.push('\n');
                    }
                    body.push_str("• ");
                    line(&mut body, item);
                }
            }
            Block::Verbatim(text) => {
                if index == 0 && message.mark.is_some() {
                    body.push('\n');
                }
                body.push_str(visible(text, Within::Verbatim).trim_end_matches('\n'));
            }
            Block::Table { head, rows } => {
                if index == 0 && message.mark.is_some() {
                    body.push('\n');
                }
                body.push_str(&visible(&table(head, rows), Within::Verbatim));
            }
            Block::Link { text, url } if text == url => body.push_str(&visible(url, Within::Line)),
            Block::Link { text, url } => {
                body.push_str(&visible(text, Within::Line));
                body.push_str(": ");
                body.push_str(&visible(url, Within::Line));
            }
        }
    }
    body.truncate(body.trim_end().len());
    body
}

fn line(body: &mut String, spans: &[Span]) {
    for span in spans {
        let (mark, text) = match span {
            Span::Text(text) => ("", text),
            Span::Code(text) => ("`", text),
            Span::Strong(text) => ("**", text),
            Span::Emphasis(text) => ("*", text),
        };
        body.push_str(mark);
        body.push_str(&visible(text, Within::Line));
        body.push_str(mark);
    }
}
