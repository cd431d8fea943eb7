//! `system df`: what images, containers, volumes and the build cache take up.

use std::collections::BTreeMap;

use api::client::query;
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::{images, ps};
use crate::failure::Failure;
use crate::grammar::{About, Needs, help};
use crate::session::Session;
use crate::show::listing::{Columns, Row, render};
use crate::show::template::{Functions, Template, html_escaped};
use crate::show::{human, print};
use crate::words::{Outcome, Verb};

/// Shows disk usage.
#[derive(Debug, Args)]
pub struct Df {
    #[arg(long, help = help::FORMAT, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    /// Show detailed information on space usage
    #[arg(short, long)]
    verbose: bool,
}

/// `GET /system/df`
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Usage {
    layers_size: i64,
    images: Option<Vec<images::Summary>>,
    containers: Option<Vec<ps::Summary>>,
    volumes: Option<Vec<Volume>>,
    build_cache: Option<Vec<Cache>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Volume {
    name: String,
    driver: String,
    scope: String,
    mountpoint: String,
    labels: Option<BTreeMap<String, String>>,
    usage_data: Option<VolumeUsage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct VolumeUsage {
    size: i64,
    ref_count: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Cache {
    #[serde(rename = "ID")]
    id: String,
    parents: Option<Vec<String>>,
    r#type: String,
    description: String,
    in_use: bool,
    shared: bool,
    size: i64,
    created_at: String,
    last_used_at: Option<String>,
    usage_count: i64,
}

const HEADINGS: &[(&str, &str)] = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];

const VOLUME_HEADINGS: &[(&str, &str)] = &[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")];

const CACHE_HEADINGS: &[(&str, &str)] = &[
    ("ID", "CACHE ID"),
    ("CacheType", "CACHE TYPE"),
    ("Size", "SIZE"),
    ("CreatedSince", "CREATED"),
    ("LastUsedSince", "LAST USED"),
    ("UsageCount", "USAGE"),
    ("Shared", "SHARED"),
];

impl Verb for Df {
    const ABOUT: About = About { name: "system df", usage: "[OPTIONS]", does: "Show disk usage", needs: Needs::None };

    async fn run(self, session: &Session) -> Outcome {
        let usage: Usage = session.client().get(&query("/system/df", &[])).await?;
        print(match self.verbose {
            true => usage.verbose(&self.format, human::now())?,
            false => usage.summary(&self.format)?,
        })?;
        Ok(0)
    }
}

/// One line of the summary.
struct Part {
    kind: &'static str,
    total: usize,
    active: usize,
    size: i64,
    reclaimable: i64,
    /// Docker says none for the build cache.
    percent: bool,
}

impl Part {
    fn row(&self) -> Row {
        let mut reclaimable = human::size(self.reclaimable, 4);
        if self.percent && self.size > 0 {
            reclaimable.push_str(&format!(" ({}%)", self.reclaimable.saturating_mul(100) / self.size));
        }
        let fields = [
            ("Type", self.kind.to_owned()),
            ("TotalCount", self.total.to_string()),
            ("Active", self.active.to_string()),
            ("Size", human::size(self.size, 4)),
            ("Reclaimable", reclaimable),
        ];
        Row { fields: fields.into(), ..Row::default() }
    }
}

impl Usage {
    fn summary(&self, format: &str) -> Result<String, Failure> {
        let rows: Vec<Row> = self.parts().iter().map(Part::row).collect();
        let shown = HEADINGS.iter().map(|(name, _)| *name).collect();
        render(&Columns { headings: HEADINGS, shown, quiet: "Type" }, &rows, format, false)
    }

    fn parts(&self) -> [Part; 4] {
        [self.of_images(), self.of_containers(), self.of_volumes(), self.of_cache()]
    }

    fn of_images(&self) -> Part {
        let all = self.images.as_deref().unwrap_or_default();
        let used = all.iter().filter(|image| image.containers != 0 && image.size != -1 && image.shared_size != -1);
        let used: i64 = used.map(|image| image.size - image.shared_size).sum();
        Part {
            kind: "Images",
            total: all.len(),
            active: all.iter().filter(|image| image.containers > 0).count(),
            size: self.layers_size,
            reclaimable: self.layers_size - used,
            percent: true,
        }
    }

    fn of_containers(&self) -> Part {
        let all = self.containers.as_deref().unwrap_or_default();
        let idle = all.iter().filter(|container| !container.is_active());
        Part {
            kind: "Containers",
            total: all.len(),
            active: all.iter().filter(|container| container.is_active()).count(),
            size: all.iter().map(|container| container.size_rw).sum(),
            reclaimable: idle.map(|container| container.size_rw).sum(),
            percent: true,
        }
    }

    fn of_volumes(&self) -> Part {
        let all = self.volumes.as_deref().unwrap_or_default();
        let known = || all.iter().filter_map(|volume| volume.usage_data.as_ref()).filter(|usage| usage.size != -1);
        Part {
            kind: "Local Volumes",
            total: all.len(),
            active: all.iter().filter(|v| v.usage_data.as_ref().is_some_and(|usage| usage.ref_count > 0)).count(),
            size: known().map(|usage| usage.size).sum(),
            reclaimable: known().filter(|usage| usage.ref_count == 0).map(|usage| usage.size).sum(),
            percent: true,
        }
    }

    fn of_cache(&self) -> Part {
        let all = self.build_cache.as_deref().unwrap_or_default();
        let used: i64 = all.iter().filter(|cache| cache.in_use && !cache.shared).map(|cache| cache.size).sum();
        let size = self.cache_size();
        Part {
            kind: "Build Cache",
            total: all.len(),
            active: all.iter().filter(|cache| cache.in_use).count(),
            size,
            reclaimable: size - used,
            percent: false,
        }
    }

    fn cache_size(&self) -> i64 {
        self.build_cache.iter().flatten().filter(|cache| !cache.shared).map(|cache| cache.size).sum()
    }

    /// Every single thing: four tables, or a template over all four.
    fn verbose(mut self, format: &str, now: i64) -> Result<String, Failure> {
        let truncate = matches!(format, "" | "table");
        let cache_size = human::size(self.cache_size(), 4);
        if let Some(caches) = &mut self.build_cache {
            caches.sort_by(|a, b| (&a.last_used_at, &a.id).cmp(&(&b.last_used_at, &b.id)));
        }
        let images: Vec<Row> = self.images.iter().flatten().map(|image| image.first_row(truncate, now)).collect();
        let containers = self.containers.unwrap_or_default().into_iter();
        let containers: Vec<Row> = containers.map(|container| container.without_root().row(truncate, now)).collect();
        let volumes: Vec<Row> = self.volumes.iter().flatten().map(Volume::row).collect();
        let caches: Vec<Row> = self.build_cache.iter().flatten().map(|cache| cache.row(truncate, now)).collect();
        if !truncate {
            return filled(
                format,
                [("Images", images), ("Containers", containers), ("Volumes", volumes), ("BuildCache", caches)],
            );
        }
        let table = |headings, shown, rows: &[Row]| render(&Columns { headings, shown, quiet: "" }, rows, "", false);
        let all = |headings: &[(&'static str, &str)]| headings.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        Ok([
            "Images space usage:\n\n".to_owned(),
            table(
                images::HEADINGS,
                vec!["Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"],
                &images,
            )?,
            "\nContainers space usage:\n\n".to_owned(),
            table(
                ps::HEADINGS,
                vec!["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"],
                &containers,
            )?,
            "\nLocal Volumes space usage:\n\n".to_owned(),
            table(VOLUME_HEADINGS, all(VOLUME_HEADINGS), &volumes)?,
            format!("\nBuild cache usage: {cache_size}\n\n"),
            table(CACHE_HEADINGS, all(CACHE_HEADINGS), &caches)?,
        ]
        .concat())
    }
}

/// A template over the four lists, or all as JSON in docker's order.
fn filled(format: &str, lists: [(&'static str, Vec<Row>); 4]) -> Result<String, Failure> {
    let list = |rows: &[Row]| json!(rows.iter().map(|row| &row.fields).collect::<Vec<_>>());
    if format == "json" {
        let parts: Vec<String> = lists.iter().map(|(name, rows)| format!("\"{name}\":{}", list(rows))).collect();
        return Ok(html_escaped(&format!("{{{}}}", parts.join(","))));
    }
    let data: serde_json::Map<String, serde_json::Value> =
        lists.iter().map(|(name, rows)| ((*name).to_owned(), list(rows))).collect();
    let source = format.replace("\\t", "\t").replace("\\n", "\n");
    let template = Template::parse(&source, Functions::Working, true).map_err(Failure::Said)?;
    template.render_json(&data.into()).map_err(Failure::Said)
}

impl Volume {
    fn row(&self) -> Row {
        let known = |of: &dyn Fn(&VolumeUsage) -> String| self.usage_data.as_ref().map_or_else(|| "N/A".to_owned(), of);
        let labels = self.labels.clone().unwrap_or_default();
        let none = || "N/A".to_owned();
        let fields = [
            ("Name", self.name.clone()),
            ("Driver", self.driver.clone()),
            ("Scope", self.scope.clone()),
            ("Mountpoint", self.mountpoint.clone()),
            ("Labels", labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")),
            ("Links", known(&|usage| usage.ref_count.to_string())),
            ("Size", known(&|usage| human::size(usage.size, 4))),
            ("Availability", none()),
            ("Group", none()),
            ("Status", none()),
        ];
        Row { fields: fields.into(), labels }
    }
}

impl Cache {
    fn row(&self, truncate: bool, now: i64) -> Row {
        let short = |id: &str| if truncate { human::short_id(id).to_owned() } else { id.to_owned() };
        let ago = |time: &str| match time.parse::<jiff::Timestamp>() {
            Ok(time) => format!("{} ago", human::duration(now - time.as_second())),
            Err(_) => String::new(),
        };
        let at = |time: &str| match time.parse::<jiff::Timestamp>() {
            Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S %z UTC").to_string(),
            Err(_) => String::new(),
        };
        let last = self.last_used_at.as_deref().unwrap_or_default();
        let fields = [
            ("ID", short(&self.id) + if self.in_use { "*" } else { "" }),
            ("Parent", short(&self.parents.iter().flatten().cloned().collect::<Vec<_>>().join(", "))),
            ("CacheType", self.r#type.clone()),
            ("Description", self.description.clone()),
            ("Size", human::size(self.size, 3)),
            ("CreatedAt", at(&self.created_at)),
            ("CreatedSince", ago(&self.created_at)),
            ("LastUsedAt", at(last)),
            ("LastUsedSince", ago(last)),
            ("UsageCount", self.usage_count.to_string()),
            ("InUse", self.in_use.to_string()),
            ("Shared", self.shared.to_string()),
        ];
        Row { fields: fields.into(), ..Row::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage() -> Usage {
        serde_json::from_value(json!({
            "LayersSize": 5_000_000,
            "Images": [
                {"Id": "sha256:aa", "RepoTags": ["a:1"], "Size": 4_000_000, "SharedSize": 1000, "Containers": 1},
                {"Id": "sha256:bb", "RepoTags": null, "Size": 1_000_000, "SharedSize": 0, "Containers": 0}],
            "Containers": [{"Id": "c1", "State": "running", "SizeRw": 300}, {"Id": "c2", "State": "exited", "SizeRw": 100}],
            "Volumes": [
                {"Name": "v1", "UsageData": {"Size": 1000, "RefCount": 1}},
                {"Name": "v2", "UsageData": {"Size": -1, "RefCount": 0}}, {"Name": "v3"}],
            "BuildCache": [{"ID": "p", "Size": 4096, "InUse": true}, {"ID": "q", "Size": 4, "Shared": true}]
        }))
        .expect("usage")
    }

    #[test]
    fn the_summary_says_what_could_go() {
        assert_eq!(
            usage().summary("").expect("a table"),
            "\
TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE
Images          2         1         5MB       1.001MB (20%)
Containers      2         1         400B      100B (25%)
Local Volumes   3         1         1kB       0B (0%)
Build Cache     2         1         4.096kB   0B
"
        );
        assert_eq!(usage().summary("{{.Type}}:{{.Active}}").expect("lines").lines().next(), Some("Images:1"));
    }

    #[test]
    fn in_detail_there_is_a_table_for_each_kind() {
        let text = usage().verbose("", 0).expect("tables");
        for part in [
            "Images space usage:\n\nREPOSITORY   TAG",
            "\n\nContainers space usage:\n\nCONTAINER ID",
            "\n\nLocal Volumes space usage:\n\nVOLUME NAME   LINKS     SIZE\nv1            1         1kB\n",
            "v3            N/A       N/A\n",
            "\nBuild cache usage: 4.096kB\n\nCACHE ID   CACHE TYPE",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
        let json = usage().verbose("json", 0).expect("JSON");
        assert!(json.starts_with("{\"Images\":[{") && json.contains("\\u003cnone\\u003e"), "{json}");
    }
}
