//! A line becomes an invocation of one command of its room.

use std::sync::Arc;

use super::{
    Line, Mistake,
    bind::{self, Context, Texts},
    characters, keyboard, phrase, rpc, spell, structured,
};
use crate::{
    catalogue::{Command, Known, Ops, Room, RunKind, nearest},
    model::{DRY, Filter, Invocation, quoted},
};

/// What was understood.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The command with its arguments bound.
    pub invocation: Invocation,
    /// The command itself.
    pub command: Arc<Command>,
    /// Whether something was read otherwise than it was typed (a keyboard's quotes and dashes, a pill,
    /// a phrase): the answer shows what was understood.
    pub understood: bool,
}

/// Parses a line as somebody typed it in `room`.
///
/// # Errors
///
/// What is wrong with it, and what to type instead.
pub fn parse(ops: &Ops, room: &Room, line: &Line) -> Result<Parsed, Mistake> {
    let systems: Vec<&str> = ops.systems.keys().map(String::as_str).collect();
    let context = Context { ops, known: Known { systems: &systems, rooms: &line.rooms } };
    let parsed = parse_text(context, room, line)?;
    match &line.structured {
        None => Ok(parsed),
        Some(structured) => {
            let texts = structured::texts(structured)?;
            for name in texts.keys() {
                if !parsed.command.arguments.iter().any(|argument| argument.name == *name) {
                    return Err(Mistake::Disagree);
                }
            }
            // A client has no way of saying that it means the dry run.
            let same = !parsed.invocation.dry
                && structured.command == parsed.command.name
                && bind::bind(&parsed.command, &texts, context).is_ok_and(|it| it == parsed.invocation);
            if same { Ok(parsed) } else { Err(Mistake::Disagree) }
        }
    }
}

fn parse_text(context: Context<'_>, room: &Room, line: &Line) -> Result<Parsed, Mistake> {
    characters::check(&line.text)?;
    let words = keyboard::words(&line.text)?;
    let is_dry = words.words.first().is_some_and(|first| first.to_lowercase() == DRY);
    let said = &words.words[usize::from(is_dry)..];
    let (mut parsed, by_phrase) = if is_dry {
        dry(context, room, said).map_err(Mistake::of_a_dry_run)?
    } else {
        parse_words(context, room, said)?
    };
    shape(&mut parsed, words.filters)?;
    // `!Deploy`: phones begin a line with a capital.
    let renamed = said.first().is_some_and(|first| *first != parsed.command.name);
    let understood = words.repaired || renamed || by_phrase || !line.pills.is_empty();
    Ok(Parsed { understood, ..parsed })
}

/// Parses what stands behind the word that asks for a dry run.
fn dry(context: Context<'_>, room: &Room, words: &[String]) -> Result<(Parsed, bool), Mistake> {
    let none = |command: Option<&Command>| {
        let has_one =
            |name: &&String| context.ops.commands.get(*name).is_some_and(|command| command.dry.is_some());
        let others = room.commands.iter().filter(has_one).cloned().collect();
        let can_have_one = command.is_some_and(|command| !matches!(command.run.kind, RunKind::Builtin));
        Mistake::NoDry { command: command.map(|command| command.name.clone()), can_have_one, others }
    };
    if words.is_empty() {
        return Err(none(None));
    }
    let (Parsed { mut invocation, command, understood }, by_phrase) = parse_words(context, room, words)?;
    let Some(form) = command.dry_form() else { return Err(none(Some(&command))) };
    invocation.dry = true;
    // Its arguments stand elsewhere than those of the real one.
    bind::no_options(&form, &invocation)?;
    Ok((Parsed { invocation, command: form, understood }, by_phrase))
}

/// Puts what shapes the output to the command, where it has any.
fn shape(parsed: &mut Parsed, filters: Vec<Filter>) -> Result<(), Mistake> {
    let Parsed { command, invocation, .. } = parsed;
    let builtin = matches!(command.run.kind, RunKind::Builtin);
    // Without records there is nothing to make JSON of.
    let wrong = filters.iter().find(|filter| builtin || (**filter == Filter::Json && !command.records));
    if let Some(filter) = wrong {
        let name = filter.to_string();
        return Err(Mistake::NoOutput { command: command.name.clone(), filter: name });
    }
    invocation.filters = filters;
    Ok(())
}

/// Parses words, and tells whether a phrase matched.
fn parse_words(context: Context<'_>, room: &Room, words: &[String]) -> Result<(Parsed, bool), Mistake> {
    let ops = context.ops;
    let Some((first, rest)) = words.split_first() else {
        return Err(Mistake::UnknownCommand { name: String::new(), suggestion: None });
    };
    let name = first.to_lowercase();
    let here = || room.commands.iter().filter_map(|name| ops.commands.get(name));

    let mut read: Vec<(Parsed, bool)> = Vec::new();
    let mut mistakes: Vec<Mistake> = Vec::new();
    for command in here() {
        if let Ok(sorted) = bind::sort(command, rest, context)
            && let Some(texts) = rpc::spoken(command, &name, &sorted)
        {
            match bind::bind(command, &texts, context) {
                Ok(invocation) => read.push((parsed(invocation, command), true)),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        for phrase in &command.phrases {
            let Ok(sorted) = bind::sort(command, rest, context) else { continue };
            let Some(texts) = phrase::matches(command, phrase, &name, &sorted) else { continue };
            match bind::bind(command, &texts, context) {
                Ok(invocation) => read.push((parsed(invocation, command), true)),
                Err(mistake) => mistakes.push(mistake),
            }
        }
    }
    let direct = ops.commands.get(&name).filter(|_| room.commands.contains(&name));
    if let Some(command) = direct {
        let bound = bind::sort(command, rest, context)
            .and_then(|sorted| bind::place(command, sorted, context))
            .and_then(|texts| bind::bind(command, &texts, context));
        match bound {
            Ok(invocation) => read.push((parsed(invocation, command), false)),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    read.dedup_by(|one, other| one.0.invocation == other.0.invocation);
    match (read.len(), mistakes.into_iter().next()) {
        (1, _) => Ok(read.remove(0)),
        (0, Some(mistake)) => Err(mistake),
        (0, None) => Err(unknown(context, room, &name, rest)),
        _ => Err(Mistake::Ambiguous {
            lines: read.iter().map(|(one, _)| one.invocation.to_string()).collect(),
        }),
    }
}

fn parsed(invocation: Invocation, command: &Arc<Command>) -> Parsed {
    Parsed { invocation, command: Arc::clone(command), understood: false }
}

/// A name that means nothing here: it lives in another room, is mistyped, or is unknown.
fn unknown(context: Context<'_>, room: &Room, name: &str, rest: &[String]) -> Mistake {
    let ops = context.ops;
    if let Some((endpoint, commands)) = rpc::offered(ops, room, name) {
        return Mistake::NoMethod { endpoint, commands };
    }
    if ops.commands.contains_key(name) {
        let rooms = ops.rooms.values().filter(|room| room.commands.contains(name));
        return Mistake::NotHere {
            name: name.to_owned(),
            rooms: rooms.map(|room| (room.name.clone(), room.alias.to_string())).collect(),
        };
    }
    let here = || room.commands.iter().filter_map(|name| ops.commands.get(name));
    let begins = |word: &str| {
        here().find(|command| {
            command.phrases.iter().any(|phrase| phrase.split_whitespace().next() == Some(word))
        })
    };
    if let Some(command) = begins(name) {
        // The beginning of a phrase that went on otherwise.
        let suggestion = Some(spell::example(context, command, &Texts::new()));
        return Mistake::UnknownCommand { name: name.to_owned(), suggestion };
    }
    let phrases = here().flat_map(|command| &command.phrases).filter_map(|it| it.split_whitespace().next());
    let suggestion = nearest(name, room.commands.iter().map(String::as_str).chain(phrases)).map(|near| {
        let mut mended = vec![near.to_owned()];
        mended.extend_from_slice(rest);
        if parse_words(context, room, &mended).is_ok() {
            return mended.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        }
        match ops.commands.get(near).or_else(|| begins(near)) {
            Some(command) => {
                let texts = bind::sort(command, rest, context)
                    .and_then(|sorted| bind::place(command, sorted, context))
                    .unwrap_or_default();
                spell::example(context, command, &texts)
            }
            None => near.to_owned(),
        }
    });
    Mistake::UnknownCommand { name: name.to_owned(), suggestion }
}
