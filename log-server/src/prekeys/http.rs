//! `PUT /v1/prekeys`, `GET /v1/prekeys`, `POST /v1/bundles`.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    response::Response,
    routing::{post, put},
};
use keyglass_account::{
    api::{
        BUNDLES, Base64, BundleResult, Bundles, FetchBundles, MAX_BODY, MAX_BUNDLES, MAX_UPLOAD_BODY,
        PREKEYS, Target, TargetBundle,
    },
    prekey::PreKeyBundle,
    problem::{Problem, ProblemDetails},
};

use super::{FetchError, Service, UploadError};
use crate::{
    http::failure::Failure,
    tokens::{
        self, DeviceName,
        request::{Parts, answer, handle},
    },
};

struct Endpoints {
    prekeys: Arc<Service>,
    tokens: Arc<tokens::Service>,
}

/// The endpoints of prekeys.
pub fn router(prekeys: Arc<Service>, tokens: Arc<tokens::Service>) -> Router {
    let upload = put(upload).get(status).layer(DefaultBodyLimit::max(MAX_UPLOAD_BODY));
    let fetch = post(fetch).layer(DefaultBodyLimit::max(MAX_BODY));
    Router::new()
        .route(PREKEYS, upload)
        .route(BUNDLES, fetch)
        .with_state(Arc::new(Endpoints { prekeys, tokens }))
}

async fn upload(State(endpoints): State<Arc<Endpoints>>, parts: Parts) -> Result<Response, Response> {
    let status = handle(endpoints, parts, |endpoints, incoming| {
        let caller = incoming.signed_by(&endpoints.tokens)?;
        Ok(endpoints.prekeys.upload(&caller, &incoming.json()?)?)
    });
    Ok(answer(status.await?))
}

async fn status(State(endpoints): State<Arc<Endpoints>>, parts: Parts) -> Result<Response, Response> {
    let status = handle(endpoints, parts, |endpoints, incoming| {
        incoming.no_body()?;
        let caller = incoming.token_of(&endpoints.tokens)?;
        Ok(endpoints.prekeys.status(&caller.name)?)
    });
    Ok(answer(status.await?))
}

async fn fetch(State(endpoints): State<Arc<Endpoints>>, parts: Parts) -> Result<Response, Response> {
    let bundles = handle(endpoints, parts, |endpoints, incoming| {
        let requester = incoming.token_of(&endpoints.tokens)?.name;
        let request: FetchBundles = incoming.json()?;
        endpoints.bundles(&requester, request)
    });
    Ok(answer(bundles.await?))
}

impl Endpoints {
    /// One result for each target and each device of each account, and the accounts that have none.
    fn bundles(&self, requester: &DeviceName, request: FetchBundles) -> Result<Bundles, Failure> {
        let FetchBundles { request_id, mut targets, accounts } = request;
        if targets.is_empty() && accounts.is_empty() {
            return Err(Failure::new(Problem::MalformedJson).because("no targets"));
        }
        let mut unknown = Vec::new();
        for label in accounts {
            let devices = self.tokens.accounts().devices(label.as_bytes())?;
            if targets.len().saturating_add(devices.len()) > MAX_BUNDLES {
                return Err(Problem::TooManyDevices.into());
            }
            targets.extend(devices.iter().map(|device| Target { label: label.clone(), device: *device }));
            if devices.is_empty() {
                unknown.push(label);
            }
        }
        let name =
            |target: &Target| DeviceName { label: target.label.as_bytes().to_owned(), device: target.device };
        let names: Vec<DeviceName> = targets.iter().map(name).collect();
        let fetched = self.prekeys.fetch_all(requester, &names, &request_id.0);
        let results = targets.into_iter().zip(fetched).map(|(target, fetched)| {
            let result = encoded(fetched).unwrap_or_else(BundleResult::Problem);
            TargetBundle { target, result }
        });
        Ok(Bundles { bundles: results.collect(), unknown })
    }
}

/// What came of one target: the others have their own results.
fn encoded(fetched: Result<PreKeyBundle, FetchError>) -> Result<BundleResult, ProblemDetails> {
    let details = |failure: Failure| failure.problem().details(failure.detail().map(str::to_owned));
    let bundle = fetched.map_err(|error| details(error.into()))?;
    let encoded = Base64::new(bundle.encode()).map_err(|_| details(Problem::Internal.into()))?;
    Ok(BundleResult::Bundle(encoded))
}

impl From<UploadError> for Failure {
    fn from(error: UploadError) -> Self {
        let problem = match &error {
            UploadError::PreKey(error) => (*error).into(),
            UploadError::Lifetime => Problem::PreKeyLifetime,
            UploadError::NoSignedPreKey => Problem::NoSignedPreKey,
            UploadError::NoLastResort => Problem::NoLastResort,
            UploadError::SignedPreKeyIdReused { .. }
            | UploadError::BatchReused(_)
            | UploadError::IdReused(_) => Problem::PreKeyIdReused,
            UploadError::FloorLowered { .. } => Problem::FloorLowered,
            UploadError::BelowFloor { .. } => Problem::BelowFloor,
            UploadError::PoolFull => Problem::PoolFull,
            UploadError::Quota => return Self::new(Problem::UploadQuota).retry_after(3600),
            UploadError::Store(error) => return error.clone().into(),
        };
        Self::new(problem).because(error)
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::UnknownDevice => Problem::UnknownDevice.into(),
            FetchError::NoSignedPreKey => Problem::NoSignedPreKey.into(),
            FetchError::RequesterQuota => Self::new(Problem::RequesterQuota).retry_after(60),
            FetchError::Store(error) => error.into(),
        }
    }
}
