//! The health check flags.

use serde_json::{Value, json};

use super::{Object, put_number};
use crate::grammar::container::ContainerFlags;

/// The `Healthcheck` object, if any of its flags was typed. Times are nanoseconds.
pub(super) fn check(flags: &ContainerFlags) -> Result<Option<Value>, String> {
    let amounts = [
        ("Interval", "--health-interval", flags.health_interval),
        ("Timeout", "--health-timeout", flags.health_timeout),
        ("StartPeriod", "--health-start-period", flags.health_start_period),
        ("StartInterval", "--health-start-interval", flags.health_start_interval),
        ("Retries", "--health-retries", flags.health_retries),
    ];
    let command = flags.health_cmd.as_deref().filter(|command| !command.is_empty());
    let given = command.is_some() || amounts.iter().any(|(_, _, value)| value.is_some_and(|value| value != 0));
    if flags.no_healthcheck {
        return match given {
            true => Err("--no-healthcheck conflicts with --health-* options".to_owned()),
            false => Ok(Some(json!({ "Test": ["NONE"] }))),
        };
    }
    if !given {
        return Ok(None);
    }
    let mut check = Object::new();
    if let Some(command) = command {
        check.insert("Test".to_owned(), json!(["CMD-SHELL", command]));
    }
    for (key, flag, value) in amounts {
        if value.is_some_and(|value| value < 0) {
            return Err(format!("{flag} cannot be negative"));
        }
        put_number(&mut check, key, value);
    }
    Ok(Some(Value::Object(check)))
}

/// The label that says what happens to it when it becomes unhealthy. A label, because every client can set one.
pub(super) fn label(flags: &ContainerFlags) -> Option<(String, Value)> {
    let word = flags.health_on_failure.as_ref()?;
    Some((ON_FAILURE.to_owned(), json!(word)))
}

const ON_FAILURE: &str = "dhow.health.on-failure";
