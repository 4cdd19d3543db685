//! The errors of a log-server over HTTP: RFC 9457 problem details, with one stable `type` for each cause.

mod from;

use serde::{Deserialize, Serialize};

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Declares the causes: name, URN suffix, HTTP status, title.
macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident = $slug:literal, $status:literal, $title:literal;)*) => {
        /// A cause for which a request is refused. The URIs and statuses never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Problem {
            $($(#[$doc])* $name,)*
        }

        impl Problem {
            /// Every cause.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The URI in the member `type`.
            #[must_use]
            pub fn uri(self) -> &'static str {
                match self { $(Self::$name => concat!("urn:keyglass:problem:", $slug),)* }
            }

            /// The name: the last part of the URI.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            /// The HTTP status.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The member `title`: the same for every occurrence.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

problems! {
    // Requests in general.
    /// The body exceeds the endpoint's limit.
    BodyTooLarge = "body-too-large", 413, "The body is larger than this endpoint accepts";
    /// The body ends inside a field.
    Truncated = "truncated", 400, "The encoding is truncated";
    /// Bytes follow the last field.
    TrailingBytes = "trailing-bytes", 400, "The encoding has trailing bytes";
    /// A vector is outside its bounds.
    VectorLength = "vector-length", 400, "A vector is longer or shorter than its definition allows";
    /// Another defect of the encoding.
    Malformed = "malformed", 400, "The encoding is malformed";
    /// The body is not the JSON that the endpoint takes.
    MalformedJson = "malformed-json", 400, "The body is not the JSON that this endpoint takes";
    /// The `Content-Type` is not the endpoint's.
    UnsupportedMediaType = "unsupported-media-type", 415, "This endpoint takes another media type";
    /// No such path.
    NotFound = "not-found", 404, "There is nothing at this path";
    /// The path exists, not for this method.
    MethodNotAllowed = "method-not-allowed", 405, "This path has no such method";
    /// The caller asks too often.
    RateLimited = "rate-limited", 429, "Too many requests";
    /// The server failed; nothing was changed.
    Internal = "internal", 500, "The server failed";
    /// The server is overloaded, starting or stopping.
    Unavailable = "unavailable", 503, "The server cannot answer now";

    // The log.
    /// The label is empty or longer than 255 bytes.
    LabelLength = "label-length", 400, "A label has 1 to 255 bytes";
    /// The label is not in the form that this log registers.
    LabelNotNormalised = "label-not-normalised", 400, "This log registers labels in normalised form only";
    /// `last` is larger than the published tree.
    LastBeyondTree = "last-beyond-tree", 400, "The tree size that the client knows is larger than the tree";
    /// The label has no version.
    UnknownLabel = "unknown-label", 404, "The log has no such label";
    /// The label has no such version.
    UnknownVersion = "unknown-version", 404, "The label has no such version";
    /// The version was erased.
    ErasedVersion = "erased-version", 410, "The value of this version was erased";
    /// The version or head is past the log's maximum lifetime.
    ExpiredVersion = "expired-version", 410, "The version is past the log's maximum lifetime";
    /// What auditors need of these entries was pruned.
    Pruned = "pruned", 410, "What these log entries changed is not kept any more";
    /// `greatest_version` is above the label's.
    GreatestVersionBeyond = "greatest-version-beyond", 409, "The greatest version is above the label's";
    /// `greatest_version` is the label's and `values` is empty.
    NoValues = "no-values", 400, "The update is of the greatest version and adds no values";
    /// More values than one request may add.
    TooManyValues = "too-many-values", 400, "The update adds more values than one request may";
    /// A version of the label awaits publication.
    UpdatePending = "update-pending", 503, "A version of this label is not published yet: ask again";
    /// The log has not published any head.
    NotPublished = "not-published", 503, "The log has not published a head yet";
    /// The auditor's last head is too old for users to accept.
    AuditorBehind = "auditor-behind", 503, "The log's auditor has not signed a head that is recent enough";
    /// The operation is not one of this log's mode or suite.
    UnsupportedOperation = "unsupported-operation", 400, "This log does not support the operation";

    // Account records.
    /// The value is no account record.
    RecordMalformed = "record-malformed", 400, "The value is not an account record";
    /// Two devices with one id, or an order that is not theirs.
    DuplicateDevice = "duplicate-device", 400, "The record's device ids are not unique and ascending";
    /// A device id is out of range or was used before.
    DeviceId = "device-id", 400, "A device id is out of range or was used before";
    /// A device that is kept has other keys than before.
    DeviceAltered = "device-altered", 400, "A device is not what it was under the same id";
    /// A key stands twice or returns.
    KeyReused = "key-reused", 400, "A key was used before in this account";
    /// A key is not canonical.
    NonCanonicalKey = "non-canonical-key", 400, "A key is not canonically encoded";
    /// A key is of small order.
    LowOrderKey = "low-order-key", 400, "A key is of small order";
    /// A signature of the record does not verify.
    BadSignature = "bad-signature", 400, "A signature does not verify";
    /// The kind of authorisation does not suit the version or the record before it.
    WrongAuthorisation = "wrong-authorisation", 400, "The record is not authorised as its version requires";
    /// The record does not follow from the last valid one.
    WrongPredecessor = "wrong-predecessor", 409, "The record does not follow the last valid version";
    /// The identity chain is not the last valid record's, continued.
    WrongChain = "wrong-chain", 400, "The identity chain does not continue the last valid record's";
    /// A reset came over the public interface.
    ResetNotAllowed = "reset-not-allowed", 403, "Only the operator can reset an account";
    /// The owner forbids resets.
    Lockdown = "lockdown", 403, "The account is in lockdown";

    // Registration.
    /// The log registers accounts with a token only, and there is none.
    RegistrationTokenMissing = "registration-token-missing", 401, "This log registers accounts with a token only";
    /// The token is not one of those that the log takes.
    RegistrationTokenMalformed = "registration-token-malformed", 401, "The registration token is malformed";
    /// The token names a key that is not the operator's.
    RegistrationTokenKey = "registration-token-key", 401, "The registration token names a key that is not known";
    /// The token's signature does not verify.
    RegistrationTokenSignature = "registration-token-signature", 401, "The registration token's signature does not verify";
    /// The token has expired.
    RegistrationTokenExpired = "registration-token-expired", 401, "The registration token has expired";
    /// The token is not valid yet.
    RegistrationTokenNotYetValid = "registration-token-not-yet-valid", 401, "The registration token is not valid yet";
    /// The token is good for too long, or for no time.
    RegistrationTokenLifetime = "registration-token-lifetime", 401, "The registration token's lifetime is not acceptable";
    /// The token is for another log.
    RegistrationTokenAudience = "registration-token-audience", 403, "The registration token is for another log";
    /// The token is for another label.
    RegistrationTokenLabel = "registration-token-label", 403, "The registration token is for another label";

    // Authentication.
    /// No `Authorization` header, or one that is malformed.
    Unauthenticated = "unauthenticated", 401, "The request is not authenticated";
    /// The request's signature does not verify, or its device does not exist.
    BadRequestSignature = "bad-request-signature", 401, "The request's signature is not by a device of the account";
    /// The request's time is outside the window.
    OutsideWindow = "outside-window", 401, "The request was signed too long ago or in the future";
    /// The request was seen before.
    Replayed = "replayed", 401, "The request was received before";
    /// The token is not this server's, or its device is gone.
    BadToken = "bad-token", 401, "The token is not valid";
    /// The token has expired.
    TokenExpired = "token-expired", 401, "The token has expired";

    // Prekeys.
    /// The account has no such device.
    UnknownDevice = "unknown-device", 404, "The account has no such device";
    /// A prekey or batch is no valid encoding.
    PreKeyMalformed = "prekey-malformed", 400, "A prekey is malformed";
    /// A prekey is signed for another device, account or log, or not at all.
    PreKeySignature = "prekey-signature", 400, "A prekey is not signed by the device";
    /// The signed prekey has expired.
    SignedPreKeyExpired = "signed-prekey-expired", 400, "The signed prekey has expired";
    /// A prekey lives longer than the server allows, expires before it was made, or was made in the future.
    PreKeyLifetime = "prekey-lifetime", 400, "The lifetime of a prekey is not acceptable";
    /// A prekey id, batch number or signed prekey id was used before.
    PreKeyIdReused = "prekey-id-reused", 409, "A prekey id or batch number was used before";
    /// The batch is below the floor.
    BelowFloor = "below-floor", 409, "The batch lies below the floor of the signed prekey";
    /// The floor is below that of the signed prekey before.
    FloorLowered = "floor-lowered", 409, "The floor cannot be lowered";
    /// The batch has expired.
    BatchExpired = "batch-expired", 400, "The batch has expired";
    /// The pool is full.
    PoolFull = "pool-full", 409, "The device has as many one-time prekeys as the server keeps";
    /// The device uploads too often.
    UploadQuota = "upload-quota", 429, "The device has uploaded too many prekeys";
    /// The device has no signed prekey on the server.
    NoSignedPreKey = "no-signed-prekey", 404, "The device has no valid signed prekey here";
    /// The device has no last-resort KEM prekey on the server.
    NoLastResort = "no-last-resort", 409, "The device has no valid last-resort KEM prekey here";
    /// The requester's quota of bundles is used up.
    RequesterQuota = "requester-quota", 429, "The requester has fetched too many bundles";
    /// The request names more devices than one answer has bundles for.
    TooManyDevices = "too-many-devices", 400, "The request is for more devices than one answer holds";

    // Mailbox.
    /// The message is longer than the server accepts.
    MessageTooLarge = "message-too-large", 413, "The message is too large";
    /// The device's queue is full.
    MailboxFull = "mailbox-full", 429, "The mailbox of the device is full";
    /// A later version of the receiver's record is published than the one that the sender proved.
    StaleRecord = "stale-record", 409, "A later version of the receiver's record is published: look it up again";
    /// The message id is in the queue with another body.
    MessageIdReused = "message-id-reused", 409, "The message id was used for another message";
}

impl Problem {
    /// The cause with this URI, if it is one of ours.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|problem| problem.uri() == uri)
    }

    /// The problem as a body, with what is special to this occurrence.
    #[must_use]
    pub fn details(self, detail: Option<String>) -> ProblemDetails {
        ProblemDetails {
            kind: self.uri().to_owned(),
            title: Some(self.title().to_owned()),
            status: Some(self.status()),
            detail,
        }
    }
}

/// The body of an error. Members that are not known are ignored, as RFC 9457 section 3.2 demands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDetails {
    /// A URI that names the cause; clients branch on it and on nothing else.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// The cause in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What is special to this occurrence, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl ProblemDetails {
    /// The cause, if it is one of ours.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        Problem::from_uri(&self.kind)
    }
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_cause_has_a_uri_of_its_own_that_leads_back() {
        let uris: BTreeSet<_> = Problem::ALL.iter().map(|problem| problem.uri()).collect();
        assert_eq!(uris.len(), Problem::ALL.len());
        for problem in Problem::ALL {
            assert_eq!(Problem::from_uri(problem.uri()), Some(*problem));
            assert!((400..600).contains(&problem.status()));
        }
        assert_eq!(Problem::from_uri("urn:keyglass:problem:"), None);
    }

    #[test]
    fn unknown_members_and_missing_ones_are_tolerated() {
        let details: ProblemDetails = serde_json::from_str(r#"{"type":"urn:x","extra":[1]}"#).unwrap();
        assert_eq!((details.kind.as_str(), details.problem()), ("urn:x", None));
        let details: ProblemDetails = serde_json::from_str("{}").unwrap();
        assert_eq!(details.kind, "about:blank");
    }

    #[test]
    fn details_survive_json() {
        let details = Problem::Lockdown.details(Some("version 3".to_owned()));
        let json = serde_json::to_string(&details).unwrap();
        assert!(
            json.contains(r#""type":"urn:keyglass:problem:lockdown""#) && json.contains(r#""status":403"#)
        );
        assert_eq!(serde_json::from_str::<ProblemDetails>(&json).unwrap(), details);
    }
}
