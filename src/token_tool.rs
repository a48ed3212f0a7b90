//! `hean token`: what it does, and how it says so.

use std::path::Path;

use crate::cli::TokenCommand;
use crate::http::tokens::{self, Token, TokenError};
use crate::json::Json;
use crate::kernel::types::{SECOND, Time};

/// What a command has to say.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// For stdout.
    pub data: Vec<u8>,
    /// For people, beside it.
    pub note: Option<String>,
}

/// Runs a command on the tokens of `data_dir`.
pub fn run(
    command: &TokenCommand,
    data_dir: &Path,
    json: bool,
    now: Time,
) -> Result<Said, TokenError> {
    match command {
        TokenCommand::Create(args) => {
            let life = args.expires.map(|life| i64::try_from(life.as_nanos()));
            let expires = life.map(|life| now.plus(life.unwrap_or(i64::MAX)));
            let secret = tokens::create(data_dir, &args.name, args.scope, now, expires)?;
            if json {
                let mut out = Json::new(false);
                out.object(|j| {
                    j.key("name").text(&args.name);
                    j.key("scope").text(args.scope.name());
                    match expires {
                        Some(end) => j.key("expires").int(end.millis()),
                        None => j.key("expires").null(),
                    }
                    j.key("token").text(secret.expose());
                });
                return Ok(Said::data(out.into_bytes()));
            }
            Ok(Said {
                data: secret.expose().as_bytes().to_vec(),
                note: Some(
                    "it is not shown again; send it in the header Authorization: Bearer TOKEN, or set HEAN_TOKEN \
                     for the commands of hean. From now on every request needs a token, but those for health"
                        .to_owned(),
                ),
            })
        }
        TokenCommand::List(_) => {
            let list = tokens::read(&tokens::file_in(data_dir))?;
            Ok(match list {
                _ if json => Said::data(list_json(list.unwrap_or_default(), now)),
                None => Said::data(
                    b"no token has been made: on loopback, with play money, none is needed"
                        .to_vec(),
                ),
                Some(list) => Said::data(list_text(&list, now).into_bytes()),
            })
        }
        TokenCommand::Revoke(args) => {
            let left = tokens::revoke(data_dir, &args.name)?;
            if json {
                let mut out = Json::new(false);
                out.object(|j| {
                    j.key("revoked").text(&args.name);
                    j.key("left").count(left);
                });
                return Ok(Said::data(out.into_bytes()));
            }
            let note = (left == 0).then(|| {
                let file = tokens::file_in(data_dir);
                format!(
                    "that was the last one: requests are refused until there is another. To go back to none at all, \
                     remove {} and restart",
                    file.display()
                )
            });
            Ok(Said {
                data: format!("token {} is revoked", args.name).into_bytes(),
                note,
            })
        }
    }
}

impl Said {
    fn data(data: Vec<u8>) -> Self {
        Self { data, note: None }
    }
}

fn list_json(list: Vec<Token>, now: Time) -> Vec<u8> {
    let mut out = Json::new(false);
    out.object(|j| {
        j.key("tokens").array(|j| {
            for token in list {
                j.object(|j| {
                    j.key("name").text(&token.name);
                    j.key("scope").text(token.scope.name());
                    j.key("created").int(token.created.millis());
                    match token.expires {
                        Some(end) => j.key("expires").int(end.millis()),
                        None => j.key("expires").null(),
                    }
                    j.key("expired").bool(token.is_expired(now));
                });
            }
        });
    });
    out.into_bytes()
}

fn list_text(list: &[Token], now: Time) -> String {
    let wide = list.iter().map(|t| t.name.len()).max().unwrap_or(0).max(4);
    let mut lines = vec![format!("{:wide$}  SCOPE  MADE      ENDS", "NAME")];
    lines.extend(list.iter().map(|token| {
        let made = format!("{} ago", span(now.since(token.created)));
        let ends = match token.expires {
            None => "never".to_owned(),
            Some(end) if token.is_expired(now) => format!("{} ago", span(now.since(end))),
            Some(end) => format!("in {}", span(end.since(now))),
        };
        let (name, scope) = (&token.name, token.scope.name());
        format!("{name:wide$}  {scope:5}  {made:8}  {ends}")
    }));
    lines.join("\n")
}

/// A length of time in its largest unit.
fn span(ns: i64) -> String {
    let seconds = ns.max(0) / SECOND;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    const NOW: Time = Time(1_700_000_000_000_000_000);

    fn said(data_dir: &Path, line: &str, now: Time) -> Result<Said, TokenError> {
        let words = ["hean", "token"].into_iter().chain(line.split(' '));
        let cli = Cli::try_parse_from(words).expect("a command line");
        let Command::Token(command) = cli.command else {
            panic!("{line}")
        };
        run(&command, data_dir, cli.json, now)
    }

    fn text(data_dir: &Path, line: &str, now: Time) -> String {
        let said = said(data_dir, line, now).expect("done");
        String::from_utf8(said.data).expect("text")
    }

    #[test]
    fn tokens_are_made_listed_and_ended() {
        let dir = tempfile::tempdir().expect("directory");
        let dir = dir.path();
        assert!(text(dir, "list", NOW).starts_with("no token"));
        assert_eq!(text(dir, "list --json", NOW), r#"{"tokens":[]}"#);
        let token = text(dir, "create --name grafana --scope read", NOW);
        assert!(token.starts_with("hean_") && token.len() == 69, "{token}");
        let made = text(
            dir,
            "create --name bot --scope trade --expires 90d --json",
            NOW,
        );
        let json: serde_json::Value = serde_json::from_str(&made).expect("JSON");
        assert_eq!(json["expires"], 1_700_000_000_000_i64 + 90 * 86_400_000);
        assert_ne!(json["token"], token.as_str());
        let later = NOW.plus(100 * 86_400 * SECOND);
        assert_eq!(
            text(dir, "list", later),
            "NAME     SCOPE  MADE      ENDS\n\
             grafana  read   100d ago  never\n\
             bot      trade  100d ago  10d ago"
        );
        let listed = text(dir, "list --json", NOW);
        assert!(
            !listed.contains("sha256") && listed.contains(r#""expired":false"#),
            "{listed}"
        );
        assert_eq!(text(dir, "revoke bot", NOW), "token bot is revoked");
        assert!(said(dir, "revoke bot", NOW).is_err());
        let last = said(dir, "revoke grafana", NOW).expect("done");
        assert!(last.note.is_some_and(|note| note.contains("last one")));
    }

    #[test]
    fn names_and_scopes_are_checked() {
        for line in [
            "create --name a",
            "create --scope read",
            "create --name a --scope root",
            "create --name a --scope open",
            "create --name a/b --scope read",
            "create --name a --scope read --expires soon",
            "revoke",
        ] {
            let words = ["hean", "token"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }
}
