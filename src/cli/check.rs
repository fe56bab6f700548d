//! What is wrong with manifests, or most likely not meant, as text, JSON or annotations. Knows no
//! fault.

use std::fmt::Write as _;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

use crate::cli::args::{ALL_WARNINGS, Changes, CheckFormat};
use crate::cli::load::{self, Problem, Target};
use crate::compile::{self, Checked};
use crate::diagnostic::{Diagnostic, Faults, Severity, Source};
use crate::exit::Exit;
use crate::functions::Functions;
use crate::lint::{self, Here};

/// What is made of warnings, by their codes.
#[derive(Debug)]
pub struct Verdicts {
    /// Taken for errors.
    pub deny: Vec<String>,
    /// Not shown.
    pub allow: Vec<String>,
}

/// What came of one manifest.
struct Finding {
    source: Arc<Source>,
    faults: Faults,
    /// The numbers of tasks and futures, if it is valid.
    size: Option<(usize, u32)>,
}

/// Checks every manifest, also after one was found wrong.
pub fn check(
    targets: &[Target],
    verdicts: &Verdicts,
    format: CheckFormat,
    color: bool,
    functions: &Functions,
) -> Result<u8, Problem> {
    let mut findings = Vec::new();
    for target in targets {
        let mut finding = find(target, functions)?;
        verdicts.judge(&mut finding.faults);
        if format == CheckFormat::Text {
            super::tell(&text(&finding, color));
        }
        findings.push(finding);
    }
    match format {
        CheckFormat::Text => {}
        CheckFormat::Json => drop(super::print_with(|out| write_json(out, &findings))?),
        CheckFormat::Github => {
            super::print_with(|out| findings.iter().try_for_each(|it| write_github(out, it)))?;
        }
    }
    let wrong = findings.iter().any(|finding| finding.faults.has_errors());
    Ok(if wrong { Exit::Invalid } else { Exit::Succeeded }.code())
}

fn find(target: &Target, functions: &Functions) -> Result<Finding, Problem> {
    let options = load::options(target, &Changes::default(), load::environment_of_now())?;
    let source = match target.read() {
        Ok(source) => Arc::new(source),
        Err(fault) => {
            let mut faults = Faults::new();
            faults.push(*fault);
            let source = Arc::new(Source::new(target.shown(), ""));
            return Ok(Finding { source, faults, size: None });
        }
    };
    let Checked { manifest, job, mut faults } = compile::examine(&source, functions, &options);
    if let (Some(manifest), Some(job)) = (&manifest, &job) {
        let found = lint::lint(manifest, job, faults.sources(), &Here);
        faults.append(found);
    }
    let size = job.map(|job| (job.graph.tasks().len(), job.graph.future_count()));
    Ok(Finding { source, faults: faults.sorted(), size })
}

impl Verdicts {
    /// Takes away what is allowed, and makes errors of what is denied.
    fn judge(&self, faults: &mut Faults) {
        let named = |list: &[String], code: &str| list.iter().any(|it| it == code);
        let all = named(&self.deny, ALL_WARNINGS);
        faults.retain_mut(|fault| {
            let warning = fault.severity == Severity::Warning;
            if warning && named(&self.allow, fault.code) {
                return false;
            }
            if warning && (all || named(&self.deny, fault.code)) {
                fault.severity = Severity::Error;
            }
            true
        });
    }
}

impl Finding {
    fn count(&self, severity: Severity) -> usize {
        self.faults.iter().filter(|fault| fault.severity == severity).count()
    }
}

/// Everything that was found, and how large a valid job is.
fn text(finding: &Finding, color: bool) -> String {
    let mut text = finding.faults.render(color);
    if let Some((tasks, futures)) = finding.size.filter(|_| !finding.faults.has_errors()) {
        if !text.is_empty() {
            text.push('\n');
        }
        let name = finding.source.name();
        let (tasks, futures) = (count(tasks, "task"), count(futures as usize, "future"));
        let _ = write!(text, "{name}: ok, {tasks}, {futures}");
        let warnings = finding.count(Severity::Warning);
        if warnings > 0 {
            let _ = write!(text, ", {}", count(warnings, "warning"));
        }
    }
    text
}

fn count(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[derive(Serialize)]
struct Body<'a> {
    schema: &'static str,
    files: Vec<FileShape<'a>>,
    diagnostics: Vec<DiagnosticShape<'a>>,
}

#[derive(Serialize)]
struct FileShape<'a> {
    file: &'a str,
    tasks: Option<usize>,
    futures: Option<u32>,
    errors: usize,
    warnings: usize,
}

#[derive(Serialize)]
struct DiagnosticShape<'a> {
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    #[serde(flatten)]
    place: PlaceShape<'a>,
    label: Option<&'a str>,
    hint: Option<&'a str>,
    notes: Vec<NoteShape<'a>>,
}

#[derive(Serialize)]
struct NoteShape<'a> {
    label: &'a str,
    #[serde(flatten)]
    place: PlaceShape<'a>,
}

/// Lines and columns are counted from 1, columns in characters; the end is the first place behind.
#[derive(Serialize)]
struct PlaceShape<'a> {
    file: &'a str,
    line: Option<usize>,
    column: Option<usize>,
    end_line: Option<usize>,
    end_column: Option<usize>,
    /// The same in bytes, counted from 0.
    start: Option<usize>,
    end: Option<usize>,
}

fn write_json(out: &mut dyn io::Write, findings: &[Finding]) -> io::Result<()> {
    let files = findings.iter().map(|finding| FileShape {
        file: finding.source.name(),
        tasks: finding.size.map(|(tasks, _)| tasks),
        futures: finding.size.map(|(_, futures)| futures),
        errors: finding.count(Severity::Error),
        warnings: finding.count(Severity::Warning),
    });
    let diagnostics = findings
        .iter()
        .flat_map(|finding| finding.faults.iter().map(|fault| shape(finding, fault)));
    let body = Body {
        schema: "jobrun.check/1",
        files: files.collect(),
        diagnostics: diagnostics.collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &body)?;
    out.write_all(b"\n")
}

fn shape<'a>(finding: &'a Finding, fault: &'a Diagnostic) -> DiagnosticShape<'a> {
    let notes = fault
        .notes
        .iter()
        .map(|note| NoteShape { label: &note.label, place: place(finding, Some(&note.span)) });
    DiagnosticShape {
        severity: fault.severity.word(),
        code: fault.code,
        message: &fault.message,
        place: place(finding, fault.span.as_ref()),
        label: fault.label.as_deref(),
        hint: fault.hint.as_deref(),
        notes: notes.collect(),
    }
}

/// What has no place is about the manifest as a whole.
fn place<'a>(finding: &'a Finding, span: Option<&Range<usize>>) -> PlaceShape<'a> {
    let source = span.and_then(|span| finding.faults.sources().of(span.start));
    let source = source.unwrap_or(&finding.source);
    let start = span.map(|span| source.position(span.start));
    let end = span.map(|span| source.position(span.end));
    PlaceShape {
        file: source.name(),
        line: start.map(|it| it.line),
        column: start.map(|it| it.column),
        end_line: end.map(|it| it.line),
        end_column: end.map(|it| it.column),
        start: span.map(|it| it.start - source.base()),
        end: span.map(|it| it.end - source.base()),
    }
}

/// A workflow command for each, which GitHub shows beside the line.
fn write_github(out: &mut dyn io::Write, finding: &Finding) -> io::Result<()> {
    for fault in &finding.faults {
        let place = place(finding, fault.span.as_ref());
        write!(out, "::{} file={}", fault.severity.word(), property(place.file))?;
        if let (Some(line), Some(end_line)) = (place.line, place.end_line) {
            write!(out, ",line={line},endLine={end_line}")?;
            // Columns are only taken where both are on one line.
            if let (Some(column), Some(end), true) =
                (place.column, place.end_column, line == end_line)
            {
                write!(out, ",col={column},endColumn={end}")?;
            }
        }
        let hint = fault.hint.iter().flat_map(|hint| ["\n", hint]).collect::<String>();
        let message = data(&format!("{}{hint}", fault.message));
        writeln!(out, ",title={}::{message}", property(fault.code))?;
    }
    Ok(())
}

/// Text as the data of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Text as the value of a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
