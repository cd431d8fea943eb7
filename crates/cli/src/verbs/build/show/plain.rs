//! Lines for logs: `#5 [base 2/3] RUN x`, what it says, and how it ended.

use api::types::BuildEvent;

use super::steps::{Step, Steps};

/// The lines of an event that was taken.
pub fn lines(steps: &Steps, event: &BuildEvent) -> String {
    match event {
        // The first step of a stage has its title from the beginning; others with their variables.
        BuildEvent::Started(step) => of(steps, *step, |n, step| match is_base(step) {
            true => format!("#{n} {}\n", step.name()),
            false => String::new(),
        }),
        BuildEvent::Titled { step, .. } => of(steps, *step, |n, step| format!("#{n} {}\n", step.name())),
        BuildEvent::Output { step, .. } | BuildEvent::Pulling { step, .. } => of(steps, *step, said),
        BuildEvent::Done { step, cached: true } => of(steps, *step, |n, _| format!("#{n} CACHED\n")),
        BuildEvent::Done { step, cached: false } => {
            of(steps, *step, |n, step| format!("{}#{n} DONE {:.1}s\n", said(n, step), step.time().as_secs_f64()))
        }
        BuildEvent::Failed { step, cancelled: true, .. } => {
            of(steps, *step, |n, step| format!("{}#{n} CANCELED\n", said(n, step)))
        }
        BuildEvent::Failed { step, why, .. } => {
            of(steps, *step, |n, step| format!("{}#{n} ERROR: {why}\n", said(n, step)))
        }
        // Names are told with the result.
        BuildEvent::Task { name, .. } if is_naming(name) => String::new(),
        BuildEvent::Task { name, done: false } => format!("=> {name}\n"),
        BuildEvent::Task { .. } => match &steps.ended {
            Some((name, took)) => format!("=> {name} DONE {:.1}s\n", took.as_secs_f64()),
            None => String::new(),
        },
        BuildEvent::Why { step, reason } => of(steps, *step, |n, _| format!("#{n} WHY: {reason}\n")),
        _ => String::new(),
    }
}

fn of(steps: &Steps, step: usize, line: impl FnOnce(usize, &Step) -> String) -> String {
    steps.all.get(&step).filter(|step| step.counts()).map(|found| line(step + 1, found)).unwrap_or_default()
}

/// A name of the result, which the end tells.
pub fn is_naming(task: &str) -> bool {
    task.starts_with("naming to ")
}

/// A stage begins with it.
pub fn is_base(step: &Step) -> bool {
    step.info.place.is_some_and(|(place, _)| place == 1)
}

/// The lines that the latest event ended.
fn said(number: usize, step: &Step) -> String {
    let fresh = &step.said[step.said.len().saturating_sub(step.fresh)..];
    fresh.iter().map(|(at, line)| format!("#{number} {:.3} {line}\n", at.as_secs_f64())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::steps::tests::planned;
    use super::*;

    #[test]
    fn each_step_has_a_number_before_its_lines() {
        let mut steps = planned(&["FROM x", "RUN y"]);
        let mut text = String::new();
        for event in [
            BuildEvent::Started(0),
            BuildEvent::Done { step: 0, cached: true },
            BuildEvent::Started(1),
            BuildEvent::Titled { step: 1, title: "RUN z".to_owned() },
            BuildEvent::Why { step: 1, reason: "the text of the instruction changed".to_owned() },
            BuildEvent::Output { step: 1, error: true, text: "a\nb".to_owned() },
            BuildEvent::Done { step: 1, cached: false },
        ] {
            steps.take(&event);
            text.push_str(&lines(&steps, &event));
        }
        let plain: Vec<String> = text.lines().map(|line| line.replace(|c: char| c.is_ascii_digit(), "0")).collect();
        let wanted = [
            "#0 [stage-0 0/0] FROM x",
            "#0 CACHED",
            "#0 [stage-0 0/0] RUN z",
            "#0 WHY: the text of the instruction changed",
            "#0 0.000 a",
            "#0 0.000 b",
            "#0 DONE 0.0s",
        ];
        assert_eq!(plain, wanted);
    }
}
