//! `hosts/*.toml`: where a host is, who logs in there, and by which keys it is known.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{Source, section::Section};
use crate::catalogue::{SshHost, problems::Problems};

/// The types of host keys that are accepted; DSA and certificates are not.
const TYPES: &[&str] =
    &["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];

/// Reads a host.
pub(in crate::catalogue) fn host(source: &Source<'_>, problems: &Problems) -> Option<SshHost> {
    let table = source.parse(problems);
    let mut file = Section::whole(source, &table, problems);
    let address = file.required_text("address", "address = \"web1.example.org\"");
    if let Some(address) = &address
        && !is_address(&address.value)
    {
        file.wrong(
            &address.place,
            format!("address = \"{}\" is no name or number of a host", address.value),
            "Write \"web1.example.org\" or \"10.0.3.7\", with the port in port = 22.",
        );
    }
    let port = file.integer("port", 1, 65_535).and_then(|port| u16::try_from(port.value).ok()).unwrap_or(22);
    let user = file.required_text("user", "user = \"deploy\": who Quarterdeck logs in as");
    if let Some(user) = &user
        && !is_user(&user.value)
    {
        file.wrong(
            &user.place,
            format!("user = \"{}\" is no name of a user", user.value),
            "Write letters, digits and . _ - alone, a letter or _ first.",
        );
    }
    let keys = file.texts("keys");
    if keys.is_empty() {
        file.wrong(
            &file.place,
            "keys is missing, and a host is reached only where its key is known",
            "Add keys = [\"ssh-ed25519 AAAA...\"]: what its /etc/ssh/ssh_host_ed25519_key.pub says.",
        );
    }
    let mut read = Vec::new();
    for key in &keys {
        match host_key(&key.value) {
            Some(key) => read.push(key),
            None => file.wrong(
                &key.place,
                "this is no host key",
                format!("Write the first two words of its .pub file; types are {}.", TYPES.join(", ")),
            ),
        }
    }
    file.finish();
    Some(SshHost { address: address?.value, port, user: user?.value, keys: read })
}

fn is_address(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':')
        && text.len() <= 253
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c))
        && (!text.contains(':') || text.parse::<std::net::Ipv6Addr>().is_ok())
}

fn is_user(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.len() <= 64
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Type and base64 of a public key (RFC 4253, section 6.6), without the comment; its blob names the same type.
fn host_key(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    let (kind, encoded) = (words.next()?, words.next()?);
    let blob = BASE64_STANDARD.decode(encoded).ok()?;
    let length = usize::try_from(u32::from_be_bytes(blob.get(..4)?.try_into().ok()?)).ok()?;
    let named = blob.get(4..4_usize.checked_add(length)?)?;
    (TYPES.contains(&kind) && named == kind.as_bytes() && blob.len() > 4 + length)
        .then(|| format!("{kind} {encoded}"))
}
