//! A small assembler for classic BPF (Documentation/networking/filter.rst), written from the end to the start.
//!
//! Jumps only go forward, so a program written backwards knows every target before the jump to it.

/// `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    pub(crate) jump_true: u8,
    pub(crate) jump_false: u8,
    pub(crate) k: u32,
}

/// BPF_LD | BPF_W | BPF_ABS: a word of `struct seccomp_data` into the accumulator.
pub(crate) const LOAD: u16 = 0x20;
/// BPF_ALU | BPF_AND | BPF_K.
pub(crate) const AND: u16 = 0x54;
/// BPF_RET | BPF_K.
pub(crate) const RETURN: u16 = 0x06;
/// BPF_JMP | BPF_JA.
pub(crate) const JUMP: u16 = 0x05;

/// A comparison of the accumulator with a constant, unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    /// BPF_JMP | BPF_JEQ | BPF_K.
    Equal = 0x15,
    /// BPF_JMP | BPF_JGT | BPF_K.
    Greater = 0x25,
    /// BPF_JMP | BPF_JGE | BPF_K.
    GreaterOrEqual = 0x35,
}

/// A place in the program: how many instructions follow it, counted from its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label(usize);

/// The farthest a conditional jump reaches.
const REACH: usize = u8::MAX as usize;

/// A program under construction, its last instruction first.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    backwards: Vec<Instruction>,
    /// The latest place that returns each value.
    returns: Vec<(u32, Label)>,
}

impl Assembler {
    fn push(&mut self, code: u16, jump_true: u8, jump_false: u8, k: u32) -> Label {
        self.backwards.push(Instruction { code, jump_true, jump_false, k });
        Label(self.backwards.len())
    }

    /// Instructions between the next one to be written and `label`.
    fn distance(&self, label: Label) -> usize {
        self.backwards.len() - label.0
    }

    /// A place that returns `value`: an earlier one when a conditional jump written soon still reaches it.
    pub(crate) fn ret(&mut self, value: u32) -> Label {
        const NEAR: usize = REACH / 2;
        if let Some(at) = self.returns.iter().position(|(known, _)| *known == value) {
            let label = self.returns[at].1;
            if self.distance(label) <= NEAR {
                return label;
            }
            self.returns.swap_remove(at);
        }
        let label = self.push(RETURN, 0, 0, value);
        self.returns.push((value, label));
        label
    }

    /// Loads the word at `offset` of `struct seccomp_data` and goes on at `next`.
    pub(crate) fn load(&mut self, offset: u32, next: Label) -> Label {
        self.fall_to(next);
        self.push(LOAD, 0, 0, offset)
    }

    /// Masks the accumulator and goes on at `next`.
    pub(crate) fn and(&mut self, mask: u32, next: Label) -> Label {
        self.fall_to(next);
        self.push(AND, 0, 0, mask)
    }

    /// Compares the accumulator with `k` and goes on at `yes` or at `no`.
    pub(crate) fn branch(&mut self, test: Test, k: u32, yes: Label, no: Label) -> Label {
        // A second stepping stone moves the first one by one instruction, and never out of reach.
        let yes = self.within_reach(yes, REACH - 1);
        let no = self.within_reach(no, REACH);
        let near = |label| u8::try_from(self.distance(label)).unwrap_or(u8::MAX);
        let (jump_true, jump_false) = (near(yes), near(no));
        self.push(test as u16, jump_true, jump_false, k)
    }

    /// Whatever is written next falls through to `label`.
    fn fall_to(&mut self, label: Label) {
        if self.distance(label) > 0 {
            self.jump(label);
        }
    }

    fn within_reach(&mut self, label: Label, reach: usize) -> Label {
        if self.distance(label) <= reach {
            return label;
        }
        match self.backwards.get(label.0 - 1) {
            Some(&Instruction { code: RETURN, k, .. }) => self.ret(k),
            _ => self.jump(label),
        }
    }

    fn jump(&mut self, label: Label) -> Label {
        let distance = u32::try_from(self.distance(label)).unwrap_or(u32::MAX);
        self.push(JUMP, 0, 0, distance)
    }

    /// The whole program, first instruction first; `start` is where it begins.
    pub(crate) fn finish(mut self, start: Label) -> Vec<Instruction> {
        self.fall_to(start);
        self.backwards.reverse();
        self.backwards
    }
}

/// The program as the kernel reads it (`struct sock_filter` in native byte order).
pub(crate) fn bytes(program: &[Instruction]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(program.len() * 8);
    for instruction in program {
        bytes.extend_from_slice(&instruction.code.to_ne_bytes());
        bytes.extend_from_slice(&[instruction.jump_true, instruction.jump_false]);
        bytes.extend_from_slice(&instruction.k.to_ne_bytes());
    }
    bytes
}
