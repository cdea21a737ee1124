//! Links that stand nowhere: a message in the outbox has a mark in the place of a link's token, and only what is sent has it.
//!
//! The token is made of the link's name and of a key that the application service's token gives: each instance can send the
//! message, at any try the same, and who reads the database cannot make one.

use aws_lc_rs::hmac;
use serde_json::Value;
use uuid::Uuid;

use super::Homeserver;

/// The key of the content that holds the link's name.
const LINK: &str = "org.quarterdeck.link";
/// What the key is for: HMAC-SHA-256 (RFC 2104) of this gives the key of tokens.
const PURPOSE: &[u8] = b"quarterdeck: links to the pages, 1";

/// What stands in the place of a link's token until it is sent.
pub fn mark(link: Uuid) -> String {
    format!("link-{}", link.simple())
}

/// The same content, as one whose link is put in when it is sent.
#[must_use]
pub fn with_link(mut content: Value, link: Uuid) -> Value {
    content[LINK] = Value::from(link.simple().to_string());
    content
}

impl Homeserver {
    /// The token of a link: 256 bits.
    pub fn link_token(&self, link: Uuid) -> [u8; 32] {
        let sign = |key: &[u8], text: &[u8]| {
            let mut bytes = [0; 32];
            bytes.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref());
            bytes
        };
        let key = sign(self.shared.token.expose().as_bytes(), PURPOSE);
        sign(&key, link.as_bytes())
    }

    /// A content as it is sent: where it has a link, with that link's token in the place of its mark. `write`: a token as text.
    pub(super) fn linked(&self, content: &Value) -> Option<Value> {
        let link = content.get(LINK)?.as_str()?.parse::<Uuid>().ok()?;
        let token = crate::storage::token(&self.link_token(link));
        let mut content = content.clone();
        let fields = content.as_object_mut()?;
        fields.remove(LINK);
        for key in ["body", "formatted_body"] {
            if let Some(Value::String(text)) = fields.get_mut(key) {
                *text = text.replace(&mark(link), token.expose());
            }
        }
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::model::{Secret, SystemClock};

    fn homeserver(token: &str) -> Homeserver {
        let url = "http://127.0.0.1:1".parse().unwrap();
        Homeserver::new(&url, ruma::owned_user_id!("@bot:c"), Secret::new(token), Arc::new(SystemClock))
            .unwrap()
    }

    #[test]
    fn what_is_sent_has_the_token_and_what_is_kept_has_none() {
        let (ours, link) = (homeserver("secret"), Uuid::from_u128(7));
        let body = format!("Log in: https://ops.example.org/login?link={}", mark(link));
        let kept = with_link(json!({ "body": body, "formatted_body": body, "msgtype": "m.notice" }), link);
        let sent = ours.linked(&kept).unwrap();
        let token = crate::storage::token(&ours.link_token(link));
        for key in ["body", "formatted_body"] {
            assert!(sent[key].as_str().unwrap().ends_with(token.expose()));
            assert!(!kept[key].as_str().unwrap().contains(token.expose()));
        }
        assert_eq!(sent.get(LINK), None);
        assert_eq!(ours.linked(&json!({ "body": body })), None);
    }

    #[test]
    fn each_link_and_each_installation_has_a_token_of_its_own() {
        let token = |key: &str, link: u128| homeserver(key).link_token(Uuid::from_u128(link));
        assert_eq!(token("secret", 1), token("secret", 1));
        assert_ne!(token("secret", 1), token("secret", 2));
        assert_ne!(token("secret", 1), token("other", 1));
    }
}
