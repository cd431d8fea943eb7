//! What is there in nftables.

mod members;

pub use members::{Realm, Told};

use super::{
    CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, COMMENT, Family, GET_CHAIN, GET_RULE, GET_TABLE, HOOK_NUMBER,
    IP, RULE_CHAIN, RULE_HANDLE, RULE_TABLE, RULE_USERDATA, TABLE_HANDLE, TABLE_NAME,
};
use crate::batch::Batch;
use crate::socket::DUMP_FLAGS;
use crate::{Error, Reader, Socket};

/// `struct nfgenmsg`.
const HEADER: usize = 4;

/// A chain as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// Whether it hangs at the hook `forward`.
    pub at_forward: bool,
    /// Whether it drops what no rule decides on.
    pub drops: bool,
}

/// A rule as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInfo {
    /// Its number in its table.
    pub handle: u64,
    pub comment: Option<String>,
}

impl Socket {
    /// The number of a table: another one when it was removed and made again. `None` if there is no such table.
    pub fn table_handle(&mut self, family: Family, table: &str) -> Result<Option<u64>, Error> {
        let mut batch = Batch::new();
        batch.push("find the nftables table", (GET_TABLE, 0), &family.header(), |a| a.text(TABLE_NAME, table));
        let mut handle = None;
        let asked = self.ask(&mut batch, |body| handle = Reader::behind(body, HEADER).be64(TABLE_HANDLE));
        present(asked).map(|there| handle.filter(|_| there))
    }

    /// The chain of this name, if there is one.
    pub fn chain(&mut self, table: &str, chain: &str) -> Result<Option<Chain>, Error> {
        let mut batch = Batch::new();
        batch.push("find the nftables chain", (GET_CHAIN, 0), &IP, |a| {
            a.text(CHAIN_TABLE, table);
            a.text(CHAIN_NAME, chain);
        });
        let mut found = None;
        let asked = self.ask(&mut batch, |body| {
            let attributes = Reader::behind(body, HEADER);
            found = Some(Chain {
                at_forward: attributes.nested(CHAIN_HOOK).be32(HOOK_NUMBER) == Some(2),
                drops: attributes.be32(CHAIN_POLICY) == Some(0),
            });
        });
        present(asked).map(|there| found.filter(|_| there))
    }

    /// Whether a chain still has the rule of this number.
    pub fn has_rule(&mut self, table: &str, chain: &str, handle: u64) -> Result<bool, Error> {
        let mut batch = Batch::new();
        batch.push("find the nftables rule", (GET_RULE, 0), &IP, |a| {
            a.text(RULE_TABLE, table);
            a.text(RULE_CHAIN, chain);
            a.be64(RULE_HANDLE, handle);
        });
        present(self.ask(&mut batch, |_| {}))
    }

    /// The rules of a chain, in order; none if there is no such chain.
    pub fn rules(&mut self, table: &str, chain: &str) -> Result<Vec<RuleInfo>, Error> {
        let mut batch = Batch::new();
        batch.push("list the nftables rules", (GET_RULE, DUMP_FLAGS), &IP, |a| {
            a.text(RULE_TABLE, table);
            a.text(RULE_CHAIN, chain);
        });
        let mut found = Vec::new();
        let asked = self.ask(&mut batch, |body| {
            let attributes = Reader::behind(body, HEADER);
            if attributes.text(RULE_TABLE) == Some(table)
                && attributes.text(RULE_CHAIN) == Some(chain)
                && let Some(handle) = attributes.be64(RULE_HANDLE)
            {
                found.push(RuleInfo { handle, comment: attributes.find(RULE_USERDATA).and_then(comment) });
            }
        });
        present(asked).map(|_| found)
    }
}

fn present(asked: Result<(), Error>) -> Result<bool, Error> {
    match asked {
        Ok(()) => Ok(true),
        Err(e) if e.is_absent() => Ok(false),
        Err(e) => Err(e),
    }
}

/// Finds the comment in libnftnl's list of type, length, value.
fn comment(userdata: &[u8]) -> Option<String> {
    let mut rest = userdata;
    while let [kind, length, tail @ ..] = rest {
        let value = tail.get(..usize::from(*length))?;
        if *kind == COMMENT {
            return Some(String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned());
        }
        rest = tail.get(usize::from(*length)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_found_behind_other_data() {
        assert_eq!(comment(&[7, 1, 9, 0, 3, b'h', b'i', 0]).as_deref(), Some("hi"));
        for broken in [&[0u8, 9, b'h'][..], &[0], &[], &[3, 200]] {
            assert_eq!(comment(broken), None, "{broken:?}");
        }
    }
}
