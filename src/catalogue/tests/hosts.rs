//! Commands that run on other hosts, and these hosts: right ones, and each mistake with its place.

use super::*;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIorfmOHFkDHCrMX9gv+nw/ki5iBgZYnwA1y5xsTrC+q";

const HOST: &str = r#"address = "web1.example.org"
port = 2222
user = "deploy"
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIorfmOHFkDHCrMX9gv+nw/ki5iBgZYnwA1y5xsTrC+q root@web1"]
"#;

const COMMAND: &str = r#"summary = "Restarts"
effect = "change"
[[argument]]
name = "host"
type = "list"
items = "choice"
choices = ["web1", "web2"]
[[argument]]
name = "word"
type = "text"
[run]
executor = "ssh"
hosts = ["web3", "{host}"]
program = "/opt/restart"
arguments = ["--", "{word}"]
key = "deploy-token"
"#;

fn files<'a>(command: &'a str, host: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("commands/there.toml", command),
        ("hosts/web1.toml", host),
        ("hosts/web2.toml", HOST),
        ("hosts/web3.toml", HOST),
    ]
}

#[test]
fn a_command_of_other_hosts_is_read_with_the_hosts_that_it_may_name() {
    let ops = load_with(&files(COMMAND, HOST)).unwrap();
    let run = &ops.commands["there"].run;
    let RunKind::Ssh(ssh) = &run.kind else { panic!("{run:?}") };
    assert_eq!((run.kind.name(), run.kind.output()), ("ssh", 256 << 20));
    assert_eq!(run.kind.credentials(), [("key", "deploy-token")]);
    assert_eq!(ssh.declared.keys().collect::<Vec<_>>(), ["web1", "web2", "web3"]);
    assert_eq!(ssh.declared["web1"].to_string(), "deploy@web1.example.org:2222");
    assert_eq!(ssh.declared["web1"].keys, [KEY]);
    assert_eq!((ssh.parallel, ssh.keep_going), (4, false));
}

#[test]
fn each_mistake_of_a_host_or_of_its_command_is_told_with_its_line() {
    for (from, to, place, expected) in [
        ("web1.example.org", "-oProxyCommand=x", "hosts/web1.toml:1", "no name or number of a host"),
        ("web1.example.org", "web1:22", "hosts/web1.toml:1", "no name or number of a host"),
        ("port = 2222", "port = 0", "hosts/web1.toml:2", "out of range"),
        ("\"deploy\"\nkeys", "\"-l root\"\nkeys", "hosts/web1.toml:3", "no name of a user"),
        ("[\"ssh-ed25519", "[\"ssh-rsa", "hosts/web1.toml:4", "no host key"),
        ("AAAAC3", "AAAA", "hosts/web1.toml:4", "no host key"),
        ("keys = [", "kyes = [", "hosts/web1.toml", "keys is missing"),
        ("\"web3\", ", "\"web4\", ", "commands/there.toml:13", "no host is called \"web4\""),
        (
            "[\"web1\", \"web2\"]",
            "[\"web1\", \"web5\"]",
            "commands/there.toml:13",
            "no host is called \"web5\"",
        ),
        ("\"{host}\"", "\"{word}\"", "commands/there.toml:13", "the hosts are made of \"word\""),
        (
            "\"{host}\"",
            "\"a{host}\"",
            "commands/there.toml:13",
            "neither the name of a host nor one argument",
        ),
        ("\"{host}\"", "\"{hots}\"", "commands/there.toml:13", "\"hots\" that is not declared"),
        ("hosts = [\"web3\", \"{host}\"]\n", "", "commands/there.toml:11", "hosts is missing"),
        ("\"/opt/restart\"", "\"restart\"", "commands/there.toml:14", "is not absolute"),
        ("key = \"deploy-token\"", "key = \"depoly-token\"", "commands/there.toml:16", "no secret is called"),
        ("key = \"deploy-token\"\n", "", "commands/there.toml:11", "key is missing"),
        ("key = ", "parallel = 0\nkey = ", "commands/there.toml:16", "out of range"),
        ("key = ", "environment = {}\nkey = ", "commands/there.toml:16", "\"environment\" is not known"),
    ] {
        assert!(COMMAND.contains(from) || HOST.contains(from), "{from}");
        let (command, host) = (COMMAND.replace(from, to), HOST.replace(from, to));
        let mistakes = told(&files(&command, &host));
        let found = mistakes.iter().any(|it| it.contains(place) && it.contains(expected));
        assert!(found, "{to}: {expected} at {place}, among {mistakes:#?}");
    }
}
