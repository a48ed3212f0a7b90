//! Who may reach the API: addresses, certificates, tokens.

use std::fs;

use hean::config::load;

use super::{bare, env, loaded, refused, with_file};

#[test]
fn other_machines_are_reached_by_tls_or_by_a_proxy() {
    let pair = "tls_cert = 'c.pem'\ntls_key = 'k.pem'\n";
    let proxy = "plaintext_behind_proxy = true\n";
    for (listen, more, good) in [
        ("127.0.0.1:0", "", true),
        ("[::1]:80", "", true),
        ("127.0.0.1:0", pair, true),
        ("127.0.0.1:0", proxy, true),
        ("0.0.0.0:8080", "", false),
        ("[::]:8080", "plaintext_behind_proxy = false\n", false),
        ("0.0.0.0:8080", pair, true),
        ("192.0.2.1:8080", proxy, true),
    ] {
        let (_dir, sources) = with_file(&format!("[http]\nlisten = '{listen}'\n{more}"));
        match load(&sources) {
            Ok(_) => assert!(good, "{listen}"),
            Err(error) => assert!(
                !good && error.to_string().contains("http.listen"),
                "{error}"
            ),
        }
    }
}

#[test]
fn certificate_and_key_go_together_and_not_with_a_proxy() {
    for text in [
        "tls_cert = 'c.pem'\n",
        "tls_key = 'k.pem'\n",
        "tls_cert = 'c.pem'\ntls_key = 'k.pem'\nplaintext_behind_proxy = true\n",
    ] {
        let (_dir, sources) = with_file(&format!("[http]\n{text}"));
        let error = refused(&sources).to_string();
        assert!(error.contains("http."), "{error}");
    }
}

#[test]
fn a_token_is_read_from_secrets_and_shown_to_nobody() {
    let secret = "0123456789abcdef0123456789ABCDEF";
    let mut sources = bare();
    env(&mut sources, "HEAN__HTTP__TOKEN", secret);
    let from_env = loaded(&sources);
    let token = from_env.settings.http.token.as_ref().expect("a token");
    assert_eq!(token.expose(), secret);
    let dir = tempfile::tempdir().expect("directory");
    fs::write(dir.path().join("api_token"), format!("{secret}\n")).expect("file");
    let mut sources = bare();
    let path = dir.path().to_str().expect("unicode");
    env(&mut sources, "CREDENTIALS_DIRECTORY", path);
    let from_file = loaded(&sources);
    assert_eq!(from_file.settings.http.token, from_env.settings.http.token);
    for shown in [
        from_env.to_toml(true),
        from_env.to_json().to_string(),
        format!("{:?}", from_env.settings),
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
    env(&mut sources, "HEAN__HTTP__TOKEN", &secret[1..]);
    let error = refused(&sources).to_string();
    assert!(
        error.contains("32") && !error.contains(&secret[1..]),
        "{error}"
    );
}
