//! Each rule: what it tells and what it leaves alone.

use dockerfile::ignore::Ignore;
use dockerfile::lint::{ImageFacts, Options, Rule, Surroundings, check};
use dockerfile::{BuildArguments, parse};
use oci::image::Platform;

#[derive(Default)]
struct Around {
    ignore: Option<Ignore>,
}

impl Surroundings for Around {
    fn image(&self, name: &str, _: Option<&str>) -> Option<ImageFacts> {
        let env = vec!["PATH=/bin".to_owned(), "BASE=x".to_owned()];
        let platform = (name == "foreign").then(|| Platform { architecture: "arm64".to_owned(), ..linux() });
        let facts = ImageFacts { env, platform, ..ImageFacts::default() };
        (name != "unknown").then_some(facts)
    }

    fn is_image_name(&self, name: &str) -> bool {
        !name.is_empty() && !name.ends_with(':')
    }

    fn ignore(&self) -> Option<&Ignore> {
        self.ignore.as_ref()
    }
}

fn linux() -> Platform {
    Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), ..Platform::default() }
}

/// `Rule first-last: message` for each warning.
fn told(text: &str, around: &Around) -> Vec<String> {
    let file = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let options = Options::of(&file, None).unwrap();
    let arguments = BuildArguments { target: linux(), build: linux(), ..BuildArguments::default() };
    let report = check(&file, &arguments, &options, around);
    assert_eq!(report.error, None);
    let show = |warning: &dockerfile::lint::Warning| {
        format!("{} {}: {}", warning.rule.name(), warning.lines.first, warning.message)
    };
    report.warnings.iter().map(show).collect()
}

fn expect(text: &str, wanted: &[&str]) {
    assert_eq!(told(text, &Around::default()), wanted, "{text}");
}

#[test]
fn cases() {
    expect(
        "FROM scratch AS Build\nFROM scratch as low\n",
        &[
            "StageNameCasing 1: Stage name 'Build' should be lowercase",
            "FromAsCasing 2: 'as' and 'FROM' keywords' casing do not match",
        ],
    );
    expect(
        "FROM scratch\nrun a\nRun b\nCOPY c d\n",
        &[
            "ConsistentInstructionCasing 2: Command 'run' should match the case of the command majority (uppercase)",
            "ConsistentInstructionCasing 3: Command 'Run' should match the case of the command majority (uppercase)",
        ],
    );
    expect(
        "from scratch as x\nrun a\nUSER b\n",
        &["ConsistentInstructionCasing 3: Command 'USER' should match the case of the command majority (lowercase)"],
    );
}

#[test]
fn names_of_stages() {
    expect(
        "FROM scratch AS a\nFROM scratch AS a\nFROM scratch AS context\n",
        &[
            "DuplicateStageName 2: Duplicate stage name \"a\", stage names should be unique",
            "ReservedStageName 3: Stage name should not use the same name as reserved stage \"context\"",
        ],
    );
}

#[test]
fn old_ways() {
    expect("FROM scratch\nRUN a \\\n\n b\n", &["NoEmptyContinuation 4: Empty continuation line"]);
    expect(
        "FROM scratch\nMAINTAINER me\n",
        &["MaintainerDeprecated 2: Maintainer instruction is deprecated in favor of using label"],
    );
    expect(
        "FROM scratch\nENV a b\nLABEL c d\nLABEL e=f\n",
        &[
            "LegacyKeyValueFormat 2: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
            "LegacyKeyValueFormat 3: \"LABEL key=value\" should be used instead of legacy \"LABEL key value\" format",
        ],
    );
}

#[test]
fn commands_of_the_image() {
    let json = "to prevent unintended behavior related to OS signals";
    expect(
        "FROM scratch\nCMD a\nSHELL [\"/x\"]\nENTRYPOINT b\n",
        &[&format!("JSONArgsRecommended 2: JSON arguments recommended for CMD {json}")],
    );
    expect("FROM scratch AS a\nSHELL [\"/x\"]\nFROM a\nCMD y\n", &[]);
    let only = "instructions should not be used in the same stage because only the last one will be used";
    expect(
        "FROM scratch\nCMD [\"a\"]\nHEALTHCHECK NONE\nCMD [\"b\"]\nHEALTHCHECK NONE\nFROM scratch\nCMD [\"c\"]\n",
        &[
            &format!("MultipleInstructionsDisallowed 2: Multiple CMD {only}"),
            &format!("MultipleInstructionsDisallowed 3: Multiple HEALTHCHECK {only}"),
        ],
    );
}

#[test]
fn variables() {
    expect(
        "ARG VERSION=1\nFROM b:${VERSON}x\n",
        &["UndefinedArgInFrom 2: FROM argument 'VERSON' is not declared (did you mean VERSION?)"],
    );
    expect(
        "FROM b\nARG KNOWN\nENV A=$BASE B=$KNOWN C=$PAHT\nCOPY $A $NOPE_NOT_AT_ALL /x\nRUN $Z\nLABEL x=${Q1234:-1}\n",
        &[
            "UndefinedVar 3: Usage of undefined variable '$PAHT' (did you mean $PATH?)",
            "UndefinedVar 4: Usage of undefined variable '$NOPE_NOT_AT_ALL'",
            "UndefinedVar 6: Usage of undefined variable '$Q1234'",
        ],
    );
    expect("FROM unknown\nLABEL x=$ANYTHING\n", &[]);
    expect(
        "ARG A\nFROM b:$A\n",
        &["InvalidDefaultArgInFrom 2: Default value for ARG b:$A results in empty or invalid base image name"],
    );
}

#[test]
fn secrets() {
    expect(
        "FROM scratch\nARG API_KEY\nARG PUBLIC_KEY KEY_FILE tokens\nENV password=x auth_version=1\n",
        &[
            "SecretsUsedInArgOrEnv 2: Do not use ARG or ENV instructions for sensitive data (ARG \"API_KEY\")",
            "SecretsUsedInArgOrEnv 4: Do not use ARG or ENV instructions for sensitive data (ENV \"password\")",
        ],
    );
}

#[test]
fn folders() {
    expect(
        "FROM scratch AS a\nWORKDIR x\nWORKDIR y\nFROM a\nWORKDIR z\nFROM scratch\nWORKDIR /a\nWORKDIR b\n",
        &["WorkdirRelativePath 2: Relative workdir \"x\" can have unexpected results if the base image changes"],
    );
}

#[test]
fn platforms() {
    expect(
        "FROM --platform=$TARGETPLATFORM b\nFROM --platform=linux/arm64 b\nFROM --platform=linux/arm64 b AS arm64-x\nFROM --platform=$BUILDPLATFORM b\n",
        &[
            "RedundantTargetPlatform 1: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
            "FromPlatformFlagConstDisallowed 2: FROM --platform flag should not use constant value \"linux/arm64\"",
        ],
    );
}

#[test]
fn ports() {
    expect(
        "FROM scratch\nEXPOSE 80/TCP 81 8080:80\n",
        &[
            "ExposeProtoCasing 2: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
            "ExposeInvalidFormat 2: EXPOSE instruction should not define an IP address or host-port mapping, found '8080:80'",
        ],
    );
}

#[test]
fn ignored_files() {
    let around = |text: &str| Around { ignore: Some(Ignore::parse(text).unwrap()) };
    let text = "FROM scratch AS a\nCOPY src/x docs /d\nADD src https://h/src /e\nCOPY --from=a src /f\nCOPY . /g\n";
    let wanted = [
        "CopyIgnoredFile 2: Attempting to Copy file \"src/x\" that is excluded by .dockerignore",
        "CopyIgnoredFile 3: Attempting to Add file \"src\" that is excluded by .dockerignore",
    ];
    assert_eq!(told(text, &around("src\n")), wanted);
    assert!(told(text, &around("src\n!src/x\n")).is_empty());
    assert_eq!(told("FROM scratch\nCOPY . /\n", &around("**")).len(), 1);
}

#[test]
fn descriptions_are_checked_for_who_asks() {
    let text = "# A is a\nARG A\n# wrong\nARG B C\n# base is good\nFROM scratch AS base\n# far\n#\nARG D\n";
    expect(text, &[]);
    expect(
        &format!("# check=experimental=all\n{text}"),
        &["InvalidDefinitionDescription 5: Comment for ARG should follow the format: `# <arg_key> <description>`"],
    );
}

#[test]
fn options_leave_rules_out() {
    expect("# check=skip=JSONArgsRecommended,StageNameCasing\nFROM scratch AS Big\nCMD a\n", &[]);
    expect("FROM scratch\n# check=skip=all\nCMD a\n", &[]);
    let file = parse(b"# check=error=true\nFROM scratch AS Big\nCMD a\n").unwrap();
    let options = Options::of(&file, None).unwrap();
    assert!(options.error);
    let report = check(&file, &BuildArguments::default(), &options, &Around::default());
    let violation = "lint violation found for rules: StageNameCasing, JSONArgsRecommended";
    assert_eq!(report.violation().as_deref(), Some(violation));
}

#[test]
fn a_warning_shows_its_place() {
    let text = "FROM scratch AS Big\n";
    let file = parse(text.as_bytes()).unwrap();
    let report = check(&file, &BuildArguments::default(), &Options::default(), &Around::default());
    let wanted = "\nWARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/\nStage name 'Big' should be lowercase\nDockerfile:1\n--------------------\n   1 | >>> FROM scratch AS Big\n   2 |     \n--------------------\n";
    assert_eq!(report.warnings[0].text(text, "Dockerfile"), wanted);
}

#[test]
fn an_image_of_another_platform_is_told() {
    let said = told("FROM foreign\nFROM --platform=arm64 foreign\nFROM other\n", &Around::default());
    let wanted =
        "Base image foreign was pulled with platform \"linux/arm64\", expected \"linux/amd64\" for current build";
    let found: Vec<&String> = said.iter().filter(|line| line.starts_with("InvalidBaseImagePlatform")).collect();
    assert_eq!(found, [&format!("InvalidBaseImagePlatform 1: {wanted}")]);
}

#[test]
fn every_rule_has_a_name_and_an_address() {
    assert_eq!(Rule::all().count(), 22);
    assert!(Rule::all().all(|rule| !rule.name().is_empty() && !rule.description().is_empty()));
    // BuildKit explains all but this one.
    assert!(Rule::all().all(|rule| rule == Rule::InvalidBaseImagePlatform || rule.url().len() > 50));
}
