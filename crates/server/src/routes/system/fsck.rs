//! `POST /system/fsck`: a check of all that is stored, one JSON object a line; the last one is the report.

use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal};
use crate::stream::begun::{self, Client, Teller};
use api::types::{FsckFault, FsckLine, FsckReport};
use axum::extract::State;
use image::upkeep::{Mend, Report};

pub async fn post(State(app): State<App>, query: Query) -> Answer {
    let mend = if query.flag("mend") { Mend::Yes } else { Mend::No };
    let work = move |engine: &engine::Engine, teller: &Teller| {
        let mut tell = |text: &str| teller.hint(&FsckLine { status: text.to_owned(), ..FsckLine::default() });
        match engine.image_check(mend, &mut tell) {
            Ok(report) => teller.tell(&FsckLine { report: Some(shown(report)), ..FsckLine::default() }),
            Err(error) => {
                teller.tell(&FsckLine { error: Refusal::from(error).message, ..FsckLine::default() });
            }
        }
        Ok(())
    };
    begun::progress(&app, Client::default(), work).await
}

fn shown(report: Report) -> FsckReport {
    let fault = |fault: image::upkeep::Fault| FsckFault { what: fault.what, wrong: fault.wrong, mended: fault.mended };
    FsckReport {
        blobs: report.blobs,
        layers: report.layers,
        bytes: report.bytes,
        faults: report.faults.into_iter().map(fault).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_report() {
        let fault = image::upkeep::Fault { what: "blob x".into(), wrong: "is y".into(), mended: true };
        let report = Report { blobs: 1, layers: 2, bytes: 3, faults: vec![fault] };
        let line = FsckLine { report: Some(shown(report)), ..FsckLine::default() };
        assert_eq!(
            serde_json::to_string(&line).expect("json"),
            r#"{"report":{"blobs":1,"layers":2,"bytes":3,"faults":[{"what":"blob x","wrong":"is y","mended":true}]}}"#
        );
        let line = FsckLine { status: "blob x".into(), ..FsckLine::default() };
        assert_eq!(serde_json::to_string(&line).expect("json"), r#"{"status":"blob x"}"#);
    }
}
