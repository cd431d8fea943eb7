//! `buildx`: the words of docker's plugin, for the one builder that there is: the engine itself.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::human::{self, duration};
use crate::show::listing::aligned;
use crate::show::print;
use crate::words::{Global, Offline, Outcome, Verb};

/// The name of the builder.
const NAME: &str = "default";

/// Lists the builder.
#[derive(Debug, Args)]
pub struct List {}

/// Tells about the builder.
#[derive(Debug, Args)]
pub struct Inspect {
    // It is ready as soon as the engine is.
    #[arg(long, hide = true)]
    bootstrap: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Tells versions.
#[derive(Debug, Args)]
pub struct Version {}

/// What the cache takes up.
#[derive(Debug, Args)]
pub struct DiskUsage {
    /// Show all of each record
    #[arg(long)]
    verbose: bool,
    #[arg(long, hide = true)]
    builder: Option<String>,
}

/// Words that mean nothing here.
#[derive(Debug, Args)]
pub struct Other {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    operands: Vec<String>,
}

/// What is asked of the engine about itself.
async fn engine(session: &Session) -> Result<(String, String), Failure> {
    let version: Value = session.client().get("/version").await?;
    let text = |key: &str| version[key].as_str().unwrap_or_default().to_owned();
    Ok((format!("{}/{}", text("Os"), text("Arch")), text("Version")))
}

impl Verb for List {
    const ABOUT: About = About { name: "buildx ls", usage: "", does: "List builder instances", needs: Needs::None };

    async fn run(self, session: &Session) -> Outcome {
        let (platform, version) = engine(session).await?;
        let endpoint = session.client().endpoint();
        print(aligned(&format!(
            "NAME/NODE\tDRIVER/ENDPOINT\tSTATUS\tVERSION\tPLATFORMS\n\
             {NAME}*\tdhow\t\t\t\n \\_ {NAME}\t \\_ {endpoint}\trunning\t{version}\t{platform}\n"
        )))?;
        Ok(0)
    }
}

impl Verb for Inspect {
    const ABOUT: About = About {
        name: "buildx inspect",
        usage: "[NAME]",
        does: "Inspect current builder instance",
        needs: Needs::Between(0, 1),
    };

    async fn run(self, session: &Session) -> Outcome {
        if let Some(name) = self.operands.first().filter(|name| *name != NAME) {
            return Err(Failure::said(format!("ERROR: no builder {name:?} found: there is one, {NAME:?}, the engine")));
        }
        let (platform, version) = engine(session).await?;
        let endpoint = session.client().endpoint();
        print(format!(
            "Name:   {NAME}\nDriver: dhow\n\nNodes:\nName:      {NAME}\nEndpoint:  {endpoint}\nStatus:    running\n\
             Version:   {version}\nPlatforms: {platform}\n"
        ))?;
        Ok(0)
    }
}

impl Offline for Version {
    const ABOUT: About =
        About { name: "buildx version", usage: "", does: "Show buildx version information", needs: Needs::None };

    fn run(self, _: &Global) -> Outcome {
        print(format!("dhow {} (the builder is the engine)\n", env!("CARGO_PKG_VERSION")))?;
        Ok(0)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Usage {
    #[serde(default)]
    build_cache: Option<Vec<Record>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Record {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Type")]
    kind: String,
    description: String,
    in_use: bool,
    shared: bool,
    size: i64,
    created_at: String,
    last_used_at: Option<String>,
    usage_count: i64,
}

impl Verb for DiskUsage {
    const ABOUT: About = About { name: "buildx du", usage: "[OPTIONS]", does: "Disk usage", needs: Needs::None };

    async fn run(self, session: &Session) -> Outcome {
        let usage: Usage = session.client().get("/system/df?type=build-cache").await?;
        let records = usage.build_cache.unwrap_or_default();
        let now = human::now();
        if self.verbose {
            print(records.iter().map(|record| record.whole(now)).collect::<String>())?;
        } else {
            let rows: String = records.iter().map(|record| record.row(now)).collect();
            print(aligned(&format!("ID\tRECLAIMABLE\tSIZE\tLAST ACCESSED\n{rows}")))?;
        }
        let sum =
            |which: &dyn Fn(&&Record) -> bool| records.iter().filter(which).map(|record| record.size).sum::<i64>();
        let (shared, own) = (sum(&|record| record.shared), sum(&|record| !record.shared));
        let free = sum(&|record| !record.in_use && !record.shared);
        print(aligned(&format!(
            "Shared:\t{}\nPrivate:\t{}\nReclaimable:\t{}\nTotal:\t{}\n",
            human::size(shared, 4),
            human::size(own, 4),
            human::size(free, 4),
            human::size(shared + own, 4)
        )))?;
        Ok(0)
    }
}

impl Record {
    fn used(&self, now: i64) -> String {
        let time = self.last_used_at.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        time.map(|time| format!("{} ago", duration(now - time.as_second()))).unwrap_or_default()
    }

    fn row(&self, now: i64) -> String {
        // As buildx, which marks what images share.
        let star = if self.shared { "*" } else { "" };
        let id: String = self.id.chars().take(25).collect();
        format!("{id}{star}\t{}\t{}\t{}\n", !self.in_use, human::size(self.size, 4), self.used(now))
    }

    fn whole(&self, now: i64) -> String {
        let rows = format!(
            "ID:\t{}\nCreated at:\t{}\nMutable:\t{}\nReclaimable:\t{}\nShared:\t{}\nSize:\t{}\nDescription:\t{}\n\
             Usage count:\t{}\nLast used:\t{}\nType:\t{}\n",
            self.id,
            self.created_at,
            self.kind == "exec.cachemount",
            !self.in_use,
            self.shared,
            human::size(self.size, 4),
            self.description,
            self.usage_count,
            self.used(now),
            self.kind
        );
        format!("{}\n", aligned(&rows))
    }
}

impl Offline for Other {
    const ABOUT: About = About { name: "buildx bake", usage: "", does: "", needs: Needs::AtLeast(0) };

    fn run(self, _: &Global) -> Outcome {
        Err(Failure::said(
            "ERROR: dhow has one builder, the engine itself, so there are none to make, choose or stop.\n\
             hint: docker's own plugin works with it: set DOCKER_HOST to the engine's socket and run 'docker buildx bake', \
             'docker buildx imagetools' or 'docker buildx history'",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_row() {
        let record = Record {
            id: "0123456789abcdef0123456789abcdef".to_owned(),
            shared: true,
            size: 1500,
            last_used_at: Some("1970-01-01T00:00:00Z".to_owned()),
            ..Record::default()
        };
        assert_eq!(record.row(7200), "0123456789abcdef012345678*\ttrue\t1.5kB\t2 hours ago\n");
        let whole = record.whole(7200);
        assert!(whole.contains("Last used:") && whole.contains("2 hours ago"), "{whole}");
    }
}
