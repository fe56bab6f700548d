//! The words of the command line, as clap reads them. What they mean is for others.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::lint;

/// Run jobs written down in TOML.
///
/// `jobrun jobs/sums.toml` runs a job. With no file, the nearest `jobrun.toml` upward is taken and
/// the words are its tasks.
#[derive(Debug, Parser)]
#[command(name = "jobrun", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "Exit codes: 0 the job succeeded, 1 something failed, 2 bad arguments or \
    manifest, 3 the wait timed out, 4 jobrun could not do its work, 128+N stopped by signal N.")]
pub struct Cli {
    /// What to do instead of running a job.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The manifest (a file, `-` for standard input) and the tasks to run; all if none is named.
    #[arg(value_name = "MANIFEST|TASK", value_hint = ValueHint::FilePath)]
    pub words: Vec<String>,
    /// How to run it.
    #[command(flatten)]
    pub options: RunOptions,
}

/// What jobrun can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a job; the same as giving its manifest alone
    Run {
        /// The manifest; the nearest `jobrun.toml` upward if not given
        #[arg(short, long, value_name = "MANIFEST", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
        /// The tasks to run, with what they need; all if none is named
        #[arg(value_name = "TASK")]
        tasks: Vec<String>,
        /// How to run it.
        #[command(flatten)]
        options: RunOptions,
    },
    /// Find every fault of a manifest without running anything
    Check {
        /// The manifests; the nearest `jobrun.toml` upward if none is given
        #[arg(value_name = "MANIFEST", value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
        /// Take warnings of this code, or all `warnings`, for errors
        #[arg(long, value_name = "CODE", action = ArgAction::Append, value_parser = code_or_all())]
        deny: Vec<String>,
        /// Say nothing of warnings of this code
        #[arg(long, value_name = "CODE", action = ArgAction::Append, value_parser = code())]
        allow: Vec<String>,
        /// What to print
        #[arg(long, value_enum, default_value_t)]
        format: CheckFormat,
        /// Colours on standard error
        #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
        color: Color,
    },
    /// Show what would run, in which order and how long; runs nothing
    Plan {
        /// The manifest; the nearest `jobrun.toml` upward if not given
        #[arg(value_name = "MANIFEST", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
        /// The tasks to plan, with what they need; all if none is named
        #[arg(value_name = "TASK")]
        tasks: Vec<String>,
        /// How long it would take with each of these numbers of workers on the default executor,
        /// or on NAME
        #[arg(long, value_name = "[NAME=]N,N…")]
        workers: Option<String>,
        /// What to print
        #[arg(long, value_enum, default_value_t)]
        format: PlanFormat,
        /// What to change before the run.
        #[command(flatten)]
        changes: Changes,
        /// Colours on standard error
        #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
        color: Color,
    },
    /// Print the graph of a job
    Graph {
        /// The manifest; the nearest `jobrun.toml` upward if not given
        #[arg(value_name = "MANIFEST", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
        /// Draw each future of a group, not the group as one box
        #[arg(long)]
        expand: bool,
        /// What to print
        #[arg(long, value_enum, default_value_t)]
        format: GraphFormat,
        /// What to change before the run.
        #[command(flatten)]
        changes: Changes,
        /// Colours on standard error
        #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
        color: Color,
    },
    /// List jobs and their tasks
    List {
        /// A folder, whose manifests are listed, or a manifest; here if not given
        #[arg(value_name = "DIR|MANIFEST", value_hint = ValueHint::AnyPath)]
        place: Option<PathBuf>,
    },
    /// Print the JSON Schema of the manifest or of the report
    Schema {
        /// Of what
        #[arg(value_enum, default_value_t)]
        of: SchemaOf,
    },
    /// Write a commented manifest to start from
    New {
        /// Where to; an existing file is left alone
        #[arg(default_value = "jobrun.toml", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Print the completions of a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// What can be changed about a job on the command line.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What runs")]
pub struct Changes {
    /// At most so many futures at once on the default executor, or on NAME
    #[arg(short = 'j', long = "max-workers", value_name = "[NAME=]N", action = ArgAction::Append)]
    pub max_workers: Vec<String>,
    /// When the job's wait returns: a policy's name, or completed=K, succeeded=K, failed=K
    #[arg(long, value_name = "POLICY")]
    pub return_when: Option<String>,
    /// When the job's wait gives up, for example 90s; "none" for never
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Stop at the first failure; the same as `--return-when first_exception`
    #[arg(long, conflicts_with = "return_when")]
    pub fail_fast: bool,
    /// Another value for one of the job's vars
    #[arg(long = "var", value_name = "NAME=VALUE", action = ArgAction::Append)]
    pub vars: Vec<String>,
    /// Only tasks with this tag, and what they need
    #[arg(long = "tag", value_name = "TAG", action = ArgAction::Append)]
    pub tags: Vec<String>,
    /// Not these tasks (names or globs)
    #[arg(long = "skip", value_name = "GLOB", action = ArgAction::Append)]
    pub skip: Vec<String>,
}

/// How a job is run and shown.
#[derive(Clone, Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags, independent of each other")]
pub struct RunOptions {
    /// What to change before the run.
    #[command(flatten)]
    pub changes: Changes,
    /// Write a report at the end: json, junit, markdown, html or trace; PATH - is standard output
    #[arg(long = "report", value_name = "FORMAT=PATH", action = ArgAction::Append)]
    #[arg(help_heading = "What is shown")]
    pub reports: Vec<String>,
    /// Write events as newline-delimited JSON as they happen; - is standard output
    #[arg(long, value_name = "PATH", help_heading = "What is shown")]
    pub events: Option<PathBuf>,
    /// Print the results as JSON at the end
    #[arg(long, help_heading = "What is shown")]
    pub results: bool,
    /// What to show of the tasks' output
    #[arg(long, value_enum, default_value_t, value_name = "HOW", help_heading = "What is shown")]
    pub output: Output,
    /// Pass the tasks' output on as it is, escapes and all, also to a terminal and where CI is set
    #[arg(long, help_heading = "What is shown")]
    pub raw: bool,
    /// How to show progress
    #[arg(long, value_enum, default_value_t, value_name = "HOW", help_heading = "What is shown")]
    pub progress: Progress,
    /// Colours on standard error
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    #[arg(help_heading = "What is shown")]
    pub color: Color,
    /// Write tracing spans and events to standard error in this form
    #[arg(long, value_enum, value_name = "FORM", help_heading = "What is shown")]
    pub log_format: Option<LogFormat>,
    /// Say more; twice for still more
    #[arg(short, long, action = ArgAction::Count, help_heading = "What is shown")]
    pub verbose: u8,
    /// Say only what failed
    #[arg(short, long, conflicts_with = "verbose", help_heading = "What is shown")]
    pub quiet: bool,
    /// Let callbacks post to a host that is not on the open internet: a name, an address, or a network
    /// such as 10.0.0.0/8
    #[arg(long = "allow-host", value_name = "HOST", env = "JOBRUN_ALLOW_HOSTS")]
    #[arg(action = ArgAction::Append, value_delimiter = ',', help_heading = "What runs")]
    pub allow_hosts: Vec<String>,
    /// What to do while another run of a job of `concurrency = "one"` is under way
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub lock: Busy,
    /// Show the plan and run nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What becomes of a run while another of its job is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Busy {
    /// It waits for its turn
    #[default]
    Wait,
    /// It does not begin, and jobrun ends with 4
    Refuse,
    /// It runs all the same; also where there can be no lock
    Ignore,
}

/// What is shown of the tasks' output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// What a task wrote, in one piece when it ends
    #[default]
    Grouped,
    /// Each line as it comes, with the future's name in front
    Live,
    /// Only that of failed ones, when they end
    Failures,
    /// Nothing
    None,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// A live display on a terminal, plain lines otherwise and where CI is set
    #[default]
    Auto,
    /// A live display
    Bar,
    /// A line an event
    Plain,
    /// Nothing
    None,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// A JSON object a line
    Json,
}

/// The codes of warnings.
fn code() -> PossibleValuesParser {
    PossibleValuesParser::new(lint::codes())
}

/// The codes of warnings, and the word for all of them.
fn code_or_all() -> PossibleValuesParser {
    PossibleValuesParser::new(std::iter::once(ALL_WARNINGS).chain(lint::codes()))
}

/// What stands for all warnings.
pub const ALL_WARNINGS: &str = "warnings";

/// What `check` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// For people, on standard error
    #[default]
    Text,
    /// For programs
    Json,
    /// Annotations of a GitHub workflow
    Github,
}

/// What `plan` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// What `graph` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Graphviz
    #[default]
    Dot,
    /// Mermaid, as Markdown pages show it
    Mermaid,
    /// For programs
    Json,
}

/// What `schema` describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// The manifest
    #[default]
    Manifest,
    /// The JSON report
    Report,
}
