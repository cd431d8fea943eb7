//! `update`: other limits or another restart policy for containers.

use api::client::{Error, encode, json};
use clap::Args;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::each::each;
use crate::failure::Failure;
use crate::grammar::values::{bytes, bytes_or_unlimited, integer, nano_cpus};
use crate::grammar::{About, Needs};
use crate::plan::{bindings, restart_policy};
use crate::session::Session;
use crate::show::print;
use crate::words::{Outcome, Verb};

/// Changes containers.
#[derive(Debug, Args)]
pub struct Update {
    /// Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)
    #[arg(long, value_name = "uint16", value_parser = integer)]
    blkio_weight: Option<i64>,
    /// Limit CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int", value_parser = integer)]
    cpu_period: Option<i64>,
    /// Limit CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "int", value_parser = integer)]
    cpu_quota: Option<i64>,
    /// Limit the CPU real-time period in microseconds
    #[arg(long, value_name = "int", value_parser = integer)]
    cpu_rt_period: Option<i64>,
    /// Limit the CPU real-time runtime in microseconds
    #[arg(long, value_name = "int", value_parser = integer)]
    cpu_rt_runtime: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int", value_parser = integer)]
    cpu_shares: Option<i64>,
    /// Number of CPUs
    #[arg(long, value_name = "decimal", value_parser = nano_cpus)]
    cpus: Option<i64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_cpus: Option<String>,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_mems: Option<String>,
    /// Memory limit
    #[arg(short, long, value_name = "bytes", value_parser = bytes)]
    memory: Option<i64>,
    /// Memory soft limit
    #[arg(long, value_name = "bytes", value_parser = bytes)]
    memory_reservation: Option<i64>,
    /// Swap limit equal to memory plus swap: -1 to enable unlimited swap
    #[arg(long, value_name = "bytes", value_parser = bytes_or_unlimited, allow_hyphen_values = true)]
    memory_swap: Option<i64>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int", value_parser = integer, allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "string")]
    restart: Option<String>,
    /// Publish further ports ([ip:][host[-range]]:container[-range][/protocol]), of a running container at once
    #[arg(long, value_name = "list")]
    publish_add: Vec<String>,
    /// Publish no longer at these ports of the host ([ip:]port[-port][/protocol])
    #[arg(long, value_name = "list")]
    publish_rm: Vec<String>,
    #[command(flatten)]
    egress: crate::plan::egress::EgressFlags,
    #[arg(hide = true)]
    operands: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Answer {
    warnings: Option<Vec<String>>,
}

impl Verb for Update {
    const ABOUT: About = About {
        name: "update",
        usage: "[OPTIONS] CONTAINER [CONTAINER...]",
        does: "Update configuration of one or more containers",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let change = self.change().map_err(Failure::Said)?;
        if change.is_empty() {
            return Err(Failure::said("you must provide one or more flags when using this command"));
        }
        let warnings = std::cell::RefCell::new(Vec::new());
        let code = each(&self.operands, async |name| {
            let path = format!("/containers/{}/update", encode(&name));
            let answer = session.client().call(Method::POST, &path, json(&change)?).await?.bytes().await?;
            let answer: Answer = serde_json::from_slice(&answer).map_err(Error::Malformed)?;
            warnings.borrow_mut().extend(answer.warnings.unwrap_or_default());
            Ok(Some(name))
        })
        .await?;
        for warning in warnings.take() {
            print(format!("{warning}\n"))?;
        }
        Ok(code)
    }
}

impl Update {
    /// What was typed, as the engine wants it.
    fn change(&self) -> Result<Map<String, Value>, String> {
        let mut change = Map::new();
        for (key, value) in [
            ("BlkioWeight", self.blkio_weight),
            ("CpuPeriod", self.cpu_period),
            ("CpuQuota", self.cpu_quota),
            ("CpuRealtimePeriod", self.cpu_rt_period),
            ("CpuRealtimeRuntime", self.cpu_rt_runtime),
            ("CpuShares", self.cpu_shares),
            ("NanoCpus", self.cpus),
            ("Memory", self.memory),
            ("MemoryReservation", self.memory_reservation),
            ("MemorySwap", self.memory_swap),
            ("PidsLimit", self.pids_limit),
        ] {
            change.extend(value.map(|value| (key.to_owned(), value.into())));
        }
        for (key, text) in [("CpusetCpus", &self.cpuset_cpus), ("CpusetMems", &self.cpuset_mems)] {
            change.extend(text.as_ref().map(|text| (key.to_owned(), text.as_str().into())));
        }
        if !self.publish_add.is_empty() {
            change.insert("Publish".to_owned(), bindings(&self.publish_add)?);
        }
        if !self.publish_rm.is_empty() {
            change.insert("Unpublish".to_owned(), self.publish_rm.clone().into());
        }
        if let Some(restart) = &self.restart {
            change.insert("RestartPolicy".to_owned(), restart_policy(restart)?);
        }
        change.extend(self.egress.policy().map(|policy| ("Egress".to_owned(), policy)));
        Ok(change)
    }
}
