//! The program: parse the arguments, start telemetry, hand over to the subcommand.

fn main() -> std::process::ExitCode {
    quarterdeck::cli::main()
}
