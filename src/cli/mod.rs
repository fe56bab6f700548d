//! The command line: arguments in, exit code out. Knows nothing of how anything is done.

mod args;
mod check;
mod graph;
mod load;
mod plan;
mod run;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::cli::args::{
    Changes, Cli, Color, Command, GraphFormat, PlanFormat, RunOptions, SchemaOf,
};
use crate::cli::check::Verdicts;
use crate::cli::load::{Problem, Target};
use crate::exit::Exit;
use crate::functions::{Functions, panic_message};

/// What `jobrun new` writes.
const STARTER: &str = include_str!("starter.toml");

/// Does what the arguments of the process say, with `functions` to be called by tasks.
pub fn main(functions: &Functions) -> ExitCode {
    main_with(std::env::args_os(), functions)
}

/// Does what `args` say; the first is the program's name. A panic that nothing else has caught ends
/// here: it is said, and the exit code is that of all that jobrun could not do.
pub fn main_with(args: impl IntoIterator<Item = OsString>, functions: &Functions) -> ExitCode {
    catch_unwind(AssertUnwindSafe(|| obey(args, functions))).unwrap_or_else(|payload| {
        let why = panic_message(payload);
        tell(&format!("error: jobrun itself failed, which is a bug in it: {why}"));
        Exit::Error.code().into()
    })
}

fn obey(args: impl IntoIterator<Item = OsString>, functions: &Functions) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and the version are asked for; anything else is a wrong argument.
            let code = if error.use_stderr() { Exit::Invalid } else { Exit::Succeeded };
            let _ = error.print();
            return code.code().into();
        }
    };
    let ended = match cli.command {
        None => Target::of_words(&cli.words)
            .and_then(|target| run_or_plan(&target, &cli.options, functions)),
        Some(Command::Run { file, tasks, options }) => Target::of_file(file, tasks)
            .and_then(|target| run_or_plan(&target, &options, functions)),
        Some(command) => inspect(command, functions),
    };
    match ended {
        Ok(code) => code.into(),
        Err(problem) => problem.tell().into(),
    }
}

fn run_or_plan(
    target: &Target,
    options: &RunOptions,
    functions: &Functions,
) -> Result<u8, Problem> {
    if options.dry_run {
        let color = colored(options.color);
        show_plan(target, None, PlanFormat::Text, &options.changes, color, functions)
    } else {
        run::run(target, options, functions)
    }
}

/// The commands that run nothing.
fn inspect(command: Command, functions: &Functions) -> Result<u8, Problem> {
    match command {
        Command::Run { .. } => unreachable!("is handled by the caller"),
        Command::Check { files, deny, allow, format, color } => {
            let targets = if files.is_empty() {
                vec![Target::of_file(None, Vec::new())?]
            } else {
                files.into_iter().map(|file| Target::named(file, Vec::new())).collect()
            };
            check::check(&targets, &Verdicts { deny, allow }, format, colored(color), functions)
        }
        Command::Plan { file, tasks, workers, format, changes, color } => {
            let target = Target::of_file(file, tasks)?;
            show_plan(&target, workers.as_deref(), format, &changes, colored(color), functions)
        }
        Command::Graph { file, expand, format, changes, color } => {
            let target = Target::of_file(file, Vec::new())?;
            let job = load::job(
                &target,
                &changes,
                colored(color),
                functions,
                load::environment_of_now(),
            )?;
            let drawing = graph::Drawing::of(&job.graph, expand).map_err(Problem::Words)?;
            match format {
                GraphFormat::Dot => print(&graph::dot(&job, &drawing)),
                GraphFormat::Mermaid => print(&graph::mermaid(&drawing)),
                GraphFormat::Json => print_with(|out| graph::write_json(out, &job, &drawing)),
            }
        }
        Command::List { place } => list(place, functions),
        Command::Schema { of } => print(&format!(
            "{:#}\n",
            match of {
                SchemaOf::Manifest => crate::manifest::schema(),
                SchemaOf::Report => crate::report::json::schema(),
            }
        )),
        Command::New { file } => new(&file),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "jobrun", &mut text);
            print_bytes(&text)
        }
        Command::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut text)
                .map_err(|error| Problem::output(&error))?;
            print_bytes(&text)
        }
    }
}

fn show_plan(
    target: &Target,
    workers: Option<&str>,
    format: PlanFormat,
    changes: &Changes,
    color: bool,
    functions: &Functions,
) -> Result<u8, Problem> {
    let job = load::job(target, changes, color, functions, load::environment_of_now())?;
    let curve = workers.map(|word| plan::Curve::of(&job.graph, word)).transpose();
    let curve = curve.map_err(Problem::Words)?;
    let found = crate::plan::Plan::of(&job.graph);
    match format {
        PlanFormat::Text => print(&plan::text(&job, &found, curve.as_ref())),
        PlanFormat::Json => print_with(|out| plan::write_json(out, &job, &found, curve.as_ref())),
    }
}

/// Lists the manifest, or every manifest of the folder; one that is wrong is listed as such.
fn list(place: Option<PathBuf>, functions: &Functions) -> Result<u8, Problem> {
    let place = place.unwrap_or_else(|| PathBuf::from("."));
    let files = if place.is_dir() { load::manifests_in(&place)? } else { vec![place.clone()] };
    if files.is_empty() {
        return Err(Problem::Words(format!("there is no *.toml in {}", place.display())));
    }
    let mut text = String::new();
    let mut code = Exit::Succeeded.code();
    for file in files {
        let target = Target::named(file, Vec::new());
        match load::job(&target, &Changes::default(), false, functions, load::environment_of_now())
        {
            Ok(job) => text.push_str(&load::listing(&target, &job)),
            // In a folder there may be other TOML files, and broken jobs must not hide good ones.
            Err(problem) if place.is_dir() => {
                let _ = writeln!(text, "{}: {}", target.shown(), problem.headline());
                code = Exit::Invalid.code();
            }
            Err(problem) => return Err(problem),
        }
    }
    print(&text)?;
    Ok(code)
}

fn new(file: &Path) -> Result<u8, Problem> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(file);
    match made.and_then(|mut it| it.write_all(STARTER.as_bytes())) {
        Ok(()) => {
            tell(&format!("wrote {}; run it with `jobrun {}`", file.display(), file.display()));
            Ok(0)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Problem::Words(format!("{} is there already and was left alone", file.display())))
        }
        Err(error) => Err(Problem::Work(format!("cannot write {}: {error}", file.display()))),
    }
}

fn print(text: &str) -> Result<u8, Problem> {
    print_bytes(text.as_bytes())
}

fn print_bytes(text: &[u8]) -> Result<u8, Problem> {
    print_with(|out| out.write_all(text))
}

fn print_with(body: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> Result<u8, Problem> {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    match body(&mut stdout).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(0),
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(Problem::output(&error)),
    }
}

/// A line for people, on standard error. There is nobody left to tell if that fails.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether words for people are coloured.
fn colored(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let no = std::env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
            !no && io::stderr().is_terminal()
        }
    }
}
