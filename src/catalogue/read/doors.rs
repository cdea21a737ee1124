//! `[local]` and `[ops]` of `quarterdeck.toml`: the doors beside the rooms; and where keys are, `[audit]` and `[secrets]`.

use std::path::Path;

use url::Url;

use super::section::Section;
use crate::{
    catalogue::{
        GitSource, LocalDoor, WitnessSetting,
        problems::{Located, Problems},
    },
    model::Recipient,
};

/// What a socket's path may be long, in bytes, so that the kernel takes it.
const LONGEST: usize = 107;

/// The socket of this host.
pub(super) fn local(mut file: Section<'_>, folder: &Path) -> Option<LocalDoor> {
    let socket = file.required_text("socket", "socket = \"/run/quarterdeck/run.sock\"");
    let group = file.text("group").filter(|group| {
        let empty = group.value.trim().is_empty();
        if empty {
            file.wrong(&group.place, "group is empty", "Name a group of this host, or take the line out.");
        }
        !empty
    });
    let socket = socket.filter(|socket| {
        let long = folder.join(&socket.value).as_os_str().len() > LONGEST;
        if long {
            file.wrong(
                &socket.place,
                format!("the path of the socket is longer than {LONGEST} bytes"),
                "Choose a shorter one, such as \"/run/quarterdeck/run.sock\".",
            );
        }
        !long
    });
    file.finish();
    Some(LocalDoor { socket: folder.join(socket?.value), group: group.map(|group| group.value) })
}

/// `[web]`: the address of the pages.
pub(super) fn web(mut file: Section<'_>) -> Option<Located<String>> {
    let url = file.required_text("url", "url = \"https://ops.example.org\"");
    file.finish();
    url
}

/// The address of the pages: an origin of https, because a cookie is sent there; of http on this host alone.
pub(super) fn pages(text: &Located<String>, problems: &Problems) -> Option<Url> {
    let wrong = |what: &str, mend: &str| {
        problems.add(&text.place, format!("[web] url = \"{}\" {what}", text.value), mend);
        None
    };
    let Some(url) = Url::parse(&text.value).ok().filter(Url::has_host) else {
        return wrong("is no address", "Write one such as \"https://ops.example.org\".");
    };
    let bare =
        url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !bare || url.password().is_some() {
        return wrong("is more than scheme, host and port", "Give the pages a host or a port of their own.");
    }
    match url.scheme() {
        "https" => Some(url),
        "http" if is_loopback(&url) => Some(url),
        _ => wrong(
            "would have people log in over an open line",
            "Put a reverse proxy with TLS before Quarterdeck, and write its https address.",
        ),
    }
}

/// Whether an address is of this host alone.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// `[secrets]`: what decrypts `secrets/*.age`, and whom they are encrypted to.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    pub identity: Option<String>,
    pub credential: Option<String>,
    pub recipients: Vec<Recipient>,
}

/// The place of the identity, and the recipients.
pub(super) fn secrets(mut file: Section<'_>) -> Secrets {
    let identity = file.text("identity");
    let credential = file.text("credential");
    let named = file.texts("recipients");
    if let Some(identity) = identity.as_ref().filter(|it| it.value.to_uppercase().contains("AGE-SECRET-KEY"))
    {
        file.wrong(
            &identity.place,
            "identity holds the identity itself, and this file is kept in the log",
            "Name the file that holds it. If this was in force anywhere, it is known: make another, and draw new secrets.",
        );
    }
    if let Some(name) = &credential {
        let bad = name.value.is_empty() || name.value.contains('/') || name.value.starts_with('.');
        if bad || identity.is_some() {
            file.wrong(
                &name.place,
                if bad {
                    "credential is no name of a credential"
                } else {
                    "the identity comes from exactly one place"
                },
                "Write identity = \"FILE\", or credential = \"NAME\" as in LoadCredential= of the systemd unit.",
            );
        }
    }
    let mut recipients = Vec::new();
    for Located { value, place } in &named {
        match value.parse() {
            Ok(recipient) => recipients.push(recipient),
            Err(_) => file.wrong(
                place,
                format!("\"{value}\" is no recipient of age's"),
                "Write what `quarterdeck secret key FILE` printed: \"age1...\".",
            ),
        }
    }
    file.finish();
    Secrets { identity: identity.map(|it| it.value), credential: credential.map(|it| it.value), recipients }
}

/// `[audit]`: the log's name, and where its key is.
#[derive(Debug, Default)]
pub(super) struct Audit {
    pub origin: Option<String>,
    pub key: Option<Located<String>>,
    pub credential: Option<String>,
    pub post_every: Option<i64>,
    pub witnesses: Vec<WitnessSetting>,
}

/// The log's name, and the place of the key that signs it.
pub(super) fn audit(mut file: Section<'_>) -> Audit {
    let origin = file.text("origin");
    let key = file.text("key");
    let credential = file.text("credential");
    let post_every = file.duration("post_every");
    if post_every.is_some_and(|seconds| seconds < 60) {
        file.wrong(
            &file.place.clone(),
            "post_every is shorter than a minute",
            "Each post is a message to everybody in the log room: write \"1h\", or \"1m\" at least.",
        );
    }
    let witnesses = file.sections("witness", "[[audit.witness]]").into_iter().filter_map(witness).collect();
    if let Some(origin) = origin.as_ref().filter(|origin| !is_origin(&origin.value)) {
        file.wrong(
            &origin.place,
            format!("origin = \"{}\" is no name of a log", origin.value),
            "Write an address without its scheme, spaces and plus signs: \"example.org/quarterdeck\".",
        );
    }
    if let Some(key) = key.as_ref().filter(|key| key.value.contains("PRIVATE+KEY")) {
        file.wrong(
            &key.place,
            "key holds the key itself, and this file is kept in the log",
            "Name the file that holds it. If this was in force anywhere, the key is known: make another.",
        );
    }
    if let Some(name) = &credential {
        let bad = name.value.is_empty() || name.value.contains('/') || name.value.starts_with('.');
        if bad || key.is_some() {
            file.wrong(
                &name.place,
                if bad {
                    "credential is no name of a credential"
                } else {
                    "the key comes from exactly one place"
                },
                "Write key = \"FILE\", or credential = \"NAME\" as in LoadCredential= of the systemd unit.",
            );
        }
    }
    file.finish();
    Audit {
        origin: origin.map(|origin| origin.value),
        key,
        credential: credential.map(|credential| credential.value),
        post_every,
        witnesses,
    }
}

/// Whether a text can be a log's name: the first line of each checkpoint, and the name of its key (C2SP tlog-checkpoint,
/// signed-note).
fn is_origin(text: &str) -> bool {
    (1..=200).contains(&text.len())
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
        && !text.contains("://")
}

/// `[[audit.witness]]`: whether the key is one is found out at the start; here, whether it looks like one.
fn witness(mut file: Section<'_>) -> Option<WitnessSetting> {
    let url = file.text("url");
    let has_url = url.is_some();
    let key = file.required_text("key", "the public key that `quarterdeck witness` prints");
    let url = url.filter(|url| {
        let right = url::Url::parse(&url.value)
            .is_ok_and(|read| matches!(read.scheme(), "http" | "https") && read.has_host());
        if !right {
            file.wrong(
                &url.place,
                format!("url = \"{}\" is no address of a witness", url.value),
                "Write one such as \"https://witness.example.org\".",
            );
        }
        right
    });
    let key = key.filter(|key| {
        let right = key.value.split('+').count() >= 3 && !key.value.contains("PRIVATE+KEY");
        if !right {
            file.wrong(
                &key.place,
                "key is no public key of a witness",
                "Copy the line that `quarterdeck witness` prints when it starts: NAME+NUMBER+BASE64.",
            );
        }
        right
    });
    file.finish();
    if has_url && url.is_none() {
        return None;
    }
    Some(WitnessSetting { url: url.map(|url| url.value), key: key?.value })
}

/// The repository that versions are fetched from.
pub(super) fn git(mut file: Section<'_>, folder: &Path) -> Option<GitSource> {
    let remote = file.required_text("git", "git = \"https://git.example.org/ops.git\"");
    let reference = file.text("ref");
    let subfolder = file.text("folder");
    let signers = file.text("allowed_signers");
    let told = |text: &Located<String>, what: &str, mend: &str| file.wrong(&text.place, what, mend);
    let remote = remote.filter(|remote| match remote_fault(&remote.value) {
        Some((what, mend)) => {
            told(remote, what, mend);
            false
        }
        None => true,
    });
    if let Some(reference) = reference.as_ref().filter(|reference| !is_reference(&reference.value)) {
        told(reference, "ref names no branch, tag or commit", "Write one such as \"main\".");
    }
    if let Some(inner) = &subfolder {
        let good =
            Path::new(&inner.value).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !good || inner.value.is_empty() || inner.value.contains(':') {
            told(
                inner,
                "folder is no path within the repository",
                "Write one such as \"ops\", without . and ..",
            );
        }
    }
    file.finish();
    Some(GitSource {
        remote: remote?.value,
        reference: reference.map_or_else(|| "main".to_owned(), |reference| reference.value),
        folder: subfolder.map(|inner| inner.value.trim_end_matches('/').to_owned()),
        allowed_signers: signers.map(|signers| folder.join(signers.value)),
    })
}

/// Whether a text can name a branch, a tag or a commit, and is no option and no expression of git's.
pub(in crate::catalogue) fn is_reference(text: &str) -> bool {
    let signs = |c: char| c.is_ascii_alphanumeric() || "._-/+".contains(c);
    (1..=200).contains(&text.len())
        && text.chars().all(signs)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !text.contains("..")
        && !text.contains("//")
        && !text.ends_with(['/', '.'])
}

/// Git also takes names of programs and options where an address stands; we do not.
fn remote_fault(remote: &str) -> Option<(&'static str, &'static str)> {
    const ADDRESS: &str = "Write \"https://git.example.org/ops.git\", \"ssh://git@git.example.org/ops.git\", or a whole path of this host.";
    if remote.starts_with('/') {
        return None;
    }
    match Url::parse(remote) {
        Ok(url) if url.password().is_some() => Some((
            "the address holds a password, and this file is kept in the log",
            "Take it out, and give the server's user a key or a credential helper.",
        )),
        Ok(url) if ["https", "http", "ssh", "git", "file"].contains(&url.scheme()) => None,
        _ => Some(("git is no address of a repository", ADDRESS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_no_option_and_no_expression() {
        for good in ["main", "v1.2", "release/2026-11", "9c4177e0", "a_b"] {
            assert!(is_reference(good), "{good}");
        }
        for bad in ["", "-x", "--upload-pack=x", "main~1", "a..b", "HEAD@{1}", "a:b", "/a", "a/", "a b", "x^"]
        {
            assert!(!is_reference(bad), "{bad}");
        }
    }

    #[test]
    fn a_name_of_a_log_is_one_word() {
        assert!(is_origin("example.org:8448/quarterdeck"));
        for wrong in ["", "a b", "a+b", "a\nb", "https://example.org/log"] {
            assert!(!is_origin(wrong), "{wrong}");
        }
    }

    #[test]
    fn an_address_names_no_program() {
        for good in ["/srv/git/ops.git", "https://x.example/ops", "ssh://git@x.example/ops", "file:///srv/x"]
        {
            assert_eq!(remote_fault(good), None, "{good}");
        }
        for bad in ["ext::sh -c id", "-oProxyCommand=x", "ops", "https://a:secret@x.example/ops"] {
            assert!(remote_fault(bad).is_some(), "{bad}");
        }
    }
}
