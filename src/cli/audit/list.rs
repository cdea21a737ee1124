//! `quarterdeck audit list`: searches the log, with the language of `!audit` in a room.

use std::process::ExitCode;

use anyhow::Context as _;

use super::{json, plain};
use crate::{
    audit::{
        self,
        search::{self, Finds, Given, Within},
    },
    catalogue::Ops,
    cli::logged,
    model::{Clock as _, RequestNumber, Span, SystemClock},
    storage::{Recorded, Search, Storage},
};

/// How many are read at once for a long list.
const PAGE: usize = 500;

/// Searches the log, and lists what is found, the newest first: requests, and entries that belong to none.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Only this request
    #[arg(long, value_name = "NUMBER")]
    request: Option<RequestNumber>,
    /// Only what this person asked for, or did to it: a whole MXID, or an operating system's user
    #[arg(long, value_name = "MXID", alias = "sender")]
    by: Option<String>,
    /// Only what people of this team did
    #[arg(long, value_name = "TEAM")]
    team: Option<String>,
    /// Only what people of this homeserver did
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Only of this room: its key in the ops folder, or its id
    #[arg(long, value_name = "ROOM")]
    room: Option<String>,
    /// Only requests of this command
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// Only what acts on this system: `web`, or `web@production`
    #[arg(long, value_name = "SYSTEM")]
    system: Option<String>,
    /// Only with this argument: `env=staging`
    #[arg(long, value_name = "NAME=VALUE")]
    argument: Option<String>,
    /// Only what came to this: succeeded, failed, refused, waiting, ...
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// Only what this rule decided
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// Only what has an entry of this kind: `command.refused`, or of a family: `run`
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only since then: `2026-11-23T12:00:00Z`, or so long ago: `2h`, `7d`
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only before that
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only with these words, typed or printed
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    /// From where the list before ended, as it said
    #[arg(long, value_name = "CURSOR")]
    before: Option<String>,
    /// How many at most
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// Prints the entries of what is found, of that kind where one is given, as their canonical JSON, one a line
    #[arg(long)]
    json: bool,
    /// Prints a table for spreadsheets
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

impl List {
    pub(super) async fn run(self, storage: &Storage, ops: &Ops) -> anyhow::Result<ExitCode> {
        let given = self.given();
        let rooms = storage.with_those_before(storage.bound_rooms().await?).await?;
        let within = Within { line: "audit list", ops, rooms: &rooms, now: SystemClock.now() };
        let read = given.read(within).map_err(|mistake| anyhow::anyhow!(mistake.plain("quarterdeck ")));
        let (search, before) = read?;
        let search = Search { request: self.request, ..search };
        // Recorded before it is shown: what was read without a record would be unrecorded for ever.
        logged::record(storage, self.query(&given)).await?;

        let (mut left, mut behind, mut first) = (usize::try_from(self.limit)?, before, true);
        let mut code = ExitCode::SUCCESS;
        loop {
            let page = left.min(PAGE);
            // Whoever has the database's rights on the host may read what was printed.
            let finds = if first {
                search::find(storage, &search, behind, page, &|_| true).await?
            } else {
                search::find_more(storage, &search, behind, page, &|_| true).await?
            };
            self.print(&finds, first)?;
            if let Some(short) = finds.short {
                eprintln!("{}", short.words());
                code = ExitCode::FAILURE;
            }
            left -= finds.found.len();
            (behind, first) = (finds.older, false);
            match behind {
                None => break,
                Some(_) if left > 0 && code == ExitCode::SUCCESS => {}
                Some(cursor) => {
                    eprintln!("There are older ones: raise --limit, or go on with --before {cursor}");
                    break;
                }
            }
        }
        if let Some(hint) = within.hint(&search).filter(|_| left == usize::try_from(self.limit).unwrap_or(0))
        {
            eprintln!("{hint}");
        }
        Ok(code)
    }

    fn print(&self, finds: &Finds, first: bool) -> anyhow::Result<()> {
        if self.csv {
            print!("{}", audit::csv(finds, first).context("writing the table")?);
            return Ok(());
        }
        for (found, entries) in &finds.found {
            if self.json {
                for recorded in entries.iter().filter(|recorded| self.is_of_kind(recorded)) {
                    println!("{}", json(recorded)?);
                }
            } else {
                let at = Span::text(format!("{} UTC · ", found.cursor.at.strftime("%F %T")));
                println!("{}", plain(&[vec![at], audit::summary(found, entries)].concat()));
            }
        }
        Ok(())
    }

    /// Whether an entry is of the kind, or the family, that was asked for.
    fn is_of_kind(&self, recorded: &Recorded) -> bool {
        let kind = recorded.entry.event.kind();
        self.kind.as_deref().is_none_or(|wanted| wanted == kind || Some(wanted) == kind.split('.').next())
    }

    fn given(&self) -> Given {
        let named = [
            ("by", &self.by),
            ("team", &self.team),
            ("server", &self.server),
            ("room", &self.room),
            ("command", &self.command),
            ("system", &self.system),
            ("argument", &self.argument),
            ("outcome", &self.outcome),
            ("rule", &self.rule),
            ("kind", &self.kind),
            ("since", &self.since),
            ("until", &self.until),
            ("text", &self.text),
            ("before", &self.before),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        Given(named.collect())
    }

    /// What was asked for, for the record.
    fn query(&self, given: &Given) -> String {
        let request = self.request.map(|number| format!(" --request {number}")).unwrap_or_default();
        format!("list{request}{} --limit {}", given.recorded(), self.limit)
    }
}
