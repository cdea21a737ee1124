//! `[local]` and `[ops]` of `quarterdeck.toml`: the doors beside the rooms.

use std::path::Path;

use url::Url;

use super::section::Section;
use crate::catalogue::{GitSource, LocalDoor, problems::Located};

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
