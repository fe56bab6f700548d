//! Promises about signals, being stopped for a while, terminals, clocks.

use rustix::process::Signal;

use crate::promises::kept;
use crate::story::Story;

#[test]
fn f05_a_task_that_ignores_every_signal_is_killed_after_its_grace() {
    let story = Story::new(
        r#"
        [[task]]
        name  = "deaf"
        run   = "trap '' INT TERM HUP QUIT; cat gate; sleep 1000"
        grace = "100ms"
        "#,
    );
    let gate = story.gate("gate");
    let running = story.spawn();
    gate.open();
    running.signal(Signal::TERM);
    let end = running.end();
    kept(&end, 143);
    assert_eq!(end.state("deaf"), "cancelled");
    assert_eq!(end.future("deaf")["signal"], 9);
}
