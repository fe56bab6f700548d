//! What templates give, and what they refuse.

use jobrun::template::{Names, Scope, Template, find};
use jobrun::value::Value;

fn vars() -> Value {
    Value::Map(vec![
        ("region".to_owned(), Value::from("eu")),
        ("count".to_owned(), Value::from(3)),
        ("limits".to_owned(), Value::Map(vec![("cpu".to_owned(), Value::from(8))])),
    ])
}

fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

/// The value of `text` for the future with this item at index 7.
fn value_for(text: &str, item: &Value) -> Value {
    let vars = vars();
    let names = Names { item: true, vars: &vars, ..Names::default() };
    let scope = Scope { vars: Some(&vars), item: Some(item), index: Some(7), ..Scope::default() };
    Template::parse(text, &names).unwrap().value(&scope).unwrap()
}

/// What is wrong with `text` in a plain task, and the part of it that is.
fn fault(text: &str) -> (String, &str) {
    let vars = vars();
    let names = Names { vars: &vars, ..Names::default() };
    let error = Template::parse(text, &names).unwrap_err();
    (error.message, &text[error.range.unwrap()])
}

/// What goes wrong when `text` is filled in for an item.
fn failure(text: &str, item: &Value) -> String {
    let vars = vars();
    let names = Names { item: true, vars: &vars, ..Names::default() };
    let template = Template::parse(text, &names).unwrap();
    let scope = Scope { vars: Some(&vars), item: Some(item), index: Some(7), ..Scope::default() };
    template.value(&scope).unwrap_err().message
}

#[test]
fn text_without_expressions_is_itself() {
    for text in ["", "plain", "{% if x %}", "{# note #}", "{ x }", "}} {", "100 %", "a\nb"] {
        assert_eq!(value_for(text, &Value::Null), Value::from(text));
    }
}

#[test]
fn a_lone_expression_keeps_the_type_of_its_value() {
    let items = [
        Value::Null,
        Value::from(true),
        Value::from(-3),
        Value::Int(i128::MAX),
        Value::Int(i128::MIN),
        Value::from(0.5),
        Value::from("x y"),
        Value::from(vec![1, 2]),
        map(&[("z", Value::from(1)), ("a", Value::from(vec!["b"]))]),
    ];
    for item in items {
        assert_eq!(value_for("{{ item }}", &item), item);
        // The same by way of the engine.
        assert_eq!(value_for("{{ [item][0] }}", &item), item);
    }
    assert_eq!(value_for("{{ index }}", &Value::Null), Value::from(7));
    assert_eq!(value_for("{{index + 1}}", &Value::Null), Value::from(8));
    assert_eq!(value_for("{{ vars.limits.cpu }}", &Value::Null), Value::from(8));
    assert_eq!(value_for("{{ vars['count'] * 2 }}", &Value::Null), Value::from(6));
    assert_eq!(value_for("{{ vars }}", &Value::Null), vars());
}

#[test]
fn in_longer_text_strings_go_in_as_they_are_and_the_rest_as_json() {
    assert_eq!(value_for("a {{ item }} b", &Value::from("x \"y\"")), Value::from("a x \"y\" b"));
    assert_eq!(value_for("n={{ item }}", &Value::from(12)), Value::from("n=12"));
    assert_eq!(value_for(" {{ item }}", &Value::from(true)), Value::from(" true"));
    let table = map(&[("k", Value::from(vec!["v"]))]);
    assert_eq!(value_for("{{ item }}{{ index }}", &table), Value::from(r#"{"k":["v"]}7"#));
}

#[test]
fn null_has_no_text_but_a_line_for_people_says_null() {
    assert_eq!(failure("a {{ item }}", &Value::Null), "`item` is null, which has no text");
    let vars = vars();
    let names = Names { item: true, vars: &vars, ..Names::default() };
    let scope = Scope { item: Some(&Value::Null), ..Scope::default() };
    let template = Template::parse("{{ item }}", &names).unwrap();
    assert_eq!(template.text(&scope).unwrap_err().message, "the value is null, which has no text");
    assert_eq!(template.line(&scope).unwrap(), "null");
    let template = Template::parse("got {{ item }}", &names).unwrap();
    assert_eq!(template.line(&scope).unwrap(), "got null");
}

#[test]
fn braces_inside_an_expression_do_not_end_it() {
    assert_eq!(value_for(r#"{{ "}}" }}"#, &Value::Null), Value::from("}}"));
    assert_eq!(value_for(r#"{{ "{{" }}.Id}}"#, &Value::Null), Value::from("{{.Id}}"));
    assert_eq!(value_for(r#"{{ "\"}}" }}"#, &Value::Null), Value::from("\"}}"));
    assert_eq!(
        value_for(r#"{{ {"b": {"c": 1}, "a": 2} }}"#, &Value::Null),
        map(&[("b", map(&[("c", Value::from(1))])), ("a", Value::from(2))])
    );
}

#[test]
fn the_usual_filters_and_tests_are_there() {
    assert_eq!(value_for("{{ item | upper }}", &Value::from("ab")), Value::from("AB"));
    assert_eq!(value_for("{{ item | default(3) }}", &Value::from(1)), Value::from(1));
    assert_eq!(value_for("{{ item.no | default(3) }}", &map(&[])), Value::from(3));
    assert_eq!(value_for("{{ item is not odd }}", &Value::from(2)), Value::from(true));
    assert_eq!(value_for("{{ range(3) | list }}", &Value::Null), Value::from(vec![0, 1, 2]));
    assert_eq!(
        value_for("{{ 'big' if item > 10 else 'small' }}", &Value::from(11)),
        Value::from("big")
    );
}

#[test]
fn a_name_that_is_not_there_is_named_with_its_place() {
    assert_eq!(
        fault("x {{ vars.regoin }}"),
        ("`regoin` is not among `vars`; did you mean `vars.region`?".to_owned(), "vars.regoin")
    );
    assert_eq!(
        fault("{{ 1 + vars.nothing_like_it }}"),
        (
            "`nothing_like_it` is not among `vars`, which are: region, count, limits".to_owned(),
            "vars.nothing_like_it"
        )
    );
    assert_eq!(
        fault("{{ region }}"),
        ("there is no `region` in templates; did you mean `vars.region`?".to_owned(), "region")
    );
    assert_eq!(
        fault("{{ itme }}"),
        ("there is no `itme` in templates; here they know vars, env, job, run".to_owned(), "itme")
    );
    let (message, place) = fault("{{ item.x }}");
    assert_eq!(place, "item.x");
    assert!(message.starts_with("`item` has no value here"), "{message}");
    let (message, place) = fault("{{ future.name }}");
    assert_eq!(place, "future.name");
    assert!(message.starts_with("`future` has no value here"), "{message}");
    for name in ["tasks.a.result", "matrix.os", "parent"] {
        let text = format!("{{{{ {name} }}}}");
        let (message, place) = fault(&text);
        let root = name.split('.').next().unwrap();
        assert!(message.starts_with(&format!("`{root}` has no value here")), "{message}");
        assert_eq!(place, name);
    }
    for (name, message) in [
        ("job.nme", "`job` has no `nme`; did you mean `job.name`?"),
        ("run.number", "`run` has no `number`, but: id, started_at"),
    ] {
        let text = format!("{{{{ {name} }}}}");
        assert_eq!(fault(&text), (message.to_owned(), name));
    }
}

#[test]
fn a_slice_uses_the_names_of_what_it_slices() {
    let item = map(&[("list", Value::from(vec![1, 2, 3]))]);
    for (text, value) in [
        ("{{ item.list[:2] }}", vec![1, 2]),
        ("{{ item.list[1:] }}", vec![2, 3]),
        ("{{ (item.list | reverse | list)[:vars.count - 1] }}", vec![3, 2]),
        ("{{ item['list'][::2] }}", vec![1, 3]),
    ] {
        assert_eq!(value_for(text, &item), Value::from(value), "{text}");
    }
    assert_eq!(fault("{{ itme[:2] }}").1, "itme");
    assert_eq!(fault("{{ tasks[:2] }}").1, "tasks");
    assert_eq!(fault("{{ vars.regoin[1:] }}").1, "vars.regoin");
    assert_eq!(
        value_for("{{ range(5)[:2] if true is not none else [] }}", &item),
        vec![0, 1].into()
    );
    assert_eq!(value_for("{{ vars.region[1:] | replace('u', 'x') }}", &item), "x".into());
    assert!(find("echo {{ item[:2] }}").is_some());
}

#[test]
fn an_expression_that_is_not_one_is_refused() {
    assert_eq!(fault("a {{ vars.count").1, "{{");
    assert_eq!(fault("a {{ }} b").1, "{{ }}");
    assert_eq!(fault("{{ 1 + }}").1, "+");
    assert_eq!(fault("{{.Id}}").1, ".");
    assert_eq!(fault("{{ 1 | nope }}"), ("there is no filter `nope`".to_owned(), "nope"));
    assert_eq!(fault("{{ 1 is not nope }}"), ("there is no test `nope`".to_owned(), "nope"));
    assert_eq!(fault("{{ vars.limits.ram }}").0, "`vars.limits.ram` is undefined");
    assert!(fault("{{ vars.limits.ram + 1 }}").1.contains("limits.ram"));
    assert_eq!(fault("{{ debug() }}").1, "debug");
    assert_eq!(fault("é {{ vars.é }}").1, "é");
}

#[test]
fn what_an_item_does_not_have_is_an_error_not_nothing() {
    assert_eq!(failure("{{ item.os }}", &map(&[])), "`item.os` is undefined");
    assert_eq!(failure("{{ item.os }}", &Value::from(3)), "`item.os` is undefined");
    assert_eq!(failure("{{ item[3] }}", &Value::from(vec![1])), "`item[3]` is undefined");
}

#[test]
fn hostile_expressions_end() {
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
    fault(&deep);
    let long = format!("{{{{ {}1 }}}}", "1 + ".repeat(50_000));
    assert!(fault(&long).0.contains("bytes long"));
    fault(&format!("{{{{ {}1 }}}}", "not ".repeat(4000)));
    fault(&format!("{{{{ {}1 }}}}", "-".repeat(15_000)));
    // The longest chains that are let through.
    assert_eq!(value_for(&format!("{{{{ {}1 }}}}", "-".repeat(798)), &Value::Null), 1.into());
    let chain = format!("{{{{ {}1 }}}}", "1 + ".repeat(399));
    assert_eq!(value_for(&chain, &Value::Null), 400.into());
    value_for(&format!("{{{{ {}true }}}}", "not ".repeat(799)), &Value::Null);
    fault("{{ ('a' * 90000000) ~ ('a' * 90000000) }}");
    fault("{{ [1] * 90000000 }}");
    fault("{{ ([1] * 9000) | map('upper') | join('x' * 9000) }}");
    fault("{{ 2 ** 500 }}");
    fault("{{ 170141183460469231731687303715884105727 + 1 }}");
}

#[test]
fn values_may_be_built_of_templates() {
    let vars = vars();
    let names = Names { item: true, vars: &vars, ..Names::default() };
    let item = Template::parse("{{ item }}", &names).unwrap();
    let built = Template::map(vec![
        ("list".to_owned(), Template::list(vec![item, Template::fixed(1)])),
        ("plain".to_owned(), Template::fixed("x")),
    ]);
    let scope = Scope { item: Some(&Value::from("i")), ..Scope::default() };
    assert_eq!(
        built.value(&scope).unwrap(),
        map(&[
            ("list", Value::List(vec![Value::from("i"), Value::from(1)])),
            ("plain", Value::from("x"))
        ])
    );
    assert!(built.constant().is_none());
    let fixed = Template::list(vec![Template::fixed(1), Template::fixed("x")]);
    assert_eq!(fixed.constant(), Some(&Value::List(vec![Value::from(1), Value::from("x")])));
}

#[test]
fn templates_can_be_used_on_any_thread() {
    fn any_thread<T: Send + Sync + Clone + 'static>(_: &T) {}
    let vars = vars();
    let names = Names { item: true, future: true, vars: &vars, ..Names::default() };
    any_thread(&Template::parse("{{ item + 1 }}", &names).unwrap());
}

#[test]
fn a_script_is_searched_for_our_expressions_alone() {
    assert_eq!(find("echo {{ item }}"), Some(5..15));
    assert_eq!(find("docker inspect -f '{{.Id}}' {{item.os}}"), Some(28..39));
    assert_eq!(find("x {{{ vars.a }}} y"), Some(3..15));
    assert_eq!(find("echo ${{ matrix.os }}"), Some(6..21));
    assert_eq!(find("{{ tasks.a.result | upper }}"), Some(0..28));
    assert_eq!(find("{{ \"{{ item }}"), Some(4..14));
    assert_eq!(find(&"{{".repeat(200_000)), None);
    assert_eq!(find(&"{{ é".repeat(200_000)), None);
    for script in [
        "docker inspect -f '{{.Id}}'",
        "helm '{{ range .Items }}{{ end }}'",
        "echo {{ 1 + 2 }} {{ other.name }}",
        "echo {{ item",
        "echo '{{' item '}}'x",
        "awk '{{print}}'",
        "",
    ] {
        assert_eq!(find(script), None, "{script}");
    }
}
