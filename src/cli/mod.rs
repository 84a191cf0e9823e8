//! The command line: clap -> `Command` -> `App` -> progress on stderr, table or JSON on stdout.
