//! What resctrl(5) tells of a container's group (Documentation/filesystems/resctrl.rst), for `events`.

use oci::runtime::IntelRdt;
use runtime::rdt::Group;
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::str::FromStr;

/// All of it; nothing without such a group.
#[derive(Debug, Default, Serialize)]
pub struct Rdt {
    #[serde(skip_serializing_if = "Option::is_none")]
    l3_cache_info: Option<CacheInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l3_cache_schema_root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l3_cache_schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_bw_info: Option<BandwidthInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_bw_schema_root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_bw_schema: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schemata: Vec<String>,
    /// For each NUMA node, as the next ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    mbm_stats: Option<Vec<Traffic>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmt_stats: Option<Vec<Occupancy>>,
}

#[derive(Debug, Serialize)]
struct CacheInfo {
    cbm_mask: String,
    min_cbm_bits: u64,
    num_closids: u64,
}

#[derive(Debug, Serialize)]
struct BandwidthInfo {
    bandwidth_gran: u64,
    delay_linear: u64,
    min_bandwidth: u64,
    num_closids: u64,
}

#[derive(Debug, Serialize)]
struct Traffic {
    mbm_total_bytes: u64,
    mbm_local_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Occupancy {
    llc_occupancy: u64,
}

impl Rdt {
    /// What cannot be read is left out: the counters of other controllers are told all the same.
    pub fn read(id: &str, asked: Option<&IntelRdt>) -> Rdt {
        asked.map(|asked| Rdt::of(&Group::of(id, asked))).unwrap_or_default()
    }

    fn of(group: &Group) -> Rdt {
        let (root, own) = (lines(group.root()), lines(group.path()));
        let (cache, bandwidth) = (group.root().join("info/L3"), group.root().join("info/MB"));
        let (has_cache, has_bandwidth) = (cache.is_dir(), bandwidth.is_dir());
        let (total, local) = (number("mbm_total_bytes"), number("mbm_local_bytes"));
        let occupancy = number("llc_occupancy");
        let features = fs::read_to_string(group.root().join("info/L3_MON/mon_features")).unwrap_or_default();
        let watched = group.monitor().unwrap_or(group.path());
        Rdt {
            l3_cache_info: has_cache.then(|| CacheInfo::read(&cache)),
            l3_cache_schema_root: schema(&root, "L3").filter(|_| has_cache),
            l3_cache_schema: schema(&own, "L3").filter(|_| has_cache),
            mem_bw_info: has_bandwidth.then(|| BandwidthInfo::read(&bandwidth)),
            mem_bw_schema_root: schema(&root, "MB").filter(|_| has_bandwidth),
            mem_bw_schema: schema(&own, "MB").filter(|_| has_bandwidth),
            mbm_stats: features
                .contains("mbm_")
                .then(|| nodes(watched, |node| Traffic { mbm_total_bytes: total(node), mbm_local_bytes: local(node) })),
            cmt_stats: features
                .contains("llc_occupancy")
                .then(|| nodes(watched, |node| Occupancy { llc_occupancy: occupancy(node) })),
            schemata: own,
        }
    }
}

impl CacheInfo {
    fn read(folder: &Path) -> CacheInfo {
        CacheInfo {
            cbm_mask: value(folder, "cbm_mask").unwrap_or_default(),
            min_cbm_bits: number("min_cbm_bits")(folder),
            num_closids: number("num_closids")(folder),
        }
    }
}

impl BandwidthInfo {
    fn read(folder: &Path) -> BandwidthInfo {
        BandwidthInfo {
            bandwidth_gran: number("bandwidth_gran")(folder),
            delay_linear: number("delay_linear")(folder),
            min_bandwidth: number("min_bandwidth")(folder),
            num_closids: number("num_closids")(folder),
        }
    }
}

fn value<T: FromStr>(folder: &Path, file: &str) -> Option<T> {
    fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
}

/// 0 for what the kernel does not tell (`Unavailable`).
fn number(file: &str) -> impl Fn(&Path) -> u64 {
    move |folder| value(folder, file).unwrap_or_default()
}

fn lines(group: &Path) -> Vec<String> {
    let text = fs::read_to_string(group.join("schemata")).unwrap_or_default();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// The line of a resource; `L3` may be two, for code and data: the last one, as runc tells it.
fn schema(lines: &[String], resource: &str) -> Option<String> {
    lines.iter().rfind(|line| line.starts_with(resource)).cloned()
}

/// What is counted for each NUMA node.
fn nodes<T>(group: &Path, read: impl Fn(&Path) -> T) -> Vec<T> {
    let entries = fs::read_dir(group.join("mon_data")).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort_unstable();
    folders.iter().map(|folder| read(folder)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_told_with_what_the_machine_can_do() {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("schemata", "    L3:0=fff;1=fff\n"),
            ("info/L3/cbm_mask", "fff\n"),
            ("info/L3/min_cbm_bits", "1\n"),
            ("info/L3/num_closids", "16\n"),
            ("info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\n"),
            ("box/schemata", "    L3:0=f;1=f0\n"),
            ("box/mon_data/mon_L3_00/llc_occupancy", "4096\n"),
            ("box/mon_data/mon_L3_00/mbm_total_bytes", "17\n"),
            ("box/mon_data/mon_L3_01/llc_occupancy", "0\n"),
            ("box/mon_data/mon_L3_01/mbm_total_bytes", "Unavailable\n"),
        ] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let told = serde_json::to_value(Rdt::of(&Group::of_in(root.path(), "box", &IntelRdt::default()))).unwrap();
        let expected = serde_json::json!({
            "l3_cache_info": {"cbm_mask": "fff", "min_cbm_bits": 1, "num_closids": 16},
            "l3_cache_schema_root": "L3:0=fff;1=fff",
            "l3_cache_schema": "L3:0=f;1=f0",
            "schemata": ["L3:0=f;1=f0"],
            "mbm_stats": [{"mbm_total_bytes": 17, "mbm_local_bytes": 0}, {"mbm_total_bytes": 0, "mbm_local_bytes": 0}],
            "cmt_stats": [{"llc_occupancy": 4096}, {"llc_occupancy": 0}],
        });
        assert_eq!(told, expected);
        assert_eq!(serde_json::to_string(&Rdt::read("box", None)).unwrap(), "{}");
    }
}
