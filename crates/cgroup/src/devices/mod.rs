//! Device rules: a list of words becomes one policy, which v1 takes as lines and v2 as a program.

pub(crate) mod policy;
mod program;

pub(crate) use policy::Policy;
pub(crate) use program::instructions;
