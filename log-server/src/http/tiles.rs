//! The log as files: its checkpoint, its tiles and its entries (C2SP tlog-tiles).
//!
//! Everything here ends at the published head: entries that are sequenced but not witnessed are not there yet. Partial tiles
//! stay, whatever size they are of: their hashes are the first ones of the full tile. Tiles of hashes are never pruned;
//! entry bundles are, where entries expire, once all of their entries have (tlog-tiles, "Pruning").

use std::{io::Write as _, sync::Arc};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use flate2::{Compression, write::GzEncoder};
use keyglass_account::problem::Problem;
use keyglass_keytrans::{config::CipherSuite, wire::LogEntry};
use keyglass_tlog::{
    checkpoint::Checkpoint,
    tile::{CHECKPOINT_MEDIA_TYPE, Content, TILE_MEDIA_TYPE, Tile, encode_bundle, encode_tile},
};

use super::failure::Failure;
use crate::{
    log::Log,
    log_tree,
    store::{PublishedHead, Snapshot, StoreError},
};

/// `GET /checkpoint` and `GET /tile/...`.
pub fn router(log: Arc<Log>) -> Router {
    Router::new().route("/checkpoint", get(checkpoint)).route("/tile/{*path}", get(tile)).with_state(log)
}

async fn checkpoint(State(log): State<Arc<Log>>) -> Result<Response, Failure> {
    let head = published(&log)?;
    let checkpoint = Checkpoint::new(log.origin(), head.size, head.root).map_err(|_| Problem::Internal)?;
    let mut note = checkpoint.text().into_bytes();
    note.push(b'\n');
    note.extend_from_slice(&head.signature);
    // A cache in front takes the load of a crowd, and nobody sees a head that is much older than the newest.
    let headers =
        [(header::CONTENT_TYPE, CHECKPOINT_MEDIA_TYPE), (header::CACHE_CONTROL, "public, max-age=1")];
    Ok((headers, note).into_response())
}

async fn tile(
    State(log): State<Arc<Log>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let head = published(&log)?;
    let tile: Tile =
        format!("tile/{path}").parse().map_err(|error| Failure::new(Problem::NotFound).because(error))?;
    if !tile.fits(head.size) {
        return Err(Failure::new(Problem::NotFound).because("the published log does not reach that far"));
    }
    let body = log.read(move |snapshot| contents(snapshot, &tile)).await?;
    let gzip = tile.content() == Content::Entries && accepts_gzip(&headers);
    let (body, encoding) = match gzip.then(|| compress(&body)).flatten() {
        Some(compressed) => (compressed, Some("gzip")),
        None => (body, None),
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(TILE_MEDIA_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    // Hashes do not compress: every request for a tile gets the same bytes.
    if tile.content() == Content::Entries {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    Ok(response)
}

/// The published head of a log that has checkpoints.
fn published(log: &Log) -> Result<Arc<PublishedHead>, Failure> {
    match log.suite() {
        CipherSuite::Tlog => log.head(),
        // Its tree is not that of RFC 6962, so that its tiles would mislead whoever reads them.
        CipherSuite::Draft => {
            Err(Failure::new(Problem::NotFound).because("a log of suite 0x0002 has no checkpoint"))
        }
    }
}

fn contents(snapshot: &dyn Snapshot, tile: &Tile) -> Result<Vec<u8>, Failure> {
    let width = u64::from(tile.width());
    let first = tile.index().saturating_mul(256);
    match tile.content() {
        Content::Hashes { level } => {
            Ok(encode_tile(&log_tree::row(snapshot, level.saturating_mul(8), first, width)?))
        }
        Content::Entries => {
            let positions: Vec<u64> = (first..first.saturating_add(width)).collect();
            let corrupt = StoreError::Corrupt("an entry bundle");
            let mut entries = Vec::with_capacity(positions.len());
            for entry in snapshot.entries(&positions)? {
                // Bundles go as a whole, once all of their entries are expired.
                let entry = entry.ok_or(Problem::Pruned)?;
                entries.push(
                    LogEntry { timestamp: entry.timestamp, prefix_tree: *entry.tree.value() }.to_bytes(),
                );
            }
            encode_bundle(entries.iter().map(<[u8; 40]>::as_slice)).map_err(|_| corrupt.into())
        }
    }
}

/// Whether `Accept-Encoding` names gzip without refusing it.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| {
        let (coding, parameter) = item.split_once(';').unwrap_or((item, ""));
        let refused = parameter.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        coding.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

fn compress(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests;
