fn main() -> std::process::ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|a| a == "daemonize") { return cli::daemonize(args[1..].to_vec()); }
    cli::main(args)
}
