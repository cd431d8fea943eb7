//! Tests of the compiler: its programs run in an interpreter, and compared with a plain reading of the profile.

use crate::bpf::{self, Instruction};
use crate::compile::program;
use crate::default::for_machine;
use crate::machine::{Machine, X32_BIT};
use crate::rules::Action;
use oci::runtime::{Seccomp, SeccompArg, SeccompRule};
use proptest::prelude::*;
use std::collections::HashMap;

/// `struct seccomp_data` without the instruction pointer.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: u32,
    audit: u32,
    args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        let half =
            |value: u64, high: bool| u32::try_from(if high { value >> 32 } else { value & 0xffff_ffff }).unwrap();
        match offset {
            0 => self.number,
            4 => self.audit,
            16..64 if offset.is_multiple_of(4) => half(self.args[(offset as usize - 16) / 8], offset % 8 == 4),
            _ => panic!("the kernel refuses a load from {offset}"),
        }
    }
}

/// What the kernel's interpreter would answer.
fn run(program: &[Instruction], call: &Call) -> Action {
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let Instruction { code, jump_true, jump_false, k } = program[at];
        at += 1;
        let mut branch = |yes: bool| at += usize::from(if yes { jump_true } else { jump_false });
        match code {
            bpf::LOAD => accumulator = call.word(k),
            bpf::AND => accumulator &= k,
            bpf::RETURN => return Action(k),
            bpf::JUMP => at += k as usize,
            0x15 => branch(accumulator == k),
            0x25 => branch(accumulator > k),
            0x35 => branch(accumulator >= k),
            _ => panic!("unknown instruction {code:#x}"),
        }
    }
}

/// A profile read rule by rule, with the rules of each call at hand.
struct Reading<'a> {
    native: Machine,
    profile: &'a Seccomp,
    default: Action,
    rules: HashMap<(Machine, u32), Vec<&'a SeccompRule>>,
    newest: HashMap<Machine, u32>,
}

impl<'a> Reading<'a> {
    fn new(native: Machine, profile: &'a Seccomp) -> Reading<'a> {
        let default = action(&profile.default_action, profile.default_errno_ret);
        let mut reading = Reading { native, profile, default, rules: HashMap::new(), newest: HashMap::new() };
        for machine in [native].iter().chain(native.companions()) {
            for rule in &profile.syscalls {
                for number in rule.names.iter().filter_map(|name| machine.number(name)) {
                    reading.rules.entry((*machine, number)).or_default().push(rule);
                    if ordinary(*machine, number) {
                        let newest = reading.newest.entry(*machine).or_insert(number);
                        *newest = number.max(*newest);
                    }
                }
            }
        }
        reading
    }

    /// The first unconditional rule, then the first that fits, then the default.
    fn expected(&self, call: &Call) -> Action {
        let Some(machine) = machine_of(self.native, self.profile, call) else { return Action::KILL_PROCESS };
        let lenient = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"];
        let denies =
            !lenient.contains(&self.profile.default_action.as_str()) && self.profile.default_errno_ret != Some(38);
        let beyond = self.newest.get(&machine).is_some_and(|newest| call.number > *newest);
        if denies && beyond && ordinary(machine, call.number) {
            return Action::NO_SUCH_CALL;
        }
        let all = self.rules.get(&(machine, call.number)).map(Vec::as_slice).unwrap_or_default();
        let rules = || {
            all.iter()
                .map(|rule| (rule, action(&rule.action, rule.errno_ret)))
                .filter(|(_, word)| *word != self.default)
        };
        let unconditional = rules().find(|(rule, _)| rule.args.is_empty());
        let fitting = || rules().find(|(rule, _)| fits(machine, &rule.args, call));
        unconditional.or_else(fitting).map_or(self.default, |(_, word)| word)
    }
}

fn ordinary(machine: Machine, number: u32) -> bool {
    match machine {
        Machine::Arm => number < 0xf_0000,
        Machine::X86_64 => number < X32_BIT,
        _ => true,
    }
}

fn machine_of(native: Machine, profile: &Seccomp, call: &Call) -> Option<Machine> {
    let allowed =
        |machine: &Machine| *machine == native || profile.architectures.iter().any(|name| name == machine.name());
    let mut all = [native].into_iter().chain(native.companions().iter().copied());
    let wide = native == Machine::X86_64 && call.audit == native.audit() && call.number >= X32_BIT;
    match wide {
        true if allowed(&Machine::X32) => Some(Machine::X32),
        true if call.number == u32::MAX => Some(Machine::X86_64),
        true => None,
        false => all.find(|machine| machine.audit() == call.audit && *machine != Machine::X32 && allowed(machine)),
    }
}

fn action(name: &str, value: Option<u32>) -> Action {
    let value = value.unwrap_or(1);
    Action(match name {
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | value,
        "SCMP_ACT_NOTIFY" => 0x7fc0_0000,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | value,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_KILL" => 0,
        _ => panic!("{name}"),
    })
}

fn fits(machine: Machine, args: &[SeccompArg], call: &Call) -> bool {
    let width = if machine.narrow() { 0xffff_ffff } else { u64::MAX };
    let holds = |arg: &SeccompArg| {
        let (seen, value) = (call.args[arg.index as usize] & width, arg.value & width);
        match arg.op.as_str() {
            "SCMP_CMP_EQ" => seen == value,
            "SCMP_CMP_NE" => seen != value,
            "SCMP_CMP_GT" => seen > value,
            "SCMP_CMP_GE" => seen >= value,
            "SCMP_CMP_LT" => seen < value,
            "SCMP_CMP_LE" => seen <= value,
            "SCMP_CMP_MASKED_EQ" => seen & value == arg.value_two & width,
            op => panic!("{op}"),
        }
    };
    let repeated = args.iter().enumerate().any(|(at, arg)| args[..at].iter().any(|other| other.index == arg.index));
    if repeated { args.iter().any(holds) } else { args.iter().all(holds) }
}

/// Every number that can matter: all the tables' and their neighbours, gaps, and the edges of the number space.
fn numbers() -> impl Iterator<Item = u32> {
    let edges = [0x000e_ffff, u32::MAX - 1, u32::MAX, 1 << 29, 1 << 31, X32_BIT - 1];
    (0..700).chain(0xf_0000..0xf_0010).chain(X32_BIT..X32_BIT + 700).chain(edges)
}

const NATIVES: [Machine; 2] = [Machine::X86_64, Machine::Aarch64];
const AUDITS: [u32; 5] = [0xc000_003e, 0x4000_0003, 0xc000_00b7, 0x4000_0028, 0x8000_0016];

fn compare_everywhere(native: Machine, profile: &Seccomp) {
    let program = program(native, profile).unwrap();
    let reading = Reading::new(native, profile);
    for audit in AUDITS {
        for number in numbers() {
            for first in [0, 1, 8, 16, 38, 40, 0xffff_ffff, 0x1_0000_0026, 0x1000_0000] {
                let call = Call { number, audit, args: [first, 0, 0, 0, 0, 0] };
                assert_eq!(run(&program, &call), reading.expected(&call), "{native:?} {call:x?}");
            }
        }
    }
}

#[test]
fn the_default_profile_means_the_same_compiled_for_every_number_and_architecture() {
    for native in NATIVES {
        for capabilities in [0, 0xa804_25fb, 1 << 21, u64::MAX] {
            compare_everywhere(native, &for_machine(native, capabilities));
        }
    }
}

#[test]
fn a_profile_for_one_architecture_kills_the_others() {
    for native in NATIVES {
        compare_everywhere(native, &Seccomp { architectures: Vec::new(), ..for_machine(native, 0) });
    }
}

#[test]
fn a_profile_that_denies_little_means_the_same_compiled() {
    let rule = |names: &[&str], action: &str| SeccompRule {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action: action.to_owned(),
        ..SeccompRule::default()
    };
    for default in
        ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRACE", "SCMP_ACT_KILL", "SCMP_ACT_TRAP"]
    {
        let syscalls = vec![
            rule(&["mkdir", "no_such_call", "set_tls"], "SCMP_ACT_ERRNO"),
            rule(&["mkdir", "chmod"], "SCMP_ACT_KILL"),
            rule(&["uname"], "SCMP_ACT_NOTIFY"),
            rule(&["read", "getpid"], "SCMP_ACT_ALLOW"),
        ];
        for native in NATIVES {
            let profile =
                Seccomp { default_action: default.to_owned(), syscalls: syscalls.clone(), ..for_machine(native, 0) };
            compare_everywhere(native, &profile);
        }
    }
}

fn first_argument(native: Machine, name: &str, machine: Machine, capabilities: u64, value: u64) -> Action {
    let program = program(native, &for_machine(native, capabilities)).unwrap();
    let number = machine.number(name).unwrap();
    run(&program, &Call { number, audit: machine.audit(), args: [value, 0, 0, 0, 0, 0] })
}

#[test]
fn af_alg_and_af_vsock_are_denied_whatever_the_upper_half_says() {
    let eperm = action("SCMP_ACT_ERRNO", None);
    for machine in [Machine::X86_64, Machine::X86, Machine::X32] {
        for family in 0..256 {
            let wanted = if family == 38 || family == 40 { eperm } else { Action::ALLOW };
            if family >= 128 {
                continue;
            }
            for upper in [0, 1 << 32, 0xffff_ffff_0000_0000] {
                assert_eq!(first_argument(Machine::X86_64, "socket", machine, 0, family | upper), wanted, "{family}");
            }
        }
    }
    assert_eq!(first_argument(Machine::X86_64, "socketcall", Machine::X86, 0, 1), Action::ALLOW);
    assert_eq!(first_argument(Machine::Aarch64, "socket", Machine::Arm, 0, 38), eperm);
}

#[test]
fn new_namespaces_need_cap_sys_admin() {
    let (eperm, admin) = (action("SCMP_ACT_ERRNO", None), 1 << 21);
    let ask = |name, capabilities, value| first_argument(Machine::X86_64, name, Machine::X86_64, capabilities, value);
    for flag in [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
        assert_eq!(ask("clone", 0, flag | 17), eperm, "{flag:x}");
        assert_eq!(ask("clone", admin, flag | 17), Action::ALLOW);
    }
    assert_eq!(ask("clone", 0, 0x003d_0f00), Action::ALLOW);
    assert_eq!(ask("clone3", 0, 0), Action::NO_SUCH_CALL);
    assert_eq!(ask("clone3", admin, 0), Action::ALLOW);
    for name in ["unshare", "setns", "mount", "bpf", "perf_event_open", "keyctl", "io_uring_setup", "userfaultfd"] {
        assert_eq!(ask(name, 0, 0), eperm, "{name}");
    }
    assert_eq!(ask("bpf", 1 << 39, 0), Action::ALLOW);
    assert_eq!(ask("personality", 0, 0x40_0000), eperm);
    assert_eq!(ask("personality", 0, 0xffff_ffff), Action::ALLOW);
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let (admin, newer) = (1 << 21, Machine::X86_64.number("listns").unwrap());
    let program = program(Machine::X86_64, &for_machine(Machine::X86_64, admin)).unwrap();
    for (machine, number) in [(Machine::X86_64, newer), (Machine::X86_64, 5000), (Machine::X32, X32_BIT + 600)] {
        let call = Call { number, audit: machine.audit(), args: [0; 6] };
        assert_eq!(run(&program, &call), Action::NO_SUCH_CALL, "{number}");
    }
}

#[test]
fn a_default_filter_is_short_and_one_for_the_kernel() {
    for native in NATIVES {
        let length = program(native, &for_machine(native, 0xa804_25fb)).unwrap().len();
        assert!(length < 1000, "{native:?} {length}");
    }
    let begun = std::time::Instant::now();
    let filter = crate::compile(&crate::default_profile(0xa804_25fb)).unwrap();
    println!("{} instructions in {:?}", filter.len() / 8, begun.elapsed());
    assert_eq!(filter.len() % 8, 0);
    assert_eq!(filter[..8], [0x20, 0, 0, 0, 4, 0, 0, 0]);
}

#[test]
fn a_profile_too_long_for_the_kernel_is_refused() {
    let args = |value| vec![SeccompArg { index: 0, value, value_two: 0, op: "SCMP_CMP_EQ".to_owned() }];
    let rule = |value| SeccompRule {
        names: vec!["read".to_owned()],
        action: "SCMP_ACT_ALLOW".to_owned(),
        errno_ret: None,
        args: args(value),
    };
    let profile = |count| Seccomp {
        default_action: "SCMP_ACT_ERRNO".to_owned(),
        syscalls: (0..count).map(|value| rule(value << 7)).collect(),
        ..Seccomp::default()
    };
    assert!(program(Machine::X86_64, &profile(500)).is_ok());
    compare_everywhere(Machine::X86_64, &profile(500));
    assert!(program(Machine::X86_64, &profile(5000)).is_err());
}

fn any_value() -> impl Strategy<Value = u64> {
    let near = (any::<bool>(), any::<bool>(), 0u64..4).prop_map(|(high, low, add)| {
        (if high { 0x1_0000_0000u64 } else { 0 } | if low { 0xffff_ffff } else { 0 }).wrapping_add(add)
    });
    prop_oneof![any::<u64>(), any::<u32>().prop_map(u64::from), near, 0u64..4]
}

fn any_rule() -> impl Strategy<Value = SeccompRule> {
    const OPS: &[&str] = &["EQ", "NE", "GT", "GE", "LT", "LE", "MASKED_EQ"];
    let arg = (0u32..6, any_value(), any_value(), prop::sample::select(OPS))
        .prop_map(|(index, value, value_two, op)| SeccompArg { index, value, value_two, op: format!("SCMP_CMP_{op}") });
    const NAMES: &[&str] = &["read", "clone", "socket"];
    const ACTIONS: &[&str] = &["ALLOW", "ERRNO", "KILL", "LOG", "TRAP", "TRACE"];
    (prop::collection::vec(arg, 0..4), prop::sample::select(ACTIONS), prop::sample::select(NAMES)).prop_map(
        |(args, action, name)| SeccompRule {
            names: vec![name.to_owned()],
            action: format!("SCMP_ACT_{action}"),
            errno_ret: None,
            args,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn filters_on_arguments_mean_the_same_compiled(
        syscalls in prop::collection::vec(any_rule(), 1..12),
        free in prop::collection::vec(any_value(), 6),
        taken in prop::collection::vec(any::<prop::sample::Index>(), 6),
        nudge in -1i64..=1,
    ) {
        let profile = Seccomp { syscalls, ..for_machine(Machine::X86_64, 0) };
        let program = program(Machine::X86_64, &profile).unwrap();
        let reading = Reading::new(Machine::X86_64, &profile);
        let values: Vec<u64> = profile.syscalls.iter().flat_map(|rule| &rule.args).flat_map(|arg| [arg.value, arg.value_two]).collect();
        let mut args: [u64; 6] = free.try_into().unwrap();
        for (arg, index) in args.iter_mut().zip(&taken) {
            if *arg % 2 == 0 && !values.is_empty() {
                *arg = values[index.index(values.len())].wrapping_add_signed(nudge);
            }
        }
        for machine in [Machine::X86_64, Machine::X86, Machine::X32] {
            for name in ["read", "clone", "socket", "write"] {
                let call = Call { number: machine.number(name).unwrap(), audit: machine.audit(), args };
                prop_assert_eq!(run(&program, &call), reading.expected(&call), "{:?}", call);
            }
        }
    }
}
