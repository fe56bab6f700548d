//! Promises about posts: where they go, and how long and how much they take.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use serde_json::Value;

use crate::promises::kept;
use crate::story::{Door, End, Story, require};

/// A job that posts to each of these when it has ended.
fn posts<'a>(urls: impl IntoIterator<Item = &'a str>, timeout: &str) -> Story {
    let mut manifest = "[[task]]\nname = \"t\"\nrun = [\"true\"]\n".to_owned();
    for url in urls {
        write!(
            manifest,
            "[[callback]]\non = \"job_done\"\npost = \"{url}\"\ntimeout = \"{timeout}\"\n"
        )
        .unwrap();
    }
    Story::new(&manifest)
}

/// What became of each post; empty where nothing was wrong with it.
fn errors(end: &End) -> Vec<&str> {
    let calls = end.report["callbacks"].as_array().unwrap();
    let error = |call: &'_ Value| call["error"].is_null();
    assert!(calls.iter().all(|call| error(call) == (call["state"] == "succeeded")));
    calls.iter().map(|call| call["error"].as_str().unwrap_or_default()).collect()
}

/// A server that does this with everybody who comes, and then lets him go.
fn server(act: impl Fn(&mut TcpStream) -> io::Result<()> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // That the other side has gone is the point.
            act(&mut stream).ok();
        }
    });
    url
}

/// Addresses that are not on the open internet, in the notations that programs know, and what they are.
const INSIDE: [(&str, &str); 33] = [
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("localhost", "loopback"),
    ("somebody:secret@127.0.0.1", "loopback"),
    ("2130706433", "loopback"),
    ("0x7f000001", "loopback"),
    ("0x7f.1", "loopback"),
    ("0177.0.0.1", "loopback"),
    ("127.1", "loopback"),
    ("[::1]", "loopback"),
    ("[0:0:0:0:0:0:0:1]", "loopback"),
    ("[::ffff:127.0.0.1]", "loopback"),
    ("[::ffff:7f00:1]", "loopback"),
    ("[64:ff9b::7f00:1]", "loopback"),
    ("[2002:7f00:1::1]", "loopback"),
    ("[::127.0.0.1]", "reserved"),
    ("[64:ff9b:1::7f00:1]", "reserved"),
    ("[2001::1]", "reserved"),
    ("0.0.0.0", "nameless"),
    ("0", "nameless"),
    ("[::]", "nameless"),
    ("169.254.169.254", "link-local"),
    ("[::ffff:169.254.169.254]", "link-local"),
    ("[fe80::1]", "link-local"),
    ("10.0.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.168.1.1", "private"),
    ("[fd00::1]", "private"),
    ("100.64.0.1", "shared"),
    ("224.0.0.1", "multicast"),
    ("[ff02::1]", "multicast"),
    ("198.18.0.1", "reserved"),
    ("255.255.255.255", "reserved"),
];

#[test]
fn f58_a_post_goes_to_no_address_inside_however_it_is_written() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let urls: Vec<String> =
        INSIDE.iter().map(|(host, _)| format!("http://{host}:{port}/")).collect();
    // A variable that is empty allows nothing.
    let story = posts(urls.iter().map(String::as_str), "1m").env("JOBRUN_ALLOW_HOSTS", "");
    let end = story.run();
    kept(&end, 0);
    for ((host, kind), error) in INSIDE.iter().zip(errors(&end)) {
        let host = host.rsplit('@').next().unwrap();
        assert!(error.contains(&format!("is a {kind} address")), "{host}: {error}");
        assert!(error.ends_with(&format!("--allow-host {host}")), "{host}: {error}");
    }
    end.says("is a link-local address, where no post goes unless the run allows it");
    assert!(!end.stderr.contains("somebody:secret"), "{}", end.stderr);
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody came");
}

#[test]
fn f58_who_runs_a_job_may_allow_hosts() {
    let answers = server(|stream| {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    });
    let port = answers.rsplit(':').next().unwrap();
    let [address, name, mapped] = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"]
        .map(|host| format!("http://{host}:{port}"));
    // Which of the three are allowed by which words.
    for (words, allowed) in [
        (&["127.0.0.1"][..], [true, true, true]),
        (&["LocalHost."], [false, true, false]),
        (&["127.0.0.0/8"], [true, true, true]),
        (&["126.0.0.0/7,nowhere.test"], [true, true, true]),
        (&["0.0.0.0/0", "::1"], [true, true, true]),
        (&["10.0.0.0/8", "128.0.0.0/7", "::1", "nowhere.test"], [false, false, false]),
    ] {
        let urls = [&*address, &*name, &*mapped];
        let by_flags =
            words.iter().fold(posts(urls, "1m"), |story, word| story.args(&["--allow-host", word]));
        let by_variable = posts(urls, "1m").env("JOBRUN_ALLOW_HOSTS", words.join(", "));
        for story in [by_flags, by_variable] {
            let end = story.run();
            kept(&end, 0);
            // Where the name has an address of the new internet too, that one is not allowed.
            let errors = errors(&end);
            let known = |index: usize| index != 1 || !errors[1].contains("::1");
            for (index, error) in errors.iter().enumerate().filter(|(index, _)| known(*index)) {
                assert_eq!(error.is_empty(), allowed[index], "{words:?}: {errors:?}");
            }
        }
    }
    for wrong in ["http://127.0.0.1/", "127.0.0.1:80", "10.0.0.0/33", "name/8", "a b", "::1/129"] {
        let end = posts([], "1s").args(&["--allow-host", wrong]).run();
        end.expect(2)
            .says(&format!("`{wrong}` is no host; write a name, an address, or a network"));
    }
}

#[test]
fn f58_redirects_are_not_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = listener.local_addr().unwrap();
    let codes = ["301", "302", "303", "307", "308"];
    let urls = codes.map(|code| {
        server(move |stream| {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request)?;
            write!(
                stream,
                "HTTP/1.1 {code} Away\r\nlocation: http://{elsewhere}/\r\n\
                 content-length: 5\r\n\r\nthere"
            )
        })
    });
    let story = posts(urls.iter().map(String::as_str), "1m");
    let end = story.args(&["--allow-host", "127.0.0.1"]).run();
    kept(&end, 0);
    for (code, error) in codes.iter().zip(errors(&end)) {
        assert!(error.contains(&format!("answered {code}")), "{error}");
        assert!(error.ends_with("redirects are not followed"), "{error}");
    }
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "it was followed");
}

/// A server that never comes to an end: it says this, then goes on with a piece again and again, until
/// nobody listens. It tells how much it could say.
fn endless(start: &'static str, piece: &'static [u8], is_slow: bool) -> (String, Receiver<usize>) {
    let (sender, said) = mpsc::channel();
    let url = server(move |stream| {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request)?;
        let mut all = start.len();
        let mut more = stream.write_all(start.as_bytes());
        while more.is_ok() {
            if is_slow {
                thread::sleep(std::time::Duration::from_millis(5));
            }
            more = stream.write_all(piece);
            all += piece.len();
        }
        sender.send(all).ok();
        Ok(())
    });
    (url, said)
}

#[test]
fn f58_a_server_that_answers_byte_by_byte_is_given_up() {
    for (start, error) in [
        ("HTTP/1.1 200 OK\r\nx: ", "timed out after 300ms"),
        ("HTTP/1.1 500 No\r\n\r\nbecause: ", "answered 500 Internal Server Error: because: ..."),
    ] {
        let (url, said) = endless(start, b".", true);
        let end = posts([&*url], "300ms").args(&["--allow-host", "127.0.0.1"]).run();
        kept(&end, 0);
        assert!(errors(&end)[0].contains(error), "{:?}", errors(&end));
        said.recv().unwrap();
    }
    // Nobody takes what it has to say.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", deaf.local_addr().unwrap());
    let end = posts([&*url], "300ms").args(&["--allow-host", "127.0.0.1"]).run();
    kept(&end, 0);
    assert_eq!(errors(&end), ["timed out after 300ms"]);
}

#[test]
fn f58_of_an_endless_answer_little_is_read() {
    // What the system takes for a reader that has not come yet is not his affair.
    const MOST: usize = 32 << 20;
    const PIECE: &[u8] = &[b'.'; 64 * 1024];
    for (start, error) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n", ""),
        (
            "HTTP/1.1 500 No\r\ncontent-length: 1000000000\r\n\r\n",
            "answered 500 Internal Server Error: ....",
        ),
        (
            "HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n3b9aca00\r\n",
            "answered 500 Internal Server Error: ",
        ),
        ("HTTP/1.1 200 OK\r\nx: ", "header"),
        ("", "127.0.0.1: "),
    ] {
        let (url, said) = endless(start, PIECE, false);
        let end = posts([&*url], "1m").args(&["--allow-host", "127.0.0.1"]).run();
        kept(&end, 0);
        assert!(errors(&end)[0].contains(error), "{start:?}: {:?}", errors(&end));
        assert!(errors(&end)[0].len() < 300);
        assert!(said.recv().unwrap() < MOST, "{start:?}");
    }
}

#[test]
fn f58_a_proxy_leads_nowhere_else() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let through = format!("http://{}", proxy.local_addr().unwrap());
    let urls = ["http://169.254.169.254/", "https://10.0.0.1/", &*through, "http://8.8.8.8/"];
    let end = posts(urls, "1m").env("ALL_PROXY", &*through).run();
    kept(&end, 0);
    let told = errors(&end);
    assert!(told[..3].iter().all(|error| error.contains("where no post goes")), "{told:?}");
    assert!(told[3].contains("use https, or allow the name: --allow-host 8.8.8.8"), "{told:?}");
    proxy.set_nonblocking(true).unwrap();
    assert_eq!(proxy.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "the proxy was asked");
}

#[test]
fn f58_a_proxy_is_used_for_what_is_allowed() {
    for (url, asked) in [
        ("http://hooks.test/x", "CONNECT hooks.test:80 "),
        ("https://8.8.8.8/", "CONNECT 8.8.8.8:443 "),
    ] {
        let proxy = Door::new();
        let story = posts([url], "1m").args(&["--allow-host", "hooks.test"]);
        let running = story.env("HTTPS_PROXY", proxy.url()).spawn();
        let knock = proxy.knock();
        assert!(knock.request.starts_with(asked), "{}", knock.request);
        knock.answer_with("403 No", "");
        let end = running.end();
        kept(&end, 0);
        assert!(!errors(&end)[0].is_empty());
    }
}

/// Answers for names as the story has it: first one address, from then on another; and for some names
/// two at once. It writes down that it was asked.
const RESOLVER: &str = r#"
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <netdb.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                    struct addrinfo **found) {
        static int asked;
        lookup *real = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
        if (name && !strcmp(name, "rebinds.test")) {
            FILE *file = fopen(getenv("ASKED"), "a");
            fputs("asked\n", file);
            fclose(file);
            return real(asked++ ? "127.0.0.2" : "127.0.0.1", service, hints, found);
        }
        if (name && !strcmp(name, "both.test")) {
            int code = real("8.8.8.8", service, hints, found);
            struct addrinfo *last = *found;
            while (last->ai_next) last = last->ai_next;
            return code ? code : real("169.254.169.254", service, hints, &last->ai_next);
        }
        return real(name, service, hints, found);
    }
"#;

#[test]
fn f58_a_name_that_leads_elsewhere_the_next_time_leads_nowhere() {
    if !require("cc") {
        return;
    }
    let door = Door::new();
    let port = door.url().rsplit(':').next().unwrap().to_owned();
    let urls = [format!("http://rebinds.test:{port}"), format!("http://both.test:{port}")];
    let story = posts(urls.iter().map(String::as_str), "1m").file("resolver.c", RESOLVER);
    let shim = story.path("resolver.so");
    let built = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&shim, &story.path("resolver.c")])
        .arg("-ldl")
        .status();
    assert!(built.unwrap().success());
    let asked = story.path("asked");
    let story = story.env("LD_PRELOAD", shim).env("ASKED", asked);
    let running = story.args(&["--allow-host", "127.0.0.1"]).spawn();
    door.knock().answer("ok");
    let end = running.end();
    kept(&end, 0);
    let told = errors(&end);
    assert_eq!(told[0], "");
    assert!(told[1].contains("169.254.169.254 is a link-local address"), "{told:?}");
    assert_eq!(end.file("asked"), "asked\n", "the name was looked up again");
}
