//! The verbs, one or a family of alike ones per file, and the words for them.

mod attach;
mod build;
mod buildx;
mod checkpoint;
mod commit;
mod completion;
mod context;
mod cp;
mod create;
mod df;
mod dial;
mod diff;
mod each;
mod events;
mod exec;
mod fsck;
mod history;
mod images;
mod import;
mod info;
mod inspect;
mod load;
mod login;
mod logs;
mod monitor;
mod network;
mod port;
mod prune;
mod ps;
mod pull;
mod push;
mod rename;
mod rmi;
mod run;
mod save;
mod search;
mod sink;
mod start;
mod stats;
mod tag;
mod top;
mod tree;
mod update;
mod version;
mod volume;

use crate::grammar;
use crate::words::{Entry, Offline, Verb, go, go_offline};

const fn entry<V: Verb>(words: &'static [&'static str]) -> Entry {
    Entry { words, about: V::ABOUT, go: go::<V>, command: grammar::command::<V> }
}

const fn offline<V: Offline>(words: &'static [&'static str]) -> Entry {
    Entry { words, about: V::ABOUT, go: go_offline::<V>, command: grammar::command::<V> }
}

/// Every verb, in the order of the help.
pub fn all() -> &'static [Entry] {
    const ALL: &[Entry] = &[
        entry::<run::Run>(&["run", "container run"]),
        entry::<exec::Exec>(&["exec", "container exec"]),
        entry::<build::Build>(&["build", "image build", "builder build", "buildx build", "buildx b"]),
        entry::<ps::Ps>(&["ps", "container ls", "container list", "container ps"]),
        entry::<create::Create>(&["create", "container create"]),
        entry::<start::Start>(&["start", "container start"]),
        entry::<attach::Attach>(&["attach", "container attach"]),
        entry::<checkpoint::Create>(&["checkpoint create"]),
        entry::<checkpoint::List>(&["checkpoint ls", "checkpoint list"]),
        entry::<checkpoint::Remove>(&["checkpoint rm", "checkpoint remove"]),
        entry::<logs::Logs>(&["logs", "container logs"]),
        entry::<each::Stop>(&["stop", "container stop"]),
        entry::<each::Kill>(&["kill", "container kill"]),
        entry::<each::Restart>(&["restart", "container restart"]),
        entry::<each::Rm>(&["rm", "container rm", "container remove"]),
        entry::<each::Pause>(&["pause", "container pause"]),
        entry::<each::Unpause>(&["unpause", "container unpause"]),
        entry::<each::Wait>(&["wait", "container wait"]),
        entry::<rename::Rename>(&["rename", "container rename"]),
        entry::<top::Top>(&["top", "container top"]),
        entry::<monitor::Monitor>(&["monitor"]),
        entry::<stats::Stats>(&["stats", "container stats"]),
        entry::<update::Update>(&["update", "container update"]),
        entry::<port::Port>(&["port", "container port"]),
        entry::<inspect::Inspect>(&["inspect"]),
        entry::<images::Images>(&["images", "image ls", "image list"]),
        entry::<pull::Pull>(&["pull", "image pull"]),
        entry::<push::Push>(&["push", "image push"]),
        entry::<login::Login>(&["login"]),
        offline::<login::Logout>(&["logout"]),
        entry::<search::Search>(&["search"]),
        entry::<save::Save>(&["save", "image save"]),
        entry::<load::Load>(&["load", "image load"]),
        entry::<import::Import>(&["import", "image import"]),
        entry::<save::Export>(&["export", "container export"]),
        entry::<commit::Commit>(&["commit", "container commit"]),
        entry::<cp::Cp>(&["cp", "container cp"]),
        entry::<diff::Diff>(&["diff", "container diff"]),
        entry::<tag::Tag>(&["tag", "image tag"]),
        entry::<rmi::Rmi>(&["rmi", "image rm", "image remove"]),
        entry::<history::History>(&["history", "image history"]),
        entry::<events::Events>(&["events", "system events"]),
        entry::<info::Info>(&["info", "system info"]),
        entry::<version::Version>(&["version"]),
        entry::<prune::Containers>(&["container prune"]),
        entry::<prune::Images>(&["image prune"]),
        entry::<prune::Builder>(&["builder prune", "buildx prune"]),
        entry::<buildx::List>(&["buildx ls"]),
        entry::<buildx::Inspect>(&["buildx inspect"]),
        entry::<buildx::DiskUsage>(&["buildx du", "builder du"]),
        offline::<buildx::Version>(&["buildx version"]),
        offline::<buildx::Other>(&[
            "buildx bake",
            "buildx create",
            "buildx rm",
            "buildx stop",
            "buildx use",
            "buildx imagetools",
            "buildx history",
            "buildx dial-stdio",
        ]),
        entry::<prune::System>(&["system prune"]),
        entry::<df::Df>(&["system df"]),
        entry::<volume::Create>(&["volume create"]),
        entry::<volume::List>(&["volume ls", "volume list"]),
        entry::<inspect::Volume>(&["volume inspect"]),
        entry::<volume::Remove>(&["volume rm", "volume remove"]),
        entry::<volume::Prune>(&["volume prune"]),
        entry::<volume::Rename>(&["volume rename"]),
        entry::<volume::Clone>(&["volume clone"]),
        entry::<fsck::Fsck>(&["system fsck"]),
        offline::<context::Ls>(&["context ls", "context list"]),
        offline::<context::Show>(&["context show"]),
        offline::<context::Use>(&["context use"]),
        offline::<context::Create>(&["context create"]),
        offline::<context::Update>(&["context update"]),
        offline::<context::Rm>(&["context rm", "context remove"]),
        offline::<context::Inspect>(&["context inspect"]),
        offline::<completion::Completion>(&["completion"]),
        entry::<dial::DialStdio>(&["system dial-stdio"]),
        entry::<network::Create>(&["network create"]),
        entry::<network::List>(&["network ls", "network list"]),
        entry::<network::Connect>(&["network connect"]),
        entry::<network::Disconnect>(&["network disconnect"]),
        entry::<network::Egress>(&["network egress"]),
        entry::<network::Firewall>(&["network firewall"]),
        entry::<network::Remove>(&["network rm", "network remove"]),
        entry::<network::Prune>(&["network prune"]),
        entry::<inspect::Network>(&["network inspect"]),
        entry::<inspect::Container>(&["container inspect"]),
        entry::<inspect::Image>(&["image inspect"]),
    ];
    ALL
}

/// `--filter`s as the JSON that the engine wants; `None` without any.
fn filters(typed: &[(String, String)]) -> Option<String> {
    let mut all: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    for (key, value) in typed {
        all.entry(key).or_default().push(value);
    }
    (!all.is_empty()).then(|| serde_json::json!(all).to_string())
}

/// `Some("1")` for a switch that is on.
fn switch(on: bool) -> Option<&'static str> {
    on.then_some("1")
}
