//! A program that watches a job: the manifest is a text, and an observer is told what happens.
//!
//! ```sh
//! cargo run --example observe
//! ```

use std::error::Error;
use std::io;
use std::sync::Arc;

use jobrun::compile::load;
use jobrun::diagnostic::Source;
use jobrun::event::{Event, Stamped};
use jobrun::{Functions, Observer, Options, RunView, Runner};

const MANIFEST: &str = r#"
name = "race"

[wait]
return_when = "first_success"

[[task]]
name = "runner"
run  = ["sh", "-c", 'sleep "$1"; echo "$1 s"', "sh", "{{ item }}"]
map  = [3, 0.2, 5]
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let functions = Functions::builtin();
    jobrun::init(&functions)?;

    let source = Arc::new(Source::new("race.toml", MANIFEST));
    let job =
        load(&source, &functions, &Options::default()).map_err(|faults| faults.render(false))?;
    let finished = Runner::new(&Arc::new(job)).functions(functions).observer(Commentator).run()?;
    say(&format!("the race {}", finished.exit.word()));
    Ok(())
}

/// Tells every start and every end.
struct Commentator;

impl Observer for Commentator {
    fn observe(&mut self, event: &Stamped, run: &RunView<'_>) -> io::Result<()> {
        match event.event {
            Event::Started { node, worker, .. } => {
                say(&format!("{} starts on worker {worker}", run.job.graph.name(node)));
            }
            Event::Finished { node } => {
                let state = run.ledger.record(node).state.word();
                say(&format!("{} {state}", run.job.graph.name(node)));
            }
            _ => {}
        }
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn say(line: &str) {
    println!("{line}");
}
