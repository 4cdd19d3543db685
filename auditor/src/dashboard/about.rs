//! What is watched and why, for people who have never heard of logs.

use maud::{Markup, html};

use super::layout::text;
use crate::overview::Overview;

/// All of the page.
pub(super) fn content(overview: &Overview) -> Markup {
    html! {
        h1 { "What is watched, and why" }
        h2 { "The question" }
        p {
            "When you send somebody an encrypted message, your app needs that person's key. It asks a server. A server that lies, "
            "or that somebody has broken into, can hand out a key of its own and read along. So the question is: "
            em { "is this really their key, and is everybody in the world being shown the same one?" }
        }
        h2 { "The log" }
        p {
            "The server writes every key into a public log that can only grow. Your app demands proof that the key it gets is in that "
            "log. If the server wants to hand you a wrong key, it must write the wrong key where the rightful owner's app sees it, "
            "or keep two logs: one to show you, and one to show everybody else."
        }
        h2 { "The witnesses" }
        p {
            "Witnesses are run by others. Each signs the log's state only if it continues what it signed before, and apps believe only "
            "states that enough witnesses have signed. So two logs need witnesses that lie too."
        }
        h2 { "This auditor" }
        ul {
            li { strong { "It replays everything. " } "Every entry, and every change that the entries made: no key is replaced where only its next version may be added, none is taken away before its time." }
            li { strong { "It compares. " } "What the log says itself, what its witnesses say, what other auditors say, and what people's apps were shown and reported here. Two states of one size with different contents, or one that does not continue the other, are two logs." }
            li { strong { "It keeps proof. " } "A state is signed, so two contradicting ones are proof against the log that anybody can check, without trusting this auditor. If a witness signed both, it is proof against the witness too." }
            li { strong { "It watches the pulse. " } "How old the newest entry is, how many witnesses sign, and how many more could fail." }
        }
        h2 { "What it does not see" }
        p {
            "Entries name nobody. This auditor learns how many keys changed and when, never whose. It cannot tell whether a change of a "
            "key was wanted by its owner: the owner's app does, by looking up its own key. And it cannot see a second log that is shown to "
            "one person only, until that person's app compares: with a witness, with a friend, or by a report to an auditor."
        }
        h2 { "What to do if there is proof" }
        ol {
            li { "Download it from " a href="/alerts" { "the alerts" } " and keep it. It is a short text and can be sent by mail." }
            li { "Check it yourself; its page says how." }
            li { "Stop trusting the log, and compare safety numbers with the people you talk to, in person or by phone." }
            li { "Pass it on: to other auditors, to the witnesses, to the public." }
        }
        h2 { "What is watched here" }
        ul {
            @for log in overview.logs.iter().take(1000) { li { a href={ "/logs/" (log.id) } { (text(&log.name, 64)) } " " small { (text(&log.origin, 200)) } } }
        }
    }
}
