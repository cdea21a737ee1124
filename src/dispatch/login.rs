//! `!login`: a link to the pages, for the one who asks, in the room with them alone.

use super::pipeline::Asked;
use crate::{
    matrix::{
        homeserver,
        render::{Loudness, Placement},
    },
    model::{Block, Message, Random as _, Span, SystemRandom},
    policy::Permit,
    storage::{Error, OutboxDraft, To, Work, asked_event, token},
};

/// Answers it. Only the one who asks gets the link, and their own is the only session that it begins.
pub(super) async fn login(asked: &Asked<'_>, work: &mut Work, permit: &Permit) -> Result<Message, Error> {
    let Some(url) = &asked.in_force.ops.settings.web_url else {
        return Ok(Message::plain().line([
            Span::text(
                "There are no pages here: an operator has to set the address at which they are served, ",
            ),
            Span::code("[web] url"),
            Span::text(" in "),
            Span::code("quarterdeck.toml"),
            Span::text("."),
        ]));
    };
    let link = SystemRandom.uuid();
    let token = token(&asked.house.homeserver.link_token(link));
    let until = work.ask_login(permit, asked.sender, link, &token).await?;
    work.append(Some(asked.number), Some(&asked.address.room), asked_event(asked.sender, link, until));
    let mut address = url.clone();
    address.set_path("/login");
    address.query_pairs_mut().append_pair("link", &homeserver::mark(link));
    let prefix = &asked.in_force.ops.settings.prefix;
    let mut message = Message::plain().line([
        Span::text("To log in as "),
        Span::strong(asked.sender.as_str()),
        Span::text(", open this and press its button. It works once, until "),
        Span::text(until.strftime("%H:%M UTC").to_string()),
        Span::text(". Give it to nobody."),
    ]);
    message.blocks.push(Block::Link { text: "Log in to Quarterdeck".to_owned(), url: address.to_string() });
    let message = message.line([
        Span::text("If you did not ask for it, somebody may have your account: end its sessions, and tell the operators. Another: "),
        Span::code(format!("{prefix}login")),
        Span::text(" in a room."),
    ]);
    let step = format!("request/{}/login", asked.number);
    let content = crate::matrix::render::message(
        &message,
        &Placement::Timeline,
        std::slice::from_ref(&asked.address.sender),
        Loudness::Text,
        &step,
    );
    work.send(OutboxDraft {
        step,
        to: To::Person(asked.sender.to_owned()),
        request: Some(asked.number),
        kind: "m.room.message".to_owned(),
        content: homeserver::with_link(content, link),
        file: None,
    });
    Ok(Message::plain().line([
        Span::text("A link went to "),
        Span::strong(asked.sender.as_str()),
        Span::text(" alone. It works once, for five minutes; an earlier one counts no longer."),
    ]))
}
