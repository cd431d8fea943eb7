//! A program with one dependency, for a build to compile.

//! What the build compiles: a number written by a crate.

fn main() {
    println!("hello {}", itoa::Buffer::new().format(6 * 7));
}
