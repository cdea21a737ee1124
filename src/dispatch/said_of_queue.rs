//! What is said of requests that wait for their turn, and of how much runs. Pure.

use super::{said_of_waiting, speech::took};
use crate::{
    model::{Message, RequestNumber, Span, State, StateMark, Timestamp},
    storage::{Ahead, Reached, Unended},
};

/// It waits for a lock.
pub fn queued(prefix: &str, number: RequestNumber, lock: &str, ahead: &Ahead) -> Message {
    let mut line = vec![Span::text("Waits until "), Span::code(lock), Span::text(" is free")];
    if let Some(holder) = ahead.holder {
        line.extend([Span::text(", which "), Span::code(holder.to_string()), Span::text(" has")]);
    }
    line.push(Span::text(format!(" · place {} · ", ahead.before + 1)));
    line.push(Span::code(number.to_string()));
    Message::marked(StateMark::Waiting).line(line).line(to_drop(prefix, number))
}

/// It waits because as many run as this server runs at once.
pub fn no_place(prefix: &str, number: RequestNumber) -> Message {
    Message::marked(StateMark::Waiting)
        .line([Span::text("Waits until one of those that run has ended · "), Span::code(number.to_string())])
        .line(to_drop(prefix, number))
}

fn to_drop(prefix: &str, number: RequestNumber) -> [Span; 2] {
    [Span::text("To drop it: "), Span::code(format!("{prefix}cancel {number}"))]
}

/// Its lock is taken, and it is declared not to wait.
pub fn busy(lock: &str, ahead: &Ahead) -> Message {
    let mut line = vec![Span::strong("Not run."), Span::text(" "), Span::code(lock)];
    match ahead.holder {
        Some(holder) => {
            line.extend([Span::text(" is taken by "), Span::code(holder.to_string()), Span::text(".")]);
        }
        None => line.push(Span::text(" is taken.")),
    }
    line.push(Span::text(" This command does not wait: send it again when that has ended."));
    Message::marked(StateMark::Refused).line(line)
}

/// As many run, or wait to, as may.
pub fn over(prefix: &str, over: Reached) -> Message {
    let (whose, most) = match over {
        Reached::Person(most) => ("of yours", most),
        Reached::Room(most) => ("in this room", most),
        Reached::All(most) => ("in all rooms together", most),
    };
    Message::marked(StateMark::Refused).line([
        Span::strong("Not run."),
        Span::text(format!(
            " {most} {whose} may run or wait to at once, and as many do. Send it again when one has ended: "
        )),
        Span::code(format!("{prefix}ps")),
    ])
}

/// What runs and what waits.
pub fn ps(prefix: &str, unended: &[&Unended], now: Timestamp) -> Message {
    if unended.is_empty() {
        return Message::plain().line([Span::text("Nothing runs here, and nothing waits.")]);
    }
    let items = unended.iter().map(|one| {
        let mark = match one.state {
            State::Running => StateMark::Running,
            _ => StateMark::Waiting,
        };
        let since = took(i64::try_from(now.duration_since(one.since).as_millis()).unwrap_or(i64::MAX));
        let mut line = vec![
            Span::text(format!("{} ", mark.symbol())),
            Span::code(one.number.to_string()),
            Span::text(" "),
            Span::code(format!("{prefix}{}", one.invocation)),
            Span::text(format!(" by {} · ", one.sender)),
        ];
        match (one.state, one.until, &one.lock) {
            (State::Running, ..) => line.push(Span::text(format!("runs for {since}"))),
            (State::Queued, _, Some((lock, before))) => {
                line.extend([Span::text("waits for "), Span::code(lock.clone())]);
                line.push(Span::text(format!(", place {} · {since}", before + 1)));
            }
            (State::AwaitingConfirmation, Some(until), _) => {
                let until = said_of_waiting::time(until, now);
                line.push(Span::text(format!("waits to be confirmed, until {until}")));
            }
            (_, Some(until), _) => {
                let until = said_of_waiting::time(until, now);
                line.push(Span::text(format!("waits for approval, until {until}")));
            }
            _ => line.push(Span::text(format!("waits to start · {since}"))),
        }
        line
    });
    Message::plain()
        .list(items.collect())
        .line([Span::text("To stop one or drop it: "), Span::code(format!("{prefix}cancel NUMBER"))])
}
