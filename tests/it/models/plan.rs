//! A random manifest and the trouble that its run meets. Knows nothing of how it is run.

use std::fmt::Write as _;
use std::time::Duration;

use crate::models::dice::Dice;

/// One case.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is drawn while it runs comes of this.
    pub seed: u64,
    /// All of the manifest but its tasks.
    head: String,
    tasks: Vec<String>,
    pub trouble: Trouble,
}

/// What goes wrong beside attempts that fail.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// What times are multiples of.
    pub unit: Duration,
    /// When signals come.
    pub signals: Vec<u32>,
    /// When executors break.
    pub breaks: Vec<(u32, u32)>,
    /// The executors whose starts need permits, and how many there are beside the first.
    pub guarded: (Vec<u32>, u32),
    /// Of a hundred attempts: that fail, that lose their worker, that cannot be spawned, that do not
    /// do as they are told.
    pub odds: [u64; 4],
    /// How late news is, at most.
    pub lag: u32,
}

const NAMES: [&str; 8] = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"];

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let unit = dice.pick(&["s", "s", "ms", "us"]);
        let mut head = String::from("[vars]\nlow = 1\n");
        let workers = |dice: &mut Dice| 1 + dice.below(3);
        let _ = writeln!(head, "[executor]\nmax_workers = {}", workers(&mut dice));
        for name in ["x", "y"] {
            let kind = dice.pick(&["thread", "process", "process"]);
            let death = dice.pick(&["fail", "retry", "break"]);
            let _ = writeln!(head, "[executors.{name}]\nkind = '{kind}'");
            let _ = writeln!(head, "max_workers = {}", workers(&mut dice));
            if kind == "process" {
                let _ = writeln!(head, "on_worker_death = '{death}'");
            }
        }
        head += "[resources]\ngpu = 3\nram = '100MiB'\n";
        let _ = writeln!(head, "[wait]\n{}", wait(&mut dice, unit, "\n"));
        let count = 1 + dice.below(NAMES.len() as u64) as usize;
        let mut tasks: Vec<Drawn> = Vec::new();
        for _ in 0..count {
            tasks.push(task(&mut dice, unit, &tasks));
        }
        if dice.percent(30) {
            head += "[[callback]]\non = ['done', 'start', 'retry', 'return', 'job_done']\n\
                     log = '{{ future.name }} {{ future.state }}'\n";
        }
        Self {
            seed: dice.next(),
            head,
            tasks: tasks.into_iter().map(|task| task.text).collect(),
            trouble: Trouble::of(&mut dice, unit),
        }
    }

    /// The manifest.
    pub fn manifest(&self) -> String {
        format!("{}{}", self.head, self.tasks.concat())
    }

    /// The same with one thing less, in each way there is. Not all of them are valid.
    pub fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for place in 0..self.tasks.len() {
            let mut less = self.clone();
            less.tasks.remove(place);
            all.push(less);
        }
        for (place, task) in self.tasks.iter().enumerate() {
            for line in 3..task.lines().count() {
                let mut less = self.clone();
                less.tasks[place] = without(task, line);
                all.push(less);
            }
        }
        for line in 0..self.head.lines().count() {
            let mut less = self.clone();
            less.head = without(&self.head, line);
            all.push(less);
        }
        for change in [
            |it: &mut Trouble| it.signals.truncate(it.signals.len().saturating_sub(1)),
            |it: &mut Trouble| it.breaks.truncate(it.breaks.len().saturating_sub(1)),
            |it: &mut Trouble| it.guarded.0.clear(),
            |it: &mut Trouble| it.odds[0] = 0,
            |it: &mut Trouble| it.odds[1] = 0,
            |it: &mut Trouble| it.odds[2] = 0,
            |it: &mut Trouble| it.odds[3] = 0,
            |it: &mut Trouble| it.lag = 0,
        ] {
            let mut less = self.clone();
            change(&mut less.trouble);
            all.push(less);
        }
        all.retain(|less| format!("{less:?}") != format!("{self:?}"));
        all
    }
}

/// A text without one of its lines.
fn without(text: &str, line: usize) -> String {
    let lines = text.split_inclusive('\n').enumerate();
    lines.filter(|(at, _)| *at != line).map(|(_, line)| line).collect()
}

impl Trouble {
    fn of(dice: &mut Dice, unit: &str) -> Self {
        let often = |dice: &mut Dice, likely: u64, most: u64| {
            if dice.percent(likely) { dice.below(most) } else { 0 }
        };
        let signals = often(dice, 25, 4);
        let breaks = often(dice, 15, 3);
        let guarded: &[u32] = dice.pick(&[&[], &[], &[], &[0], &[1], &[0, 1, 2]]);
        Self {
            unit: match unit {
                "s" => Duration::from_secs(1),
                "ms" => Duration::from_millis(1),
                _ => Duration::from_micros(1),
            },
            signals: (0..signals).map(|_| dice.below(20) as u32).collect(),
            breaks: (0..breaks).map(|_| (dice.below(15) as u32, dice.below(3) as u32)).collect(),
            guarded: (guarded.to_vec(), dice.below(3) as u32),
            odds: [
                often(dice, 60, 70),
                often(dice, 40, 50),
                often(dice, 20, 30),
                often(dice, 40, 100),
            ],
            lag: dice.pick(&[0, 0, 1, 3]),
        }
    }
}

/// A task, and what others need to know of it.
struct Drawn {
    text: String,
    group: bool,
}

fn task(dice: &mut Dice, unit: &str, before: &[Drawn]) -> Drawn {
    let name = NAMES[before.len()];
    let any =
        |dice: &mut Dice| (!before.is_empty()).then(|| dice.below(before.len() as u64) as usize);
    let some = |group: bool, dice: &mut Dice| any(dice).filter(|it| before[*it].group == group);
    let mut text = format!("[[task]]\nname = '{name}'\n");
    let is_call = dice.percent(65);
    text += if is_call { "call = 'echo'\n" } else { "run = ['true']\n" };

    let mut group = true;
    let (open, leader) = (some(false, dice), some(true, dice));
    match (dice.below(8), open, leader) {
        (0 | 1, Some(task), _) => {
            let _ = writeln!(text, "map = '{{{{ tasks.{}.result }}}}'", NAMES[task]);
        }
        (2 | 3, _, Some(task)) => {
            let _ = writeln!(text, "each = '{}'", NAMES[task]);
        }
        (4 | 5, ..) => {
            let _ = writeln!(text, "map = {{ range = [0, {}] }}", dice.below(6));
        }
        _ => group = false,
    }
    if is_call && !group {
        text += "args = [1]\n";
    }

    let mut after: Vec<&str> = (0..dice.below(4)).filter_map(|_| Some(NAMES[any(dice)?])).collect();
    after.sort_unstable();
    after.dedup();
    if !after.is_empty() {
        let _ = writeln!(text, "after = {after:?}");
        if dice.percent(35) {
            let _ = writeln!(text, "when = '{}'", dice.pick(&["failure", "always"]));
        }
    }
    if group && dice.percent(40) {
        let _ = writeln!(text, "wait = {{ {} }}", wait(dice, unit, ", "));
    }
    if dice.percent(20) {
        let condition = match some(false, dice) {
            Some(task) if dice.percent(60) => {
                format!("{{{{ tasks.{}.result == 1 }}}}", NAMES[task])
            }
            Some(task) => format!("{{{{ tasks.{}.result + 1 > 2 }}}}", NAMES[task]),
            None => format!("{{{{ vars.low > {} }}}}", dice.below(2)),
        };
        let _ = writeln!(text, "if = '{condition}'");
    }
    let mut maybe = |often: u64, line: &dyn Fn(&mut Dice) -> String| {
        if dice.percent(often) {
            text += &line(dice);
            text.push('\n');
        }
    };
    maybe(50, &|dice| format!("executor = '{}'", dice.pick(&["x", "y"])));
    maybe(30, &|dice| match dice.below(3) {
        0 => format!("uses = {{ gpu = {} }}", 1 + dice.below(3)),
        1 => format!("uses = {{ ram = '{}MiB' }}", 30 * (1 + dice.below(3))),
        _ => "uses = { gpu = 1, ram = '40MiB' }".to_owned(),
    });
    maybe(10, &|_| "exclusive = true".to_owned());
    maybe(30, &|dice| format!("priority = {}", dice.below(3)));
    maybe(20, &|dice| format!("estimate = '{}{unit}'", 1 + dice.below(5)));
    maybe(30, &|dice| format!("timeout = '{}{unit}'", 1 + dice.below(4)));
    maybe(40, &|dice| format!("grace = '{}{unit}'", dice.below(4)));
    maybe(20, &|_| "allow_failure = true".to_owned());
    maybe(35, &|dice| {
        let (count, delay) = (1 + dice.below(3), dice.below(3));
        let more = dice.pick(&["", ", backoff = 2.0", ", on = ['call', 'timeout']"]);
        format!("retry = {{ count = {count}, delay = '{delay}{unit}'{more} }}")
    });
    Drawn { text, group }
}

fn wait(dice: &mut Dice, unit: &str, between: &str) -> String {
    let amount = |dice: &mut Dice| match dice.below(4) {
        0 => "'50%'".to_owned(),
        1 => "'100%'".to_owned(),
        _ => (1 + dice.below(2)).to_string(),
    };
    let when = match dice.below(10) {
        0 => "'first_completed'".to_owned(),
        1 => "'first_exception'".to_owned(),
        2 => "'first_success'".to_owned(),
        which @ 3..6 => {
            let word = ["completed", "succeeded", "failed"][which as usize - 3];
            format!("{{ {word} = {} }}", amount(dice))
        }
        _ => "'all_completed'".to_owned(),
    };
    let mut wait = format!("return_when = {when}");
    if dice.percent(30) {
        let _ = write!(wait, "{between}timeout = '{}{unit}'", dice.below(15));
    }
    if dice.percent(60) {
        let _ = write!(wait, "{between}on_return = '{}'", dice.pick(&["drain", "continue"]));
    }
    wait
}
