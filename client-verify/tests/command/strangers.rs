//! What strangers, and whoever alters messages on their way, can do to somebody who reads them; and what is told of people
//! one has met.

use keyglass_account::{
    api::{Base64, Id128, MAX_MESSAGE_LEN, Message},
    problem::Problem,
};
use keyglass_client_verify::verdict::Verdict;
use serde_json::{Value, json};

use crate::{
    Person,
    log::now,
    server::{PAGE, Response, Server},
};

/// Alice and Bob, both registered, and Bob's mailbox with one text of Alice's.
fn one_message(text: &str) -> (Server, Person, Person) {
    let server = Server::start();
    let (alice, bob) = (Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    alice.done(&["send", "bob", text]);
    (server, alice, bob)
}

fn bobs_mailbox() -> (Vec<u8>, u32) {
    (b"bob".to_vec(), 1)
}

/// A message as it would be if its bytes were others.
fn altered(message: &Message, id: u8, alter: impl FnOnce(&mut Vec<u8>)) -> Message {
    let mut bytes = message.body.as_bytes().to_vec();
    alter(&mut bytes);
    let body = Base64::<MAX_MESSAGE_LEN>::new(bytes).unwrap();
    Message { id: Id128([id; 16]), received: now(), body }
}

/// Where the claimed version of the sender's label stands, for a label of five bytes.
const VERSION: usize = 1 + 2 + 1 + 5;

/// A message from a version that the log does not have yet is kept for a while. Whoever makes up many of them must not keep
/// others from being read.
#[test]
fn messages_that_stay_do_not_hide_those_after_them() {
    let (server, _, bob) = one_message("hello");
    let flood = 2 * PAGE + 5;
    {
        let mut world = server.world();
        let mailbox = world.mailboxes.get_mut(&bobs_mailbox()).unwrap();
        let genuine = mailbox.remove(0);
        for id in 0..flood {
            mailbox.push(altered(&genuine, u8::try_from(id).unwrap(), |bytes| {
                bytes[VERSION..VERSION + 4].copy_from_slice(&9_u32.to_be_bytes());
                bytes[VERSION + 4 + 32 + 3] = 7;
            }));
        }
        mailbox.push(altered(&genuine, 255, |_| {}));
    }
    let (verdict, value) = bob.json(&["receive"]);
    assert_eq!((verdict, &value["messages"][0]["text"]), (Verdict::Refused, &json!("hello")));
    assert_eq!(value["problems"].as_array().unwrap().len(), flood);
    assert_eq!(server.world().mailboxes[&bobs_mailbox()].len(), flood, "they may be opened later");
    // Once the log must know such a version, they go.
    for message in server.world().mailboxes.get_mut(&bobs_mailbox()).unwrap() {
        message.received = 1;
    }
    let (_, value) = bob.json(&["receive"]);
    assert_eq!(value["problems"][0]["kept"], false, "{value}");
    assert!(server.world().mailboxes[&bobs_mailbox()].is_empty());
}

/// Anybody can name anybody as the sender of a message. Whoever were remembered for that would be asked for in every round.
#[test]
fn whom_only_refused_messages_name_is_not_remembered() {
    let (server, _, bob) = one_message("hello");
    Person::new(&server).done(&["register", "carol"]);
    {
        let mut world = server.world();
        let mailbox = world.mailboxes.get_mut(&bobs_mailbox()).unwrap();
        let genuine = mailbox.remove(0);
        mailbox.push(altered(&genuine, 1, |bytes| bytes[4..9].copy_from_slice(b"carol")));
    }
    assert_eq!(bob.json(&["receive"]).0, Verdict::Refused);
    assert_eq!(bob.done(&["contacts"])["contacts"], json!([]));
    let asked = server.world().seen.len();
    bob.done(&["monitor"]);
    let seen = server.world().seen[asked..].to_vec();
    assert!(!seen.iter().any(|request| request.ends_with("/v1/contact-monitor")), "{seen:?}");
}

/// A copy that was altered comes before the message itself: the message is read, and nobody is told that it was not.
#[test]
fn an_altered_copy_costs_its_sender_nothing() {
    let (server, alice, bob) = one_message("hello");
    {
        let mut world = server.world();
        let mailbox = world.mailboxes.get_mut(&bobs_mailbox()).unwrap();
        let genuine = mailbox[0].clone();
        mailbox.insert(0, altered(&genuine, 1, |bytes| *bytes.last_mut().unwrap() ^= 1));
        mailbox.push(altered(&genuine, 2, |bytes| *bytes.last_mut().unwrap() ^= 2));
    }
    let value = bob.done(&["receive"]);
    assert_eq!((&value["messages"][0]["text"], &value["redelivered"]), (&json!("hello"), &json!(2)));
    assert!(server.world().mailboxes[&bobs_mailbox()].is_empty());
    assert!(server.world().receipts.values().all(Vec::is_empty));
    assert_eq!(alice.done(&["receive"])["resent"], json!([]));
}

#[test]
fn a_text_can_neither_move_the_cursor_nor_pass_for_a_line_of_the_program() {
    let text = "one\u{1b}[2Jtwo\r\u{9b}\tthree\n  from bob, device 1, proven in version 0";
    let (_server, _, bob) = one_message(text);
    let run = bob.run_into_string(&["receive"]);
    assert_eq!(run, "one\\u{1b}[2Jtwo\\u{d}\\u{9b}\tthree\n  |   from bob, device 1, proven in version 0\n");
    let (_server, _, bob) = one_message(text);
    assert_eq!(bob.done(&["receive"])["messages"][0]["text"], text);
}

fn names(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|change| change["event"].as_str().unwrap()).collect()
}

#[test]
fn send_and_receive_tell_what_changed_and_monitor_does_not_repeat_it() {
    let (server, alice, bob) = one_message("hello");
    bob.done(&["receive"]);
    bob.done(&["lock"]);
    let sent = alice.run(&["send", "bob", "again"]);
    assert!(sent.stderr.contains("bob locked the account down"), "{}", sent.stderr);
    assert_eq!(alice.done(&["monitor"])["events"], json!([]));
    bob.done(&["unlock"]);
    let sent = alice.done(&["send", "bob", "once more"]);
    assert_eq!(names(&sent["changes"]), ["lockdown_off"]);
    assert_eq!(alice.done(&["send", "bob", "and more"])["changes"], json!([]));
    // What somebody wrote tells it as well.
    bob.done(&["receive"]);
    bob.done(&["lock"]);
    bob.done(&["send", "alice", "hello"]);
    let received = alice.done(&["receive"]);
    assert_eq!(
        (names(&received["changes"]), &received["messages"][0]["text"]),
        (vec!["lockdown_on"], &json!("hello"))
    );
    assert_eq!(alice.done(&["monitor"])["events"], json!([]));
    drop(server);
}

/// What could not be printed was not told: `monitor` tells it, against the record that the person knew.
#[test]
fn a_change_that_was_not_printed_is_told_by_the_next_round() {
    struct Broken;
    impl std::io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("closed"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (_server, alice, bob) = one_message("hello");
    bob.done(&["lock"]);
    assert_eq!(alice.run_into(&["send", "bob", "again"], &mut Broken), Verdict::Failed);
    bob.done(&["rotate"]);
    // The next command tells what is new to it, and knows that this is not all.
    assert_eq!(names(&alice.done(&["send", "bob", "once more"])["changes"]), ["identity_replaced"]);
    let (verdict, value) = alice.json(&["monitor"]);
    assert_eq!(verdict, Verdict::Changed);
    assert_eq!(names(&value["events"]), ["identity_replaced", "lockdown_on"]);
    assert_eq!(alice.done(&["monitor"])["events"], json!([]));
}

/// The rotation is in the log, and its answer was lost: who writes then does so under the identity that others are shown.
#[test]
fn a_rotation_whose_answer_was_lost_is_taken_over_before_anything_is_written_or_read() {
    for command in [&["send", "bob", "after"][..], &["receive"]] {
        let (server, alice, bob) = one_message("before");
        bob.done(&["receive"]);
        server.lie(|world, request| {
            let answer = world.honest(request);
            Some(if request.path == "/v1/update" { Response::problem(Problem::Unavailable) } else { answer })
        });
        assert_eq!(alice.json(&["rotate"]).0, Verdict::Unreachable);
        server.honest();
        alice.done(command);
        alice.done(&["send", "bob", "later"]);
        let received = bob.run_into_string(&["receive"]);
        assert!(received.contains("later"), "{received}");
        assert_eq!(received.contains("after"), command.len() == 3);
    }
}

/// A linked device does not know of the rotation until its person says so. What it writes meanwhile is answered, and sent again
/// once it speaks under the new identity.
#[test]
fn who_writes_under_an_identity_of_before_is_told_and_writes_again() {
    let server = Server::start();
    let (alice, bob, phone) = (Person::new(&server), Person::new(&server), Person::new(&server));
    bob.done(&["register", "bob"]);
    alice.done(&["register", "alice"]);
    let offer = phone.done(&["link", "offer", "bob"]);
    bob.done(&["device", "add", offer["code"].as_str().unwrap()]);
    phone.done(&["link", "finish"]);
    bob.done(&["rotate"]);
    phone.done(&["send", "alice", "from the phone"]);
    let (verdict, value) = alice.json(&["receive"]);
    assert_eq!((verdict, &value["problems"][0]["reason"]), (Verdict::Refused, &json!("sender_not_proven")));

    for _ in 0..2 {
        let (verdict, value) = phone.json(&["receive"]);
        let resent = &value["resent"][0];
        assert_eq!((verdict, &resent["state"]), (Verdict::Partial, &json!("waits")), "{value}");
        assert_eq!(resent["reason"], "own_keys_changed");
    }
    phone.done(&["monitor", "--accept", "bob"]);
    let resent = phone.done(&["receive"])["resent"][0].clone();
    assert_eq!((&resent["state"], &resent["reason"]), (&json!("sent_again"), &json!("key_not_proven")));
    assert_eq!(alice.done(&["receive"])["messages"][0]["text"], "from the phone");
}
