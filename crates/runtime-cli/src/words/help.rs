//! Help in the layout that runc's users know.

use super::table::{GLOBAL, HELP, Opt, Takes, VERBS, VERSION, Verb};
use std::fmt::Write;

const ABOUT: &str = "Open Container Initiative runtime

{name} makes and runs containers as the Open Container Initiative specifies them.

It is made to be called by other programs: each command does one thing and ends,
and the container goes on as a child of whoever called.

A container is described by a bundle: a folder with a file named \"config.json\"
and with the root file system.

To run a container:

    # {name} run [ -b bundle ] <container-id>

Where \"<container-id>\" is the name that the container shall have; no two
containers of a machine have the same. The bundle is the current folder unless
\"-b\" names another one.";

/// What stands for `{name}` and `{root}` in the texts.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub name: &'a str,
    pub root: &'a str,
}

impl Place<'_> {
    fn fill(&self, text: &str) -> String {
        text.replace("{name}", self.name).replace("{root}", self.root)
    }

    pub fn version(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        format!("{} version {version}\ncommit: v{version}\nspec: {}\n", self.name, oci::state::VERSION)
    }

    pub fn program(&self) -> String {
        let indent = self.name.len() + 6;
        let mut out = format!("NAME:\n   {} - {}\n", self.name, indented(&self.fill(ABOUT), indent));
        let _ = write!(out, "\nUSAGE:\n   {} [global options] [command [command options]]\n", self.name);
        let _ = write!(out, "\nVERSION:\n   {}\n\nCOMMANDS:\n", env!("CARGO_PKG_VERSION"));
        let help = ("help, h", "Shows a list of commands or help for one command");
        let verbs = VERBS.iter().map(|verb| (verb.name, verb.about)).chain([help]);
        for (name, about) in verbs {
            let _ = writeln!(out, "   {name:<10}  {}", self.fill(about));
        }
        out.push_str("\nGLOBAL OPTIONS:\n");
        self.options(&mut out, GLOBAL.iter().chain([&HELP, &VERSION]));
        out
    }

    pub fn verb(&self, verb: &Verb) -> String {
        let mut out = format!("NAME:\n   {} {} - {}\n", self.name, verb.name, self.fill(verb.about));
        let arguments = self.fill(verb.arguments);
        let _ =
            writeln!(out, "\nUSAGE:\n   {}", format!("{} {} [options] {arguments}", self.name, verb.name).trim_end());
        if !verb.description.is_empty() {
            let _ = writeln!(out, "\nDESCRIPTION:\n   {}", indented(&self.fill(verb.description), 3));
        }
        out.push_str("\nOPTIONS:\n");
        self.options(&mut out, verb.options.iter().chain([&HELP]));
        out.push_str("\nGLOBAL OPTIONS:\n");
        self.options(&mut out, GLOBAL.iter());
        out
    }

    fn options<'o>(&self, out: &mut String, options: impl Iterator<Item = &'o Opt>) {
        let shown = options.filter(|opt| !opt.about.is_empty());
        let rows: Vec<_> = shown.map(|opt| (signature(opt), self.about(opt))).collect();
        let width = rows.iter().map(|(signature, _)| signature.len()).max().unwrap_or(0);
        for (signature, about) in rows {
            let _ = writeln!(out, "   {signature:<width$}  {about}");
        }
    }

    fn about(&self, opt: &Opt) -> String {
        match opt.default {
            "{root}" => self.fill(&format!("{} (default: \"{{root}}\")", opt.about)),
            "" => self.fill(opt.about),
            default => self.fill(&format!("{} (default: {default})", opt.about)),
        }
    }
}

/// `--env string, -e string [ --env string, -e string ]`
fn signature(opt: &Opt) -> String {
    let (kind, again) = match opt.takes {
        Takes::Nothing => ("", false),
        Takes::Text => (" string", false),
        Takes::Texts => (" string", true),
        Takes::Number => (" int", false),
        Takes::Numbers => (" int", true),
        Takes::Duration => (" duration", false),
    };
    let dashed = |name: &&str| format!("{}{name}{kind}", if name.len() == 1 { "-" } else { "--" });
    let once = opt.names.iter().map(dashed).collect::<Vec<_>>().join(", ");
    if again { format!("{once} [ {once} ]") } else { once }
}

/// All lines but the first behind spaces.
fn indented(text: &str, spaces: usize) -> String {
    let mut lines = text.lines();
    let mut out = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        let margin = if line.is_empty() { 0 } else { spaces };
        let _ = write!(out, "\n{:margin$}{line}", "");
    }
    out
}
