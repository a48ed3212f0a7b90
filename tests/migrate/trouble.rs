//! What cannot work ends with the right code and says what to do; passwords are never repeated.

use crate::process::{Ended, command, hean, run};
use crate::servers::{connect, server};
use crate::url;

const SECRET: &str = "hunter2";

fn failed(ended: &Ended, code: i32, word: &str) {
    assert_eq!(ended.code, code, "{}", ended.err);
    assert!(ended.err.contains(word), "{word}: {}", ended.err);
    let all = format!("{}{}", ended.out, ended.err);
    assert!(!all.contains(SECRET), "a password is shown: {all}");
}

/// A port at which nobody listens.
fn nobody() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    format!("redis://:{SECRET}@{}", free.unwrap())
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let Some(there) = server(&[]) else { return };
    let (there, nobody) = (url(&there), nobody());
    for tool in ["migrate", "verify", "bench"] {
        failed(
            &hean(&[tool, &nobody, &there]).await,
            4,
            "cannot reach 127.0.0.1:",
        );
        failed(
            &hean(&[tool, &there, &nobody]).await,
            4,
            "cannot reach 127.0.0.1:",
        );
    }
}

#[tokio::test]
async fn passwords_are_taken_from_variables_and_files_and_wrong_ones_are_a_setting() {
    let (Some(open), Some(closed)) = (server(&[]), server(&["--requirepass", SECRET])) else {
        return;
    };
    connect(open.port).await.ask("SET key value").await;
    let (from, bare) = (url(&open), url(&closed));
    failed(&hean(&["migrate", &from, &bare]).await, 3, "NOAUTH");
    let wrong = format!("redis://:{SECRET}x@127.0.0.1:{}", closed.port);
    let ended = hean(&["migrate", &from, &wrong]).await;
    failed(&ended, 3, "WRONGPASS");
    failed(&ended, 3, "env:NAME");
    failed(
        &hean(&["migrate", &from, "env:NOT_SET"]).await,
        3,
        "NOT_SET",
    );
    failed(
        &hean(&["migrate", &from, "file:/no/such/file"]).await,
        3,
        "/no/such/file",
    );
    let right = format!("redis://default:{SECRET}@127.0.0.1:{}", closed.port);
    let mut by_variable = command(&["migrate", &from, "env:TARGET"]);
    by_variable.env("TARGET", &right);
    let ended = run(by_variable).await;
    failed(&ended, 0, "");
    assert!(!ended.err.contains("warning"), "{}", ended.err);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{right}\n")).unwrap();
    let file = format!("file:{}", file.path().display());
    failed(&hean(&["verify", &from, &file]).await, 0, "");
    failed(&hean(&["verify", &file, &from]).await, 0, "");
}

#[tokio::test]
async fn what_makes_no_sense_is_a_usage_error() {
    let Some(one) = server(&[]) else { return };
    let one = url(&one);
    for (args, word) in [
        (&["migrate", &one][..], "TARGET"),
        (
            &["migrate", &one, "redis://:hunter2@h/zero"],
            "TARGET: expected the number",
        ),
        (
            &["migrate", "http://:hunter2@h", &one],
            "SOURCE: expected the scheme",
        ),
        (&["migrate", &one, &one], "the same server"),
        (&["verify", &one, &format!("{one}/3")], "--db N"),
        (
            &[
                "verify",
                &format!("{one}/3"),
                &format!("{one}/4"),
                "--db",
                "5",
            ],
            "leave one of them out",
        ),
        (&["migrate", &one, &one, "--db", "99999"], "99999"),
        (&["bench"], "URL"),
        (&["bench", &one, "--pipeline", "1"], "2"),
    ] {
        failed(&hean(args).await, 2, word);
    }
}

#[tokio::test]
async fn what_must_be_decided_first_is_said() {
    let (Some(source), Some(target)) = (server(&[]), server(&[])) else {
        return;
    };
    let (mut a, mut b) = (connect(source.port).await, connect(target.port).await);
    a.ask("SET key ours").await;
    b.ask("SET key theirs").await;
    let (from, to) = (url(&source), url(&target));
    failed(&hean(&["migrate", &from, &to]).await, 3, "--overwrite");
    assert_eq!(b.text("GET key").await, "theirs");
    // Another pattern is another matter.
    hean(&["migrate", &from, &to, "--match", "other*"])
        .await
        .ok();
    hean(&["migrate", &from, &to, "--overwrite"]).await.ok();
    assert_eq!(b.text("GET key").await, "ours");
    let tls = format!("rediss://127.0.0.1:{}", target.port);
    failed(&hean(&["verify", &from, &tls]).await, 4, "TLS");
}

#[tokio::test]
async fn a_full_target_and_a_replica_say_what_to_do() {
    let (Some(source), Some(full)) = (server(&[]), server(&["--maxmemory", "1mb"])) else {
        return;
    };
    let mut a = connect(source.port).await;
    a.ask("SET key value").await;
    let (from, to) = (url(&source), url(&full));
    for way in [&[][..], &["--by-type"]] {
        let ended = hean(&[&["migrate", &from, &to], way].concat()).await;
        failed(&ended, 1, "raise its maxmemory");
    }
    let Some(replica) = server(&["--replicaof", "127.0.0.1", &source.port.to_string()]) else {
        return;
    };
    let ended = hean(&["migrate", &to, &url(&replica)]).await;
    failed(&ended, 3, "name its master");
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
async fn tls_is_spoken_with_the_ca_that_is_named_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (key, certificate) = (path("key.pem"), path("certificate.pem"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &certificate])
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        println!("skipped: no openssl");
        return;
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let port = free.unwrap().port().to_string();
    let tls = [
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
    ];
    let more = [
        "--tls-auth-clients",
        "no",
        "--tls-ca-cert-file",
        &certificate,
    ];
    let (Some(source), Some(target)) = (server(&[]), server(&[&tls[..], &more].concat())) else {
        return;
    };
    let (mut a, mut b) = (connect(source.port).await, connect(target.port).await);
    a.lines(&["SET key value", "HSET hash f v"]).await;
    let (from, to) = (url(&source), format!("rediss://localhost:{port}"));
    failed(&hean(&["migrate", &from, &to]).await, 4, "--ca-file");
    for tool in ["migrate", "verify"] {
        hean(&[tool, &from, &to, "--ca-file", &certificate])
            .await
            .ok();
    }
    assert_eq!(a.digest().await, b.digest().await);
    failed(
        &hean(&["verify", &from, &to, "--ca-file", &key]).await,
        3,
        "key.pem",
    );
}
