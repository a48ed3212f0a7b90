//! The queries of the dashboards, for the tests that hold them against something.

use std::fs;
use std::path::Path;

/// All queries of the dashboards, with the place that each stands in.
pub(crate) fn queries() -> Vec<(String, String)> {
    let mut out = Vec::new();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/dashboards");
    for entry in fs::read_dir(dir).expect("dashboards") {
        let path = entry.expect("entry").path();
        let text = fs::read_to_string(&path).expect("dashboard");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let title = json["title"].as_str().expect("a title").to_owned();
        for panel in json["panels"].as_array().expect("panels") {
            let name = format!("{title}: {}", panel["title"].as_str().unwrap_or_default());
            if panel["type"] == "row" {
                continue;
            }
            assert!(
                panel["description"].as_str().is_some_and(|d| !d.is_empty()),
                "{name} has no description"
            );
            for target in panel["targets"].as_array().expect("targets") {
                let expr = target["expr"].as_str().expect("a query").to_owned();
                out.push((name.clone(), expr));
            }
        }
    }
    out
}
