//! `!dry COMMAND`: the same command, and never the same thing.

use super::*;
use crate::model::Invocation;

#[test]
fn a_dry_run_is_the_same_invocation_but_for_the_word_and_runs_what_its_file_declares() {
    let ops = ops();
    let real = parse_line(&ops, "deploy web staging v1.4.2").unwrap();
    for line in [
        "dry deploy web staging v1.4.2",
        "Dry deploy web --env staging version=v1.4.2",
        "DRY Deploy web staging v1.4.2",
        "dry ship web to staging at v1.4.2",
    ] {
        let parsed = parse_line(&ops, line).unwrap();
        let printed = "dry deploy --app web --dry-run false --env staging --version v1.4.2";
        assert_eq!(parsed.invocation.to_string(), printed, "{line}");
        assert!(parsed.invocation.dry && parsed.command.is_dry);
        assert_ne!(parsed.invocation.digest(), real.invocation.digest());
        let of_the_real = Invocation { dry: true, ..real.invocation.clone() };
        assert_eq!(parsed.invocation, of_the_real);
        assert_eq!(
            argument_vector(&parsed.command, &parsed.invocation),
            ["plan", "v1.4.2", "--env=staging", "web"]
        );
        assert_eq!(lock(&parsed.command, &parsed.invocation), None, "it holds up nobody");
        assert_eq!(say(&parsed.command, &parsed.invocation), "dry deploy web staging v1.4.2");
    }
    assert_eq!(argument_vector(&real.command, &real.invocation)[0], "web");
}

#[test]
fn a_real_invocation_is_written_as_it_always_was() {
    let ops = ops();
    let json = |line: &str| serde_json::to_value(parse_line(&ops, line).unwrap().invocation).unwrap();
    assert_eq!(json("deploy web staging v1.4.2").get("dry"), None);
    assert_eq!(json("dry deploy web staging v1.4.2")["dry"], true);
}

#[test]
fn what_has_no_dry_run_is_refused_and_says_what_has() {
    let ops = ops();
    let answer = said(&ops, "dry restart web staging");
    assert!(answer.starts_with("`restart` has no dry run, and was not run."), "{answer}");
    assert!(answer.contains("`!dry deploy`") && answer.contains("`!why restart`"), "{answer}");
    let answer = said(&ops, "dry ping");
    assert!(answer.contains("no dry run") && !answer.contains("[dry]"), "{answer}");
    assert!(said(&ops, "dry").contains("`!dry deploy`"));
    assert!(said(&ops, "dry dry deploy web staging v1.4.2").contains("No command `dry`"));
}

#[test]
fn no_mistake_in_a_dry_run_tells_people_to_type_the_real_one() {
    let ops = ops();
    for line in [
        "dry deploy web",
        "dry deploy web staging",
        "dry deploy web stagign v1.4.2",
        "dry deploy web staging v1.4.2 more words",
        "dry depoly web staging v1.4.2",
        "dry ship web",
        "dry restart web",
    ] {
        let answer = said(&ops, line);
        assert!(answer.contains("`!dry "), "{line}: {answer}");
        assert!(!answer.contains("`!deploy") && !answer.contains("`!restart"), "{line}: {answer}");
    }
}

#[test]
fn a_value_that_only_the_dry_run_would_take_for_an_option_is_refused_there() {
    let ops = with_note("[dry]\narguments = [\"--plan\", \"{words}\"]\n");
    let answer = said(&ops, "dry note --words=-rf");
    assert!(answer.contains("must not begin with a dash"), "{answer}");
    assert!(said(&ops, "note --words=-rf").starts_with("note "));
}

/// The folder, whose `note` takes words behind `--`, and has this as well.
fn with_note(more: &str) -> Ops {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in FILES {
        let text = if *path == "commands/note.toml" {
            text.replace("[\"{words}\", ", "[\"--who={who}\", \"--\", \"{words}\", ") + more
        } else {
            (*text).to_owned()
        };
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    catalogue::load(folder.path(), &|_| None).unwrap()
}

#[test]
fn a_client_that_sent_the_real_command_beside_the_text_of_a_dry_run_is_refused() {
    let ops = ops();
    let mut line = Line::typed("deploy web staging v1.4.2");
    line.structured = Some(Structured {
        command: "deploy".to_owned(),
        arguments: [("app", "web"), ("env", "staging"), ("version", "v1.4.2")]
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .into(),
    });
    assert!(parse(&ops, &ops.rooms["deploy"], &line).is_ok());
    line.text = format!("dry {}", line.text);
    assert_eq!(parse(&ops, &ops.rooms["deploy"], &line).unwrap_err(), Mistake::Disagree);
}

#[test]
fn help_tells_what_a_dry_run_is_and_of_what_there_is_one() {
    let ops = ops();
    let shown = |which| format!("{:?}", help(&ops, &ops.rooms["deploy"], |_| May::Run, Some(which)));
    assert!(shown("dry").contains("!dry deploy"), "{}", shown("dry"));
    assert!(shown("deploy").contains("!dry deploy web staging v1.4.2"));
    assert!(!shown("restart").contains("!dry"));
}
