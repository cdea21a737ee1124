//! Lines and what they mean.

use super::*;

#[test]
fn arguments_go_by_position_by_option_and_by_equals() {
    let ops = ops();
    let expected = "deploy --app web --dry-run false --env staging --version v1.4.2";
    for line in [
        "deploy web staging v1.4.2",
        "Deploy web Staging v1.4.2",
        "deploy web --version v1.4.2 --env staging",
        "deploy --env=staging web v1.4.2",
        "deploy web env=staging version=v1.4.2",
        "deploy 'web' \"staging\" v1.4.2",
        "deploy web v1.4.2 --Env staging",
        "deploy web staging v1.4.2 --dry_run no",
        "deploy -- web staging v1.4.2",
        "deploy web to staging at v1.4.2",
        "ship web to staging at v1.4.2",
        "deploy —env staging web v1.4.2",
        "deploy\u{a0}web staging “v1.4.2”",
    ] {
        assert_eq!(said(&ops, line), expected, "{line}");
    }
    let parsed = parse_line(&ops, "deploy web staging v1.4.2 --dry-run").unwrap();
    assert_eq!(parsed.invocation.arguments["dry-run"], Value::Boolean(true));
    assert_eq!(parsed.invocation.subject.as_deref(), Some("web@staging"));
    assert!(!parsed.understood);
    assert!(parse_line(&ops, "deploy —env staging web v1.4.2").unwrap().understood);
}

#[test]
fn every_type_is_read() {
    let ops = ops();
    assert_eq!(said(&ops, "scale web,db -3 90s"), "scale --apps web,db --count -3 --wait 90s");
    assert_eq!(said(&ops, "scale web 3"), "scale --apps web --count 3 --wait 10m");
    assert_eq!(
        said(&ops, "note --who @bob:example.org --where !abc:example.org roll --back now"),
        "note --where '!abc:example.org' --who @bob:example.org --words 'roll --back now'"
    );
}

#[test]
fn a_room_is_known_by_its_alias_where_the_caller_knows_it() {
    let ops = ops();
    let mut line = Line::typed("note --where #ops-data:example.org");
    let room = &ops.rooms["deploy"];
    assert!(parse(&ops, room, &line).unwrap_err().plain("!").contains("a room that Quarterdeck knows"));
    line.rooms.insert("#ops-data:example.org".try_into().unwrap(), "!data:example.org".try_into().unwrap());
    let parsed = parse(&ops, room, &line).unwrap();
    assert_eq!(parsed.invocation.to_string(), "note --where '!data:example.org'");
}

#[test]
fn mistakes_get_one_line_and_one_example() {
    let ops = ops();
    for (line, expected) in [
        ("depoly web staging v1.4.2", "No command `depoly`. Did you mean `!deploy web staging v1.4.2`?"),
        ("depoly web", "No command `depoly`. Did you mean `!deploy web staging v1.4.2`?"),
        ("banana", "No command `banana`. What there is here: `!commands`"),
        ("backup", "`backup` is not used in this room. It lives in Database (`#ops-data:example.org`)."),
        (
            "deploy web",
            "`deploy` also needs env: staging or production; and version. For example `!deploy web staging v1.4.2`",
        ),
        ("restart web", "There are two: `!restart web --env staging`, `!restart web --env production`"),
        ("restart db", "`restart` also needs env: staging or production. For example `!restart db staging`"),
        ("restart wbe staging", "app is db or web; `wbe` is not. Did you mean `!restart web staging`?"),
        (
            "deploy web moon v1.4.2",
            "env is staging or production; `moon` is not. For example `!deploy web staging v1.4.2`",
        ),
        ("restart db staging", "`db` has no `staging`: it has production."),
        (
            "restart web staging now",
            "`now` is one word too many. Text with spaces goes in quotes. For example `!restart web staging`",
        ),
        (
            "restart web --evn staging",
            "`restart` has no `--evn`. Did you mean `--env`? How to use it: `!help restart`",
        ),
        (
            "restart web evn=staging",
            "`restart` has no `evn`. Did you mean `env=staging`? How to use it: `!help restart`",
        ),
        (
            "restart web -e staging",
            "`restart` has no `-e`: it takes app, env. How to use it: `!help restart`",
        ),
        (
            "restart web --env",
            "`restart` needs a value after `--env`: staging or production. How to use it: `!help restart`",
        ),
        ("restart web --env staging --env production", "`restart` was given env twice. Give it once."),
        ("scale web 99", "count is a whole number from -5 to 50; `99` is not. For example `!scale web 1`"),
        (
            "status | grep x",
            "Not run: behind `|` stands `filter WORDS`, `head 10` or `json`, not grep x. They shape what is shown and run nothing. To mean the sign itself, put it in quotes: `'a|b'`",
        ),
        (
            "docs 'x",
            "Not run: the quote `'` is not closed. To mean the sign itself, put it in other quotes: `\"don't\"`",
        ),
    ] {
        assert_eq!(said(&ops, line), expected, "{line}");
    }
}

#[test]
fn only_commands_of_this_room_are_suggested() {
    let ops = ops();
    assert_eq!(said(&ops, "bakcup"), "No command `bakcup`. What there is here: `!commands`");
}

#[test]
fn a_line_that_reads_two_ways_is_not_guessed_at() {
    let ops = ops();
    // `ship` reads as a phrase and nothing else; the beginning of a phrase alone is told as such.
    assert_eq!(said(&ops, "ship web"), "No command `ship`. Did you mean `!deploy web staging v1.4.2`?");
}

#[test]
fn a_value_cannot_pass_for_an_option_of_the_program() {
    let ops = ops();
    // Words of `note` stand bare in the vector; the label of `scale` stands after `--`.
    assert_eq!(
        said(&ops, "note --words --force"),
        "words must not begin with a dash: the program could take `--force` for an option of its own."
    );
    assert_eq!(
        parse_line(&ops, "scale web 1 --label --force")
            .map(|it| argument_vector(&it.command, &it.invocation))
            .unwrap(),
        ["web", "1", "10m", "--", "--force"]
    );
}

#[test]
fn an_element_that_names_an_absent_argument_is_left_out() {
    let ops = ops();
    let parsed = parse_line(&ops, "note --words=\"roll back; \\$(id) 'a b'\"").unwrap();
    assert_eq!(argument_vector(&parsed.command, &parsed.invocation), ["roll back; $(id) 'a b'"]);
    let parsed = parse_line(&ops, "deploy web staging v1.4.2").unwrap();
    assert_eq!(lock(&parsed.command, &parsed.invocation).as_deref(), Some("web@staging"));
    assert_eq!(
        argument_vector(&parsed.command, &parsed.invocation),
        ["web", "--env=staging", "--version=v1.4.2", "--dry-run=false"]
    );
}

#[test]
fn built_ins_are_commands_of_the_same_grammar() {
    let ops = ops();
    assert_eq!(said(&ops, "audit 482"), "audit --id 482");
    assert_eq!(said(&ops, "audit x"), "id is a whole number, 1 or more; `x` is not. For example `!audit`");
    assert_eq!(said(&ops, "docs roll back"), "docs --words 'roll back'");
    assert_eq!(said(&ops, "status web"), "status --system web");
}

#[test]
fn help_says_what_there_is_and_marks_what_is_not_for_you() {
    let ops = ops();
    let room = &ops.rooms["deploy"];
    let text = |message| serde_json::to_string(&message).unwrap();
    let all =
        text(help(&ops, room, |command| if command.name == "scale" { May::Not } else { May::Run }, None));
    assert!(all.contains("!deploy APP ENV VERSION [DRY-RUN]") && all.contains("not for you"));
    assert!(!all.contains("backup"));
    let one = text(help(&ops, room, |_| May::Run, Some("deploy")));
    assert!(one.contains("!deploy web staging v1.4.2") && one.contains("staging or production"), "{one}");
    assert!(text(help(&ops, room, |_| May::Run, Some("backup"))).contains("Database"));
    assert!(text(help(&ops, room, |_| May::Run, Some("deplyo"))).contains("!help deploy"));
    let commands = text(commands(&ops, room, |_| May::Run));
    assert!(commands.contains("!audit [ID]") && commands.contains("!note"));
}

#[test]
fn lines_of_the_folder_must_work() {
    let mut ops = ops();
    assert_eq!(validate(&ops), []);
    ops.systems.get_mut("web").unwrap().status =
        ["note", "deploy web staging v1.4.2", "nonsense", "ping"].map(str::to_owned).to_vec();
    let mistakes: Vec<String> = validate(&ops).iter().map(ToString::to_string).collect();
    assert_eq!(mistakes.len(), 3, "{mistakes:#?}");
    assert!(mistakes.iter().any(|it| it.contains("runs a command of effect change")));
    assert!(mistakes.iter().any(|it| it.contains("\"nonsense\" cannot be read")));
    assert!(mistakes.iter().any(|it| it.contains("\"ping\" is a built-in")));
}

#[test]
fn what_is_most_likely_not_meant_is_a_warning() {
    let mut ops = ops();
    assert_eq!(warnings(&ops), []);
    ops.rooms.remove("data");
    let warnings: Vec<String> = warnings(&ops).iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("commands/backup.toml: no room lists it. "), "{warnings:?}");
}

#[test]
fn each_subject_is_tried_plain_before_any_is_tried_otherwise() {
    let ops = ops();
    let asker = Asker { user: bot(), room: None };
    let tried = samples(&ops, &ops.commands["deploy"], asker);
    let subjects: Vec<_> = tried.iter().filter_map(|it| it.subject.as_deref()).collect();
    let all = ["db@staging", "db@production", "web@staging", "web@production"];
    assert_eq!(subjects, [all, all, all].concat());
    // First as its example has it, then another text, then the other answer.
    let of_db = |at: usize| tried[at * all.len()].to_string();
    assert_eq!(of_db(0), "deploy --app db --dry-run false --env staging --version v1.4.2");
    assert_eq!(of_db(1), "deploy --app db --dry-run false --env staging --version x");
    assert_eq!(of_db(2), "deploy --app db --dry-run true --env staging --version v1.4.2");
}
