//! How a client of Chatops RPC shows who it is: RS256 over the address, a nonce, the time and the body
//! (github/chatops-controller, `docs/protocol-description.md`, "Authenticating clients").

use aws_lc_rs::{rand::SystemRandom as CryptoRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};

use crate::model::{Random, Secret, Timestamp};

/// A private key and its name. Cannot be printed.
pub(super) struct Signer {
    key: KeyPair,
    keyid: String,
}

/// The three headers of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signed {
    /// `Chatops-Nonce`.
    pub(super) nonce: String,
    /// `Chatops-Timestamp`.
    pub(super) timestamp: String,
    /// `Chatops-Signature`.
    pub(super) signature: String,
}

impl Signer {
    /// Reads a private key in PEM, PKCS #1 or PKCS #8, of 2048 bits and more.
    ///
    /// # Errors
    ///
    /// What is wrong with it and the mend, in words that hold nothing of it.
    pub(super) fn read(name: &str, pem: &Secret, keyid: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!(
                "the secret {name} is {what}: make one with `openssl genrsa -out chatops.pem 2048` and give the service its public half"
            )
        };
        let key = match PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()) {
            Ok(PrivateKeyDer::Pkcs1(der)) => KeyPair::from_der(der.secret_pkcs1_der()),
            Ok(PrivateKeyDer::Pkcs8(der)) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err(wrong("no private key in PEM")),
        };
        let key = key.map_err(|_| wrong("no RSA key of 2048 bits or more"))?;
        Ok(Self { key, keyid: keyid.to_owned() })
    }

    /// Signs a request that is sent now.
    pub(super) fn sign(
        &self,
        url: &str,
        body: &str,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Signed, String> {
        let mut nonce = [0; 32];
        random.fill(&mut nonce);
        let nonce = BASE64_STANDARD.encode(nonce);
        let timestamp = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let signature = self.signature(url, &nonce, &timestamp, body)?;
        let signature = format!("Signature keyid={},signature={signature}", self.keyid);
        Ok(Signed { nonce, timestamp, signature })
    }

    fn signature(&self, url: &str, nonce: &str, timestamp: &str, body: &str) -> Result<String, String> {
        let text = to_sign(url, nonce, timestamp, body);
        let mut bytes = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &CryptoRandom::new(), text.as_bytes(), &mut bytes)
            .map_err(|_| "the request could not be signed".to_owned())?;
        Ok(BASE64_STANDARD.encode(bytes))
    }
}

/// What is signed.
fn to_sign(url: &str, nonce: &str, timestamp: &str, body: &str) -> String {
    format!("{url}\n{nonce}\n{timestamp}\n{body}")
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::{AsDer as _, Pkcs8V1Der},
        rsa::KeySize,
        signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
    };

    use super::*;
    use crate::model::SystemRandom;

    /// The public key of the example in the protocol's description, in base64 of its DER (RFC 5280, `SubjectPublicKeyInfo`).
    const PUBLISHED_KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAuAr7aMOLW08UrP8gWPzfP5+GF1ov3I2Wn1n7AsDxez36+hyUAY7skZzd7+Nz/j8HT10NRSMA/lkc49FaJlNQ2wAsvsF53AwtTna+FkR1e1P66+PhKB9NeoCf5TCvVvihR1VI/BS4AAOdYLCr8NuX89I74qK2WYSziHzTzxbMMZldgXO+GDlKdZXNzCrk4Kj0ger2bap9/amUXRuuqOVSLZJ3l0mYRWu45TG9tlF8jmix48+2e1pzhbw1qezD7vB8lsGH2qaKQrs1Em1tZHRgxbrslbDbmD+q3Oq0CpnFNp7eIoAxXcrLPyw/IlplCLM0hxouPRlQ/yEhfnLnjnbhHQIDAQAB";
    /// What is signed there, and the signature that it gives for it.
    const URL: &str = "http://test.host/_chatops";
    const NONCE: &str = "889c9543c22695bc031f723ef2fd28ef1fbed6b0";
    const TIMESTAMP: &str = "2017-06-28T22:51:41Z";
    const PUBLISHED_SIGNATURE: &str = "trtOLqLMKzCohxT6Uzeqs+n5Q1msTQUIO4GDl0pyyyTea5MOte6dIQ+k9AlYHOJ2IHTxGHVhDYJTm2AtgHOEZqrLpqOLqORj64HbwIWtTyuRBUmUmzHWMJKHa6jy4u9aB8VgSKxE7oDHU6Zo/7kGvqvTBSumF2kMaSjkMXhkUd5WmuQGWpPJ5hC0W65alCJU1inQQDZDgj1oH/849zZB3WU8Ne61BMM1Qb4IcljDU6UciGyPOgXRNSALvgKdCSJyhLhHBxYvuypCjUpgiWKm4h3u0GOpem8NoBXLjeEHT4fRwJYP8hmQWauUgOmjvKt2wufykHZDZNp4fPwkm6qGKg==";

    fn verifies(key: &[u8], text: &str, signature: &str) -> bool {
        let signature = BASE64_STANDARD.decode(signature).expect("base64");
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(text.as_bytes(), &signature).is_ok()
    }

    /// A key of this test's own, in PEM.
    fn pem() -> Secret {
        let key = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let der: Pkcs8V1Der<'_> = key.as_der().expect("as DER");
        let encoded = BASE64_STANDARD.encode(der.as_ref());
        Secret::new(format!("-----BEGIN PRIVATE KEY-----\n{encoded}\n-----END PRIVATE KEY-----\n"))
    }

    #[test]
    fn what_is_signed_is_what_the_published_signature_is_for() {
        let key = BASE64_STANDARD.decode(PUBLISHED_KEY).expect("base64");
        assert!(verifies(&key, &to_sign(URL, NONCE, TIMESTAMP, ""), PUBLISHED_SIGNATURE));
        for other in [
            to_sign("https://test.host/_chatops", NONCE, TIMESTAMP, ""),
            to_sign(URL, "889c", TIMESTAMP, ""),
            to_sign(URL, NONCE, "2017-06-28T22:51:42Z", ""),
            to_sign(URL, NONCE, TIMESTAMP, "{}"),
        ] {
            assert!(!verifies(&key, &other, PUBLISHED_SIGNATURE), "{other}");
        }
    }

    #[test]
    fn a_request_is_signed_with_a_nonce_of_its_own_and_the_time_in_utc() {
        let signer = Signer::read("chatops-key", &pem(), "rsakey1").expect("a key");
        let now = "2017-06-29T00:51:41.987+02:00".parse().expect("a time");
        let [one, two] = [(); 2].map(|()| signer.sign(URL, "{}", now, &SystemRandom).expect("signed"));
        assert_ne!(one.nonce, two.nonce);
        assert_eq!(one.timestamp, TIMESTAMP);
        let signature =
            one.signature.strip_prefix("Signature keyid=rsakey1,signature=").expect("the header's form");
        let public = signer.key.public_key().as_ref().to_vec();
        assert!(verifies(&public, &to_sign(URL, &one.nonce, TIMESTAMP, "{}"), signature));
        assert!(!verifies(&public, &to_sign(URL, &two.nonce, TIMESTAMP, "{}"), signature));
    }

    #[test]
    fn what_is_no_key_is_refused_without_a_word_of_it() {
        for text in ["hunter2", "-----BEGIN RSA PRIVATE KEY-----\nhunter2=\n-----END RSA PRIVATE KEY-----\n"]
        {
            let error =
                Signer::read("chatops-key", &Secret::new(text.to_owned()), "k").err().expect("refused");
            assert!(error.contains("chatops-key") && !error.contains("hunter2"), "{error}");
        }
    }
}
