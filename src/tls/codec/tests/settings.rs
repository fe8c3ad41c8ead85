//! Errors in certificates and keys name the file and a remedy.

use super::*;
use crate::tls::pem::Pem;

fn identity_error(certificate: &Pem, key: &Pem) -> String {
    let text = Identity::from_pem(certificate, key)
        .unwrap_err()
        .to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

#[test]
fn files_that_are_no_certificate_or_key_are_named() {
    let (certificate, key) = COMMON.authority.issue(&[NAME]);
    let empty = Pem::new("empty.pem", "");
    let cases = [
        (
            &empty,
            &key,
            "empty.pem: holds no certificate (-----BEGIN CERTIFICATE-----)",
        ),
        (
            &certificate,
            &empty,
            "empty.pem: holds no private key (-----BEGIN PRIVATE KEY-----)",
        ),
        (
            &key,
            &certificate,
            "key.pem: holds a private key, not a certificate: are the two files exchanged?",
        ),
        (
            &certificate,
            &certificate,
            "cert.pem: holds a certificate, not a private key: are the two files exchanged?",
        ),
    ];
    for (certificate, key, expected) in cases {
        assert_eq!(identity_error(certificate, key), expected);
    }
}

#[test]
fn key_of_another_certificate_is_refused() {
    let (certificate, _) = COMMON.authority.issue(&[NAME]);
    let (_, other) = COMMON.authority.issue(&[NAME]);
    let text = identity_error(&certificate, &other);
    let begin = "key.pem is not the key of the first certificate in cert.pem";
    assert!(text.starts_with(begin), "{text}");
}

#[test]
fn encrypted_key_is_refused_with_the_command_to_decrypt_it() {
    let (certificate, _) = COMMON.authority.issue(&[NAME]);
    let headers = [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
    ];
    for header in headers {
        let text = identity_error(&certificate, &Pem::new("secret.pem", header));
        let expected = "secret.pem: the private key is encrypted: decrypt it with openssl pkey \
                        -in FILE -out NEW";
        assert_eq!(text, expected);
    }
}

#[test]
fn damaged_files_are_refused() {
    let (certificate, key) = COMMON.authority.issue(&[NAME]);
    let text = String::from_utf8(certificate.text().to_vec()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without_end = lines[..lines.len() - 1].join("\n");
    let cases = [
        (without_end, "an END line is missing"),
        (text.replacen("MII", "M!!", 1), "not valid base64"),
        (text.replacen("MII", "MIA", 1), "not valid X.509"),
    ];
    for (text, expected) in cases {
        let error = identity_error(&Pem::new("bad.pem", text), &key);
        assert!(
            error.starts_with("bad.pem: ") && error.contains(expected),
            "{error}"
        );
    }
    let bad_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let error = identity_error(&certificate, &Pem::new("bad.key", bad_key));
    assert!(error.contains("openssl pkey -noout -text"), "{error}");
}

#[test]
fn authority_and_names_are_checked() {
    let (certificate, key) = COMMON.authority.issue(&[NAME]);
    let identity = Identity::from_pem(&certificate, &key).unwrap();
    let error = ServerSettings::new(&identity, Some(&key), &[]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("key.pem: holds a private key"),
        "{error}"
    );
    let error = ServerSettings::new(&identity, None, &owned(&[""])).unwrap_err();
    assert!(error.to_string().contains("1 to 255 bytes"), "{error}");
    let error = ClientSettings::new("no host", Trust::Any, None, &[], false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"no host\" is neither a host name nor an address"
    );
}

#[test]
fn keys_of_each_format_and_debug_output_without_key() {
    // PKCS#8 as rcgen writes it; the other formats come from openssl in the program's tests.
    let (certificate, key) = COMMON.authority.issue(&[NAME]);
    Identity::from_pem(&certificate, &key).unwrap();
    let text = format!("{key:?}");
    assert!(
        text.contains("key.pem") && !text.contains("BEGIN"),
        "{text}"
    );
}
