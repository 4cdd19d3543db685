//! A process of the judge program, which answers questions with libraries that others wrote.

use std::{
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::programs::Programs;

/// Why there is no answer. That a library refuses something is an answer.
#[derive(Debug, Error)]
pub enum JudgeError {
    /// The process could not be started or has ended.
    #[error("the judge: {0}")]
    Io(#[from] std::io::Error),
    /// The answer is not of the form that was expected.
    #[error("the judge answered {answer}: {source}")]
    Answer {
        /// What it answered.
        answer: String,
        /// Why it is of another form.
        source: serde_json::Error,
    },
}

/// A judge, one question at a time. It ends when dropped.
#[derive(Debug)]
pub struct Judge {
    child: Child,
    questions: BufWriter<ChildStdin>,
    answers: BufReader<ChildStdout>,
    asked: u64,
}

impl Judge {
    /// Starts a process.
    ///
    /// # Errors
    /// [`JudgeError::Io`].
    pub fn start(programs: &Programs) -> Result<Self, JudgeError> {
        let mut child =
            Command::new(programs.path("judge")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let pipe = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let questions = BufWriter::new(child.stdin.take().ok_or_else(pipe)?);
        let answers = BufReader::new(child.stdout.take().ok_or_else(pipe)?);
        Ok(Self { child, questions, answers, asked: 0 })
    }

    /// Asks a question: an object whose member `op` names it.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub fn ask<A: DeserializeOwned>(&mut self, question: &Value) -> Result<A, JudgeError> {
        self.asked = self.asked.saturating_add(1);
        writeln!(self.questions, "{question}")?;
        self.questions.flush()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        serde_json::from_str(&answer).map_err(|source| JudgeError::Answer { answer, source })
    }

    /// How many questions were asked.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes in a question.
#[must_use]
pub fn bytes(bytes: &[u8]) -> Value {
    Value::String(STANDARD.encode(bytes))
}

/// Lists of bytes in a question.
pub fn list<B: AsRef<[u8]>>(items: impl IntoIterator<Item = B>) -> Value {
    Value::Array(items.into_iter().map(|item| bytes(item.as_ref())).collect())
}

/// Bytes in an answer. An absent list of bytes is an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl<'de> serde::Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Option<String>>::deserialize(deserializer)?.unwrap_or_default();
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}
