//! `list`: the containers below the root, as a table or as JSON.

use crate::error::{Error, Result};
use crate::log;
use crate::passwd::Names;
use crate::shown::{Shown, line};
use crate::store::Store;
use crate::words::options::{Format, List};
use crate::words::{Global, say};
use std::io::Write;
use std::os::unix::fs::MetadataExt;

pub fn run(global: &Global, options: &List) -> Result<()> {
    // The default root is made by the first container.
    if !global.root_given && !global.root.exists() {
        return show(&[], options);
    }
    let store = global.store();
    let mut names = Names::default();
    let mut all = Vec::new();
    for id in store.ids()? {
        match look(&store, &id, &mut names) {
            Ok(shown) => all.extend(shown),
            Err(error) => log::say(&format!("load container {id}: {error}")),
        }
    }
    show(&all, options)
}

/// `None`: it was deleted a moment ago.
fn look(store: &Store, id: &str, names: &mut Names) -> Result<Option<Shown>> {
    let Ok(folder) = std::fs::metadata(store.root.join(id)) else { return Ok(None) };
    let container = store.open(id)?;
    Ok(Some(Shown::of(&container, names.of(folder.uid()))))
}

fn show(all: &[Shown], options: &List) -> Result<()> {
    if options.quiet {
        return say(&all.iter().map(|shown| format!("{}\n", shown.id)).collect::<String>());
    }
    match options.format {
        Format::Json => say(&line(&all)?),
        Format::Table => say(&table(all)?),
    }
}

fn table(all: &[Shown]) -> Result<String> {
    // At least 12 wide with the space between columns.
    let mut table = tabwriter::TabWriter::new(Vec::new()).minwidth(9).padding(3);
    let cannot = |e: &dyn std::error::Error| Error::because("cannot write the table", e);
    let rows = all.iter().map(|row| {
        let status = row.status.as_str();
        format!("{}\t{}\t{status}\t{}\t{}\t{}\n", row.id, row.pid, row.bundle, row.created, row.owner)
    });
    let rows: String = std::iter::once("ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n".to_owned()).chain(rows).collect();
    table.write_all(rows.as_bytes()).map_err(|e| cannot(&e))?;
    let table = table.into_inner().map_err(|e| cannot(&e))?;
    String::from_utf8(table).map_err(|e| cannot(&e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::state::Status;

    fn row(id: &str, status: Status) -> Shown {
        Shown {
            oci_version: "1.2.0".into(),
            id: id.into(),
            pid: 42,
            status,
            bundle: "/b".into(),
            rootfs: "/b/rootfs".into(),
            created: "2026-01-02T03:04:05.006Z".into(),
            annotations: [("a".to_owned(), "b".to_owned())].into(),
            owner: "root".into(),
        }
    }

    #[test]
    fn a_table_has_columns_of_at_least_twelve() {
        let rows = [row("one", Status::Running), row("a-name-of-more-than-twelve", Status::Paused)];
        let expected = "\
ID                           PID         STATUS      BUNDLE      CREATED                    OWNER
one                          42          running     /b          2026-01-02T03:04:05.006Z   root
a-name-of-more-than-twelve   42          paused      /b          2026-01-02T03:04:05.006Z   root
";
        assert_eq!(table(&rows).unwrap(), expected);
        assert_eq!(table(&[]).unwrap(), "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
    }

    #[test]
    fn json_is_one_line_in_the_order_of_runc() {
        let expected = r#"[{"ociVersion":"1.2.0","id":"x","pid":42,"status":"created","bundle":"/b","rootfs":"/b/rootfs","created":"2026-01-02T03:04:05.006Z","annotations":{"a":"b"},"owner":"root"}]"#;
        assert_eq!(line(&[row("x", Status::Created)]).unwrap(), format!("{expected}\n"));
    }
}
