//! Files on their way from a client, as activities.

use super::{Activity, Board, Ended};
use crate::session::{Stage, Tell, Transfer};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Who hears of transfers and tells the board.
pub fn transfers(board: &Arc<Board>) -> Tell {
    let board = board.clone();
    let going: Mutex<HashMap<String, Activity>> = Mutex::default();
    Arc::new(move |transfer: Transfer| {
        let mut going = going.lock().unwrap_or_else(PoisonError::into_inner);
        match transfer.stage {
            Stage::Begun => {
                going.insert(transfer.name.clone(), board.activity(&title(&transfer.name)));
            }
            Stage::Going => {
                if let Some(activity) = going.get(&transfer.name) {
                    activity.bytes(&what(&transfer.name), transfer.bytes);
                }
            }
            Stage::Done => {
                if let Some(activity) = going.remove(&transfer.name) {
                    activity.part(&what(&transfer.name), transfer.bytes);
                    activity.end(Ended::Done);
                }
            }
            Stage::Failed => {
                if let Some(activity) = going.remove(&transfer.name) {
                    activity.end(Ended::Failed("the client did not send all of it".to_owned()));
                }
            }
        }
    })
}

fn title(name: &str) -> String {
    match name {
        "context" => "[internal] load build context".to_owned(),
        name => format!("[context {name}] load from client"),
    }
}

fn what(name: &str) -> String {
    format!("transferring {name}:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_an_activity_with_its_bytes() {
        let board = Board::new("x");
        let tell = transfers(&board);
        for (stage, bytes) in [(Stage::Begun, 0), (Stage::Going, 3), (Stage::Done, 7)] {
            tell(Transfer { name: "context".to_owned(), bytes, stage });
        }
        let (told, _) = board.since(0).expect("told");
        assert_eq!(told.vertexes[0].name, "[internal] load build context");
        let last = told.statuses.last().expect("a number");
        assert_eq!((last.id.as_str(), last.current), ("transferring context:", 7));
        assert!(told.vertexes.last().is_some_and(|vertex| vertex.completed.is_some()));
    }
}
