//! Messages that are not taken.

use keyglass_account::{
    api::{
        AckMessages, Base64, Id128, MAX_MESSAGE_LEN, MESSAGES, MESSAGES_ACK, Messages, SendMessage, Target,
    },
    problem::Problem,
};
use reqwest::Method;

use crate::{
    bench::Bench,
    support::api::{Answer, Call, to_json},
};

/// The most messages that one account may leave for one device in an hour.
const MOST: usize = 120;

fn target(bench: &Bench, device: u32) -> Target {
    Target { label: Base64::new(bench.account.label.clone()).unwrap(), device }
}

fn message(bench: &Bench, device: u32, body: Vec<u8>) -> SendMessage {
    let body = Base64::new(body).unwrap();
    SendMessage { target: target(bench, device), id: Id128(rand::random()), body, version: None }
}

async fn send(bench: &Bench, message: &SendMessage) -> Answer {
    bench.api.call(Call::with_token(Method::POST, MESSAGES, &bench.tokens[0], to_json(message))).await
}

/// Sends to device 2 until one is refused; gives how many messages were taken.
async fn flood(bench: &Bench, length: usize) -> usize {
    for taken in 0..=MOST {
        let answer = send(bench, &message(bench, 2, vec![7; length])).await;
        if answer.status != 204 {
            bench.check("a flood has a type", answer.problem() == Some(Problem::RateLimited));
            bench.check("when to come back is told", answer.retry_after.is_some());
            return taken;
        }
    }
    MOST + 1
}

/// How many messages wait for device 2, once each, oldest first; they are acknowledged.
async fn empty(bench: &Bench) -> usize {
    let mut count = 0;
    loop {
        let answer =
            bench.api.call(Call::with_token(Method::GET, MESSAGES, &bench.tokens[1], Vec::new())).await;
        let answer: Messages = answer.json();
        count += answer.messages.len();
        let ids = answer.messages.iter().map(|message| message.id).collect();
        let body = to_json(&AckMessages { ids });
        let answered =
            bench.api.call(Call::with_token(Method::POST, MESSAGES_ACK, &bench.tokens[1], body)).await;
        assert_eq!(answered.status, 204);
        if !answer.more {
            return count;
        }
    }
}

#[tokio::test]
async fn a_flood_of_messages_is_refused_and_others_are_not_in_the_way() {
    for length in [1, MAX_MESSAGE_LEN] {
        let bench = Bench::start().await;
        let taken = flood(&bench, length).await;
        bench.check(&format!("{taken} messages of {length} bytes were taken, not {MOST}"), taken == MOST);
        let before = bench.state().await;
        let flooding = message(&bench, 2, vec![7; length]);
        let call = Call::with_token(Method::POST, MESSAGES, &bench.tokens[0], to_json(&flooding));
        bench.answers("one more", call, Problem::RateLimited).await;
        bench.unchanged("a message beyond the limit", &before).await;
        bench.check(
            "another device's mailbox",
            send(&bench, &message(&bench, 1, vec![7; 10])).await.status == 204,
        );
        let waiting = empty(&bench).await;
        bench.check(&format!("{waiting} messages waited, {taken} were taken"), waiting == taken);
        // A mailbox that is emptied lets nobody flood it anew.
        bench.check("an emptied mailbox is not flooded anew", send(&bench, &flooding).await.status == 429);
        bench.finish("floods of messages", 6);
    }
}

#[tokio::test]
async fn messages_that_cannot_be_are_refused() {
    let bench = Bench::start().await;
    let refuse = async |what: &str, message: &SendMessage, problem| {
        let call = Call::with_token(Method::POST, MESSAGES, &bench.tokens[0], to_json(message));
        bench.refuses(what, call, problem).await;
    };
    let large = message(&bench, 1, vec![7; MAX_MESSAGE_LEN + 1]);
    refuse("a message that is too long", &large, Problem::MessageTooLarge).await;
    refuse("a message to a device that is not there", &message(&bench, 3, vec![7]), Problem::UnknownDevice)
        .await;
    let mut nobody = message(&bench, 1, vec![7]);
    nobody.target.label = Base64::new(b"nobody".to_vec()).unwrap();
    refuse("a message to nobody", &nobody, Problem::UnknownDevice).await;
    let mut first = message(&bench, 1, vec![7]);
    assert_eq!(send(&bench, &first).await.status, 204);
    let before = bench.state().await;
    bench.check("the same again", send(&bench, &first).await.status == 204);
    bench.unchanged("the same again", &before).await;
    first.body = Base64::new(vec![8]).unwrap();
    refuse("another message with an id that waits", &first, Problem::MessageIdReused).await;
    bench.finish("messages", 5);
}
