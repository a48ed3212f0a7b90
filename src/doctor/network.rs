//! Names, TLS and venues: is each reached, does it serve this address, how far is its clock from ours.

use std::sync::Arc;

use super::Report;
use crate::config::Settings;
use crate::kernel::types::{Time, VenueId};
use crate::runtime::clock::{Clock, wall};
use crate::venue::VenueRow;
use crate::venue::endpoints::{Endpoints, UrlOverride};
use crate::venue::net::{Net, NetError};
use crate::venue::protocol::Complaint;
use crate::venue::rest::{self, RestError, RestLimits};

/// A difference of clocks beyond which a venue refuses what is signed.
const SKEW_MS_MAX: i64 = 1_000;

/// Asks every venue that the settings name.
pub(super) async fn venues(
    report: &mut Report,
    settings: &Settings,
    net: &Arc<Net>,
    clock: &Clock,
) {
    let asked = settings.run.exchanges.iter().map(|venue| {
        let (venue, net, clock) = (*venue, Arc::clone(net), clock.clone());
        let endpoints = overrides(settings)
            .and_then(|all| Endpoints::new(venue, &all).map_err(|error| error.to_string()));
        tokio::spawn(async move {
            let mut found = Report::default();
            match endpoints {
                Ok(endpoints) => check(&mut found, venue, &endpoints, &net, &clock).await,
                Err(error) => found.fail(
                    "venue",
                    venue.name(),
                    error,
                    "see [venues] of the configuration",
                ),
            }
            found
        })
    });
    for asked in asked.collect::<Vec<_>>() {
        match asked.await {
            Ok(found) => report.append(found),
            Err(error) => report.fail("venue", "check", error.to_string(), "report this as a bug"),
        }
    }
}

fn overrides(settings: &Settings) -> Result<Vec<UrlOverride>, String> {
    let parsed = settings.base_urls().into_iter().map(|text| text.parse());
    parsed
        .collect::<Result<_, _>>()
        .map_err(|error: crate::venue::endpoints::EndpointError| error.to_string())
}

async fn check(
    report: &mut Report,
    venue: VenueId,
    endpoints: &Endpoints,
    net: &Net,
    clock: &Clock,
) {
    let protocol = VenueRow::of(venue).protocol;
    let name = venue.name();
    loop {
        let pair = endpoints.active();
        let (base, call) = (endpoints.rest(pair), protocol.server_time());
        let (began, ours) = (clock.now(), wall());
        let reply = match rest::get(net, base, &call.target, RestLimits::default()).await {
            Ok(reply) => reply,
            Err(error) => return unreachable(report, name, &error),
        };
        let took_ms = clock.now().since(began) / 1_000_000;
        match protocol.complaint(reply.status, &reply.body) {
            None => {}
            Some(Complaint::Blocked) if endpoints.fail_over(pair, reply.status) => {
                report.warn(
                    "venue",
                    name,
                    format!(
                        "{} does not serve this address (status {})",
                        base.authority(),
                        reply.status
                    ),
                    "the host for public data is used instead; trading there would be refused",
                );
                continue;
            }
            Some(Complaint::Blocked) => {
                return report.fail(
                    "venue",
                    name,
                    format!(
                        "{} does not serve this country or network (status {})",
                        base.authority(),
                        reply.status
                    ),
                    "another venue with --exchange, or an address where the venue may serve you",
                );
            }
            Some(Complaint::Throttled { pause_s }) => {
                return report.fail(
                    "venue",
                    name,
                    format!("this address has asked too much and may not for {pause_s} s"),
                    "wait; other programs behind this address count as well",
                );
            }
            Some(Complaint::Refused { code, message }) => {
                return report.fail(
                    "venue",
                    name,
                    format!("refused: {code} {message}"),
                    "see the venue's status page",
                );
            }
        }
        report.ok(
            "venue",
            name,
            format!(
                "{} answers in {took_ms} ms, with TLS and DNS",
                base.authority()
            ),
        );
        return match protocol.decode_server_time(&reply.body) {
            Ok(theirs) => skew(report, name, theirs, ours, took_ms),
            Err(error) => report.fail(
                "clock",
                name,
                format!("the venue's time cannot be read: {error}"),
                "is the base URL that of this venue?",
            ),
        };
    }
}

/// Our clock was read before the question, and theirs somewhere within the time that it took.
fn skew(report: &mut Report, venue: &str, theirs: Time, ours: Time, took_ms: i64) {
    let off_ms = theirs.millis() - ours.millis() - took_ms / 2;
    let found = format!("{off_ms} ms before ours, give or take {} ms", took_ms / 2);
    if off_ms.abs() > SKEW_MS_MAX + took_ms / 2 {
        report.fail(
            "clock",
            venue,
            found,
            "set the clock (chrony, systemd-timesyncd): signed requests are refused like this",
        );
    } else {
        report.ok("clock", venue, found);
    }
}

fn unreachable(report: &mut Report, venue: &str, error: &RestError) {
    let fix = match error {
        RestError::Net(NetError::Dns(_)) => {
            "check /etc/resolv.conf, and whether this machine may ask its name server"
        }
        RestError::Net(NetError::Tls(..) | NetError::Name(_)) => {
            "something between here and the venue breaks TLS, or the clock is far off"
        }
        RestError::Net(NetError::Connect(..)) | RestError::Timeout(..) => {
            "a firewall, or no route: try curl to the same host"
        }
        RestError::Http(..) | RestError::Body(..) | RestError::Target(_) => {
            "what answers there does not speak HTTP as the venue does: check the base URL"
        }
    };
    report.fail("venue", venue, error.to_string(), fix);
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn clocks_are_compared_with_the_way_in_mind() {
        let at = |ms| Time::from_millis(ms).expect("in range");
        let ours = at(1_000_000);
        for (theirs, took, verdict) in [
            (1_000_000, 0, Verdict::Ok),
            (1_000_900, 100, Verdict::Ok),
            (1_005_000, 100, Verdict::Fail),
            (995_000, 100, Verdict::Fail),
            // A slow answer says little.
            (1_002_000, 4_000, Verdict::Ok),
        ] {
            let mut report = Report::default();
            skew(&mut report, "v", at(theirs), ours, took);
            assert_eq!(report.verdict(), verdict, "{theirs} {took}");
        }
    }
}
