//! What can be wrong with a command, and how it is said: one line and one example.

use crate::model::{DRY, Message, Span};

/// What is wrong with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// The message goes on after its first line.
    SeveralLines,
    /// It holds a character that hides something.
    Character {
        /// The character.
        character: char,
        /// What it is: `a NUL`.
        name: &'static str,
    },
    /// A pill and the text cannot be matched one to one.
    Pill {
        /// The pill's text.
        text: String,
    },
    /// What follows a `|` outside quotes shapes no output.
    Filter {
        /// What follows it.
        typed: String,
    },
    /// There is no output that could be shaped so.
    NoOutput {
        /// The command.
        command: String,
        /// The operator.
        filter: String,
    },
    /// A quote that is not closed.
    Unclosed {
        /// Which.
        quote: char,
    },
    /// The structured form and the text say different things.
    Disagree,
    /// No command is called so.
    UnknownCommand {
        /// What was typed.
        name: String,
        /// A line that works.
        suggestion: Option<String>,
    },
    /// It begins as the commands of an endpoint do, and goes on as none of them does.
    NoMethod {
        /// The endpoint.
        endpoint: String,
        /// Those of its commands that are used in this room.
        commands: Vec<String>,
    },
    /// There is no dry run of it.
    NoDry {
        /// The command, where one was named.
        command: Option<String>,
        /// Whether its file could declare one.
        can_have_one: bool,
        /// The commands of this room that have one.
        others: Vec<String>,
    },
    /// The command is used in other rooms.
    NotHere {
        /// The command.
        name: String,
        /// The names and aliases of the rooms that list it.
        rooms: Vec<(String, String)>,
    },
    /// The command has no such argument.
    UnknownArgument {
        /// The command.
        command: String,
        /// What was typed.
        name: String,
        /// What was probably meant.
        suggestion: Option<String>,
        /// The arguments there are.
        known: Vec<String>,
    },
    /// An argument's name without a value.
    NoValue {
        /// The command.
        command: String,
        /// The argument.
        argument: String,
        /// What it should be.
        expected: String,
    },
    /// An argument given twice.
    Twice {
        /// The command.
        command: String,
        /// The argument.
        argument: String,
    },
    /// A word too many.
    TooMany {
        /// The command.
        command: String,
        /// The first word too many.
        word: String,
        /// A line that works.
        example: String,
    },
    /// An argument that must be given and was not.
    Missing {
        /// The command.
        command: String,
        /// The first of them.
        argument: String,
        /// What it should be.
        expected: String,
        /// The other ones.
        others: Vec<String>,
        /// A line that works.
        example: String,
    },
    /// It reads in several ways.
    Ambiguous {
        /// The lines that it could be.
        lines: Vec<String>,
    },
    /// A value that does not fit its type.
    WrongValue {
        /// The command.
        command: String,
        /// The argument.
        argument: String,
        /// What was typed.
        given: String,
        /// What it should be.
        expected: String,
        /// Whether the example holds what was probably meant.
        suggested: bool,
        /// A line that works.
        example: String,
    },
    /// A value that a program could take for an option.
    Dash {
        /// The argument.
        argument: String,
        /// What was typed.
        given: String,
    },
    /// What it would act on is not declared.
    NoSubject {
        /// The system.
        system: String,
        /// The environment; may be empty.
        environment: String,
        /// Whether the system is declared.
        known: bool,
        /// What there is instead.
        has: String,
    },
}

impl Mistake {
    /// The mistake as it is answered, for a room whose commands begin with `prefix`.
    pub fn message(&self, prefix: &str) -> Message {
        Message::plain().line(self.line(prefix))
    }

    /// The mistake in plain words, for a terminal.
    pub fn plain(&self, prefix: &str) -> String {
        self.line(prefix)
            .into_iter()
            .map(|span| match span {
                Span::Code(text) => format!("`{text}`"),
                Span::Text(text) | Span::Strong(text) | Span::Emphasis(text) => text,
            })
            .collect()
    }

    /// The same where a dry run was asked for: whatever it tells people to type asks for one as well.
    #[must_use]
    pub(super) fn of_a_dry_run(mut self) -> Self {
        let dry = |line: &mut String| *line = format!("{DRY} {line}");
        match &mut self {
            Self::UnknownCommand { suggestion: Some(line), .. }
            | Self::TooMany { example: line, .. }
            | Self::Missing { example: line, .. }
            | Self::WrongValue { example: line, .. } => dry(line),
            // These are invocations without the word.
            Self::Ambiguous { lines } => lines.iter_mut().for_each(dry),
            _ => {}
        }
        self
    }

    fn line(&self, prefix: &str) -> Vec<Span> {
        let text = |text: &str| Span::text(text);
        let code = |line: &str| Span::code(format!("{prefix}{line}"));
        let name = |name: &str| Span::code(name);
        match self {
            Self::SeveralLines => {
                vec![text(
                    "Not run: a command is one line, and this message has more. Send each in a message of its own.",
                )]
            }
            Self::Character { character, name } => vec![text(&format!(
                "Not run: it holds {name} (U+{:04X}), which hides what a line says. Type it again instead of pasting it.",
                u32::from(*character)
            ))],
            Self::Pill { text: pill } => vec![
                text("Not run: the mention "),
                name(pill),
                text(
                    " and the text of the message do not match one to one. Type the whole id instead, such as ",
                ),
                name("@alice:example.org"),
            ],
            Self::Filter { typed } => vec![
                text("Not run: behind "),
                name("|"),
                text(" stands "),
                name("filter WORDS"),
                text(", "),
                name("head 10"),
                text(" or "),
                name("json"),
                text(&if typed.is_empty() { ".".to_owned() } else { format!(", not {typed}.") }),
                text(
                    " They shape what is shown and run nothing. To mean the sign itself, put it in quotes: ",
                ),
                name("'a|b'"),
            ],
            Self::NoOutput { command, filter } => vec![
                text("Not run: what "),
                name(command),
                text(" says is not shaped by "),
                name(&format!("| {filter}")),
                text(". Leave that out."),
            ],
            Self::Unclosed { quote } => vec![
                text("Not run: the quote "),
                name(&quote.to_string()),
                text(" is not closed. To mean the sign itself, put it in other quotes: "),
                name(if *quote == '\'' { "\"don't\"" } else { "'5\" disk'" }),
            ],
            Self::Disagree => vec![text(
                "Not run: the text of this message and the command that your client sent with it do not say the same. Type it as text.",
            )],
            Self::UnknownCommand { name: typed, suggestion } => {
                let mut line = vec![text("No command "), name(typed)];
                match suggestion {
                    Some(suggestion) => line.extend([text(". Did you mean "), code(suggestion), text("?")]),
                    None => line.extend([text(". What there is here: "), code("commands")]),
                }
                line
            }
            Self::NoMethod { endpoint, commands } if commands.is_empty() => vec![
                text("Nothing of the endpoint "),
                Span::strong(endpoint),
                text(" can be used here: it has not said yet what it offers, or this room lists none of it."),
            ],
            Self::NoMethod { endpoint, commands } => {
                const MOST: usize = 12;
                let mut line =
                    vec![text("The endpoint "), Span::strong(endpoint), text(" does not know that. It has ")];
                for (index, command) in commands.iter().take(MOST).enumerate() {
                    if index > 0 {
                        line.push(text(", "));
                    }
                    line.push(code(command));
                }
                if commands.len() > MOST {
                    line.push(text(&format!(" and {} more", commands.len() - MOST)));
                }
                if let Some(first) = commands.first() {
                    line.extend([text(". How to use them: "), code(&format!("help {first}"))]);
                }
                line
            }
            Self::NoDry { command, can_have_one, others } => {
                let mut line = match command {
                    Some(command) => vec![name(command), text(" has no dry run, and was not run.")],
                    None => vec![text("A dry run of what? Write the command behind "), code(DRY), text(".")],
                };
                if !others.is_empty() {
                    line.push(text(" Here there is one of "));
                    for (index, other) in others.iter().enumerate() {
                        line.extend((index > 0).then(|| text(", ")));
                        line.push(code(&format!("{DRY} {other}")));
                    }
                    line.push(text("."));
                }
                if let Some(command) = command.as_ref().filter(|_| *can_have_one) {
                    line.extend([
                        text(" Its file declares one with "),
                        name("[dry]"),
                        text(". What the rules say of the command itself: "),
                        code(&format!("why {command}")),
                    ]);
                }
                line
            }
            Self::NotHere { name: command, rooms } => {
                let mut line = vec![name(command), text(" is not used in this room.")];
                if rooms.is_empty() {
                    line.push(text(" No room lists it."));
                } else {
                    line.push(text(" It lives in "));
                    for (index, (title, alias)) in rooms.iter().enumerate() {
                        if index > 0 {
                            line.push(text(", "));
                        }
                        line.extend([Span::strong(title), text(" ("), name(alias), text(")")]);
                    }
                    line.push(text("."));
                }
                line
            }
            Self::UnknownArgument { command, name: typed, suggestion, known } => {
                let mut line = vec![name(command), text(" has no "), name(typed)];
                match (suggestion, known.as_slice()) {
                    (Some(suggestion), _) => {
                        line.extend([text(". Did you mean "), name(suggestion), text("?")]);
                    }
                    (None, []) => line.push(text(": it takes no arguments.")),
                    (None, known) => line.push(text(&format!(": it takes {}.", known.join(", ")))),
                }
                line.extend([text(" How to use it: "), code(&format!("help {command}"))]);
                line
            }
            Self::NoValue { command, argument, expected } => vec![
                name(command),
                text(" needs a value after "),
                name(&format!("--{argument}")),
                text(&format!(": {expected}. How to use it: ")),
                code(&format!("help {command}")),
            ],
            Self::Twice { command, argument } => vec![
                name(command),
                text(" was given "),
                Span::strong(argument),
                text(" twice. Give it once."),
            ],
            Self::TooMany { word, example, .. } => vec![
                name(word),
                text(" is one word too many. Text with spaces goes in quotes. For example "),
                code(example),
            ],
            Self::Missing { command, argument, expected, others, example } => {
                let mut line = vec![
                    name(command),
                    text(" also needs "),
                    Span::strong(argument),
                    text(&format!(": {expected}")),
                ];
                if !others.is_empty() {
                    line.push(text(&format!("; and {}", others.join(", "))));
                }
                line.extend([text(". For example "), code(example)]);
                line
            }
            Self::Ambiguous { lines } => {
                let count = match lines.len() {
                    2 => "two".to_owned(),
                    3 => "three".to_owned(),
                    more => more.to_string(),
                };
                let mut line = vec![text(&format!("There are {count}: "))];
                for (index, one) in lines.iter().enumerate() {
                    if index > 0 {
                        line.push(text(", "));
                    }
                    line.push(code(one));
                }
                line
            }
            Self::WrongValue { argument, given, expected, suggested, example, .. } => {
                let mut line = vec![
                    Span::strong(argument),
                    text(&format!(" is {expected}; ")),
                    name(given),
                    text(" is not. "),
                ];
                line.extend(if *suggested {
                    [text("Did you mean "), code(example), text("?")]
                } else {
                    [text("For example "), code(example), text("")]
                });
                line.retain(|span| *span != Span::text(""));
                line
            }
            Self::Dash { argument, given } => vec![
                Span::strong(argument),
                text(" must not begin with a dash: the program could take "),
                name(given),
                text(" for an option of its own."),
            ],
            Self::NoSubject { system, known: true, environment, has } if !environment.is_empty() => vec![
                name(system),
                text(" has no "),
                name(environment),
                text(&if has == "nothing" { ".".to_owned() } else { format!(": it has {has}.") }),
            ],
            Self::NoSubject { system, has, .. } => {
                vec![text("No system is called "), name(system), text(&format!(": there is {has}."))]
            }
        }
    }
}
