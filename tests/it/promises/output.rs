//! Promises about what tasks write.

use crate::promises::kept;
use crate::story::Story;

#[test]
fn f42_output_that_no_file_can_take_is_an_error_of_jobrun_and_fails_no_task() {
    let end = Story::new(
        r#"
        [[task]]
        name = "large"
        run  = "echo begin; head -c 200000 /dev/zero | tr '\\0' x; echo end"

        [[task]]
        name   = "needed"
        run    = "head -c 200000 /dev/zero"
        result = "text"

        [[task]]
        name = "small"
        run  = "echo small"
        "#,
    )
    .file("state", "a file where the folder should be")
    .run();
    kept(&end, 4);
    assert_eq!(end.report["outcome"], "error");
    assert_eq!(end.state("large"), "succeeded");
    assert_eq!(end.result("small"), "small");
    assert_eq!(end.future("needed")["error"]["kind"], "result");
    let stdout = &end.future("large")["stdout"];
    assert_eq!(stdout["bytes"], 200_010);
    assert_eq!((&stdout["lost"], &stdout["path"]), (&true.into(), &serde_json::Value::Null));
    let (head, tail) = (stdout["head"].as_str().unwrap(), stdout["tail"].as_str().unwrap());
    assert_eq!((head.len(), tail.len()), (8192, 8192));
    assert!(head.starts_with("begin\nx") && tail.ends_with("xend\n"));
    end.says("warn large: only the ends of its stdout could be kept: cannot make the folder ");
    assert_eq!(end.stderr.matches("error: output of tasks is lost: ").count(), 1);
    assert!(end.stdout.contains("small\n") && end.stdout.contains("xend\n"));
}
