//! `exec --cgroup`: groups below the container's own, for all controllers or for some.

use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// Reads `GROUP` (alone) or `CONTROLLER[,CONTROLLER]:GROUP` (repeated); the key `""` stands for all controllers.
pub fn read(arguments: &[String]) -> Result<BTreeMap<String, String>> {
    let mut groups = BTreeMap::new();
    for argument in arguments {
        let Some((controllers, group)) = argument.split_once(':') else {
            if arguments.len() != 1 {
                return Err(Error::new(format!(
                    "invalid --cgroup argument: {argument} (missing <controller>: prefix)"
                )));
            }
            groups.insert(String::new(), argument.clone());
            continue;
        };
        for controller in controllers.split(',') {
            if controller.is_empty() {
                return Err(Error::new(format!("invalid --cgroup argument: {argument} (empty <controller> prefix)")));
            }
            if groups.insert(controller.to_owned(), group.to_owned()).is_some() {
                return Err(Error::new(format!(
                    "invalid --cgroup argument(s): controller {controller} specified multiple times"
                )));
            }
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> std::result::Result<String, String> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let groups = read(&arguments).map_err(|e| e.message)?;
        Ok(groups.iter().map(|(controller, group)| format!("{controller}={group}")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_group_is_for_all_controllers_or_for_some() {
        assert_eq!(parse(&[]).unwrap(), "");
        assert_eq!(parse(&["sub"]).unwrap(), "=sub");
        assert_eq!(parse(&["cpu,cpuacct:a", "memory:b"]).unwrap(), "cpu=a cpuacct=a memory=b");
        assert!(parse(&["a", "b"]).unwrap_err().ends_with("(missing <controller>: prefix)"));
        assert!(parse(&[",cpu:a"]).unwrap_err().ends_with("(empty <controller> prefix)"));
        assert!(parse(&["cpu:a", "cpu:b"]).unwrap_err().ends_with("controller cpu specified multiple times"));
    }
}
