//! What was found, as text and as JSON.

use std::fmt::Write as _;

use crate::json::Json;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Fine as it is; faster or safer where that matters.
    Hint,
    /// It will run, but not as well or as safely as it could.
    Warn,
    /// It will not run, or not do what it is for.
    Fail,
}

impl Verdict {
    /// The word in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Hint => "hint",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Kind of check: `clock`, `disk`, `venue` …
    pub check: &'static str,
    /// What was looked at.
    pub subject: String,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it; nothing where all is well.
    pub fix: Option<String>,
}

/// All findings, in the order of the checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The findings.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn ok(
        &mut self,
        check: &'static str,
        subject: impl Into<String>,
        found: impl Into<String>,
    ) {
        self.add(check, subject, Verdict::Ok, found, None);
    }

    pub(super) fn hint(
        &mut self,
        check: &'static str,
        subject: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(check, subject, Verdict::Hint, found, Some(fix.into()));
    }

    pub(super) fn warn(
        &mut self,
        check: &'static str,
        subject: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(check, subject, Verdict::Warn, found, Some(fix.into()));
    }

    pub(super) fn fail(
        &mut self,
        check: &'static str,
        subject: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(check, subject, Verdict::Fail, found, Some(fix.into()));
    }

    fn add(
        &mut self,
        check: &'static str,
        subject: impl Into<String>,
        verdict: Verdict,
        found: impl Into<String>,
        fix: Option<String>,
    ) {
        self.findings.push(Finding {
            check,
            subject: subject.into(),
            verdict,
            found: found.into(),
            fix,
        });
    }

    pub(super) fn append(&mut self, mut other: Self) {
        self.findings.append(&mut other.findings);
    }

    /// The worst verdict.
    pub fn verdict(&self) -> Verdict {
        let worst = self.findings.iter().map(|f| f.verdict).max();
        worst.unwrap_or(Verdict::Ok)
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.findings
            .iter()
            .filter(|f| f.verdict == verdict)
            .count()
    }

    /// A line for each finding, and one for what to do.
    pub fn to_text(&self) -> String {
        let width = |of: fn(&Finding) -> usize| self.findings.iter().map(of).max().unwrap_or(0);
        let (check, subject) = (width(|f| f.check.len()), width(|f| f.subject.len()));
        let mut out = String::new();
        let mut line = |text: String| {
            out.push_str(text.trim_end());
            out.push('\n');
        };
        for f in &self.findings {
            line(format!(
                "{:<4}  {:<check$}  {:<subject$}  {}",
                f.verdict.name(),
                f.check,
                f.subject,
                f.found
            ));
            if let Some(fix) = &f.fix {
                line(format!("      {:check$}  -> {fix}", ""));
            }
        }
        let _written = writeln!(
            out,
            "{} ok, {} hints, {} to look at, {} to mend",
            self.count(Verdict::Ok),
            self.count(Verdict::Hint),
            self.count(Verdict::Warn),
            self.count(Verdict::Fail)
        );
        out
    }

    /// `{"verdict", "findings": [{"check", "subject", "verdict", "found", "fix"}…]}`
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Json::new(false);
        json.object(|j| {
            j.key("verdict").text(self.verdict().name());
            j.key("findings").array(|j| {
                for f in &self.findings {
                    j.object(|j| {
                        j.key("check").text(f.check);
                        j.key("subject").text(&f.subject);
                        j.key("verdict").text(f.verdict.name());
                        j.key("found").text(&f.found);
                        j.key("fix").text_or_null(f.fix.as_deref());
                    });
                }
            });
        });
        json.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.ok("clock", "ntp", "synchronised");
        report.warn("disk", "data directory", "slow", "use another disk");
        report
    }

    #[test]
    fn the_worst_finding_counts() {
        let mut report = report();
        assert_eq!(report.verdict(), Verdict::Warn);
        report.fail("venue", "binance", "451", "use another venue");
        assert_eq!(report.verdict(), Verdict::Fail);
        assert_eq!(Report::default().verdict(), Verdict::Ok);
    }

    #[test]
    fn text_is_aligned_and_names_the_fix_below() {
        assert_eq!(
            report().to_text(),
            "ok    clock  ntp             synchronised\n\
             warn  disk   data directory  slow\n\
             \x20            -> use another disk\n\
             1 ok, 0 hints, 1 to look at, 0 to mend\n"
        );
    }

    #[test]
    fn json_holds_the_same() {
        let json: serde_json::Value = serde_json::from_slice(&report().to_json()).expect("JSON");
        assert_eq!(json["verdict"], "warn");
        assert_eq!(json["findings"][1]["fix"], "use another disk");
        assert_eq!(json["findings"][0]["fix"], serde_json::Value::Null);
    }
}
