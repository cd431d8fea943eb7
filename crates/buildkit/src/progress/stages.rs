//! What steps are called: `[build 2/5] RUN make`, counted as BuildKit counts them.

use build::progress::StepInfo;
use std::collections::BTreeMap;

/// What is known of the stages of a build.
#[derive(Debug, Default)]
pub(super) struct Stages {
    /// The file has more than one.
    several: bool,
    /// By its number: a `FROM` that is no vertex (`scratch`, an earlier stage) is not counted.
    uncounted: BTreeMap<usize, bool>,
    names: BTreeMap<usize, Option<String>>,
}

impl Stages {
    /// `count`: how many stages the file has, whether they are needed or not.
    pub fn new(count: usize, planned: &[StepInfo]) -> Stages {
        let mut stages = Stages { several: count > 1, ..Stages::default() };
        for info in planned {
            stages.names.insert(info.stage, info.stage_name.clone());
        }
        for info in planned {
            if let Some(base) = base(info) {
                let earlier = stages.is_stage(base, info.stage);
                stages.uncounted.insert(info.stage, earlier || base == "scratch");
            }
        }
        stages
    }

    fn is_stage(&self, name: &str, before: usize) -> bool {
        self.names.range(..before).any(|(number, own)| {
            own.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name)) || name.parse() == Ok(*number)
        })
    }

    /// Whether the `FROM` of a stage is one of an image.
    pub fn begins_with_an_image(&self, stage: usize) -> bool {
        !self.uncounted.get(&stage).copied().unwrap_or_default()
    }

    /// `[build 2/5] `; `None` of a step that is not told.
    pub fn prefix(&self, info: &StepInfo) -> Option<String> {
        let (mut place, mut total) = info.place?;
        if !self.begins_with_an_image(info.stage) {
            place = place.checked_sub(1).filter(|place| *place > 0)?;
            total -= 1;
        }
        let width = total.to_string().len();
        let platform = platform_prefix(info);
        let stage = match &info.stage_name {
            _ if !self.several => String::new(),
            Some(name) => format!("{name} "),
            None => format!("stage-{} ", info.stage),
        };
        Some(format!("[{platform}{stage}{place:width$}/{total}] "))
    }
}

/// `linux/arm64 `, when a build is for several platforms.
fn platform_prefix(info: &StepInfo) -> String {
    info.platform.as_ref().map(|platform| format!("{} ", crate::gateway::platform_id(platform))).unwrap_or_default()
}

/// What a `FROM` names.
pub(super) fn base(info: &StepInfo) -> Option<&str> {
    let (word, name) = info.title.split_once(' ')?;
    let is_from = info.place.is_some_and(|(place, _)| place == 1) && word.eq_ignore_ascii_case("from");
    is_from.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dockerfile::Lines;

    fn info(stage: usize, name: Option<&str>, place: Option<(usize, usize)>, title: &str) -> StepInfo {
        StepInfo {
            stage,
            stage_name: name.map(str::to_owned),
            place,
            title: title.to_owned(),
            code: title.to_owned(),
            lines: Lines { first: 1, last: 1 },
            platform: None,
        }
    }

    #[test]
    fn one_stage_has_no_name() {
        let planned = [info(0, None, Some((1, 2)), "FROM busybox"), info(0, None, Some((2, 2)), "RUN x")];
        let stages = Stages::new(1, &planned);
        assert_eq!(stages.prefix(&planned[1]).as_deref(), Some("[2/2] "));
        assert_eq!(stages.prefix(&info(0, None, None, "ENV a=b")), None);
    }

    #[test]
    fn stages_on_stages_and_on_nothing_do_not_count_their_first_line() {
        let planned = [
            info(0, Some("a"), Some((1, 2)), "FROM busybox"),
            info(0, Some("a"), Some((2, 2)), "RUN x"),
            info(1, None, Some((1, 2)), "FROM a"),
            info(1, None, Some((2, 2)), "RUN y"),
            info(2, None, Some((1, 12)), "FROM scratch"),
            info(2, None, Some((2, 12)), "COPY z /"),
        ];
        let stages = Stages::new(3, &planned);
        let prefixes: Vec<Option<String>> = planned.iter().map(|info| stages.prefix(info)).collect();
        let expected =
            [Some("[a 1/2] "), Some("[a 2/2] "), None, Some("[stage-1 1/1] "), None, Some("[stage-2  1/11] ")];
        assert_eq!(prefixes.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
    }
}
