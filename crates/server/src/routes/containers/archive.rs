//! `HEAD`, `GET` and `PUT /containers/{id}/archive`: files looked at, taken out and put in.

use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal};
use crate::stream::{begun, body};
use api::types::PathStat;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::{FileStat, FilesPut, Replacing};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rustix::fs::FileType;
use std::sync::{Arc, Mutex, PoisonError};

const STAT: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

pub async fn head(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    let path = asked_path(&query)?;
    let stat = app.blocking(move |engine| engine.file_stat(&id, &path)).await?;
    Ok((StatusCode::OK, stat_header(&stat)).into_response())
}

pub async fn get(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    let path = asked_path(&query)?;
    let told = Arc::new(Mutex::new(HeaderMap::new()));
    let headers = told.clone();
    let work = move |engine: &engine::Engine, sink: &mut begun::Sink| {
        let mut tell = |stat: FileStat| *told.lock().unwrap_or_else(PoisonError::into_inner) = stat_header(&stat);
        engine.files_get(&id, &path, &mut tell, sink).map_err(Refusal::from)
    };
    let mut answer = begun::archive(&app, "application/x-tar", work).await?;
    // The first bytes come after the look at what they are of.
    let headers = headers.lock().unwrap_or_else(PoisonError::into_inner).clone();
    answer.headers_mut().extend(headers);
    Ok(answer)
}

pub async fn put(State(app): State<App>, Path(id): Path<String>, query: Query, archive: Body) -> Answer {
    let replacing = match query.flag("noOverwriteDirNonDir") {
        true => Replacing::SameKind,
        false => Replacing::Anything,
    };
    let put = FilesPut { container: id, path: asked_path(&query)?, replacing, own: query.flag("copyUIDGID") };
    let mut archive = body::reader(archive);
    app.blocking(move |engine| engine.files_put(&put, &mut archive)).await?;
    Ok(StatusCode::OK.into_response())
}

fn asked_path(query: &Query) -> Result<String, Refusal> {
    let path = query.text("path").ok_or_else(|| Refusal::invalid("bad parameter: path cannot be empty"))?;
    match path.contains('\0') {
        false => Ok(path.to_owned()),
        true => Err(Refusal::invalid("bad parameter: path cannot have a NUL in it")),
    }
}

fn stat_header(stat: &FileStat) -> HeaderMap {
    let stat = PathStat {
        name: stat.name.clone(),
        size: stat.size,
        mode: go_mode(stat.kind, stat.mode),
        mtime: jiff::Timestamp::new(stat.modified.0, i32::try_from(stat.modified.1).unwrap_or(0))
            .map_or_else(|_| "0001-01-01T00:00:00Z".to_owned(), |time| time.to_string()),
        link_target: stat.link_target.clone(),
    };
    let text = STANDARD.encode(serde_json::to_vec(&stat).unwrap_or_default());
    HeaderValue::from_str(&text).map(|value| HeaderMap::from_iter([(STAT, value)])).unwrap_or_default()
}

/// The bits of Go's os.FileMode (io/fs, `FileMode`).
fn go_mode(kind: FileType, mode: u32) -> u32 {
    let kind = match kind {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        FileType::BlockDevice => 1 << 26,
        FileType::CharacterDevice => 1 << 26 | 1 << 21,
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    special.iter().filter(|(bit, _)| mode & bit != 0).fold(kind | (mode & 0o777), |all, (_, go)| all | go)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_those_of_go() {
        assert_eq!(go_mode(FileType::Directory, 0o755), 2_147_484_141);
        assert_eq!(go_mode(FileType::Symlink, 0o777), 134_218_239);
        assert_eq!(go_mode(FileType::RegularFile, 0o644), 420);
        assert_eq!(go_mode(FileType::Directory, 0o1777), 1 << 31 | 1 << 20 | 0o777);
        assert_eq!(go_mode(FileType::CharacterDevice, 0o4666), 1 << 26 | 1 << 21 | 1 << 23 | 0o666);
    }

    #[test]
    fn a_look_is_told_as_dockerd_tells_it() {
        let stat = FileStat {
            name: "etc".into(),
            size: 4096,
            kind: FileType::Directory,
            mode: 0o755,
            modified: (1_795_291_780, 530_481_273),
            link_target: String::new(),
        };
        let header = stat_header(&stat);
        let text = STANDARD.decode(header[STAT].as_bytes()).expect("base64");
        assert_eq!(
            String::from_utf8(text).expect("text"),
            r#"{"name":"etc","size":4096,"mode":2147484141,"mtime":"2026-11-21T20:09:40.530481273Z","linkTarget":""}"#
        );
    }
}
