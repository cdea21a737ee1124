//! Loading whole folders: a right one, and each mistake with its place.

use std::fs;

use tempfile::TempDir;

use super::*;

mod dry;
mod endpoints;
mod hosts;
mod requests;

/// A small folder in which everything is right.
const GOOD: &[(&str, &str)] = &[
    ("quarterdeck.toml", "[homeserver]\nurl = \"http://127.0.0.1:8008\"\nname = \"example.org\"\n"),
    (
        "teams/web.toml",
        "homeservers = [\"example.org\"]\nusers = [\"@bob:example.org\"]\nleads = [\"@alice:example.org\"]\n",
    ),
    (
        "systems/web.toml",
        "owner = \"web\"\nenvironments = [\"staging\", \"production\"]\nstatus = [\"disk\"]\n",
    ),
    (
        "commands/deploy.toml",
        r#"name = "deploy"
summary = "Deploy a version"
effect = "change"
tags = ["delivery"]
subject = "{app}@{env}"
phrases = ["deploy {app} to {env} at {version}"]
docs = "deploying.md"

[[argument]]
name = "app"
type = "system"

[[argument]]
name = "env"
type = "choice"
choices = ["staging", "production"]

[[argument]]
name = "version"
type = "text"
pattern = 'v\d+'
default = "v1"

[run]
executor = "process"
program = "/opt/deploy"
arguments = ["{app}", "--version={version}"]
credentials = { TOKEN = "deploy-token" }
timeout = "10m"
lock = "deploy-{env}"
"#,
    ),
    (
        "commands/disk.toml",
        "summary = \"Disks\"\neffect = \"read\"\n[run]\nexecutor = \"process\"\nprogram = \"/bin/df\"\n",
    ),
    (
        "rooms/deploy.toml",
        "name = \"Deployments\"\npurpose = \"Deploy\"\ncommands = [\"#delivery\"]\nteams = [\"web\"]\n",
    ),
    ("docs/deploying.md", "\n# How to deploy\n\nText.\n"),
    ("policies/all.cedar", "permit (principal, action, resource);\n"),
    ("secrets/deploy-token.toml", "environment = \"DEPLOY_TOKEN\"\n"),
];

fn write(changes: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in GOOD.iter().chain(changes) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn load_with(changes: &[(&str, &str)]) -> Result<Ops, Vec<Mistake>> {
    load(write(changes).path(), &|_| None)
}

fn told(changes: &[(&str, &str)]) -> Vec<String> {
    load_with(changes).unwrap_err().iter().map(ToString::to_string).collect()
}

/// The good command with one thing replaced.
fn deploy(from: &str, to: &str) -> String {
    let text = GOOD.iter().find(|(path, _)| *path == "commands/deploy.toml").unwrap().1;
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

#[test]
fn a_right_folder_is_read_whole() {
    let ops = load_with(&[]).unwrap();
    let deploy = &ops.commands["deploy"];
    assert_eq!(deploy.run.timeout, jiff::SignedDuration::from_mins(10));
    assert!(deploy.arguments[0].required && !deploy.arguments[2].required);
    assert_eq!(deploy.arguments[2].default, Some(crate::model::Value::Text("v1".into())));
    let room = &ops.rooms["deploy"];
    assert_eq!(room.alias, "#ops-deploy:example.org");
    assert!(room.commands.contains("deploy") && room.commands.contains("help"));
    assert!(!room.commands.contains("disk"));
    assert_eq!(ops.documents[0].title, "How to deploy");
    assert!(ops.teams["web"].users.iter().any(|user| user == "@alice:example.org"));
    assert_eq!(ops.settings.bot_user(), "@quarterdeck:example.org");
    assert_eq!(ops.settings.registration, ops.folder.join("../registration.yaml"));
}

#[test]
fn secrets_are_no_part_of_what_is_kept_and_everything_else_is() {
    let ops = load_with(&[]).unwrap();
    assert!(ops.files.keys().all(|path| !path.starts_with("secrets/")));
    assert_eq!(ops.files.len(), GOOD.len() - 1);
    let other = load_with(&[("docs/deploying.md", "# How to deploy\n\nOther text.\n")]).unwrap();
    assert_ne!(ops.digest, other.digest);
    let same = load_with(&[("secrets/deploy-token.toml", "credential = \"deploy-token\"\n")]).unwrap();
    assert_eq!(ops.digest, same.digest);
}

#[test]
fn the_environment_overrides_the_file() {
    let folder = write(&[]);
    let ops = load(folder.path(), &|name| match name {
        "QUARTERDECK_DATABASE_URL" => Some("postgres://localhost/qd".to_owned()),
        "QUARTERDECK_HOMESERVER_NAME" => Some("other.example".to_owned()),
        _ => None,
    });
    let ops = ops.unwrap();
    assert_eq!(ops.settings.database_url.as_deref(), Some("postgres://localhost/qd"));
    assert_eq!(ops.rooms["deploy"].alias, "#ops-deploy:other.example");
}

#[test]
fn every_mistake_of_a_folder_is_told_at_once_with_its_line() {
    let mistakes = told(&[
        (
            "rooms/deploy.toml",
            "name = \"Deployments\"\npurpse = \"x\"\ncommands = [\"depoly\", \"#delivry\"]\nteams = [\"wbe\"]\n",
        ),
        ("systems/web.toml", "owner = \"wbe\"\ncriticality = \"hi\"\n"),
        (
            "commands/disk.toml",
            "summary = \"Disks\"\neffect = \"raed\"\n[run]\nexecutor = \"process\"\nprogram = \"df\"\nlocks = \"x\"\n",
        ),
        (
            "teams/ops-leads.toml",
            "homeservers = [\"example.org\"]\nusers = [\"alice\", \"@eve:evil.example\"]\n",
        ),
        ("comands/x.toml", ""),
    ]);
    let expected = [
        "comands: this folder is not read. Did you mean commands/?",
        "commands/disk.toml:2: effect = \"raed\" is not known. Did you mean \"read\"?",
        "commands/disk.toml:5: program = \"df\" is not absolute.",
        "commands/disk.toml:6: \"locks\" is not known in [run]. Did you mean \"lock\"?",
        "rooms/deploy.toml: purpose is missing.",
        "rooms/deploy.toml:2: \"purpse\" is not known. Did you mean \"purpose\"?",
        "rooms/deploy.toml:3: no command is called \"depoly\". Did you mean \"deploy\"?",
        "rooms/deploy.toml:3: no command has the tag \"delivry\". Did you mean \"delivery\"?",
        "rooms/deploy.toml:4: no team is called \"wbe\". Did you mean \"web\"?",
        "systems/web.toml:1: no team is called \"wbe\". Did you mean \"web\"?",
        "systems/web.toml:2: criticality = \"hi\" is not known",
        "teams/ops-leads.toml: a team cannot be called \"ops-leads\"",
        "teams/ops-leads.toml:2: \"alice\" is no MXID",
        "teams/ops-leads.toml:2: @eve:evil.example is not of this team's homeservers",
    ];
    for line in expected {
        assert!(mistakes.iter().any(|mistake| mistake.starts_with(line)), "{line}\n{mistakes:#?}");
    }
}

#[test]
fn syntax_errors_of_several_files_are_told_together() {
    let mistakes =
        told(&[("rooms/deploy.toml", "name = \n"), ("commands/disk.toml", "summary = \"x\"\n[run\n")]);
    assert!(mistakes.iter().any(|mistake| mistake.starts_with("rooms/deploy.toml:1: ")), "{mistakes:#?}");
    assert!(mistakes.iter().any(|mistake| mistake.starts_with("commands/disk.toml:2: ")), "{mistakes:#?}");
}

#[test]
fn mistakes_in_a_command_are_told() {
    let cases: &[(&str, &str, &str)] = &[
        ("name = \"deploy\"", "name = \"ship\"", "is not the file's name"),
        ("tags = [\"delivery\"]", "tags = [\"change\"]", "a tag cannot be called \"change\""),
        ("subject = \"{app}@{env}\"", "subject = \"{ap}@{env}\"", "Did you mean \"app\"?"),
        ("subject = \"{app}@{env}\"", "subject = \"{app}@{version}\"", "made of \"version\", which is text"),
        ("subject = \"{app}@{env}\"", "subject = \"{app\"", "a `{` is not closed"),
        (
            "choices = [\"staging\", \"production\"]",
            "choices = [\"test\"]",
            "can never name a declared system",
        ),
        ("choices = [\"staging\", \"production\"]", "", "a choice needs choices"),
        ("pattern = 'v\\d+'", "pattern = '('", "cannot be used"),
        ("pattern = 'v\\d+'", "pattern = 'a)|(b'", "cannot be used"),
        ("default = \"v1\"", "default = \"1\"", "does not fit its type"),
        ("default = \"v1\"", "default = 1", "the default is no text"),
        ("default = \"v1\"", "default = \"v1\"\nrequired = true", "cannot be required"),
        ("default = \"v1\"", "min_length = 9\nmax_length = 2", "the greatest is less than the least"),
        ("docs = \"deploying.md\"", "docs = \"deployin.md\"", "Did you mean \"deploying.md\"?"),
        ("\"{app}\",", "\"{aps}\",", "the argument vector names an argument \"aps\""),
        ("\"deploy-token\"", "\"deploy-tokn\"", "no secret is called \"deploy-tokn\""),
        ("timeout = \"10m\"", "timeout = \"ten\"", "is no length of time"),
        ("lock = \"deploy-{env}\"", "lock = \"deploy-{envv}\"", "the lock names an argument \"envv\""),
        ("[\"deploy {app} to {env} at {version}\"]", "[\"deploy {app}\"]", "leaves out \"env\""),
        ("[\"deploy {app} to {env} at {version}\"]", "[\"disk {app} {env}\"]", "the name of another command"),
        ("type = \"system\"", "type = \"sytem\"", "Did you mean \"system\"?"),
        ("name = \"env\"", "name = \"app\"", "two arguments called \"app\""),
        ("executor = \"process\"", "executor = \"shell\"", "is not known"),
        ("[run]", "[runs]", "[run] is missing"),
    ];
    for (from, to, expected) in cases {
        let mistakes = told(&[("commands/deploy.toml", &deploy(from, to))]);
        assert!(mistakes.iter().any(|mistake| mistake.contains(expected)), "{to}: {expected}\n{mistakes:#?}");
    }
}

#[test]
fn reserved_names_are_refused() {
    let disk = GOOD.iter().find(|(path, _)| *path == "commands/disk.toml").unwrap().1;
    for name in ["help", "approve", "run", "change"] {
        let path = format!("commands/{name}.toml");
        let mistakes = told(&[(&path, disk)]);
        assert!(mistakes[0].contains("a command cannot be called"), "{mistakes:#?}");
    }
}

#[test]
fn a_secret_names_one_place_and_never_its_value() {
    for text in
        ["", "environment = \"A\"\nfile = \"/b\"", "value = \"hunter2\"", "environment = \"hunter 2\""]
    {
        let mistakes = told(&[("secrets/deploy-token.toml", text)]);
        assert!(
            mistakes.iter().any(|mistake| mistake.starts_with("secrets/deploy-token.toml")),
            "{mistakes:#?}"
        );
        assert!(!mistakes.concat().contains("hunter"), "{mistakes:#?}");
    }
}

#[test]
fn a_password_in_the_settings_is_refused() {
    let settings = format!("{}[database]\nurl = \"postgres://a:hunter2@db/qd\"\n", GOOD[0].1);
    let mistakes = told(&[("quarterdeck.toml", &settings)]);
    assert!(
        mistakes[0].starts_with("quarterdeck.toml:5: the database URL holds a password"),
        "{mistakes:#?}"
    );
    assert!(!mistakes.concat().contains("hunter2"));
}

#[test]
fn bad_settings_are_told() {
    for (line, expected) in [
        ("prefix = \"/\"", "no good prefix"),
        ("listen = \"localhost\"", "no address with a port"),
        ("administrators = [\"alice\"]", "is no MXID"),
        ("instance = \"A B\"", "no name of an instance"),
        ("lsten = \"x\"", "Did you mean \"listen\"?"),
    ] {
        let settings = format!("{line}\n{}", GOOD[0].1);
        let mistakes = told(&[("quarterdeck.toml", &settings)]);
        assert!(mistakes.iter().any(|mistake| mistake.contains(expected)), "{expected}\n{mistakes:#?}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_one_mistake() {
    let mistakes = load(std::path::Path::new("/nowhere/ops"), &|_| None).unwrap_err();
    assert_eq!(mistakes.len(), 1);
    assert!(mistakes[0].what.contains("cannot be read"));
}

const CASES: &str = r#"
[[test]]
name        = "Two leads, at night"
who         = ["@alice:example.org", "@bob:example.org"]
room        = "deploy"
what        = "deploy web production v2"
at          = 2026-11-24T03:00:00
approved_by = ["@erin:example.org"]
answer      = "refused"
by          = ["nights"]

[[test]]
name      = "A lead approves"
who       = "@alice:example.org"
room      = "deploy"
action    = "approve"
what      = "deploy web production v2"
requester = "@bob:example.org"
answer    = "waits"
waits_for = ["leads", "confirmation"]
"#;

#[test]
fn rule_tests_are_read_with_times_in_the_zone_of_the_settings() {
    let zone =
        "time_zone = \"Europe/Zurich\"\n[homeserver]\nurl = \"http://localhost\"\nname = \"example.org\"\n";
    let ops = load_with(&[("policies/tests/cases.toml", CASES), ("quarterdeck.toml", zone)]).unwrap();
    let [first, second] = &*ops.rule_tests else { panic!("{:?}", ops.rule_tests) };
    assert_eq!((first.name.as_str(), first.line, first.who.len()), ("Two leads, at night", Some(2), 2));
    assert_eq!(first.at.to_string(), "2026-11-24T02:00:00Z");
    assert_eq!(first.answer, RuleTestAnswer::Refused { by: vec!["nights".to_owned()] });
    assert_eq!(second.action, RuleTestAction::Approve);
    assert_eq!(second.at.to_string(), "2026-01-07T11:00:00Z", "noon of a Wednesday");
    let groups = ["leads", "confirmation"].map(str::to_owned).to_vec();
    assert_eq!(second.answer, RuleTestAnswer::Waits { waits_for: groups });
}

#[test]
fn mistakes_in_rule_tests_are_told_with_file_and_line() {
    let told = |from: &str, to: &str| {
        assert!(CASES.contains(from), "{from}");
        let found = told(&[("policies/tests/cases.toml", &CASES.replacen(from, to, 1))]);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    };
    for (from, to, says) in [
        ("[[test]]", "[[tset]]", "cases.toml:2: \"tset\" is not known. Did you mean \"test\"?"),
        (
            "by          = [\"nights\"]",
            "",
            "cases.toml:2: by is missing in [[test]]. Add by = [\"the-rule\"]; by = [] where no rule permits it",
        ),
        (
            "waits_for = [\"leads\", \"confirmation\"]",
            "",
            "cases.toml:12: waits_for is missing in [[test]]. Add waits_for",
        ),
        (
            "2026-11-24T03:00:00",
            "\"noon\"",
            "cases.toml:7: at = \"noon\" is no time. Write at = 2026-11-24T10:00:00",
        ),
        ("requester = \"@bob:example.org\"", "", "cases.toml:12: requester is missing in [[test]]."),
        ("\"@bob:example.org\"]", "\"bob\"]", "cases.toml:4: \"bob\" is no MXID."),
        (
            "\"refused\"",
            "\"refsued\"",
            "cases.toml:9: answer = \"refsued\" is not known. Did you mean \"refused\"?",
        ),
        ("room        = \"deploy\"\n", "", "cases.toml:2: room is missing in [[test]]."),
        ("what        = \"deploy web production v2\"", "", "cases.toml:2: what is missing in [[test]]."),
    ] {
        let found = told(from, to);
        assert!(found.starts_with(&format!("policies/tests/{says}")), "{says}\n{found}");
    }
}

#[test]
fn a_command_of_emergency_asks_for_a_reason() {
    let text = |arguments: &str| {
        format!(
            "summary = \"Disks\"\neffect = \"danger\"\nemergency = true\n{arguments}[run]\nexecutor = \"process\"\nprogram = \"/bin/df\"\n"
        )
    };
    let reason = |more: &str| format!("[[argument]]\nname = \"reason\"\ntype = \"text\"\n{more}");
    let ops = load_with(&[("commands/disk.toml", &text(&reason("rest = true\n")))]).unwrap();
    assert!(ops.commands["disk"].is_emergency() && !ops.commands["deploy"].is_emergency());
    let number = "[[argument]]\nname = \"reason\"\ntype = \"integer\"\n".to_owned();
    for arguments in [String::new(), reason("required = false\n"), reason("default = \"x\"\n"), number] {
        let told = told(&[("commands/disk.toml", &text(&arguments))]);
        assert!(told.iter().any(|line| line.contains("must ask for a reason")), "{arguments}: {told:?}");
    }
}

#[test]
fn a_command_may_answer_only_who_asks() {
    let text = |answer: &str| {
        format!(
            "summary = \"Pay\"\neffect = \"read\"\n{answer}[run]\nexecutor = \"process\"\nprogram = \"/bin/df\"\n"
        )
    };
    for (answer, private) in [("", false), ("answer = \"room\"\n", false), ("answer = \"private\"\n", true)] {
        let ops = load_with(&[("commands/pay.toml", &text(answer))]).unwrap();
        assert_eq!(ops.commands["pay"].private, private, "{answer}");
    }
    let told = told(&[("commands/pay.toml", &text("answer = \"secret\"\n"))]);
    assert!(told.iter().any(|line| line.contains("answer = \"secret\" is not known")), "{told:?}");
}

#[test]
fn a_user_of_the_host_is_one_person_of_a_team_and_there_is_one_log_room() {
    let team = |user: &str, uid: &str| {
        format!(
            "homeservers = [\"example.org\"]\nusers = [\"@bob:example.org\", \"@eve:example.org\"]\n[[local]]\nuid = {uid}\nuser = \"{user}\"\n"
        )
    };
    let ops = load_with(&[("teams/web.toml", &team("@bob:example.org", "1000"))]).unwrap();
    assert_eq!(ops.teams["web"].local[&1000], "@bob:example.org");
    let stranger = told(&[("teams/web.toml", &team("@mallory:example.org", "1000"))]);
    assert!(stranger[0].contains("is not in this team"), "{stranger:?}");
    assert!(told(&[("teams/web.toml", &team("@bob:example.org", "-1"))])[0].contains("out of range"));
    let two = told(&[
        ("teams/web.toml", &team("@bob:example.org", "1000")),
        ("teams/dba.toml", &team("@eve:example.org", "1000")),
    ]);
    assert!(
        two[0].contains("uid = 1000 is @bob:example.org here") || two[0].contains("uid = 1000 is @eve"),
        "{two:?}"
    );
    let room = "name = \"Log\"\npurpose = \"Log\"\nlog = true\n";
    let logs = told(&[("rooms/one.toml", room), ("rooms/two.toml", room)]);
    assert!(logs[0].contains("is the log room already"), "{logs:?}");
}

#[test]
fn the_doors_of_the_settings_are_read_and_their_mistakes_are_told() {
    let base = "[homeserver]\nurl = \"http://127.0.0.1:8008\"\nname = \"example.org\"\n";
    let settings = |more: &str| format!("{base}{more}");
    let good =
        "[local]\nsocket = \"run.sock\"\n[ops]\ngit = \"/srv/ops.git\"\nallowed_signers = \"signers\"\n";
    let ops = load_with(&[("quarterdeck.toml", &settings(good))]).unwrap();
    let git = ops.settings.git.unwrap();
    assert_eq!((git.remote.as_str(), git.reference.as_str()), ("/srv/ops.git", "main"));
    assert_eq!(git.allowed_signers, Some(ops.folder.join("signers")));
    assert_eq!(ops.settings.local.unwrap().socket, ops.folder.join("run.sock"));
    let long = format!("[local]\nsocket = \"/{}\"\n", "x".repeat(120));
    for (more, what) in [
        ("[ops]\nref = \"main\"\n", "git is missing"),
        ("[ops]\ngit = \"ext::sh -c id\"\n", "no address of a repository"),
        ("[ops]\ngit = \"https://a:b@x.example/o\"\n", "holds a password"),
        ("[ops]\ngit = \"/o\"\nref = \"--upload-pack=x\"\n", "names no branch"),
        ("[ops]\ngit = \"/o\"\nfolder = \"../x\"\n", "no path within the repository"),
        ("[local]\n", "socket is missing"),
        (long.as_str(), "longer than"),
    ] {
        let told = told(&[("quarterdeck.toml", &settings(more))]);
        assert!(told.iter().any(|line| line.contains(what)), "{more}: {told:?}");
    }
}
