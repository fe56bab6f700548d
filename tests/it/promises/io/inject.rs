//! F27: calls to the system that fail, one after the other, wherever they are.

use std::process::Command;

use super::can_trace;
use crate::story::require;

/// `benches/inject` runs a job of ten futures again and again, has another call fail each time, and
/// says what must not be. Here some of all the places are tried.
#[test]
fn f27_a_call_that_fails_is_never_passed_over_in_silence() {
    if !require("python3") || !can_trace() {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/inject");
    for (calls, every) in
        [(&["fsync", "rename", "mkdir", "chmod"][..], "1"), (&["write", "open", "clone"], "20")]
    {
        let mut inject = Command::new("python3");
        inject.args([script, "--jobrun", env!("CARGO_BIN_EXE_jobrun"), "--every", every]);
        inject.args(["--errors", "EIO", "EINTR", "--calls"]).args(calls);
        let ended = inject.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stderr));
        assert!(said.contains(" runs in "), "{said}");
    }
}
