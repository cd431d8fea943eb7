//! From a container's log options to its file.

use super::options::Options;
use super::{NONE, Remote, size, tag};
use crate::{Engine, Error, Result};
use container::Container;
use logs::{Driver, Target};
use std::path::PathBuf;

/// Bytes of a log before it is rotated, and how many files are kept, unless told: output never fills the disk. Docker bounds
/// only `local`, by the same.
const FILE_SIZE: u64 = 20 << 20;
const FILES: u32 = 5;

/// Told in place of a size by who wants no bound.
const UNBOUNDED: &str = "-1";

impl Engine {
    /// Where the log of a container is shown to be: only `json-file` has a form that others may read.
    pub(crate) fn log_path(&self, record: &Container) -> String {
        match record.config.log.driver.as_str() {
            "" | super::DEFAULT_DRIVER => self.log_file(record).display().to_string(),
            _ => String::new(),
        }
    }

    fn log_file(&self, record: &Container) -> PathBuf {
        let folder = self.house.roots.container(&record.id);
        match record.config.log.driver.as_str() {
            "" | super::DEFAULT_DRIVER => folder.join(format!("{}-json.log", record.id)),
            "local" => folder.join("container.log"),
            _ => folder.join("container-cached.log"),
        }
    }

    /// How the output of a container is logged.
    pub(crate) fn log_target(&self, record: &Container) -> Result<Target> {
        let wrong = |why: String| Error::Logging(why);
        let options = &record.config.log.options;
        let path = self.log_file(record);
        let none = Target { driver: Driver::None, path: path.clone(), ..Target::default() };
        let mut target = match record.config.log.driver.as_str() {
            NONE => return Ok(none),
            "local" => local(options, "").map_err(wrong)?,
            driver if Remote::of(driver).is_some() => local(options, "cache-").map_err(wrong)?,
            _ => json_file(options).map_err(wrong)?,
        };
        target.path = path;
        target.attributes = tag::attributes(record, options).map_err(wrong)?;
        if options.get("tag").is_some_and(|text| !text.is_empty()) {
            target.attributes.insert("tag".to_owned(), tag::tag(record, options, "").map_err(wrong)?);
        }
        Ok(target)
    }
}

/// Docker's `json-file`. What it leaves without a bound has one here.
fn json_file(options: &Options) -> std::result::Result<Target, String> {
    let told = options.get("max-size").map(String::as_str);
    let max_size = match told {
        None => FILE_SIZE,
        Some(UNBOUNDED) => 0,
        Some(text) => size::decimal(text)?,
    };
    if told.is_some_and(|text| text != UNBOUNDED) && max_size == 0 {
        return Err("max-size must be a positive number".to_owned());
    }
    let files = options.get("max-file").map(|text| size::number(text)).transpose()?;
    if files.is_some_and(|files| files < 1) {
        return Err("max-file cannot be less than 1".to_owned());
    }
    let compress = options.get("compress").map(|text| size::switch(text)).transpose()?.unwrap_or(false);
    if compress && (files.unwrap_or(1) == 1 || told.is_none_or(|text| text == UNBOUNDED)) {
        return Err("compress cannot be true when max-file is less than 2 or max-size is not set".to_owned());
    }
    // Who tells the size alone means one file, as with Docker.
    let usual = if told.is_some() { 1 } else { FILES };
    Ok(Target { driver: Driver::JsonFile, max_size, max_file: count(files, usual), compress, ..Target::default() })
}

/// Docker's `local`, also the cache of a driver that sends; its options have `prefix` then.
fn local(options: &Options, prefix: &str) -> std::result::Result<Target, String> {
    let option = |name: &str| options.get(&format!("{prefix}{name}")).map(String::as_str);
    let wrong = |name: &str, text: &str, why: String| format!("invalid value for {name}: {text}: {why}");
    let max_size = match option("max-size") {
        None => FILE_SIZE,
        Some(UNBOUNDED) => 0,
        Some(text) => size::decimal(text).map_err(|why| wrong("max-size", text, why))?,
    };
    let files = option("max-file").map(|text| size::number(text).map_err(|why| wrong("max-file", text, why)));
    let files = files.transpose()?;
    if files.is_some_and(|files| files < 0) {
        return Err("max-file must not be negative".to_owned());
    }
    let compress = option("compress").map(size::switch).transpose();
    let compress = compress.map_err(|why| format!("invalid boolean value for compress: {why}"))?.unwrap_or(true);
    if compress && files.is_some_and(|files| files <= 1) {
        return Err("compression cannot be enabled when max file count is 1".to_owned());
    }
    Ok(Target { driver: Driver::Local, max_size, max_file: count(files, FILES), compress, ..Target::default() })
}

fn count(told: Option<i64>, usual: u32) -> u32 {
    told.map_or(usual, |told| u32::try_from(told.max(1)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_log_is_bounded_unless_told_otherwise() {
        let bounds = |pairs: &[(&str, &str)]| {
            json_file(&options(pairs)).map(|target| (target.max_size, target.max_file, target.compress))
        };
        assert_eq!(bounds(&[]), Ok((20 << 20, 5, false)));
        assert_eq!(bounds(&[("max-file", "3")]), Ok((20 << 20, 3, false)));
        assert_eq!(bounds(&[("max-size", "10k")]), Ok((10_000, 1, false)));
        assert_eq!(bounds(&[("max-size", "-1")]), Ok((0, 1, false)));
        assert_eq!(bounds(&[("max-size", "1m"), ("max-file", "2"), ("compress", "1")]), Ok((1_000_000, 2, true)));
        let local = local(&options(&[]), "").expect("a target");
        assert_eq!((local.max_size, local.max_file, local.compress), (20 << 20, 5, true));
    }

    #[test]
    fn wrong_values_are_told_in_dockers_words() {
        for (pairs, why) in [
            (&[("max-size", "x")][..], "invalid size: 'x'"),
            (&[("max-size", "0")], "max-size must be a positive number"),
            (&[("max-file", "0")], "max-file cannot be less than 1"),
            (&[("max-file", "x")], "strconv.Atoi: parsing \"x\": invalid syntax"),
            (&[("compress", "true")], "compress cannot be true when max-file is less than 2 or max-size is not set"),
            (&[("compress", "maybe")], "strconv.ParseBool: parsing \"maybe\": invalid syntax"),
        ] {
            assert_eq!(json_file(&options(pairs)), Err(why.to_owned()));
        }
        let refused = local(&options(&[("cache-max-file", "1")]), "cache-");
        assert_eq!(refused, Err("compression cannot be enabled when max file count is 1".to_owned()));
        let refused = local(&options(&[("max-size", "x")]), "");
        assert_eq!(refused, Err("invalid value for max-size: x: invalid size: 'x'".to_owned()));
    }
}
