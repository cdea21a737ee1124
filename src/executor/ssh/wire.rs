//! What is said over the connection beside the program's own output.
//!
//! The line that the user's shell there is given starts a small script of ours in `/bin/sh`. It says that it is ready, and
//! starts the program only when it is told to: until then nothing has happened, whatever became of the connection. It is
//! told by a word that nobody else there knows, and that word, after a character that no text has, marks the program's exit status at the end of the output.
//! When its standard input ends (a cancel, a lost connection, our death) it ends the program and all in its group.

use std::path::Path;

use crate::{catalogue::SshHost, command::quoted_for_a_shell};

/// The script. `$@` is the program with its arguments. What sshd starts leads a session and a group of its own, so that
/// `-$$` is all that the program started and that did not leave on purpose.
const SCRIPT: &str = r#"if [ ! -f "$1" ] || [ ! -x "$1" ]; then printf "\nquarterdeck lacks\n"; exit 0; fi
exec 3<&0
printf "\nquarterdeck ready\n"
IFS= read -r mark <&3 || exit 0
trap : TERM
"$@" </dev/null 2>&1 3<&- &
main=$!
{
trap : TERM
cat <&3 >/dev/null 2>&1
kill -s TERM -- "-$$" 2>/dev/null || kill -s TERM "$main" 2>/dev/null
sleep 3
printf "\036%s end 137\n" "$mark"
kill -s KILL -- "-$$" 2>/dev/null || kill -s KILL "$main" 2>/dev/null
} &
watch=$!
exec 3<&-
while :; do wait "$main"; status=$?; kill -s 0 "$main" 2>/dev/null || break; done
printf "\036%s end %s\n" "$mark" "$status"
kill -s KILL "$watch" 2>/dev/null
kill -s KILL -- "-$$" 2>/dev/null
exit 0"#;

/// How much may be printed by the login there before the script is ready, in bytes.
const NOISE: usize = 64 << 10;

/// The line for the user's shell.
pub(super) fn line(words: &[String]) -> String {
    let mut line = format!("exec /bin/sh -c {} quarterdeck", quoted_for_a_shell(SCRIPT));
    for word in words {
        line.push(' ');
        line.push_str(&quoted_for_a_shell(word));
    }
    line
}

/// What `ssh` is told: nothing of anybody's configuration, no agent, no forwarding, no terminal, one key, known hosts.
pub(super) fn options(host: &SshHost, name: &str, key: &Path, known: &Path, line: String) -> Vec<String> {
    let mut options: Vec<String> = ["-F", "none", "-T", "-a", "-x"].map(str::to_owned).to_vec();
    let fixed = [
        "AddKeysToAgent=no",
        "BatchMode=yes",
        "CanonicalizeHostname=no",
        "CheckHostIP=no",
        "ClearAllForwardings=yes",
        "ConnectTimeout=10",
        "ConnectionAttempts=1",
        "ControlMaster=no",
        "ControlPath=none",
        "EscapeChar=none",
        "ForwardAgent=no",
        "ForwardX11=no",
        "GSSAPIAuthentication=no",
        "GlobalKnownHostsFile=none",
        "HostbasedAuthentication=no",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "KbdInteractiveAuthentication=no",
        "LogLevel=ERROR",
        "PasswordAuthentication=no",
        "PermitLocalCommand=no",
        "PreferredAuthentications=publickey",
        "ProxyCommand=none",
        "ProxyJump=none",
        "RequestTTY=no",
        "ServerAliveCountMax=3",
        "ServerAliveInterval=10",
        "StrictHostKeyChecking=yes",
        "Tunnel=no",
        "UpdateHostKeys=no",
        "VerifyHostKeyDNS=no",
    ];
    for option in fixed {
        options.extend(["-o".to_owned(), option.to_owned()]);
    }
    for option in [
        format!("HostKeyAlias={name}"),
        format!("IdentityFile={}", spelled(key)),
        format!("UserKnownHostsFile={}", spelled(known)),
    ] {
        options.extend(["-o".to_owned(), option]);
    }
    options.extend(["-p".to_owned(), host.port.to_string(), "-l".to_owned(), host.user.clone()]);
    options.extend(["--".to_owned(), host.address.clone(), line]);
    options
}

/// A path as ssh's options take it: it expands `%`, and takes words apart.
fn spelled(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

/// The known hosts' file of one host.
pub(super) fn known_hosts(name: &str, host: &SshHost) -> String {
    host.keys.iter().flat_map(|key| [name, " ", key, "\n"]).collect()
}

/// What the login said before the script did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// Nothing of ours yet.
    More,
    /// The script waits for its word.
    Ready,
    /// There is no such program.
    Lacks,
    /// So much was said that no script can be meant.
    Noise,
}

/// Looks for the script's first word in what came.
pub(super) fn greeting(came: &[u8]) -> Greeting {
    let has = |word: &[u8]| came.windows(word.len()).any(|window| window == word);
    if has(b"\nquarterdeck ready\n") {
        Greeting::Ready
    } else if has(b"\nquarterdeck lacks\n") {
        Greeting::Lacks
    } else if came.len() > NOISE {
        Greeting::Noise
    } else {
        Greeting::More
    }
}

/// Takes the output apart from the exit status that follows it.
pub(super) struct Output {
    mark: Vec<u8>,
    held: Vec<u8>,
    /// The program's exit status, once it came.
    pub(super) status: Option<i32>,
}

impl Output {
    /// For a program whose status comes with this word.
    pub(super) fn new(word: &str) -> Self {
        Self { mark: format!("\x1e{word} end ").into_bytes(), held: Vec::new(), status: None }
    }

    /// Takes what came, and gives what is output for certain.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.status.is_some() {
            // What still speaks was left behind by the program, and is being ended.
            return Vec::new();
        }
        self.held.extend_from_slice(bytes);
        let found = self.held.windows(self.mark.len()).position(|window| window == self.mark);
        let Some(at) = found else {
            let longest = self.mark.len().min(self.held.len());
            let begun = (0..=longest).rev().find(|length| self.held.ends_with(&self.mark[..*length]));
            let certain = self.held.len() - begun.unwrap_or(0);
            return self.held.drain(..certain).collect();
        };
        let digits = &self.held[at + self.mark.len()..];
        if let Some(end) = digits.iter().position(|byte| *byte == b'\n') {
            self.status = std::str::from_utf8(&digits[..end]).ok().and_then(|digits| digits.parse().ok());
        }
        self.held.drain(..at).collect()
    }

    /// Gives what was held back, when there is no more.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        if self.status.is_some() { Vec::new() } else { std::mem::take(&mut self.held) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_script_begins_only_at_its_word_and_gives_every_argument_as_it_is() {
        let word = |text: &str| text.to_owned();
        let line = line(&[word("/bin/echo"), word("it's"), word("\\n $(id)\n;")]);
        let mut parts = shell_words::split(&line).unwrap();
        assert_eq!(parts.split_off(4), ["quarterdeck", "/bin/echo", "it's", "\\n $(id)\n;"]);
        assert_eq!(parts[3], SCRIPT);
    }

    proptest! {
        #[test]
        fn output_and_status_come_apart_wherever_they_are_cut(
            text in "(\n|\x1e|\x1eW|W end |[a-c]){0,30}",
            status in 0..256,
            cuts in prop::collection::vec(1usize..9, 1..40),
        ) {
            let mut whole = text.clone().into_bytes();
            whole.extend(format!("\x1eWORD end {status}\n").bytes());
            let mut output = Output::new("WORD");
            let (mut shown, mut rest, mut cut) = (Vec::new(), &whole[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (part, more) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
                shown.extend(output.push(part));
                rest = more;
            }
            prop_assert_eq!(output.status, Some(status));
            shown.extend(output.finish());
            prop_assert_eq!(String::from_utf8(shown).unwrap(), text);
        }

        #[test]
        fn without_a_status_nothing_is_lost(text in "(\n|\x1e|WORD|\x1eWOR| end |[0-9]){0,30}") {
            let mut output = Output::new("OTHER");
            let mut shown = output.push(text.as_bytes());
            shown.extend(output.finish());
            prop_assert_eq!(String::from_utf8(shown).unwrap(), text);
            prop_assert_eq!(output.status, None);
        }
    }
}
