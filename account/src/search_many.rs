//! Looking several labels up in one request: `POST /v1/search-many`.
//!
//! ```text
//! struct {
//!   optional<uint64> last;              as in a SearchRequest
//!   Label labels<1..32>;                opaque<1..255> each
//! } SearchManyRequest;
//!
//! struct {
//!   uint8 kind;                         0: response, 1: problem
//!   opaque body<0..2^32-1>;             an encoded SearchResponse, or the URI of a problem
//! } SearchAnswer;
//!
//! struct { SearchAnswer answers<1..32>; } SearchManyResponse;
//! ```
//!
//! All answers are under one head. The first response is what a `SearchRequest` with this `last` gets; each later one is what
//! a `SearchRequest` gets whose `last` is that head, so that the head and what proves it stand there once. The lengths of
//! `labels` and `answers` count elements. Each label's greatest version is searched for.

use crate::{
    codec::{CodecError, Reader, Writer},
    label::MAX_LABEL_LEN,
};

/// The path.
pub const SEARCH_MANY: &str = "/v1/search-many";

/// Labels in one request at most.
pub const MAX_LABELS: usize = 32;

/// Bytes of one answer at most.
pub const MAX_ANSWER: usize = 1 << 20;

/// Bytes of all answers at most.
pub const MAX_RESPONSE: usize = 8 << 20;

/// Asks for the greatest versions of several labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchManyRequest {
    /// The tree size that the user last verified.
    pub last: Option<u64>,
    /// The labels.
    pub labels: Vec<Vec<u8>>,
}

impl SearchManyRequest {
    /// The encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.optional(self.last.as_ref(), |out, last| {
            out.u64(*last);
        });
        out.count8(self.labels.len());
        for label in &self.labels {
            out.opaque8(label);
        }
        out.finish()
    }

    /// Decodes all of `bytes`.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let last = reader.optional(|reader| reader.u64())?;
        let count = reader.count8(1, MAX_LABELS)?;
        let labels: Result<Vec<Vec<u8>>, CodecError> =
            (0..count).map(|_| Ok(reader.opaque8(1, MAX_LABEL_LEN)?.to_vec())).collect();
        let labels = labels?;
        reader.end()?;
        Ok(Self { last, labels })
    }
}

/// What came of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchAnswer {
    /// An encoded `SearchResponse`.
    Response(Vec<u8>),
    /// The URI of a [`Problem`](crate::problem::Problem).
    Problem(String),
}

/// Encodes answers, in the order of the labels.
#[must_use]
pub fn encode_answers(answers: &[SearchAnswer]) -> Vec<u8> {
    let mut out = Writer::new();
    out.count8(answers.len());
    for answer in answers {
        let (kind, body) = match answer {
            SearchAnswer::Response(response) => (0, response.as_slice()),
            SearchAnswer::Problem(uri) => (1, uri.as_bytes()),
        };
        out.u8(kind).u32(u32::try_from(body.len()).unwrap_or(u32::MAX)).bytes(body);
    }
    out.finish()
}

/// Decodes all of `bytes`.
///
/// # Errors
/// [`CodecError`].
pub fn decode_answers(bytes: &[u8]) -> Result<Vec<SearchAnswer>, CodecError> {
    let mut reader = Reader::new(bytes);
    let count = reader.count8(1, MAX_LABELS)?;
    let mut answers = Vec::new();
    for _ in 0..count {
        let kind = reader.u8()?;
        let len = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
        if len > MAX_ANSWER {
            return Err(CodecError::VectorLength { len, min: 0, max: MAX_ANSWER });
        }
        let body = reader.bytes(len)?.to_vec();
        answers.push(match kind {
            0 => SearchAnswer::Response(body),
            1 => SearchAnswer::Problem(String::from_utf8(body).map_err(|_| CodecError::UnknownVariant(1))?),
            other => return Err(CodecError::UnknownVariant(other)),
        });
    }
    reader.end()?;
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_are_read_as_they_were_written_and_no_part_of_them_is() {
        let request = SearchManyRequest { last: Some(7), labels: vec![b"bob".to_vec(), vec![9; 255]] };
        let bytes = request.encode();
        assert_eq!(SearchManyRequest::decode(&bytes).unwrap(), request);
        let answers = vec![SearchAnswer::Response(vec![1; 300]), SearchAnswer::Problem("urn:x".into())];
        let encoded = encode_answers(&answers);
        assert_eq!(decode_answers(&encoded).unwrap(), answers);
        for end in 0..bytes.len() {
            assert!(SearchManyRequest::decode(&bytes[..end]).is_err());
        }
        for end in 0..encoded.len() {
            assert!(decode_answers(&encoded[..end]).is_err());
        }
        assert!(SearchManyRequest::decode(&[bytes, vec![0]].concat()).is_err());
        assert!(decode_answers(&[encoded, vec![0]].concat()).is_err());
    }

    #[test]
    fn bounds_hold() {
        for count in [0, MAX_LABELS + 1] {
            let request = SearchManyRequest { last: None, labels: vec![b"x".to_vec(); count] };
            assert!(SearchManyRequest::decode(&request.encode()).is_err(), "{count}");
        }
        let none = SearchManyRequest { last: None, labels: vec![Vec::new()] };
        assert!(SearchManyRequest::decode(&none.encode()).is_err());
        // A length prefix buys no memory.
        let mut long = vec![1, 0];
        long.extend(u32::MAX.to_be_bytes());
        assert!(decode_answers(&long).is_err());
        assert!(decode_answers(&[1, 2, 0, 0, 0, 0]).is_err());
    }
}
