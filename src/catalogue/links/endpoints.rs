//! The methods of endpoints become commands: those that files of `commands/` name, and the others that are listed.

use std::collections::{BTreeMap, BTreeSet};

use super::Everything;
use crate::catalogue::{
    Argument, ArgumentType, Command, Endpoint, ListedMethod, OnBusy, Run, RunKind,
    names::{did_you_mean, is_argument_name, is_name, is_reserved_command},
    problems::{Place, Problems},
    read::References,
    rpc::{Listings, RpcRun},
};

/// The longest value of a parameter that no file declares, in characters.
const LONGEST: usize = 4_000;

/// Gives each command of an endpoint what the endpoint says of it, and adds those that it lists beside them.
pub(super) fn join(
    everything: &mut Everything,
    listings: &Listings,
    references: &References,
    problems: &Problems,
) {
    let keys: Vec<String> = everything.keys("endpoints").into_iter().map(str::to_owned).collect();
    for (_, named) in &references.endpoints {
        if !keys.contains(&named.value) {
            let mend = did_you_mean(&named.value, keys.iter().map(String::as_str), || {
                format!("Write endpoints/{}.toml with its url and key.", named.value)
            });
            problems.add(&named.place, format!("no endpoint is called \"{}\"", named.value), mend);
        }
    }
    let mut endpoints = std::mem::take(&mut everything.endpoints);
    let words: Vec<String> = endpoints.values().map(|endpoint| endpoint.prefix.clone()).collect();
    let mut prefixes: BTreeMap<String, String> = BTreeMap::new();
    for endpoint in endpoints.values_mut() {
        let place = Place::file(format!("endpoints/{}.toml", endpoint.key));
        if everything.keys("commands").contains(&endpoint.prefix.as_str()) {
            problems.add(
                &place,
                format!("a command is called \"{}\", as the first word of this endpoint's", endpoint.prefix),
                "Add prefix = \"another-word\".",
            );
        }
        if let Some(other) = prefixes.insert(endpoint.prefix.clone(), endpoint.key.clone()) {
            problems.add(
                &place,
                format!("the commands of endpoints/{other}.toml begin with \"{}\" as well", endpoint.prefix),
                "Add prefix = \"another-word\" to one of them.",
            );
        }
        // What was said elsewhere is no word of this one.
        endpoint.listing = listings.get(&endpoint.key).filter(|it| it.url == endpoint.url).cloned();
        let called = declared(everything, endpoint, &place, problems);
        if endpoint.all {
            listed(everything, endpoint, &words, &called);
        }
    }
    everything.endpoints = endpoints;
}

/// The commands of files. Gives the methods that they call.
fn declared(
    everything: &mut Everything,
    endpoint: &mut Endpoint,
    place: &Place,
    problems: &Problems,
) -> BTreeSet<String> {
    let mut called = BTreeSet::new();
    let mut left_out = BTreeMap::new();
    for command in everything.commands.values_mut() {
        let RunKind::ChatopsRpc(run) = &mut command.run.kind else { continue };
        if run.endpoint != endpoint.key {
            continue;
        }
        if !called.insert(run.method.clone()) {
            problems.add(
                place,
                format!("two commands call its method \"{}\", and one line would mean both", run.method),
                "Keep one of them.",
            );
        }
        let listed = |name: &str| endpoint.listing.as_ref().and_then(|listing| listing.methods.get(name));
        let method = listed(&run.method);
        fill(run, endpoint, method);
        // What a dry run calls goes on being said by itself as well.
        if let Some(RunKind::ChatopsRpc(dry)) = command.dry.as_mut().map(|dry| &mut dry.kind) {
            fill(dry, endpoint, listed(&dry.method));
        }
        if let Some(Err(why)) = method.map(ListedMethod::spoken) {
            left_out.insert(run.method.clone(), format!("{why}. `{}` works", command.name));
        }
    }
    endpoint.left_out.extend(left_out);
    called
}

fn fill(run: &mut RpcRun, endpoint: &Endpoint, method: Option<&ListedMethod>) {
    run.key.clone_from(&endpoint.secret);
    run.keyid.clone_from(&endpoint.keyid);
    run.users.clone_from(&endpoint.users);
    run.private = endpoint.private;
    run.prefix.clone_from(&endpoint.prefix);
    run.error_response = endpoint.listing.as_ref().and_then(|listing| listing.error_response.clone());
    if let Some(method) = method {
        run.url = method.url(&endpoint.url).ok();
        run.takes.clone_from(&method.params);
        run.spoken = method.spoken().ok();
    }
}

/// The commands of what is listed beside them.
fn listed(everything: &mut Everything, endpoint: &mut Endpoint, words: &[String], called: &BTreeSet<String>) {
    let Some(listing) = endpoint.listing.clone() else { return };
    let mut left_out = BTreeMap::new();
    for (name, method) in listing.methods.iter().filter(|(name, _)| !called.contains(*name)) {
        match command(endpoint, name, method) {
            Err(why) => {
                left_out.insert(name.clone(), why);
            }
            Ok(command) if everything.keys("commands").contains(&command.name.as_str()) => {
                left_out.insert(name.clone(), format!("there is a command `{}` already", command.name));
            }
            Ok(command) if is_anothers(&command.name, &endpoint.prefix, words) => {
                let why = format!("`{}` would be called as another endpoint's commands are", command.name);
                left_out.insert(name.clone(), why);
            }
            Ok(command) => {
                if let Err(why) = method.spoken() {
                    left_out.insert(name.clone(), format!("{why}. `{}` works", command.name));
                }
                everything.declare("commands", &command.name);
                everything.commands.insert(command.name.clone(), command);
            }
        }
    }
    endpoint.left_out.extend(left_out);
}

/// Whether a name that begins with one word begins with a longer one as well: what `app-web` lists is not for `app` to take.
fn is_anothers(name: &str, word: &str, words: &[String]) -> bool {
    let begins = |longer: &String| name == longer || name.starts_with(&format!("{longer}-"));
    words.iter().any(|longer| longer.len() > word.len() && begins(longer))
}

/// The command of a method that no file tells of: each parameter is a text that need not be given.
fn command(endpoint: &Endpoint, name: &str, method: &ListedMethod) -> Result<Command, String> {
    let plain = |name: &str| name.to_lowercase().replace('_', "-");
    let full = format!("{}-{}", endpoint.prefix, plain(name).trim_matches('-'));
    if !is_name(&full) || is_reserved_command(&full) {
        return Err(format!("`{full}` can be no command's name"));
    }
    method.url(&endpoint.url)?;
    let mut params = BTreeMap::new();
    for param in &method.params {
        let argument = param.to_lowercase();
        if !is_argument_name(&argument) || params.insert(argument, param.clone()).is_some() {
            return Err(format!("its parameter {param} can be no argument's name"));
        }
    }
    let last = params.len().saturating_sub(1);
    let arguments = params.keys().enumerate().map(|(index, name)| Argument {
        name: name.clone(),
        summary: String::new(),
        kind: ArgumentType::Text { pattern: None, min_length: 1, max_length: LONGEST },
        required: false,
        default: None,
        rest: index == last,
    });
    let mut run =
        RpcRun::declared(endpoint.key.clone(), name.to_owned(), params.clone(), endpoint.answer_limit);
    fill(&mut run, endpoint, Some(method));
    Ok(Command {
        name: full,
        summary: method.summary().unwrap_or_else(|| format!("Calls {name} of the endpoint {}", endpoint.key)),
        help: method.help.clone().unwrap_or_default(),
        effect: endpoint.effect,
        tags: endpoint.tags.clone(),
        subject: None,
        phrases: Vec::new(),
        docs: None,
        examples: Vec::new(),
        arguments: arguments.collect(),
        private: false,
        records: false,
        schedule: None,
        dry: None,
        is_dry: false,
        run: Run {
            kind: RunKind::ChatopsRpc(Box::new(run)),
            timeout: endpoint.timeout,
            on_busy: OnBusy::Queue,
            lock: None,
            idempotent: false,
        },
    })
}
